"""The same evidence and verdicts for predictions that any other tool made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raresight.errors import DataError, OptionError
from raresight.evidence.estimates import Evidence, RecipeRows, weigh_rows
from raresight.evidence.intervals import RESAMPLES
from raresight.evidence.judgement import Pair, judge_pairs
from raresight.evidence.metrics import flag
from raresight.evidence.names import split_id

NEEDED = ("recipe", "label", "score")
CUT = 0.5
"""Where probabilities are cut to count decisions."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What predictions show.

    Attributes
    ----------
    verdicts : list of dict
        One a recipe and metric; see `raresight.evidence.judgement.judge_pairs`.
    metrics : list of dict
        One a recipe: ``recipe``, ``n``, ``positives``, and ``metrics``: name → ``{"mean", "low", "high"}``.
    notes : list of str
        What had to be taken for granted.
    evidence : Evidence
    """

    verdicts: list[dict[str, Any]]
    metrics: list[dict[str, Any]]
    notes: list[str]
    evidence: Evidence

    def as_dict(self) -> dict[str, Any]:
        """Give it as JSON has it."""
        return {"verdicts": self.verdicts, "recipes": self.metrics, "notes": self.notes}


def judge(
    frame: pd.DataFrame,
    baseline: str = "none",
    *,
    stochastic: Iterable[str] = (),
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Judgement:
    """Judge the predictions of any framework against a baseline's, on the same rows.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row a prediction. ``recipe`` (text); ``label`` (1 or true = anomalous); ``score`` (higher = more
        anomalous); and where known ``probability`` in [0, 1], ``group`` (patient), ``repeat``, ``fold``, and
        ``row`` (the image), by which recipes are paired: without it, in the order in which they stand.
    baseline : str
        A recipe; or, where recipes are named ``model+balance``, a balance: each is then judged against
        that of its own model.
    stochastic : iterable of str
        Recipes whose training is random; they need five repeats.
    resamples, seed : int
        Of the bootstrap over groups.

    Returns
    -------
    Judgement

    Raises
    ------
    DataError
        If a column is missing, a value cannot be used, or the recipes were not tested on the same rows.
    OptionError
        If there is no such baseline, or nothing to judge against it.
    """
    table, notes = _clean(frame)
    rows, groups = _recipe_rows(table)
    pairs = _pairs(list(rows), baseline)
    _check_drawn(stochastic, rows)
    evidence = weigh_rows(rows, groups, resamples=resamples, seed=seed)
    for one, other in pairs:
        if not evidence.same_rows(one, other):
            raise DataError(f"{one} and {other} were not tested on the same rows of the same folds")
    called = {pair: f"{pair[0]} against {pair[1]}" for pair in pairs}
    judged = judge_pairs(evidence, pairs, called, stochastic=stochastic)
    return Judgement(judged, [_metrics(evidence, recipe) for recipe in rows], notes, evidence)


def read_predictions(path: str | Path) -> pd.DataFrame:
    """Read predictions from CSV or Parquet, by the file's ending.

    Raises
    ------
    DataError
        If the file cannot be read.
    """
    path = Path(path)
    readers: dict[str, Callable[[Path], pd.DataFrame]]
    readers = {".csv": pd.read_csv, ".parquet": pd.read_parquet}
    if path.suffix.lower() not in readers:
        raise DataError(f"{path} is neither .csv nor .parquet, so it cannot be read as predictions")
    try:
        return readers[path.suffix.lower()](path)
    except FileNotFoundError as error:
        raise DataError(f"there is no file {path}") from error
    except (OSError, ValueError) as error:  # pandas' and pyarrow's own errors are ValueErrors
        reason = str(error).strip().partition("\n")[0]
        raise DataError(f"{path} cannot be read as predictions: {reason}") from error


def _clean(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Check the values and fill in what may be left out."""
    missing = [column for column in NEEDED if column not in frame]
    if missing:
        raise DataError(f"the predictions have no column {missing[0]!r}; they need: {', '.join(NEEDED)}")
    if not len(frame):
        raise DataError("there is no prediction to judge")
    table = pd.DataFrame({"recipe": _text(frame, "recipe"), "label": _labels(frame["label"])})
    table["score"] = _numbers(frame, "score")
    table["probability"] = _numbers(frame, "probability") if "probability" in frame else np.nan
    for part in ("repeat", "fold"):
        table[part] = pd.factorize(_text(frame, part), sort=True)[0] if part in frame else 0
    notes = []
    if "row" in frame:
        table["row"] = _text(frame, "row")
    else:
        if "repeat" in frame and "group" not in frame and table["repeat"].nunique() > 1:
            raise DataError("repeats need a column 'row' or 'group', to be told from further images")
        table["row"] = table.groupby(["recipe", "repeat"]).cumcount()
        notes.append("no column 'row': recipes are paired in the order in which their predictions stand")
    if "group" in frame:
        table["group"] = _text(frame, "group")
    else:
        table["group"] = table["row"]
        notes.append(
            "no column 'group': every image is taken for independent; if patients have several, "
            "the intervals are too narrow and verdicts come too easily"
        )
    _check_rows(table)
    return table.sort_values(["repeat", "row"], kind="stable"), notes


def _text(frame: pd.DataFrame, column: str) -> pd.Series[Any]:
    if frame[column].isna().any():
        first = int(np.flatnonzero(frame[column].isna())[0])
        raise DataError(f"prediction {first + 1} has no {column}")
    values: pd.Series[Any] = frame[column]
    return values if values.dtype.kind in "iu" and column != "recipe" else values.astype(str)


def _labels(column: pd.Series[Any]) -> NDArray[np.int64]:
    known = {"1": 1, "0": 0, "true": 1, "false": 0, "1.0": 1, "0.0": 0}
    found = column.astype(str).str.strip().str.lower().map(known)
    if found.isna().any():
        first = int(np.flatnonzero(found.isna())[0])
        raise DataError(
            f"prediction {first + 1} has the label {column.iloc[first]!r}; "
            "write 1 for anomalous and 0 for normal"
        )
    return np.asarray(found, np.int64)


def _numbers(frame: pd.DataFrame, column: str) -> NDArray[np.float64]:
    numbers = pd.to_numeric(frame[column], errors="coerce").to_numpy(np.float64)
    wrong = ~np.isfinite(numbers)
    if column == "probability":
        wrong = (
            np.isinf(numbers) | (numbers < 0) | (numbers > 1) | (np.isnan(numbers) & frame[column].notna())
        )
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        what = "between 0 and 1" if column == "probability" else "a finite number"
        raise DataError(
            f"prediction {first + 1} has the {column} {frame[column].iloc[first]!r}, which is not {what}"
        )
    return numbers


def _check_rows(table: pd.DataFrame) -> None:
    twice = table.duplicated(["recipe", "repeat", "row"])
    if twice.any():
        first = table.loc[twice].iloc[0]
        raise DataError(f"{first['recipe']} predicts row {first['row']} twice in one repeat")
    for column in ("label", "group"):
        several = table.groupby("row")[column].nunique() > 1
        if several.any():
            raise DataError(f"row {several.idxmax()} has more than one {column}")
    if table["label"].nunique() < 2:
        raise DataError("all predictions are of one class; verdicts need normal and anomalous images")


def _recipe_rows(table: pd.DataFrame) -> tuple[dict[str, RecipeRows], int]:
    codes, names = pd.factorize(table["group"], sort=True)
    unit = table.groupby(["repeat", "fold"]).ngroup().to_numpy().astype(np.int64)
    found = {}
    for recipe in table["recipe"].unique():
        own = np.flatnonzero(table["recipe"] == recipe)
        part = table.iloc[own]
        probability = part["probability"].to_numpy(np.float64)
        known = not np.isnan(probability).any()
        found[str(recipe)] = RecipeRows(
            label=part["label"].to_numpy() == 1,
            score=part["score"].to_numpy(np.float64),
            probability=probability,
            group=codes[own].astype(np.int64),
            repeat=part["repeat"].to_numpy(np.int64),
            unit=unit[own],
            flagged={"default": flag(probability, CUT)} if known else {},
        )
    return found, len(names)


def _pairs(recipes: Sequence[str], baseline: str) -> list[Pair]:
    if baseline in recipes:
        pairs = [(recipe, baseline) for recipe in recipes if recipe != baseline]
    else:
        parts = {recipe: split_id(recipe) for recipe in recipes}
        pairs = [
            (recipe, other)
            for recipe in recipes
            for other in recipes
            if recipe != other
            and parts[other]["balance"] == baseline != parts[recipe]["balance"]
            and all(parts[recipe][p] == parts[other][p] for p in ("model", "representation"))
        ]
    if pairs:
        return pairs
    if baseline in recipes:
        raise OptionError(f"{baseline} is the only recipe; there is nothing to judge against it")
    raise OptionError(
        f"no baseline {baseline!r} among the recipes: {', '.join(recipes)}; name one with --baseline"
    )


def _check_drawn(stochastic: Iterable[str], rows: dict[str, RecipeRows]) -> None:
    for name in stochastic:
        if name not in rows:
            raise OptionError(f"no recipe {name!r} to call stochastic; there are: {', '.join(rows)}")


def _metrics(evidence: Evidence, recipe: str) -> dict[str, Any]:
    rows = evidence.rows[recipe]
    first = rows.repeat == rows.repeat[0]
    point = evidence.point[recipe]
    names = [*point.free, *point.at.get("default", {})]
    cells = {name: evidence.cell(recipe, name) for name in names}
    return {
        "recipe": recipe,
        "n": int(first.sum()),
        "positives": int(rows.label[first].sum()),
        "metrics": {name: cell for name, cell in cells.items() if cell["mean"] is not None},
    }
