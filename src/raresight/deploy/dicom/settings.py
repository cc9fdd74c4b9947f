"""How a node is set up."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from raresight.errors import MissingExtraError, OptionError

BurnedIn = Literal["refuse", "refer", "accept"]

BURNED_IN = ("refuse", "refer", "accept")

LONGEST_TITLE = 16
"""Characters of an application entity title (PS3.5 6.2, VR AE)."""

_ADDRESS = re.compile(r"(?P<title>[^@\\]+)@(?P<host>\[[0-9A-Fa-f:.]+\]|[^@:\s]+):(?P<port>\d{1,5})")


@dataclass(frozen=True, slots=True)
class Peer:
    """Where results are sent to."""

    title: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Tls:
    """Files in PEM format.

    Attributes
    ----------
    certificate, key : Path
        The node's own.
    authority : Path or None
        What the other side's certificate must be signed by; with it, one that shows none is refused.
    """

    certificate: Path
    key: Path
    authority: Path | None = None


@dataclass(frozen=True)
class NodeSettings:
    """A node's settings.

    Attributes
    ----------
    spool : Path
        A folder of the node's own; what is received is in it until its results have been sent.
    title : str
        Its application entity title; associations that call another are rejected.
    host, port : str, int
        Where it listens; port 0 takes a free one.
    accept : tuple of str
        Titles that may call; empty: all.
    send_to : Peer or None
        The PACS that gets the results, or
    dicomweb : str or None
        a DICOMweb service that gets them, by STOW-RS.
    token : Path or None
        File with a bearer token for the DICOMweb services.
    fetch : str or None
        A DICOMweb service that is asked for new images every `every` seconds.
    query : tuple of (str, str)
        Attributes and values that these must have, as QIDO-RS understands them.
    quiet : float
        Seconds without a new image after which a study counts as complete.
    threshold : str or float
        As for `raresight.deploy.predictor.Predictor.predict`.
    burned_in : {"refuse", "refer", "accept"}
        What is done with images that say that patient data are burned into them.
    max_bytes : int
        Of an object, inflated where it was deflated.
    min_free_bytes : int
        Of the spool's disk; nothing is received when less is left.
    max_frames : int
        Of an object.
    max_pixels : int
        Of a frame.
    max_associations : int
        At a time.
    heatmaps : int
        Images of a study that get a heatmap, those of the highest scores.
    tls : Tls or None
    send_tls : bool
        Whether results too are sent over TLS.
    retry : (float, float)
        Seconds before the first retry of a failed sending, and at most; it doubles in between.
    """

    spool: Path
    title: str = "RARESIGHT"
    host: str = "127.0.0.1"
    port: int = 11112
    accept: tuple[str, ...] = ()
    send_to: Peer | None = None
    dicomweb: str | None = None
    token: Path | None = None
    fetch: str | None = None
    query: tuple[tuple[str, str], ...] = ()
    every: float = 60.0
    quiet: float = 10.0
    threshold: str | float = "default"
    burned_in: BurnedIn = "refer"
    max_bytes: int = 512 * 2**20
    min_free_bytes: int = 2**30
    max_frames: int = 1000
    max_pixels: int = 100_000_000
    max_associations: int = 10
    heatmaps: int = 12
    tls: Tls | None = None
    send_tls: bool = False
    retry: tuple[float, float] = field(default=(5.0, 300.0))

    def __post_init__(self) -> None:
        _check_title(self.title, "--ae-title")
        for title in self.accept:
            _check_title(title, "--accept")
        if (self.send_to is None) == (self.dicomweb is None):
            raise OptionError(
                "say where results go: either --send-to AE@host:port or --dicomweb URL, and not both"
            )
        if self.burned_in not in BURNED_IN:
            raise OptionError(
                f"unknown --burned-in {self.burned_in!r}; choose one of: {', '.join(BURNED_IN)}"
            )
        if not _is_loopback(self.host) and not self.accept and (self.tls is None or not self.tls.authority):
            raise OptionError(
                f"on the address {self.host} others may call: name who may with --accept, or give "
                "--tls-cert, --tls-key and --tls-ca"
            )
        if self.send_tls and self.tls is None:
            raise OptionError("--send-tls needs --tls-cert and --tls-key")
        if self.query and self.fetch is None:
            raise OptionError("--query says what to fetch; name the service with --fetch")


def parse_peer(text: str) -> Peer:
    """Read ``AE@host:port``.

    Raises
    ------
    OptionError
        If it is none.
    """
    match = _ADDRESS.fullmatch(text.strip())
    if match is None or not 0 < int(match["port"]) < 65536:
        raise OptionError(f"--send-to {text} is no AE@host:port; write for instance PACS@10.0.0.5:104")
    _check_title(match["title"], "--send-to")
    return Peer(match["title"].strip(), match["host"].strip("[]"), int(match["port"]))


def parse_query(texts: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Read ``Keyword=value`` pairs.

    Raises
    ------
    OptionError
        If one is none.
    """
    pairs = [text.partition("=") for text in texts]
    for text, (name, equals, value) in zip(texts, pairs, strict=True):
        if not equals or not name.isalnum() or not value:
            raise OptionError(f"--query {text} is no Keyword=value; write for instance Modality=MR")
    return tuple((name, value) for name, _, value in pairs)


def need_dicom() -> None:
    """Check that what a node is made of is installed.

    Raises
    ------
    MissingExtraError
    """
    from importlib.util import find_spec

    for module in ("pydicom", "pynetdicom", "highdicom", "dicomweb_client"):
        if find_spec(module) is None:
            raise MissingExtraError(f"the DICOM node needs {module}: pip install 'raresight[dicom]'")


def _check_title(title: str, option: str) -> None:
    plain = title.isascii() and title.isprintable() and "\\" not in title
    if not plain or not 1 <= len(title.strip()) <= LONGEST_TITLE:
        raise OptionError(
            f"{option}: {title!r} is no AE title; it has 1 to {LONGEST_TITLE} characters of ASCII"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
