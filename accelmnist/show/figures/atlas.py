"""The atlas of neurons: the clearest on one page, each with its weights, its digits, its strength and what excites it.

A4 upright at 300 dots an inch, 2480 by up to 3508 pixels; fewer neurons make a shorter page. All images and bars are
one raster, drawn pixel for pixel; only the words are matplotlib's.
"""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
from matplotlib.figure import Figure

from accelmnist.analysis.neurons.images import Weights, signed_colours, signed_images
from accelmnist.analysis.neurons.record import Neuron, NeuronsRecord
from accelmnist.core.config import IMAGE_SIDE
from accelmnist.show.figures.sheet import BLUE, INK, SOFT_INK, FigureSheet, Pixels, figure_style
from accelmnist.show.units import class_kind, count, percent, row_names

MOST_CLEAR, MOST_OTHERS, MOST_ALIKE = 20, 8, 3
_COLUMNS, _GAP = 4, 46
_MARGIN = 80
_HEADING = 216
_SECTION = 70
_FOOTER = 126
_RAMP_WIDTH, _RAMP_HEIGHT = 360, 26

CARD_WIDTH, CARD_HEIGHT = 545, 432
_ZOOM = 9
_IMAGE = IMAGE_SIDE * _ZOOM
_TOP = 44  # of the image, below the title
_STRENGTH_TOP = _TOP + _IMAGE + 8
_BARS_LEFT = _IMAGE + 22
_PITCH, _BAR = 27, 20
_BARS_HEIGHT = 142
_EXCITING_TOP = _TOP + _BARS_HEIGHT + 42
_EXCITING_ZOOM = 2
_WORDS_TOP = _STRENGTH_TOP + 32
_LINE = 30
_NAMED = 3  # classes of a group that a line has room for
_RULE = (204, 204, 204)
_PALE = (190, 190, 190)
_OWN, _AXIS = (tuple(bytes.fromhex(colour.removeprefix("#"))) for colour in (BLUE, SOFT_INK))  # of the bars


def atlas_figure(record: NeuronsRecord, *, weights: Weights, images: Pixels) -> Figure:
    """The page of `record`: `weights`, float (n, 784), are the first layer's, `images`, uint8 (k, 784), the tests'."""
    sections, is_output = _sections(record), record.rows == "output"
    width = 2 * _MARGIN + _COLUMNS * CARD_WIDTH + (_COLUMNS - 1) * _GAP
    heights = [_SECTION + math.ceil(len(shown) / _COLUMNS) * CARD_HEIGHT for shown in sections.values()]
    height = _HEADING + sum(heights) + _FOOTER + (0 if class_kind(record.class_names) == "digit" else 38)
    canvas = np.full((height, width, 3), 255, dtype=np.uint8)
    activation = "" if is_output else f" {record.network.activation}"
    lines = [f"{record.network}{activation}, {record.dataset}: {percent(record.accuracy)} of the test images right"]
    lines += [f"{record.summary[0]}. {record.summary[1]}."] if len(record.summary) > 1 else []
    with figure_style():
        sheet = FigureSheet(width, height)
        page_title = "What the outputs look for" if is_output else "Atlas of the first layer"
        sheet.text(_MARGIN, 70, page_title, size=25, weight="bold")
        for row, line in enumerate(lines):
            sheet.text(_MARGIN, 126 + 40 * row, line, size=15, color=SOFT_INK)
        top = _HEADING
        for (title, shown), section_height in zip(sections.items(), heights, strict=True):
            sheet.text(_MARGIN, top + 28, title, size=18, weight="bold")
            _draw_cards(sheet, canvas, record, shown, weights, images, top=top + _SECTION)
            top += section_height
        _draw_legend(sheet, canvas, record, top=top + 30)
        sheet.raster(canvas, left=0, top=0)
    return sheet.figure


# --- which neurons are shown


def _sections(record: NeuronsRecord) -> dict[str, tuple[int, ...]]:
    """The neurons in each part of the page, by its title."""
    if len(record.neurons) <= MOST_CLEAR + MOST_OTHERS:
        return {"All of them, the clearest first": record.order}
    clear = _clearest(record)
    return {
        f"The clearest of {count(len(record.neurons))}, at most {MOST_ALIKE} of a kind": clear,
        "Some of the others: leaning, without a clear task, grey or dead": _others(record, clear),
    }


def _clearest(record: NeuronsRecord) -> tuple[int, ...]:
    """The first of the order, at most `MOST_ALIKE` with the same task; more of those only if there is room left."""
    neurons = [record.neurons[index] for index in record.order]
    told = [n for n in neurons if n.status == "live" and n.task.certainty != "none" and not n.is_faint]
    seen = Counter[tuple[str, tuple[int, ...]]]()
    varied = []
    for neuron in told:
        task = (neuron.task.sense, neuron.task.classes)
        seen[task] += 1
        if seen[task] <= MOST_ALIKE:
            varied.append(neuron.index)
    chosen = list(dict.fromkeys([*varied, *(neuron.index for neuron in told)]))[:MOST_CLEAR]
    return tuple(sorted(chosen, key=record.order.index))


def _others(record: NeuronsRecord, clear: tuple[int, ...]) -> tuple[int, ...]:
    """Some of each kind of the rest: live ones without a clear task, duplicates and dead ones, then what comes last."""
    rest = [index for index in record.order if index not in clear]
    untold = [index for index in rest if record.neurons[index].task.certainty == "none"]
    live = [index for index in untold if record.neurons[index].status == "live"]
    twins = [index for index in rest if record.neurons[index].status == "duplicate"]
    dead = [index for index in rest if record.neurons[index].status == "dead"]
    chosen = dict.fromkeys([*live[:4], *twins[:2], *dead[:2], *live[4:], *reversed(rest)])
    return tuple(sorted(list(chosen)[:MOST_OTHERS], key=record.order.index))


# --- cards


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
    """Draw the cards of `shown` from `top` on: pixels on `canvas`, uint8 (h, w, 3), and words on `sheet`."""
    strongest = max((neuron.strength for neuron in record.neurons), default=0.0) or 1.0
    pictures = signed_images(weights[list(shown)])
    for position, (index, picture) in enumerate(zip(shown, pictures, strict=True)):
        neuron = record.neurons[index]
        row, column = divmod(position, _COLUMNS)
        left, upper = _MARGIN + column * (CARD_WIDTH + _GAP), top + row * CARD_HEIGHT
        _paste(canvas, picture, left, upper + _TOP, zoom=_ZOOM)
        bar = canvas[upper + _STRENGTH_TOP : upper + _STRENGTH_TOP + 10, left : left + _IMAGE]
        bar[:] = (236, 236, 236)
        bar[:, : round(_IMAGE * neuron.strength / strongest)] = (96, 96, 96)
        _paste_bars(canvas, neuron, left + _BARS_LEFT, upper + _TOP)
        for place, image in enumerate(images[list(neuron.exciting[:4])].reshape(-1, IMAGE_SIDE, IMAGE_SIDE)):
            across = left + _BARS_LEFT + place * (IMAGE_SIDE * _EXCITING_ZOOM + 12)
            _paste(canvas, 255 - image[:, :, None], across, upper + _EXCITING_TOP, zoom=_EXCITING_ZOOM)
        _write_words(sheet, record, neuron, left, upper)


def _paste(canvas: Pixels, picture: Pixels, left: int, top: int, *, zoom: int) -> None:
    """A picture, uint8 (28, 28, 1 or 3), enlarged and with a thin frame."""
    enlarged = picture.repeat(zoom, axis=0).repeat(zoom, axis=1)
    part = canvas[top : top + len(enlarged), left : left + len(enlarged)]
    part[:] = enlarged
    part[[0, -1]] = part[:, [0, -1]] = _RULE


def _paste_bars(canvas: Pixels, neuron: Neuron, left: int, top: int) -> None:
    """The share of each class's images that turn it on, 0 to 1 from the bottom to the top; its own classes are blue."""
    for label, share in enumerate(neuron.activation.share_on):
        at = left + label * _PITCH
        canvas[top : top + _BARS_HEIGHT, at : at + _BAR] = (244, 244, 244)
        filled = round(share * _BARS_HEIGHT)
        colour = _OWN if label in neuron.task.classes else _PALE
        canvas[top + _BARS_HEIGHT - filled : top + _BARS_HEIGHT, at : at + _BAR] = colour
    canvas[top + _BARS_HEIGHT : top + _BARS_HEIGHT + 2, left : left + 9 * _PITCH + _BAR] = _AXIS


def _write_words(sheet: FigureSheet, record: NeuronsRecord, neuron: Neuron, left: int, top: int) -> None:
    sheet.text(left, top + 20, str(neuron.index), size=16, weight="bold")
    sheet.text(left + 100, top + 20, _card_title(neuron), size=15)
    for label in range(len(record.class_names)):
        middle = left + _BARS_LEFT + label * _PITCH + _BAR / 2
        is_own = label in neuron.task.classes
        style = {"color": INK if is_own else SOFT_INK, "weight": "bold" if is_own else "normal"}
        sheet.text(middle, top + _TOP + _BARS_HEIGHT + 18, str(label), size=13, ha="center", **style)
    lines = filter(None, (_shares(record, neuron), _argument(record, neuron), _missed(record, neuron)))
    for row, line in enumerate(lines):
        sheet.text(left, top + _WORDS_TOP + row * _LINE, line, size=12.5, color=SOFT_INK)


def _card_title(neuron: Neuron) -> str:
    if neuron.status == "dead":
        return "dead"
    if neuron.duplicate_of is not None:
        return f"the same as {neuron.duplicate_of}"
    if neuron.task.certainty == "none":
        return "no clear task"
    clear = neuron.task.certainty == "clear"
    verb = {"on": "answers for" if clear else "leans to", "off": "all but" if clear else "leans away from"}
    return f"{verb[neuron.task.sense]} {_numbers(neuron.task.classes)}"


def _shares(record: NeuronsRecord, neuron: Neuron) -> str:
    task = neuron.task
    if task.share_on is None or task.share_on_rest is None:
        return ""
    verb = "largest for" if record.rows == "output" else "on for"
    own = _numbers(task.classes) if len(task.classes) <= _NAMED else "these"
    return f"{verb} {_share(task.share_on)} of {own}, {_share(task.share_on_rest)} of the rest"


def _share(value: float) -> str:
    """Without decimals, and no rounder than it is."""
    if 0 < value < 0.005:
        return "< 1 %"
    return "> 99 %" if 0.995 <= value < 1 else percent(value, digits=0)


def _argument(record: NeuronsRecord, neuron: Neuron) -> str:
    if neuron.status == "dead" or record.rows == "output":
        return ""
    if neuron.is_faint:
        return "hardly heard"
    sides = (("for", neuron.argues_for), ("against", neuron.argues_against))
    return f"argues {', '.join(f'{side} {_numbers(labels)}' for side, labels in sides if labels)}"


def _missed(record: NeuronsRecord, neuron: Neuron) -> str:
    if not neuron.missed_by or neuron.ablation is None:
        return ""
    label = neuron.missed_by[0]
    before, after = record.baseline.recall[label], neuron.ablation.recall[label]
    return f"without it recall of {label}: {100 * before:.1f} → {percent(after, digits=1)}"


def _numbers(labels: tuple[int, ...]) -> str:
    return ", ".join(map(str, labels))


def _draw_legend(sheet: FigureSheet, canvas: Pixels, record: NeuronsRecord, *, top: int) -> None:
    """What the hues, the bars and the grey line below each image stand for."""
    sheet.text(_MARGIN, top + _RAMP_HEIGHT / 2, "weight  −", size=13.5, color=SOFT_INK)
    left = _MARGIN + 146
    ramp = signed_colours(np.linspace(-1, 1, _RAMP_WIDTH))
    canvas[top : top + _RAMP_HEIGHT, left : left + _RAMP_WIDTH] = ramp
    end = left + _RAMP_WIDTH + 16
    kind = class_kind(record.class_names)
    scale = "+  each on its own scale, pixels that are never inked left white.   Grey line: strength among all."
    sheet.text(end, top + _RAMP_HEIGHT / 2, scale, size=13, color=SOFT_INK)
    bars = (
        f"Bars: share of each {kind}'s test images that turn it on, 0 to 100 %.   Small images: what excites it most."
    )
    sheet.text(_MARGIN, top + _RAMP_HEIGHT / 2 + 40, bars, size=13, color=SOFT_INK)
    if kind != "digit":
        names = ",  ".join(row_names(record.class_names))
        sheet.text(_MARGIN, top + _RAMP_HEIGHT / 2 + 78, names, size=13, color=SOFT_INK)
