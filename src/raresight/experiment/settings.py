"""What a run writes down of itself: every resolved setting, what was found in the data, and its identity."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from raresight.experiment.external import External
from raresight.experiment.protocol import Protocol
from raresight.experiment.recipe import Recipe
from raresight.images.cache import content_hash
from raresight.images.grouping import Grouping
from raresight.images.manifest import Manifest
from raresight.images.splits import Split
from raresight.images.store import ImageStore

PACKAGES = ("numpy", "scipy", "scikit-learn", "torch", "monai", "onnxruntime", "pillow", "pandas", "pyarrow")


def run_settings(
    store: ImageStore,
    grouping: Grouping,
    recipes: Sequence[Recipe],
    protocol: Protocol,
    command: str | None,
    split: Split,
    external: External | None,
) -> dict[str, Any]:
    """Write down how a run is made, and the hash of all that decides its predictions.

    Parameters
    ----------
    store : ImageStore
    grouping : Grouping
    recipes : sequence of Recipe
    protocol : Protocol
    command : str or None
        What the user typed.
    split : Split
        The first one; of a published split, the one.
    external : External or None

    Returns
    -------
    dict
        What ``run.json`` holds.
    """
    manifest, data = store.manifest, data_settings(store.manifest, grouping)
    parts = [r.settings() for r in recipes]
    identity = [store.key, data["manifest_hash"], parts, protocol.settings(), recipes[0].device]
    if manifest.order:
        identity.append(manifest.classes)
    if protocol.split == "published":
        identity.append([split.train.tolist(), split.test.tolist()])
    found = external.settings() if external is not None else None
    if found is not None:
        identity.append(found["key"])
    return {
        "identity": content_hash(*identity),
        "command": command,
        "task": manifest.task,
        "data": data,
        "recipes": parts,
        "protocol": protocol.settings(),
        "published_split": _published(split) if protocol.split == "published" else None,
        "external": found,
        "device": recipes[0].device,
        "store": {
            "key": store.key,
            "folder": str(store.folder),
            "shape": list(store.pixels.shape),
            "dtype": str(store.pixels.dtype),
            **store.preprocess.settings(),
        },
        "versions": _versions(),
    }


def data_settings(manifest: Manifest, grouping: Grouping) -> dict[str, Any]:
    """Write down what was found in a set: ``data`` of ``run.json``."""
    counts = manifest.table["label"].value_counts()
    groups = grouping.names.tolist()
    return {
        "name": manifest.name,
        "images": len(manifest),
        "rejected": len(manifest.rejected),
        **grouping.facts(manifest),
        "classes": {label: int(counts[label]) for label in manifest.classes},
        "normal": list(manifest.normal),
        **_order(manifest),
        "manifest_hash": content_hash(manifest.files, manifest.labels.tolist(), groups, manifest.normal),
    }


def _order(manifest: Manifest) -> dict[str, Any]:
    """Say of a multi-class set whether its classes have an order, and which was taken."""
    if manifest.task == "binary":
        return {}
    return {"ordered": bool(manifest.order), "order": list(manifest.notes)}


def _published(split: Split) -> dict[str, int]:
    return {
        "train": len(split.train),
        "test": len(split.test),
        "train_dropped": split.dropped,
        "test_with_twin": split.twins,
    }


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("raresight", *PACKAGES):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
