"""The neurons on the console: what they are like as a whole, and the clearest ones each with its sentence."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from accelmnist.analysis.neurons.record import Neuron, NeuronsRecord
from accelmnist.show.theme import GOOD, LABEL, STRONG, UNSURE, pairs, section
from accelmnist.show.units import count, fraction, percent, plural, seconds, significant

_BLOCKS = " ▁▂▃▄▅▆▇█"
_ASCII = " .:-=+*#%@"
_STYLES = {"clear": GOOD, "leaning": UNSURE, "none": LABEL}


def print_neurons(record: NeuronsRecord, console: Console, *, top: int, folder: Path | None) -> None:
    """Print the summary, and the first `top` neurons in the order of the atlas."""
    console.print(section("Neurons" if record.rows == "hidden" else "Outputs", _whole(record)))
    shown = [record.neurons[index] for index in record.order[:top]]
    console.print(section(_title(record, len(shown)), _rows(record, shown, ascii_only=console.options.ascii_only)))
    if folder is not None and record.files:
        console.print(section("Files", _files(record, folder)))


def _whole(record: NeuronsRecord) -> RenderableType:
    network = f"{record.network}, {record.network.activation}, trained on {record.dataset}"
    if record.rows == "output":
        network = f"{record.network}, trained on {record.dataset}"
    accuracy = f"{percent(record.accuracy)} of {plural(record.test_images, 'test image')}"
    rows = [("network", network), ("accuracy", accuracy), ("took", seconds(record.analysis_s))]
    if record.ablation_images < record.test_images:
        rows.insert(2, ("taken away", f"on {count(record.ablation_images)} of the test images"))
    facts = pairs(rows)
    return Group(facts, Text(), *(Text(f"{sentence}.") for sentence in record.summary))


def _title(record: NeuronsRecord, shown: int) -> str:
    if shown == len(record.neurons):
        return "Each of them"
    return f"The clearest {count(shown)} of {count(len(record.neurons))}"


def _rows(record: NeuronsRecord, neurons: list[Neuron], *, ascii_only: bool) -> Table:
    """A row each: its number and figures, ten bars of the shares of images that turn it on, and its sentence."""
    grid = Table.grid(padding=(0, 2))
    for heading, justify in (("number", "right"), ("bars", "left"), ("sentence", "left")):
        grid.add_column(heading, justify="right" if justify == "right" else "left", no_wrap=heading != "sentence")
    grid.add_row(Text("#", STRONG), Text(_initials(record), STRONG), Text("on for, by class", LABEL))
    for neuron in neurons:
        style = _STYLES[neuron.task.certainty]
        text = Text(neuron.sentence.partition(f" {neuron.index} ")[2])
        text.append(f"\n{_figures(neuron)}", LABEL)
        grid.add_row(Text(str(neuron.index), STRONG), Text(_bars(neuron, ascii_only=ascii_only), style), text)
    return grid


def _initials(record: NeuronsRecord) -> str:
    """The ten columns of the bars: digits by themselves, other classes by their number."""
    return "".join(str(label) for label in range(len(record.class_names)))


def _bars(neuron: Neuron, *, ascii_only: bool) -> str:
    ramp = _ASCII if ascii_only else _BLOCKS
    return "".join(ramp[round(share * (len(ramp) - 1))] for share in neuron.activation.share_on)


def _figures(neuron: Neuron) -> str:
    parts = [
        f"selectivity {fraction(neuron.selectivity, digits=2)}",
        f"clarity {fraction(neuron.clarity, digits=2)}",
        f"strength {significant(neuron.strength, 2)}",
    ]
    return ", ".join(parts)


def _files(record: NeuronsRecord, folder: Path) -> RenderableType:
    top = [name for name in record.files if "/" not in name]
    below = len(record.files) - len(top)
    more = f", neurons/ ({plural(below, 'file')})" if below else ""
    return Group(Text(str(folder), style=STRONG, overflow="fold"), Text(", ".join(top) + more, style=LABEL))
