"""Photograph the page at work on phantom images, on a wide screen and on a phone, as the documentation shows it.

.venv/bin/python benchmarks/page_picture.py docs/figures

A detector is trained on phantoms first (half a minute of one core); no image of a patient is seen.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

import raresight as rs

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
TRAINED_ON = "phantom:brain?n=160&anomalies=0.35&difficulty=0.3&seed=0"
NEW = "phantom:brain?n=16&anomalies=0.35&difficulty=0.3&seed=5"
SHOTS = {"page": (1280, 860, "light"), "page-phone": (390, 1400, "dark")}
"""File → width, height, scheme."""

FLAT = 32
"""Colours that are kept exactly: those of surfaces and of text."""


def main(folder: str) -> None:
    """Train, serve, photograph."""
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        made = rs.train(
            rs.load(TRAINED_ON), "svm", "smote", preprocess="mri", refer=["novelty", "conformal=0.1"]
        )
        bundle = made.save(home / "bundle", include_examples=True)
        files = pictures(home)
        with (home / "log").open("w") as log:
            command = [sys.executable, "-m", "raresight", "serve", str(bundle), "--port", "0"]
            server = subprocess.Popen(
                [*command, "--state", str(home / "state")], stdout=log, stderr=subprocess.STDOUT
            )
            try:
                photograph(address(home / "log"), files, Path(folder))
            finally:
                server.terminate()
                server.wait(30)


def pictures(home: Path) -> list[Path]:
    """Write new phantoms as files that are named by number."""
    new, found = rs.load(NEW), []
    for row in range(len(new)):
        found.append(home / f"slice-{row + 1:02d}.png")
        Image.fromarray(new.read(row)).save(found[-1])
    return found


def address(log: Path) -> str:
    """Wait until the server says where it is."""
    for _ in range(600):
        if found := re.search(r"http://[\d.]+:\d+", log.read_text()):
            return found.group()
        time.sleep(0.1)
    raise SystemExit(log.read_text())


def photograph(url: str, files: list[Path], folder: Path) -> None:
    """Take each of `SHOTS`."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        for name, (width, height, scheme) in SHOTS.items():
            picture = shot(browser, url, files, width, height, scheme)
            in_256_colours(picture.convert("RGB")).save(folder / f"{name}.png", optimize=True)
        browser.close()


def shot(browser: Browser, url: str, files: list[Path], width: int, height: int, scheme: str) -> Image.Image:
    """Drop the files and wait until the first is shown."""
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    page.goto(url)
    page.wait_for_selector("#detector-body table")
    page.set_input_files("#files", [str(path) for path in files])
    page.wait_for_selector("#stage[data-state=shown]")
    page.wait_for_selector("#findings .cases")
    picture = Image.open(io.BytesIO(page.screenshot()))
    page.close()
    return picture


def in_256_colours(picture: Image.Image) -> Image.Image:
    """Reduce to a palette without touching surfaces, so that the file is small and the heat keeps its colours."""
    counted = sorted(picture.getcolors(2**24), reverse=True)[:FLAT]
    rest = picture.quantize(256 - FLAT, method=Image.Quantize.FASTOCTREE).getpalette()[: 3 * (256 - FLAT)]
    palette = Image.new("P", (1, 1))
    palette.putpalette([part for _, colour in counted for part in colour] + rest)
    return picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)


if __name__ == "__main__":
    main(*sys.argv[1:])
