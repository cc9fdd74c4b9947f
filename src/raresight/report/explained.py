"""The sheet of explanations: image, heatmap over it, nearest training images, and what was decided."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import binary_dilation

from raresight.errors import RunError
from raresight.explain.study import Study
from raresight.images.cache import disk_errors
from raresight.report.sheet import FORMATS, check_target
from raresight.report.theme import PAPER
from raresight.represent.pixels import LUMINANCE

Array = NDArray[Any]

TILE, GAP, LINE, TEXT, TITLE = 150, 8, 16, 12, 15
"""Sides and heights in pixels: an image, the space between two, a line of text, its letters, a title's."""

WORDS = 190
"""Width of the column of words."""

COLUMNS = ("image", "heatmap", "nearest normal", "nearest anomalous")

HOTTEST = 0.75
"""How opaque a heatmap is at its hottest, 0 to 1."""

OUTLINE = (64, 224, 255)
"""Of a lesion's mask: light blue, apart from the heat's colours and from grey."""

WARNING = PAPER.series[1]


def write_explanations(study: Study, path: Path, *, quality: int = 85) -> Path:
    """Draw a study's images, a block of five columns each, two blocks side by side.

    Heat is scaled alike for all images of the sheet, so that an image without a finding stays cold.

    Parameters
    ----------
    study : Study
    path : Path
        A ``.png``, ``.jpg`` or ``.jpeg`` file.
    quality : int
        Of a JPEG.

    Raises
    ------
    OptionError, RunError
        If the file cannot be written.
    """
    check_target(path)
    sheet = draw_explanations(study)
    options = FORMATS[path.suffix.lower()]
    try:
        sheet.save(path, **(options | {"quality": quality} if options else options))
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}; choose another --out") from error
    return path


def write_study(study: Study, folder: Path) -> Path:
    """Write a study: ``sheet.jpg``, ``images.csv`` with a row an image shown, ``explained.json``.

    Raises
    ------
    RunError
        If the folder cannot be written.
    """
    with disk_errors(folder, "choose another --out"):
        folder.mkdir(parents=True, exist_ok=True)
        study.table().to_csv(folder / "images.csv", index=False)
        (folder / "explained.json").write_text(json.dumps(study.as_dict(), indent=1, allow_nan=False))
    write_explanations(study, folder / "sheet.jpg")
    return folder


def draw_explanations(study: Study) -> Image.Image:
    """Draw the sheet; see `write_explanations`."""
    count = len(study.explanation.rows)
    lines = -(-count // 2) if count > 1 else 1
    width = len(COLUMNS) * (TILE + GAP) + WORDS + GAP
    heading = textwrap.wrap(" ".join(study.sentences()), (2 if count > 1 else 1) * width // 7)
    top = GAP + len(heading) * (LINE + 2) + GAP
    size = ((2 if count > 1 else 1) * (width + GAP) + GAP, top + LINE + lines * (TILE + GAP) + GAP)
    sheet = Image.new("RGB", size, PAPER.surface)
    draw = ImageDraw.Draw(sheet)
    for number, line in enumerate(heading):
        _write(draw, GAP, GAP + number * (LINE + 2), line, PAPER.ink)
    for block in range(2 if count > 1 else 1):
        for column, name in enumerate(COLUMNS):
            _write(draw, GAP + block * (width + GAP) + column * (TILE + GAP), top, name, PAPER.muted)
    heats = heat_levels(study)
    for number in range(count):
        left = GAP + (number // lines) * (width + GAP)
        _draw_row(sheet, draw, study, heats[number], number, left, top + LINE + number % lines * (TILE + GAP))
    return sheet


def heat_levels(study: Study) -> NDArray[np.float32]:
    """Bring heatmaps to 0 … 1: from the median of all pixels to the usual peak of images called anomalous."""
    maps = study.explanation.heatmaps
    peaks = maps.max(axis=(1, 2))
    high = float(np.median(peaks[study.called] if study.called.any() else peaks))
    low = float(np.median(maps))
    levels = np.clip((maps - low) / (high - low if high > low else 1.0), 0, 1)
    return np.asarray(levels, np.float32)


def heat_over(image: Array, heat: Array, mask: Array | None = None) -> NDArray[np.uint8]:
    """Lay a heatmap over an image without its colours, and a mask's outline over both.

    Parameters
    ----------
    image : (h, w, c) uint8 or uint16 array
    heat : (h, w) float array
        0 to 1; 0 lets the image through.
    mask : (h, w) array, optional
        Not 0 on a lesion.

    Returns
    -------
    (h, w, 3) uint8 array
    """
    grey = _colour(image).astype(np.float32) @ LUMINANCE
    grey = np.repeat(grey[..., None], 3, axis=2)
    # The dark end of the colours says nothing on a dark image.
    colour = 255 * colormaps["inferno"](0.35 + 0.6 * np.asarray(heat))[..., :3]
    share = (HOTTEST * np.asarray(heat))[..., None]
    laid = np.rint(grey * (1 - share) + colour * share).astype(np.uint8)
    if mask is not None and np.any(mask):
        inside = np.asarray(mask) > 0
        laid[binary_dilation(inside, iterations=2) & ~inside] = OUTLINE
    return laid


def _draw_row(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, study: Study, heat: Array, number: int, left: int, top: int
) -> None:
    store, near = study.store, study.neighbours
    image = store.pixels[study.explanation.rows[number]]
    mask = None if study.masks is None else study.masks[number]
    tiles: list[Array | None] = [image, heat_over(image, heat, mask)]
    for code in (0, 1):
        row = near.rows[number, code, 0]
        tiles.append(None if row < 0 else store.pixels[row])
    for column, tile in enumerate(tiles):
        if tile is not None:
            sheet.paste(_picture(tile), (left + column * (TILE + GAP), top))
    if study.shares.flagged[number] and study.called[number]:
        start = left + TILE + GAP
        draw.rectangle((start - 3, top - 3, start + TILE + 2, top + TILE + 2), outline=WARNING, width=3)
    words = left + len(COLUMNS) * (TILE + GAP)
    for place, (line, colour) in enumerate(_words(study, number)):
        _write(draw, words, top + place * LINE, line, colour)


def _words(study: Study, number: int) -> list[tuple[str, str]]:
    """Say what is known and was decided of one image: lines and their colours."""
    store, row = study.store, study.explanation.rows[number]
    score = float(study.scores[number])
    apart = study.neighbours.relative[number, :, 0]
    anomalous = score >= study.threshold
    right = anomalous == bool(store.manifest.y[row])
    shares = study.shares
    told = [
        (_short(str(store.manifest.labels[row])), PAPER.ink),
        (f"called {'anomalous' if anomalous else 'normal'}", PAPER.ink if right else WARNING),
        (f"score {score:.2f} (from {study.threshold:.2f} on)", PAPER.muted),
        *(
            (f"{kind} at {value:.1f} (1 is usual)", PAPER.muted)
            for kind, value in zip(("normal", "anomalous"), apart, strict=True)
            if np.isfinite(value)
        ),
        (f"heat outside {shares.outside[number]:.0%}", PAPER.muted),
    ]
    if shares.flagged[number] and anomalous:
        told.append(("rests on frame or background", WARNING))
    return told


def _short(text: str) -> str:
    return text if len(text) <= 26 else f"{text[:25]}…"


def _colour(image: Array) -> NDArray[np.uint8]:
    shown = (image // 257).astype(np.uint8) if image.dtype == np.uint16 else image
    return np.repeat(shown, 3, axis=2) if shown.shape[2] == 1 else np.asarray(shown, np.uint8)


def _picture(image: Array) -> Image.Image:
    return Image.fromarray(_colour(image)).resize((TILE, TILE), Image.Resampling.LANCZOS)


def _write(draw: ImageDraw.ImageDraw, left: int, top: int, text: str, colour: str) -> None:
    draw.text((left, top), text, colour, ImageFont.load_default(TEXT))
