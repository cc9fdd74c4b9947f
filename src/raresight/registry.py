"""Plain tables of names, so that one new file and one new line make a new sampler, detector or format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from raresight.errors import OptionError


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a registry.

    Attributes
    ----------
    target : str
        Where it is, ``"package.module:Name"``; imported only when asked for.
    summary : str
        What it is, in a few words.
    source : str
        The paper, standard or library it comes from.
    """

    target: str
    summary: str
    source: str = ""

    def load(self) -> Any:
        """Import what the entry names."""
        module, _, name = self.target.partition(":")
        return getattr(import_module(module), name)


@cache
def _registered(group: str) -> tuple[EntryPoint, ...]:
    """Look entry points up once: every look reads a file of each package that is installed."""
    return tuple(entry_points(group=group))


class Registry(Mapping[str, Entry]):
    """A room's table of names, and what other packages add to it through entry points.

    Parameters
    ----------
    kind : str
        What the names are, singular: ``"sampler"``; other packages register under
        ``raresight.<kind>s``, an entry point's object being an `Entry` or the class itself.
    entries : mapping of str to Entry
        The room's own lines.
    """

    def __init__(self, kind: str, entries: Mapping[str, Entry]) -> None:
        self.kind = kind
        self._own = dict(entries)

    def __getitem__(self, name: str) -> Entry:
        table = self._table()
        if name not in table:
            near = get_close_matches(name, table, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(table)}"
            raise OptionError(f"unknown {self.kind} {name!r}; {hint}")
        return table[name]

    def __iter__(self) -> Any:
        return iter(self._table())

    def __len__(self) -> int:
        return len(self._table())

    def __contains__(self, name: object) -> bool:
        return name in self._table()

    def _table(self) -> dict[str, Entry]:
        found = dict(self._own)
        for point in _registered(f"raresight.{self.kind}s"):
            found.setdefault(point.name, Entry(point.value, f"from {point.module.split('.')[0]}"))
        return found

    def rows(self) -> list[dict[str, str]]:
        """List the table for ``raresight list``."""
        return [{"name": k, "summary": e.summary, "source": e.source} for k, e in self._table().items()]
