"""The chapter on the training: what was decided before it, the learning curves, and where the time went."""

from __future__ import annotations

from accelmnist.core.records import EpochFigures, RunRecord
from accelmnist.show.document import Block, Cell, Column, Facts, Figure, Missing, Points, Section, Table, Text
from accelmnist.show.figures.curves import curve_panels
from accelmnist.show.render.pictures import panel_of
from accelmnist.show.report.observations import training_sentences
from accelmnist.show.run_tables import number
from accelmnist.show.units import fraction, percent, plural, rate, seconds, size

_ENDED = {
    "running": "The record is of a run that has not ended: what follows is as far as it came.",
    "interrupted": "The run was interrupted: what follows is as far as it came.",
    "diverged": "The training diverged: its loss stopped being finite, and its weights are of no use.",
    "failed": "The run failed: what follows is as far as it came.",
}


def training_chapter(record: RunRecord) -> Section:
    """How the network learned."""
    blocks: list[Block] = []
    if record.status in _ENDED:
        blocks.append(Missing(text=" ".join(filter(None, (_ENDED[record.status], record.message)))))
    blocks.append(Text(text=_lead(record), lead=True))
    blocks += [_curves(record)] if record.epochs else [Missing(text="No epoch was finished, so there are no curves.")]
    if observed := training_sentences(record):
        blocks.append(Points(title="Observed", items=observed))
    if record.epochs:
        blocks.append(_epochs(record))
    blocks.append(Facts(rows=_times(record)))
    return Section(ident="training", title="The training", blocks=tuple(blocks))


def _lead(record: RunRecord) -> str:
    timing = record.timing
    done = f"{len(record.epochs)} of {plural(record.config.training.epochs, 'epoch')}"
    speed = "" if timing.images_per_s is None else f", {rate(timing.images_per_s)}"
    return f"{done} took {seconds(timing.train_s)}{speed}."


def _curves(record: RunRecord) -> Figure:
    loss, accuracy = curve_panels(record)
    return Figure(
        ident="curves",
        caption="Learning curves: the loss that is minimized, and the share of images that are right, by epoch.",
        alt=" ".join(training_sentences(record)) or "Learning curves.",
        panels=(panel_of(loss, "curve-loss"), panel_of(accuracy, "curve-accuracy")),
    )


def _epochs(record: RunRecord) -> Table:
    held_out = record.data is not None and record.data.validation_images > 0
    return Table(
        ident="epochs",
        caption="The figures of every epoch: loss and speed over it, accuracy and learning rate at its end.",
        columns=(
            Column("epoch"),
            Column("training loss", True),
            Column("validation accuracy" if held_out else "training accuracy", True),
            Column("learning rate", True),
            Column("time", True),
            Column("images/s", True),
        ),
        rows=tuple(map(_epoch, record.epochs)),
    )


def _epoch(figures: EpochFigures) -> tuple[Cell, ...]:
    return (
        Cell(str(figures.epoch), figures.epoch),
        number(figures.train_loss, fraction(figures.train_loss)),
        number(figures.accuracy, percent(figures.accuracy)),
        number(figures.learning_rate, f"{figures.learning_rate:.3g}"),
        number(figures.train_s, seconds(figures.train_s)),
        number(figures.images_per_s, f"{figures.images_per_s:,.0f}"),
    )


def _times(record: RunRecord) -> tuple[tuple[str, str], ...]:
    timing = record.timing
    rows = (
        ("loading of the program", timing.import_s),
        ("loading of the data", timing.load_s),
        ("copy to the device", timing.upload_s),
        ("compiling", timing.compile_s),
        ("training", timing.train_s),
        ("evaluation", timing.evaluate_s),
        ("verification", timing.verify_s),
    )
    known = [(name, seconds(value)) for name, value in rows if value is not None]
    memory = [("peak memory", size(record.peak_memory_bytes))] if record.peak_memory_bytes is not None else []
    return (*known, *memory)
