"""What a network says of pictures, on the console: each picture beside ten bars, and the answer over them.

Softmax's scores are probabilities and shown in per cent. Those of sigmoid and linear outputs are not, so they are shown
as plain numbers and called scores, and their bars are drawn against the range of the targets: 0 to 1.
"""

from __future__ import annotations

from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from accelmnist.analysis.prediction import ModelSummary, Prediction
from accelmnist.core.config import Output
from accelmnist.data.picture import Picture
from accelmnist.show.digit import Digit
from accelmnist.show.names import row_names
from accelmnist.show.theme import GOOD, LABEL, STRONG, pairs, section
from accelmnist.show.units import fraction, percent

_BAR_WIDTH = 18
_MEANING: dict[Output, str] = {
    "softmax": "probabilities, which add up to 1",
    "sigmoid": "scores from 0 to 1, each class for itself: not probabilities",
    "linear": "scores, trained towards 0 and 1: not probabilities",
}


def format_model(model: ModelSummary) -> RenderableType:
    """Which network answers, and what its numbers mean."""
    rows = [
        ("network", f"{model.network}, {model.output} output, trained on {model.dataset}"),
        ("from", _origin(model)),
        ("numbers", _MEANING[model.output]),
    ]
    return section("Network", pairs(rows))


def format_answer(picture: Picture, prediction: Prediction, model: ModelSummary) -> RenderableType:
    """One picture: the answer, what was changed on the way to the network, the pixels that it saw, its ten scores."""
    notes = [Text(f"note: {note}", style=LABEL) for note in prediction.notes]
    body = Group(_answer(prediction, model), *notes, Text(), _side_by_side(picture, prediction, model))
    return section(prediction.source, body)


def print_model(model: ModelSummary, console: Console) -> None:
    """Print `format_model`."""
    console.print(format_model(model))


def print_answer(picture: Picture, prediction: Prediction, model: ModelSummary, console: Console) -> None:
    """Print `format_answer`."""
    console.print(format_answer(picture, prediction, model))


def _origin(model: ModelSummary) -> str:
    """The file that was named; else the folder that was found, and why it is this one."""
    if model.newest_in is None:
        return model.file
    sweep = " (a sweep's best)" if model.of_sweep else ""
    return f"the newest under {model.newest_in}/: {Path(model.file).parent}{sweep}"


def _answer(prediction: Prediction, model: ModelSummary) -> Text:
    best = prediction.scores[prediction.predicted]
    name = row_names(model.class_names)[prediction.predicted]
    kind = "probability" if model.output == "softmax" else "score"
    return Text.assemble("This is ", (name, STRONG), f": {kind} {_told(best, model)}")


def _side_by_side(picture: Picture, prediction: Prediction, model: ModelSummary) -> RenderableType:
    grid = Table.grid(padding=(0, 3))
    grid.add_row(Digit(picture.pixels), _bars(prediction, model))
    return grid


def _bars(prediction: Prediction, model: ModelSummary) -> Table:
    """The score of every class as a bar over 0 to 1 and as a number, the answer marked."""
    bars = Table.grid(padding=(0, 1))
    for label, (name, score) in enumerate(zip(row_names(model.class_names), prediction.scores, strict=True)):
        style = GOOD if label == prediction.predicted else ""
        bar = "━" * round(_BAR_WIDTH * min(max(score, 0.0), 1.0))
        bars.add_row(Text(name, style), Text(bar.ljust(_BAR_WIDTH), style), Text(_told(score, model), style))
    bars.columns[2].justify = "right"
    return bars


def _told(score: float, model: ModelSummary) -> str:
    return percent(score) if model.output == "softmax" else fraction(score, digits=3)
