"""``raresight listen``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from raresight.deploy.dicom.node import Node
    from raresight.deploy.dicom.settings import Tls


def listen(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A folder that raresight train made.")],
    ae_title: Annotated[str, typer.Option(help="The node's AE title; calls of another are rejected.")] = (
        "RARESIGHT"
    ),
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0: a free one.")] = 11112,
    accept: Annotated[
        list[str] | None, typer.Option(metavar="AE", help="A title that may call; repeatable. Default: all.")
    ] = None,
    send_to: Annotated[
        str | None, typer.Option(metavar="AE@HOST:PORT", help="Send results to this PACS.")
    ] = None,
    dicomweb: Annotated[
        str | None, typer.Option(metavar="URL", help="Or store them in this DICOMweb service.")
    ] = None,
    fetch: Annotated[
        str | None, typer.Option(metavar="URL", help="Also fetch images from this DICOMweb service.")
    ] = None,
    query: Annotated[
        list[str] | None,
        typer.Option(metavar="KEYWORD=VALUE", help="Which images to fetch, e.g. Modality=MR; repeatable."),
    ] = None,
    every: Annotated[float, typer.Option(min=1, help="Seconds between two fetches.")] = 60,
    token: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Bearer token for the DICOMweb services.")
    ] = None,
    spool: Annotated[
        Path, typer.Option(metavar="DIR", help="Where what is not answered yet is kept.")
    ] = Path("raresight-spool"),
    quiet: Annotated[
        float, typer.Option(min=0, help="Seconds without an image after which a study is complete.")
    ] = 10,
    threshold: Annotated[
        str, typer.Option(help="A rule that the bundle knows, such as youden, or a score.")
    ] = "default",
    burned_in: Annotated[
        str, typer.Option(help="Images with burned-in annotation: refuse, refer or accept.")
    ] = "refer",
    heatmaps: Annotated[int, typer.Option(min=0, help="Heatmaps per study, at most.")] = 12,
    max_megabytes: Annotated[float, typer.Option(min=1, help="Refuse larger objects.")] = 512,
    max_megapixels: Annotated[float, typer.Option(min=0.01, help="Refuse larger frames.")] = 100,
    max_frames: Annotated[int, typer.Option(min=1, help="Refuse objects with more frames.")] = 1000,
    min_free_gigabytes: Annotated[
        float, typer.Option(min=0, help="Refuse all objects when the spool's disk has less room.")
    ] = 1,
    max_associations: Annotated[int, typer.Option(min=1, help="Associations at a time.")] = 10,
    tls_cert: Annotated[Path | None, typer.Option(metavar="PEM", help="Certificate; with it, TLS.")] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="PEM", help="Its key.")] = None,
    tls_ca: Annotated[
        Path | None, typer.Option(metavar="PEM", help="Callers must show a certificate signed by this one.")
    ] = None,
    send_tls: Annotated[bool, typer.Option("--send-tls", help="Send results over TLS too.")] = False,
    threads: Annotated[int | None, typer.Option(min=1, help="Of ONNX Runtime; default: cores.")] = None,
) -> None:
    """Receive studies as a DICOM node, score them, and send report, heatmaps and presentation states back."""
    from raresight.deploy.dicom.settings import NodeSettings, need_dicom, parse_peer, parse_query

    need_dicom()
    settings = NodeSettings(
        spool=spool,
        title=ae_title,
        host=host,
        port=port,
        accept=tuple(accept or ()),
        send_to=None if send_to is None else parse_peer(send_to),
        dicomweb=dicomweb,
        token=token,
        fetch=fetch,
        query=parse_query(tuple(query or ())),
        every=every,
        quiet=quiet,
        threshold=threshold,
        burned_in=burned_in,  # type: ignore[arg-type]  # checked there
        max_bytes=int(max_megabytes * 2**20),
        max_pixels=int(max_megapixels * 1e6),
        max_frames=max_frames,
        min_free_bytes=int(min_free_gigabytes * 2**30),
        max_associations=max_associations,
        heatmaps=heatmaps,
        tls=tls_files(tls_cert, tls_key, tls_ca),
        send_tls=send_tls,
    )
    from raresight.deploy.dicom.node import Node
    from raresight.deploy.predictor import Predictor

    predictor = Predictor(bundle, threads=threads, max_pixels=settings.max_pixels)
    predictor.self_test()
    run(Node(predictor, settings))


def tls_files(certificate: Path | None, key: Path | None, authority: Path | None) -> Tls | None:
    """Put the TLS options together.

    Raises
    ------
    OptionError
        If one is given without those that it needs.
    """
    from raresight.deploy.dicom.settings import Tls
    from raresight.errors import OptionError

    if certificate is not None and key is not None:
        return Tls(certificate, key, authority)
    if (certificate, key, authority) != (None, None, None):
        raise OptionError("TLS needs both --tls-cert and --tls-key")
    return None


def run(node: Node) -> None:
    """Run a node until SIGTERM or Ctrl-C, then let it end in order."""
    import logging
    import signal
    import warnings

    # Warnings of libraries quote values of objects, names among them.
    warnings.simplefilter("ignore")
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: node.stopping.set())
    node.start()
    try:
        node.wait()
    finally:
        node.stop()
