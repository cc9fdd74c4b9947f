"""A small phantom with masks, and recipes fitted on two thirds of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from raresight.experiment.recipe import FittedRecipe, make_recipes
from raresight.images.load import load
from raresight.images.store import ImageStore, build_store

RECIPES = {
    "logistic": ("logistic", None),
    "rf": ("rf[n_estimators=20]", None),
    "knn": ("knn", None),
    "svm-pixels": ("svm", "pixels[size=28]"),
    "cnn": ("cnn[pixels=56,width=8,members=1,epochs=8,learning_rate=0.01]", "pixels[size=56]"),
    "ae": ("ae[pixels=56,width=8,latent=16,epochs=2]", "pixels[size=56]"),
    "padim": ("padim[features=20]", "maps[grid=14,blocks=4]"),
    "transfer": ("transfer[stages=1,epochs=2]", "trunk[stages=1,views=2]"),
}
"""What is fitted → model and representation."""


@dataclass
class Lab:
    """A store, its training and test rows, and recipes fitted when they are asked for."""

    store: ImageStore
    train: np.ndarray
    test: np.ndarray
    made: dict[str, FittedRecipe]

    @property
    def ill(self) -> np.ndarray:
        return self.test[self.store.manifest.y[self.test] == 1]

    def fitted(self, name: str) -> FittedRecipe:
        if name not in self.made:
            model, space = RECIPES[name]
            (recipe,) = make_recipes([model], ["none"], space)
            held = self.train[::4] if recipe.network else None
            self.made[name] = recipe.fit(self.store, self.train, 0, validation=held)
        return self.made[name]


def make_lab() -> Lab:
    """Half of the images have a large lesion; every third one is a test image."""
    store = build_store(load("phantom:brain?n=48&anomalies=0.5&difficulty=0&seed=0"))
    rows = np.arange(len(store))
    return Lab(store, rows[rows % 3 > 0], rows[rows % 3 == 0], {})
