"""The same comparison at several imbalances: each a run of its own beneath one folder."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from raresight.errors import OptionError, RunError
from raresight.experiment.carry import carry_out
from raresight.experiment.run import REMEDY, Run, locked
from raresight.experiment.work import Work, plan_work
from raresight.images.cache import content_hash, disk_errors, new_file
from raresight.images.manifest import Manifest
from raresight.progress import Progress, Say, silent, unsaid

GAINS = ("auroc", "sensitivity", "sensitivity_at_95_specificity")
"""What a sampler can gain: ranking, decisions at the default threshold, and at matched specificity."""

SUMMARY = "sweep.json"


class Sweep:
    """A sweep's folder, opened to read.

    Parameters
    ----------
    path : Path or str
        A folder that `compare_imbalances` made.

    Raises
    ------
    RunError
        If it is not a sweep.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if not is_sweep(self.path):
            raise RunError(
                f"{self.path} is not a sweep: it has no {SUMMARY}; "
                "make one with raresight compare --imbalance 1,5,20"
            )

    @cached_property
    def summary(self) -> dict[str, Any]:
        """``sweep.json``: the command, each ratio's run, and once all are finished every sampler's gains."""
        found: dict[str, Any] = json.loads((self.path / SUMMARY).read_text())
        return found

    @cached_property
    def runs(self) -> dict[float, Run]:
        """Normal images for each anomalous one → the run."""
        return {entry["imbalance"]: Run(self.path / entry["run"]) for entry in self.summary["ratios"]}


def is_sweep(path: Path | str) -> bool:
    """Tell whether a folder is a sweep."""
    return (Path(path) / SUMMARY).is_file()


def compare_imbalances(
    images: Manifest,
    models: Sequence[str] = ("svm", "rf"),
    balance: Sequence[str] = ("none", "smote"),
    *,
    imbalance: Sequence[float] = (1, 5, 20, 100),
    workers: int | None = None,
    scheduler: Any = None,
    out: str | Path | None = None,
    progress: Progress = silent,
    say: Say = unsaid,
    **options: Any,
) -> Sweep:
    """Compare recipes at several imbalances of the training rows; the test folds stay the same.

    The same call again resumes a sweep that was cut short, or gives the finished one.

    Parameters
    ----------
    images, models, balance
        See `compare`.
    imbalance : sequence of float
        Normal images for each anomalous one, 1 or more, in any order.
    workers : int, optional
    scheduler : str or distributed.Client, optional
    out : path, optional
        The sweep's folder, by default ``runs/<hash>``; each ratio's run is ``imbalance-<ratio>`` in it.
    progress, say : callable, optional
    **options
        Further ones of `compare`.

    Returns
    -------
    Sweep

    Raises
    ------
    DataError, OptionError, RunError, LeakageError
        As `compare` does; if no ratio, or one twice, is named.
    """
    ratios = sorted(float(ratio) for ratio in imbalance)
    if not ratios or len(set(ratios)) < len(ratios):
        raise OptionError("name each imbalance once, for example --imbalance 1,5,20,100")
    works = {
        ratio: plan_work(images, models, balance, imbalance=ratio, progress=progress, **options)
        for ratio in ratios
    }
    next(iter(works.values())).tell(say)
    identity = content_hash("sweep", [work.identity for work in works.values()])
    path = Path(out) if out is not None else Path("runs") / identity[:12]
    with locked(path):
        _open(path, identity, works, options.get("command"))
        runs = {
            ratio: carry_out(
                work, path / _name(ratio), workers or os.cpu_count() or 1, progress, say, scheduler=scheduler
            )
            for ratio, work in works.items()
        }
        _write(path, _summary(identity, works, runs, options.get("command")))
    return Sweep(path)


def gains(
    metrics: Mapping[str, Any], verdicts: Sequence[Mapping[str, Any]], imbalance: float
) -> list[dict[str, Any]]:
    """Read what every balance gained over none in one run, with 95 % intervals of the paired differences.

    Parameters
    ----------
    metrics : mapping
        ``metrics.json``.
    verdicts : sequence of mappings
        Of ``verdicts.json``.
    imbalance : float
        Of the run.

    Returns
    -------
    list of dict
        ``imbalance, recipe, model, representation, balance, metric, difference, low, high, decision``; the
        decision is the verdict's, and None where there is none.
    """
    judged = {(v["recipe"], v["metric"]): v for v in verdicts if v["against"] == "none"}
    found = []
    for effect in metrics["effects"]:
        who = {key: effect[key] for key in ("recipe", "model", "representation", "balance")}
        for metric in GAINS:
            # A verdict's interval knows of repeats; decisions at a threshold have the bootstrap's alone.
            change = judged.get((effect["recipe"], metric)) or effect["changes"].get(metric)
            if change is not None:
                band = {key: change[key] for key in ("difference", "low", "high")}
                said = {"decision": change.get("decision")}
                found.append({"imbalance": imbalance, **who, "metric": metric, **band, **said})
    return found


def _name(ratio: float) -> str:
    return f"imbalance-{ratio:g}"


def _open(path: Path, identity: str, works: Mapping[float, Work], command: str | None) -> None:
    """Make a sweep's folder, or open it again if the same command made it."""
    if is_sweep(path):
        if Sweep(path).summary.get("identity") != identity:
            raise RunError(
                f"{path} was made by another command; choose another folder with --out or remove it"
            )
        return
    if any(entry.name != "run.lock" and not entry.name.startswith(".") for entry in path.iterdir()):
        raise RunError(f"{path} is not empty and is not a sweep; choose another folder with --out")
    _write(path, _summary(identity, works, {}, command))


def _summary(
    identity: str, works: Mapping[float, Work], runs: Mapping[float, Run], command: str | None
) -> dict[str, Any]:
    first = next(iter(works.values()))
    return {
        "identity": identity,
        "command": command,
        "data": first.settings["data"],
        "protocol": {**first.settings["protocol"], "imbalance": list(works)},
        "ratios": [{"imbalance": ratio, "run": _name(ratio), **_counts(runs.get(ratio))} for ratio in works],
        "gains": [gain for ratio, run in runs.items() for gain in gains(run.metrics, run.verdicts, ratio)],
    }


def _counts(run: Run | None) -> dict[str, float]:
    """Give the mean numbers of training rows and of anomalies among them."""
    if run is None:
        return {}
    receipts = run.receipts
    return {
        key: sum(receipt[key] for receipt in receipts) / len(receipts)
        for key in ("train_rows", "train_anomalies")
    }


def _write(path: Path, content: dict[str, Any]) -> None:
    with disk_errors(path, REMEDY), new_file(path / SUMMARY) as scratch:
        scratch.write_text(json.dumps(content, indent=1, allow_nan=False))
