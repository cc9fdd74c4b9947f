"""A bundle that is being served."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from raresight.deploy.files import digest_of
from raresight.deploy.predictor import Predictor
from raresight.errors import BundleError


@dataclass(frozen=True, slots=True)
class Opened:
    """A bundle, opened and tested.

    Attributes
    ----------
    predictor : Predictor
        With all threads, for one image at a time.
    beside : Predictor
        The same with one thread, for several images at a time.
    digest : str
        SHA-256 of the bundle's list of hashes.
    loaded_at : str
        UTC, ISO 8601.
    """

    predictor: Predictor
    beside: Predictor
    digest: str
    loaded_at: str


def open_bundle(folder: Path, *, threads: int, max_pixels: int) -> Opened:
    """Open a bundle, and hold it to its self-test before anything is asked of it.

    Parameters
    ----------
    folder : Path
        A bundle or a link to one; a link is followed once, so that all files are of one bundle.
    threads, max_pixels : int
        See `Predictor`.

    Raises
    ------
    BundleError
        If it cannot be used, or changes meanwhile.
    """
    place = folder.resolve()
    digest = digest_of(place)
    with ThreadPoolExecutor(2) as pool:
        both = [
            pool.submit(_tested, place, count, max_pixels) for count in sorted({1, threads}, reverse=True)
        ]
    predictor, beside = both[0].result(), both[-1].result()
    beside.files = predictor.files  # held once
    if digest != digest_of(place):
        raise BundleError(f"{folder} changed while it was being opened; try again")
    return Opened(predictor, beside, digest, datetime.now(UTC).isoformat(timespec="seconds"))


def _tested(folder: Path, threads: int, max_pixels: int) -> Predictor:
    predictor = Predictor(folder, threads=threads, max_pixels=max_pixels)
    predictor.self_test()
    return predictor
