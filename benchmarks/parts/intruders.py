"""Images that a brain detector must not score: drawn chest films, photographs, noises and spoilt files.

Each kind is a function of a random generator that gives one image, (h, w) or (h, w, 3) uint8.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Drawn = NDArray[np.uint8]


def chest_film(rng: np.random.Generator) -> Drawn:
    """Draw a frontal chest film: two lung fields, ribs, clavicles, spine, heart, diaphragm, soft tissue, grain."""
    h, w = int(rng.integers(420, 640)), int(rng.integers(420, 640))
    y, x = np.mgrid[0:h, 0:w]
    u, v = (x / w - 0.5) * 2 + rng.normal(0, 0.02), y / h + rng.normal(0, 0.02)
    soft = rng.uniform(0.55, 0.72)
    film = np.full((h, w), soft)
    lungs = np.zeros((h, w))
    for side in (-1, 1):
        centre, width, tall = side * rng.uniform(0.40, 0.46), rng.uniform(0.27, 0.33), rng.uniform(0.34, 0.39)
        lean = (u - centre) - side * 0.10 * (v - 0.3)
        field = 1 - (np.abs(lean) / width) ** 2.4 - (np.abs(v - 0.47) / tall) ** 2.6
        dome = v - (0.83 - 0.05 * side - 0.20 * np.clip(1 - ((u - centre) / 0.42) ** 2, 0, 1) + 0.12)
        lungs = np.maximum(lungs, _edge(field, 0.10) * _edge(-dome, 0.02))
    film -= lungs * rng.uniform(0.38, 0.48)
    bend = rng.uniform(0.10, 0.16)
    for k in range(9):
        for side in (-1, 1):
            line = 0.14 + 0.083 * k + bend * (np.abs(u) - 0.35) ** 2 * 3 + 0.18 * np.abs(u) * (1 - 0.06 * k)
            rib = np.exp(-(((v - line) / 0.013) ** 2)) + 0.5 * np.exp(-(((v - line - 0.022) / 0.008) ** 2))
            inside = (np.sign(u) == side) & (np.abs(u) > 0.14) & (np.abs(u) < 0.80)
            film += inside * rib * rng.uniform(0.05, 0.09)
    clavicle = (
        np.exp(-(((v - 0.16 - 0.08 * np.abs(u)) / 0.018) ** 2)) * (np.abs(u) > 0.1) * (np.abs(u) < 0.75)
    )
    film += 0.12 * clavicle
    spine = np.exp(-((u / rng.uniform(0.11, 0.15)) ** 4))
    film += spine * (0.14 + 0.025 * np.sin(v * rng.uniform(70, 95)))
    heart = 1 - ((u - rng.uniform(0.10, 0.18)) / rng.uniform(0.30, 0.38)) ** 2 - ((v - 0.63) / 0.19) ** 2
    film += _edge(heart, 0.15) * rng.uniform(0.12, 0.20)
    film += 0.12 * _edge(v - 0.86, 0.04)
    shoulder = np.abs(u) > 0.98 - 0.9 * np.clip(0.22 - v, 0, 1)
    film = np.where(shoulder & (v < 0.22), 0.04, film)
    film = np.where(np.abs(u) > rng.uniform(0.93, 1.05), 0.05, film)
    vessels = _pink(rng, h, w, 1.6)
    film += lungs * vessels * 0.05 + rng.normal(0, 0.015, film.shape)
    picture = Image.fromarray(_bytes(film)).filter(ImageFilter.GaussianBlur(1.2))
    if rng.random() < 0.5:
        ImageDraw.Draw(picture).text((int(w * 0.06), int(h * 0.06)), rng.choice(["L", "R"]), fill=240)
    return np.asarray(picture)


def photograph(rng: np.random.Generator) -> Drawn:
    """Crop scikit-learn's two sample photographs at random, mirrored or not, in colour."""
    from sklearn.datasets import load_sample_images

    whole = load_sample_images().images[rng.integers(2)]
    side = int(rng.integers(150, 400))
    top, left = rng.integers(0, whole.shape[0] - side + 1), rng.integers(0, whole.shape[1] - side + 1)
    crop = whole[top : top + side, left : left + side]
    return np.ascontiguousarray(crop[:, ::-1] if rng.random() < 0.5 else crop)


def grey_photograph(rng: np.random.Generator) -> Drawn:
    """Do the same in grey."""
    return np.asarray(Image.fromarray(photograph(rng)).convert("L"))


def white_noise(rng: np.random.Generator) -> Drawn:
    side = int(rng.integers(128, 512))
    return rng.integers(0, 256, (side, side), dtype=np.uint8)


def pink_noise(rng: np.random.Generator) -> Drawn:
    side = int(rng.integers(128, 512))
    return _bytes(0.5 + _pink(rng, side, side, rng.uniform(0.8, 2.2)) * rng.uniform(0.12, 0.25))


def salt_noise(rng: np.random.Generator) -> Drawn:
    side = int(rng.integers(128, 512))
    return ((rng.random((side, side)) < rng.uniform(0.02, 0.5)) * 255).astype(np.uint8)


def text_page(rng: np.random.Generator) -> Drawn:
    """Write lines of letters, black on white or white on black."""
    ink, paper = (0, 255) if rng.random() < 0.5 else (255, 0)
    page = Image.new("L", (480, int(rng.integers(360, 620))), paper)
    draw, letters = ImageDraw.Draw(page), np.array(list("abcdefghiklmnoprstuvw  "))
    for top in range(20, page.height - 20, int(rng.integers(14, 26))):
        draw.text((20, top), "".join(rng.choice(letters, int(rng.integers(20, 70)))), fill=ink)
    return np.asarray(page)


def blank(rng: np.random.Generator) -> Drawn:
    """One grey, perhaps with a faint grain."""
    level = np.full((256, 256), rng.integers(0, 256), np.float64)
    return np.clip(level + rng.normal(0, rng.choice([0.0, 1.5]), level.shape), 0, 255).astype(np.uint8)


def spoil(image: Drawn, kind: str, rng: np.random.Generator) -> Drawn:
    """Spoil a true brain image: inverted, far out of focus, overexposed, tiny, or tinted."""
    if kind == "inverted":
        return 255 - image
    if kind == "blurred":
        radius = 0.045 * max(image.shape[:2])
        return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))
    if kind == "saturated":
        return np.clip(image.astype(np.float64) * rng.uniform(8, 14), 0, 255).astype(np.uint8)
    if kind == "tiny":
        small = Image.fromarray(image)
        return np.asarray(small.resize((24, max(1, 24 * small.height // small.width))))
    grey = image if image.ndim == 2 else image[..., 1]
    return np.stack([grey, grey // 2, grey // 4], axis=-1)


DRAWN: dict[str, Callable[[np.random.Generator], Drawn]] = {
    "chest film (drawn)": chest_film,
    "photograph, colour": photograph,
    "photograph, grey": grey_photograph,
    "white noise": white_noise,
    "pink noise": pink_noise,
    "salt": salt_noise,
    "page of text": text_page,
    "blank": blank,
}
SPOILT = ("inverted", "blurred", "saturated", "tiny", "tinted")


def _pink(rng: np.random.Generator, h: int, w: int, slope: float) -> NDArray[np.float64]:
    """Noise whose amplitude falls with frequency to a power; mean 0, deviation 1."""
    spectrum = np.fft.rfft2(rng.normal(size=(h, w)))
    frequency = np.hypot(np.fft.fftfreq(h)[:, None], np.fft.rfftfreq(w)[None])
    spectrum *= np.where(frequency > 0, np.maximum(frequency, 1e-9) ** -slope, 0)
    field = np.fft.irfft2(spectrum, (h, w))
    return (field - field.mean()) / field.std()


def _edge(signed: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """A soft step: 0 well below zero, 1 well above it."""
    return 1 / (1 + np.exp(-np.clip(signed / width * 4, -50, 50)))


def _bytes(values: NDArray[np.float64]) -> Drawn:
    return np.clip(np.rint(values * 255), 0, 255).astype(np.uint8)
