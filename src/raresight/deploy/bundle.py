"""A trained recipe to deploy: a folder with ONNX graphs, JSON, a model card and a list of hashes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import raresight
from raresight.deploy.card import bundle_card
from raresight.deploy.examples import write_cases
from raresight.deploy.facts import DEPTHS, FACTS, SCHEMA
from raresight.deploy.files import LIST, REMEDY, check_folder, write_list
from raresight.deploy.graph import check_exportable, check_graphs, run_graphs, scoring_graphs
from raresight.deploy.heat_graph import HeatGraph, heat_graph
from raresight.deploy.judged import Judged, code_hash, judged_by_run, judged_inside
from raresight.deploy.prediction import made_up
from raresight.deploy.refer import learn_rules, parse_refer
from raresight.deploy.reference import reference
from raresight.errors import OptionError
from raresight.evidence.names import data_title
from raresight.evidence.thresholds import DEFAULT_RULES
from raresight.experiment.chosen import favourite
from raresight.experiment.recipe import Recipe, make_recipes, recipe_notices
from raresight.experiment.refit import Refit, refit
from raresight.experiment.run import Run
from raresight.images.cache import new_folder
from raresight.images.load import load
from raresight.images.manifest import Manifest
from raresight.progress import Progress, Say, silent, unsaid
from raresight.spec import parse_spec

CHECKED = 8
"""Training images on which the graphs are held to the detector."""

EXPLAIN = "explain.onnx"

_DEPTH = {dtype: bits for bits, dtype in DEPTHS.items()}


@dataclass(frozen=True)
class Bundle:
    """A recipe that has seen every image, with what is known of its worth.

    Attributes
    ----------
    refit : Refit
    judged : Judged or None
        None where its images hold too few anomalies to say anything.
    refer : dict of str to float
        By which rules it refers images, see `raresight.deploy.refer.parse_refer`.
    """

    refit: Refit
    judged: Judged | None
    refer: dict[str, float] = field(default_factory=dict)

    def save(self, folder: Path | str, *, include_examples: bool = False, replace: bool = False) -> Path:
        """Write the bundle's folder, whole or not at all.

        Parameters
        ----------
        folder : path
            New, or empty.
        include_examples : bool
            Whether some training images go with it, for a reader to compare new ones with. Without it no
            pixel of a training image is in the bundle.
        replace : bool
            Whether a bundle that is there already gives way.

        Raises
        ------
        OptionError
            If the folder is not empty, or the recipe cannot be exported.
        RunError
            If it cannot be written.
        """
        folder = Path(folder)
        there = (folder / LIST).is_file()
        check_folder(folder, replace=replace)
        graphs = [graph.SerializeToString() for graph in scoring_graphs(self.refit.fitted, self.refit.store)]
        some = self.refit.fitted.rows[:: max(1, len(self.refit.fitted.rows) // CHECKED)]
        check_graphs(graphs, self.refit.fitted, self.refit.store, some)
        heat = heat_graph(self.refit.fitted, self.refit.store)
        with new_folder(folder, REMEDY) as scratch:
            self._write(scratch, graphs, heat, include_examples)
            write_list(scratch)
            if there:
                shutil.rmtree(folder)
        return folder

    def _write(
        self, folder: Path, graphs: list[bytes], heat: HeatGraph | None, include_examples: bool
    ) -> None:
        names = (
            ["detector.onnx"] if len(graphs) == 1 else [f"part-{i}.onnx" for i in range(1, len(graphs) + 1)]
        )
        for name, graph in zip(names, graphs, strict=True):
            (folder / name).write_bytes(graph)
        explain = None
        if heat is not None:
            (folder / EXPLAIN).write_bytes(heat.content)
            explain = {"file": EXPLAIN, "method": heat.method, "low": heat.low, "high": heat.high}
        facts = self.facts({"score": names, "explain": explain}, self._self_test(graphs))
        _write_json(folder / FACTS, facts)
        refit = self.refit
        described = reference(refit.fitted, refit.store, refit.inner, refit.groups)
        (folder / "reference.json").write_text(json.dumps(described, allow_nan=False))
        (folder / "model_card.md").write_text(bundle_card(facts, self.judged, refit))
        write_cases(folder, refit.fitted, refit.store, described["features"], pictures=include_examples)

    def facts(self, graphs: Mapping[str, Any], self_test: float) -> dict[str, Any]:
        """Give what ``bundle.json`` holds.

        Parameters
        ----------
        graphs : mapping
            ``score``, the files of the scoring path; ``explain``, see `raresight.deploy.facts.Explain`.
        self_test : float
            The score of `raresight.deploy.predictor.made_up`'s image.
        """
        fitted, store, settings = self.refit.fitted, self.refit.store, self.refit.settings
        manifest = store.manifest
        return {
            "schema": SCHEMA,
            "raresight": raresight.__version__,
            "recipe": fitted.recipe.settings(),
            "task": manifest.task,
            "labels": {
                "normal": list(manifest.normal),
                "anomalous": [label for label in manifest.classes if label not in manifest.normal],
            },
            "input": {
                "modality": store.preprocess.preset,
                "size": store.preprocess.size,
                "channels": store.pixels.shape[3],
                "bits": _DEPTH[store.pixels.dtype],
                "preprocess": {"version": 1, **store.preprocess.settings()},
            },
            "graphs": dict(graphs),
            "score_shift": fitted.shift,
            "thresholds": self.refit.thresholds,
            "calibration": self._calibration(),
            "deciders": learn_rules(self.refit, self.refer),
            "self_test": {"score": self_test},
            "data": {
                "name": data_title(manifest.name),
                "images": len(manifest),
                "trained_on": len(fitted.rows),
                "classes": settings["data"]["classes"],
            },
            "evidence": None if self.judged is None else self.judged.as_dict(),
            "hashes": {
                "manifest": settings["data"]["manifest_hash"],
                "images": store.key,
                "code": code_hash(),
            },
            "versions": settings["versions"],
        }

    def _calibration(self) -> dict[str, Any] | None:
        """Give the calibration as numbers; None where scores do not become probabilities."""
        chances = self.refit.chances
        if np.isnan(chances.learned_at):
            return None
        numbers = self._own() if chances.calibrator is None else chances.calibrator.numbers()
        if numbers is None:
            return None
        return {**numbers, "learned_at": chances.learned_at, "stated_at": chances.prevalence}

    def _own(self) -> dict[str, Any] | None:
        """Say how the detector's own probability follows from its score."""
        fitted, store = self.refit.fitted, self.refit.store
        score, own = fitted.predict(store, fitted.rows[:CHECKED])
        if np.isnan(own).any():
            return None
        return {"method": "identity" if np.allclose(score, own, atol=1e-6) else "logistic"}

    def _self_test(self, graphs: list[bytes]) -> float:
        shape: Any = self.refit.store.pixels.shape[1:]
        image = made_up(shape, self.refit.store.pixels.dtype)
        return float(run_graphs(graphs, image[None])[0] + self.refit.fitted.shift)


def train(
    images: Manifest,
    model: str = "svm",
    balance: str = "none",
    *,
    representation: str | None = None,
    inner_folds: int = 3,
    tune: int = 0,
    seed: int = 0,
    groups: str = "auto",
    calibration: str | None = None,
    thresholds: Sequence[str] = DEFAULT_RULES,
    prevalence: float | None = None,
    size: int = 224,
    resize: str = "letterbox",
    preprocess: str | None = None,
    neutralise: Sequence[str] = (),
    refer: Sequence[str] = (),
    device: str = "auto",
    command: str | None = None,
    progress: Progress = silent,
    say: Say = unsaid,
) -> Bundle:
    """Fit one recipe on every image, to be deployed.

    Thresholds, calibration and what is known of its worth come from inner folds (networks: from the images
    held back to stop by): scores by a twin of the detector that did not see the image.

    Parameters
    ----------
    images : Manifest
        From `raresight.load`, of a binary task.
    model, balance : str
        Names that ``raresight list`` shows, options in brackets.
    representation : str, optional
        What a model other than a network sees.
    inner_folds, tune, seed, groups, calibration, thresholds, prevalence, size, resize, preprocess, \
neutralise, device, command, progress, say
        See `raresight.compare`.
    refer : sequence of str
        By which rules images are referred, see `raresight.deploy.refer`: ``"novelty"``, ``"conformal=0.05"``.

    Returns
    -------
    Bundle
        ``bundle.save(folder)`` writes it.

    Raises
    ------
    DataError, OptionError, RunError
        If the set or an option cannot be used.
    """
    recipe, *more = make_recipes([model], [balance], representation)
    if more:
        raise OptionError("a bundle holds one recipe; name one representation")
    check_exportable(recipe)
    rates = parse_refer(refer)
    for notice in recipe_notices([recipe], [balance]):
        say(notice)
    fitted = refit(
        recipe,
        images,
        say=say,
        folds=2,  # none is run: the inner ones are all there is
        inner_folds=inner_folds,
        tune=tune,
        seed=seed,
        groups=groups,
        calibration=calibration,
        thresholds=tuple(thresholds),
        prevalence=prevalence,
        size=size,
        resize=resize,
        preprocess=preprocess,
        neutralise=neutralise,
        device=device,
        command=command,
        progress=progress,
    )
    return Bundle(fitted, judged_inside(fitted), rates)


def make_bundle(
    run: Run,
    images: Manifest | None = None,
    recipe: str | None = None,
    *,
    refer: Sequence[str] = (),
    device: str = "auto",
    progress: Progress = silent,
    say: Say = unsaid,
) -> Bundle:
    """Fit a recipe of a run once more, on every image of its set, to be deployed with the run's evidence.

    Parameters
    ----------
    run : Run
    images : Manifest, optional
        The run's set; by default it is loaded from where the run found it.
    recipe : str, optional
        Its id; by default the one with the best mean inner AUROC, a choice that looks at no test row.
    refer : sequence of str
        See `train`.
    device, progress, say
        See `raresight.compare`.

    Raises
    ------
    DataError
        If the images are not those of the run.
    OptionError
        If the run has no such recipe, or it is a choice or a stack of several.
    RunError
        If the run cannot be used.
    """
    if run.graded:
        raise OptionError(f"a bundle tells normal from anomalous, and {run.path} graded several classes")
    settings, rates = run.settings, parse_refer(refer)
    known = {each["id"]: each for each in settings["recipes"] if each["representation"] != "chosen"}
    wanted = recipe or favourite(run)
    if wanted not in known or wanted in run.failed_recipes:
        raise OptionError(f"{run.path} has no recipe {wanted!r} to train; there are: {', '.join(known)}")
    protocol, seen = settings["protocol"], settings["store"]
    data = settings["data"]
    images = images if images is not None else load(data["name"], normal=data["normal"])
    options = ("repeats", "inner_folds", "tune", "seed", "groups", "calibration", "prevalence")
    parts = [parse_spec(known[wanted][part]) for part in ("model", "representation", "balance")]
    again = Recipe(parts[0], parts[1], parts[2])
    check_exportable(again)
    fitted = refit(
        again,
        images,
        same_as=run,
        say=say,
        **{name: protocol[name] for name in options},
        folds=max(2, protocol["folds"]),
        thresholds=tuple(protocol["thresholds"]),
        size=seen["size"],
        resize=seen["resize"],
        preprocess=seen["preset"],
        neutralise=seen.get("neutralise", ()),
        device=device,
        progress=progress,
    )
    return Bundle(fitted, judged_by_run(run, wanted, named=recipe is not None), rates)


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1, allow_nan=False))
