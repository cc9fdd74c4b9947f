"""The page of an audit: what was found, with pictures of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from raresight import __version__
from raresight.audit import PROBES
from raresight.audit.audit import FOLDS, Audit
from raresight.audit.sentences import is_shortcut
from raresight.errors import OptionError
from raresight.report.gallery import picture_uri
from raresight.report.page import page, write_whole

GROUPS, EACH, LABELS = 12, 4, 24
"""Groups of a kind that are shown, images of each, and labels."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One picture of the page."""

    file: str
    picture: str
    words: str


def check_page(path: Path) -> None:
    """Refuse a page that cannot be written, before any work is done.

    Raises
    ------
    OptionError
        If the ending is not a page's, or the path is a folder.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise OptionError(f"--out {path} is no page; choose a name that ends in .html")
    if path.is_dir():
        raise OptionError(f"--out {path} is a folder; choose another file")


def write_audit(audit: Audit, path: str | Path) -> Path:
    """Write the page of an audit: one self-contained file, without any patient's name.

    Parameters
    ----------
    audit : Audit
        From `raresight.audit_images`.
    path : path
        Ends in ``.html``.

    Returns
    -------
    Path

    Raises
    ------
    OptionError, RunError
        If the file is no page or cannot be written.
    """
    target = Path(path)
    check_page(target)
    content = audit.as_dict()
    pictures = _Pictures(audit)
    duplicates = content["duplicates"]["groups"]
    against = [group for group in duplicates if group["contradictory"]]
    agreeing = [group for group in duplicates if not group["contradictory"]]
    shown = dict(
        content,
        name=Path(audit.store.manifest.name).name,
        version=__version__,
        folds=FOLDS,
        lead=audit.sentences[0],
        others=audit.sentences[1:],
        bars=_bars(content),
        summaries={name: entry.summary for name, entry in PROBES.items()},
        against=[pictures.group(group) for group in against[:GROUPS]],
        against_in_all=len(against),
        agreeing=[pictures.group(group) for group in _rarest_first(agreeing)[:GROUPS]],
        agreeing_in_all=len(agreeing),
        across=[pictures.pair(pair) for pair in content["split_twins"][:GROUPS]],
        wrong=[pictures.label(error) for error in content["label_errors"][:LABELS]],
    )
    write_whole(target, page("html", "audit.html.j2", shown))
    return target


class _Pictures:
    """Small pictures of images, by file name."""

    def __init__(self, audit: Audit) -> None:
        self.store = audit.store
        files = audit.store.manifest.files
        self.row = {file: row for row, file in enumerate(files)}
        self.labels = audit.store.manifest.labels

    def of(self, file: str, words: str | None = None) -> Shown:
        pixels = self.store.pixels[self.row[file]]
        if pixels.dtype == np.uint16:
            pixels = pixels // 257
        pixels = pixels[..., 0] if pixels.shape[2] == 1 else pixels
        return Shown(
            file, picture_uri(np.asarray(pixels, np.uint8)), words or str(self.labels[self.row[file]])
        )

    def group(self, group: dict[str, Any]) -> dict[str, Any]:
        """Show one image of each label first: a contradiction must be seen."""
        order = sorted(
            range(len(group["files"])), key=lambda i: group["labels"][:i].count(group["labels"][i])
        )
        parts = group["splits"] or [None] * len(order)
        shown = [
            self.of(group["files"][i], ", ".join(filter(None, (group["labels"][i], parts[i]))))
            for i in order[:EACH]
        ]
        return {"kind": group["kind"], "images": shown, "more": max(0, len(order) - EACH)}

    def pair(self, pair: dict[str, str]) -> dict[str, Any]:
        shown = [self.of(pair[part], f"{part}, {self.labels[self.row[pair[part]]]}") for part in pair]
        return {"kind": "", "images": shown, "more": 0}

    def label(self, error: dict[str, Any]) -> Shown:
        return self.of(error["file"], f"{error['label']}, rather {error['suggested']}")


def _rarest_first(groups: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Near duplicates before exact ones, of which nothing is to be seen."""
    return sorted(groups, key=lambda group: group["kind"] == "exact")


def _bars(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Give the rows of the picture: the real model, then each probe with the class it tells best."""
    rows: Sequence[dict[str, Any]] = content["shortcuts"]
    strongest = {row["probe"]: row for row in reversed(rows)}
    told = [row for row in rows if row is strongest[row["probe"]]]
    if not told:
        return []
    classes = content["model"]["classes"]
    real = next((m for m in classes if m["class"] == told[0]["class"]), classes[0])
    return [_bar(real, "real"), *(_bar(row, "found" if is_shortcut(row) else "quiet") for row in told)]


def _bar(row: dict[str, Any], kind: str) -> dict[str, Any]:
    """Place a row's interval on an axis from .5 to 1, in per cent."""
    found = {key: value for key, value in row["auroc"].items() if value is not None}
    place = {key: round(min(100.0, max(0.0, 200 * (value - 0.5))), 2) for key, value in found.items()}
    mean = place.get("mean", 0.0)
    return {
        **row,
        "kind": kind,
        "at": {"mean": mean, "low": place.get("low", mean), "high": place.get("high", mean)},
    }
