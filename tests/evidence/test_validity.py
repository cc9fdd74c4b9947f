"""A fast part of `benchmarks/validity.py`: bounds allow for the small number of studies."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from scipy import stats

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "validity.py"
STUDIES = 150


@pytest.fixture(scope="module")
def simulation() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("validity_benchmark", BENCHMARK)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # Its dataclasses look themselves up.
    spec.loader.exec_module(module)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "RESAMPLES", 60)
        yield module
    del sys.modules[spec.name]


def most(share: float) -> int:
    """As many of `STUDIES` as come out one time in a thousand where `share` is true."""
    return int(stats.binom.ppf(0.999, STUDIES, share))


@pytest.mark.parametrize(
    "name", ["nothing differs, 30 + 120 patients", "nothing differs, 30 + 30 patients, AUROC .985"]
)
def test_what_does_not_differ_is_rarely_said_to_and_the_interval_holds_it(simulation: ModuleType, name: str):
    said = simulation.several(name, range(STUDIES))
    for metric in simulation.JUDGED:
        assert sum(one[metric] in ("helps", "harms") for one in said) <= most(0.06), metric
    missed = sum(not one["difference held"] for one in said)
    assert missed <= most(0.08)


def test_a_difference_of_the_margin_is_rarely_called_equivalent(simulation: ModuleType):
    said = simulation.several("AUROC differs by the margin, 300 + 300 patients", range(STUDIES))
    assert sum(one["auroc"] == "equivalent" for one in said) <= most(0.06)


def test_a_difference_worth_having_is_found(simulation: ModuleType):
    said = simulation.several("AUROC .80 against .865, 30 + 120 patients", range(STUDIES))
    assert STUDIES - sum(one["auroc"] == "helps" for one in said) <= most(0.2)


def test_a_moved_threshold_is_told_from_a_better_ranking(simulation: ModuleType):
    words = "a moved threshold, not a better ranking"
    moved = simulation.several("a moved threshold, 60 + 120 patients", range(20))
    better = simulation.several("a better ranking, 60 + 120 patients", range(20))
    assert sum(one["conclusion"] == words for one in moved) >= 15
    assert sum(one["conclusion"] == words for one in better) <= 4


def test_a_simulated_gain_is_that_of_what_is_measured(
    simulation: ModuleType, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(simulation, "SOLVING", 1000)
    condition = simulation.CONDITIONS["AUPRC differs by the margin, 300 + 300 patients"]
    assert simulation.expected_gain(condition, simulation.further(condition)) == pytest.approx(0.01, abs=2e-4)
