"""Whether an object that has arrived is whole, wanted and of a sane size, before it is kept."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from raresight.deploy.dicom.settings import NodeSettings
from raresight.deploy.dicom.uids import MAKER

SUCCESS = 0x0000
OUT_OF_RESOURCES = 0xA700
MISMATCH = 0xA900
NOT_UNDERSTOOD = 0xC000
NOT_AUTHORISED = 0x0124

DEFLATED = "1.2.840.10008.1.2.1.99"

BLOCK = 2**20

_LOOKED_AT = [
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Manufacturer"),
    *("NumberOfFrames", "Rows", "Columns", "BurnedInAnnotation"),
]


class RefusedError(Exception):
    """An object is not taken.

    Attributes
    ----------
    status : int
        For the C-STORE response (PS3.4 B.2.3, PS3.7 C).
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class Head:
    """What is known of an object that is taken.

    Attributes
    ----------
    study, instance : str
        Study and SOP Instance UID.
    own : bool
        Whether it is a result of raresight that came back.
    """

    study: str
    instance: str
    own: bool


def inspect(
    path: Path, settings: NodeSettings, sop_class: str | None = None, instance: str | None = None
) -> Head:
    """Look at an object's header; a deflated one is inflated in place, up to the limit.

    Parameters
    ----------
    path : Path
        A DICOM file.
    settings : NodeSettings
    sop_class, instance : str, optional
        As they were announced.

    Raises
    ------
    RefusedError
    """
    from pydicom import dcmread

    if path.stat().st_size > settings.max_bytes:
        raise RefusedError(OUT_OF_RESOURCES, "the object is larger than the limit")
    try:
        _inflate(path, settings.max_bytes)
        found = dcmread(path, stop_before_pixels=True, specific_tags=list(_LOOKED_AT))
        uids = {name: str(found.get(name) or "") for name in _LOOKED_AT[:4]}
        frames = int(found.get("NumberOfFrames") or 1)
        rows, columns = int(found.get("Rows") or 0), int(found.get("Columns") or 0)
        burned = str(found.get("BurnedInAnnotation") or "").upper() == "YES"
        own = str(found.get("Manufacturer") or "") == MAKER
    except RefusedError:
        raise
    except (Exception, RecursionError):  # whatever a damaged file makes of the parser
        raise RefusedError(NOT_UNDERSTOOD, "the data set cannot be parsed") from None
    if not all(0 < len(uid) <= 64 for uid in uids.values()):
        raise RefusedError(NOT_UNDERSTOOD, "the data set lacks a UID of class, instance, study or series")
    if sop_class not in (None, uids["SOPClassUID"]) or instance not in (None, uids["SOPInstanceUID"]):
        raise RefusedError(MISMATCH, "the data set is not what the command announced")
    if rows < 1 or columns < 1:
        raise RefusedError(NOT_UNDERSTOOD, "the object has no pixels")
    if rows * columns > settings.max_pixels or not 1 <= frames <= settings.max_frames:
        raise RefusedError(OUT_OF_RESOURCES, "the object has more pixels or frames than the limit")
    if burned and settings.burned_in == "refuse" and not own:
        raise RefusedError(NOT_AUTHORISED, "patient data are burned into the image")
    return Head(uids["StudyInstanceUID"], uids["SOPInstanceUID"], own)


def _inflate(path: Path, limit: int) -> None:
    """Write a deflated object anew, not deflated: the readers refuse such files, having no bound for them."""
    from pydicom.filereader import read_file_meta_info
    from pydicom.filewriter import write_file_meta_info
    from pydicom.uid import ExplicitVRLittleEndian

    meta = read_file_meta_info(path)
    if str(meta.get("TransferSyntaxUID", "")) != DEFLATED:
        return
    start = 132 + 12 + int(meta.FileMetaInformationGroupLength)
    scratch = path.with_suffix(".inflated")
    try:
        with path.open("rb") as old, scratch.open("wb") as new:
            old.seek(start)
            meta.TransferSyntaxUID = ExplicitVRLittleEndian
            new.write(b"\x00" * 128 + b"DICM")
            write_file_meta_info(new, meta)  # type: ignore[arg-type]
            _unfold(old, new, limit)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def _unfold(old: BinaryIO, new: BinaryIO, limit: int) -> None:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    while not inflater.eof:
        packed = inflater.unconsumed_tail or old.read(BLOCK)
        if not packed:
            raise RefusedError(NOT_UNDERSTOOD, "the deflated data set is truncated")
        new.write(inflater.decompress(packed, BLOCK))
        if new.tell() > limit:
            raise RefusedError(OUT_OF_RESOURCES, "the deflated object unfolds to more than the limit")
