"""A synthesis plan as a Parquet file: one row for each row of the balanced set, with its provenance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from raresight.balance.laws import law_of
from raresight.balance.plan import SynthesisPlan
from raresight.errors import DataError

Array = NDArray[Any]

_KEY = b"raresight.plan"
_VERSION = 1


def save_plan(plan: SynthesisPlan, path: Path) -> None:
    """Write a plan.

    The columns are ``synthetic, base, partner, step, label`` (or ``label_0`` … for soft labels), then, where
    the plan has them, ``seed``, ``base_group``, ``partner_group``, the law's own columns and ``donor_0`` ….
    A row that is kept has its number in ``base``; its label is the training row's own and stays empty.
    """
    kept = len(plan.keep)
    columns: dict[str, Any] = {
        "synthetic": np.r_[np.zeros(kept, bool), np.ones(len(plan), bool)],
        "base": np.r_[plan.keep, plan.base],
    }
    made: dict[str, Array] = {"partner": plan.partner, "step": plan.step}
    made |= _split("label", plan.label)
    made |= {} if plan.seed is None else {"seed": plan.seed}
    made |= {} if plan.law is None else plan.law.columns()
    made |= {} if plan.donor is None else _split("donor", plan.donor)
    columns |= {name: _after(kept, values) for name, values in made.items()}
    if plan.groups is not None:
        columns["base_group"] = pa.array(plan.groups[columns["base"]].tolist())
        columns["partner_group"] = _after(kept, plan.groups[plan.partner])
    about = {
        "version": _VERSION,
        "law": None if plan.law is None else plan.law.settings(),
        "classes": None if plan.classes is None else plan.classes.tolist(),
        "groups": None if plan.groups is None else plan.groups.tolist(),
        "label_dtype": plan.label.dtype.str,
        "columns": {name: values.dtype.str for name, values in made.items()},
    }
    table = pa.table(columns).replace_schema_metadata({_KEY: json.dumps(about).encode()})
    pq.write_table(table, path)


def load_plan(path: Path) -> SynthesisPlan:
    """Read a plan that `save_plan` wrote.

    Raises
    ------
    DataError
        If the file isn't one.
    """
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} can't be read as a synthesis plan: it is no Parquet file") from error
    about = json.loads((table.schema.metadata or {}).get(_KEY, b"null"))
    if about is None or about["version"] != _VERSION:
        raise DataError(f"{path} is no synthesis plan of this version; make it again with plan.save")
    synthetic = table["synthetic"].to_numpy()
    made = table.filter(table["synthetic"])
    columns = {
        name: np.array(made[name].to_pylist(), dtype=np.dtype(kind))
        for name, kind in about["columns"].items()
    }
    base = table["base"].to_numpy()
    return SynthesisPlan(
        base=base[synthetic],
        partner=columns["partner"],
        step=columns["step"],
        label=_join("label", columns, about["label_dtype"]),
        keep=base[~synthetic],
        seed=columns.get("seed"),
        law=law_of(about["law"], columns),
        classes=None if about["classes"] is None else np.array(about["classes"]),
        groups=None if about["groups"] is None else np.array(about["groups"]),
        donor=_join("donor", columns, "<i8") if "donor_0" in columns else None,
    )


def _split(name: str, values: Array) -> dict[str, Array]:
    if values.ndim == 1:
        return {name: values}
    return {f"{name}_{i}": values[:, i] for i in range(values.shape[1])}


def _join(name: str, columns: dict[str, Array], dtype: str) -> Array:
    if name in columns:
        return columns[name].astype(np.dtype(dtype))
    count = sum(key.startswith(f"{name}_") for key in columns)
    return np.stack([columns[f"{name}_{i}"] for i in range(count)], axis=1).astype(np.dtype(dtype))


def _after(kept: int, values: Array) -> pa.Array:
    """Put empty cells for the kept rows before the synthetic rows' values."""
    return pa.array([None] * kept + values.tolist())
