"""What has been received and not yet answered, on disk: folders that a study walks through.

::

    incoming/            being received; whatever lies there when a node starts is no whole object
    waiting/STUDY/       received, until the study is quiet
    scoring/BATCH/       being scored: the objects that a study had when it became quiet
    outbox/BATCH/        results, and ``batch.json``; each is removed when its receiver has it
    done/BATCH.json      what was answered, so that an object sent again is not answered again
    failed/BATCH/        what could not be, with ``reason.json``

Every step is one rename, so that a node that is killed at any moment goes on where it was: a batch that
was being scored is scored again, and gives results of the same UIDs. Studies and objects are named by
hashes keyed with a secret of the spool; a file's name tells nothing. Images are removed once their results
are made.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
import time
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any

from raresight.deploy.dicom.durable import move, read_json, sweep, sync_file, sync_folder, write_json
from raresight.errors import OptionError
from raresight.images.cache import disk_errors

FOLDERS = ("incoming", "waiting", "scoring", "outbox", "done", "failed")

REMEDY = "choose another folder with --spool"

REMEMBERED = 90 * 24 * 3600.0
"""Seconds for which it is remembered that an object was answered."""

BATCH = "batch.json"


class Spool:
    """A spool, opened; one process at a time.

    Parameters
    ----------
    folder : Path
        Made where it is not there, readable to its owner alone.
    bundle : str
        What answers; an object that another bundle answered is not known.

    Raises
    ------
    OptionError
        If another process has it open.
    RunError
        If it cannot be written.
    """

    def __init__(self, folder: Path, bundle: str = "") -> None:
        self.folder, self.bundle = folder, bundle
        with disk_errors(folder, REMEDY):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for name in FOLDERS:
                (folder / name).mkdir(exist_ok=True, mode=0o700)
            self._lock_file = (folder / "lock").open("w")
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock_file.close()
            raise OptionError(f"another node works in {folder}; {REMEDY}") from None
        self.incoming, self.outbox, self.failed = (folder / name for name in ("incoming", "outbox", "failed"))
        self._waiting, self._scoring, self._done = (folder / name for name in ("waiting", "scoring", "done"))
        self._key = _secret(folder / "key")
        self._lock = Lock()
        sweep(self.incoming)
        self._known = self._remember()

    def close(self) -> None:
        """Let another process have it."""
        self._lock_file.close()

    def name(self, uid: str) -> str:
        """Name a study or an object: 24 hexadecimal digits that only this spool can make."""
        return hashlib.blake2b(uid.encode(), key=self._key, digest_size=12).hexdigest()

    def free_bytes(self) -> int:
        """Tell how much room the disk has."""
        return shutil.disk_usage(self.folder).free

    def knows(self, instance: str) -> bool:
        """Tell whether an object was answered before, or is about to be."""
        return self.name(instance) in self._known

    def holds(self, study: str, instance: str) -> bool:
        """Tell whether an object was received, and answered or not yet."""
        waiting = self._waiting / self.name(study) / f"{self.name(instance)}.dcm"
        return self.knows(instance) or waiting.exists()

    def keep(self, path: Path, study: str, instance: str) -> None:
        """Take a whole object over from `incoming`; when this returns, it is safe.

        Parameters
        ----------
        path : Path
        study, instance : str
            Study and SOP Instance UID.
        """
        sync_file(path)
        with self._lock:
            folder = self._waiting / self.name(study)
            if not folder.is_dir():
                folder.mkdir(mode=0o700)
                sync_folder(self._waiting)
            move(path, folder / f"{self.name(instance)}.dcm")

    def freeze(self, quiet: float) -> None:
        """Make a batch of each study that nothing came for in the last `quiet` seconds."""
        now = time.time()
        for study in sorted(self._waiting.iterdir()):
            with self._lock:
                # A folder's time is that of the last name that came into it.
                if 0 <= now - study.stat().st_mtime < quiet:
                    continue
                names = sorted(path.stem for path in study.glob("*.dcm"))
                mark = hashlib.blake2b(" ".join([self.bundle, *names]).encode(), digest_size=6).hexdigest()
                batch = self._scoring / f"{study.name}-{mark}"
                if not names or batch.exists():  # the same objects again, while they are being scored
                    shutil.rmtree(study)
                    continue
                move(study, batch)
                self._known.update(names)

    def batches(self) -> list[Path]:
        """Give what is to be scored, the oldest first; what was answered already is tidied away."""
        found = []
        for batch in self._scoring.iterdir():
            if (self.outbox / batch.name).exists() or (self._done / f"{batch.name}.json").exists():
                shutil.rmtree(batch)
            else:
                found.append(batch)
        return sorted(found, key=lambda path: path.stat().st_mtime)

    def begin(self, batch: Path) -> int:
        """Note that a batch is about to be scored; gives how often it was before, without an end."""
        note = batch / "tries.json"
        tries = int(read_json(note) or 0)
        write_json(note, tries + 1)
        return tries

    def answer(self, batch: Path, results: Path, note: dict[str, Any]) -> None:
        """Put a batch's results into the outbox, and remove its images.

        Parameters
        ----------
        batch : Path
        results : Path
            A folder in `incoming` with the results' files.
        note : dict
            What is worth knowing later, without identifiers; the objects are added to it.
        """
        for path in results.iterdir():
            sync_file(path)
        objects = sorted(path.stem for path in batch.glob("*.dcm"))
        write_json(results / BATCH, {**note, "bundle": self.bundle, "objects": objects})
        move(results, self.outbox / batch.name)
        shutil.rmtree(batch)

    def fail(self, folder: Path, reason: str) -> None:
        """Put a batch or its results aside, for a person to look at."""
        write_json(folder / "reason.json", {"reason": reason, "at": time.time()})
        aside = self.failed / folder.name
        shutil.rmtree(aside, ignore_errors=True)
        move(folder, aside)

    def finish(self, results: Path) -> None:
        """Forget results that have arrived, but for the fact."""
        move(results / BATCH, self._done / f"{results.name}.json")
        shutil.rmtree(results)

    def sending(self) -> list[tuple[Path, list[Path]]]:
        """Give the outbox, the oldest first: each batch's folder, and the results that are left in it."""
        folders = sorted(self.outbox.iterdir(), key=lambda path: path.stat().st_mtime)
        return [(folder, sorted(folder.glob("*.dcm"))) for folder in folders]

    def counts(self) -> dict[str, int]:
        """Count what lies in each folder."""
        return {name: sum(1 for _ in (self.folder / name).iterdir()) for name in FOLDERS}

    def _remember(self) -> set[str]:
        known: set[str] = set()
        for path in self._done.glob("*.json"):
            if time.time() - path.stat().st_mtime > REMEMBERED:
                path.unlink()
            else:
                known.update(self._objects(read_json(path)))
        for path in self.outbox.glob(f"*/{BATCH}"):
            known.update(self._objects(read_json(path)))
        known.update(path.stem for path in self._scoring.glob("*/*.dcm"))
        return known

    def _objects(self, note: Any) -> list[str]:
        if not isinstance(note, dict) or note.get("bundle") != self.bundle:
            return []
        return [str(name) for name in note.get("objects", ())]


def _secret(path: Path) -> bytes:
    with suppress(FileExistsError):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as stream:
            stream.write(secrets.token_bytes(32))
            stream.flush()
            os.fsync(handle)
    return path.read_bytes() or secrets.token_bytes(32)
