"""The files of a bundle: listed with their hashes, and checked before anything is loaded."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

from raresight.errors import BundleError, OptionError

LIST = "SHA256SUMS"
"""One line a file, as ``sha256sum`` writes it; ``sha256sum -c SHA256SUMS`` checks it too."""

SUFFIXES = (".onnx", ".json", ".md", ".png")
"""All that a bundle may hold: nothing of it runs, and nothing of it is a pickle."""

REMEDY = "choose another folder with --out"

LARGEST = 2**31
"""Bytes of a file at most: what one ONNX graph can be."""

_LINE = re.compile(r"(?P<digest>[0-9a-f]{64}) [ *](?P<name>[^\r\n]+)")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)?")


def check_folder(folder: Path, *, replace: bool = False) -> None:
    """Refuse a folder that a bundle would not be alone in, before any work is done.

    Parameters
    ----------
    folder : Path
    replace : bool
        Whether a bundle that is there already may give way.

    Raises
    ------
    OptionError
        If there is something, or it cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise OptionError(f"{folder} is a file; {REMEDY}")
    above = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise OptionError(f"{folder} cannot be written, because of {above}; {REMEDY}")
    taken = folder.is_dir() and any(folder.iterdir())
    if taken and not (replace and (folder / LIST).is_file()):
        raise OptionError(f"{folder} is not empty; {REMEDY}, or remove it")


def write_list(folder: Path) -> None:
    """List every file of a folder with its SHA-256."""
    lines = [
        f"{_digest(path.read_bytes())}  {path.relative_to(folder).as_posix()}\n"
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != LIST
    ]
    (folder / LIST).write_text("".join(lines))


def read_checked(folder: Path) -> Mapping[str, bytes]:
    """Read every file of a bundle, once: what is hashed is what is used.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    mapping of str to bytes
        Name → content.

    Raises
    ------
    BundleError
        If it is no bundle; a file is missing, was changed, or stands there unlisted; or the list names one
        outside the folder, or of a kind that a bundle does not hold.
    """
    if not folder.is_dir():
        raise BundleError(f"there is no bundle {folder}; make one with raresight train")
    listed = _listed(folder)
    for name in _found(folder):
        if name != LIST and name not in listed:
            raise BundleError(f"{folder} holds {name}, which its {LIST} does not name; {_ANEW}")
    return {name: _content(folder, name, digest) for name, digest in listed.items()}


def digest_of(folder: Path) -> str:
    """Name a bundle by its content: the SHA-256 of its list of hashes, empty where there is none to read."""
    try:
        return _digest((folder / LIST).read_bytes())
    except OSError:
        return ""


_ANEW = "it was changed after it was made, so copy it anew from where it comes from"


def _listed(folder: Path) -> dict[str, str]:
    try:
        text = (folder / LIST).read_text(encoding="ascii")
    except FileNotFoundError:
        raise BundleError(
            f"{folder} is not a bundle: it has no {LIST}; make one with raresight train"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(
            f"the {LIST} of {folder} cannot be read ({type(error).__name__}); {_ANEW}"
        ) from None
    listed: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise BundleError(f"line {number} of {folder / LIST} is no hash and name; {_ANEW}")
        name = match["name"]
        if not _NAME.fullmatch(name):
            raise BundleError(
                f"line {number} of {folder / LIST} names a file outside the bundle, or by a name that none "
                "of its files has; do not use it"
            )
        _check_suffix(folder, name)
        listed[name] = match["digest"]
    return listed


def _found(folder: Path) -> list[str]:
    found = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise BundleError(f"{folder} holds a link, {name}; a bundle holds files only")
        if path.is_file():
            if name != LIST:
                _check_suffix(folder, name)
            found.append(name)
        elif not path.is_dir():
            raise BundleError(f"{folder} holds {name}, which is no plain file")
    return found


def _check_suffix(folder: Path, name: str) -> None:
    if not name.endswith(SUFFIXES):
        raise BundleError(
            f"{folder} holds {name}, and a bundle holds {', '.join(SUFFIXES)} only, never a pickle; "
            "do not use it"
        )


def _content(folder: Path, name: str, digest: str) -> bytes:
    path = folder / name
    try:
        if path.stat().st_size > LARGEST:
            raise BundleError(f"{name} of {folder} is larger than a bundle's file can be; {_ANEW}")
        content = path.read_bytes()
    except FileNotFoundError:
        raise BundleError(f"{name} is missing from {folder}, though its {LIST} names it; {_ANEW}") from None
    except OSError as error:
        raise BundleError(f"{name} of {folder} cannot be read ({error.strerror})") from None
    if _digest(content) != digest:
        raise BundleError(f"{name} of {folder} is not what its {LIST} says; {_ANEW}")
    return content


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
