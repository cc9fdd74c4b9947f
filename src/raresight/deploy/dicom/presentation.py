"""Presentation states: how to show the images themselves, with the region drawn and the decision written."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np

from raresight.deploy.dicom.findings import Finding
from raresight.deploy.dicom.maker import SERIES, Batch, Maker
from raresight.deploy.dicom.source import is_colour, side
from raresight.deploy.dicom.uids import MAKER
from raresight.deploy.dicom.windows import plain_frames

LAYER = "RARESIGHT"


def presentable(findings: Sequence[Finding]) -> list[list[Finding]]:
    """Group the frames that have a picture by what one state can be about.

    That is a multi-frame object, or the images of a series that have the same size.
    """
    shown = sorted((finding for finding in findings if finding.picture is not None), key=_kind)
    return [list(group) for _, group in groupby(shown, key=_kind)]


def _kind(finding: Finding) -> tuple[str, ...]:
    head = finding.head
    alone = str(head.SOPInstanceUID) if finding.frames > 1 else ""
    return (str(head.SeriesInstanceUID), str(is_colour(head)), str(head.Rows), str(head.Columns), alone)


def make_presentation(findings: Sequence[Finding], number: int, maker: Maker, batch: Batch) -> Any:
    """Make a presentation state.

    Parameters
    ----------
    findings : sequence of Finding
        A group of `presentable`.
    number : int
        Of the instance in its series, counted from 1.
    maker : Maker
    batch : Batch

    Returns
    -------
    highdicom.pr.GrayscaleSoftcopyPresentationState or highdicom.pr.ColorSoftcopyPresentationState
    """
    from highdicom.pr import (
        ColorSoftcopyPresentationState,
        GraphicLayer,
        GrayscaleSoftcopyPresentationState,
    )

    heads = list({str(finding.head.SOPInstanceUID): finding.head for finding in findings}.values())
    layer = GraphicLayer(LAYER, order=1, description="Region and decision")
    colour = is_colour(heads[0])
    make = ColorSoftcopyPresentationState if colour else GrayscaleSoftcopyPresentationState
    state = make(
        referenced_images=heads,
        series_instance_uid=batch.series("presentation"),
        series_number=SERIES["presentation"],
        sop_instance_uid=batch.instance("presentation", number),
        instance_number=number,
        manufacturer=MAKER,
        manufacturer_model_name=maker.facts.name[:64],
        software_versions=maker.software,
        device_serial_number=maker.bundle[:16],
        content_label=LAYER,
        content_description="Hottest region and decision of an anomaly detector",
        graphic_layers=[layer],
        graphic_annotations=[_annotation(finding, layer) for finding in findings],
        **({"icc_profile": _profile(heads)} if colour else _grey(findings)),
    )
    side(state, heads[0])
    state.SeriesDescription = "raresight: regions"
    return state


def _annotation(finding: Finding, layer: Any) -> Any:
    from highdicom.pr import (
        AnnotationUnitsValues,
        GraphicAnnotation,
        GraphicObject,
        GraphicTypeValues,
        TextObject,
    )

    one, head = finding.prediction, finding.head
    chance = "" if one.probability is None else f", probability {one.probability:.2f}"
    graphics = []
    if finding.region is not None:
        graphics.append(
            GraphicObject(
                GraphicTypeValues.ELLIPSE, np.asarray(finding.region.ellipse()), AnnotationUnitsValues.PIXEL
            )
        )
    text = TextObject(
        f"raresight: {one.decision}{chance}",
        units=AnnotationUnitsValues.PIXEL,
        bounding_box=(1.0, 1.0, float(head.Columns), max(2.0, 0.08 * float(head.Rows))),
        text_justification="LEFT",
    )
    return GraphicAnnotation(
        referenced_images=[head],
        referenced_frame_number=finding.frame + 1 if finding.frames > 1 else None,
        graphic_layer=layer,
        graphic_objects=graphics or None,
        text_objects=[text],
    )


def _profile(heads: Sequence[Any]) -> bytes:
    """Give the colour space that images name, else sRGB: a colour state has to name one (PS3.3 C.11.15)."""
    from PIL import ImageCms

    named = next((bytes(head.ICCProfile) for head in heads if "ICCProfile" in head), b"")
    profile = named or ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # An image's colours are an input to whoever shows it: the class that the standard wants here.
    return profile if profile[12:16] in (b"scnr", b"spac") else profile[:12] + b"scnr" + profile[16:]


def _grey(findings: Sequence[Finding]) -> dict[str, Any]:
    """Give what highdicom does not find in the images by itself; it looks for both in functional groups."""
    from highdicom import ModalityLUTTransformation

    head = findings[0].head
    if not plain_frames(head):
        return {"voi_lut_transformations": _windows(findings)}
    modality = ModalityLUTTransformation(
        rescale_intercept=float(head.get("RescaleIntercept", 0)),
        rescale_slope=float(head.get("RescaleSlope", 1)),
        rescale_type=head.get("RescaleType", "US"),
    )
    return {"voi_lut_transformations": _windows(findings), "modality_lut_transformation": modality}


def _windows(findings: Sequence[Finding]) -> Any:
    from highdicom import ReferencedImageSequence
    from highdicom.pr import SoftcopyVOILUTTransformation

    found = []
    for finding in findings:
        if finding.window is not None:
            frames = finding.frame + 1 if finding.frames > 1 else None
            about = ReferencedImageSequence([finding.head], referenced_frame_number=frames)
            centre, width = finding.window
            found.append(SoftcopyVOILUTTransformation(centre, width, referenced_images=about))
    return found or None
