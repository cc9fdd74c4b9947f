"""A bundle that is being served."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from raresight.deploy.files import digest_of
from raresight.deploy.predictor import Predictor


@dataclass(frozen=True, slots=True)
class Opened:
    """A bundle, opened and tested.

    Attributes
    ----------
    predictor : Predictor
    digest : str
        SHA-256 of the bundle's list of hashes.
    loaded_at : str
        UTC, ISO 8601.
    """

    predictor: Predictor
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
    predictor = Predictor(place, threads=threads, max_pixels=max_pixels)
    predictor.self_test()
    return Opened(predictor, digest, datetime.now(UTC).isoformat(timespec="seconds"))
