"""Where a cluster's workers find what they read, and what is said where there is no cluster."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from raresight.cli.app import app
from raresight.cli.console import guarded
from raresight.experiment.cluster import StoreFile, own_folder


def test_where_nobody_answers_it_is_said(small_set: Path, tmp_path: Path, capsys):
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
    command = ["compare", str(small_set), "--models", "logistic", "--folds", "3"]
    command += ["--out", str(tmp_path / "run"), "--scheduler", address]
    assert guarded(app, command) == 2
    assert f"no Dask scheduler answers at {address}" in capsys.readouterr().err


def test_a_worker_that_does_not_see_the_store_is_sent_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RARESIGHT_CACHE", str(tmp_path / "worker"))
    away = tmp_path / "client" / "stores" / "abc"
    for name in ("pixels.npy", "store.json"):
        StoreFile(away, "abc", name, name.encode()).setup(None)
    assert own_folder(away, "abc") == tmp_path / "worker" / "stores" / "abc"
    assert (own_folder(away, "abc") / "pixels.npy").read_bytes() == b"pixels.npy"
    away.mkdir(parents=True)
    (away / "store.json").touch()
    assert own_folder(away, "abc") == away
