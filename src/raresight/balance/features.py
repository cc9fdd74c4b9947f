"""Rows' features a block at a time, centred: what every inner product is computed from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raresight.errors import DataError

Array = NDArray[Any]
Rows = NDArray[np.int64]

BLOCK_BYTES = 1 << 25
"""How much a block of centred features may take."""

FEATURES_AT_ONCE = 2048
"""More at a time would not make the product faster, and would not stay in the cache."""

DOUBLE_BELOW = 1 << 28
"""Below this many multiplications inner products are in float64, which then costs nothing."""


class UnusableRowsError(DataError, ValueError):
    """Training rows that a sampler cannot use; a ``ValueError`` too, as imbalanced-learn's users expect."""


def feature_blocks(
    Z: Array, rows: Rows | None, kind: Any, centre: Array | None = None, metric: str = "euclidean"
) -> Iterator[Array]:
    """Give some rows' features a block at a time, centred, as C-contiguous float arrays (n, ≤ block).

    The buffer is reused: use up a block before the next.
    """
    flat = Z.reshape(len(Z), -1)
    count, features = len(flat) if rows is None else len(rows), flat.shape[1]
    size = BLOCK_BYTES // (max(count, 1) * np.dtype(kind).itemsize)
    size = max(64, min(features, size, FEATURES_AT_ONCE))
    middle = None if centre is None else np.asarray(centre).reshape(-1)
    buffer = np.empty(count * min(size, features), kind)
    for start in range(0, features, size):
        columns = slice(start, min(start + size, features))
        out = buffer[: count * (columns.stop - start)].reshape(count, -1)
        block = _gather(flat, rows, columns, out)
        if metric == "euclidean":
            mean = _mean(block) if middle is None else middle[columns]
            _subtract(block, mean, out)
        elif block is not out:
            out[...] = block
        yield out


def _gather(flat: Array, rows: Rows | None, columns: slice, out: Array) -> Array:
    """Give some rows' columns; in `out` where that saves a copy."""
    if rows is None:
        return flat[:, columns]
    if (flat.dtype == np.float64 and out.dtype != flat.dtype) or out.shape[1] < 256:
        # float64 is centred before it is cast; short pieces are gathered faster at once.
        return np.asarray(flat[rows, columns])
    for to, row in zip(out, rows.tolist(), strict=True):
        to[...] = flat[row, columns]
    return out


def check_norms(norms: Array, rows: Rows | None) -> None:
    """Refuse rows whose squared norms are not finite.

    Raises
    ------
    DataError
        If there is one.
    """
    bad = np.flatnonzero(~np.isfinite(norms))
    if not len(bad):
        return
    # Centring spreads one bad value to all rows; then the first row stands for the set.
    which = (
        "the training rows hold" if len(bad) > 1 else f"row {bad[0] if rows is None else rows[bad[0]]} holds"
    )
    raise UnusableRowsError(
        f"{which} NaN, infinity or numbers too large; remove or fill them in before balancing"
    )


def working_dtype(multiplications: int) -> Any:
    """Choose float64 where it is free, else float32."""
    return np.float64 if multiplications < DOUBLE_BELOW else np.float32


def width(Z: Array) -> int:
    """Count the features."""
    return int(np.prod(Z.shape[1:]))


def _mean(block: Array) -> Array:
    return np.asarray(block.mean(axis=0, dtype=np.float64 if block.dtype.itemsize > 4 else np.float32))


def _subtract(block: Array, mean: Array, out: Array) -> None:
    if block.dtype.kind == "f" and block.dtype.itemsize >= out.dtype.itemsize:
        # Of float64 before the cast: digits that float32 has no room for.
        np.subtract(block, mean, out=out, casting="unsafe")
        return
    if block is not out:
        out[...] = block
    out -= mean.astype(out.dtype, copy=False)
