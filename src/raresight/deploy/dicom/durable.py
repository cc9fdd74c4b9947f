"""Writing that survives the loss of power: nothing is reported as kept before the disk has it."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any


def sync_file(path: Path) -> None:
    """Have a file's content on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(path: Path) -> None:
    """Have a folder's names on the disk; not needed, and not possible, on Windows."""
    if os.name == "posix":
        sync_file(path)


def move(old: Path, new: Path) -> None:
    """Rename within a file system, at once or not at all, and durably."""
    old.replace(new)
    sync_folder(new.parent)


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file whole or not at all."""
    scratch = path.with_name(f".{path.name}.new")
    scratch.write_text(json.dumps(content))
    sync_file(scratch)
    move(scratch, path)


def read_json(path: Path) -> Any:
    """Read a JSON file; None if there is none or it is damaged."""
    with suppress(OSError, ValueError):
        return json.loads(path.read_text())
    return None


def sweep(folder: Path) -> None:
    """Remove whatever a process that died was still writing in a folder."""
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
