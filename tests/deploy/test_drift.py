"""Drift: the statistics against scipy, the alarms by simulation, and what keeps them bounded."""

from __future__ import annotations

import json
import threading
import time

import numpy as np
import pytest
from scipy import stats

from raresight.deploy.drift import ALARMS, EVERY, FEWEST, LEVEL, TESTS, TOLERANCE, DriftMonitor, Z
from raresight.deploy.drift_features import AXES, feature_reference
from raresight.deploy.kernel import Waves, bandwidth, discrepancy
from raresight.deploy.prevalence import estimate_prevalence
from raresight.deploy.reference import drift_statistics, feature_statistics, score_quantiles
from raresight.deploy.scores import ClassScores, ScoreReference, kolmogorov_p

WIDTH = 24


def draw(random, normal: int, anomalous: int, *, apart: float = 2.5, shift: float = 0.0):
    label = np.repeat([0, 1], [normal, anomalous])
    scale = np.linspace(2, 0.5, WIDTH)
    features = random.normal(0, 1, (len(label), WIDTH)) * scale + 0.5 * label[:, None] + shift * scale
    return label, random.normal(0, 1, len(label)) + apart * label, features.astype(np.float32)


def described(label, score, features=None, groups=None) -> dict:
    groups = np.arange(len(label)) if groups is None else groups
    classes = enumerate(("normal", "anomalous"))
    return {
        "scores": {name: score_quantiles(score[label == c], groups[label == c]) for c, name in classes},
        "features": None if features is None else feature_statistics(features),
        "drift": None if features is None else drift_statistics(features, label, groups),
    }


def watched(known: dict, score, features=None, window: int | None = None, **options) -> dict:
    monitor = DriftMonitor(known, window or len(score), **options)
    for row, value in enumerate(score):
        monitor.add(float(value), None, None if features is None else features[row])
    return monitor.status()


def names(status: dict) -> set[str]:
    return {alarm["name"] for alarm in status["alarms"]}


@pytest.fixture(scope="module")
def known() -> dict:
    return json.loads(json.dumps(described(*draw(np.random.default_rng(0), 600, 200))))


@pytest.fixture(scope="module")
def scores(known) -> ScoreReference:
    return ScoreReference.from_dict(known["scores"])


# --- the statistics --------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [50, 500, 5000])
def test_the_p_of_a_ks_distance_is_scipys(n):
    for distance in np.linspace(0.2, 2.2, 9) / np.sqrt(n):
        assert kolmogorov_p(distance, n) == pytest.approx(stats.kstwo.sf(distance, n), rel=0.05, abs=2e-3)
    assert kolmogorov_p(0.0, n) == 1


def test_the_ks_distance_is_scipys_where_the_reference_is_continuous(scores):
    new = np.random.default_rng(1).normal(0.5, 1.5, 300)
    for share in (0.0, 0.25, 1.0):

        def mixed(x, share=share):
            return (1 - share) * scores.normal.up_to(x) + share * scores.anomalous.up_to(x)

        expected = stats.kstest(new, mixed).statistic
        assert scores.kolmogorov_smirnov(new, share)[0] == pytest.approx(expected, abs=1e-9)


def test_equal_scores_are_no_distance():
    """A forest's scores are few; half of them may be the same."""
    values = np.repeat([0.0, 0.1, 0.4, 1.0], [50, 20, 20, 10])
    reference = ScoreReference(ClassScores(100, np.quantile(values, np.linspace(0, 1, 101))), None, 0.0)
    distance, p = reference.kolmogorov_smirnov(values, 0.0)
    assert distance < 0.015 and p > 0.99


def test_the_stability_index_is_its_definition(scores):
    edges = scores.edges()
    new = np.random.default_rng(2).normal(1, 1, 5000)
    q = scores.bins(0.25, edges)
    assert q.sum() == pytest.approx(1) and len(q) == 10
    p = np.histogram(new, [-np.inf, *edges, np.inf])[0] / len(new)
    expected = ((p - q) * np.log(p / q)).sum()
    assert scores.stability_index(new, 0.25, edges) == pytest.approx(expected, rel=0.02)


def test_waves_are_the_gaussian_kernel():
    features = np.random.default_rng(3).normal(0, 1, (60, WIDTH)).astype(np.float32)
    width = bandwidth(features)
    apart = ((features[:, None] - features) ** 2).sum(-1)
    assert width == pytest.approx(np.median(np.sqrt(apart[np.triu_indices(60, 1)])), rel=1e-5)
    waves = Waves(WIDTH, width, 4096)(features)
    np.testing.assert_allclose(waves @ waves.T, np.exp(-apart / (2 * width**2)), atol=0.08)


def test_the_discrepancy_is_without_bias_and_its_p_uniform():
    random, found, ps = np.random.default_rng(4), [], []
    wave = Waves(WIDTH, 7.0, 32)
    for _ in range(200):
        old, new = (random.normal(0, 1, (n, WIDTH)).astype(np.float32) for n in (300, 120))
        mean = wave(old).mean(axis=0, dtype=np.float64)
        one = discrepancy(wave(new), mean, None, (300, 0), (1.0, 1.0), (0.0, 0.0))
        found.append(one.squared)
        ps.append(one.p)
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(200)
    assert stats.kstest(ps, "uniform").pvalue > 0.001


def test_distances_know_few_axes_and_the_rest_as_one():
    features = np.random.default_rng(5).normal(0, 1, (2000, WIDTH)) * np.linspace(3, 0.5, WIDTH)
    reference = feature_reference(feature_statistics(features))
    assert reference.axes.shape == (WIDTH, AXES)
    total = (reference.scale**2).sum() + reference.rest**2 * (WIDTH - AXES)
    assert total == pytest.approx(features.var(axis=0, ddof=1).sum(), rel=1e-3)


@pytest.mark.parametrize(("share", "apart"), [(0.02, 3.0), (0.1, 2.0), (0.4, 1.0), (0.9, 2.0)])
def test_the_interval_of_the_prevalence_holds_it(share, apart):
    inside = []
    for seed in range(150):
        random = np.random.default_rng([6, seed])
        label, score, _ = draw(random, 300, 150, apart=apart)
        reference = ScoreReference.from_dict(described(label, score)["scores"])
        count = random.binomial(300, share)
        _, new, _ = draw(random, 300 - count, count, apart=apart)
        found = estimate_prevalence(new, reference.normal, reference.anomalous)
        assert 0 <= found.low <= found.estimate <= found.high <= 1
        inside.append(found.low <= share <= found.high)
    assert 0.89 <= np.mean(inside) <= 1


def test_classes_that_score_alike_leave_the_prevalence_open():
    random = np.random.default_rng(7)
    same = [ClassScores(200, np.quantile(random.normal(size=200), np.linspace(0, 1, 101))) for _ in "na"]
    found = estimate_prevalence(random.normal(size=300), *same)
    assert found.high - found.low > 0.8


def test_the_quantiles_of_the_levels_are_right():
    for level, z in Z.items():
        assert z == pytest.approx(stats.norm.ppf(1 - level / 2), abs=1e-5)


# --- the monitor -----------------------------------------------------------------------------------


def test_images_like_those_of_training_raise_no_alarm_more_often_than_stated():
    alarms = []
    for seed in range(60):
        random = np.random.default_rng([8, seed])
        reference = described(*draw(random, 300, 100))
        _, score, features = draw(random, 225, 75)
        alarms.append(bool(watched(reference, score, features)["alarms"]))
    assert sum(alarms) <= stats.binom.ppf(0.999, len(alarms), LEVEL)


def test_fewer_anomalies_are_no_drift_but_another_prevalence(known):
    _, score, features = draw(np.random.default_rng(9), 490, 10)
    status = watched(known, score, features)
    assert names(status) == {"prevalence"}
    found = status["prevalence"]
    assert found["low"] <= 0.02 <= found["high"] < found["stated"] == 0.25
    assert status["scores"]["psi"] < 0.1 < status["scores"]["psi_as_trained"]
    assert names(watched(known, score, features, prevalence=0.02)) == set()


def test_shifted_features_and_scores_raise_their_alarms(known):
    random = np.random.default_rng(10)
    _, score, features = draw(random, 375, 125, shift=0.3)
    assert "features" in names(watched(known, score, features))
    assert "distance" in names(watched(known, score, 2 * features))
    _, score, features = draw(random, 375, 125)
    found = names(watched(known, score / 3 + 1.2, features))
    assert found == {"scores"}


def test_several_images_a_patient_weigh_as_few():
    """Ten copies of each image: neither the reference nor the window knows more for them."""
    random, alarms = np.random.default_rng(11), 0
    for _ in range(10):
        label, score, features = (np.repeat(each, 10, axis=0) for each in draw(random, 60, 30))
        reference = described(label, score, features, np.repeat(np.arange(90), 10))
        _, score, features = (np.repeat(each, 10, axis=0) for each in draw(random, 30, 15))
        alarms += bool(watched(reference, score, features)["alarms"])
    assert alarms <= 1


def test_one_class_is_enough():
    random = np.random.default_rng(12)
    label, score, features = draw(random, 400, 0)
    known = described(label, score, features)
    status = watched(known, *draw(random, 300, 0)[1:])
    assert status["prevalence"] is None and status["alarms"] == []
    assert "features" in names(
        watched(described(label, score, features), *draw(random, 300, 0, shift=0.4)[1:])
    )


def test_an_older_bundle_is_watched_by_its_scores(known):
    older = {"scores": known["scores"], "features": known["features"]}
    status = watched(older, *draw(np.random.default_rng(13), 375, 125)[1:])
    assert status["features"] is None and status["scores"]["ks"] < TOLERANCE


def test_the_status_is_json_and_waits_for_enough_images(known):
    _, score, features = draw(np.random.default_rng(14), 60, 20)
    monitor = DriftMonitor(known, 500)
    for row in range(FEWEST - 1):
        monitor.add(score[row], 0.5, features[row])
    assert monitor.status()["scores"] is None
    monitor.add(float("nan"), None, features[0])  # is left out
    monitor.add(score[50], None, None)
    status = json.loads(json.dumps(monitor.status(), allow_nan=False))
    assert (status["images"], status["window"], status["full_window"]) == (FEWEST, FEWEST, 500)
    assert set(status) == {"images", "window", "full_window", "scores", "features", "prevalence", "alarms"}
    assert status["features"] is None  # one image less than it takes
    assert status["prevalence"]["mean_probability"] == 0.5
    assert len(ALARMS) == TESTS


def test_the_status_is_computed_now_and_then(known):
    _, score, features = draw(np.random.default_rng(15), 200, 0)
    monitor = DriftMonitor(known, 100)
    for row in range(FEWEST):
        monitor.add(score[row], None, features[row])
    first = monitor.status()
    for row in range(EVERY - 1):
        monitor.add(score[row], None, features[row])
    lagging = monitor.status()
    assert lagging["scores"] == first["scores"] and lagging["images"] == FEWEST + EVERY - 1
    monitor.add(score[0], None, features[0])
    assert monitor.status()["scores"] != first["scores"]


def test_the_window_holds_the_last_images_alone(known):
    random = np.random.default_rng(16)
    _, old, _ = draw(random, 0, 300, apart=8)
    _, score, _ = draw(random, 75, 25)
    alone, after = watched(known, score, window=100), watched(known, [*old, *score], window=100)
    assert after["scores"]["ks"] == pytest.approx(alone["scores"]["ks"]) and after["images"] == 400


def test_threads_add_at_once(known):
    monitor = DriftMonitor(known, 200)
    _, score, features = draw(np.random.default_rng(17), 100, 0)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for row in range(100):
                monitor.add(score[row], 0.1, features[row])
                if row % 20 == 0:
                    monitor.status()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures and monitor.status()["window"] == 200
    monitor.add(score[0], None, features[0])
    assert DriftMonitor.status(monitor)["images"] == 401


def test_adding_costs_next_to_nothing(known):
    monitor = DriftMonitor(known, 500)
    row = np.zeros(WIDTH, np.float32)
    start = time.perf_counter()
    for _ in range(2000):
        monitor.add(0.0, 0.5, row)
    assert (time.perf_counter() - start) / 2000 < 1e-3


def test_a_restart_goes_on_with_the_same_bundle_alone(known, tmp_path):
    _, score, features = draw(np.random.default_rng(18), 150, 50)
    monitor, path = DriftMonitor(known, 150), tmp_path / "drift.npz"
    for row, value in enumerate(score):
        monitor.add(value, 0.5, features[row])
    monitor.save(path, "this bundle")
    later = DriftMonitor(known, 150)
    assert later.restore(path, "this bundle") and later.status() == monitor.status()
    assert not DriftMonitor(known, 150).restore(path, "another bundle")
    assert not DriftMonitor(known, 151).restore(path, "this bundle")
    assert not DriftMonitor(known, 150).restore(tmp_path / "missing.npz", "this bundle")
    path.write_bytes(path.read_bytes()[:900])
    assert not DriftMonitor(known, 150).restore(path, "this bundle")
    assert [each.name for each in tmp_path.iterdir()] == ["drift.npz"]


def test_a_bundle_has_what_drift_needs(bundle):
    """Its components were learned from its images: only scores are held to them."""
    reference = json.loads((bundle / "reference.json").read_text())
    assert reference["drift"] is None and reference["features"] is not None
    assert reference["scores"]["normal"]["independent"] <= reference["scores"]["normal"]["n"]
    assert DriftMonitor(reference).status()["features"] is None
