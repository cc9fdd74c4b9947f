"""From image files to decisions, with the core install alone: numpy, Pillow and ONNX Runtime."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raresight.deploy.deciders import Seen, open_deciders
from raresight.deploy.facts import Facts, read_facts
from raresight.deploy.files import read_checked
from raresight.deploy.prediction import Array, Image, Prediction, Prepared, frames, made_up
from raresight.deploy.probability import probabilities
from raresight.errors import BundleError, ImageError, MissingExtraError, OptionError
from raresight.images.readers import DEFAULT_MAX_PIXELS, read_image
from raresight.images.stored import as_served

BATCH = 16
"""Images that go through the graph at once."""

AHEAD = 2
"""Batches that are decoded while one is scored."""


class Predictor:
    """A bundle, opened.

    Parameters
    ----------
    folder : Path or str
        A bundle, see `raresight.deploy.bundle`.
    threads : int, optional
        Of ONNX Runtime; by default one a core.
    max_pixels : int
        Images with more are refused before they are decoded.

    Attributes
    ----------
    facts : Facts
        What the bundle says of itself.
    files : dict of str to bytes
        Its other files, as they were when they were checked: name → content, the graphs left out.

    Raises
    ------
    BundleError
        If the folder is no bundle, was changed, has another schema, or a graph of it cannot be opened.
    """

    def __init__(
        self, folder: Path | str, *, threads: int | None = None, max_pixels: int = DEFAULT_MAX_PIXELS
    ) -> None:
        self.folder = Path(folder)
        files = read_checked(self.folder)
        self.facts: Facts = read_facts(self.folder, files)
        self.files = {name: content for name, content in files.items() if not name.endswith(".onnx")}
        self.max_pixels = max_pixels
        self._deciders = open_deciders(self.facts.deciders)
        threads = threads or os.cpu_count() or 1
        self._graphs = [_open(self.folder, name, files[name], threads) for name in self.facts.graphs]
        # The explanation is opened when it is first asked for: a plain prediction need not wait for it.
        self._heat_file = None if self.facts.explain is None else files[self.facts.explain.file]
        self._heat: Any = None
        self._threads = threads

    @property
    def has_heat(self) -> bool:
        """Whether the bundle can tell where an image is anomalous."""
        return self._heat_file is not None

    def predict(
        self, images: Image | Iterable[Image], *, threshold: str | float = "default", heat: bool = False
    ) -> list[Prediction]:
        """Score images and decide about them; one that cannot be read never stops the others.

        Parameters
        ----------
        images : path, bytes, array, or an iterable of these
            A file of several frames or slices is scored frame by frame.
        threshold : str or float
            A rule that the bundle knows, or a score.
        heat : bool
            Whether heatmaps are wanted too.

        Returns
        -------
        list of Prediction
            In the order of the images.

        Raises
        ------
        OptionError
            If the bundle has no such threshold, or heatmaps are wanted and it has none.
        """
        several = [images] if isinstance(images, str | Path | bytes | np.ndarray) else images
        return list(self.stream(several, threshold=threshold, heat=heat))

    def stream(
        self,
        images: Iterable[Image],
        *,
        threshold: str | float = "default",
        heat: bool = False,
        features: bool = False,
        batch: int = BATCH,
    ) -> Iterator[Prediction]:
        """Give predictions one after the other, while later images are still being decoded; see `predict`.

        Parameters
        ----------
        features : bool
            Whether a prediction keeps what the representation makes of its image.
        batch : int
            Images that go through the graph at once; the result does not depend on it.
        """
        cut = self.facts.threshold(threshold)
        if heat and not self.has_heat:
            raise OptionError(f"the bundle {self.folder} has no heatmaps; leave out --heatmaps")
        for group in _batches(self._prepared(images, batch), batch):
            yield from self.decide(group, [cut] * len(group), heat=heat, keep=features)

    def prepare(self, image: Image, frame: int = 0) -> Array:
        """Decode and preprocess one image: (h, w, c), as the graph takes it.

        Raises
        ------
        ImageError, MissingExtraError
            If it cannot be read.
        """
        return self._served(self._read(image, frame))

    def _read(self, image: Image, frame: int) -> Array:
        if isinstance(image, np.ndarray):
            return image
        source = image if isinstance(image, bytes) else Path(image)
        return read_image(source, frame, max_pixels=self.max_pixels)

    def _served(self, image: Array) -> Array:
        return as_served(self.facts.preprocess(image), self.facts.shape[2], self.facts.dtype)

    def scores(self, pixels: Array) -> tuple[NDArray[np.float64], Array | None]:
        """Score preprocessed images.

        Parameters
        ----------
        pixels : (n, h, w, c) uint8 or uint16 array
            From `prepare`.

        Returns
        -------
        scores : (n,) float64 array
        features : (n, d) float32 array or None
            What the representation makes of them, where the bundle gives it.
        """
        rows, features = pixels, None
        for graph in self._graphs:
            names = [output.name for output in graph.get_outputs()]
            found = dict(zip(names, graph.run(None, {graph.get_inputs()[0].name: rows}), strict=True))
            features, rows = found.get("features", features), found[names[0]]
        return rows.astype(np.float64) + self.facts.shift, features

    def heatmaps(self, pixels: Array) -> NDArray[np.float32]:
        """Tell where preprocessed images are anomalous: (n, h, w), higher = more so; see `has_heat`."""
        if self._heat is None:
            assert self.facts.explain is not None and self._heat_file is not None
            self._heat = _open(self.folder, self.facts.explain.file, self._heat_file, self._threads)
        found: NDArray[np.float32] = self._heat.run(None, {"pixels": pixels})[0]
        return found

    def self_test(self) -> None:
        """Score a made-up image, and hold the result to what the bundle says that it should be.

        Raises
        ------
        BundleError
            If they differ: ONNX Runtime computes otherwise here than where the bundle was made.
        """
        expected = float(self.facts.content["self_test"]["score"])
        found = float(self.scores(made_up(self.facts.shape, self.facts.dtype)[None])[0][0])
        if not np.isclose(found, expected, rtol=1e-3, atol=1e-3):
            raise BundleError(
                f"{self.folder} fails its self-test: {found:.6g} in place of {expected:.6g}; "
                "make the bundle anew with the versions installed here"
            )

    def _prepared(self, images: Iterable[Image], batch: int) -> Iterator[Prepared]:
        """Prepare images in order, some ahead of the one asked for."""
        waiting = frames(images)
        first = list(islice(waiting, 2))
        if len(first) < 2:  # one image needs no pool
            yield from (self.attempt(*each) for each in first)
            return
        from concurrent.futures import Future, ThreadPoolExecutor

        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            running: deque[Future[Prepared]] = deque(pool.submit(self.attempt, *each) for each in first)
            for each in waiting:
                running.append(pool.submit(self.attempt, *each))
                if len(running) > AHEAD * batch:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()

    def attempt(self, name: str, image: Image, frame: int = 0, error: str | None = None) -> Prepared:
        """Decode, measure and preprocess one image; what is wrong with it becomes its ``error``.

        Parameters
        ----------
        name : str
            What it is called in its prediction.
        image : path, bytes or array
        frame : int
        error : str, optional
            What is known to be wrong already: nothing is done.
        """
        start = time.perf_counter()
        if error is not None:
            return Prepared(name, None, 0.0, error)
        try:
            raw = self._read(image, frame)
            measured = tuple(decider.measure(raw) for decider in self._deciders)
            pixels = self._served(raw)
        except (ImageError, MissingExtraError) as failure:
            return Prepared(name, None, time.perf_counter() - start, str(failure))
        return Prepared(name, pixels, time.perf_counter() - start, measured=measured)

    def decide(
        self, group: Sequence[Prepared], cuts: Sequence[float], *, heat: bool = False, keep: bool = False
    ) -> Iterator[Prediction]:
        """Score a batch and decide about each image of it, in order.

        Parameters
        ----------
        group : sequence of Prepared
            From `attempt`.
        cuts : sequence of float
            The score from which each is anomalous.
        heat : bool
            Whether heatmaps are wanted too; see `has_heat`.
        keep : bool
            Whether a prediction keeps its image's features.
        """
        usable = [each.pixels for each in group if each.pixels is not None]
        if not usable:
            yield from (Prediction(each.file, error=each.error) for each in group)
            return
        start = time.perf_counter()
        pixels = np.stack(usable)
        scores, features = self.scores(pixels)
        chances = probabilities(scores, self.facts.calibration)
        heats = self.heatmaps(pixels) if heat else None
        share = (time.perf_counter() - start) / len(usable)
        row = -1
        for each, cut in zip(group, cuts, strict=True):
            if each.pixels is None:
                yield Prediction(each.file, error=each.error)
                continue
            row += 1
            own = None if features is None else features[row]
            seen = Seen(float(scores[row]), float(chances[row]), cut, own, each.pixels)
            found = self._verdict(seen, each, 1000 * (each.seconds + share))
            if heats is not None:
                found = replace(found, heat=heats[row], pixels=each.pixels)
            yield replace(found, features=own) if keep else found

    def _verdict(self, seen: Seen, image: Prepared, milliseconds: float) -> Prediction:
        if not np.isfinite(seen.score):
            return Prediction(image.file, error="the detector gave no finite score for it")
        asked = zip(self._deciders, image.measured, strict=True)
        answers = (decider.answer(seen, known) for decider, known in asked)
        plain = "anomalous" if seen.score >= seen.threshold else "normal"
        decision, reason = next(filter(None, answers), (plain, None))
        chance = seen.probability if np.isfinite(seen.probability) else None
        return Prediction(image.file, seen.score, chance, decision, seen.threshold, milliseconds, reason)


def _batches(prepared: Iterator[Prepared], size: int) -> Iterator[list[Prepared]]:
    while group := list(islice(prepared, size)):
        yield group


def _open(folder: Path, name: str, content: bytes, threads: int) -> Any:
    """Open a graph from bytes that were checked."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has a kind of its own for each thing that can be wrong
        raise BundleError(
            f"{name} of {folder} is no graph that ONNX Runtime {onnxruntime.__version__} can run; "
            "make the bundle anew"
        ) from error
