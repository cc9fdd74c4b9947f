"""The seam between long work and whoever watches it: a step's name, its length, and a tick for each piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

Tick = Callable[[int], None]
Progress = Callable[[str, int], AbstractContextManager[Tick]]
"""``with progress("decoding images", 253) as tick: … tick(1)``"""


Say = Callable[[str], None]
"""Takes a sentence for the user that is not the result."""


def unsaid(sentence: str) -> None:
    """Say nothing."""


@contextmanager
def silent(step: str, total: int) -> Iterator[Tick]:
    """Show nothing."""
    yield lambda count: None
