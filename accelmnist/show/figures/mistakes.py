"""The test images that the network got wrong and was most sure of: what it finds hard, or what is labelled badly."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from accelmnist.core.config import IMAGE_SIDE
from accelmnist.core.records import Mistake, RunRecord
from accelmnist.show.figures.mosaic import Tiling, draw_mosaic
from accelmnist.show.figures.sheet import MARGIN, FigureSheet
from accelmnist.show.figures.style import figure_style

MOST_MISTAKES = 25
_COLUMNS = 5
_WIDTH = 5 * (28 * 7 + 32) - 32
_FRAME = 201


def mistakes_figure(record: RunRecord, mistake_images: NDArray[np.uint8]) -> Figure:
    """Up to 25 of `record.mistakes`, whose pixels are `mistake_images`, uint8 (k, 784), in the same order.

    The ink is dark on white, the data's 0 being the white. Raises ValueError where the two are not of one length.
    """
    if len(mistake_images) != len(record.mistakes):
        raise ValueError(f"{len(mistake_images)} images for {len(record.mistakes)} mistakes")
    shown = record.mistakes[:MOST_MISTAKES]
    tiling = Tiling(
        tiles=len(shown),
        columns=_COLUMNS,
        zoom=7,
        gap=32,
        font_px=18,
        caption_lines=_lines(record),
        frame=_FRAME,
    )
    with figure_style():
        body = tiling.size[1] if shown else 0
        sheet = FigureSheet.headed(_WIDTH + 2 * MARGIN, body, title=_title(record), lines=[_subtitle(record)])
        if shown:
            captions = [_caption(mistake, record) for mistake in shown]
            mosaic = draw_mosaic(_on_paper(mistake_images[: len(shown)]), captions, tiling)
            sheet.raster(mosaic, left=MARGIN, top=sheet.top)
    return sheet.figure


def _title(record: RunRecord) -> str:
    wrong = _wrong(record)
    if not record.mistakes:
        return "No test image was misread" if wrong == 0 else "No misread test image was kept"
    shown = min(len(record.mistakes), MOST_MISTAKES)
    of_all = f" of {wrong:,}" if wrong is not None else ""
    return f"Most confident mistakes: {shown}{of_all}"


def _wrong(record: RunRecord) -> int | None:
    """Number of test images classified wrongly, as far as the record knows."""
    if record.metrics is None:
        return None
    matrix = record.metrics.confusion_matrix
    return record.metrics.images - sum(matrix[label][label] for label in range(len(matrix)))


def _subtitle(record: RunRecord) -> str:
    if not record.mistakes:
        return "There is nothing to show: every test image that was kept was classified rightly."
    return "Test images classified wrongly, the surest first; in brackets the score of the wrong answer."


def _names(record: RunRecord) -> tuple[str, ...]:
    return record.data.class_names if record.data is not None else tuple(map(str, range(10)))


def _lines(record: RunRecord) -> int:
    return 2 if max(map(len, _names(record))) <= 2 else 3


def _caption(mistake: Mistake, record: RunRecord) -> str:
    names = _names(record)
    joint = ", " if _lines(record) == 2 else "\n"
    answer = f"true {names[mistake.actual]}{joint}said {names[mistake.predicted]} ({mistake.score:.2f})"
    return f"{answer}\ntest image {mistake.index:,}"


def _on_paper(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return 255 - images.reshape(-1, IMAGE_SIDE, IMAGE_SIDE)
