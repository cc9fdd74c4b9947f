"""``raresight listen``: what it refuses before it listens."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from raresight.cli.app import app
from raresight.cli.console import USER_ERROR, guarded


def said(capfd: pytest.CaptureFixture[str], *options: str) -> str:
    assert guarded(app, ["listen", *options]) == USER_ERROR
    err = capfd.readouterr().err
    assert err.count("error:") == 1 and "Traceback" not in err
    return err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "say where results go"),
        (("--send-to", "PACS"), "write for instance PACS@"),
        (("--send-to", "P@h:1", "--dicomweb", "http://h/"), "not both"),
        (("--send-to", "P@h:1", "--host", "0.0.0.0"), "--accept"),
        (("--send-to", "P@h:1", "--query", "Modality"), "Modality=MR"),
        (("--send-to", "P@h:1", "--tls-cert", "c.pem"), "--tls-key"),
        (("--send-to", "P@h:1", "--ae-title", "MUCH TOO LONG A TITLE"), "--ae-title"),
        (("--send-to", "P@h:1", "--burned-in", "hide"), "refuse, refer, accept"),
        (("--send-to", "P@h:1", "--threshold", "magic"), "no threshold"),
        (("--dicomweb", "no address"), "DICOMweb"),
    ],
)
def test_options_that_cannot_be_meant(bundle: Path, tmp_path: Path, capfd, options, message: str):
    assert message in said(capfd, str(bundle), "--spool", str(tmp_path / "spool"), *options)


def test_tls_files_that_are_none(bundle: Path, tmp_path: Path, capfd):
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    tls = ("--tls-cert", str(wrong), "--tls-key", str(wrong))
    err = said(capfd, str(bundle), "--spool", str(tmp_path / "s"), "--port", "0", "--send-to", "P@h:1", *tls)
    assert "PEM" in err


def test_without_the_extra_it_says_how_to_get_it(bundle: Path, monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "pynetdicom", None)
    assert "pip install 'raresight[dicom]'" in said(capfd, str(bundle), "--send-to", "P@h:1")
