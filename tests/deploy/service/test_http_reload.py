"""A new version of the bundle: taken when it is sound, refused when not, unseen by requests."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from shutil import copytree, rmtree

import pytest
from serving import client, opened_app, within

from raresight.deploy.files import write_list
from raresight.deploy.service.reload import Reloader


@pytest.fixture()
def image(pictures):
    return (pictures / "0.png").read_bytes()


def version(bundle: Path, folder: Path, **facts: object) -> Path:
    """A copy with other facts."""
    copytree(bundle, folder)
    content = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps(content | facts))
    write_list(folder)
    return folder


@pytest.fixture()
def versions(bundle, tmp_path):
    """A link to the first of three bundles: sound, with another threshold, failing its self-test."""
    one = version(bundle, tmp_path / "1")
    version(bundle, tmp_path / "2", thresholds={"default": 123.0})
    version(bundle, tmp_path / "3", self_test={"score": 99.0})
    link = tmp_path / "current"
    link.symlink_to(one)
    return link


def point(link: Path, name: str) -> None:
    fresh = link.with_name("fresh")
    fresh.symlink_to(link.parent / name)
    fresh.replace(link)


def counts(app) -> dict[str, float]:
    text = app.state.service.metrics.text().decode()
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("raresight_reloads_total")]
    return {name.split('"')[1]: float(value) for name, value in lines}


def test_a_sound_version_is_taken_and_a_bad_one_is_not(versions, image):
    with opened_app(versions) as app:
        reloader, engine = Reloader(app.state.service), app.state.service.engine
        first = engine.opened
        point(versions, "2")
        assert within(reloader.reload())
        second = engine.opened
        assert second.digest != first.digest
        assert second.predictor.facts.threshold() == 123.0
        point(versions, "3")
        assert not within(reloader.reload())
        rmtree(versions.parent / "3")
        assert not within(reloader.reload())
        assert engine.opened is second
        assert counts(app) == {"done": 1.0, "failed": 2.0}
        assert second.digest in app.state.service.metrics.text().decode()
        assert first.digest not in app.state.service.metrics.text().decode()


def test_no_request_fails_while_bundles_change(versions, image):
    with opened_app(versions) as app:
        reloader = Reloader(app.state.service)

        async def ask_all_the_time(asking, until):
            seen = set()
            while not until.is_set():
                answer = await asking.post(
                    "/v1/predict", content=image, headers={"content-type": "image/png"}
                )
                assert answer.status_code == 200, answer.text
                (one,) = answer.json()["predictions"]
                assert (one["decision"] == "anomalous") == (one["score"] >= one["threshold"])
                seen.add(one["threshold"])
            return seen

        async def both():
            done = asyncio.Event()
            async with client(app) as asking:
                asked = [asyncio.ensure_future(ask_all_the_time(asking, done)) for _ in range(3)]
                for name in ("2", "3", "1", "2", "1"):
                    point(versions, name)
                    await reloader.reload()
                done.set()
                return set().union(*await asyncio.gather(*asked))

        first = json.loads((versions.parent / "1" / "bundle.json").read_text())["thresholds"]["default"]
        assert within(both()) == {first, 123.0}


@pytest.mark.parametrize("linked", [True, False])
def test_a_changed_folder_is_noticed_once_it_stands_still(versions, linked):
    folder = versions if linked else versions.parent / "1"
    with opened_app(folder, watch=True, watch_seconds=0.02) as app:
        engine = app.state.service.engine
        first = engine.opened

        async def watch():
            async with Reloader(app.state.service).watching():
                await asyncio.sleep(0.1)
                assert engine.opened is first
                if linked:
                    point(versions, "3")
                    while not counts(app).get("failed"):
                        await asyncio.sleep(0.02)
                    point(versions, "2")
                else:
                    # Written in place, file by file: what is half there is refused, the whole is taken.
                    for name in ("SHA256SUMS", "bundle.json"):
                        (folder / name).write_bytes((versions.parent / "2" / name).read_bytes())
                        await asyncio.sleep(0.1)
                while engine.opened is first:
                    await asyncio.sleep(0.02)

        within(watch())
        assert engine.opened.predictor.facts.threshold() == 123.0
