"""Calibrated class shares can be taken at their word."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from raresight.evidence.temperature import Temperature


def drawn(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw true log odds of three classes, the third rare, and labels that follow them."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, 3)) * 1.5 + np.array([1.0, 0.0, -1.5])
    shares = softmax(logits, axis=1)
    label = (rng.uniform(size=(n, 1)) > shares.cumsum(axis=1)).sum(axis=1)
    return logits, label


def log_loss(shares: np.ndarray, label: np.ndarray) -> float:
    return -float(np.log(shares[np.arange(len(label)), label]).mean())


def test_over_confidence_and_other_class_shares_are_taken_back():
    logits, label = drawn(4000, 0)
    told = 4 * logits + np.array([-4.0, 0.0, 6.0])  # sure of itself, as a balanced training set made it
    fitted = Temperature().fit(told, label)
    assert fitted.scale_ == pytest.approx(0.25, rel=0.1)
    assert fitted.offsets_ - fitted.offsets_[1] == pytest.approx([1.0, 0.0, -1.5], abs=0.25)
    fresh, truth = drawn(4000, 1)
    shares = fitted.predict(4 * fresh + np.array([-4.0, 0.0, 6.0]))
    assert shares.sum(axis=1) == pytest.approx(np.ones(4000))
    assert log_loss(shares, truth) == pytest.approx(log_loss(softmax(fresh, axis=1), truth), abs=0.01)
    assert shares.mean(axis=0) == pytest.approx(np.bincount(truth) / 4000, abs=0.02)


def test_log_shares_serve_as_well_as_logits():
    logits, label = drawn(500, 2)
    one = Temperature().fit(logits, label).predict(logits)
    other = Temperature().fit(log_softmax(logits, axis=1), label).predict(log_softmax(logits, axis=1))
    assert one == pytest.approx(other, abs=1e-3)


def test_classes_told_apart_without_a_mistake_do_not_make_for_certainty():
    label = np.arange(30) % 3
    score = np.eye(3)[label] * 8.0
    shares = Temperature().fit(score, label).predict(score)
    assert 0.8 < shares.max() < 0.99
