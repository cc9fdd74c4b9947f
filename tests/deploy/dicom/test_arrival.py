"""Objects that are not taken, and deflated ones that are."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian
from ward import dicom_object, new_uid

from raresight.deploy.dicom.arrival import RefusedError, inspect
from raresight.images.readers import read_image

PIXELS = np.arange(64 * 48, dtype=np.uint16).reshape(64, 48)


def write(path: Path, one: Dataset) -> Path:
    one.save_as(path, enforce_file_format=True)
    return path


def status(path: Path, settings, **named: str) -> int:
    with pytest.raises(RefusedError) as caught:
        inspect(path, settings, **named)
    assert str(path) not in str(caught.value)
    return caught.value.status


def test_a_whole_image_is_taken(tmp_path: Path, settings: Callable):
    one = dicom_object(PIXELS, new_uid())
    head = inspect(write(tmp_path / "a.dcm", one), settings())
    assert (head.study, head.instance, head.own) == (one.StudyInstanceUID, one.SOPInstanceUID, False)
    own = dicom_object(PIXELS, new_uid(), Manufacturer="raresight")
    assert inspect(write(tmp_path / "b.dcm", own), settings()).own


def test_a_deflated_image_is_inflated(tmp_path: Path, settings: Callable):
    one = dicom_object(PIXELS, new_uid())
    plain = read_image(write(tmp_path / "plain.dcm", one))
    one.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    path = write(tmp_path / "a.dcm", one)
    size = path.stat().st_size
    assert inspect(path, settings()).instance == one.SOPInstanceUID
    assert path.stat().st_size > size
    np.testing.assert_array_equal(read_image(path), plain)
    assert dcmread(path).PatientName == one.PatientName and list(tmp_path.glob("*.inflated")) == []


def test_a_deflated_bomb_is_refused_at_the_limit(tmp_path: Path, settings: Callable):
    one = dicom_object(PIXELS, new_uid())
    one.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    path = write(tmp_path / "a.dcm", one)
    start = 144 + dcmread(path).file_meta.FileMetaInformationGroupLength
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = b"".join(packer.compress(bytes(2**20)) for _ in range(64)) + packer.flush()
    path.write_bytes(path.read_bytes()[:start] + bomb)
    assert path.stat().st_size < 2**17
    assert status(path, settings(max_bytes=2**22)) == 0xA700
    assert list(tmp_path.glob("*.inflated")) == []
    path.write_bytes(path.read_bytes()[:-2000])
    assert status(path, settings()) == 0xC000


def test_damaged_files_are_not_understood(tmp_path: Path, settings: Callable):
    path = write(tmp_path / "a.dcm", dicom_object(PIXELS, new_uid()))
    whole = path.read_bytes()
    for end in (0, 100, 132, 140, 200, 330):
        path.write_bytes(whole[:end])
        assert status(path, settings()) == 0xC000
    path.write_bytes(whole[:144] + bytes(500))
    assert status(path, settings()) == 0xC000


def test_deeply_nested_sequences_end_in_a_status(tmp_path: Path, settings: Callable):
    path = write(tmp_path / "a.dcm", dicom_object(PIXELS, new_uid()))
    head = path.read_bytes()
    begin = b"\x08\x00\x15\x11SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    at = head.index(b"\x08\x00\x16\x00UI", 144)
    path.write_bytes(head[:at] + 5000 * begin)
    assert status(path, settings()) == 0xC000


def test_limits(tmp_path: Path, settings: Callable):
    path = write(tmp_path / "a.dcm", dicom_object(np.zeros((3, 20, 30), np.uint8), new_uid()))
    assert inspect(path, settings(max_frames=3, max_pixels=600))
    assert status(path, settings(max_frames=2)) == 0xA700
    assert status(path, settings(max_pixels=599)) == 0xA700
    assert status(path, settings(max_bytes=1000)) == 0xA700
    many = write(tmp_path / "b.dcm", dicom_object(PIXELS, new_uid(), NumberOfFrames=10_000))
    assert status(many, settings()) == 0xA700
    flat = write(tmp_path / "c.dcm", dicom_object(PIXELS, new_uid(), Rows=0))
    assert status(flat, settings()) == 0xC000


def test_what_was_announced_must_be_what_came(tmp_path: Path, settings: Callable):
    one = dicom_object(PIXELS, new_uid())
    path = write(tmp_path / "a.dcm", one)
    assert status(path, settings(), instance="1.2.3") == 0xA900
    assert status(path, settings(), sop_class="1.2.840.10008.5.1.4.1.1.2") == 0xA900
    nameless = write(tmp_path / "b.dcm", dicom_object(PIXELS, new_uid(), StudyInstanceUID=""))
    assert status(nameless, settings()) == 0xC000


def test_burned_in_annotation_can_be_refused(tmp_path: Path, settings: Callable):
    path = write(tmp_path / "a.dcm", dicom_object(PIXELS, new_uid(), BurnedInAnnotation="YES"))
    assert status(path, settings(burned_in="refuse")) == 0x0124
    assert inspect(path, settings(burned_in="refer")) and inspect(path, settings(burned_in="accept"))
