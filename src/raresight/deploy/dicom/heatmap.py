"""Heatmaps as Secondary Capture images: what every viewer shows, in the frame of the image it is about."""

from __future__ import annotations

from typing import Any

from raresight.deploy.dicom.findings import Finding
from raresight.deploy.dicom.maker import SERIES, Batch, Maker
from raresight.deploy.dicom.source import patient, side
from raresight.deploy.dicom.uids import MAKER


def make_heatmap(finding: Finding, number: int, maker: Maker, batch: Batch) -> Any:
    """Make the picture of a frame with its heat over it.

    Parameters
    ----------
    finding : Finding
        One that has a picture.
    number : int
        Of the instance in its series, counted from 1.
    maker : Maker
    batch : Batch

    Returns
    -------
    highdicom.sc.SCImage
        RGB; of no text but what the image's own pixels hold, so burned-in data are declared as there.
    """
    from highdicom import CoordinateSystemNames
    from highdicom.sc import SCImage

    assert finding.picture is not None
    head, one = finding.head, finding.prediction
    image = SCImage(
        pixel_array=finding.picture,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system=CoordinateSystemNames.PATIENT,
        patient_orientation=("L", "P"),
        series_instance_uid=batch.series("heatmap"),
        series_number=SERIES["heatmap"],
        sop_instance_uid=batch.instance("heatmap", number),
        instance_number=number,
        manufacturer=MAKER,
        **patient(head),
    )
    # Whatever the orientation is, it is the image's own; it may be unknown there, and then is here.
    setattr(image, "PatientOrientation", head.get("PatientOrientation") or "")  # noqa: B010
    image.copy_patient_and_study_information(head)
    side(image, head)
    image.ManufacturerModelName = maker.facts.name[:64]
    image.SoftwareVersions = maker.software
    image.SeriesDescription = "raresight: heatmaps"
    image.BurnedInAnnotation = "YES" if str(head.get("BurnedInAnnotation") or "").upper() == "YES" else "NO"
    chance = "" if one.probability is None else f", probability {one.probability:.3f}"
    image.ImageComments = f"{one.decision}: score {one.score:.4g}{chance}; not for measurement"
    image.DerivationDescription = "Heat of an anomaly detector laid over the image"
    image.SourceImageSequence = [_reference(finding)]
    return image


def _reference(finding: Finding) -> Any:
    from pydicom import Dataset

    item = Dataset()
    item.ReferencedSOPClassUID = finding.head.SOPClassUID
    item.ReferencedSOPInstanceUID = finding.head.SOPInstanceUID
    if finding.frames > 1:
        item.ReferencedFrameNumber = finding.frame + 1
    return item
