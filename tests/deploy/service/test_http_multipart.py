"""Multipart bodies, whole, in pieces, and malformed."""

from __future__ import annotations

import pytest

from raresight.deploy.service.multipart import FIELDS, LONGEST_NAME, Multipart, plain_name
from raresight.deploy.service.problems import Problem

TYPE = "multipart/form-data; boundary=cut"


def part(content: bytes, disposition: str = 'form-data; name="file"; filename="a.png"') -> bytes:
    return f"--cut\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + content + b"\r\n"


END = b"--cut--\r\n"


def parsed(*pieces: bytes, images: int = 8) -> list[tuple[str, bytes]]:
    form = Multipart(TYPE, images)
    for piece in pieces:
        form.write(piece)
    return list(form.files())


def test_a_body_is_the_same_wherever_it_is_cut():
    body = part(b"one\r\n--cu\r\n") + part(b"two", 'form-data; name="file"; filename="b.png"') + END
    expected = [("a.png", b"one\r\n--cu\r\n"), ("b.png", b"two")]
    assert parsed(body) == expected
    for at in range(len(body)):
        assert parsed(body[:at], body[at:]) == expected
    assert parsed(*[bytes([each]) for each in body]) == expected


def test_other_fields_are_passed_over():
    body = part(b"x", 'form-data; name="note"') + part(b"image") + END
    assert parsed(body) == [("a.png", b"image")]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no boundary at all",
        part(b"broken off"),
        part(b"image") + b"--cut",
        b"--cut\r\nContent-Disposition form-data\r\n\r\nx\r\n" + END,
        part(b"x", 'form-data; name="other"') + END,
        part(b"x", "form-data") + END,
        b"--cut\r\n" + b"X: " + b"y" * 1_000_000 + b"\r\n\r\nx\r\n" + END,
        b"--cut\r\n" + b"X: y\r\n" * 100_000 + b"\r\nx\r\n" + END,
    ],
)
def test_a_malformed_body_is_a_400(body):
    with pytest.raises(Problem) as caught:
        parsed(body)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "kind",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/mixed; boundary=cut",
        "multipart/form-data; boundary=" + "x" * 10_000,
    ],
)
def test_a_type_without_a_usable_boundary_is_a_400(kind):
    with pytest.raises(Problem) as caught:
        Multipart(kind, 8)
    assert caught.value.status == 400


def test_files_and_fields_have_a_limit():
    assert len(parsed(part(b"x") * 8 + END)) == 8
    for body in (part(b"x") * 9 + END, part(b"x", 'form-data; name="n"') * (FIELDS + 1) + END):
        with pytest.raises(Problem) as caught:
            parsed(body)
        assert caught.value.status == 413


def test_a_name_loses_folders_and_what_cannot_be_printed():
    assert plain_name(b"../../etc/pass\x00wd") == "passwd"
    assert plain_name(b"a\tb\r\nc.png") == "abc.png"
    assert plain_name("‮gnp.exe".encode()) == "gnp.exe"
    assert plain_name(b"C:\\scans\\x.dcm") == "x.dcm"
    assert plain_name(b"\xff\xfe") == "��"
    assert plain_name(b"") == plain_name(b"///") == "image"
    assert len(plain_name(b"y" * 5000)) == LONGEST_NAME
