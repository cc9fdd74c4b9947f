"""The report: a Comprehensive 3D SR by template TID 1500 (PS3.16), as viewers and PACS read it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from raresight.deploy.dicom.codes import code, coding_scheme, decision_code
from raresight.deploy.dicom.findings import Finding, study_decision
from raresight.deploy.dicom.maker import SERIES, Batch, Maker
from raresight.deploy.dicom.uids import MAKER, derived_uid


def make_report(findings: Sequence[Finding], maker: Maker, batch: Batch) -> Any:
    """Make the report on a study.

    Parameters
    ----------
    findings : sequence of Finding
        Of at least one object; of all frames.
    maker : Maker
    batch : Batch

    Returns
    -------
    highdicom.sr.Comprehensive3DSR
        First a group of measurements for the study, then one for each frame: score, probability, threshold,
        decision, algorithm, the image, and the region (TID 1410) or none (TID 1501). A frame that could not
        be read has the reason in place of measurements.
    """
    from highdicom.sr import Comprehensive3DSR, MeasurementReport, ObservationContext
    from pydicom.sr.codedict import codes

    heads = list({str(finding.head.SOPInstanceUID): finding.head for finding in findings}.values())
    groups = [_study_group(findings, maker, batch)]
    groups += [_group(finding, number, maker, batch) for number, finding in enumerate(findings)]
    content = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=_observer(maker)),
        procedure_reported=codes.SCT.ImagingProcedure,
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )
    report = Comprehensive3DSR(
        evidence=heads,
        content=content,
        series_instance_uid=batch.series("report"),
        series_number=SERIES["report"],
        sop_instance_uid=batch.instance("report", 1),
        instance_number=1,
        manufacturer=MAKER,
        manufacturer_model_name=maker.facts.name[:64],
        software_versions=maker.software,
        device_serial_number=maker.bundle[:16],
        is_complete=True,
        series_description=f"raresight: {study_decision(findings)}",
    )
    report.CodingSchemeIdentificationSequence = [coding_scheme()]
    return report


def _observer(maker: Maker) -> Any:
    from highdicom.sr import DeviceObserverIdentifyingAttributes, ObserverContext
    from pydicom.sr.codedict import codes

    return ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
            uid=maker.device, name=MAKER, manufacturer_name=MAKER, model_name=maker.facts.name
        ),
    )


def _algorithm(maker: Maker) -> Any:
    from highdicom.sr import AlgorithmIdentification
    from pydicom.sr.codedict import codes

    return AlgorithmIdentification(
        name=maker.facts.name,
        version=maker.software,
        parameters=maker.parameters,
        family=codes.DCM.ArtificialIntelligence,
        manufacturer=MAKER,
    )


def _study_group(findings: Sequence[Finding], maker: Maker, batch: Batch) -> Any:
    from highdicom.sr import (
        MeasurementsAndQualitativeEvaluations,
        QualitativeEvaluation,
        SourceImageForMeasurementGroup,
        TrackingIdentifier,
    )

    scored = [finding for finding in findings if finding.prediction.score is not None]
    first = max(scored, key=lambda finding: finding.prediction.score or 0.0, default=findings[0])
    counts = [_number(code("images"), len(scored)), _number(code("unread"), len(findings) - len(scored))]
    decision = study_decision(findings)
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(derived_uid(batch.key, "study"), "study"),
        algorithm_id=_algorithm(maker),
        finding_type=code("study"),
        measurements=[*counts, *_scores(first)],
        qualitative_evaluations=[QualitativeEvaluation(code("decision"), decision_code(decision))],
        source_images=[SourceImageForMeasurementGroup.from_source_image(first.head, _frame_numbers(first))],
    )


def _group(finding: Finding, number: int, maker: Maker, batch: Batch) -> Any:
    from highdicom.sr import (
        MeasurementsAndQualitativeEvaluations,
        PlanarROIMeasurementsAndQualitativeEvaluations,
        QualitativeEvaluation,
        SourceImageForMeasurementGroup,
        TrackingIdentifier,
    )
    from pydicom.sr.codedict import codes

    decision = finding.prediction.decision or "refer"
    shared: dict[str, Any] = {
        "tracking_identifier": TrackingIdentifier(
            derived_uid(batch.key, "image", str(number)), f"image {number + 1}"
        ),
        "algorithm_id": _algorithm(maker),
        "measurements": _scores(finding) or None,
        "qualitative_evaluations": [QualitativeEvaluation(code("decision"), decision_code(decision))],
    }
    if finding.region is None:
        source = SourceImageForMeasurementGroup.from_source_image(finding.head, _frame_numbers(finding))
        group: Any = MeasurementsAndQualitativeEvaluations(
            finding_type=code("image"), source_images=[source], **shared
        )
    else:
        group = PlanarROIMeasurementsAndQualitativeEvaluations(
            finding_type=codes.DCM.AbnormalRegion, referenced_region=_region(finding), **shared
        )
    reason = finding.prediction.reason or finding.prediction.error
    if reason:
        group[0].ContentSequence.append(_text(code("reason"), reason))
    return group


def _region(finding: Finding) -> Any:
    from highdicom.sr import GraphicTypeValues, ImageRegion, SourceImageForRegion

    assert finding.region is not None
    return ImageRegion(
        graphic_type=GraphicTypeValues.ELLIPSE,
        graphic_data=finding.region.ellipse(),
        source_image=SourceImageForRegion.from_source_image(finding.head, _frame_numbers(finding)),
    )


def _scores(finding: Finding) -> list[Any]:
    from pydicom.sr.codedict import codes

    one = finding.prediction
    known = {
        codes.SCT.Score: one.score,
        codes.DCM.Probability: one.probability,
        codes.DCM.ThresholdValue: one.threshold,
    }
    return [_number(name, value) for name, value in known.items() if value is not None]


def _number(name: Any, value: float) -> Any:
    from highdicom.sr import Measurement
    from pydicom.sr.codedict import codes

    # A decimal string has 16 characters (PS3.5 6.2, VR DS), and these figures have fewer digits that count.
    return Measurement(name=name, value=float(f"{value:.7g}"), unit=codes.UCUM.NoUnits)


def _text(name: Any, value: str) -> Any:
    from highdicom.sr import RelationshipTypeValues, TextContentItem

    return TextContentItem(name=name, value=value, relationship_type=RelationshipTypeValues.CONTAINS)


def _frame_numbers(finding: Finding) -> list[int] | None:
    return [finding.frame + 1] if finding.frames > 1 else None
