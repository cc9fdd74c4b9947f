"""Distances of synthetic rows from their parents' inner products, without touching the features again."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from raresight.balance.neighbours import Distances, Gram, as_keys
from raresight.balance.plan import SynthesisPlan

Array = NDArray[Any]
Rows = NDArray[np.int64]


class WithSynthetic(Distances):
    """The n training rows, then a plan's m synthetic ones.

    A synthetic row is ``(1 − step) base + step partner``, so its inner products are the same mean of its
    parents'. Rows are taken as the plan defines them, before integers are rounded.

    Parameters
    ----------
    gram : Gram
        Of the training rows.
    plan : SynthesisPlan
        Of segments.
    """

    def __init__(self, gram: Gram, plan: SynthesisPlan) -> None:
        kind = gram.inner.dtype
        self.gram, self.count = gram, len(gram)
        self.base, self.partner = plan.base, plan.partner
        self.far = plan.step.astype(kind)
        self.near = (1 - plan.step).astype(kind)
        across = gram.products(plan.base, plan.partner)
        norms = gram.norms
        made = self.near**2 * norms[plan.base] + self.far**2 * norms[plan.partner]
        made += 2 * self.near * self.far * across
        self.norms = np.concatenate([norms, made]).astype(kind, copy=False)

    def keys(self, rows: Rows, others: Rows) -> Array:
        """See `Distances.keys`."""
        inner = self._with_originals(rows)
        made = others >= self.count
        whole = np.empty((len(rows), len(others)), inner.dtype)
        if made.all() or not made.any() or (np.diff(made.astype(np.int8)) >= 0).all():
            first = int((~made).sum())
            whole[:, :first] = inner if first == self.count else np.take(inner, others[:first], axis=1)
            whole[:, first:] = self._with_made(inner, others[first:] - self.count)
        else:
            whole[:, ~made] = np.take(inner, others[~made], axis=1)
            whole[:, made] = self._with_made(inner, others[made] - self.count)
        return as_keys(whole, self.norms[others], self.gram.metric)

    def _with_originals(self, rows: Rows) -> Array:
        """Give inner products with all training rows."""
        made = rows >= self.count
        if not made.any():
            return self.gram.matrix(rows)
        synthetic = rows[made] - self.count
        inner = np.empty((len(rows), self.count), self.gram.inner.dtype)
        inner[~made] = self.gram.matrix(rows[~made])
        mixed = self.gram.matrix(self.base[synthetic])
        mixed *= self.near[synthetic, None]
        mixed += self.far[synthetic, None] * self.gram.matrix(self.partner[synthetic])
        inner[made] = mixed
        return inner

    def _with_made(self, inner: Array, synthetic: Rows) -> Array:
        """Give inner products with synthetic rows, from those with all training rows."""
        mixed = np.take(inner, self.base[synthetic], axis=1)
        mixed *= self.near[synthetic]
        other = np.take(inner, self.partner[synthetic], axis=1)
        other *= self.far[synthetic]
        mixed += other
        return np.asarray(mixed)
