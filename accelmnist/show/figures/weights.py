"""The first layer as a page of images: what each neuron, or each class of a softmax regression, looks for."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from accelmnist.analysis.neurons.images import Weights, weight_images
from accelmnist.show.figures.mosaic import Tiling, choose_columns, draw_mosaic
from accelmnist.show.figures.sheet import MARGIN, FigureSheet, text_width
from accelmnist.show.figures.style import SMALL_SIZE, SOFT_INK, figure_style

MOST_NEURONS = 256  # on one page; more could not be told apart
_PAGE_WIDTH = 1440
_LEAST_WIDTH = 1040  # room for the heading and the scale bar
_FOOTER = 84
_BAR_WIDTH, _BAR_HEIGHT = 256, 18


def weights_figure(
    weights: Weights, *, class_names: tuple[str, ...] | None = None, shared_scale: bool = False
) -> Figure:
    """The page of `weights`, float (n, 784), at most the first 256 rows.

    `class_names` are given where the rows are the output classes, that is without a hidden layer. Raises ValueError as
    `weight_images` does.
    """
    images = weight_images(weights, shared_scale=shared_scale)[:MOST_NEURONS]
    tiling = _tiling(len(images))
    mosaic = draw_mosaic(images, _captions(len(images), class_names), tiling)
    width = max(tiling.size[0], _LEAST_WIDTH) + 2 * MARGIN
    title, subtitle = _title(len(weights), class_names), _subtitle(len(weights), class_names)
    with figure_style():
        sheet = FigureSheet.headed(width, tiling.size[1] + _FOOTER - MARGIN, title=title, lines=[subtitle])
        sheet.raster(mosaic, left=MARGIN, top=sheet.top)
        _draw_scale(sheet, _ends(weights, shared_scale), top=sheet.top + tiling.size[1] + 34)
    return sheet.figure


def _tiling(tiles: int) -> Tiling:
    columns = choose_columns(tiles) if tiles else 1
    zoom = min(max(_PAGE_WIDTH // (columns * 31), 3), 12)
    return Tiling(tiles=tiles, columns=columns, zoom=zoom, gap=2 * zoom, font_px=min(10 + zoom, 20))


def _captions(shown: int, class_names: tuple[str, ...] | None) -> list[str]:
    if class_names is None:
        return [str(neuron) for neuron in range(shown)]
    return [name if name != str(label) else f"digit {name}" for label, name in enumerate(class_names[:shown])]


def _title(neurons: int, class_names: tuple[str, ...] | None) -> str:
    if class_names is not None:
        return f"Weights of the {neurons} output classes"
    if neurons > MOST_NEURONS:
        return f"First-layer weights: the first {MOST_NEURONS} of {neurons:,} neurons"
    return f"First-layer weights: {neurons:,} neuron{'s' if neurons != 1 else ''}"


def _subtitle(neurons: int, class_names: tuple[str, ...] | None) -> str:
    if class_names is not None:
        return (
            "Each image is one class: its weights for the 28 × 28 pixels. Light pixels speak for it, dark ones against."
        )
    more = ", numbered from 0" if neurons > 1 else ""
    return (
        f"Each image is one neuron{more}: its weights for the 28 × 28 pixels. "
        "Light pixels excite it, dark ones inhibit."
    )


def _ends(weights: Weights, shared_scale: bool) -> tuple[str, str]:
    if shared_scale and weights.size:
        low, high = float(np.min(weights)), float(np.max(weights))
        return f"0 = {low:+.3g}".replace("-", "−"), f"255 = {high:+.3g}, one scale for all".replace("-", "−")
    return "0 = smallest weight", "255 = largest weight of the same image, each on its own scale"


def _draw_scale(sheet: FigureSheet, ends: tuple[str, str], *, top: int) -> None:
    """The grey scale bar, with what its two ends stand for."""
    low, high = ends
    left = MARGIN + round(text_width(low, size=SMALL_SIZE)) + 12
    greys = np.tile(np.arange(_BAR_WIDTH, dtype=np.uint8), (_BAR_HEIGHT, 1))
    greys[[0, -1], :] = greys[:, [0, -1]] = 96  # a frame, so that the white end shows on white paper
    sheet.raster(greys, left=left, top=top)
    for across, text in ((MARGIN, low), (left + _BAR_WIDTH + 12, high)):
        sheet.text(across, top + _BAR_HEIGHT / 2, text, size=SMALL_SIZE, color=SOFT_INK)
