"""How recipes are judged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from raresight.errors import DataError, OptionError
from raresight.evidence.calibration import CALIBRATIONS, UNCALIBRATED
from raresight.evidence.prevalence import check_prevalence
from raresight.evidence.thresholds import DEFAULT_RULES, parse_rules
from raresight.images.manifest import Task
from raresight.images.splits import (
    Rows,
    Split,
    check_groups,
    drop_anomalies,
    group_splits,
    keep_anomalies,
    published_split,
)

Splitting = Literal["folds", "published"]

TEMPERATURE = "temperature"
"""How the class shares of a multi-class task are calibrated; see `raresight.evidence.temperature`."""

GRADED_CALIBRATIONS = (TEMPERATURE, UNCALIBRATED)


@dataclass(frozen=True, slots=True)
class Protocol:
    """Repeats, folds, groups and seeds.

    Attributes
    ----------
    folds : int
        Outer folds; each image is tested once a repeat.
    repeats : int
    inner_folds : int
        Folds of the training rows that calibration, threshold rules and tuning learn from; 0: none learns.
    tune : int
        Settings tried for each recipe in each outer fold; 0 keeps the defaults.
    imbalance : float or None
        Normal images for each anomalous one in the training rows.
    anomalies : int or None
        Labelled anomalous images kept in the training rows, whole groups at a time; 0 leaves none, which only
        one-class detectors can do with.
    seed : int
    groups : str
        ``"auto"``, ``"off"`` or a column of the manifest.
    calibration : str
        Of `CALIBRATIONS`.
    thresholds : tuple of str
        Rules learned beside each detector's own threshold; see `raresight.evidence.thresholds`.
    prevalence : float or None
        Share of anomalies where the detector is to be deployed.
    split : {"folds", "published"}
        Cross-validation, or the one split that the manifest's column ``split`` names; repeats of that differ
        in their seeds alone.
    task : {"binary", "multiclass"}
        With several classes there is no anomaly to thin out and no score to cut: `imbalance`, `anomalies`,
        `prevalence` and `thresholds` do not apply, and `calibration` is one of `GRADED_CALIBRATIONS`.
    """

    folds: int = 5
    repeats: int = 1
    inner_folds: int = 3
    tune: int = 0
    imbalance: float | None = None
    anomalies: int | None = None
    seed: int = 0
    groups: str = "auto"
    calibration: str = "beta"
    thresholds: tuple[str, ...] = DEFAULT_RULES
    prevalence: float | None = None
    split: Splitting = "folds"
    task: Task = "binary"

    def __post_init__(self) -> None:
        for name, least in (("folds", 2), ("repeats", 1), ("inner_folds", 0), ("tune", 0), ("seed", 0)):
            if getattr(self, name) < least:
                option = name.replace("_", "-")
                raise OptionError(f"--{option} {getattr(self, name)} is too small; choose at least {least}")
        if self.split not in get_args(Splitting):
            raise OptionError(f"unknown --split {self.split}; there are: {', '.join(get_args(Splitting))}")
        if self.imbalance is not None and self.imbalance < 1:
            raise OptionError(
                f"--imbalance {self.imbalance:g} is below 1; write 20 for 20 normal to 1 anomalous"
            )
        if self.anomalies is not None and self.anomalies < 0:
            raise OptionError(f"--anomalies {self.anomalies} is below 0; write how many to keep")
        if self.anomalies is not None and self.imbalance is not None:
            raise OptionError("--anomalies and --imbalance both drop anomalies; choose one")
        if self.task == "multiclass":
            self._check_graded()
        else:
            CALIBRATIONS[self.calibration]
        object.__setattr__(self, "thresholds", parse_rules(self.thresholds))
        self._check_inner()
        if self.prevalence is not None:
            check_prevalence(self.prevalence, "--prevalence")

    def _check_inner(self) -> None:
        """Refuse too few inner folds for what is to be learned from them."""
        if self.inner_folds == 1:
            raise OptionError(
                "--inner-folds 1 is too small; choose at least 2, or 0 to learn nothing from them"
            )
        if self.inner_folds == 0 and (self.thresholds or self.calibration != UNCALIBRATED):
            raise OptionError(
                "--inner-folds 0 leaves thresholds and calibration nothing to learn from; leave --thresholds "
                "and --calibration out"
            )
        if self.inner_folds == 0 and self.tune:
            raise OptionError("--tune chooses by inner folds; give --inner-folds 2 or more")

    def _check_graded(self) -> None:
        """Refuse what makes no sense with more than two classes."""
        if self.calibration not in GRADED_CALIBRATIONS:
            CALIBRATIONS[self.calibration]  # an unknown name is an error of its own
            raise OptionError(
                f"--calibration {self.calibration} maps one score; --task multiclass takes: "
                f"{', '.join(GRADED_CALIBRATIONS)}"
            )
        for name in ("imbalance", "anomalies", "prevalence"):
            if getattr(self, name) is not None:
                raise OptionError(
                    f"--{name} is about anomalies, and --task multiclass has none; leave either out"
                )
        if self.thresholds:
            raise OptionError(
                "--thresholds cut one score, and with --task multiclass the likeliest class is called; "
                "leave either out"
            )

    def splits(
        self, y: NDArray[Any], groups: NDArray[Any], parts: NDArray[Any] | None = None
    ) -> Iterator[Split]:
        """Give each repeat's and fold's training and test rows, checked for shared groups.

        Parameters
        ----------
        y, groups : (n,) arrays
            Classes (1 = anomalous; names of more than two), and what stays together.
        parts : (n,) array, optional
            The published part of each row; needed where `split` is ``"published"``.

        Raises
        ------
        DataError
            If a class has fewer groups than there are folds, or is missing on a side of the published split.
        """
        if len(np.unique(y)) < 2:
            raise DataError("only one class is left; a comparison needs normal and anomalous images")
        found = group_splits(y, groups, self.folds, self.repeats, self.seed)
        if self.split == "published" and parts is not None:
            once = published_split(parts, y, groups)
            found = iter([replace(once, repeat=repeat) for repeat in range(self.repeats)])
        for split in found:
            check_groups(groups, split.train, split.test)
            yield split

    def thinned(self, y: NDArray[np.int64], groups: NDArray[Any], train: Rows, seed: int) -> Rows:
        """Drop anomalies from training rows, as `imbalance` or `anomalies` says."""
        if self.anomalies is not None:
            return keep_anomalies(y, groups, train, self.anomalies, seed)
        return train if self.imbalance is None else drop_anomalies(y, groups, train, self.imbalance, seed)

    def settings(self) -> dict[str, Any]:
        """Everything that decides the result; a published split has no folds."""
        found = asdict(self) | ({"folds": 1} if self.split == "published" else {})
        if self.anomalies is None:
            del found["anomalies"]
        if self.task == "binary":
            del found["task"]
        return found


def task_seed(*parts: int) -> int:
    """Derive an independent seed from a few numbers."""
    return int(np.random.SeedSequence(list(parts)).generate_state(1)[0]) % (2**31)
