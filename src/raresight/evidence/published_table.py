"""Can these published figures all be true? Each row against one confusion matrix, and other readings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from raresight.errors import OptionError
from raresight.evidence.confusion import EVERYTHING, Cone, Figures, Interval, whole_counts
from raresight.evidence.foldmeans import Rates, spread_needed
from raresight.evidence.format import decimal
from raresight.evidence.printed import PrintedRow, read_printed, rows_of

FOLDS_TRIED = (5, 10)
TRIPLE = ("accuracy", "sensitivity", "specificity")
BLAMED = ("f1", "precision", "npv", "accuracy", "specificity", "sensitivity")
"""In which order a figure is asked whether it alone contradicts the others."""

TITLES = {"f1": "F1", "npv": "NPV"}
WIDEST = Fraction(1, 5)
"""A range wider than this is not summed up in one number."""


@dataclass(frozen=True, slots=True)
class TableCheck:
    """What `check_table` found.

    Attributes
    ----------
    rows : list of dict
        One a row: ``model``, ``dataset``, ``figures`` (as fractions), ``consistent``,
        ``implied_prevalence`` and its ``prevalence_range``, ``expected`` and ``expected_range`` of figures
        that follow from the others, ``reason``, ``readings``, ``balanced_prevalence`` (if accuracy is
        the mean of sensitivity and specificity: ``{"low", "value", "high"}``, else None) and
        ``fold_spread`` (number of folds → how far folds must stray from their means, None where that
        explains nothing).
    across : list of dict
        What rows of the same set say of its prevalence: ``dataset``, ``reading``, ``models``,
        ``prevalences``, ``agree``, ``sentence``.
    """

    rows: list[dict[str, Any]]
    across: list[dict[str, Any]]

    @property
    def consistent(self) -> bool:
        """Whether every row is possible as one confusion matrix."""
        return all(row["consistent"] for row in self.rows)


def check_table(
    source: str | Path | Sequence[Mapping[str, object]] | Mapping[str, object], *, folds: int | None = None
) -> TableCheck:
    """Check whether published figures can all be true.

    A row is consistent if one confusion matrix gives all its figures within rounding: one of whole counts
    where the number of images is printed, else one of any prevalence. The check is exact. Two other
    readings are tried: that "accuracy" is the mean of sensitivity and specificity, and that all figures
    are means over folds of one prevalence (accuracy, sensitivity, specificity and F1; precision and NPV
    are left out of this reading).

    Parameters
    ----------
    source : path, mapping or sequence of mappings
        A file (CSV, Markdown, text), or one or more rows: heading → cell. Headings may be synonyms (recall,
        PPV), figures fractions or percentages; printed digits tell the rounding.
    folds : int, optional
        Number of folds that figures may be means over, 2–100; by default 5 and 10 are tried.

    Returns
    -------
    TableCheck

    Raises
    ------
    DataError
        If the file or a row cannot be read.
    OptionError
        If ``folds`` is out of range.
    """
    if folds is not None and not 2 <= folds <= 100:
        raise OptionError(f"folds is {folds}; give a number from 2 to 100")
    if isinstance(source, str | Path):
        printed = read_printed(source)
    else:
        printed = rows_of([source] if isinstance(source, Mapping) else source)
    rows = [_judge(row, (folds,) if folds else FOLDS_TRIED) for row in printed]
    return TableCheck(rows, _across(rows))


def _judge(row: PrintedRow, folds: Sequence[int]) -> dict[str, Any]:
    figures = {name: figure.interval for name, figure in row.figures.items()}
    stated = _stated(row)
    cone = Cone({**figures, **stated})
    consistent = cone.possible and (row.n is None or whole_counts(figures, row.n, row.positives) is not None)
    base = Cone({name: figures[name] for name in TRIPLE if name in figures})
    prevalence = (cone if cone.possible else base).range("prevalence")
    expected = _expected(row, figures, stated)
    balanced = _balanced(row, figures, stated)
    spreads = {k: _fold_spread(row, figures, k) for k in folds}
    readings = {
        "single": consistent,
        "balanced_accuracy": balanced is not None,
        "fold_mean": any(spread is not None for spread in spreads.values()),
    }
    found = {
        "model": row.model,
        "dataset": row.dataset,
        "figures": {name: float(figure.value) for name, figure in row.figures.items()},
        "consistent": consistent,
        "implied_prevalence": _point(prevalence, _nominal(row)),
        "prevalence_range": _pair(prevalence),
        "expected": {name: value for name, (_, value) in expected.items() if value is not None},
        "expected_range": {name: _pair(interval) for name, (interval, _) in expected.items()},
        "readings": [name for name, fits in readings.items() if fits],
        "balanced_prevalence": balanced and {**_ends(balanced), "value": _point(balanced)},
        "fold_spread": {str(k): None if s is None else round(s, 3) for k, s in spreads.items()},
    }
    found["reason"] = _reason(row, found, cone, base, figures)
    return found


def _stated(row: PrintedRow) -> dict[str, Interval]:
    if row.n is None or row.positives is None:
        return {}
    share = Fraction(row.positives, row.n)
    return {"prevalence": Interval(share, share)}


def _nominal(row: PrintedRow) -> Fraction | None:
    """Give the prevalence at which the figures as printed, unrounded, make the accuracy."""
    if not all(name in row.figures for name in TRIPLE):
        return None
    accuracy, sensitivity, specificity = (row.figures[name].value for name in TRIPLE)
    if sensitivity == specificity:
        return None
    share = (accuracy - specificity) / (sensitivity - specificity)
    return share if share in EVERYTHING else None


def _expected(
    row: PrintedRow, figures: Figures, stated: Figures
) -> dict[str, tuple[Interval | None, float | None]]:
    """Work out what follows: F1 and the predictive values from the triple, else the figure to blame."""
    base = Cone({name: figures[name] for name in TRIPLE if name in figures})
    names = [name for name in BLAMED[:3] if name in figures]
    if not all(name in figures for name in TRIPLE) or not base.possible:
        base, names = Cone({**figures, **stated}), []
        blamed = _blamed(figures, stated)
        if blamed is not None and not base.possible:
            base, names = _without(blamed, figures, stated), [blamed]
    found = {}
    for name in names:
        interval = base.range(name)
        places = max(3, row.figures[name].places)
        found[name] = (interval, _point(interval, _nominal_value(name, row), places))
    return found


def _nominal_value(name: str, row: PrintedRow) -> Fraction | None:
    share = _nominal(row)
    if share is None:
        return None
    tp = share * row.figures["sensitivity"].value
    tn = (1 - share) * row.figures["specificity"].value
    fn, fp = share - tp, 1 - share - tn
    above, below = {"f1": (2 * tp, 2 * tp + fp + fn), "precision": (tp, tp + fp), "npv": (tn, tn + fn)}[name]
    return above / below if below else None


def _without(name: str, figures: Figures, stated: Figures) -> Cone:
    return Cone({**{key: value for key, value in figures.items() if key != name}, **stated})


def _blamed(figures: Figures, stated: Figures) -> str | None:
    """Name the first figure without which one confusion matrix gives all others."""
    return next(
        (name for name in BLAMED if name in figures and _without(name, figures, stated).possible), None
    )


def _balanced(row: PrintedRow, figures: Figures, stated: Figures) -> Interval | None:
    """Give the prevalence if "accuracy" is the mean of sensitivity and specificity; None if it is not.

    Without counts the mean bounds sensitivity and specificity one at a time, which is at most half a
    unit of rounding too kind.
    """
    if not all(name in figures for name in TRIPLE):
        return None
    mean, hits, passes = (figures[name] for name in TRIPLE)
    others = {name: interval for name, interval in figures.items() if name != "accuracy"}
    others["sensitivity"] = hits.meet(Interval(2 * mean.low - passes.high, 2 * mean.high - passes.low))
    others["specificity"] = passes.meet(Interval(2 * mean.low - hits.high, 2 * mean.high - hits.low))
    if others["sensitivity"].empty or others["specificity"].empty:
        return None
    cone = Cone({**others, **stated})
    if not cone.possible:
        return None
    if row.n is not None and whole_counts(others, row.n, row.positives, balanced=mean) is None:
        return None
    return cone.range("prevalence")


def _fold_spread(row: PrintedRow, figures: Figures, folds: int) -> float | None:
    """Say how far folds must stray from their means to give the row; None if no folds can.

    Where counts are printed, folds that cannot be of quite one size and prevalence widen what is allowed
    by an image a fold; that the folds' own counts are whole is not used.
    """
    means = {name: figures[name] for name in TRIPLE if name in figures}
    if row.n is not None:
        play = Fraction(folds, row.n)
        if "accuracy" in means:
            means["accuracy"] = _wider(means["accuracy"], play)
        if row.positives is not None:
            if not folds <= row.positives <= row.n - folds:
                return None
            means["prevalence"] = _wider(_stated(row)["prevalence"], play)
    cone = Cone(means)
    ranges = [cone.range(name) for name in ("sensitivity", "specificity", "prevalence")]
    if not cone.possible or None in ranges:
        return None
    if "f1" not in figures:
        return 0.0
    low, high = (
        Rates(float(s), 1 - float(c), float(p))
        for s, c, p in zip(*((r.low, r.high) for r in ranges if r is not None), strict=True)
    )
    return spread_needed(low, high, (float(figures["f1"].low), float(figures["f1"].high)), folds)


def _wider(interval: Interval, play: Fraction) -> Interval:
    return Interval(interval.low - play, interval.high + play).meet(EVERYTHING)


def _point(interval: Interval | None, nominal: Fraction | None = None, places: int = 3) -> float | None:
    """Sum a range up in one number, the figures as printed preferred; None if it is too wide for that."""
    if interval is None or interval.high - interval.low > WIDEST:
        return None
    value = interval.middle if nominal is None else min(max(nominal, interval.low), interval.high)
    return round(float(value), places)


def _pair(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [round(float(interval.low), 4), round(float(interval.high), 4)]


def _ends(interval: Interval) -> dict[str, float]:
    return {"low": round(float(interval.low), 4), "high": round(float(interval.high), 4)}


def title(name: str) -> str:
    """Write a metric's name as within a sentence."""
    return TITLES.get(name, name)


def between(pair: Sequence[float] | None, value: float | None) -> str:
    """Write a value with the range it lies in: ``.845 (.839–.850)``."""
    if pair is None:
        return "–"
    low, high = decimal(pair[0]), decimal(pair[1])
    ends = low if low == high else f"{low}–{high}"
    return ends if value is None or low == high else f"{decimal(value)} ({ends})"


def _reason(row: PrintedRow, found: Mapping[str, Any], cone: Cone, base: Cone, figures: Figures) -> str:
    prevalence = between(found["prevalence_range"], found["implied_prevalence"])
    if found["consistent"]:
        size = "" if row.n is None else f" of {row.n:,} images"
        return f"One confusion matrix{size} gives every figure within rounding; prevalence {prevalence}."
    counts = f"n = {row.n}" + ("" if row.positives is None else f", {row.positives} of them positive")
    if cone.possible:
        return f"No confusion matrix of whole counts gives every figure with {counts}."
    stated = _stated(row)
    free = Cone(figures)
    if stated and free.possible:
        own = between(_pair(free.range("prevalence")), _point(free.range("prevalence"), _nominal(row)))
        share = f"{row.positives} of {row.n} is {decimal(float(stated['prevalence'].low))}"
        return f"As one confusion matrix the figures imply a prevalence of {own}, but {share}."
    blamed = _blamed(figures, {})
    if blamed is None:
        return "No confusion matrix gives all these figures, whichever one of them is left out."
    others = [name for name in figures if name != blamed]
    follows = between(_pair(rest := _without(blamed, figures, {}).range(blamed)), _point(rest))
    if blamed in found["expected"]:
        follows = between(found["expected_range"][blamed], found["expected"][blamed])
    implied = f"a prevalence of {prevalence} and " if base.possible and blamed not in TRIPLE else ""
    value = decimal(float(row.figures[blamed].value), max(3, row.figures[blamed].places))
    return (
        f"{title(blamed)[0].upper()}{title(blamed)[1:]} {value} contradicts {_listed(others)}: as one "
        f"confusion matrix they imply {implied}{title(blamed)} {follows}."
    )


def _listed(names: Sequence[str]) -> str:
    called = [title(name) for name in names]
    return called[0] if len(called) == 1 else f"{', '.join(called[:-1])} and {called[-1]}"


def _across(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Compare the prevalences that rows of one set imply: on one test set there is only one."""
    found = []
    for dataset in dict.fromkeys(row["dataset"] for row in rows):
        own = [row for row in rows if row["dataset"] == dataset]
        for reading in ("single", "balanced_accuracy"):
            fitting = [(row, p) for row in own if (p := _prevalence(row, reading)) is not None]
            if len(fitting) < 2 or (reading != "single" and all(row["consistent"] for row in own)):
                continue
            found.append(_compared(dataset, reading, fitting))
    return found


def _prevalence(row: Mapping[str, Any], reading: str) -> tuple[float, float, float] | None:
    if reading not in row["readings"]:
        return None
    if reading == "single":
        low, high = row["prevalence_range"]
        value = row["implied_prevalence"]
    else:
        low, value, high = (row["balanced_prevalence"][key] for key in ("low", "value", "high"))
    return None if value is None else (low, value, high)


def _compared(
    dataset: str, reading: str, fitting: Sequence[tuple[Mapping[str, Any], tuple[float, float, float]]]
) -> dict[str, Any]:
    agree = max(low for _, (low, _, _) in fitting) <= min(high for _, (_, _, high) in fitting)
    first, *_, last = sorted(fitting, key=lambda pair: pair[1][1])
    read = "one confusion matrix a row" if reading == "single" else "balanced accuracy"
    ends = f"from {decimal(first[1][1])} ({first[0]['model']}) to {decimal(last[1][1])} ({last[0]['model']})"
    verdict = "which one test set can have within rounding" if agree else "which one test set cannot have"
    return {
        "dataset": dataset,
        "reading": reading,
        "models": [row["model"] for row, _ in fitting],
        "prevalences": [value for _, (_, value, _) in fitting],
        "agree": agree,
        "sentence": f"{dataset or 'All rows'}, read as {read}: prevalences {ends}, {verdict}.",
    }
