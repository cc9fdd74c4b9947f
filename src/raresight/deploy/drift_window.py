"""The last images that a service saw, as numbers: a ring in memory, and a file to go on from later."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass
class Window:
    """The last images.

    Attributes
    ----------
    scores, chances : (size,) float64 arrays
        Probabilities are NaN where there is none.
    measures : (size, width) float32 array
        What is kept of features, NaN where an image has none; of width 0 where nothing is.
    count : int
        Images that were ever put in.
    """

    scores: Array
    chances: Array
    measures: Array
    count: int = 0

    @classmethod
    def empty(cls, size: int, width: int) -> Window:
        """Make a ring of a size."""
        return cls(np.full(size, np.nan), np.full(size, np.nan), np.full((size, width), np.nan, np.float32))

    def put(self, score: float, chance: float, measured: Array | None) -> None:
        """Put an image in, in place of the oldest one."""
        at = self.count % len(self.scores)
        self.scores[at], self.chances[at] = score, chance
        self.measures[at] = np.nan if measured is None else measured
        self.count += 1

    def filled(self) -> Window:
        """Copy what was put in."""
        m = min(self.count, len(self.scores))
        return Window(self.scores[:m].copy(), self.chances[:m].copy(), self.measures[:m].copy(), self.count)

    def save(self, path: Path, owner: str) -> None:
        """Write a file, whole or not at all; `owner` names the bundle that the scores come from."""
        scratch = path.with_name(path.name + ".part")
        with scratch.open("wb") as stream:
            np.savez(
                stream,
                scores=self.scores,
                chances=self.chances,
                measures=self.measures,
                count=np.array(self.count),
                owner=np.array(owner),
            )
        scratch.replace(path)

    def restore(self, path: Path, owner: str) -> bool:
        """Go on from what `save` wrote, if it was of the same bundle and size; tell whether it was."""
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as kept:
                found = {name: kept[name] for name in ("scores", "chances", "measures", "count", "owner")}
            fits = str(found["owner"]) == owner and all(
                found[name].shape == getattr(self, name).shape for name in ("scores", "chances", "measures")
            )
            count = int(found["count"])
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
            return False
        if not fits or count < 0 or not np.isfinite(found["scores"][: min(count, len(self.scores))]).all():
            return False
        self.scores[:], self.chances[:], self.measures[:] = (
            found[name] for name in ("scores", "chances", "measures")
        )
        self.count = count
        return True
