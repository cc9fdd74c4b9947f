"""DICOM objects made of phantoms, a node and a PACS that takes its results: what tests share."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from shutil import copytree
from uuid import uuid4

import numpy as np
import onnx
from pydicom import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, VLPhotographicImageStorage
from pynetdicom import AE, evt, sop_class

from raresight.deploy.dicom.node import Node
from raresight.deploy.dicom.offered import image_classes
from raresight.deploy.dicom.settings import NodeSettings
from raresight.deploy.dicom.store import RESULTS
from raresight.deploy.files import write_list
from raresight.deploy.predictor import Predictor

NAME, PATIENT = "Müller^Jürgen", "SECRET-4711"


def new_uid() -> str:
    return f"2.25.{uuid4().int}"


def dicom_object(pixels: np.ndarray, study: str, number: int = 1, **changes: object) -> Dataset:
    """An MR image, or a photograph where the pixels are in colour; frames of grey where there are several."""
    colour = pixels.ndim == 3 and pixels.shape[-1] == 3
    one = Dataset()
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one.SpecificCharacterSet = "ISO_IR 100"
    one.SOPClassUID = VLPhotographicImageStorage if colour else MRImageStorage
    one.SOPInstanceUID = new_uid()
    one.file_meta.MediaStorageSOPClassUID = one.SOPClassUID
    one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID
    one.StudyInstanceUID, one.SeriesInstanceUID = study, f"{study}.1"
    one.PatientName, one.PatientID, one.PatientBirthDate, one.PatientSex = NAME, PATIENT, "19500102", "M"
    one.StudyDate, one.StudyTime, one.StudyID, one.AccessionNumber = "20260102", "101112", "7", "ACC9"
    one.ReferringPhysicianName = ""
    one.Modality, one.Manufacturer = ("XC" if colour else "MR"), "phantom"
    one.SeriesNumber, one.InstanceNumber = 1, number
    one.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    one.FrameOfReferenceUID, one.PositionReferenceIndicator = f"{study}.9", ""
    one.ImagePositionPatient, one.ImageOrientationPatient = [0, 0, 5 * number], [1, 0, 0, 0, 1, 0]
    one.PixelSpacing, one.SliceThickness = [0.5, 0.5], 5
    one.ScanningSequence, one.SequenceVariant, one.ScanOptions = "SE", "NONE", ""
    one.MRAcquisitionType, one.EchoTime, one.RepetitionTime, one.EchoTrainLength = "2D", 10, 500, 1
    one.PatientOrientation = ["L", "P"]
    if colour:
        one.PlanarConfiguration = 0
    if pixels.ndim == 3 and not colour:
        one.NumberOfFrames = len(pixels)
    one.Rows, one.Columns = pixels.shape[:2] if colour or pixels.ndim == 2 else pixels.shape[1:]
    one.SamplesPerPixel = 3 if colour else 1
    one.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    one.BitsAllocated = one.BitsStored = 8 * pixels.dtype.itemsize
    one.HighBit, one.PixelRepresentation = one.BitsStored - 1, 0
    one.PixelData = pixels.tobytes()
    for name, value in changes.items():
        setattr(one, name, value)
    one.file_meta.MediaStorageSOPClassUID = one.SOPClassUID
    return one


def seeing_bundle(bundle: Path, folder: Path) -> Path:
    """Copy a quick bundle and give it an explanation graph that calls bright places hot."""
    copy = Path(copytree(bundle, folder))
    content = json.loads((copy / "bundle.json").read_text())
    size, channels = content["input"]["size"], content["input"]["channels"]
    onnx.save(brightness_graph(size, channels), copy / "explain.onnx")
    content["graphs"]["explain"] = {
        "file": "explain.onnx",
        "method": "brightness",
        "low": 120.0,
        "high": 250.0,
    }
    (copy / "bundle.json").write_text(json.dumps(content))
    write_list(copy)
    return copy


def brightness_graph(size: int, channels: int) -> onnx.ModelProto:
    """Mean brightness of cells of 8 × 8 pixels."""
    make = onnx.helper
    nodes = [
        make.make_node("Cast", ["pixels"], ["wide"], to=onnx.TensorProto.FLOAT),
        make.make_node("Transpose", ["wide"], ["planes"], perm=[0, 3, 1, 2]),
        make.make_node("AveragePool", ["planes"], ["cells"], kernel_shape=[8, 8], strides=[8, 8]),
        make.make_node("ReduceMean", ["cells"], ["heat"], axes=[1], keepdims=0),
    ]
    pixels = make.make_tensor_value_info("pixels", onnx.TensorProto.UINT8, ["n", size, size, channels])
    heat = make.make_tensor_value_info("heat", onnx.TensorProto.FLOAT, ["n", size // 8, size // 8])
    graph = make.make_graph(nodes, "brightness", [pixels], [heat])
    return make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8)


class Pacs:
    """A storage SCP that remembers what it got; closed, it is down."""

    def __init__(self) -> None:
        self.got: list[Dataset] = []
        self.status = 0x0000
        self.port = 0
        self._server = None

    def open(self) -> Pacs:
        entity = AE("PACS")
        entity.require_called_aet = True
        for name in RESULTS:
            entity.add_supported_context(getattr(sop_class, name))
        handlers = [(evt.EVT_C_STORE, self._store)]
        self._server = entity.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)
        self.port = self._server.server_address[1]
        return self

    def close(self) -> None:
        if self._server:
            self._server.shutdown()
            self._server = None

    def _store(self, event) -> int:
        if self.status == 0:
            dataset = event.dataset
            dataset.file_meta = event.file_meta
            self.got.append(dataset)
        return self.status

    def classes(self) -> list[str]:
        return sorted(one.SOPClassUID.name for one in self.got)


@contextmanager
def running(predictor: Predictor, settings: NodeSettings):
    node = Node(predictor, settings)
    node.start()
    try:
        yield node
    finally:
        node.stop()


def until(true: Callable[[], object], seconds: float = 15.0) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


@contextmanager
def calling(port: int, calling: str = "MODALITY", called: str = "RARESIGHT", syntaxes=None, tls=None):
    """An association with the node."""
    entity = AE(calling)
    entity.dimse_timeout = 90  # an fsync can take long while other processes write
    entity.add_requested_context(sop_class.Verification)
    for uid in image_classes()[:60]:
        entity.add_requested_context(uid, syntaxes or [ExplicitVRLittleEndian])
    association = entity.associate("127.0.0.1", port, ae_title=called, tls_args=tls)
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def send(port: int, objects: list[Dataset], **named) -> list[int]:
    """Send objects; gives the statuses."""
    with calling(port, **named) as association:
        assert association.is_established
        return [int(association.send_c_store(one).Status) for one in objects]
