"""The contact sheet: synthetic images between their parents, one block a sampler, to be looked at."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from raresight.balance.plan import SynthesisPlan
from raresight.errors import OptionError, RunError
from raresight.evidence.synthesis import SynthesisQuality
from raresight.experiment.synthesis import Synthesis, some_of
from raresight.report.theme import PAPER

Array = NDArray[Any]

FORMATS: dict[str, dict[str, Any]] = {".png": {}, ".jpg": {"quality": 60}, ".jpeg": {"quality": 60}}
"""Endings of a sheet's file, and how each is saved."""

TILE, GAP, LINE, TEXT, TITLE = 96, 6, 15, 12, 15
"""Sides and heights in pixels: an image, the space between two, a line of text, its letters, a title's."""

COLUMNS = 6
"""A base, up to four children, a partner."""

OWN = PAPER.series[1]
"""The frame of the child that the sampler chose."""


@dataclass(frozen=True, slots=True)
class Family:
    """One synthetic image, its parents, and what lies at other steps between them.

    Attributes
    ----------
    base, partner : (height, width, channels) arrays
        The real images.
    children : list of arrays
        Images at `steps`.
    steps : list of float
        Ascending.
    own : int
        Which child is the synthetic image itself.
    classes : (str, str)
        The parents' classes.
    """

    base: Array
    partner: Array
    children: list[Array]
    steps: list[float]
    own: int
    classes: tuple[str, str]


def choose_families(synthesis: Synthesis, count: int, seed: int = 0) -> list[Family]:
    """Draw some synthetic images with their parents, and the same blend at other steps where there is one.

    Parameters
    ----------
    synthesis : Synthesis
    count : int
        At most so many.
    seed : int
    """
    plan = synthesis.plan
    chosen = np.sort(np.random.default_rng(seed).permutation(len(plan))[:count])
    return [_family(synthesis, int(row)) for row in chosen]


def _family(synthesis: Synthesis, row: int) -> Family:
    plan, images = synthesis.plan, synthesis.images
    own = float(plan.step[row])
    steps = sorted({own, *_other_steps(plan, synthesis.blend)})
    there = np.full(len(steps), row)
    children = some_of(plan, there, step=np.asarray(steps)).rows(images)
    base, partner = int(plan.base[row]), int(plan.partner[row])
    return Family(
        np.asarray(images[base]),
        np.asarray(images[partner]),
        list(children),
        steps,
        steps.index(own),
        (str(synthesis.labels[base]), str(synthesis.labels[partner])),
    )


def _other_steps(plan: SynthesisPlan, blend: str) -> tuple[float, ...]:
    if plan.law is not None and plan.law.settings()["name"] == "generated":
        return ()  # drawn of a class, from no point between two images
    if blend == "latent":
        return (0.0, 0.5, 1.0)  # the ends show what the decoder alone does to the parents
    return (0.25, 0.5, 0.75) if plan.law is None else ()


def write_sheet(
    found: Sequence[Synthesis], path: Path, *, heading: str, count: int = 6, seed: int = 0
) -> Path:
    """Draw the sheet: a block a sampler, a row a synthetic image: base, children at their steps, partner.

    Parameters
    ----------
    found : sequence of Synthesis
        From `raresight.experiment.synthesis.synthesise_images`.
    path : Path
        A ``.png``, ``.jpg`` or ``.jpeg`` file.
    heading : str
        Above everything.
    count : int
        Rows in a block.
    seed : int
        Which synthetic images are drawn.

    Raises
    ------
    OptionError, RunError
        If the file cannot be written.
    """
    check_target(path)
    if count < 1:
        raise OptionError(f"--count {count} is too small; choose at least 1")
    blocks = [_block(s, choose_families(s, count, seed)) for s in found]
    sheet = _arrange(blocks, heading)
    try:
        sheet.save(path, **FORMATS[path.suffix.lower()])
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}; choose another --out") from error
    return path


def check_target(path: Path) -> None:
    """Refuse a file that cannot be written, before any work is done.

    Raises
    ------
    OptionError
        If the ending is no picture's, or the folder isn't there.
    """
    if path.suffix.lower() not in FORMATS:
        raise OptionError(f"--out {path} is no picture; choose a name that ends in .png or .jpg")
    if path.is_dir() or not path.parent.is_dir():
        where = "is a folder" if path.is_dir() else f"lies in a folder that does not exist, {path.parent}"
        raise OptionError(f"--out {path} {where}; choose another file")


def describe(quality: SynthesisQuality) -> str:
    """Put the figures of quality into one line."""
    return (
        f"{quality.rows} judged: copies {quality.copies:.0%}, distance to the nearest real image "
        f"{quality.distance:.2f} of the usual one, nearest is of the other class {quality.other_class:.0%}, "
        f"density {quality.density:.2f}, coverage {quality.coverage:.2f}"
    )


def _block(synthesis: Synthesis, families: Sequence[Family]) -> Image.Image:
    width = COLUMNS * (TILE + GAP) + GAP
    caption = textwrap.wrap(describe(synthesis.quality), width // 6)
    spaces = f"neighbours in {_space(synthesis.neighbours)}, blend in {_space(synthesis.blend)}"
    top = TITLE + LINE * (len(caption) + 2) + 4 * GAP
    canvas = Image.new("RGB", (width, top + len(families) * (TILE + LINE + GAP)), PAPER.surface)
    draw = ImageDraw.Draw(canvas)
    draw.text((GAP, GAP), str(synthesis.balance), PAPER.ink, ImageFont.load_default(TITLE))
    for number, line in enumerate([spaces, *caption]):
        _write(draw, GAP, GAP + TITLE + 4 + number * LINE, line, PAPER.muted)
    for column, name in ((0, "base"), (1, "from base to partner"), (COLUMNS - 1, "partner")):
        _write(draw, GAP + column * (TILE + GAP), top - LINE - 4, name, PAPER.ink)
    for number, family in enumerate(families):
        _draw_family(canvas, draw, family, top + number * (TILE + LINE + GAP))
    return canvas


def _space(name: str) -> str:
    return f"the {name} space" if name == "latent" else {"embedding": "the embedding"}.get(name, name)


def _draw_family(canvas: Image.Image, draw: ImageDraw.ImageDraw, family: Family, top: int) -> None:
    def put(column: int, image: Array, label: str, own: bool = False) -> None:
        left = GAP + column * (TILE + GAP)
        canvas.paste(_picture(image), (left, top))
        if own:
            draw.rectangle((left - 3, top - 3, left + TILE + 2, top + TILE + 2), outline=OWN, width=3)
        _write(draw, left, top + TILE + 2, _fitted(label), OWN if own else PAPER.muted)

    put(0, family.base, family.classes[0])
    for number, (image, step) in enumerate(zip(family.children, family.steps, strict=True)):
        own = number == family.own
        put(1 + number, image, f"step {step:.2f}, made" if own else f"step {step:.2f}", own)
    put(COLUMNS - 1, family.partner, family.classes[1])


def _write(draw: ImageDraw.ImageDraw, left: int, top: int, text: str, colour: str) -> None:
    draw.text((left, top), text, colour, ImageFont.load_default(TEXT))


def _fitted(text: str) -> str:
    """Cut a text to the width of an image."""
    font = ImageFont.load_default(TEXT)
    if font.getlength(text) <= TILE:
        return text
    while text and font.getlength(f"{text}…") > TILE:
        text = text[:-1]
    return f"{text}…"


def _picture(image: Array) -> Image.Image:
    shown = (image // 257).astype(np.uint8) if image.dtype == np.uint16 else image
    picture = Image.fromarray(shown[..., 0] if shown.shape[-1] == 1 else shown).convert("RGB")
    return picture.resize((TILE, TILE), Image.Resampling.LANCZOS)


def _arrange(blocks: Sequence[Image.Image], heading: str) -> Image.Image:
    """Put blocks side by side in pairs under a heading."""
    across = 1 if len(blocks) == 1 else 2
    width = blocks[0].width
    pairs = [blocks[start : start + across] for start in range(0, len(blocks), across)]
    heights = [max(block.height for block in pair) for pair in pairs]
    lines = textwrap.wrap(heading, across * width // 7)
    top = 2 * GAP + len(lines) * (TITLE + 4)
    space = 3 * GAP
    size = (across * width + (across - 1) * space, top + sum(heights) + space * (len(pairs) - 1) + GAP)
    sheet = Image.new("RGB", size, PAPER.surface)
    draw = ImageDraw.Draw(sheet)
    for number, line in enumerate(lines):
        place = (GAP, GAP + number * (TITLE + 4))
        draw.text(place, line, PAPER.ink, ImageFont.load_default(TITLE))
    for pair, height in zip(pairs, heights, strict=True):
        for column, block in enumerate(pair):
            sheet.paste(block, (column * (width + space), top))
        top += height + space
    return sheet
