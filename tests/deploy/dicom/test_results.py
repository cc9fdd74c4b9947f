"""What comes back: report, heatmaps, presentation states, read as a viewer would."""

from __future__ import annotations

from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.sr.codedict import codes
from ward import NAME, PATIENT, dicom_object, new_uid

from raresight.deploy.dicom.codes import code
from raresight.deploy.dicom.findings import BURNED_IN, find_in_study, study_decision
from raresight.deploy.dicom.maker import maker_of
from raresight.deploy.dicom.results import write_results
from raresight.deploy.dicom.source import lean, read_head

SPOT = (40, 150, 64, 182)
"""First row and column, and one past the last, of the bright spot."""


def spotted(shape: tuple[int, int] = (180, 260), dtype: type = np.uint8) -> np.ndarray:
    """A dim ellipse off the centre of a black frame, with a bright spot in it."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    inside = ((y - 80) / 70) ** 2 + ((x - 150) / 90) ** 2 < 1
    image = inside * 70.0
    top, left, bottom, right = SPOT
    image[top:bottom, left:right] = 250
    return (image * (1 if dtype == np.uint8 else 16)).astype(dtype)


@pytest.fixture()
def answer(seeing, settings, tmp_path: Path):
    """Score objects and read all results back."""

    def make(objects, threshold: float = -1e9, **changes):
        chosen = settings(threshold=threshold, **changes)
        (tmp_path / "in").mkdir(exist_ok=True)
        heads = []
        for number, one in enumerate(objects):
            path = tmp_path / "in" / f"{number}.dcm"
            one.save_as(path, enforce_file_format=True)
            heads.append((path, read_head(path)))
        findings = find_in_study(seeing, heads, chosen)
        out = tmp_path / "out"
        out.mkdir(exist_ok=True)
        count = write_results(findings, maker_of(seeing), out)
        results = [dcmread(path) for path in sorted(out.iterdir())]
        assert len(results) == count
        return findings, results

    return make


def of(results, name: str):
    return [one for one in results if name in one.SOPClassUID.name]


def report_of(results):
    (found,) = of(results, "3D SR")
    return hd.sr.Comprehensive3DSR.from_dataset(found)


def texts(results) -> list[str]:
    """All texts of the report."""
    return [str(item.value) for item in report_of(results).iterall() if item.keyword == "TextValue"]


def box_of(ellipse: np.ndarray) -> np.ndarray:
    """Row and column where an ellipse begins and ends."""
    return np.concatenate([ellipse.min(axis=0)[::-1], ellipse.max(axis=0)[::-1]])


def test_the_report_says_what_was_predicted(answer, seeing):
    one = dicom_object(spotted(), new_uid())
    findings, results = answer([one])
    content = report_of(results).content
    (planar,) = content.get_planar_roi_measurement_groups()
    expected = findings[0].prediction
    for name, value in (
        (codes.SCT.Score, expected.score),
        (codes.DCM.Probability, expected.probability),
        (codes.DCM.ThresholdValue, -1e9),
    ):
        (measured,) = planar.get_measurements(name=name)
        assert measured.value == pytest.approx(value, rel=1e-6)
    (whole,) = content.get_image_measurement_groups()
    for group in (planar, whole):
        (decision,) = group.get_qualitative_evaluations(name=code("decision"))
        assert decision.value == codes.SCT.Abnormal
    said = texts(results)
    assert seeing.facts.name in said and f"bundle sha256:{maker_of(seeing).bundle}" in said


def test_the_region_lies_where_the_spot_is(answer):
    """Through cropping, letterboxing and cells of 8 × 8 pixels of the square."""
    findings, results = answer([dicom_object(spotted(), new_uid())])
    (planar,) = report_of(results).content.get_planar_roi_measurement_groups()
    ellipse = np.array(planar.roi.value)
    cell = 8 * 180 / 224
    assert np.abs(box_of(ellipse) - SPOT).max() <= cell
    (state,) = of(results, "Grayscale Softcopy")
    (drawn,) = state.GraphicAnnotationSequence[0].GraphicObjectSequence
    assert drawn.GraphicType == "ELLIPSE" and drawn.GraphicAnnotationUnits == "PIXEL"
    np.testing.assert_allclose(np.array(drawn.GraphicData).reshape(4, 2), ellipse, atol=1e-3)
    (picture,) = of(results, "Secondary Capture")
    pixels = picture.pixel_array.astype(int)
    assert pixels.shape == (180, 260, 3)
    reddish = pixels[..., 0] - pixels[..., 2]
    row, column = np.unravel_index(reddish.argmax(), reddish.shape)
    assert SPOT[0] <= row < SPOT[2] and SPOT[1] <= column < SPOT[3]
    assert findings[0].region is not None


def test_results_belong_to_the_patient_and_the_study_in_series_of_their_own(answer):
    one = dicom_object(spotted(), new_uid(), BodyPartExamined="HEAD")
    _, results = answer([one])
    assert {result.Modality for result in results} == {"OT", "PR", "SR"}
    for result in results:
        assert (result.PatientName, result.PatientID) == (NAME, PATIENT)
        assert (result.StudyInstanceUID, result.AccessionNumber) == (one.StudyInstanceUID, "ACC9")
        assert result.SeriesInstanceUID != one.SeriesInstanceUID and result.Manufacturer == "raresight"
    assert len({result.SeriesInstanceUID for result in results}) == 3
    (picture,) = of(results, "Secondary Capture")
    assert picture.SourceImageSequence[0].ReferencedSOPInstanceUID == one.SOPInstanceUID


def test_a_normal_study_has_no_region_and_a_cool_picture(answer):
    findings, results = answer([dicom_object(spotted() // 3, new_uid())], threshold=1e9)
    assert study_decision(findings) == "normal" and findings[0].region is None
    content = report_of(results).content
    assert content.get_planar_roi_measurement_groups() == []
    assert len(content.get_image_measurement_groups()) == 2
    (state,) = of(results, "Softcopy")
    assert "GraphicObjectSequence" not in state.GraphicAnnotationSequence[0]
    assert "normal" in state.GraphicAnnotationSequence[0].TextObjectSequence[0].UnformattedTextValue
    pixels = of(results, "Secondary Capture")[0].pixel_array.astype(int)
    assert np.abs(pixels[..., 0] - pixels[..., 2]).max() == 0


def test_the_window_is_that_of_the_image_or_shows_all_of_it(answer):
    deep = dicom_object(spotted(dtype=np.uint16), new_uid(), RescaleSlope="2", RescaleIntercept="-100")
    own = dicom_object(spotted(dtype=np.uint16), deep.StudyInstanceUID, WindowCenter="900", WindowWidth="77")
    own.SeriesInstanceUID = deep.StudyInstanceUID + ".2"
    _, results = answer([deep, own])
    windows = [state.SoftcopyVOILUTSequence[0] for state in of(results, "Softcopy")]
    assert sorted((float(w.WindowCenter), float(w.WindowWidth)) for w in windows) == [
        (900, 77),
        (3900.5, 8001),
    ]


def test_a_state_says_again_that_low_values_are_bright(answer):
    study = new_uid()
    bright = dicom_object(spotted(), study)
    dark = dicom_object(255 - spotted(), study, PhotometricInterpretation="MONOCHROME1")
    findings, results = answer([bright, dark])
    assert findings[0].region == findings[1].region
    shapes = {
        state.ReferencedSeriesSequence[0].ReferencedImageSequence[0].ReferencedSOPInstanceUID: (
            state.PresentationLUTShape
        )
        for state in of(results, "Softcopy")
    }
    assert shapes == {bright.SOPInstanceUID: "IDENTITY", dark.SOPInstanceUID: "INVERSE"}


def test_colour_has_a_state_of_its_own(answer):
    one = dicom_object(np.stack([spotted()] * 3, axis=-1), new_uid())
    _, results = answer([one])
    (state,) = of(results, "Softcopy")
    assert state.SOPClassUID.name == "Color Softcopy Presentation State Storage"
    assert (
        state.ICCProfile[12:16] == b"scnr" and "GraphicObjectSequence" in state.GraphicAnnotationSequence[0]
    )


def test_frames_are_scored_and_shown_one_by_one(answer):
    frames = np.stack([spotted() // 4, spotted(), spotted() // 2])
    one = dicom_object(frames, new_uid(), SOPClassUID="1.2.840.10008.5.1.4.1.1.7.2")
    findings, results = answer([one], heatmaps=2)
    assert [finding.frame for finding in findings] == [0, 1, 2]
    assert len(of(results, "Secondary Capture")) == 2 and len(of(results, "Softcopy")) == 1
    numbers = [one.SourceImageSequence[0].ReferencedFrameNumber for one in of(results, "Secondary Capture")]
    shown = sorted(findings, key=lambda finding: -finding.prediction.score)[:2]
    assert sorted(numbers) == sorted(finding.frame + 1 for finding in shown)


def test_an_image_that_cannot_be_read_is_told_and_referred(answer):
    broken = dicom_object(spotted(), new_uid())
    broken.PixelData = broken.PixelData[:1000]
    findings, results = answer([broken])
    assert study_decision(findings) == "refer"
    assert any("truncated" in text for text in texts(results))
    (_, group) = report_of(results).content.get_image_measurement_groups()
    assert group.get_qualitative_evaluations(name=code("decision"))[0].value == code("refer")
    assert group.get_measurements() == []


def test_burned_in_annotation_is_referred_and_declared(answer):
    one = dicom_object(spotted(), new_uid(), BurnedInAnnotation="YES")
    findings, results = answer([one])
    assert (findings[0].prediction.decision, findings[0].prediction.reason) == ("refer", BURNED_IN)
    assert of(results, "Secondary Capture")[0].BurnedInAnnotation == "YES" and BURNED_IN in texts(results)
    findings, _ = answer([one], burned_in="accept")
    assert findings[0].prediction.decision == "anomalous"


def test_headers_that_are_odd_cost_no_report(answer):
    one = dicom_object(spotted(), new_uid())
    for name in ("PatientBirthDate", "StudyTime", "AccessionNumber", "PatientSex", "StudyID", "SeriesNumber"):
        delattr(one, name)
    one.StudyDate = "20260101"
    one["StudyDate"]._value = "in March"
    _, results = answer([one])
    assert report_of(results).StudyInstanceUID == one.StudyInstanceUID
    assert not results[-1].StudyDate and not results[-1].PatientSex


def test_a_value_that_cannot_be_read_costs_no_report(tmp_path: Path, seeing, settings):
    path = tmp_path / "odd.dcm"
    one = dicom_object(spotted(), new_uid(), PatientWeight="70", NumberOfFrames="1 ")
    one.save_as(path, enforce_file_format=True)
    content = path.read_bytes()
    assert content.count(b"DS\x02\x0070") == 1
    path.write_bytes(content.replace(b"DS\x02\x0070", b"DS\x02\x00xy"))
    findings = find_in_study(seeing, [(path, read_head(path))], settings())
    out = tmp_path / "odd"
    out.mkdir()
    write_results(findings, maker_of(seeing), out)
    report = dcmread(out / "3-report.dcm")
    assert (report.PatientID, report.StudyInstanceUID) == (PATIENT, one.StudyInstanceUID)


def test_a_lean_header_leaves_out_what_cannot_be_read(tmp_path: Path, seeing, settings):
    path = tmp_path / "odd.dcm"
    dicom_object(spotted(), new_uid(), NumberOfFrames="17").save_as(path, enforce_file_format=True)
    content = path.read_bytes()
    assert content.count(b"IS\x02\x0017") == 1
    path.write_bytes(content.replace(b"IS\x02\x0017", b"IS\x02\x00xy"))
    kept = lean(read_head(path))
    assert "NumberOfFrames" not in kept and "PixelSpacing" not in kept
    assert (kept.PatientName, kept.Rows) == (NAME, 180)


def test_made_again_results_have_the_same_uids(answer):
    objects = [dicom_object(spotted(), new_uid()) for _ in range(1)]
    _, first = answer(objects)
    _, again = answer(objects)
    assert [one.SOPInstanceUID for one in first] == [one.SOPInstanceUID for one in again]
    assert len({one.SOPInstanceUID for one in first}) == len(first)
