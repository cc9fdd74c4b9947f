"""Spoilt bodies against the real application: an answer, and never one of the server's fault.

``make fuzz`` sends more of them: as many as RARESIGHT_FUZZ_BODIES says.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("nibabel")
pytest.importorskip("pydicom")
pytest.importorskip("gdcm")

sys.path.append(str(Path(__file__).parents[2] / "fuzz"))
from fuzzing import CHANGES, spoil, valid_files
from serving import client, opened_app, within

pytestmark = pytest.mark.filterwarnings("ignore")

INPUTS = int(os.environ.get("RARESIGHT_FUZZ_BODIES", "500"))
SECONDS = 5.0
TYPES = ("image/png", "application/dicom", "application/octet-stream", "", "text/html", "multipart/form-data")


@pytest.fixture(scope="module")
def app(bundle, tmp_path_factory):
    with opened_app(bundle, state=tmp_path_factory.mktemp("state")) as app:
        yield app


def multipart(random: np.random.Generator, images: list[bytes]) -> tuple[str, bytes]:
    """Wrap images as a form does, and spoil the wrapping half of the time."""
    parts = b"".join(
        b'--limit\r\ncontent-disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + each + b"\r\n"
        for each in images
    )
    body = bytearray(parts + b"--limit--\r\n")
    if random.random() < 0.5:
        body = CHANGES[random.integers(len(CHANGES))](body, random)
    kind = ("multipart/form-data; boundary=limit", "multipart/form-data; boundary=", "multipart/mixed")
    return kind[random.integers(3)] if random.random() < 0.1 else kind[0], bytes(body)


def request_of(number: int) -> tuple[str, bytes]:
    """Give the type and the body of a request: the same number, the same request."""
    random = np.random.default_rng([7, number])
    kinds = list(valid_files())
    images = [
        spoil(kind, random) if random.random() < 0.7 else valid_files()[kind]
        for kind in random.choice(kinds, random.integers(1, 4))
    ]
    if random.random() < 0.5:
        return multipart(random, images)
    return TYPES[random.integers(len(TYPES))], images[0]


def test_spoilt_bodies_are_answered(app):
    outcomes: Counter[int] = Counter()

    async def all_of_them() -> None:
        async with client(app) as asking:
            for number in range(INPUTS):
                kind, body = request_of(number)
                path = "/v1/feedback" if number % 10 == 0 else "/v1/predict"
                sent = asking.post(path, content=body, headers={"content-type": kind})
                answer = await asyncio.wait_for(sent, SECONDS)
                assert answer.status_code < 500, (number, answer.text)
                outcomes[answer.status_code] += 1
            assert (await asking.get("/readyz")).status_code == 200

    within(all_of_them(), 60 + INPUTS / 10)
    assert outcomes[200] > INPUTS / 20 and outcomes[422] > INPUTS / 20, outcomes
