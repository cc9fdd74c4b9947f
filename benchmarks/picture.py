"""Photograph a report in Debian's Chromium, as the README shows it.

.venv/bin/python benchmarks/picture.py runs/what-smote-did/aptos2019-leaky/report.html docs/figures/report.png
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


def main(report: str, picture: str) -> None:
    """Take the first screen and a half, in 64 colours."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        page = browser.new_page(viewport={"width": 1000, "height": 1480}, color_scheme="light")
        page.goto(Path(report).resolve().as_uri())
        shot = Image.open(io.BytesIO(page.screenshot()))
        browser.close()
    shot.convert("RGB").quantize(64).save(picture, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
