"""The objects that results are about: their headers, mended where results could not be made of them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

COPIED = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"),
    *("StudyDate", "StudyTime", "ReferringPhysicianName"),
)
"""What every result has from its images and the standard lets be empty (type 2), though not be missing."""

SEXES = ("M", "F", "O")

LEAN = (
    *COPIED,
    *("SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"),
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation"),
)
"""What a report cannot be made without."""

LARGE = "1 MB"
"""Elements from this size on stay in the file."""


def read_head(path: Path) -> Any:
    """Read an object up to its pixels, as results need it.

    Parameters
    ----------
    path : Path

    Returns
    -------
    pydicom Dataset
        With every attribute of `COPIED`, empty where the object has none or one that is not valid.
    """
    from pydicom import dcmread
    from pydicom.valuerep import DA, TM

    head = dcmread(path, stop_before_pixels=True, defer_size=LARGE)
    for name in COPIED:
        if name not in head or head.get(name) is None:
            setattr(head, name, "")
    if head.PatientSex not in SEXES:
        head.PatientSex = ""
    for name in ("PatientBirthDate", "StudyDate"):
        _empty_unless(head, name, DA)
    _empty_unless(head, "StudyTime", TM)
    if "SamplesPerPixel" not in head:
        head.SamplesPerPixel = 1
    if "SeriesInstanceUID" not in head:
        head.SeriesInstanceUID = ""
    return head


def lean(head: Any) -> Any:
    """Keep of a header what a report needs: an attribute that cannot be read may be among the others."""
    from pydicom import Dataset

    kept = Dataset()
    for name in LEAN:
        with suppress(Exception):  # as many kinds as there are ways to damage a value
            if name in head:
                setattr(kept, name, head.get(name))
    return kept


def patient(head: Any) -> dict[str, Any]:
    """Give what highdicom wants to know of patient and study, as its arguments are called."""
    return {
        "study_instance_uid": head.StudyInstanceUID,
        "patient_id": head.PatientID,
        "patient_name": head.PatientName or None,
        "patient_birth_date": head.PatientBirthDate or None,
        "patient_sex": head.PatientSex or None,
        "accession_number": head.AccessionNumber or None,
        "study_id": head.StudyID,
        "study_date": head.StudyDate or None,
        "study_time": head.StudyTime or None,
        "referring_physician_name": head.ReferringPhysicianName or None,
        "specific_character_set": head.get("SpecificCharacterSet") or None,
    }


def side(result: Any, head: Any) -> None:
    """Say of which side and part of the body a result is, as far as its image says (PS3.3 C.7.3.1)."""
    result.Laterality = head.get("Laterality") or ""
    if head.get("BodyPartExamined"):
        result.BodyPartExamined = head.BodyPartExamined


def is_colour(head: Any) -> bool:
    """Tell whether an object's pixels are in colour, as presentation states tell it."""
    return int(head.SamplesPerPixel) > 1 or head.get("PhotometricInterpretation") == "PALETTE COLOR"


def _empty_unless(head: Any, name: str, reads: Callable[[Any], Any]) -> None:
    with suppress(ValueError, TypeError):
        reads(str(head.get(name) or ""))
        return
    setattr(head, name, "")
