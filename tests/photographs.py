"""Photographs and scans of digits, drawn by seed: uneven light, what lies around the paper, squared paper.

`python -m tests.photographs FOLDER` writes some of each kind to look at. A digit is one of MNIST's test set, enlarged,
one of a font, or a few strokes of a pen. Light and ink are 0 to 1, lengths are shares of the picture's shorter side.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib import font_manager
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from scipy.interpolate import make_interp_spline
from scipy.ndimage import gaussian_filter, rotate

from accelmnist.data.types import Dataset

Field = NDArray[np.float64]
Grey = NDArray[np.uint8]

# Points of a pen's strokes, x and y from the top left in a square of 100.
STROKES: tuple[tuple[tuple[tuple[int, int], ...], ...], ...] = (
    (((50, 4), (22, 25), (18, 60), (38, 94), (68, 90), (82, 55), (72, 18), (48, 4)),),
    (((56, 4), (52, 50), (46, 96)),),
    (((20, 26), (40, 5), (70, 12), (72, 36), (46, 66), (18, 92)), ((18, 92), (50, 91), (84, 94))),
    (((24, 10), (56, 6), (74, 24), (62, 42), (42, 48)), ((42, 48), (70, 54), (78, 76), (54, 94), (20, 86))),
    (((32, 4), (26, 30), (20, 56)), ((20, 56), (50, 56), (84, 54)), ((68, 22), (64, 60), (62, 98))),
    (((76, 6), (52, 7), (30, 8)), ((30, 8), (28, 26), (26, 44)), ((26, 44), (56, 38), (78, 60), (62, 90), (22, 92))),
    (((66, 4), (38, 28), (24, 62), (38, 94), (68, 90), (74, 66), (52, 54), (28, 72)),),
    (((18, 12), (50, 10), (82, 9)), ((82, 9), (60, 50), (42, 96))),
    (((72, 16), (44, 6), (28, 24), (52, 48), (76, 74), (52, 95), (26, 78), (46, 52), (70, 28), (72, 16)),),
    (((74, 22), (50, 6), (28, 26), (42, 48), (68, 38), (75, 20)), ((75, 20), (72, 58), (60, 96))),
)


def drawn_digit(digit: int, source: str, side: int, rng: Generator, mnist: Dataset) -> Field:
    """The ink of a digit about `side` pixels high, 0 to 1."""
    if source == "mnist":
        choices = np.flatnonzero(mnist.test.labels == digit)
        pixels = mnist.test.images[rng.choice(choices)].reshape(28, 28)
        large = Image.fromarray(pixels).resize((side * 28 // 20,) * 2, Image.Resampling.BICUBIC)
        return np.clip((np.asarray(large) / 255 - 0.5) * rng.uniform(3, 8) + 0.5, 0, 1)
    image = Image.new("L", (2 * side, 2 * side))
    draw = ImageDraw.Draw(image)
    if source == "font":
        names = ["DejaVuSans.ttf", "DejaVuSans-Oblique.ttf", "DejaVuSans-Bold.ttf", "DejaVuSerif-Italic.ttf"]
        fonts = Path(str(font_manager.findfont("DejaVu Sans"))).parent
        font = ImageFont.truetype(fonts / rng.choice([name for name in names if (fonts / name).exists()]), side * 1.3)
        draw.text((side, side), str(digit), font=font, fill=255, anchor="mm")
        return np.asarray(image) / 255
    return pen_strokes(digit, side, rng.uniform(0.05, 0.11), rng)


def pen_strokes(digit: int, side: int, width: float, rng: Generator) -> Field:
    """A digit `side` pixels high by a pen of `width`, a share of it; slant, shape and ends are the hand's."""
    image = Image.new("L", (2 * side, 2 * side))
    draw = ImageDraw.Draw(image)
    slant, thick = rng.normal(0, 0.1), max(1, round(side * width))
    for stroke in STROKES[digit]:
        points = np.array(stroke, dtype=float) / 100 - 0.5
        points += rng.normal(0, 0.015, points.shape)
        points[:, 0] = points[:, 0] * rng.uniform(0.85, 1.1) - slant * points[:, 1]
        curve = make_interp_spline(np.linspace(0, 1, len(points)), points, k=min(3, len(points) - 1))
        path = side + side * curve(np.linspace(0, 1, 60))
        draw.line([(float(x), float(y)) for x, y in path], fill=255, width=thick, joint="curve")
        for x, y in (path[0], path[-1]):
            draw.ellipse((x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2), fill=255)
    return np.asarray(image.filter(ImageFilter.GaussianBlur(0.6))) / 255


def page_with(ink: Field, size: tuple[int, int], rng: Generator, *, within: float = 0.6) -> Field:
    """Reflectance of white paper (height, width) with `ink` somewhere in its middle part."""
    page = np.full(size, rng.uniform(0.8, 0.97))
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    free = [(whole - part) for whole, part in zip(size, ink.shape, strict=True)]
    top, left = (int(room * (0.5 + within * rng.uniform(-0.5, 0.5))) for room in free)
    page[top : top + ink.shape[0], left : left + ink.shape[1]] *= 1 - rng.uniform(0.65, 0.9) * ink
    return page


def photographed(light: Field, rng: Generator) -> Grey:
    """What a camera makes of `light`: a little blurred and noisy."""
    seen = gaussian_filter(light, rng.uniform(0.3, 1.0)) + rng.normal(0, rng.uniform(0.003, 0.012), light.shape)
    return np.rint(255 * np.clip(seen, 0, 1)).astype(np.uint8)


def across(size: tuple[int, int], angle: float) -> Field:
    """How far each pixel lies in the direction `angle`, from 0 at one end to 1 at the other."""
    rows, columns = np.mgrid[-0.5 : 0.5 : size[0] * 1j, -0.5 : 0.5 : size[1] * 1j]
    far = rows * np.sin(angle) + columns * np.cos(angle)
    return np.asarray((far - far.min()) / np.ptp(far))


def shaded(page: Field, rng: Generator) -> Field:
    """Light from one side, a lamp's spot, or a hand's soft shadow over part of the page."""
    size, way = page.shape, rng.integers(4)
    if way == 0:
        return page * (1 - rng.uniform(0.5, 0.75) * across(size, rng.uniform(0, 2 * np.pi)))
    if way == 1:
        rows, columns = np.mgrid[-1 : 1 : size[0] * 1j, -1 : 1 : size[1] * 1j]
        away = (rows - rng.uniform(-0.8, 0.8)) ** 2 + (columns - rng.uniform(-0.8, 0.8)) ** 2
        return page * (0.25 + 0.75 * np.exp(-away / rng.uniform(0.8, 1.8)))
    if way == 2:
        lit = (across(size, rng.uniform(0, 2 * np.pi)) > rng.uniform(0.35, 0.65)).astype(float)
    else:  # a fist, and fingers from it
        image = Image.new("L", size[::-1], 255)
        draw, short = ImageDraw.Draw(image), min(size)
        x, y = rng.choice([0.1, 0.9]) * size[1], rng.uniform(0.6, 1.0) * size[0]
        reach = rng.uniform(0.25, 0.5) * short
        draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=0)
        for angle in rng.uniform(np.pi, 2 * np.pi, size=3):
            end = (x + 2 * reach * np.cos(angle), y + 2 * reach * np.sin(angle))
            draw.line([(x, y), end], fill=0, width=round(rng.uniform(0.08, 0.16) * short))
        lit = np.asarray(image) / 255
    soft = gaussian_filter(lit, rng.uniform(0.008, 0.05) * min(size), mode="nearest")
    return page * (1 - rng.uniform(0.35, 0.65) * (1 - soft))


def surrounded(page: Field, rng: Generator) -> Field:
    """The page in a drawn frame, with a scanner's dark edge, or turned and on a dark table."""
    size, short, way = page.shape, min(page.shape), rng.integers(4)
    if way == 0:
        gap, thick = (round(rng.uniform(*part) * short) for part in ((0, 0.08), (0.008, 0.06)))
        framed = np.full(size, rng.uniform(0.05, 0.35))
        framed[gap + thick : size[0] - gap - thick, gap + thick : size[1] - gap - thick] = 1
        outer = np.ones(size)
        outer[gap : size[0] - gap, gap : size[1] - gap] = framed[gap : size[0] - gap, gap : size[1] - gap]
        return page * outer
    if way == 1:
        edge = np.ones(size)
        for _ in range(rng.integers(1, 4)):
            far = across(size, rng.choice([0, 0.5, 1, 1.5]) * np.pi + rng.normal(0, 0.02))
            edge[far < rng.uniform(0.01, 0.1)] = rng.uniform(0, 0.15)
        return page * edge
    table = np.full(tuple(int(side * rng.uniform(1.25, 1.8)) for side in size), rng.uniform(0.08, 0.3))
    if rng.random() < 0.5:  # wood
        grain = gaussian_filter(rng.normal(0, 1, table.shape), (1.5, 40))
        table += 0.04 * grain / grain.std()
    if way == 3:
        page = np.pad(page, round(0.01 * short), constant_values=float(page.max()))
    angle = float(rng.uniform(-15, 15))
    sheet, there = (rotate(part, angle, order=1, mode="constant") for part in (page, np.ones(page.shape)))
    whole = tuple(max(a, b + 6) for a, b in zip(table.shape, sheet.shape, strict=True))
    table = np.pad(table, [(0, a - b) for a, b in zip(whole, table.shape, strict=True)], mode="edge")
    top, left = (int(rng.uniform(0.1, 0.9) * (a - b)) for a, b in zip(whole, sheet.shape, strict=True))
    part = table[top : top + sheet.shape[0], left : left + sheet.shape[1]]
    part[:] = part * (1 - there) + sheet
    return table


def squared(page: Field, rng: Generator) -> Field:
    """The page printed with squares, and a little turned."""
    pitch = rng.uniform(0.045, 0.1) * min(page.shape)
    thick = max(1.0, rng.uniform(0.002, 0.005) * min(page.shape))
    rows, columns = (
        np.abs((np.arange(side) + rng.uniform(0, pitch)) % pitch - pitch / 2) < thick / 2 for side in page.shape
    )
    lines = rows[:, None] | columns[None, :]
    printed = page * (1 - rng.uniform(0.15, 0.5) * lines)
    return np.asarray(rotate(printed, float(rng.uniform(-6, 6)), order=1, mode="mirror", reshape=False))


Draw = Callable[[int, str, Generator, Dataset], Grey]


def uneven_light(digit: int, source: str, rng: Generator, mnist: Dataset) -> Grey:
    size = (int(rng.integers(240, 640)), int(rng.integers(240, 640)))
    ink = drawn_digit(digit, source, int(rng.uniform(0.3, 0.7) * min(size)), rng, mnist)
    return photographed(shaded(page_with(ink, size, rng), rng), rng)


def framed(digit: int, source: str, rng: Generator, mnist: Dataset) -> Grey:
    size = (int(rng.integers(240, 640)), int(rng.integers(240, 640)))
    ink = drawn_digit(digit, source, int(rng.uniform(0.3, 0.6) * min(size)), rng, mnist)
    return photographed(surrounded(page_with(ink, size, rng), rng), rng)


def squared_paper(digit: int, source: str, rng: Generator, mnist: Dataset) -> Grey:
    size = (int(rng.integers(300, 800)), int(rng.integers(300, 800)))
    side = int(rng.uniform(0.25, 0.6) * min(size))
    if source == "strokes":
        ink = pen_strokes(digit, side, rng.uniform(0.012, 0.035), rng)
    else:
        ink = drawn_digit(digit, source, side, rng, mnist)
    return photographed(squared(page_with(ink, size, rng), rng), rng)


KINDS: dict[str, Draw] = {"light": uneven_light, "around": framed, "squares": squared_paper}


def photographs(
    kind: str, seed: int, mnist: Dataset, *, count: int, sources: tuple[str, ...]
) -> list[tuple[int, Grey]]:
    """`count` digits, 0 to 9 in turn, each with its picture."""
    rng = np.random.default_rng([seed, *kind.encode()])
    return [
        (number % 10, KINDS[kind](number % 10, sources[(number + seed) % len(sources)], rng, mnist))
        for number in range(count)
    ]


def main(folder: Path) -> None:
    """Write thirty pictures of each kind into `folder`."""
    from accelmnist.data.mnist import load_dataset

    folder.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        pictures = photographs(kind, 0, load_dataset(), count=30, sources=("mnist", "strokes", "font"))
        for number, (digit, grey) in enumerate(pictures):
            Image.fromarray(grey).save(folder / f"{kind}-{digit}-{number}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
