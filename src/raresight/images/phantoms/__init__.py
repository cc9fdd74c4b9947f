"""Phantoms: procedural image sets with known lesions, ``phantom:brain`` and ``phantom:fundus``.

Every image is made on demand from the specification and its own row alone, so rows can be read in any
order and by any number of threads. Anatomy, framing and exposure never depend on the label; neither do
``age``, ``sex`` and ``site``.

``phantom:brain?modalities=t1,flair`` shows each case's head in several contrasts. Each kind of lesion shows
in some of them only, and a column ``marker`` tells the label in part, so that no image and no column tells
alone what they tell together. ``missing=0.1`` leaves out a tenth of the images and markers at random.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raresight.images.manifest import Image, ImageSource

from . import brain, fundus
from .cohort import LESION_KINDS, Cohort, Patient, make_cohort
from .fields import Field
from .lesions import Scene, paint_lesion
from .spec import KINDS, MODALITIES, PhantomSpec, parse_spec

__all__ = ["LESION_KINDS", "VERSION", "PhantomSource", "PhantomSpec", "load_phantom", "parse_spec"]

VERSION = 1
"""Raise it with every change that changes a pixel: it is part of each image's digest."""


class PhantomSource:
    """Makes a phantom's images; an `ImageSource` that also knows the lesions' masks.

    Of cases of several images it reads the first there is, or a modality's.

    Parameters
    ----------
    spec : PhantomSpec
    cohort : Cohort
        As `make_cohort` drew it from `spec`.
    """

    def __init__(self, spec: PhantomSpec, cohort: Cohort) -> None:
        self.spec = spec
        self.modalities = spec.modalities
        self._rows, self._present = cohort.rows, cohort.present

    def read(self, row: int) -> Image:
        """Make one image: uint8, (size, size) of a brain, (size, size, 3) of a fundus."""
        if self.modalities:
            return self._make(row, self.modalities[int(self._present[row].argmax())])
        return self._make(row)

    def read_modality(self, row: int, name: str) -> Image | None:
        """Make one of a case's images: uint8, (size, size); None if it has none of that name."""
        there = self._present[row, self.modalities.index(name)]
        return self._make(row, name) if there else None

    def _make(self, row: int, modality: str = "t1") -> Image:
        patient, _, _ = self._rows[row]
        image, _ = self._paint(row, modality)
        noise = self._streams(row)[2 + 2 * MODALITIES.index(modality)]
        if self.spec.kind == "brain":
            return brain.add_rician_noise(image, patient, noise)
        return fundus.add_sensor_noise(image, patient, noise)

    def mask(self, row: int) -> NDArray[np.bool_]:
        """Tell what the lesion covers: (size, size) bool, all False in a normal image."""
        _, _, lesion = self._rows[row]
        if lesion is None:
            return np.zeros((self.spec.size, self.spec.size), bool)
        return self._paint(row)[1]

    def digest(self, row: int) -> str:
        """Hash the specification, the row and the generator's version."""
        return hashlib.sha256(f"{self.spec.text} row {row} version {VERSION}".encode()).hexdigest()

    def scene(self, row: int) -> Scene:
        """Draw the healthy anatomy under one image, without lesion and noise."""
        return self._draw(row)[0]

    def painted(self, row: int) -> Field:
        """Draw one image with its lesion but without noise, float32, 0 to 1."""
        return self._paint(row)[0]

    def _paint(self, row: int, modality: str = "t1") -> tuple[Field, NDArray[np.bool_]]:
        scene, wish = self._draw(row, modality)
        lesion = self._rows[row][2]
        if lesion is None:
            return scene.clean, np.zeros(scene.tissue.shape, bool)
        shown = brain.seen_in(lesion, modality) if self.modalities else lesion
        image, mask = paint_lesion(scene, shown or lesion, wish, self._streams(row)[1])
        return (scene.clean if shown is None else image), mask

    def _draw(self, row: int, modality: str = "t1") -> tuple[Scene, tuple[float, float]]:
        patient, part, _ = self._rows[row]
        streams, size = self._streams(row), self.spec.size
        if self.spec.kind == "brain":
            head = brain.draw_head(patient, self._shared(patient))
            scan = None if modality == "t1" else streams[1 + 2 * MODALITIES.index(modality)]
            shown = brain.in_modality(head, modality)
            return brain.draw_brain(shown, patient, part, size, streams[0], scan), head.wish
        retina = fundus.draw_retina(patient, self._shared(patient))
        return fundus.draw_fundus(retina, patient, part, size, streams[0]), retina.wish

    # Numbers of patients and slices count from 1 in seeds: numpy takes (a, b) and (a, b, 0) for the same.
    def _shared(self, patient: Patient) -> np.random.Generator:
        return np.random.default_rng((self.spec.seed, KINDS.index(self.spec.kind), patient.number + 1))

    def _streams(self, row: int) -> list[np.random.Generator]:
        """Anatomy, lesion, noise: apart, so that a lesion changes nothing but its own pixels.

        Then scan and noise of each further modality.
        """
        patient, part, _ = self._rows[row]
        kind = KINDS.index(self.spec.kind)
        return np.random.default_rng((self.spec.seed, kind, patient.number + 1, part + 1)).spawn(
            1 + 2 * len(MODALITIES)
        )


def load_phantom(spec: str) -> tuple[pd.DataFrame, ImageSource]:
    """Make a phantom image set.

    Parameters
    ----------
    spec : str
        ``phantom:brain`` or ``phantom:fundus``, and after a ``?`` any of `PhantomSpec`'s parameters,
        joined by ``&``: ``phantom:fundus?n=600&anomalies=0.1&difficulty=0.5&seed=0&size=224``.

    Returns
    -------
    table : pandas.DataFrame
        One row an image: ``file``, ``label`` (``normal`` or ``anomalous``), ``group`` (the patient),
        ``age`` (years), ``sex``, ``site``, all but the label independent of it; and the ground truth,
        empty for normal images: ``lesion_kind``, ``lesion_diameter`` (fraction of the side),
        ``lesion_contrast`` (fraction of the local tissue's brightness) and ``lesion_place``
        (``border`` or ``interior``). With modalities also ``file_<modality>`` and ``marker``, empty where
        missing.
    source : PhantomSource
        Reads the rows, and has their lesions' masks.

    Raises
    ------
    OptionError
        If the kind or a parameter is unknown, not a number or out of its range.
    """
    parsed = parse_spec(spec)
    cohort = make_cohort(parsed)
    return cohort.table, PhantomSource(parsed, cohort)
