"""A bundle that was changed, or is none, is refused with one sentence before anything of it is loaded."""

from __future__ import annotations

import hashlib
import json
import os
import pickle

import pytest
from bundle_lab import listed

from raresight.deploy.files import LIST, SUFFIXES, read_checked, write_list
from raresight.deploy.predictor import Predictor
from raresight.errors import BundleError


def refused(folder, pattern):
    with pytest.raises(BundleError, match=pattern) as caught:
        Predictor(folder)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def append(folder, name, content: bytes):
    """Put a file into a bundle and list it, as a forger would."""
    (folder / name).write_bytes(content)
    write_list(folder)


def test_every_file_is_listed_and_nothing_else_is_there(bundle):
    names = {line.split("  ")[1] for line in listed(bundle).splitlines()}
    assert names == {p.relative_to(bundle).as_posix() for p in bundle.rglob("*") if p.is_file()} - {LIST}
    assert all(name.endswith(SUFFIXES) for name in names)
    assert set(read_checked(bundle)) == names


@pytest.mark.parametrize("name", ["detector.onnx", "bundle.json", "model_card.md", "reference.json"])
def test_one_flipped_bit_is_refused(copy, name):
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    refused(copy, f"{name} of .* is not what its SHA256SUMS says")


def test_a_flipped_digit_of_the_list_is_refused(copy):
    text = listed(copy)
    (copy / LIST).write_text(("1" if text[0] == "0" else "0") + text[1:])
    refused(copy, "is not what its SHA256SUMS says")


def test_a_missing_and_an_additional_file_are_refused(copy):
    (copy / "more.json").write_text("{}")
    refused(copy, "holds more.json, which its SHA256SUMS does not name")
    (copy / "more.json").unlink()
    (copy / "model_card.md").unlink()
    refused(copy, "model_card.md is missing")


@pytest.mark.parametrize("name", ["model.pkl", "model.joblib", "weights.pt", "evil.py", ".hidden"])
def test_a_pickle_is_refused_listed_or_not(copy, name):
    (copy / name).write_bytes(pickle.dumps({"a": 1}))
    refused(copy, f"holds {name}.*never a pickle")
    digest = hashlib.sha256((copy / name).read_bytes()).hexdigest()
    with (copy / LIST).open("a") as stream:
        stream.write(f"{digest}  {name}\n")
    refused(copy, "never a pickle|by a name that none")


def test_a_pickle_by_another_name_is_never_unpickled(copy, tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    append(copy, "detector.onnx", pickle.dumps(Bomb()))
    refused(copy, "detector.onnx of .* is no graph that ONNX Runtime")
    append(copy, "bundle.json", pickle.dumps(Bomb()))
    refused(copy, "bundle.json of .* is not JSON")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    "name", ["../outside.json", "/etc/passwd", "a/../../b.json", "..", "a\\b.json", "x/y/z.json"]
)
def test_a_list_that_leads_out_of_the_folder_is_refused(copy, name):
    (copy.parent / "outside.json").write_text("{}")
    with (copy / LIST).open("a") as stream:
        stream.write(f"{'0' * 64}  {name}\n")
    refused(copy, "names a file outside the bundle")


@pytest.mark.parametrize(
    "line", ["hello", "abc  bundle.json", "0" * 64 + "bundle.json", "Ω" * 64 + "  a.json"]
)
def test_a_list_of_another_form_is_refused(copy, line):
    (copy / LIST).write_text(line + "\n", encoding="utf-8")
    refused(copy, "no hash and name|cannot be read")


def test_a_link_is_refused(copy, tmp_path):
    target = copy / "model_card.md"
    content = target.read_bytes()
    (tmp_path / "elsewhere.md").write_bytes(content)
    target.unlink()
    target.symlink_to(tmp_path / "elsewhere.md")
    refused(copy, "holds a link, model_card.md")


def test_what_is_no_bundle_is_named(tmp_path):
    refused(tmp_path / "nowhere", "there is no bundle")
    refused(tmp_path, "is not a bundle: it has no SHA256SUMS")
    (tmp_path / "a.json").write_text("{}")
    write_list(tmp_path)
    refused(tmp_path, "is not a bundle: it has no bundle.json")


@pytest.mark.parametrize(
    ("facts", "pattern"),
    [
        ({"schema": 0}, "has schema 0, and this raresight reads 1; train it anew"),
        ({"schema": 2}, "has schema 2, and this raresight reads 1; install a newer"),
        ({"schema": None}, "has schema None"),
        ({"thresholds": {"youden": 1.0}}, "thresholds are not finite numbers with a default"),
        ({"thresholds": {"default": float("inf")}}, "thresholds are not finite"),
        ({"calibration": {"method": "magic"}}, "calibration magic is unknown"),
        ({"graphs": {"score": ["other.onnx"]}}, "names a graph other.onnx that is not there"),
        ({"graphs": {}}, "it lacks 'score'"),
        ({"input": {"size": 224}}, "it lacks 'channels'"),
        ({"deciders": [{"kind": "oracle"}]}, "a rule 'oracle' that is unknown"),
        ({"recipe": None}, "cannot be used"),
    ],
)
def test_another_schema_and_senseless_facts_are_refused(changed, facts, pattern):
    refused(changed(**facts), pattern)


def test_another_preprocessing_version_is_refused(changed, bundle):
    taken = json.loads((bundle / "bundle.json").read_text())["input"]
    taken["preprocess"]["version"] = 2
    refused(changed(input=taken), "its preprocessing is another version's")
