"""The atlas of neurons: the clearest on one page, each with its weights, its digits, its strength and what excites it.

A4 upright at 300 dots an inch, 2480 by up to 3508 pixels; fewer neurons make a shorter page. All images and bars are
one raster, drawn pixel for pixel; only the words are matplotlib's.
"""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from accelmnist.analysis.neurons.images import Weights, signed_colours, signed_images
from accelmnist.analysis.neurons.record import NeuronsRecord
from accelmnist.show.figures.atlas_card import CARD_HEIGHT, CARD_WIDTH, Card, draw_card
from accelmnist.show.figures.sheet import FigureSheet
from accelmnist.show.figures.style import SOFT_INK, figure_style
from accelmnist.show.names import class_kind, row_names
from accelmnist.show.units import count, percent

MOST_CLEAR, MOST_OTHERS, MOST_ALIKE = 20, 8, 3
_COLUMNS, _GAP = 4, 46
_MARGIN = 80
_HEADING = 216
_SECTION = 70
_FOOTER = 126
_BAR_WIDTH, _BAR_HEIGHT = 360, 26

Pixels = NDArray[np.uint8]


def atlas_figure(record: NeuronsRecord, *, weights: Weights, images: Pixels) -> Figure:
    """The page of `record`: `weights`, float (n, 784), are the first layer's, `images`, uint8 (k, 784), the tests'."""
    sections = _sections(record)
    width = 2 * _MARGIN + _COLUMNS * CARD_WIDTH + (_COLUMNS - 1) * _GAP
    height = _HEADING + sum(_SECTION + _rows(shown) * CARD_HEIGHT for _, shown in sections) + _FOOTER
    height += 0 if class_kind(record.class_names) == "digit" else 38
    canvas = np.full((height, width, 3), 255, dtype=np.uint8)
    with figure_style():
        sheet = FigureSheet(width, height)
        sheet.text(_MARGIN, 70, _title(record), size=25, weight="bold")
        for row, line in enumerate(_subtitle(record)):
            sheet.text(_MARGIN, 126 + 40 * row, line, size=15, color=SOFT_INK)
        top = _HEADING
        for title, shown in sections:
            sheet.text(_MARGIN, top + 28, title, size=18, weight="bold")
            _draw_cards(sheet, canvas, record, shown, weights, images, top=top + _SECTION)
            top += _SECTION + _rows(shown) * CARD_HEIGHT
        _draw_legend(sheet, canvas, record, top=top + 30)
        sheet.raster(canvas, left=0, top=0)
    return sheet.figure


def _sections(record: NeuronsRecord) -> list[tuple[str, tuple[int, ...]]]:
    """The parts of the page: their titles, and the neurons in each."""
    if len(record.neurons) <= MOST_CLEAR + MOST_OTHERS:
        return [("All of them, the clearest first", record.order)]
    clear = _clearest(record)
    others = _others(record, clear)
    return [
        (f"The clearest of {count(len(record.neurons))}, at most {MOST_ALIKE} of a kind", clear),
        ("Some of the others: leaning, without a clear task, grey or dead", others),
    ]


def _clearest(record: NeuronsRecord) -> tuple[int, ...]:
    """The first of the order, at most `MOST_ALIKE` with the same task; more of those only if there is room left."""
    told = [index for index in record.order if _is_told(record, index)]
    seen = Counter[tuple[str, tuple[int, ...]]]()
    varied = []
    for index in told:
        task = record.neurons[index].task
        seen[task.sense, task.classes] += 1
        if seen[task.sense, task.classes] <= MOST_ALIKE:
            varied.append(index)
    chosen = list(dict.fromkeys([*varied, *told]))[:MOST_CLEAR]
    return tuple(sorted(chosen, key=record.order.index))


def _is_told(record: NeuronsRecord, index: int) -> bool:
    neuron = record.neurons[index]
    return neuron.status == "live" and neuron.task.certainty != "none" and not neuron.is_faint


def _others(record: NeuronsRecord, clear: tuple[int, ...]) -> tuple[int, ...]:
    """Some of each kind of the rest: live ones without a clear task, duplicates and dead ones, then what comes last."""
    rest = [index for index in record.order if index not in clear]
    untold = [index for index in rest if record.neurons[index].task.certainty == "none"]
    live = [index for index in untold if record.neurons[index].status == "live"]
    twins = [index for index in rest if record.neurons[index].status == "duplicate"]
    dead = [index for index in rest if record.neurons[index].status == "dead"]
    chosen = dict.fromkeys([*live[:4], *twins[:2], *dead[:2], *live[4:], *reversed(rest)])
    return tuple(sorted(list(chosen)[:MOST_OTHERS], key=record.order.index))


def _rows(shown: tuple[int, ...]) -> int:
    return math.ceil(len(shown) / _COLUMNS)


def _title(record: NeuronsRecord) -> str:
    return "What the outputs look for" if record.rows == "output" else "Atlas of the first layer"


def _subtitle(record: NeuronsRecord) -> list[str]:
    activation = "" if record.rows == "output" else f" {record.network.activation}"
    network = f"{record.network}{activation}, {record.dataset}: {percent(record.accuracy)} of the test images right"
    return [network, f"{record.summary[0]}. {record.summary[1]}." if len(record.summary) > 1 else ""]


def _draw_cards(
    sheet: FigureSheet,
    canvas: Pixels,
    record: NeuronsRecord,
    shown: tuple[int, ...],
    weights: Weights,
    images: Pixels,
    *,
    top: int,
) -> None:
    strongest = max((neuron.strength for neuron in record.neurons), default=0.0) or 1.0
    pictures = signed_images(weights[list(shown)])
    for position, (index, picture) in enumerate(zip(shown, pictures, strict=True)):
        neuron = record.neurons[index]
        exciting = images[list(neuron.exciting[:4])].reshape(-1, 28, 28)
        row, column = divmod(position, _COLUMNS)
        left = _MARGIN + column * (CARD_WIDTH + _GAP)
        card = Card(neuron, picture, exciting, neuron.strength / strongest)
        draw_card(sheet, canvas, record, card, left=left, top=top + row * CARD_HEIGHT)


def _draw_legend(sheet: FigureSheet, canvas: Pixels, record: NeuronsRecord, *, top: int) -> None:
    """What the hues, the bars and the grey line below each image stand for."""
    sheet.text(_MARGIN, top + _BAR_HEIGHT / 2, "weight  −", size=13.5, color=SOFT_INK)
    left = _MARGIN + 146
    ramp = signed_colours(np.linspace(-1, 1, _BAR_WIDTH))
    canvas[top : top + _BAR_HEIGHT, left : left + _BAR_WIDTH] = ramp
    end = left + _BAR_WIDTH + 16
    kind = class_kind(record.class_names)
    scale = "+  each on its own scale, pixels that are never inked left white.   Grey line: strength among all."
    sheet.text(end, top + _BAR_HEIGHT / 2, scale, size=13, color=SOFT_INK)
    bars = (
        f"Bars: share of each {kind}'s test images that turn it on, 0 to 100 %.   Small images: what excites it most."
    )
    sheet.text(_MARGIN, top + _BAR_HEIGHT / 2 + 40, bars, size=13, color=SOFT_INK)
    if kind != "digit":
        names = ",  ".join(row_names(record.class_names))
        sheet.text(_MARGIN, top + _BAR_HEIGHT / 2 + 78, names, size=13, color=SOFT_INK)
