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
        wide = self._wide(rows)
        made = others >= self.count
        whole = np.empty((len(rows), len(others)), wide.dtype)
        first = int((~made).sum())
        if not made[:first].any():
            # The usual order: contiguous halves, which numpy fills without another copy.
            np.take(wide, self.gram.at(others[:first]), axis=1, out=whole[:, :first], mode="clip")
            whole[:, first:] = self._with_made(wide, others[first:] - self.count)
        else:
            whole[:, ~made] = np.take(wide, self.gram.at(others[~made]), axis=1)
            whole[:, made] = self._with_made(wide, others[made] - self.count)
        return as_keys(whole, self.norms[others], self.gram.metric)

    def _wide(self, rows: Rows) -> Array:
        """Give inner products with all rows of the Gram matrix's set."""
        made = rows >= self.count
        if not made.any():
            return self.gram.wide(rows)
        synthetic = rows[made] - self.count
        mixed = self.gram.wide(self.base[synthetic])
        mixed *= self.near[synthetic, None]
        other = self.gram.wide(self.partner[synthetic])
        other *= self.far[synthetic, None]
        mixed += other
        if made.all():
            return mixed
        wide = np.empty((len(rows), mixed.shape[1]), mixed.dtype)
        wide[~made], wide[made] = self.gram.wide(rows[~made]), mixed
        return wide

    def _with_made(self, wide: Array, synthetic: Rows) -> Array:
        """Give inner products with synthetic rows, from those with their parents."""
        mixed = np.take(wide, self.gram.at(self.base[synthetic]), axis=1)
        mixed *= self.near[synthetic]
        other = np.take(wide, self.gram.at(self.partner[synthetic]), axis=1)
        other *= self.far[synthetic]
        mixed += other
        return np.asarray(mixed)
