"""One neuron's card in the atlas: its weights in two hues, bars by class, its strength, exciting images and words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelmnist.analysis.neurons.record import Neuron, NeuronsRecord
from accelmnist.core.config import IMAGE_SIDE
from accelmnist.show.figures.sheet import FigureSheet
from accelmnist.show.figures.style import BLUE, INK, SOFT_INK
from accelmnist.show.units import percent

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

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Card:
    """A neuron with its picture, uint8 (28, 28, 3), and those that excite it most, uint8 (k, 28, 28).

    `strength` is its own over the largest of all, 0 to 1.
    """

    neuron: Neuron
    picture: Pixels
    exciting: Pixels
    strength: float


def draw_card(sheet: FigureSheet, canvas: Pixels, record: NeuronsRecord, card: Card, *, left: int, top: int) -> None:
    """Draw `card` with its corner at (left, top): pixels on `canvas`, uint8 (h, w, 3), and words on `sheet`."""
    _paste_picture(canvas, card, left, top)
    _paste_bars(canvas, card.neuron, left + _BARS_LEFT, top + _TOP)
    _paste_exciting(canvas, card.exciting, left + _BARS_LEFT, top + _EXCITING_TOP)
    sheet.text(left, top + 20, str(card.neuron.index), size=16, weight="bold")
    sheet.text(left + 100, top + 20, _title(card.neuron), size=15)
    for label in range(len(record.class_names)):
        middle = left + _BARS_LEFT + label * _PITCH + _BAR / 2
        is_own = label in card.neuron.task.classes
        style = {"color": INK if is_own else SOFT_INK, "weight": "bold" if is_own else "normal"}
        sheet.text(middle, top + _TOP + _BARS_HEIGHT + 18, str(label), size=13, ha="center", **style)
    for row, line in enumerate(_lines(record, card.neuron)):
        sheet.text(left, top + _WORDS_TOP + row * _LINE, line, size=12.5, color=SOFT_INK)


def _paste_picture(canvas: Pixels, card: Card, left: int, top: int) -> None:
    enlarged = card.picture.repeat(_ZOOM, axis=0).repeat(_ZOOM, axis=1)
    canvas[top + _TOP : top + _TOP + _IMAGE, left : left + _IMAGE] = enlarged
    _frame(canvas, left, top + _TOP, _IMAGE, _IMAGE)
    bar = canvas[top + _STRENGTH_TOP : top + _STRENGTH_TOP + 10, left : left + _IMAGE]
    bar[:] = (236, 236, 236)
    bar[:, : round(_IMAGE * card.strength)] = (96, 96, 96)


def _paste_bars(canvas: Pixels, neuron: Neuron, left: int, top: int) -> None:
    """The share of each class's images that turn it on, 0 to 1 from the bottom to the top; its own classes are blue."""
    for label, share in enumerate(neuron.activation.share_on):
        at = left + label * _PITCH
        canvas[top : top + _BARS_HEIGHT, at : at + _BAR] = (244, 244, 244)
        filled = round(share * _BARS_HEIGHT)
        colour = _rgb(BLUE) if label in neuron.task.classes else _PALE
        canvas[top + _BARS_HEIGHT - filled : top + _BARS_HEIGHT, at : at + _BAR] = colour
    canvas[top + _BARS_HEIGHT : top + _BARS_HEIGHT + 2, left : left + 9 * _PITCH + _BAR] = _rgb(SOFT_INK)


def _paste_exciting(canvas: Pixels, exciting: Pixels, left: int, top: int) -> None:
    side = IMAGE_SIDE * _EXCITING_ZOOM
    for column, image in enumerate(exciting):
        at = left + column * (side + 12)
        enlarged = 255 - image.repeat(_EXCITING_ZOOM, axis=0).repeat(_EXCITING_ZOOM, axis=1)
        canvas[top : top + side, at : at + side] = enlarged[:, :, None]
        _frame(canvas, at, top, side, side)


def _frame(canvas: Pixels, left: int, top: int, width: int, height: int) -> None:
    right, bottom = left + width - 1, top + height - 1
    canvas[[top, bottom], left : right + 1] = _RULE
    canvas[top : bottom + 1, [left, right]] = _RULE


def _title(neuron: Neuron) -> str:
    if neuron.status == "dead":
        return "dead"
    if neuron.duplicate_of is not None:
        return f"the same as {neuron.duplicate_of}"
    if neuron.task.certainty == "none":
        return "no clear task"
    clear = neuron.task.certainty == "clear"
    verb = {"on": "answers for" if clear else "leans to", "off": "all but" if clear else "leans away from"}
    return f"{verb[neuron.task.sense]} {_numbers(neuron.task.classes)}"


def _lines(record: NeuronsRecord, neuron: Neuron) -> list[str]:
    return [line for line in (_shares(record, neuron), _argument(record, neuron), _missed(record, neuron)) if line]


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


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
