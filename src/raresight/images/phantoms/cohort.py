"""Who is in a phantom set: patients, their images, which of these are anomalous and with what lesion.

Nothing but the ``lesion_*`` columns, which are the ground truth, and ``marker`` depends on the label.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .lesions import Lesion, sizes
from .spec import KINDS, MOST_EYES, PhantomSpec

LESION_KINDS = {
    "brain": ("enhancing-mass", "ring-enhancing", "oedema"),
    "fundus": ("hard-exudates", "haemorrhage", "cotton-wool"),
}
SITES = ("north", "south", "west")
SLICES_OF_A_BRAIN = 4
MARKER_SHIFT = 1.2
"""Mean of the marker in anomalous cases, in standard deviations."""
EYES = ("right", "left")


@dataclass(frozen=True, slots=True)
class Patient:
    """What a patient's images share.

    Attributes
    ----------
    number : int
    age : int
        Years, 20 to 89. Widens a brain's ventricles and sulci, nothing else.
    site : int
        Position in `SITES`: the scanner or camera, which sets noise, contrast and framing.
    slices : int
        How many images there are of this patient.
    """

    number: int
    age: int
    site: int
    slices: int


@dataclass(frozen=True, slots=True)
class Cohort:
    """A phantom set before any pixel is drawn.

    Attributes
    ----------
    table : pandas.DataFrame
        One row an image, as `load_phantom` returns it.
    rows : list of (Patient, int, Lesion or None)
        For each row of `table` its patient, which of the patient's images it is, and its lesion.
    present : (n, modalities) bool array
        Which of its images a case has.
    """

    table: pd.DataFrame
    rows: list[tuple[Patient, int, Lesion | None]]
    present: NDArray[np.bool_]


def make_cohort(spec: PhantomSpec) -> Cohort:
    """Draw patients, labels and lesions."""
    people, labels = np.random.default_rng((spec.seed, KINDS.index(spec.kind))).spawn(2)
    patients, sexes = _draw_patients(spec, people)
    lesions = _draw_lesions(spec, [p.slices for p in patients], labels)
    rows = [(p, s, lesions.get((p.number, s))) for p in patients for s in range(p.slices)]
    table = pd.DataFrame(
        {
            "file": [f"{spec.kind}-{p.number:05d}-{_part(spec, p, s)}" for p, s, _ in rows],
            "label": ["anomalous" if lesion else "normal" for _, _, lesion in rows],
            "group": [f"patient-{p.number:05d}" for p, _, _ in rows],
            "age": [p.age for p, _, _ in rows],
            "sex": [sexes[p.number] for p, _, _ in rows],
            "site": [SITES[p.site] for p, _, _ in rows],
            "lesion_kind": [lesion.kind if lesion else None for _, _, lesion in rows],
            "lesion_diameter": [lesion.diameter if lesion else np.nan for _, _, lesion in rows],
            "lesion_contrast": [lesion.contrast if lesion else np.nan for _, _, lesion in rows],
            "lesion_place": [lesion.place if lesion else None for _, _, lesion in rows],
        }
    )
    if not spec.modalities:
        return Cohort(table, rows, np.ones((len(rows), 0), bool))
    present = _add_modalities(table, spec)
    return Cohort(table, rows, present)


def _add_modalities(table: pd.DataFrame, spec: PhantomSpec) -> NDArray[np.bool_]:
    """Add a case's file columns and its marker, and leave some out, whatever the label; tell which are there.

    The marker is normally distributed with deviation 1 about 0 in normal cases and `MARKER_SHIFT` in
    anomalous ones, whatever the kind and size of the lesion: by itself its AUROC is about .80.
    """
    # A stream of its own: the cohort is the same with and without modalities.
    rng = np.random.default_rng((spec.seed, KINDS.index(spec.kind), 0, 1))
    n, count = len(table), len(spec.modalities)
    marker = rng.normal(size=n) + MARKER_SHIFT * (table["label"] == "anomalous").to_numpy()
    present = rng.random((n, count)) >= spec.missing
    empty = ~present.any(axis=1)
    present[empty, rng.integers(count, size=n)[empty]] = True
    for place, name in enumerate(spec.modalities):
        table[f"file_{name}"] = (table["file"] + f"-{name}").where(present[:, place], None)
    table["marker"] = np.where(rng.random(n) >= spec.missing, marker.round(3), np.nan)
    return present


def eye(patient: Patient, part: int) -> str:
    """Which eye an image shows; of patients with one image it is either."""
    return EYES[(patient.number // 2 + part) % 2 if patient.slices == 1 else part]


def _part(spec: PhantomSpec, patient: Patient, part: int) -> str:
    return f"s{part}" if spec.kind == "brain" else eye(patient, part)


def _draw_patients(spec: PhantomSpec, rng: np.random.Generator) -> tuple[list[Patient], list[str]]:
    patients: list[Patient] = []
    sexes: list[str] = []
    left = spec.n
    while left:
        usual = SLICES_OF_A_BRAIN if spec.kind == "brain" else int(rng.integers(1, MOST_EYES + 1))
        slices = min(spec.slices or usual, left)
        age = int(np.clip(rng.normal(55, 16), 20, 89))
        patients.append(Patient(len(patients), age, int(rng.integers(len(SITES))), slices))
        sexes.append("F" if rng.random() < 0.5 else "M")
        left -= slices
    return patients, sexes


def _draw_lesions(
    spec: PhantomSpec, slices: list[int], rng: np.random.Generator
) -> dict[tuple[int, int], Lesion]:
    """Give exactly ``round(n * anomalies)`` images a lesion, (patient, slice) by (patient, slice)."""
    (small, large), (faint, strong) = sizes(spec.difficulty)
    kinds = LESION_KINDS[spec.kind]
    used: Counter[tuple[str, str]] = Counter()
    lesions: dict[tuple[int, int], Lesion] = {}
    for turn, (patient, run) in enumerate(_runs(slices, round(spec.n * spec.anomalies), rng)):
        kind = kinds[turn % len(kinds)]
        # Interior only while borders lead: at least half of every kind then lies near a border.
        room = used[kind, "interior"] + len(run) <= used[kind, "border"]
        place = "interior" if room else "border"
        used[kind, place] += len(run)
        contrast = float(rng.uniform(faint, strong))
        for part in run:
            diameter = float(rng.uniform(small, large))
            lesions[patient, part] = Lesion(kind, diameter, contrast, place)
    return lesions


def _runs(slices: list[int], wanted: int, rng: np.random.Generator) -> list[tuple[int, NDArray[np.int64]]]:
    """Choose (patient, neighbouring slices) until `wanted` images are chosen.

    A lesion of L slices may begin before the first slice shown or end behind the last, so that each
    slice is as likely as any other to show it: otherwise the head's size, which goes with the slice,
    would tell the label.
    """
    order = rng.permutation(len(slices))
    runs: list[tuple[int, NDArray[np.int64]]] = []
    rest: list[tuple[int, NDArray[np.int64]]] = []
    for patient in order.tolist():
        every = np.arange(slices[patient])
        extent = int(rng.integers(1, len(every) + 1))
        start = int(rng.integers(1 - extent, len(every)))
        shown = (every >= start) & (every < start + extent)
        runs.append((patient, every[shown]))
        # Only sets with about half of their images anomalous or more ever need these.
        rest.append((patient, every[~shown]))
    chosen = []
    for patient, run in runs + rest:
        run = rng.permutation(run)[:wanted]
        if len(run):
            chosen.append((patient, np.sort(run)))
            wanted -= len(run)
    return chosen
