"""A run: the folder that one protocol over some recipes on one manifest leaves behind."""

from __future__ import annotations

import fcntl
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raresight.errors import RunError
from raresight.evidence.external import summarise_external
from raresight.evidence.graded import summarise_classes
from raresight.evidence.leaky import inflation
from raresight.evidence.subgroups import summarise_subgroups
from raresight.evidence.summary import summarise
from raresight.experiment.leaky import LeakyTask
from raresight.experiment.task import Failure, Result
from raresight.images.cache import content_hash, disk_errors, new_file

REMEDY = "choose another folder with --out"


class Keyed(Protocol):
    """Whatever has predictions of its own in a run."""

    @property
    def key(self) -> tuple[str, int, int]:
        """Recipe id, repeat and fold."""
        ...


class Run:
    """A run's folder, opened to read.

    Parameters
    ----------
    path : Path or str
        A folder that `raresight.compare` made.

    Raises
    ------
    RunError
        If it is not a run.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if not (self.path / "run.json").is_file():
            raise RunError(f"{self.path} is not a run: it has no run.json; make one with raresight compare")

    @cached_property
    def settings(self) -> dict[str, Any]:
        """``run.json``: the command, every resolved setting, versions, hashes."""
        found: dict[str, Any] = json.loads((self.path / "run.json").read_text())
        return found

    def has(self, task: Keyed) -> bool:
        """Tell whether a task is finished."""
        return (self.path / "predictions" / f"{task_name(*task.key)}.parquet").is_file()

    def write(self, task: Keyed, result: Result) -> None:
        """Keep a task's result; its predictions come last, so that they stand for the whole."""
        name = task_name(*task.key)
        with disk_errors(self.path, REMEDY):
            _write_json(self.path / "receipts" / f"{name}.json", result.receipt)
            _write_json(self.path / "thresholds" / f"{name}.json", result.thresholds)
            self._write_table("inner", name, result.inner)
            if result.external is not None:
                self._write_table("external", name, result.external)
            self._write_table("predictions", name, result.predictions)

    def inner(self, recipe: str, repeat: int, fold: int) -> pd.DataFrame:
        """Scores of a task's training rows by a twin that did not see them: ``row, group, label, score``.

        Raises
        ------
        RunError
            If the run is older than these tables.
        """
        path = self.path / "inner" / f"{task_name(recipe, repeat, fold)}.parquet"
        if not path.is_file():
            raise RunError(f"{self.path} keeps no inner scores of {recipe}; run it anew in another folder")
        found = pd.read_parquet(path)
        if found.empty:
            raise RunError(f"{self.path} was made with --inner-folds 0 and has no inner scores of {recipe}")
        return found

    def write_failed(self, failed: Sequence[tuple[Keyed, Failure]]) -> None:
        """Keep which tasks failed and why, in ``failed.csv``; there is none where none did.

        Where a task's code failed, ``failures/<task>.txt`` says where.
        """
        path = self.path / "failed.csv"
        with disk_errors(self.path, REMEDY):
            if not failed:
                path.unlink(missing_ok=True)
                shutil.rmtree(self.path / "failures", ignore_errors=True)
                return
            task, failure = failed[-1]
            if failure.traceback:
                (self.path / "failures").mkdir(exist_ok=True)
                (self.path / "failures" / f"{task_name(*task.key)}.txt").write_text(failure.traceback)
            rows = sorted((*task.key, failure.reason) for task, failure in failed)
            with new_file(path) as scratch:
                pd.DataFrame(rows, columns=["recipe", "repeat", "fold", "reason"]).to_csv(
                    scratch, index=False
                )

    @property
    def failed(self) -> list[dict[str, Any]]:
        """Tasks whose training failed: recipe, repeat, fold and reason."""
        path = self.path / "failed.csv"
        if not path.is_file():
            return []
        found = pd.read_csv(path, keep_default_na=False)
        return [{str(key): value for key, value in row.items()} for row in found.to_dict("records")]

    @property
    def failed_recipes(self) -> set[str]:
        """Recipes that a failed task makes incomplete: nothing is said of them."""
        return {str(task["recipe"]) for task in self.failed}

    @property
    def failure_sentences(self) -> list[str]:
        """Name each failed recipe, with its first reason."""
        failed = self.failed
        found = []
        for recipe in dict.fromkeys(task["recipe"] for task in failed):
            own = [task for task in failed if task["recipe"] == recipe]
            found.append(
                f"{recipe} is left out: it failed in {len(own)} fold(s) ({own[0]['reason']}); "
                "the same command tries them again"
            )
        return found

    def spend(self, stage: str, seconds: float) -> None:
        """Add to what a stage has taken, over all calls that worked in this run; see `spent`."""
        spent = self.spent
        with disk_errors(self.path, REMEDY):
            _write_json(self.path / "stages.json", {**spent, stage: spent.get(stage, 0.0) + seconds})

    @property
    def spent(self) -> dict[str, float]:
        """Seconds by stage of what all tasks share, such as ``prepare``: representations and distances."""
        path = self.path / "stages.json"
        found: dict[str, float] = json.loads(path.read_text()) if path.is_file() else {}
        return found

    def has_leaky(self, task: LeakyTask) -> bool:
        """Tell whether a task of the leaky twin is finished."""
        return (self.path / "leaky" / f"{task_name(*task.key)}.parquet").is_file()

    def write_leaky(self, task: LeakyTask, predictions: pd.DataFrame) -> None:
        """Keep a leaky task's predictions, apart from the honest ones."""
        with disk_errors(self.path, REMEDY):
            self._write_table("leaky", task_name(*task.key), predictions)

    def _write_table(self, room: str, name: str, table: pd.DataFrame) -> None:
        with new_file(self.path / room / f"{name}.parquet") as scratch:
            table.to_parquet(scratch, index=False)

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """Out-of-fold scores: one row per image, recipe and repeat."""
        found = self._tables("predictions")
        if found is None:
            raise RunError(f"{self.path} holds no predictions yet; run the same compare command again")
        return found

    @cached_property
    def external(self) -> pd.DataFrame | None:
        """Scores of the external set, one row per image, recipe, repeat and fold; None without one."""
        return self._tables("external")

    @cached_property
    def leaky(self) -> pd.DataFrame | None:
        """What the leaky twin predicts, see `run_leaky`; None if it was not asked for."""
        return self._tables("leaky")

    def _tables(self, room: str) -> pd.DataFrame | None:
        """Read a room's tables as one, by recipe, repeat and row; without recipes that failed."""
        order = {recipe["id"]: i for i, recipe in enumerate(self.settings["recipes"])}
        parts = sorted((self.path / room).glob("*.parquet"))
        if not parts:
            return None
        whole = pd.concat([pd.read_parquet(part) for part in parts], ignore_index=True)
        whole = whole[whole["recipe"].isin(order)]  # a search may have left some unfinished
        whole = whole[~whole["recipe"].isin(self.failed_recipes)]
        if whole.empty:
            return None
        rank = whole["recipe"].map(order)
        whole = whole.assign(_rank=rank).sort_values(["_rank", "repeat", "row"], kind="stable")
        return whole.drop(columns="_rank").reset_index(drop=True)

    def keep_subgroups(self, table: pd.DataFrame | None) -> bool:
        """Keep which subgroup each row belongs to; the metrics are weighed anew where that changed.

        Parameters
        ----------
        table : pandas.DataFrame or None
            See `raresight.images.subgroups.subgroups_of`; None leaves what there is.

        Returns
        -------
        bool
            Whether anything changed.
        """
        if table is None or (self.subgroups is not None and self.subgroups.equals(table)):
            return False
        with disk_errors(self.path, REMEDY):
            (self.path / "metrics.json").unlink(missing_ok=True)
            with new_file(self.path / "subgroups.parquet") as scratch:
                table.to_parquet(scratch, index=False)
        return True

    @property
    def subgroups(self) -> pd.DataFrame | None:
        """``row``, and for each column asked for the subgroup that it belongs to; None where none was."""
        path = self.path / "subgroups.parquet"
        return pd.read_parquet(path) if path.is_file() else None

    @cached_property
    def receipts(self) -> list[dict[str, Any]]:
        """What each task says of itself: counts, seconds, chosen settings."""
        order = {recipe["id"]: i for i, recipe in enumerate(self.settings["recipes"])}
        found = [json.loads(p.read_text()) for p in sorted((self.path / "receipts").glob("*.json"))]
        found = [r for r in found if (self.path / "predictions" / f"{task_name(*_key(r))}.parquet").is_file()]
        found = [r for r in found if r["recipe"] in order and r["recipe"] not in self.failed_recipes]
        return sorted(found, key=lambda r: (order[r["recipe"]], r["repeat"], r["fold"]))

    @cached_property
    def thresholds(self) -> dict[tuple[str, int, int], dict[str, float]]:
        """For each recipe, repeat and fold: rule → threshold on the scale of the score."""
        return {
            _key(r): json.loads((self.path / "thresholds" / f"{task_name(*_key(r))}.json").read_text())
            for r in self.receipts
        }

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """``metrics.json``: every recipe's metrics with intervals."""
        return self._weighed("metrics.json")

    @property
    def verdicts(self) -> list[dict[str, Any]]:
        """``verdicts.json``: what is said of each balance against its baseline, one row a metric."""
        found: list[dict[str, Any]] = self._weighed("verdicts.json")["verdicts"]
        return found

    @property
    def recommendation(self) -> str:
        """What to do about imbalance on this set, in a sentence; empty where nothing was judged."""
        return str(self._weighed("verdicts.json")["recommendation"])

    def _weighed(self, name: str) -> dict[str, Any]:
        """Read what the predictions show, computed when first asked for."""
        path = self.path / name
        if not path.is_file():
            made = self._summary()
            if self.external is not None:
                made["external"] = summarise_external(self.external, self.thresholds, self.settings)
            if self.leaky is not None:
                made["leaky"] = inflation(self.leaky, made["recipes"])
            if self.subgroups is not None and not self.graded:
                made["subgroups"] = summarise_subgroups(self.predictions, self.thresholds, self.subgroups)
            made["sentences"] += self.failure_sentences
            judged = {key: made.pop(key) for key in ("verdicts", "recommendation")}
            with disk_errors(self.path, REMEDY):
                _write_json(self.path / "verdicts.json", judged)
                _write_json(self.path / "metrics.json", made)
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def _summary(self) -> dict[str, Any]:
        if self.graded:
            return summarise_classes(self.predictions, self.receipts, self.settings)
        return summarise(self.predictions, self.thresholds, self.receipts, self.settings)

    @property
    def graded(self) -> bool:
        """Whether the task has several classes rather than normal and anomalous."""
        return bool(self.settings.get("task") == "multiclass")

    @cached_property
    def rejected(self) -> list[dict[str, str]]:
        """Images that could not be used: file and reason."""
        path = self.path / "rejected.csv"
        if not path.is_file():
            return []
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
        return [{"file": f, "reason": r} for f, r in zip(frame["file"], frame["reason"], strict=True)]

    def image(self, row: int) -> NDArray[np.uint8]:
        """Give one image as (h, w) or (h, w, 3) uint8, while its store is in the cache.

        Raises
        ------
        RunError
            If the store is gone.
        """
        path = Path(self.settings["store"]["folder"]) / "pixels.npy"
        if not path.is_file():
            raise RunError(
                f"the image store {path.parent} is gone from the cache; run compare again to rebuild it"
            )
        image = np.load(path, mmap_mode="r")[row]
        if image.dtype != np.uint8:
            image = (image >> 8).astype(np.uint8)
        return image[..., 0] if image.shape[-1] == 1 else np.asarray(image)


def open_run(path: Path, settings: dict[str, Any], rejected: Sequence[tuple[str, str]]) -> Run:
    """Make a run's folder, or open it again if the same command made it; with the lock held.

    Raises
    ------
    RunError
        If another command made the folder, it is not a run, or it cannot be written.
    """
    identity = settings["identity"]
    with disk_errors(path, REMEDY):
        path.mkdir(parents=True, exist_ok=True)
        if (path / "run.json").is_file():
            if Run(path).settings.get("identity") != identity:
                raise RunError(
                    f"{path} was made by another command; choose another folder with --out or remove it"
                )
            _sweep(path)
            return Run(path)
        if any(entry.name != "run.lock" and not entry.name.startswith(".") for entry in path.iterdir()):
            raise RunError(f"{path} is not empty and is not a run; choose another folder with --out")
        for room in ("predictions", "thresholds", "receipts"):
            (path / room).mkdir(exist_ok=True)
        with new_file(path / "rejected.csv") as scratch:
            pd.DataFrame(rejected, columns=["file", "reason"]).to_csv(scratch, index=False)
        _write_json(path / "run.json", settings)
    return Run(path)


def _sweep(path: Path) -> None:
    """Remove what a process that was killed had begun to write."""
    for scratch in path.glob("*/.*"):
        scratch.unlink(missing_ok=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes from working in a run's folder; the lock dies with its process."""
    with disk_errors(path, REMEDY):
        path.mkdir(parents=True, exist_ok=True)
        stream = (path / "run.lock").open("w")
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunError(f"another process is working in {path}; wait for it to end") from error
        yield


def is_locked(path: Path) -> bool:
    """Tell whether a process is working in a run's folder."""
    try:
        stream = (path / "run.lock").open()
    except OSError:
        return False
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def task_name(recipe: str, repeat: int, fold: int) -> str:
    """Name a task's files: readable, safe on every file system, and one name a task."""
    plain = re.sub(r"[^A-Za-z0-9@+._-]", "_", recipe)
    mark = "" if plain == recipe else f"-{content_hash(recipe)[:8]}"
    return f"{plain}{mark}-r{repeat}-f{fold}"


def _key(receipt: dict[str, Any]) -> tuple[str, int, int]:
    return receipt["recipe"], receipt["repeat"], receipt["fold"]


def _write_json(path: Path, content: Any) -> None:
    with new_file(path) as scratch:
        scratch.write_text(json.dumps(content, indent=1, allow_nan=False))
