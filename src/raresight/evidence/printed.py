"""Reading printed tables of results: CSV, Markdown, plain text with a table somewhere in it."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from html import unescape
from pathlib import Path

from raresight.errors import DataError
from raresight.evidence.confusion import EVERYTHING, Interval

METRIC_NAMES = {
    "accuracy": ("accuracy", "acc"),
    "sensitivity": ("sensitivity", "sens", "sen", "se", "recall", "tpr", "truepositiverate"),
    "specificity": ("specificity", "spec", "spe", "sp", "tnr", "truenegativerate"),
    "f1": ("f1", "f1score", "f1measure", "fscore", "fmeasure"),
    "precision": ("precision", "prec", "ppv", "positivepredictivevalue"),
    "npv": ("npv", "negativepredictivevalue"),
}
COUNT_NAMES = {
    "n": ("n", "total", "images", "samples", "testimages", "testsamples"),
    "positives": ("positives", "positive", "pos", "npositive", "npositives", "anomalies"),
}
TEXT_NAMES = {
    "model": ("model", "method", "classifier", "algorithm", "approach", "network", "recipe"),
    "dataset": ("dataset", "data", "database", "set", "cohort"),
}
_MEANING = {
    name: meaning
    for names in (METRIC_NAMES, COUNT_NAMES, TEXT_NAMES)
    for meaning, all_of in names.items()
    for name in all_of
}


@dataclass(frozen=True, slots=True)
class Figure:
    """A printed figure as a fraction.

    Attributes
    ----------
    value : Fraction
        As printed, 0–1.
    interval : Interval
        What rounds to it: half a unit of the last printed digit to either side, within 0–1.
    places : int
        Decimals of the value as a fraction: 3 for ``85.2%`` and ``.852``.
    """

    value: Fraction
    interval: Interval
    places: int


@dataclass(frozen=True, slots=True)
class PrintedRow:
    """One row of a printed table; ``dataset`` is empty where the table names none."""

    model: str
    dataset: str
    figures: dict[str, Figure]
    n: int | None = None
    positives: int | None = None


@dataclass
class _Table:
    heading: list[str]
    line: int
    split: Callable[[str], list[str]]
    rows: list[list[str]] = field(default_factory=list)


def read_printed(path: str | Path) -> list[PrintedRow]:
    """Read every table in a file that has a heading for two or more metrics.

    Parameters
    ----------
    path : path
        CSV (comma, semicolon or tab), Markdown, or text in UTF-8.

    Returns
    -------
    list of PrintedRow

    Raises
    ------
    DataError
        If the file cannot be read, holds no such table, or a row of it makes no sense.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise DataError(f"cannot read {path} ({reason}); give a table as CSV, Markdown or text") from error
    found = [row for table in _tables(text.splitlines(), str(path)) for row in _rows(table, str(path))]
    if not found:
        raise DataError(
            f"{path} holds no table with a heading for two or more of accuracy, sensitivity, specificity, "
            "F1, precision and NPV and numbers below it; give one as CSV, Markdown or tab-separated text"
        )
    return found


def rows_of(records: Sequence[Mapping[str, object]]) -> list[PrintedRow]:
    """Take rows from mappings of heading to cell; strings keep their trailing zeros, floats do not.

    Raises
    ------
    DataError
        If there is no row with a figure, or one makes no sense.
    """
    heading = list(dict.fromkeys(key for record in records for key in record))
    table = _Table(heading, 0, str.split)
    table.rows = [
        ["" if (cell := record.get(key)) is None else str(cell) for key in heading] for record in records
    ]
    found = list(_rows(table, "the table"))
    if not found:
        raise DataError("the table has no figure to check; name accuracy, sensitivity, specificity or F1")
    return found


def _tables(lines: Sequence[str], path: str) -> Iterator[_Table]:
    table: _Table | None = None
    after_gap = False
    for number, line in enumerate(lines, 1):
        opened = _heading(line, number)
        if opened is not None:
            if table is not None:
                yield table
            table, after_gap = opened, False
        elif not line.strip():
            after_gap = True
        elif table is not None and not re.fullmatch(r"[\s|:+=-]+", line):
            cells = table.split(line)
            if len(cells) == len(table.heading):
                table.rows.append(cells)
            elif after_gap or len(cells) < 2 or not any(_number(cell) for cell in cells):
                yield table
                table = None
            else:
                raise DataError(
                    f"{path}, line {number}, has {len(cells)} cells where the heading in line {table.line} "
                    f"has {len(table.heading)}; give every row a cell for each column"
                )
    if table is not None:
        yield table


def _heading(line: str, number: int) -> _Table | None:
    for split in (_piped, _by("\t"), _by(";"), _by(","), _gapped):
        cells = split(line)
        if sum(meaning(cell) in METRIC_NAMES for cell in cells) >= 2:
            return _Table(cells, number, split)
    return _spaced_heading(line, number)


def _piped(line: str) -> list[str]:
    if "|" not in line:
        return []
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().removeprefix("|").removesuffix("|"))]


def _by(delimiter: str) -> Callable[[str], list[str]]:
    def split(line: str) -> list[str]:
        if delimiter not in line:
            return []
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter))]

    return split


def _gapped(line: str) -> list[str]:
    return re.split(r"\s{2,}", line.strip())


def _spaced_heading(line: str, number: int) -> _Table | None:
    """Read a heading whose columns are one space apart, as text copied out of a PDF has them."""
    words = re.sub(r"(?i)\bf1[\s-](score|measure)", "F1", line).split()
    metrics = 0
    while metrics < len(words) and meaning(words[-1 - metrics]) in METRIC_NAMES:
        metrics += 1
    if metrics < 2 or metrics == len(words):
        return None

    def split(row: str) -> list[str]:
        cells = row.rsplit(None, metrics)
        return cells if len(cells) > metrics and all(map(_LONE.fullmatch, cells[1:])) else []

    return _Table(["model", *words[-metrics:]], number, split)


def meaning(heading: str) -> str:
    """Tell what a column holds: a metric's key, ``n``, ``positives``, ``model``, ``dataset`` or nothing."""
    plain = re.sub(r"[(\[{].*?[)\]}]", "", heading.casefold()).split("/")[0]
    return _MEANING.get(re.sub(r"[^a-z0-9]", "", plain), "")


def _rows(table: _Table, path: str) -> Iterator[PrintedRow]:
    columns: dict[str, int] = {}
    for i, heading in enumerate(table.heading):
        columns.setdefault(meaning(heading), i)
    for name in (*METRIC_NAMES, *COUNT_NAMES):
        same = [heading for heading in table.heading if meaning(heading) == name]
        if len(same) > 1:
            raise DataError(f"{path}: columns {same[0]!r} and {same[1]!r} both mean {name}; leave one out")
    percent = _percent_columns(table, {name: i for name, i in columns.items() if name in METRIC_NAMES})
    for position, cells in enumerate(table.rows, 1):
        model = _called(table, columns, cells) or f"row {position}"
        try:
            figures = {
                name: read_figure(cells[columns[name]], percent=name in percent)
                for name in METRIC_NAMES
                if name in columns and _number(cells[columns[name]])
            }
            n, positives = (_count(cells, columns, name) for name in COUNT_NAMES)
            if positives is not None and (n is None or positives > n):
                raise DataError("positives need an n that is not smaller")
        except DataError as error:
            raise DataError(f"{path}, row {model!r}: {error}") from None
        if figures:
            dataset = cells[columns["dataset"]] if "dataset" in columns else ""
            yield PrintedRow(model, _plain(dataset), figures, n, positives)


def _called(table: _Table, columns: Mapping[str, int], cells: Sequence[str]) -> str:
    if "model" in columns:
        return _plain(cells[columns["model"]])
    named = [cell for heading, cell in zip(table.heading, cells, strict=True) if not meaning(heading)]
    return next((_plain(cell) for cell in named if cell and not _number(cell)), "")


def _percent_columns(table: _Table, columns: Mapping[str, int]) -> set[str]:
    """Tell which metrics are percentages: their heading says so, or a value is above 1.

    A column of nothing above 1 beside such columns is one too if it has no more decimals than they.
    """
    printed = {
        name: [match for cells in table.rows if (match := _number(cells[i]))] for name, i in columns.items()
    }
    found = {
        name
        for name, matches in printed.items()
        if "%" in table.heading[columns[name]] or any(_value(m) > 1 for m in matches)
    }
    if found:
        most = max((_decimals(m) for name in found for m in printed[name]), default=0)
        found |= {name for name, own in printed.items() if own and all(_decimals(m) <= most for m in own)}
    return found


_NUMBER = re.compile(r"[\s*_~≈'\"]*(-?(?:\d+(?:[.,·]\d*)?|[.,·]\d+))\s*(%|\\%)?")

_LONE = re.compile(_NUMBER.pattern + r"[*_]*|[-–—]|nan|n/?a", re.IGNORECASE)


def _number(cell: str) -> re.Match[str] | None:
    """Find the number that a cell begins with; an interval or a deviation after it is left alone."""
    return _NUMBER.match(cell)


def _text(match: re.Match[str]) -> str:
    return re.sub("[,·]", ".", match[1])


def _value(match: re.Match[str]) -> Fraction:
    return Fraction(_text(match).rstrip(".") or "0")


def _decimals(match: re.Match[str]) -> int:
    return len(_text(match).partition(".")[2])


def read_figure(cell: str, *, percent: bool = False) -> Figure:
    """Read one printed figure.

    Parameters
    ----------
    cell : str
        ``85.2%``, ``.852``, ``0,852``, ``85.2 ± 1.3``.
    percent : bool
        Whether a number without a sign is a percentage; one above 1 is in any case.

    Raises
    ------
    DataError
        If the cell does not begin with a number from 0 to 1, or to 100 as a percentage.
    """
    match = _number(cell)
    if match is None:
        raise DataError(f"{cell!r} is not a number; print figures as .852 or 85.2%")
    value, places = _value(match), _decimals(match)
    unit = Fraction(1, 10**places)
    if percent or match[2] or value > 1:
        value, unit, places = value / 100, unit / 100, places + 2
    if not 0 <= value <= 1:
        raise DataError(f"{cell.strip()!r} is neither a fraction from 0 to 1 nor a percentage up to 100")
    return Figure(value, Interval(value - unit / 2, value + unit / 2).meet(EVERYTHING), places)


def _count(cells: Sequence[str], columns: Mapping[str, int], name: str) -> int | None:
    cell = re.sub(r"(?<=\d)[,\s](?=\d{3}\b)", "", cells[columns[name]]).strip() if name in columns else ""
    if not re.search(r"\d", cell):
        return None
    whole = re.fullmatch(r"(\d+)(\.0+)?", cell)
    if whole is None or (name == "n" and int(whole[1]) == 0):
        raise DataError(f"{name} is {cell!r}, not a whole number{' above 0' if name == 'n' else ''}")
    return int(whole[1])


def _plain(cell: str) -> str:
    """Take Markdown's emphasis and escapes off."""
    bare = re.sub(r"^([*_]{1,3})(.*?)\1", r"\2", cell.replace("`", "").strip())
    return unescape(re.sub(r"\\(?=[^\w\s])", "", bare))
