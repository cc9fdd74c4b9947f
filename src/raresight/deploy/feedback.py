"""What was said of images and what they turned out to be, kept for a later evaluation: one SQLite file.

It holds scores, decisions and labels under opaque ids: no file name, no patient, no pixel.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from raresight.errors import InputError, RunError

LABELS = ("normal", "anomalous", "unsure")

SCHEMA = 1
"""SQLite's ``user_version`` of the file."""

MOST = 1_000_000
"""Predictions that are kept; the oldest without a label give way."""

SPARE = 1000
"""Predictions that are let go at once."""

_TABLES = """
CREATE TABLE IF NOT EXISTS predictions (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    bundle TEXT NOT NULL,
    at REAL NOT NULL,
    score REAL NOT NULL,
    probability REAL,
    decision TEXT NOT NULL,
    threshold REAL NOT NULL,
    label TEXT,
    labelled_at REAL
);
CREATE INDEX IF NOT EXISTS unlabelled ON predictions (number) WHERE label IS NULL;
"""


class UnknownImageError(InputError, KeyError):
    """No prediction is kept under this id."""

    def __str__(self) -> str:
        """Give the sentence; a KeyError would give its repr."""
        return str(self.args[0])


class FeedbackFullError(RunError):
    """The disk, or the file's limit, leaves no room for more."""


class FeedbackStore:
    """Predictions and the labels that come later; several threads may use it.

    Each call is a transaction of its own: what it returned from outlives the death of the process. (Of the
    machine too, but for the last moments: SQLite's write-ahead log is not forced to the disk each time.)

    Parameters
    ----------
    path : Path
        Made if it is not there.

    Raises
    ------
    RunError
        If it cannot be opened, or is no file of this kind.
    """

    def __init__(self, path: Path | str, *, most: int = MOST) -> None:
        self.path, self.most = Path(path), most
        self._lock = Lock()
        try:
            self._base = sqlite3.connect(self.path, check_same_thread=False, isolation_level=None, timeout=5)
            version = self._base.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, SCHEMA):
                raise RunError(
                    f"{self.path} is feedback of another raresight; name another folder with --state"
                )
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = NORMAL")
            self._base.executescript(_TABLES)
            self._base.execute(f"PRAGMA user_version = {SCHEMA}")
            self._count = int(self._base.execute("SELECT count(*) FROM predictions").fetchone()[0])
        except sqlite3.Error as error:
            raise RunError(
                f"{self.path} cannot be used for feedback ({error}); name another folder with --state"
            ) from error

    def remember(
        self,
        id: str,
        *,
        bundle: str,
        score: float,
        probability: float | None,
        decision: str,
        threshold: float,
    ) -> None:
        """Keep a prediction.

        Parameters
        ----------
        id : str
            Opaque; kept before, it is left as it is.
        bundle : str
            The hash of the bundle that made it.
        score, probability, decision, threshold
            Of the prediction.

        Raises
        ------
        FeedbackFullError
            If the disk is full.
        RunError
            If it cannot be written for another reason.
        """
        row = (id, bundle, time.time(), score, probability, decision, threshold)
        with self._writing():
            if self._count >= self.most:
                self._make_room()
            added = self._base.execute(
                "INSERT OR IGNORE INTO predictions (id, bundle, at, score, probability, decision, threshold) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                row,
            )
            self._count += added.rowcount

    def label(self, id: str, label: str) -> None:
        """Keep what an image turned out to be; a later label takes the place of an earlier one.

        Raises
        ------
        UnknownImageError
            If no prediction is kept under this id.
        InputError
            If the label is none of `LABELS`.
        FeedbackFullError, RunError
            If it cannot be written.
        """
        if label not in LABELS:
            raise InputError(f"{label!r} is no label; use one of: {', '.join(LABELS)}")
        with self._writing():
            changed = self._base.execute(
                "UPDATE predictions SET label = ?, labelled_at = ? WHERE id = ?", (label, time.time(), id)
            )
        if not changed.rowcount:
            raise UnknownImageError(
                "no prediction is kept under this id; use the id that came with the score"
            )

    def summary(self) -> dict[str, int]:
        """Count: ``predictions``, ``labelled``, and by label."""
        with self._lock:
            rows = self._base.execute("SELECT label, count(*) FROM predictions GROUP BY label").fetchall()
        found = {str(label): int(count) for label, count in rows if label is not None}
        return {
            "predictions": sum(int(count) for _, count in rows),
            "labelled": sum(found.values()),
            **{label: found.get(label, 0) for label in LABELS},
        }

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._base.close()

    def _make_room(self) -> None:
        """Let the oldest predictions go that nobody labelled."""
        gone = self._base.execute(
            "DELETE FROM predictions WHERE number IN "
            "(SELECT number FROM predictions WHERE label IS NULL ORDER BY number LIMIT ?)",
            (max(1, min(SPARE, self.most // 10)),),
        )
        self._count -= gone.rowcount
        if not gone.rowcount:
            raise FeedbackFullError(
                f"the feedback file holds {self.most:,} labelled predictions, which is its limit; "
                "evaluate it and begin another"
            )

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except sqlite3.Error as error:
                full = "full" in str(error) or "disk I/O" in str(error)
                kind = FeedbackFullError if full else RunError
                raise kind(f"feedback cannot be kept ({error}); make room on its disk") from error


def read_rows(path: Path | str) -> list[dict[str, Any]]:
    """Read every labelled prediction of a file, also while a service writes it: a dict a row.

    Raises
    ------
    RunError
        If it is no feedback file.
    """
    path = Path(path)
    if not path.is_file():
        raise RunError(f"there is no feedback file {path}; a service keeps one in the folder of its --state")
    columns = ("id", "bundle", "at", "score", "probability", "decision", "threshold", "label", "labelled_at")
    try:
        base = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)
        try:
            query = f"SELECT {', '.join(columns)} FROM predictions WHERE label IS NOT NULL ORDER BY number"
            rows = base.execute(query).fetchall()
        finally:
            base.close()
    except sqlite3.Error as error:
        raise RunError(f"{path} cannot be read as feedback ({error})") from error
    return [dict(zip(columns, row, strict=True)) for row in rows]
