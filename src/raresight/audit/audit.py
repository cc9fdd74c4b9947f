"""The audit: what is in an image set, and what in it could fool a model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raresight.audit import PROBES
from raresight.audit.facts import FileFacts, check_columns
from raresight.audit.labels import find_label_errors
from raresight.audit.model import RESAMPLES, Judge
from raresight.audit.probes import VERSION as PROBES_VERSION
from raresight.audit.probes import pixel_features
from raresight.audit.sentences import sentences
from raresight.images.cache import cache_folder, content_hash, disk_errors, new_file
from raresight.images.grouping import group_images, twins_as_they_are
from raresight.images.manifest import Manifest
from raresight.images.preprocess import Preprocess
from raresight.images.splits import mixed_groups, stratified_group_folds
from raresight.images.store import ImageStore, build_store
from raresight.images.twins import Twins, split_patients, split_twins
from raresight.progress import Progress, silent
from raresight.represent.embedding import Embedding

VERSION = 1
"""Raise it with every change of what an audit finds."""

FOLDS = 5
"""Folds of the probes and the real model; a class with fewer groups is not judged."""

RECIPE = "svm@embedding"

REMEDY = "set RARESIGHT_CACHE to another folder"


@dataclass(frozen=True)
class Audit:
    """What was found in an image set.

    Attributes
    ----------
    found : dict
        Design 4.6's document, as `as_dict` gives it.
    store : ImageStore
        The pixels, for the pictures of a page.
    groups : (n,) str array
        Images that must not be split: patient ∪ near-duplicate cluster.
    """

    found: dict[str, Any]
    store: ImageStore = field(repr=False)
    groups: NDArray[np.str_] = field(repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Give the audit as one JSON document.

        Returns
        -------
        dict
            ``images``, ``rejected``, ``classes``, ``imbalance``, ``duplicates``, ``split_twins``,
            ``patients_across_splits``, ``groups``, ``label_errors``, ``shortcuts`` (strongest first),
            ``model``, ``notes`` and ``sentences``. Nothing in it names a patient.
        """
        return self.found

    @property
    def sentences(self) -> list[str]:
        """What was found, one sentence a finding, the worst shortcut first."""
        found: list[str] = self.found["sentences"]
        return found


def audit_images(
    images: Manifest,
    *,
    probe: Sequence[str] = (),
    probes: bool = True,
    groups: str = "auto",
    seed: int = 0,
    size: int = 224,
    resize: str = "letterbox",
    preprocess: str | None = None,
    progress: Progress = silent,
) -> Audit:
    """Find what in an image set could fool a model.

    Duplicates and their contradictions, twins and patients across a published split, labels that are
    probably wrong, and shortcuts: how well each class is told by something that holds no pathology.

    Parameters
    ----------
    images : Manifest
        Without a normal class (``task="multiclass"``) each class is judged against the rest.
    probe : sequence of str
        Columns of the manifest that the ``files`` probe sees too.
    probes : bool, default True
        False leaves out shortcuts and label errors, which train models; what is left is quick.
    groups : str
        ``"auto"``, ``"off"`` or a column; see `Manifest.groups`. Near duplicates are joined to them.
    seed : int
        Of folds, resamples and models.
    size, resize, preprocess
        See `Preprocess`.
    progress : callable, optional
        See `raresight.progress`.

    Returns
    -------
    Audit

    Raises
    ------
    DataError
        If no image, or none of a class, can be read.
    OptionError
        If `probe` or `groups` names a column that is not there.
    """
    check_columns(images, probe)
    images.groups(groups)
    store = build_store(images, Preprocess(size, resize, preprocess), progress)  # type: ignore[arg-type]
    manifest = store.manifest
    grouping = group_images(images, store, groups, progress)
    names, twins = grouping.names, grouping.twins
    if twins is None:  # groups are off, and duplicates reported all the same
        twins = twins_as_they_are(images, store, progress)
    found = _set(manifest) | _twins(manifest, twins) | {"groups": _groups(manifest, names, twins, groups)}
    judged: dict[str, Any] = {"label_errors": [], "shortcuts": [], "model": {}, "notes": []}
    if probes:
        judged = _kept(store, names, tuple(probe), seed, progress)
    found |= judged
    return Audit(found | {"sentences": sentences(found)}, store, names)


def _set(manifest: Manifest) -> dict[str, Any]:
    counts = manifest.table["label"].value_counts()
    classes = {label: int(counts[label]) for label in manifest.classes}
    many, few = max(classes.values()), min(classes.values())
    imbalance: dict[str, Any] = {"largest_to_smallest": round(many / few, 3)}
    if manifest.normal:
        normal = sum(classes[label] for label in manifest.normal)
        imbalance["normal_to_anomalous"] = round(normal / (len(manifest) - normal), 3)
    return {
        "images": len(manifest),
        "rejected": [{"file": r.file, "reason": r.reason} for r in manifest.rejected],
        "classes": classes,
        "normal": list(manifest.normal),
        "imbalance": imbalance,
    }


def _twins(manifest: Manifest, twins: Twins) -> dict[str, Any]:
    files, labels = manifest.files, manifest.labels
    split = manifest.table.get("split")
    groups = []
    for group in twins.groups():
        own = [str(labels[row]) for row in group.rows]
        groups.append(
            {
                "files": [files[row] for row in group.rows],
                "kind": group.kind,
                "labels": own,
                "contradictory": len(set(own)) > 1,
                "splits": [] if split is None else [_text(split[row]) for row in group.rows],
            }
        )
    across = [] if split is None else split_twins(twins, split.to_numpy())
    patients = 0
    if split is not None and "group" in manifest.table:
        patients = len(split_patients(manifest.table["group"].to_numpy(), split.to_numpy()))
    return {
        "duplicates": {"groups": groups},
        "split_twins": [{"test": files[test], "train": files[train]} for test, train in across],
        "patients_across_splits": patients,
    }


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _groups(manifest: Manifest, names: NDArray[np.str_], twins: Twins, choice: str) -> dict[str, Any]:
    _, sizes = np.unique(names, return_counts=True)
    files = manifest.files
    return {
        "choice": choice,
        "patients": int(manifest.table["group"].nunique()) if "group" in manifest.table else None,
        "count": len(sizes),
        "largest": int(sizes.max()),
        "mixed": mixed_groups(manifest.labels, names),
        "unmerged": [[files[row] for row in rows] for rows in twins.unmerged],
    }


# --- what is learned -----------------------------------------------------------------------------


def _kept(
    store: ImageStore, names: NDArray[np.str_], probe: tuple[str, ...], seed: int, progress: Progress
) -> dict[str, Any]:
    """Judge the set, or find what an earlier call found."""
    manifest = store.manifest
    settings = (VERSION, PROBES_VERSION, RESAMPLES, FOLDS, seed, manifest.normal, manifest.task)
    columns = manifest.table[list(probe)].astype(str).to_dict("list")
    known = (store.key, manifest.files, manifest.labels.tolist(), names.tolist(), columns)
    path = cache_folder() / "audits" / f"{content_hash('audit', settings, known, list(PROBES))}.json"
    if not path.exists():
        found = _judge(store, names, probe, seed, progress)
        with disk_errors(path.parent, REMEDY), new_file(path) as scratch:
            scratch.write_text(json.dumps(found))
    kept: dict[str, Any] = json.loads(path.read_text())
    return kept


def _judge(
    store: ImageStore, names: NDArray[np.str_], probe: tuple[str, ...], seed: int, progress: Progress
) -> dict[str, Any]:
    manifest = store.manifest
    y, kinds = _classes(manifest)
    rows, y, kinds, notes = _judgeable(y, kinds, names)
    if len(kinds) < 2:
        return {"label_errors": [], "shortcuts": [], "model": {}, "notes": notes}
    judge = Judge(y, names[rows], stratified_group_folds(y, names[rows], FOLDS, seed), seed)
    asked = range(len(kinds)) if len(kinds) > 2 else (1,)
    features = _features(store, probe, progress)
    shortcuts = []
    with progress("judging shortcuts", len(features)) as tick:
        for name, X in features.items():
            chance = judge.boosted(X[rows])
            shortcuts += _rows(judge, name, chance, chance.argmax(axis=1), kinds, asked)
            tick(1)
    score, chance = judge.real(Embedding().whole(store, progress)[rows], progress)
    called = chance.argmax(axis=1) if len(kinds) > 2 else (score[:, 1] >= 0).astype(np.int64)
    model = _rows(judge, RECIPE, score, called, kinds, asked)
    errors = find_label_errors(y, chance, kinds)
    files = [manifest.files[row] for row in rows]
    return {
        "label_errors": [
            {"file": files[e.row], "label": str(manifest.labels[rows[e.row]]), **e.as_dict()} for e in errors
        ],
        "shortcuts": sorted(shortcuts, key=lambda found: -found["auroc"]["mean"]),
        "model": {"recipe": RECIPE, "folds": FOLDS, "classes": model} | (model[0] if len(model) == 1 else {}),
        "notes": notes,
    }


def _classes(manifest: Manifest) -> tuple[NDArray[np.int64], list[str]]:
    """Give what is told apart: normal and anomalous where the set says which is which, else every class."""
    if manifest.task == "multiclass":
        return manifest.y, manifest.classes
    ill = [label for label in manifest.classes if label not in manifest.normal]
    return manifest.y, ["/".join(manifest.normal), ill[0] if len(ill) == 1 else "anomalous"]


def _judgeable(
    y: NDArray[np.int64], kinds: list[str], names: NDArray[np.str_]
) -> tuple[NDArray[np.int64], NDArray[np.int64], list[str], list[str]]:
    """Leave out classes with too few groups: rows, their classes, the classes' names, and what to say."""
    groups = [len(np.unique(names[y == kind])) for kind in range(len(kinds))]
    enough = [kind for kind, count in enumerate(groups) if count >= FOLDS]
    notes = [
        f"class {kinds[kind]!r} has {count} group{'s' * (count != 1)} (patients) and is left out of "
        f"shortcuts and label errors, which need {FOLDS} groups of a class"
        for kind, count in enumerate(groups)
        if count < FOLDS
    ]
    if len(enough) < 2:
        notes.append(f"no shortcut was sought: fewer than two classes have {FOLDS} groups (patients)")
    rows = np.flatnonzero(np.isin(y, enough))
    return rows, np.searchsorted(enough, y[rows]), [kinds[kind] for kind in enough], notes


def _features(
    store: ImageStore, probe: tuple[str, ...], progress: Progress
) -> dict[str, NDArray[np.float32]]:
    """Give each probe's features; without files or columns there is nothing for ``files`` to see."""
    facts = FileFacts(probe).features(store.manifest, progress)
    seen = {"files": facts} if facts.shape[1] else {}
    return seen | pixel_features(store, progress)


def _rows(
    judge: Judge,
    name: str,
    score: NDArray[np.float64],
    called: NDArray[np.int64],
    kinds: list[str],
    asked: Sequence[int],
) -> list[dict[str, Any]]:
    return [{"probe": name, "class": kinds[kind], **judge.cells(score, called, kind)} for kind in asked]
