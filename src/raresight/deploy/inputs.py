"""From what a user names to image files: files, folders, patterns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from glob import glob
from pathlib import Path

from raresight.errors import ImageError, MissingExtraError, OptionError
from raresight.images.readers import READERS, format_of
from raresight.images.readers.base import suffix_of

MAGIC = frozenset("*?[")


def find_files(named: Sequence[str | Path]) -> list[Path]:
    """Find the files that are named, in that order; those of a folder or pattern sorted.

    Parameters
    ----------
    named : sequence of str or Path
        A file, which need not be an image or even be there: whoever reads it will say so. A folder, whose
        image files at any depth are taken, hidden ones left aside. A pattern with ``*``, ``?``, ``[…]`` or
        ``**``.

    Raises
    ------
    OptionError
        If nothing is named, a folder holds no image, or a pattern matches nothing.
    """
    if not named:
        raise OptionError("name at least one image, folder or pattern")
    found: dict[Path, None] = {}
    for each in named:
        path = Path(each).expanduser()
        if path.is_dir():
            files = list(_images(path))
            if not files:
                raise OptionError(f"the folder {path} holds no image that can be read")
        elif not path.exists() and MAGIC & set(str(each)):
            matches = glob(str(path), recursive=True)  # noqa: PTH207 (Path.glob takes no absolute pattern)
            files = [match for match in map(Path, sorted(matches)) if match.is_file()]
            if not files:
                raise OptionError(f"no file matches {each}")
        else:
            files = [path]
        found |= dict.fromkeys(files)
    return list(found)


def _images(folder: Path) -> Iterator[Path]:
    suffixes = {suffix for entry in READERS.values() for suffix in entry.load().suffixes}
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not hidden and path.is_file() and (suffix_of(path) in suffixes or _is_image(path)):
            yield path


def _is_image(path: Path) -> bool:
    """Look into a file whose name tells nothing, as DICOM files' often do not."""
    try:
        format_of(path)
    except (ImageError, MissingExtraError):
        return False
    return True
