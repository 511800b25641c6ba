"""Pages of small images with a caption below each: the first layer's weights, and the surest mistakes.

All images and captions of a page are one raster instead of an axes and a text each: matplotlib takes 1.3 ms for a text
and far more for an axes, Pillow 0.03 ms, so that the captions of 256 neurons cost 8 ms instead of 0.35 s. Pixels are
enlarged by a whole number, which keeps them square and of one size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from accelmnist.analysis.neurons.images import Weights, weight_images
from accelmnist.core.config import IMAGE_SIDE
from accelmnist.core.records import RunRecord
from accelmnist.show.figures.sheet import MARGIN, SMALL_SIZE, SOFT_INK, FigureSheet, Pixels, figure_style, text_width
from accelmnist.show.units import plural

MOST_NEURONS = 256  # on one page; more could not be told apart
MOST_MISTAKES = 25
_INK, _PAPER, _FRAME = 24, 255, 201
_LINE_SPACING = 1.3
_PAGE_WIDTH = 1440
_LEAST_WIDTH = 1040  # room for the heading and the scale bar
_BAR_WIDTH, _BAR_HEIGHT = 256, 18
_BAR_ROOM = 44  # above the scale bar, and itself
_MISTAKE_COLUMNS, _MISTAKE_ZOOM, _MISTAKE_GAP = 5, 7, 32


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """How `tiles` images are laid out: `columns` a row, each pixel enlarged `zoom` times, `gap` pixels between two."""

    tiles: int
    columns: int
    zoom: int
    gap: int
    font_px: float
    caption_lines: int = 1
    has_frame: bool = False  # thin and grey, for images whose own edge is paper

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
        return self.columns * across - self.gap, math.ceil(self.tiles / self.columns) * down - self.gap

    def corner(self, index: int) -> tuple[int, int]:
        """The left and top edge of an image."""
        row, column = divmod(index, self.columns)
        return column * self.pitch[0], row * self.pitch[1]


def choose_columns(tiles: int, *, most: int = 16) -> int:
    """A width for a block about as wide as high, up to twice as wide if that leaves fewer places empty."""
    narrow = min(math.ceil(math.sqrt(tiles)), most)
    wide = min(math.ceil(math.sqrt(2 * tiles)), most)
    return min(range(narrow, wide + 1), key=lambda columns: -tiles % columns)


def draw_mosaic(images: Pixels, captions: Sequence[str], tiling: Tiling) -> Pixels:
    """The raster, uint8 (height, width), of `images`, uint8 (n, 28, 28), with their captions on white paper."""
    width, height = tiling.size
    raster = np.full((height, width), _PAPER, dtype=np.uint8)
    enlarged = images.repeat(tiling.zoom, axis=1).repeat(tiling.zoom, axis=2)
    if tiling.has_frame:
        enlarged[:, [0, -1], :] = enlarged[:, :, [0, -1]] = _FRAME
    for index, image in enumerate(enlarged):
        left, top = tiling.corner(index)
        raster[top : top + tiling.tile, left : left + tiling.tile] = image
    picture = Image.fromarray(raster)
    pen = ImageDraw.Draw(picture)
    # matplotlib's own font, as outside of the raster; smaller if the longest line would not fit below its image.
    font = ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"), tiling.font_px)
    lines = [line for caption in captions for line in caption.split("\n")]
    longest, room = font.getlength(max(lines, key=len, default="")), tiling.tile + 0.5 * tiling.gap
    font = font if longest <= room else font.font_variant(size=tiling.font_px * room / longest)
    for index, caption in enumerate(captions):
        left, top = tiling.corner(index)
        for line, text in enumerate(caption.split("\n")):
            below = top + tiling.tile + (0.2 + _LINE_SPACING * line) * font.size
            pen.text((left + tiling.tile / 2, below), text, fill=_INK, font=font, anchor="ma")
    return np.asarray(picture)


def weights_figure(
    weights: Weights, *, class_names: tuple[str, ...] | None = None, shared_scale: bool = False
) -> Figure:
    """The first layer as a page of images, of `weights`, float (n, 784), at most the first 256 rows.

    `class_names` are given if the rows are the output classes, that is without a hidden layer. Raises ValueError as
    `weight_images` does.
    """
    images = weight_images(weights, shared_scale=shared_scale)[:MOST_NEURONS]
    columns = choose_columns(len(images)) if len(images) else 1
    zoom = min(max(_PAGE_WIDTH // (columns * 31), 3), 12)
    tiling = Tiling(tiles=len(images), columns=columns, zoom=zoom, gap=2 * zoom, font_px=min(10 + zoom, 20))
    captions = [str(index) for index in range(len(images))]
    if class_names is not None:
        captions = [name if name != str(label) else f"digit {name}" for label, name in enumerate(class_names)]
    title, subtitle = _weights_heading(len(weights), has_classes=class_names is not None)
    width = max(tiling.size[0], _LEAST_WIDTH) + 2 * MARGIN
    with figure_style():
        sheet = FigureSheet.headed(width, tiling.size[1] + _BAR_ROOM, title=title, lines=[subtitle])
        sheet.raster(draw_mosaic(images, captions, tiling), left=MARGIN, top=sheet.top)
        _draw_scale(sheet, weights, shared_scale=shared_scale, top=sheet.top + tiling.size[1] + 34)
    return sheet.figure


def _weights_heading(neurons: int, *, has_classes: bool) -> tuple[str, str]:
    """The title, and what an image is."""
    pixels = "its weights for the 28 × 28 pixels."
    if has_classes:
        image = f"Each image is one class: {pixels} Light pixels speak for it, dark ones against."
        return f"Weights of the {neurons} output classes", image
    shown = plural(neurons, "neuron")
    shown = f"the first {MOST_NEURONS} of {shown}" if neurons > MOST_NEURONS else shown
    numbered = ", numbered from 0" if neurons > 1 else ""
    image = f"Each image is one neuron{numbered}: {pixels} Light pixels excite it, dark ones inhibit."
    return f"First-layer weights: {shown}", image


def _draw_scale(sheet: FigureSheet, weights: Weights, *, shared_scale: bool, top: int) -> None:
    """The grey scale bar, with what its two ends stand for."""
    low, high = "0 = smallest weight", "255 = largest weight of the same image, each on its own scale"
    if shared_scale and weights.size:
        low, high = f"0 = {np.min(weights):+.3g}", f"255 = {np.max(weights):+.3g}, one scale for all"
        low, high = low.replace("-", "−"), high.replace("-", "−")
    left = MARGIN + round(text_width(low, size=SMALL_SIZE)) + 12
    greys = np.tile(np.arange(_BAR_WIDTH, dtype=np.uint8), (_BAR_HEIGHT, 1))
    greys[[0, -1], :] = greys[:, [0, -1]] = 96  # a frame, so that the white end shows on white paper
    sheet.raster(greys, left=left, top=top)
    for across, text in ((MARGIN, low), (left + _BAR_WIDTH + 12, high)):
        sheet.text(across, top + _BAR_HEIGHT / 2, text, size=SMALL_SIZE, color=SOFT_INK)


def mistakes_figure(record: RunRecord, mistake_images: Pixels) -> Figure:
    """The test images that the network got wrong and was most sure of: what it finds hard, or what is labelled badly.

    Up to 25 of `record.mistakes`, whose pixels are `mistake_images`, uint8 (k, 784), in the same order. The ink is dark
    on white, the data's 0 being the white. Raises ValueError if the two are not of one length.
    """
    if len(mistake_images) != len(record.mistakes):
        raise ValueError(f"{len(mistake_images)} images for {len(record.mistakes)} mistakes")
    names = record.data.class_names if record.data is not None else tuple(map(str, range(10)))
    joint = ", " if max(map(len, names)) <= 2 else "\n"  # long names have a line of their own
    captions = [
        f"true {names[mistake.actual]}{joint}said {names[mistake.predicted]} ({mistake.score:.2f})\n"
        f"test image {mistake.index:,}"
        for mistake in record.mistakes[:MOST_MISTAKES]
    ]
    tiling = Tiling(
        tiles=len(captions),
        columns=_MISTAKE_COLUMNS,
        zoom=_MISTAKE_ZOOM,
        gap=_MISTAKE_GAP,
        font_px=18,
        caption_lines=max((1 + caption.count("\n") for caption in captions), default=1),
        has_frame=True,
    )
    title, subtitle = _mistakes_heading(record)
    with figure_style():
        body = tiling.size[1] if captions else 0
        sheet = FigureSheet.headed(tiling.size[0] + 2 * MARGIN, body, title=title, lines=[subtitle])
        if captions:
            on_paper = 255 - mistake_images[:MOST_MISTAKES].reshape(-1, IMAGE_SIDE, IMAGE_SIDE)
            sheet.raster(draw_mosaic(on_paper, captions, tiling), left=MARGIN, top=sheet.top)
    return sheet.figure


def _mistakes_heading(record: RunRecord) -> tuple[str, str]:
    """The title, with the number of test images classified wrongly as far as the record knows, and what is shown."""
    wrong = None if record.metrics is None else record.metrics.images - record.metrics.right
    if not record.mistakes:
        title = "No test image was misread" if wrong == 0 else "No misread test image was kept"
        return title, "There is nothing to show: every test image that was kept was classified rightly."
    shown = min(len(record.mistakes), MOST_MISTAKES)
    of_all = f" of {wrong:,}" if wrong is not None else ""
    subtitle = "Test images classified wrongly, the surest first; in brackets the score of the wrong answer."
    return f"Most confident mistakes: {shown}{of_all}", subtitle
