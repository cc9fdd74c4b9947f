"""Where decoded and derived arrays are kept: one folder, content-addressed, written whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raresight.errors import RunError


def cache_folder() -> Path:
    """Find the cache: ``RARESIGHT_CACHE``, else the user's cache folder."""
    chosen = os.environ.get("RARESIGHT_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "raresight"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "raresight" / "Cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "raresight"


def content_hash(*parts: Any) -> str:
    """Hash JSON-serialisable settings and texts to 32 hexadecimal digits."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@contextmanager
def disk_errors(folder: Path, remedy: str) -> Iterator[None]:
    """Turn a full or unwritable disk into one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise RunError(
                f"the disk of {folder} is full; free some space or {remedy}; what is done is kept"
            ) from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR, errno.EEXIST):
            raise RunError(f"{folder} cannot be written ({error.strerror}); {remedy}") from error
        raise


def open_array(path: Path) -> NDArray[Any]:
    """Map a ``.npy`` file of the cache into memory.

    Raises
    ------
    RunError
        If it is damaged, or gone while its folder is there.
    """
    try:
        found: NDArray[Any] = np.load(path, mmap_mode="r")
    except (ValueError, EOFError, FileNotFoundError) as error:
        raise RunError(
            f"{path} of the cache is damaged or gone; remove the folder {path.parent}, and the same command "
            "makes it anew"
        ) from error
    return found


@contextmanager
def new_folder(final: Path, remedy: str = "set RARESIGHT_CACHE to another folder") -> Iterator[Path]:
    """Give an empty folder that becomes `final` when the block ends well, and vanishes when it does not."""
    with disk_errors(final.parent, remedy):
        final.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{final.name}-", dir=final.parent))
        try:
            yield scratch
            try:
                scratch.chmod(0o755)  # mkdtemp made it private
                scratch.rename(final)
            except OSError:
                if not final.is_dir():  # else another process was quicker: its copy is the same
                    raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def new_file(final: Path) -> Iterator[Path]:
    """Give a path to write to that becomes `final` when the block ends well."""
    final.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{final.name}-", dir=final.parent)
    os.close(handle)
    scratch = Path(name)
    try:
        yield scratch
        scratch.chmod(0o644)
        scratch.replace(final)
    finally:
        scratch.unlink(missing_ok=True)
