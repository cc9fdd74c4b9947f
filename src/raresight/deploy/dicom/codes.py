"""The codes of what a report says: DICOM's and SNOMED's where they have one, a private scheme's where not."""

from __future__ import annotations

from typing import Any

SCHEME = "99RARESIGHT"
"""Private coding scheme (PS3.16 8.2 asks for names that begin with 99)."""

_PRIVATE = {
    "decision": ("DECISION", "Decision of the detector"),
    "reason": ("REASON", "Why the detector decided so"),
    "images": ("IMAGES", "Images scored"),
    "unread": ("UNREAD", "Images that could not be scored"),
    "study": ("STUDY", "Study as a whole"),
    "image": ("IMAGE", "Image as a whole"),
    "refer": ("REFER", "Refer to a person: not decided"),
}


def code(name: str) -> Any:
    """Give a private code by its short name."""
    from highdicom.sr import CodedConcept

    value, meaning = _PRIVATE[name]
    return CodedConcept(value, SCHEME, meaning)


def coding_scheme() -> Any:
    """Say whose the private codes are (PS3.3 C.12.1, Coding Scheme Identification Sequence)."""
    from pydicom import Dataset

    item = Dataset()
    item.CodingSchemeDesignator = SCHEME
    item.CodingSchemeName = "Codes of raresight"
    item.CodingSchemeResponsibleOrganization = "raresight"
    return item


def decision_code(decision: str) -> Any:
    """Give the code of a decision: SNOMED's *abnormal* and *normal*; *refer* has none."""
    from pydicom.sr.codedict import codes

    known = {"anomalous": codes.SCT.Abnormal, "normal": codes.SCT.Normal}
    return known[decision] if decision in known else code("refer")
