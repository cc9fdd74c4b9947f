"""The page in a real browser, on a real server: images dropped and looked at, by mouse and by keys."""

from __future__ import annotations

import base64
import io
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

import raresight as rs
from raresight.deploy.feedback import FeedbackStore
from raresight.deploy.files import write_list

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
TOKEN = "a-token-for-the-test-of-the-page"
NEW = "phantom:brain?n=12&anomalies=0.4&difficulty=0.1&seed=7"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    images = rs.load("phantom:brain?n=64&anomalies=0.4&difficulty=0.1&seed=0")
    made = rs.train(images, "svm", "smote", preprocess="mri")
    return made.save(tmp_path_factory.mktemp("page") / "bundle", include_examples=True)


@pytest.fixture(scope="module")
def files(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The most anomalous of some new images as a PNG, the least as a DICOM of 16 bits with a window."""
    folder = tmp_path_factory.mktemp("files")
    new = rs.load(NEW)
    scores = [one.score for one in rs.Predictor(bundle).predict(new.read(row) for row in range(len(new)))]
    ill, well = int(np.argmax(scores)), int(np.argmin(scores))
    Image.fromarray(new.read(ill)).save(folder / "ill.png")
    (folder / "well.dcm").write_bytes(dicom(new.read(well).astype(np.int16) * 8 - 200))
    (folder / "cut.png").write_bytes((folder / "ill.png").read_bytes()[:800])
    return {path.name: path for path in folder.iterdir()}


def dicom(pixels: np.ndarray) -> bytes:
    """Make an MR image whose window shows all it holds, in steps of eight."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.4", "1.2.3.4"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 1
    dataset.WindowCenter, dataset.WindowWidth = 820, 2041
    dataset.add_new("PixelData", "OW", pixels.tobytes())
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


@contextmanager
def serving(bundle: Path, log: Path, *options: str) -> Iterator[str]:
    """Run ``raresight serve`` on a free port of this machine; give its address."""
    command = [
        sys.executable,
        "-m",
        "raresight",
        "serve",
        str(bundle),
        "--port",
        "0",
        "--threads",
        "1",
        *options,
    ]
    with log.open("w") as out:
        server = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        try:
            yield _address(server, log)
        finally:
            server.terminate()
            assert server.wait(30) == 0


def _address(server: subprocess.Popen[bytes], log: Path) -> str:
    until = time.monotonic() + 60
    while time.monotonic() < until and server.poll() is None:
        if found := re.search(r"http://[\d.]+:\d+", log.read_text()):
            return found.group()
        time.sleep(0.05)
    raise AssertionError(f"the server does not start: {log.read_text()}")


@pytest.fixture(scope="module")
def address(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(bundle, tmp_path_factory.mktemp("log") / "server.log") as address:
        yield address


@pytest.fixture()
def opened(browser: Browser, address: str) -> Iterator[Callable[..., Page]]:
    """Open the page; at the end of the test nothing was said on the console and nobody else was asked."""
    contexts: list[BrowserContext] = []
    said: list[str] = []
    asked: list[str] = []

    def open_page(width: int = 1440, height: int = 1000, scheme: str = "light", at: str = address) -> Page:
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": height})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        # Chromium cancels a file chooser that opens before Playwright has begun to watch for them.
        page.on("filechooser", lambda chooser: None)
        page.goto(at)
        return page

    open_page.said = said  # type: ignore[attr-defined]
    yield open_page
    for context in contexts:
        context.close()
    assert said == []
    assert [url for url in asked if not url.startswith(("http://127.0.0.1:", "data:image/png;"))] == []


def drop(page: Page, *paths: Path) -> None:
    """Drop files on the page, as a hand would."""
    content = [[path.name, base64.b64encode(path.read_bytes()).decode()] for path in paths]
    page.evaluate(
        """files => {
          const transfer = new DataTransfer();
          for (const [name, text] of files) {
            const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
            transfer.items.add(new File([bytes], name));
          }
          const options = {dataTransfer: transfer, bubbles: true, cancelable: true};
          for (const kind of ['dragenter', 'dragover', 'drop'])
            document.body.dispatchEvent(new DragEvent(kind, options));
        }""",
        content,
    )


def shown(page: Page) -> np.ndarray:
    """Give the canvas's pixels, (h, w, 4), once an image is open."""
    expect(page.locator("#stage")).to_have_attribute("data-state", "shown", timeout=30_000)
    url = page.evaluate("document.getElementById('canvas').toDataURL()")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))).astype(int)


def choose(page: Page, name: str) -> None:
    page.get_by_role("button", name=re.compile(rf"^{re.escape(name)}")).click()
    expect(page.locator("#findings .file")).to_have_text(name)


def test_a_png_and_a_dicom_are_dropped_scored_and_shown_with_their_heat(opened, bundle, files):
    page = opened()
    drop(page, files["ill.png"], files["well.dcm"])
    expect(page.locator("#progress")).to_have_text("2 of 2 scored", timeout=30_000)
    predictor = rs.Predictor(bundle)
    found = {
        Path(one.file).name: one
        for one in predictor.predict([files["ill.png"], files["well.dcm"]], heat=True)
    }
    assert found["ill.png"].score > found["well.dcm"].score
    expect(page.locator("#rows .file").first).to_have_text("ill.png")
    for name, one in found.items():
        choose(page, name)
        word = {"anomalous": "Anomalous", "normal": "Normal"}[one.decision]
        expect(page.locator("#findings .word")).to_have_text(word)
        assert page.locator("#findings .large").inner_text() == f"{100 * one.probability:.0f} %"
        expect(page.locator("#findings .cases img")).to_have_count(6)
        expect(page.locator("#findings")).to_contain_text("Calibrated for sets in which")
    choose(page, "ill.png")
    hot = shown(page)
    page.locator("#opacity").fill("0")
    cold = shown(page)
    difference = np.abs(hot - cold).sum(axis=2)
    one, told = found["ill.png"], predictor.facts.explain
    share = np.clip((one.heat - told.low) / (told.high - told.low), 0, 1)
    cell = len(difference) // len(share)
    grid = difference.reshape(len(share), cell, len(share), cell).mean(axis=(1, 3))
    assert share.max() > 0.3 and np.corrcoef(share.ravel(), grid.ravel())[0, 1] > 0.8


def test_the_opacity_slider_changes_the_pixels_and_goes_back(opened, files):
    page = opened()
    drop(page, files["ill.png"])
    first = shown(page)
    slider = page.locator("#opacity")
    slider.focus()
    page.keyboard.press("End")
    assert slider.input_value() == "100"
    full = shown(page)
    page.keyboard.press("Home")
    none = shown(page)
    heat = [np.abs(each - none).sum() for each in (first, full)]
    assert 0 < heat[0] < heat[1]
    colours = none[..., :3]
    assert (colours.max(axis=2) == colours.min(axis=2)).all()  # the grey image alone
    slider.fill("65")
    np.testing.assert_array_equal(shown(page), first)


def test_without_heat_the_page_shows_the_files_pixels_through_its_window(opened, bundle, files):
    page = opened()
    drop(page, files["well.dcm"])
    shown(page)
    page.locator("#opacity").fill("0")
    preprocess = rs.Predictor(bundle).facts.preprocess
    raw = rs.Predictor(bundle).prepare(files["well.dcm"])
    canvas = shown(page)[..., 0]
    small = np.asarray(Image.fromarray(canvas.astype(np.uint8)).resize((preprocess.size,) * 2, 2)).astype(int)
    assert np.abs(small - raw[..., 0]).mean() < 2


def test_window_and_level_move_by_slider_and_by_drag_and_come_back(opened, files):
    page = opened()
    drop(page, files["well.dcm"])
    first = shown(page)
    expect(page.locator("#window-controls")).to_be_visible()
    expect(page.locator("#width-value")).to_have_text("2040")
    page.locator("#width").focus()
    page.keyboard.press("ArrowLeft")
    narrower = shown(page)
    assert (narrower != first).any()
    page.get_by_role("button", name="Reset").click()
    np.testing.assert_array_equal(shown(page), first)
    box = page.locator("#canvas").bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 120, box["y"] + 260, steps=4)
    page.mouse.up()
    assert (shown(page) != first).any()
    page.mouse.move(box["x"] + 20, box["y"] + 20)  # the button is up: no more
    dragged = shown(page)
    page.get_by_role("button", name="Reset").click()
    np.testing.assert_array_equal(shown(page), first)
    assert dragged[..., 0].mean() < first[..., 0].mean()  # the level went up
    drop(page, files["ill.png"])
    choose(page, "ill.png")
    shown(page)
    expect(page.locator("#window-controls")).to_be_hidden()  # 8 bits and no window


def tab_to(page: Page, wanted: str) -> None:
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("wanted => document.activeElement.matches(wanted)", wanted):
            return
    raise AssertionError(f"the Tab key does not reach {wanted}")


def test_everything_is_done_with_keys_alone(opened, files):
    page = opened()
    expect(page.locator("#detector-body table")).to_be_visible()
    tab_to(page, "#files")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files([files["ill.png"], files["well.dcm"]])
    expect(page.locator("#findings .file")).to_have_text("ill.png", timeout=30_000)
    expect(page.locator("#announce")).to_contain_text("ill.png: ")
    tab_to(page, "th[data-by=name] button")
    page.keyboard.press("Enter")
    expect(page.locator("th[data-by=name]")).to_have_attribute("aria-sort", "ascending")
    expect(page.locator("th[data-by=score]")).not_to_have_attribute("aria-sort", re.compile(".*"))
    tab_to(page, "#rows button")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.querySelector('.file').textContent") == "well.dcm"
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    expect(page.locator("#findings .file")).to_have_text("well.dcm")
    expect(page.locator("#announce")).to_contain_text("well.dcm: ")
    assert page.evaluate("document.activeElement.querySelector('.file').textContent") == "well.dcm"
    before = shown(page)
    tab_to(page, "#opacity")
    page.keyboard.press("Home")
    tab_to(page, "#level")
    page.keyboard.press("ArrowRight")
    assert (shown(page) != before).any()
    tab_to(page, "#reset-window")
    page.keyboard.press("Enter")
    tab_to(page, "summary")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Limits")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1440])
def test_axe_finds_no_serious_fault(opened, files, scheme, width):
    page = opened(width=width, scheme=scheme)
    expect(page.locator("#detector-body table")).to_be_visible()
    assert faults(page) == []
    drop(page, files["ill.png"], files["well.dcm"])
    shown(page)
    page.locator("summary").click()
    assert faults(page) == []


def faults(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {each['nodes'][0]['html']}"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 360, 768, 1440])
def test_no_width_scrolls_sideways(opened, files, scheme, width):
    page = opened(width=width, scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    drop(page, files["ill.png"], files["well.dcm"])
    shown(page)
    page.locator("summary").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(part) for part in colour[4:-1].split(",")[:3])
    assert (brightness < 200) == (scheme == "dark"), colour


def test_a_file_that_cannot_be_read_says_why_and_stops_nothing(opened, files):
    page = opened()
    drop(page, files["cut.png"], files["ill.png"])
    expect(page.locator("#progress")).to_have_text("1 of 2 scored · 1 failed", timeout=30_000)
    row = page.locator("#rows tr").last
    expect(row).to_contain_text("Failed: it is truncated")
    row.click()
    expect(page.locator("#findings")).to_contain_text("It is truncated.")
    # The browser itself notes the refused request, and nothing else does.
    assert len(opened.said) == 1 and "422" in opened.said.pop()


def test_each_frame_of_a_file_has_its_line_and_the_list_can_be_emptied(opened, tmp_path):
    new = rs.load(NEW)
    pages = [Image.fromarray(new.read(row)) for row in range(3)]
    pages[0].save(tmp_path / "three.tif", save_all=True, append_images=pages[1:])
    page = opened(width=390, height=800)
    drop(page, tmp_path / "three.tif")
    expect(page.locator("#progress")).to_have_text("3 of 3 scored", timeout=30_000)
    pictures = []
    for number in (1, 2, 3):
        choose(page, f"three.tif, frame {number}")
        pictures.append(shown(page))
        expect(page.locator("#stage")).to_be_in_viewport(ratio=0.9)
    assert (pictures[0] != pictures[1]).any() and (pictures[1] != pictures[2]).any()
    page.get_by_role("button", name="Remove all").click()
    expect(page.locator("#rows tr")).to_have_count(0)
    expect(page.locator("#viewer")).to_be_hidden()
    assert page.evaluate("document.activeElement.id") == "files"


def test_names_and_cards_are_text_and_never_markup(opened, bundle, files, tmp_path):
    evil = Path(copytree(bundle, tmp_path / "evil"))
    card = evil / "model_card.md"
    card.write_text(card.read_text() + "\n- <img src=x onerror=document.title='bad'> **strong** `code`\n")
    write_list(evil)
    named = tmp_path / "<img src=x onerror=alert(1)>.png"
    named.write_bytes(files["ill.png"].read_bytes())
    with serving(evil, tmp_path / "log") as address:
        page = opened(at=address)
        drop(page, named)
        shown(page)
        expect(page.locator("#findings .file")).to_have_text(named.name)
        page.locator("summary").click()
        expect(page.locator(".card")).to_contain_text("<img src=x onerror=document.title='bad'> strong code")
        assert page.locator(".card img, #rows img").count() == 0
        assert page.locator(".card strong").inner_text() == "strong"
        assert page.title().endswith("raresight")


def test_a_server_that_wants_a_token_is_given_one(opened, bundle, files, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text(TOKEN + "\n")
    with serving(bundle, tmp_path / "log", "--token-file", str(tokens)) as address:
        page = opened(at=address)
        field = page.get_by_label("Token", exact=True)
        field.fill("a-token-that-is-wrong-altogether")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("does not know this token")
        assert faults(page) == []
        field.fill(TOKEN)
        page.keyboard.press("Enter")
        expect(page.locator("#detector-body table")).to_be_visible()
        drop(page, files["ill.png"])
        shown(page)
        assert page.evaluate("JSON.stringify(localStorage) + document.cookie") == "{}"
        page.reload()
        expect(page.locator("#detector-body table")).to_be_visible()
        page.get_by_role("button", name="Forget token").click()
        assert page.evaluate("sessionStorage.length") == 0
        page.reload()
        expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("alert")).to_contain_text("this server asks for a token")
        drop(page, files["ill.png"])
        expect(page.locator("#rows tr")).to_contain_text("Failed: this server asks for a token")
    assert all("401" in text for text in opened.said)
    opened.said.clear()


def test_a_busy_server_is_asked_again_until_all_is_scored(opened, bundle, tmp_path):
    new = rs.load(NEW)
    paths = []
    for row in range(len(new)):
        paths.append(tmp_path / f"{row:02d}.png")
        Image.fromarray(new.read(row)).save(paths[-1])
    with serving(bundle, tmp_path / "log", "--queue", "1") as address:
        page = opened(at=address)
        drop(page, *paths)
        expect(page.locator("#progress")).to_have_text("12 of 12 scored", timeout=60_000)
        scores = [
            float(text.replace("−", "-")) for text in page.locator("#rows td:nth-child(2)").all_inner_texts()
        ]
        assert scores == sorted(scores, reverse=True)
    assert opened.said and all("429" in text for text in opened.said)
    opened.said.clear()


def test_feedback_is_kept_and_drift_is_told_where_the_server_does_so(opened, bundle, files, tmp_path):
    state = tmp_path / "state"
    with serving(bundle, tmp_path / "log", "--state", str(state)) as address:
        page = opened(at=address)
        expect(page.locator("#drift-body")).to_contain_text("Too few images have been seen")
        drop(page, files["ill.png"])
        shown(page)
        tab_to(page, ".choice button")
        page.keyboard.press("Enter")
        expect(page.locator(".feedback")).to_contain_text("Noted as normal")
        page.get_by_role("button", name="Anomalous", exact=True).click()
        expect(page.locator(".feedback")).to_contain_text("Noted as anomalous")
        expect(page.locator(".choice [aria-pressed=true]")).to_have_text("Anomalous")
        drop(page, *[files["well.dcm"]] * 120)
        expect(page.locator("#progress")).to_have_text("121 of 121 scored", timeout=60_000)
        expect(page.locator("#drift-body")).to_contain_text("121 seen")
        expect(page.locator("#drift-body .alarm").first).to_be_visible()  # so often the same image
        assert faults(page) == []
    store = FeedbackStore(state / "feedback.sqlite")
    assert store.summary()["anomalous"] == 1
    store.close()


def test_a_bundle_without_heat_and_pictures_is_shown_by_what_it_has(opened, files, tmp_path):
    images = rs.load("phantom:brain?n=48&anomalies=0.4&difficulty=0&seed=0")
    bundle = rs.train(images, "logistic", representation="pca[components=8]").save(tmp_path / "plain")
    with serving(bundle, tmp_path / "log") as address:
        page = opened(at=address)
        drop(page, files["ill.png"])
        colours = shown(page)[..., :3]
        assert (colours.max(axis=2) == colours.min(axis=2)).all()
        expect(page.locator("#controls")).to_be_hidden()
        expect(page.locator(".cases li").first).to_contain_text("case-")
        assert page.locator(".cases img").count() == 0
        expect(page.locator(".feedback")).to_have_count(0)


def test_the_log_quotes_nothing_of_a_damaged_file(opened, bundle, files, tmp_path):
    content = files["well.dcm"].read_bytes()
    assert content.count(b"1.2.840.10008.1.2.1\0") == 1
    (tmp_path / "Roe.dcm").write_bytes(content.replace(b"1.2.840.10008.1.2.1\0", b"DOE^JANE.10008.1.2.1"))
    with serving(bundle, tmp_path / "log") as address:
        page = opened(at=address)
        drop(page, tmp_path / "Roe.dcm")
        expect(page.locator("#progress")).to_have_text("0 of 1 scored · 1 failed", timeout=30_000)
    log = (tmp_path / "log").read_text()
    assert '"status": 4' in log
    assert "doe" not in log.lower() and "roe" not in log.lower()
    opened.said.clear()  # the browser's own note of the refused request
