"""What runs there are, how far they are, what failed and what they cost."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from raresight.errors import OptionError
from raresight.evidence.names import data_title
from raresight.experiment.run import Run, is_locked


@dataclass(frozen=True, slots=True)
class Listed:
    """A run as a list shows it.

    Attributes
    ----------
    path : str
    data : str
        Name of its set.
    state : {"running", "finished", "unfinished", "failed"}
        ``failed``: all was tried, and some tasks failed; ``unfinished``: stopped, the same command goes on.
    done, tasks : int
        Tasks finished, and all of them.
    failures : list of dict
        ``recipe, repeat, fold, reason``.
    seconds : dict of str to float
        By stage: ``prepare``, representations and distances; ``fit`` and ``predict``, summed over tasks.
    bytes : dict of str to int
        On disk by stage: ``store`` (shared with other runs, 0 where it is gone), ``predictions``, ``other``.
    command : str or None
        That began it.
    """

    path: str
    data: str
    state: str
    done: int
    tasks: int
    failures: list[dict[str, Any]]
    seconds: dict[str, float]
    bytes: dict[str, int]
    command: str | None

    def as_dict(self) -> dict[str, Any]:
        """Give it as JSON has it."""
        return asdict(self)


def list_runs(folder: Path | str) -> list[Listed]:
    """List the runs in a folder, and in folders in it, the last begun first.

    Parameters
    ----------
    folder : path
        Of runs, or a run itself.

    Raises
    ------
    OptionError
        If there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise OptionError(f"there is no folder {folder}; name one that holds runs")
    found = sorted(folder.rglob("run.json"), key=lambda path: -path.stat().st_mtime)
    return [listed for path in found if (listed := _listed(path.parent)) is not None]


def _listed(path: Path) -> Listed | None:
    run = Run(path)
    settings = run.settings
    if not {"recipes", "protocol", "store"} <= settings.keys():
        return None
    protocol = settings["protocol"]
    folds = 1 if protocol.get("split") == "published" else protocol["folds"]
    tasks = len(settings["recipes"]) * folds * protocol["repeats"]
    done = len(list((path / "predictions").glob("*.parquet")))
    seconds = Counter(run.spent)
    for receipt in run.receipts:
        seconds.update(receipt["seconds"])
    state = "finished" if done >= tasks else "failed" if done + len(run.failed) >= tasks else "unfinished"
    return Listed(
        path=str(path),
        data=data_title(settings["data"]["name"]),
        state="running" if is_locked(path) else state,
        done=done,
        tasks=tasks,
        failures=run.failed,
        seconds=dict(seconds),
        bytes=_sizes(path, Path(settings["store"]["folder"])),
        command=settings.get("command"),
    )


def _sizes(path: Path, store: Path) -> dict[str, int]:
    parts = {"store": _size(store), "predictions": _size(path / "predictions")}
    return {**parts, "other": _size(path) - parts["predictions"]}


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
