"""The neurons on the console: what they are like as a whole, and the clearest ones each with its sentence."""

from __future__ import annotations

from pathlib import Path

from accelmnist.analysis.neurons.record import Neuron, NeuronsRecord
from accelmnist.show.document import Block, Cell, Column, Document, Facts, Points, Section, Table, Tone
from accelmnist.show.files import files_section
from accelmnist.show.units import count, fraction, percent, plural, seconds, significant

_BLOCKS = " ▁▂▃▄▅▆▇█"
_TONES: dict[str, Tone] = {"clear": "good", "leaning": "unsure", "none": "faint"}


def neurons_page(record: NeuronsRecord, *, top: int, folder: Path | None) -> Document:
    """The summary, and the first `top` neurons in the order of the atlas. `folder` is where the files lie."""
    shown = [record.neurons[index] for index in record.order[:top]]
    sections = [
        Section(title="Neurons" if record.rows == "hidden" else "Outputs", blocks=_summary(record)),
        Section(title=_title(record, len(shown)), blocks=(_table(record, shown),)),
    ]
    if folder is not None and record.files:
        sections.append(files_section(folder, record.files))
    return Document(tuple(sections))


def _summary(record: NeuronsRecord) -> tuple[Block, ...]:
    activation = "" if record.rows == "output" else f", {record.network.activation}"
    rows = [
        ("network", f"{record.network}{activation}, trained on {record.dataset}"),
        ("accuracy", f"{percent(record.accuracy)} of {plural(record.test_images, 'test image')}"),
        ("took", seconds(record.analysis_s)),
    ]
    if record.ablation_images < record.test_images:
        rows.insert(2, ("taken away", f"on {count(record.ablation_images)} of the test images"))
    sentences = tuple(f"{sentence}." for sentence in record.summary)
    return (Facts(rows=tuple(rows)), *([Points(items=sentences)] if sentences else []))


def _title(record: NeuronsRecord, shown: int) -> str:
    if shown == len(record.neurons):
        return "Each of them"
    return f"The clearest {count(shown)} of {count(len(record.neurons))}"


def _table(record: NeuronsRecord, neurons: list[Neuron]) -> Table:
    """A row each: its number, a bar for each class of the share of images that turn it on, its sentence and figures."""
    columns = (
        Column("#", True, role="name"),
        Column("".join(map(str, range(len(record.class_names)))), role="name"),
        Column("on for, by class"),
    )
    rows = tuple(
        (
            Cell(str(neuron.index), tone="strong"),
            Cell(_bars(neuron), tone=_TONES[neuron.task.certainty]),
            Cell(neuron.sentence.partition(f" {neuron.index} ")[2], details=(_figures(neuron),)),
        )
        for neuron in neurons
    )
    return Table(ident="neurons", caption="The neurons.", columns=columns, rows=rows)


def _bars(neuron: Neuron) -> str:
    return "".join(_BLOCKS[round(share * (len(_BLOCKS) - 1))] for share in neuron.activation.share_on)


def _figures(neuron: Neuron) -> str:
    parts = [
        f"selectivity {fraction(neuron.selectivity, digits=2)}",
        f"clarity {fraction(neuron.clarity, digits=2)}",
        f"strength {significant(neuron.strength, 2)}",
    ]
    return ", ".join(parts)
