"""Who makes results: bundle, software, and the names that follow from them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import raresight
from raresight.deploy.dicom.uids import batch_key, derived_uid
from raresight.deploy.facts import Facts
from raresight.deploy.files import LIST
from raresight.deploy.predictor import Predictor

SERIES = {"report": 9901, "heatmap": 9902, "presentation": 9903}
"""Kind of result → series number, high enough to stand behind a study's own."""


@dataclass(frozen=True)
class Maker:
    """A bundle as the source of results.

    Attributes
    ----------
    bundle : str
        SHA-256 of its list of hashes, which stands for all of it.
    facts : Facts
    """

    bundle: str
    facts: Facts

    @property
    def parameters(self) -> list[str]:
        """What identifies the algorithm beside its name and version (TID 4019)."""
        return [
            f"bundle sha256:{self.bundle}",
            f"trained on {self.facts.content['data']['images']} images",
            f"input {self.facts.preprocess.size} px, {self.facts.preprocess.preset or 'no'} preprocessing",
        ]

    @cached_property
    def device(self) -> str:
        """UID of the observer: this bundle."""
        return derived_uid("device", self.bundle)

    @property
    def software(self) -> str:
        """What was running."""
        return f"raresight {raresight.__version__}"


def maker_of(predictor: Predictor) -> Maker:
    """Name an opened bundle as a maker of results."""
    return Maker(bundle_hash(predictor.folder), predictor.facts)


def bundle_hash(folder: Path) -> str:
    """Give the SHA-256 of a bundle's list of hashes."""
    return hashlib.sha256((folder / LIST).read_bytes()).hexdigest()


@dataclass(frozen=True, slots=True)
class Batch:
    """The UIDs of what is made of one batch of objects; the same again when it is made again.

    Attributes
    ----------
    key : str
    """

    key: str

    @classmethod
    def of(cls, maker: Maker, instances: list[str]) -> Batch:
        """Name the batch of some SOP Instance UIDs."""
        return cls(batch_key(maker.bundle, instances))

    def series(self, kind: str) -> str:
        """Give the Series Instance UID of a kind of result."""
        return derived_uid(self.key, "series", kind)

    def instance(self, kind: str, number: int) -> str:
        """Give the SOP Instance UID of a result."""
        return derived_uid(self.key, kind, str(number))
