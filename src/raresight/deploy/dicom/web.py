"""DICOMweb: results out by STOW-RS, images in by QIDO-RS and WADO-RS (PS3.18 10)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from raresight.deploy.dicom.arrival import OUT_OF_RESOURCES, RefusedError
from raresight.deploy.dicom.sender import RejectedError, UnreachableError
from raresight.deploy.dicom.settings import NodeSettings
from raresight.errors import OptionError

SECONDS = (10.0, 60.0)
"""To connect, and between two pieces of an answer."""

BLOCK = 2**18

HEADERS_END = b"\r\n\r\n"

PAGE = 500
"""Instances asked for at a time."""

MOST_PAGES = 200


def client(url: str, token: Path | None) -> Any:
    """Make a client (dicomweb_client's) for a service.

    Raises
    ------
    OptionError
        If the address is none or the token cannot be read.
    """
    from dicomweb_client.api import DICOMwebClient

    headers = {}
    if token is not None:
        try:
            headers["Authorization"] = f"Bearer {token.read_text().strip()}"
        except (OSError, UnicodeDecodeError):
            raise OptionError(
                f"{token} cannot be read; give a file with a token in it with --token"
            ) from None
    try:
        made = DICOMwebClient(url.rstrip("/"), headers=headers, timeout=SECONDS)
    except (ValueError, TypeError):
        raise OptionError(f"{url} is no address of a DICOMweb service; write http://… or https://…") from None
    # The spool waits and tries again; waiting here too would only hold up its other work.
    made.set_http_retry_params(retry=False)
    return made


class WebReceiver:
    """A DICOMweb service that takes results.

    Parameters
    ----------
    settings : NodeSettings
        With `dicomweb`.
    """

    def __init__(self, settings: NodeSettings) -> None:
        assert settings.dicomweb is not None
        self._client = client(settings.dicomweb, settings.token)

    def send(self, files: Sequence[Path], arrived: Callable[[Path], None]) -> None:
        """Store files one by one, and name each that has arrived.

        Raises
        ------
        UnreachableError, RejectedError
        """
        from pydicom import dcmread
        from requests import HTTPError, RequestException

        for file in files:
            try:
                self._client.store_instances([dcmread(file)])
            except HTTPError as error:
                status = 0 if error.response is None else error.response.status_code
                if status in (408, 429) or not 400 <= status < 500:
                    raise UnreachableError(f"the DICOMweb service answers with status {status}") from None
                raise RejectedError(f"the DICOMweb service refuses a result (status {status})") from None
            except (RequestException, OSError) as error:
                raise UnreachableError(f"no DICOMweb service answers ({type(error).__name__})") from None
            arrived(file)


def search(made: Any, query: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str, str, str]]:
    """Find instances: class, study, series and instance UID of each, page by page."""
    for page in range(MOST_PAGES):
        found = made.search_for_instances(
            search_filters=dict(query), limit=PAGE, offset=page * PAGE, fields=["SOPClassUID"]
        )
        for item in found:
            uids = [_value(item, tag) for tag in ("00080016", "0020000D", "0020000E", "00080018")]
            yield uids[0], uids[1], uids[2], uids[3]
        if len(found) < PAGE:
            return


def _value(item: Any, tag: str) -> str:
    with suppress(KeyError, IndexError, TypeError):
        return str(item[tag]["Value"][0])
    return ""


def download(made: Any, uids: tuple[str, str, str], path: Path, limit: int) -> None:
    """Fetch one instance to a file, piece by piece.

    Parameters
    ----------
    made : DICOMwebClient
    uids : (str, str, str)
        Of study, series and instance.
    path : Path
    limit : int
        Bytes at most.

    Raises
    ------
    RefusedError
        If it is larger, or the answer holds no object.
    """
    study, series, instance = uids
    url = f"{made.base_url}/studies/{study}/series/{series}/instances/{instance}"
    accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
    session = made._session
    with session.get(url, headers={"Accept": accept}, stream=True, timeout=SECONDS) as answer:
        answer.raise_for_status()
        with path.open("wb") as file:
            _first_part(answer.iter_content(BLOCK), file, limit)


def _first_part(pieces: Iterator[bytes], file: BinaryIO, limit: int) -> None:
    """Write the body of the first part of a multipart message, without what is around it."""
    head = b""
    for piece in pieces:
        head += piece
        if HEADERS_END in head or len(head) > BLOCK:
            break
    start, end, body = head.partition(HEADERS_END)
    boundary = start.lstrip(b"\r\n").split(b"\r\n", 1)[0]
    if not end or not boundary.startswith(b"--"):
        raise RefusedError(OUT_OF_RESOURCES, "the DICOMweb service gave no object")
    closing = b"\r\n" + boundary
    while True:
        at = body.find(closing)
        if at >= 0:
            file.write(body[:at])
            return
        # The boundary may lie across two pieces: so much is kept back.
        keep = len(closing) - 1
        file.write(body[:-keep])
        if file.tell() > limit:
            raise RefusedError(OUT_OF_RESOURCES, "the object is larger than the limit")
        more = next(pieces, None)
        if more is None:
            raise RefusedError(OUT_OF_RESOURCES, "the DICOMweb service's answer is cut off")
        body = body[-keep:] + more
