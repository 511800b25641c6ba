"""Many small images with a caption below each, as one raster.

One raster instead of an axes and a text for each image: matplotlib takes 1.3 ms for a text and far more for an axes,
Pillow 0.03 ms, so that the captions of 256 neurons cost 8 ms instead of 0.35 s. Pixels are enlarged by a whole number,
which keeps them square and of one size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from accelmnist.core.config import IMAGE_SIDE

_INK, _PAPER = 24, 255
_LINE_SPACING = 1.3


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """How `tiles` images are laid out: `columns` a row, each pixel enlarged `zoom` times, `gap` pixels between two."""

    tiles: int
    columns: int
    zoom: int
    gap: int
    font_px: float
    caption_lines: int = 1
    frame: int | None = None  # grey of a thin frame, for images whose own edge is paper

    @property
    def rows(self) -> int:
        """Rows that it takes; the last may be short."""
        return math.ceil(self.tiles / self.columns)

    @property
    def tile(self) -> int:
        """Side of an enlarged image, in pixels."""
        return IMAGE_SIDE * self.zoom

    @property
    def pitch(self) -> tuple[int, int]:
        """Pixels from an image to the next one, across and down."""
        caption = math.ceil(_LINE_SPACING * self.font_px * self.caption_lines)
        return self.tile + self.gap, self.tile + caption + self.gap

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the whole raster, in pixels."""
        across, down = self.pitch
        return self.columns * across - self.gap, self.rows * down - self.gap


def choose_columns(tiles: int, *, most: int = 16) -> int:
    """A width for a block about as wide as high, up to twice as wide where that leaves fewer empty places."""
    narrow = min(math.ceil(math.sqrt(tiles)), most)
    wide = min(math.ceil(math.sqrt(2 * tiles)), most)
    return min(range(narrow, wide + 1), key=lambda columns: -tiles % columns)


def draw_mosaic(images: NDArray[np.uint8], captions: Sequence[str], tiling: Tiling) -> NDArray[np.uint8]:
    """The raster, uint8 (height, width), of `images`, uint8 (n, 28, 28), with their captions on white paper."""
    width, height = tiling.size
    raster = np.full((height, width), _PAPER, dtype=np.uint8)
    enlarged = images.repeat(tiling.zoom, axis=1).repeat(tiling.zoom, axis=2)
    if tiling.frame is not None:
        enlarged[:, [0, -1], :] = enlarged[:, :, [0, -1]] = tiling.frame
    for index, image in enumerate(enlarged):
        left, top = _corner(index, tiling)
        raster[top : top + tiling.tile, left : left + tiling.tile] = image
    return _with_captions(raster, captions, tiling)


def _with_captions(raster: NDArray[np.uint8], captions: Sequence[str], tiling: Tiling) -> NDArray[np.uint8]:
    picture = Image.fromarray(raster)
    pen = ImageDraw.Draw(picture)
    font = _font(captions, tiling)
    for index, caption in enumerate(captions):
        left, top = _corner(index, tiling)
        for line, text in enumerate(caption.split("\n")):
            below = top + tiling.tile + (0.2 + _LINE_SPACING * line) * font.size
            pen.text((left + tiling.tile / 2, below), text, fill=_INK, font=font, anchor="ma")
    return np.asarray(picture)


def _font(captions: Sequence[str], tiling: Tiling) -> ImageFont.FreeTypeFont:
    """The font of the captions, smaller where the longest line would not fit below its image."""
    font = _load_font(tiling.font_px)
    lines = [line for caption in captions for line in caption.split("\n")]
    longest = font.getlength(max(lines, key=len, default=""))
    room = tiling.tile + 0.5 * tiling.gap
    return font if longest <= room else font.font_variant(size=tiling.font_px * room / longest)


def _load_font(size_px: float) -> ImageFont.FreeTypeFont:
    """matplotlib's own font: text inside and outside of a raster looks alike."""
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"), size_px)


def _corner(index: int, tiling: Tiling) -> tuple[int, int]:
    row, column = divmod(index, tiling.columns)
    across, down = tiling.pitch
    return column * across, row * down
