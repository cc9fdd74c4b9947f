"""A bundle that was changed, or is of another time, is refused by both commands: status 2, one sentence."""

from __future__ import annotations

import json
import pickle
import re

import pytest

from raresight.cli.app import app
from raresight.cli.console import guarded
from raresight.deploy.files import LIST, write_list

pytest.importorskip("fastapi")


@pytest.fixture(params=["predict", "serve"])
def refused(request, capsys, pictures):
    """Hand a bundle to a command, and give the one sentence that it leaves with."""

    def refuse(bundle) -> str:
        rest = [str(pictures / "0.png")] if request.param == "predict" else ["--port", "0"]
        capsys.readouterr()
        assert guarded(app, [request.param, str(bundle), *rest]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        lines = printed.err.strip().splitlines()
        assert len(lines) == 1 and lines[0].startswith("error: ")
        return lines[0]

    return refuse


def test_one_flipped_byte_of_any_file(refused, copy):
    files = sorted(path for path in copy.rglob("*") if path.is_file())
    assert len(files) >= 5
    for path in files:
        content = path.read_bytes()
        for place in (0, len(content) // 2, len(content) - 2):
            spoilt = bytearray(content)
            spoilt[place] ^= 0x40
            path.write_bytes(bytes(spoilt))
            sentence = refused(copy)
            assert LIST in sentence or path.name == LIST
        path.write_bytes(content)


@pytest.mark.parametrize(("schema", "way_out"), [(0, "train it anew"), (2, "install a newer raresight")])
def test_another_schema(refused, changed, schema, way_out):
    sentence = refused(changed(schema=schema))
    assert f"has schema {schema}, and this raresight reads 1" in sentence and way_out in sentence


@pytest.mark.parametrize("listed", [True, False])
def test_a_pickle_inside(refused, copy, listed):
    (copy / "model.pkl").write_bytes(pickle.dumps({"a": 1}))
    if listed:
        write_list(copy)
    assert "never a pickle" in refused(copy)


@pytest.mark.parametrize("name", ["../outside.json", "/etc/passwd", "a/../../b.json"])
def test_a_name_that_leads_out(refused, copy, name):
    with (copy / LIST).open("a") as stream:
        stream.write(f"{'0' * 64}  {name}\n")
    assert "names a file outside the bundle" in refused(copy)


def test_a_graph_named_outside_of_the_folder(refused, changed, bundle):
    graphs = json.loads((bundle / "bundle.json").read_text())["graphs"]
    sentence = refused(changed(graphs={**graphs, "score": ["../detector.onnx"]}))
    assert re.search(r"names a graph \.\./detector\.onnx that is not there", sentence)


def test_what_is_no_bundle(refused, tmp_path):
    assert "there is no bundle" in refused(tmp_path / "nowhere")
