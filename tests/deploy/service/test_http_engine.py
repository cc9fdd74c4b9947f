"""The engine: batches, bounds, what is dropped, and a bundle that changes under way."""

from __future__ import annotations

import asyncio
import threading
import weakref
from dataclasses import replace

import numpy as np
import pytest
from serving import client, held, opened_app, png, within

from conftest import grey
from raresight.deploy.service.engine import Engine
from raresight.deploy.service.opened import open_bundle
from raresight.errors import ImageError


@pytest.fixture(scope="module")
def opened(bundle):
    return open_bundle(bundle, threads=1, max_pixels=10_000)


@pytest.fixture()
def engine(opened):
    made = Engine(opened, workers=3, batch=8, queue=64)
    yield made
    made.close()


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("engine")
    return [png(grey(seed), folder / f"{seed}.png") for seed in range(24)]


async def scored(engine, samples):
    jobs = [engine.submit(engine.opened, str(i), image, 0.0) for i, image in enumerate(samples)]
    return await asyncio.gather(*(job.done for job in jobs))


def test_batches_give_what_single_images_give(engine, opened, samples):
    sizes = []
    engine.observe = lambda jobs, seconds: sizes.append(len(jobs))

    async def piled_up():
        with held(engine):
            work = asyncio.ensure_future(scored(engine, samples))
            await asyncio.sleep(0)
        return await work

    found = within(piled_up())
    alone = [opened.predictor.predict([image])[0] for image in samples]
    assert [one.file for one in found] == [str(i) for i in range(len(samples))]
    assert np.allclose([one.score for one in found], [one.score for one in alone], atol=1e-6)
    assert sum(sizes) == len(samples)
    assert 1 < max(sizes) <= engine.batch
    assert engine.pending == 0


def test_a_lone_image_has_all_cores_and_several_have_one_each(bundle, samples, monkeypatch):
    both = open_bundle(bundle, threads=2, max_pixels=10_000)
    assert both.predictor is not both.beside
    asked = {"alone": 0, "beside": 0}
    for name, predictor in (("alone", both.predictor), ("beside", both.beside)):
        decide = predictor.decide

        def spy(group, cuts, *, keep, name=name, decide=decide):
            asked[name] += len(group)
            return decide(group, cuts, keep=keep)

        monkeypatch.setattr(predictor, "decide", spy)
    engine = Engine(both, workers=2, batch=8, queue=64)
    within(scored(engine, samples[:1]))
    assert asked == {"alone": 1, "beside": 0}

    async def several():
        with held(engine):
            jobs = [engine.submit(both, "x", image, 0.0) for image in samples[:8]]
        await asyncio.gather(*(job.done for job in jobs))

    within(several())
    engine.close()
    assert asked["beside"] >= 7  # of the last one left, nobody else is in the way


def test_nothing_waits_for_a_batch_to_fill(engine, samples):
    within(scored(engine, samples[:3]), seconds=5)


def test_each_image_keeps_its_own_threshold(engine, samples):
    async def both():
        cuts = [-99.0, 99.0] * 4
        jobs = [engine.submit(engine.opened, "x", samples[0], cut) for cut in cuts]
        return await asyncio.gather(*(job.done for job in jobs))

    assert [one.decision for one in within(both())] == ["anomalous", "normal"] * 4


def test_what_nobody_waits_for_is_dropped(engine, samples):
    seen = []
    engine.observe = lambda jobs, seconds: seen.extend(job.name for job in jobs)

    async def leave():
        with held(engine):
            jobs = [engine.submit(engine.opened, str(i), image, 0.0) for i, image in enumerate(samples)]
            kept = jobs.pop()
            for job in jobs:
                job.done.cancel()
            await asyncio.sleep(0)
            assert not any(job.source for job in jobs)  # its bytes are free at once
        await asyncio.gather(*(job.done for job in [kept, *scored_later()]))

    def scored_later():
        return [engine.submit(engine.opened, "late", samples[0], 0.0)]

    within(leave())
    assert sorted(seen) == ["23", "late"]
    assert engine.pending == 0


def test_a_damaged_image_is_its_own_loss(engine, samples):
    async def mixed():
        sources = [samples[0], samples[1][:60], b"nothing", samples[2]]
        jobs = [engine.submit(engine.opened, "x", source, 0.0) for source in sources]
        return await asyncio.gather(*(job.done for job in jobs), return_exceptions=True)

    first, cut, nothing, last = within(mixed())
    assert first.score is not None
    assert last.score is not None
    assert cut.error
    assert isinstance(nothing, ImageError)


def test_a_failing_graph_fails_its_batch_and_not_the_engine(engine, opened, samples, monkeypatch):
    def broken(pixels):
        raise RuntimeError("no memory")

    with monkeypatch.context() as patch:
        patch.setattr(opened.beside, "scores", broken)
        patch.setattr(opened.predictor, "scores", broken)
        with pytest.raises(RuntimeError):
            within(scored(engine, samples[:2]))
    assert all(one.score is not None for one in within(scored(engine, samples[:2])))
    assert engine.pending == 0


def test_a_bundle_that_is_replaced_finishes_what_it_began(bundle, samples):
    first = open_bundle(bundle, threads=1, max_pixels=10_000)
    second = open_bundle(bundle, threads=1, max_pixels=10_000)
    second.predictor.facts = replace(second.predictor.facts, shift=100.0)
    engine = Engine(first, workers=2, batch=8, queue=64)

    async def change():
        before = [engine.submit(engine.opened, "x", image, 0.0) for image in samples[:12]]
        engine.opened = second
        after = [engine.submit(engine.opened, "x", image, 0.0) for image in samples[:12]]
        return await asyncio.gather(*(job.done for job in before + after))

    found = [one.score for one in within(change())]
    assert np.allclose(np.array(found[12:]) - found[:12], 100.0, atol=1e-4)
    gone = weakref.ref(first.predictor)
    del first
    within(scored(engine, samples[:3]))
    engine.close()
    assert gone() is None  # the old graphs' memory is free


def test_other_work_shares_the_threads(engine):
    async def work():
        assert await engine.call(lambda: threading.current_thread().name) in ("image-0", "image-1", "image-2")
        with pytest.raises(ZeroDivisionError):
            await engine.call(lambda: 1 / 0)

    within(work())
    assert engine.pending == 0


def test_a_full_queue_says_when_to_come_back(bundle, samples):
    with opened_app(bundle, queue=4, timeout=10) as app:
        engine = app.state.service.engine

        async def flood():
            async with client(app) as asking:
                hold = held(engine)
                hold.__enter__()

                async def one(image):
                    return await asking.post(
                        "/v1/predict", content=image, headers={"content-type": "image/png"}
                    )

                waiting = [asyncio.ensure_future(one(image)) for image in samples[:4]]
                while engine.pending < 4:
                    await asyncio.sleep(0.01)
                refused = await one(samples[5])
                assert refused.status_code == 429
                assert int(refused.headers["retry-after"]) >= 1
                hold.__exit__(None, None, None)
                return [answer.status_code for answer in await asyncio.gather(*waiting)]

        assert within(flood()) == [200] * 4
        assert engine.pending == 0


def test_a_client_that_leaves_is_not_waited_for(bundle, samples):
    with opened_app(bundle) as app:
        engine, service = app.state.service.engine, app.state.service
        seen = []
        engine.observe = lambda jobs, seconds: seen.extend(jobs)

        async def leave():
            messages = [{"type": "http.request", "body": samples[0], "more_body": False}]
            sent = []

            async def receive():
                if messages:
                    return messages.pop()
                while not engine.pending:
                    await asyncio.sleep(0.001)
                return {"type": "http.disconnect"}

            async def send(message):
                sent.append(message)

            scope = {
                "type": "http", "method": "POST", "path": "/v1/predict", "raw_path": b"/v1/predict",
                "query_string": b"", "headers": [(b"host", b"localhost"), (b"content-type", b"image/png")],
                "http_version": "1.1", "scheme": "http", "server": None, "client": None, "root_path": "",
            }  # fmt: skip
            with held(engine):
                await app(scope, receive, send)
            assert sent == []
            await engine.submit(engine.opened, "next", samples[1], 0.0).done

        within(leave())
        assert [job.name for job in seen] == ["next"]
        assert service.room.held == service.under_way == 0
