"""How recipes are called in tables, pictures and sentences."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

MODELS = {
    "cnn": "CNN",
    "svm": "SVM",
    "rf": "Random forest",
    "logistic": "Logistic regression",
    "boosting": "Gradient boosting",
    "vote": "Voting",
    "transfer": "Fine-tuned network",
    "vit": "Vision transformer",
    "swin": "Swin transformer",
    "unet": "U-Net",
    "fusion": "Fusion",
    "knn": "Nearest neighbours",
    "mahalanobis": "Mahalanobis distance",
    "padim": "PaDiM",
    "patchcore": "PatchCore",
    "ocsvm": "One-class SVM",
    "iforest": "Isolation forest",
    "ecod": "ECOD",
    "deep-sad": "Deep SAD",
    "ae": "Autoencoder",
    "vae": "Variational autoencoder",
    "dae": "Denoising autoencoder",
    "ceae": "Context-encoding autoencoder",
    "cevae": "ceVAE",
    "perceptual-ae": "Perceptual autoencoder",
    "mae": "Masked autoencoder",
    "swin-mae": "Swin masked autoencoder",
    "f-anogan": "f-AnoGAN",
    "anogan": "AnoGAN",
}
"""Titles of models whose name is not what a table's reader would expect; others are called by name."""

BALANCES = {"none": "original", "smote": "SMOTE", "random-over": "random over-sampling"}
"""The paper calls the set without resampling its original."""


def base_name(spec: str) -> str:
    """Leave the options in brackets out: ``smote[k_neighbors=3]`` → ``smote``."""
    return spec.partition("[")[0]


def balance_title(balance: str) -> str:
    """Title of a balance, options kept: ``SMOTE[k_neighbors=3]``."""
    name = base_name(balance)
    return BALANCES.get(name, name) + balance[len(name) :]


def model_title(model: str) -> str:
    """Title of a model, options kept."""
    name = base_name(model)
    return MODELS.get(name, name) + model[len(name) :]


def data_title(name: str) -> str:
    """Call an image set as its folder or file is called; a phantom keeps its whole name."""
    if name.startswith("phantom:"):
        return name
    return name.replace("\\", "/").rstrip("/").rpartition("/")[2] or name


def split_id(recipe: str) -> dict[str, str]:
    """Read ``model@representation+balance``; what is not in the id is empty."""
    # Options stand in brackets and may hold either sign: vote[members=svm+rf]@embedding+smote.
    front, *balance = re.split(r"\+(?![^\[\]]*\])", recipe, maxsplit=1)
    model, *representation = re.split(r"@(?![^\[\]]*\])", front, maxsplit=1)
    return {
        "id": recipe,
        "model": model,
        "representation": "".join(representation),
        "balance": "".join(balance),
    }


def titles(recipes: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Title each recipe as the paper's table does, "SVM (SMOTE)"; with what it sees where that is needed.

    Parameters
    ----------
    recipes : iterable of mappings
        Each with ``id`` or ``recipe``, ``model``, ``representation`` and ``balance``.

    Returns
    -------
    dict of str to str
        Recipe id → title, all different.
    """
    rows = [dict(r) for r in recipes]
    plain = [f"{model_title(r['model'])} ({balance_title(r['balance'])})" for r in rows]
    found = {}
    for row, title in zip(rows, plain, strict=True):
        recipe = row.get("id") or row["recipe"]
        if plain.count(title) > 1:
            title = (
                f"{model_title(row['model'])} on {row['representation']} ({balance_title(row['balance'])})"
            )
        found[recipe] = title
    return found
