"""auto: within a budget of time, the recipe that a set's own training rows favour, judged by nested folds."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from raresight.errors import OptionError, RunError
from raresight.evidence.judge import judge
from raresight.experiment.carry import carry_out
from raresight.experiment.chosen import AUTO, STACK, Key, auto_result, choose, inner_auroc, stack_result
from raresight.experiment.recipe import Recipe
from raresight.experiment.run import Run
from raresight.experiment.task import Task
from raresight.experiment.work import Work, plan_work
from raresight.images.cache import content_hash, disk_errors, new_file
from raresight.images.manifest import Manifest
from raresight.progress import Progress, Say, silent, unsaid

MODELS = ("logistic", "svm", "rf", "boosting", "vote", "mahalanobis", "transfer", "cnn")
"""What is tried when nothing is named, the quick ones first."""

BALANCES = ("none", "smote", "class-weight")

MEMBERS = 3
"""Recipes of the stack."""

SUMMARY = "auto.json"
REMEDY = "choose another folder with --out"


@dataclass(frozen=True)
class AutoSearch:
    """What `auto_compare` found.

    Attributes
    ----------
    run : Run
        Every recipe that was finished, and two more: ``auto``, in each fold the recipe that its training rows
        favour, and ``stack``, the best three combined.
    summary : dict
        ``auto.json``: ``budget`` in minutes, ``finished`` and ``unfinished`` recipes, ``chosen`` by fold,
        ``winner``, and ``verdicts`` of auto and stack against the first recipe.
    winner : Recipe
        The one with the best mean inner AUROC.
    """

    run: Run
    summary: dict[str, Any]
    winner: Recipe


def auto_compare(
    images: Manifest,
    models: Sequence[str] = MODELS,
    balance: Sequence[str] = BALANCES,
    *,
    budget: float = 30.0,
    workers: int | None = None,
    out: str | Path | None = None,
    progress: Progress = silent,
    say: Say = unsaid,
    **options: Any,
) -> AutoSearch:
    """Search representation × sampler × detector within a budget, by nested cross-validation.

    Recipes are tried one after the other, quick ones first, each on every outer fold. In an outer fold the
    choice is made by the AUROC of inner out-of-fold scores of its training rows; the test rows of that fold
    only judge it. So the metrics of ``auto`` are those of the whole way of choosing, not too high as those of
    the best of many recipes are. How many recipes fit depends on the machine, and so does the choice; among
    the same finished recipes it is always the same.

    Parameters
    ----------
    images : Manifest
        Of a binary task.
    models, balance : sequences of str
        As for `compare`.
    budget : float
        Minutes, above 0. A recipe is not begun, or left off, when it would not end in time; the first one
        always ends. The same call again, perhaps with a larger budget, goes on.
    workers, out, progress, say
        See `compare`.
    **options
        Further ones of `compare`: ``folds, repeats, tune, representation, imbalance, seed, groups …``.

    Raises
    ------
    DataError, OptionError, RunError, LeakageError
        As `compare` does; if the budget is not above 0.
    """
    if not budget > 0:
        raise OptionError(f"--budget {budget:g} leaves no time; write minutes, for example 30")
    if images.task != "binary":
        raise OptionError("auto tells normal from anomalous; leave out --task multiclass and name --normal")
    start = time.monotonic()
    work = plan_work(images, models, balance, progress=progress, **options)
    work = replace(work, settings={**work.settings, "identity": content_hash(AUTO, work.identity)})
    work.tell(say)
    path = Path(out) if out is not None else Path("runs") / work.identity[:12]
    search = _Search(work, path, workers or os.cpu_count() or 1, start + 60 * budget, progress)
    finished, unfinished = search.spend(say)
    if not finished:
        raise RunError(f"every recipe failed; {Run(path).failure_sentences[0]}")
    return _conclude(work, path, finished, unfinished, budget)


class _Search:
    """The recipes of a piece of work, tried in turn until the time is up."""

    def __init__(self, work: Work, path: Path, workers: int, until: float, progress: Progress) -> None:
        self.work, self.path, self.workers = work, path, workers
        self.until, self.progress = until, progress
        self.tasks: dict[str, list[Task]] = {}
        for task in sorted(work.tasks, key=lambda task: task.recipe.network):
            self.tasks.setdefault(task.recipe.id, []).append(task)

    def spend(self, say: Say) -> tuple[list[str], list[str]]:
        """Try recipes while there is time: (finished, unfinished)."""
        finished: list[str] = []
        for name, tasks in self.tasks.items():
            if self._finish(tasks, first=not finished):
                finished.append(name)
            else:
                failed = Run(self.path).failed_recipes if (self.path / "run.json").is_file() else set()
                why = "failed" if name in failed else "would not end within the budget"
                say(f"{name} {why} and was left out")
        return finished, [name for name in self.tasks if name not in finished]

    def _finish(self, tasks: list[Task], first: bool) -> bool:
        """Do one recipe's tasks, as many as there are workers first to see how long they take."""
        if not first and time.monotonic() > self.until and not self._done(tasks):
            return False
        head, rest = tasks[: self.workers], tasks[self.workers :]
        began = time.monotonic()
        self._carry_out(head)
        rounds = -(-len(rest) // self.workers)
        expected = (time.monotonic() - began) * rounds
        if rest and not first and time.monotonic() + expected > self.until and not self._done(rest):
            return False
        self._carry_out(rest)
        return self._done(tasks)

    def _done(self, tasks: list[Task]) -> bool:
        return (self.path / "run.json").is_file() and all(map(Run(self.path).has, tasks))

    def _carry_out(self, tasks: list[Task]) -> None:
        if tasks and not self._done(tasks):
            carry_out(replace(self.work, tasks=tasks), self.path, self.workers, self.progress, weigh=False)


def _conclude(
    work: Work, path: Path, finished: list[str], unfinished: list[str], budget: float
) -> AutoSearch:
    known = {part["id"]: part for part in work.settings["recipes"]}
    _settle(path, work, [known[name] for name in finished])
    run = Run(path)
    folds = list(dict.fromkeys((task.split.repeat, task.split.fold) for task in work.tasks))
    ranked = {fold: choose(run, finished, *fold) for fold in folds}
    for fold, order in ranked.items():
        auto, stack = Key(AUTO, *fold), Key(STACK, *fold)
        run.write(auto, auto_result(run, order[0], auto))
        run.write(stack, stack_result(run, order[:MEMBERS], stack))
    stochastic = any(known[name]["stochastic"] for name in finished)
    made = [
        {"id": name, "model": name, "representation": "chosen", "balance": "none", "stochastic": stochastic}
        for name in (AUTO, STACK)
    ]
    _settle(path, work, [*made, *(known[name] for name in finished)])
    for weighed in ("metrics.json", "verdicts.json"):
        (path / weighed).unlink(missing_ok=True)
    run = Run(path)
    mean = {name: float(np.mean([inner_auroc(run, name, *fold) for fold in folds])) for name in finished}
    best = max(finished, key=lambda name: mean[name])
    summary = {
        "budget": budget,
        "finished": finished,
        "unfinished": unfinished,
        "inner_auroc": mean,
        "chosen": [{"repeat": r, "fold": f, "ranked": order[:MEMBERS]} for (r, f), order in ranked.items()],
        "winner": best,
        "against": finished[0],
        "verdicts": _verdicts(run, finished[0], stochastic),
    }
    with disk_errors(path, REMEDY), new_file(path / SUMMARY) as scratch:
        scratch.write_text(json.dumps(summary, indent=1, allow_nan=False))
    return AutoSearch(run, summary, next(task.recipe for task in work.tasks if task.recipe.id == best))


def _verdicts(run: Run, against: str, stochastic: bool) -> list[dict[str, Any]]:
    table = run.predictions
    table = table[table["recipe"].isin((AUTO, STACK, against))]
    drawn = (AUTO, STACK) if stochastic else ()
    return judge(table, against, stochastic=drawn, seed=run.settings["protocol"]["seed"]).verdicts


def _settle(path: Path, work: Work, recipes: list[dict[str, Any]]) -> None:
    """Write down which recipes the run holds: not those that the time left unfinished."""
    settings = {**work.settings, "recipes": recipes}
    with disk_errors(path, REMEDY), new_file(path / "run.json") as scratch:
        scratch.write_text(json.dumps(settings, indent=1, allow_nan=False))
