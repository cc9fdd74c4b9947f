"""A node on loopback: who may call, what it takes, and that what it took is answered once."""

from __future__ import annotations

import logging
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless
from pynetdicom import AE, sop_class
from ward import NAME, PATIENT, Pacs, calling, dicom_object, new_uid, running, send, until

from raresight.deploy.dicom.node import Node
from raresight.deploy.dicom.settings import Peer
from raresight.deploy.predictor import Predictor
from raresight.errors import OptionError


def test_a_study_is_answered_once_however_often_it_is_sent(predictor, to_pacs, study, pacs: Pacs):
    objects = study(3)
    with running(predictor, to_pacs()) as node:
        assert send(node.receiver.port, objects) == [0, 0, 0]
        until(lambda: node.spool.counts()["done"] == 1)
        assert send(node.receiver.port, objects) == [0, 0, 0]
        time.sleep(0.8)
        assert node.spool.counts() == dict.fromkeys(node.spool.counts(), 0) | {"done": 1}
    (report,) = pacs.got
    assert report.SOPClassUID.name == "Comprehensive 3D SR Storage"
    assert report.StudyInstanceUID == objects[0].StudyInstanceUID
    assert (report.PatientName, report.PatientID) == (NAME, PATIENT)
    assert report.SeriesInstanceUID != objects[0].SeriesInstanceUID


def test_echo_and_who_may_call(predictor, settings):
    with running(predictor, settings(accept=("MODALITY",))) as node:
        port = node.receiver.port
        with calling(port) as association:
            assert association.send_c_echo().Status == 0x0000
        with calling(port, called="ANOTHER") as association:
            assert association.is_rejected
        with calling(port, calling="STRANGER") as association:
            assert association.is_rejected


def test_classes_and_syntaxes_are_negotiated(predictor, settings):
    entity = AE("MODALITY")
    entity.add_requested_context(sop_class.MRImageStorage, [RLELossless, JPEG2000Lossless, JPEGLSLossless])
    entity.add_requested_context(sop_class.MRImageStorage, ["1.2.840.10008.1.2.4.103"])  # a film
    entity.add_requested_context(sop_class.EncapsulatedPDFStorage)
    with running(predictor, settings()) as node:
        association = entity.associate("127.0.0.1", node.receiver.port, ae_title="RARESIGHT")
        accepted = [context.transfer_syntax[0] for context in association.accepted_contexts]
        refused = [context.abstract_syntax for context in association.rejected_contexts]
        association.release()
    assert len(accepted) == 1 and accepted[0] in (RLELossless, JPEG2000Lossless, JPEGLSLossless)
    assert set(refused) == {sop_class.MRImageStorage, sop_class.EncapsulatedPDFStorage}


def test_an_object_over_the_limit_gets_a_status_and_leaves_nothing(predictor, settings):
    large = dicom_object(np.zeros((1500, 1500), np.uint8), new_uid())
    with running(predictor, settings(max_bytes=2**20)) as node:
        assert send(node.receiver.port, [large, dicom_object(np.ones((20, 20), np.uint8), new_uid())]) == [
            0xA700,
            0,
        ]
        assert node.spool.counts()["incoming"] == 0
    with running(predictor, settings(min_free_bytes=2**60)) as node:
        assert send(node.receiver.port, [large]) == [0xA700]


def test_an_abort_in_the_middle_leaves_nothing(predictor, settings, caplog):
    large = dicom_object(np.zeros((1500, 1500), np.uint8), new_uid())
    with running(predictor, settings()) as node, calling(node.receiver.port) as association:
        plain, sent = association.dul.socket.send, []

        def send_some(data: bytes) -> None:
            sent.append(data)
            if len(sent) == 8:
                until(lambda: node.spool.counts()["incoming"] == 1)
                association.dul.socket.socket.shutdown(socket.SHUT_RDWR)
            plain(data)

        association.dul.socket.send = send_some
        association.send_c_store(large)
        until(lambda: node.spool.counts()["incoming"] == 0)
        assert len(sent) >= 8 and node.spool.counts()["waiting"] == 0
        assert send(node.receiver.port, [large]) == [0]


def test_a_unit_of_four_gigabytes_closes_the_connection(predictor, settings):
    with running(predictor, settings()) as node:
        with socket.create_connection(("127.0.0.1", node.receiver.port)) as peer:
            peer.sendall(struct.pack(">BBL", 1, 0, 2**32 - 1) + bytes(100))
            peer.settimeout(10)
            assert peer.recv(1) == b""
        with calling(node.receiver.port) as association:
            assert association.send_c_echo().Status == 0x0000


# pynetdicom leaves the socket of a refused connection to the garbage collector, which closes it at once.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_pacs_that_is_down_gets_results_when_it_is_up(predictor, to_pacs, study, pacs: Pacs):
    pacs.close()
    with running(predictor, to_pacs()) as node:
        send(node.receiver.port, study(2))
        until(lambda: node.spool.counts()["outbox"] == 1)
        time.sleep(0.5)
        assert pacs.got == [] and node.spool.counts()["outbox"] == 1
        pacs.open()
        until(lambda: node.spool.counts()["done"] == 1)
    assert len(pacs.got) == 1


def test_a_full_pacs_is_waited_for_and_a_refusal_is_final(predictor, to_pacs, study, pacs: Pacs):
    pacs.status = 0xA700
    with running(predictor, to_pacs()) as node:
        send(node.receiver.port, study(1))
        until(lambda: node.spool.counts()["outbox"] == 1)
        time.sleep(0.4)
        assert node.spool.counts()["outbox"] == 1
        pacs.status = 0xC000
        until(lambda: node.spool.counts()["failed"] == 1)
        (aside,) = node.spool.failed.iterdir()
    assert "0xC000" in (aside / "reason.json").read_text() and len(list(aside.glob("*.dcm"))) == 1


def test_a_node_goes_on_where_the_last_one_ended(predictor, to_pacs, study, pacs: Pacs):
    objects = study(2)
    with running(predictor, to_pacs(quiet=60)) as node:
        send(node.receiver.port, objects)
        assert node.spool.counts()["waiting"] == 1
    with running(predictor, to_pacs()) as node:
        until(lambda: node.spool.counts()["done"] == 1)
    (first,) = pacs.got
    pacs.got.clear()
    with running(predictor, to_pacs(spool=node.settings.spool.with_name("another"))) as node:
        send(node.receiver.port, objects[::-1])
        until(lambda: node.spool.counts()["done"] == 1)
    assert pacs.got[0].SOPInstanceUID == first.SOPInstanceUID


def test_its_own_results_are_taken_and_left_alone(predictor, settings, study):
    (back,) = study(1, Manufacturer="raresight")
    with running(predictor, settings()) as node:
        assert send(node.receiver.port, [back]) == [0]
        assert node.spool.counts() == dict.fromkeys(node.spool.counts(), 0)


def test_an_unreadable_image_costs_the_others_nothing(predictor, to_pacs, study, pacs: Pacs):
    objects = study(2)
    objects[1].PixelData = objects[1].PixelData[:5000]
    with running(predictor, to_pacs()) as node:
        assert send(node.receiver.port, objects) == [0, 0]
        until(lambda: node.spool.counts()["done"] == 1)
    assert len(pacs.got) == 1


def test_no_log_names_a_patient_or_a_study(predictor, to_pacs, study, pacs: Pacs, caplog, tmp_path: Path):
    caplog.set_level(logging.DEBUG)
    objects = study(2)
    objects[1].PatientName = "Other^Name"
    with running(predictor, to_pacs(max_bytes=2**20)) as node:
        send(node.receiver.port, [*objects, dicom_object(np.zeros((1500, 1500), np.uint8), new_uid())])
        with calling(node.receiver.port, called="ANOTHER"):
            pass
        until(lambda: node.spool.counts()["done"] == 1)
    said = caplog.text
    assert "2 images" in said and "refused" in said
    for secret in (NAME, "Jürgen", PATIENT, "Other", "ACC9", "19500102", objects[0].StudyInstanceUID):
        assert secret not in said
    assert objects[0].SOPInstanceUID not in said and "MODALITY" not in said and str(tmp_path) not in said


def test_a_port_that_is_taken_is_named(predictor, settings, pacs: Pacs):
    node = Node(predictor, settings(port=pacs.port))
    with pytest.raises(OptionError, match=f"port {pacs.port}"):
        node.start()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"send_to": None}, "say where results go"),
        ({"dicomweb": "http://127.0.0.1:1/"}, "say where results go"),
        ({"host": "0.0.0.0"}, "others may call"),
        ({"title": "A" * 17}, "no AE title"),
        ({"accept": ("A\\B",)}, "no AE title"),
        ({"burned_in": "hide"}, "unknown --burned-in"),
        ({"send_tls": True}, "--send-tls needs"),
        ({"query": (("Modality", "MR"),)}, "--fetch"),
    ],
)
def test_settings_that_cannot_be_meant(settings: Callable, changes: dict, message: str):
    with pytest.raises(OptionError, match=message):
        settings(**changes)


def test_a_bundle_without_the_threshold_is_named(predictor: Predictor, settings: Callable):
    with pytest.raises(OptionError, match="no threshold"):
        Node(predictor, settings(threshold="magic"))


def test_peer():
    from raresight.deploy.dicom.settings import parse_peer

    assert parse_peer("PACS@[::1]:104") == Peer("PACS", "::1", 104)
    for wrong in ("PACS", "PACS@host", "@host:104", "PACS@host:99999", "A" * 17 + "@host:104"):
        with pytest.raises(OptionError, match="--send-to"):
            parse_peer(wrong)
