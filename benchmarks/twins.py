"""Does the search for near duplicates find planted copies, and only those?

    .venv/bin/python benchmarks/twins.py [--data ../shared/data] [--sets …] [--sheets DIR]

Writes benchmarks/twins.md. Of each set, images are copied and changed in one way (re-encoded, resized, brighter, …) or
in several, put among all images of the set, and searched for: a copy counts as found where it stands in its original's
cluster, and as false where that cluster holds images that the original has no twin among. `--sheets` draws pairs,
the least alike first, to be looked at; they show real images and stay out of the repository.
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

import raresight as rs
from raresight.images.preprocess import Preprocess
from raresight.images.store import ImageStore, build_store
from raresight.images.twins import (
    Twins,
    cluster_twins,
    compare_pixels,
    contradictory_groups,
    find_twins,
    split_twins,
)

HERE = Path(__file__).parent
SETS = {
    "aptos2019": ["No_DR"],
    "brain_tumor_yesno": ["no"],
    "brain_tumor_mri_4class": ["notumor"],
    "phantom:brain?n=600&seed=3": [],
    "phantom:fundus?n=600&seed=3": [],
}
EACH = 60
TOGETHER = 3


def reencoded(image: Image.Image, random: np.random.Generator) -> Image.Image:
    stream = io.BytesIO()
    image.convert("RGB").save(stream, "JPEG", quality=int(random.integers(30, 85)))
    return Image.open(stream)


def resized(image: Image.Image, random: np.random.Generator) -> Image.Image:
    share = random.uniform(0.5, 0.9)
    size = max(80, round(image.width * share)), max(80, round(image.height * share))
    return image.resize(size, Image.Resampling.BICUBIC)


def brightened(image: Image.Image, random: np.random.Generator) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(random.choice([0.6, 0.75, 1.25, 1.5]))


def contrast(image: Image.Image, random: np.random.Generator) -> Image.Image:
    gamma = random.choice([0.6, 0.75, 1.35, 1.6])
    table = [round(255 * (k / 255) ** gamma) for k in range(256)]
    return image.point(table * len(image.getbands()))


def sharpened(image: Image.Image, random: np.random.Generator) -> Image.Image:
    return image.filter(ImageFilter.UnsharpMask(2, int(random.integers(80, 250)), 0))


def cropped(image: Image.Image, random: np.random.Generator) -> Image.Image:
    left, upper, right, lower = random.uniform(0, 0.08, 4)
    w, h = image.size
    return image.crop((int(left * w), int(upper * h), int(w - right * w), int(h - lower * h)))


def flipped(image: Image.Image, random: np.random.Generator) -> Image.Image:
    return ImageOps.mirror(image) if random.random() < 0.5 else ImageOps.flip(image)


def turned(image: Image.Image, random: np.random.Generator) -> Image.Image:
    way = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)
    return image.transpose(way[random.integers(3)])


CHANGES: dict[str, Callable[[Image.Image, np.random.Generator], Image.Image]] = {
    "re-encoded": reencoded,
    "resized": resized,
    "brightened": brightened,
    "contrast": contrast,
    "sharpened": sharpened,
    "border cropped": cropped,
    "flipped": flipped,
    "turned": turned,
}


def planted(store: ImageStore, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Copies, the rows they were made of, and how."""
    pixels, rows, kinds = [], [], []
    look = Preprocess()
    for kind in (*CHANGES, "several"):
        for row in random.choice(len(store), EACH, replace=len(store) < EACH):
            names = [kind] if kind in CHANGES else random.choice(list(CHANGES), TOGETHER, replace=False)
            image = Image.fromarray(np.asarray(store.manifest.read(int(row))))
            for name in names:
                image = CHANGES[name](image, random)
            made = look(np.asarray(image.convert("RGB" if store.pixels.shape[3] == 3 else "L")))
            pixels.append(made.reshape(store.pixels.shape[1:]))
            rows.append(row)
            kinds.append(kind)
    return np.stack(pixels), np.array(rows), kinds


def recall(store: ImageStore, own: Twins) -> tuple[dict[str, float], float, float]:
    """Share of planted copies found, by kind; share of their clusters that holds a stranger; seconds an image."""
    copies, rows, kinds = planted(store, np.random.default_rng(0))
    everything = np.concatenate([store.pixels, copies])
    start = time.perf_counter()
    found = compare_pixels(everything).cluster
    seconds = (time.perf_counter() - start) / len(found)
    n = len(store)
    hit = found[n:] == found[rows]
    strange = []
    for copy, row in zip(range(n, len(found)), rows, strict=True):
        beside = np.flatnonzero(found[:n] == found[copy])
        strange.append(bool(np.setdiff1d(beside, np.flatnonzero(own.cluster == own.cluster[row])).size))
    kinds = np.array(kinds)
    shares = {kind: float(hit[kinds == kind].mean()) for kind in (*CHANGES, "several")}
    return shares, float(np.mean(strange)), seconds


def stricter(twins: Twins, split: np.ndarray) -> str:
    """Test images with a training twin, were the limit of agreement higher."""
    counts = []
    for limit in (0.85, 0.9, 0.95, 0.97):
        kept = twins.exact | (twins.correlation >= limit)
        fewer = cluster_twins(len(split), twins.pairs[kept], twins.exact[kept], twins.correlation[kept])
        counts.append(f"{len(split_twins(fewer, split))} at {limit:g}")
    return ", ".join(counts)


def draw_pairs(store: ImageStore, twins: Twins, path: Path, count: int = 60, side: int = 150) -> None:
    """The pairs that agree least, and as many at random."""
    near = np.flatnonzero(~twins.exact)
    least = near[np.argsort(twins.correlation[near])][: count // 2]
    some = np.random.default_rng(0).permutation(near)[: count // 2]
    sheet = Image.new("RGB", (5 * (2 * side + 10), -(-len([*least, *some]) // 5) * (side + 14)))
    pen = ImageDraw.Draw(sheet)
    for place, pair in enumerate([*least, *some]):
        x, y = place % 5 * (2 * side + 10), place // 5 * (side + 14)
        for half, row in enumerate(twins.pairs[pair]):
            image = Image.fromarray(np.squeeze(np.asarray(store.pixels[row])).astype(np.uint8))
            sheet.paste(image.convert("RGB").resize((side, side)), (x + half * side, y))
        pen.text((x, y + side), f"{twins.pairs[pair]} {twins.correlation[pair]:.3f}", fill=(255, 255, 0))
    sheet.save(path)


def main() -> None:
    """Plant, search and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default=os.environ.get("RARESIGHT_DATA", "../shared/data"))
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--sheets", type=Path)
    options = parser.parse_args()
    counted = [
        "| set | images | search, ms an image | exact and near groups | images in them | contradictory | test images with a training twin |",
        "|---|---|---|---|---|---|---|",
    ]
    kinds = (*CHANGES, "several")
    table = [
        "| set | " + " | ".join(kinds) + " | all | clusters with a stranger |",
        "|---" * (len(kinds) + 3) + "|",
    ]
    for name in options.sets.split(","):
        where = name if name.startswith("phantom:") else Path(options.data) / name
        labels = rs.load(where, normal=SETS[name])
        if "grade" in labels.table:
            labels = rs.load(where, task="multiclass")
        store = build_store(labels)
        twins = find_twins(store)
        groups = twins.groups()
        split = store.manifest.table.get("split")
        across = "–"
        if split is not None and (split == "test").any():
            across = f"{len(split_twins(twins, split.to_numpy()))} of {(split == 'test').sum()} ({stricter(twins, split.to_numpy())})"
        shares, strange, seconds = recall(store, twins)
        counted.append(
            f"| {name} | {len(store):,} | {1000 * seconds:.1f} | {len(groups)} | {sum(len(g.rows) for g in groups):,} "
            f"| {len(contradictory_groups(groups, store.manifest.labels))} | {across} |"
        )
        cells = [f"{100 * share:.0f} %" for share in shares.values()]
        table.append(
            f"| {name} | {' | '.join(cells)} | {100 * np.mean(list(shares.values())):.1f} % | {100 * strange:.1f} % |"
        )
        print(counted[-1], table[-1], sep="\n", file=sys.stderr, flush=True)
        if options.sheets:
            options.sheets.mkdir(parents=True, exist_ok=True)
            if (~twins.exact).any():
                draw_pairs(store, twins, options.sheets / f"{name.split('?')[0].replace(':', '-')}.png")
    if options.sets != ",".join(SETS):
        return
    lines = [
        "# Near duplicates found",
        "",
        f"`python benchmarks/twins.py`, {time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {platform.machine()}, "
        f"Python {platform.python_version()}. The search alone, images decoded, among them the planted copies.",
        "",
        *counted,
        "",
        f"Planted copies found: {EACH} a kind and set; «several»: {TOGETHER} changes at once, at random.",
        "",
        *table,
    ]
    (HERE / "twins.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
