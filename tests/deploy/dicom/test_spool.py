"""The spool, step by step, and what a process that died leaves in it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from raresight.deploy.dicom.spool import Spool
from raresight.errors import OptionError


def received(spool: Spool, study: str, *instances: str) -> None:
    for instance in instances:
        path = spool.incoming / "new.dcm"
        path.write_bytes(instance.encode())
        spool.keep(path, study, instance)


def answered(spool: Spool, batch: Path) -> Path:
    results = spool.incoming / "results"
    results.mkdir()
    (results / "1.dcm").write_bytes(b"result")
    spool.answer(batch, results, {"images": 2})
    return spool.outbox / batch.name


def reopened(spool: Spool, bundle: str = "b") -> Spool:
    """As after SIGKILL: nothing is tidied up, only the lock is gone with its process."""
    spool.close()
    return Spool(spool.folder, bundle)


def test_a_study_walks_through_its_folders(tmp_path: Path):
    spool = Spool(tmp_path / "spool", "b")
    received(spool, "1.2", "1.2.1", "1.2.2")
    spool.freeze(quiet=60)
    assert spool.batches() == [] and not spool.knows("1.2.1") and spool.holds("1.2", "1.2.1")
    spool.freeze(quiet=0)
    (batch,) = spool.batches()
    assert len(list(batch.glob("*.dcm"))) == 2 and spool.knows("1.2.1")
    out = answered(spool, batch)
    assert spool.batches() == [] and not batch.exists()
    ((folder, files),) = spool.sending()
    assert folder == out and [file.read_bytes() for file in files] == [b"result"]
    spool.finish(out)
    assert spool.counts() == dict.fromkeys(spool.counts(), 0) | {"done": 1}
    spool.close()


def test_every_step_can_be_the_last_before_a_kill(tmp_path: Path):
    spool = Spool(tmp_path / "spool", "b")
    (spool.incoming / "half.dcm").write_bytes(b"half")
    received(spool, "1.2", "1.2.1")
    spool = reopened(spool)
    assert list(spool.incoming.iterdir()) == []
    spool.freeze(quiet=0)
    spool = reopened(spool)
    (batch,) = spool.batches()
    assert spool.knows("1.2.1")
    copy = {path.name: path.read_bytes() for path in batch.iterdir()}
    out = answered(spool, batch)
    batch.mkdir()  # killed between the two steps of an answer
    for name, content in copy.items():
        (batch / name).write_bytes(content)
    spool = reopened(spool)
    assert spool.batches() == [] and not batch.exists() and spool.knows("1.2.1")
    assert [folder for folder, _ in spool.sending()] == [out]
    spool.finish(out)
    spool = reopened(spool)
    assert spool.knows("1.2.1") and spool.sending() == []
    spool.close()


def test_the_same_objects_again_make_the_same_batch(tmp_path: Path):
    spool = Spool(tmp_path / "spool", "b")
    received(spool, "1.2", "1.2.1", "1.2.2")
    spool.freeze(quiet=0)
    received(spool, "1.2", "1.2.2", "1.2.1")
    spool.freeze(quiet=0)
    assert len(spool.batches()) == 1 and spool.counts()["waiting"] == 0
    received(spool, "1.2", "1.2.3")
    spool.freeze(quiet=0)
    assert len(spool.batches()) == 2
    spool.close()


def test_another_bundle_answers_anew(tmp_path: Path):
    spool = Spool(tmp_path / "spool", "b")
    received(spool, "1.2", "1.2.1")
    spool.freeze(quiet=0)
    spool.finish(answered(spool, spool.batches()[0]))
    spool = reopened(spool, "another")
    assert not spool.knows("1.2.1")
    received(spool, "1.2", "1.2.1")
    spool.freeze(quiet=0)
    assert len(spool.batches()) == 1
    spool.close()


def test_quiet_counts_from_the_last_image(tmp_path: Path):
    spool = Spool(tmp_path / "spool")
    received(spool, "1.2", "1.2.1")
    (study,) = (spool.folder / "waiting").iterdir()
    os.utime(study, (time.time() - 30, time.time() - 30))
    received(spool, "1.2", "1.2.2")
    spool.freeze(quiet=20)
    assert spool.batches() == []
    spool.close()


def test_what_fails_is_kept_with_its_reason(tmp_path: Path):
    spool = Spool(tmp_path / "spool")
    received(spool, "1.2", "1.2.1")
    spool.freeze(quiet=0)
    (batch,) = spool.batches()
    assert [spool.begin(batch) for _ in range(3)] == [0, 1, 2]
    spool.fail(batch, "no results could be made of it")
    (aside,) = spool.failed.iterdir()
    assert "no results" in (aside / "reason.json").read_text() and len(list(aside.glob("*.dcm"))) == 1
    spool.close()


def test_one_process_at_a_time(tmp_path: Path):
    spool = Spool(tmp_path / "spool")
    with pytest.raises(OptionError, match="another node"):
        Spool(tmp_path / "spool")
    reopened(spool).close()


def test_names_tell_nothing_and_no_one_else_may_read(tmp_path: Path):
    one, two = Spool(tmp_path / "one"), Spool(tmp_path / "two")
    received(one, "1.2.840.1", "1.2.840.1.7")
    names = " ".join(str(path.relative_to(tmp_path)) for path in one.folder.rglob("*"))
    assert "840" not in names and one.name("1.2.840.1") in names
    assert one.name("1.2.840.1") != two.name("1.2.840.1")  # a list of known UIDs does not open it
    assert (one.folder.stat().st_mode & 0o777, (one.folder / "key").stat().st_mode & 0o777) == (0o700, 0o600)
    one.close(), two.close()
