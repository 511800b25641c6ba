"""The first chapters: the question, the data and its split, the method, and the training."""

from __future__ import annotations

import numpy as np

from accelmnist.analysis.evidence import RecomputedAnswers, class_means
from accelmnist.core.records import DataSummary, EpochFigures, RunRecord
from accelmnist.show.document import (
    Block,
    Cell,
    Column,
    Facts,
    Figure,
    Gallery,
    Image,
    Missing,
    Points,
    Section,
    Table,
    Text,
    Tile,
)
from accelmnist.show.figures.curves import curve_panels
from accelmnist.show.plan import plan_rows
from accelmnist.show.render.pictures import DIGITS, Collector, panel_of
from accelmnist.show.report.observations import training_sentences
from accelmnist.show.report.sources import Sources
from accelmnist.show.report.words import ClassWords
from accelmnist.show.run_tables import class_names_of, number
from accelmnist.show.units import count, fraction, percent, plural, rate, seconds, size

_LOSSES = {
    "softmax": "softmax outputs and cross-entropy",
    "sigmoid": "a sigmoid for each output and binary cross-entropy",
    "linear": "linear outputs and squared error",
}
_SCHEDULES = {
    "constant": "a constant learning rate",
    "cosine": "a learning rate that falls as half a cosine",
    "one-cycle": "a learning rate that rises once and falls to almost zero",
}


def question_chapter(sources: Sources) -> Section:
    """What is asked, as far as the records answer it."""
    asked = []
    if sources.sweep is not None:
        asked.append("Which network is best: how large, how deep, with which activation and which outputs?")
    if sources.bench is not None:
        asked.append("Which way of running is the fastest here, is its result right, and what holds it back?")
    if sources.run is not None:
        asked += [
            "How well does the network classify images that it has never seen, and what does it confuse?",
            "What has each neuron of its first layer become, and what is it responsible for?",
            "Is the result right, held against the same training by other means?",
        ]
    lead = (
        "A small network, a multilayer perceptron, is to tell from 28 by 28 grey pixels which of ten classes they show."
    )
    return Section(
        ident="question",
        title="The question",
        blocks=(Text(text=lead, lead=True), Points(title="Asked", items=tuple(asked))),
    )


# --- data


def data_chapter(record: RunRecord, evidence: RecomputedAnswers | None, collector: Collector) -> Section | None:
    """Where the images come from and which serve for what; one typical image of every class."""
    data = record.data
    if data is None:
        return None
    blocks: list[Block] = [Text(text=_split(data), lead=True), Facts(rows=_data_rows(record, data))]
    if evidence is not None:
        blocks.append(_typical(evidence, ClassWords(class_names_of(record)), collector))
    return Section(ident="data", title="The data", blocks=tuple(blocks))


def _split(data: DataSummary) -> str:
    held_out = (
        f"{count(data.validation_images)} training images, the same share of every class, were held out to watch the "
        "training and to choose by"
        if data.validation_images
        else "no training image was held out, so nothing was chosen while it trained"
    )
    return (
        f"The network was trained on {count(data.training_images)} images of {data.dataset}; {held_out}. The "
        f"{count(data.test_images)} test images took no part: they were classified once, at the end."
    )


def _data_rows(record: RunRecord, data: DataSummary) -> tuple[tuple[str, str], ...]:
    rows = [
        ("data set", data.dataset),
        ("source", data.source),
        ("training images", count(data.training_images)),
        ("validation images", count(data.validation_images)),
        ("test images", count(data.test_images)),
    ]
    if record.metrics is not None:
        supports = [scores.support for scores in record.metrics.per_class]
        ends = dict.fromkeys((f"{min(supports):,}", f"{max(supports):,}"))
        rows.append(("test images of a class", " to ".join(ends)))
    return tuple(rows)


def _typical(evidence: RecomputedAnswers, words: ClassWords, collector: Collector) -> Gallery:
    """The test image of every class that is nearest to the mean of its class."""
    means = class_means(evidence, len(words.names))
    tiles = []
    for label, name in enumerate(words.names):
        places = np.flatnonzero(evidence.labels == label)
        if len(places):
            nearest = int(places[np.linalg.norm(evidence.images[places] - means[label], axis=1).argmin()])
            image = Image(DIGITS, collector.place(DIGITS, nearest), f"test image {nearest:,}, a typical {name}")
            tiles.append(Tile(image=image, caption=name))
    return Gallery(
        caption="The test image of every class that is nearest to the mean of its class.", tiles=tuple(tiles)
    )


# --- method


def method_chapter(record: RunRecord) -> Section:
    """The network, its training, and how it is scored."""
    return Section(
        ident="method",
        title="The method",
        blocks=(
            Text(text=_network(record), lead=True),
            Text(text=_training(record)),
            Text(text=_scoring()),
            Facts(rows=plan_rows(record)),
        ),
    )


def _network(record: RunRecord) -> str:
    model = record.config.model
    layers = (
        f"{plural(len(model.hidden), 'hidden layer')} of {' and '.join(map(str, model.hidden))} units "
        f"({model.activation})"
        if model.hidden
        else "no hidden layer: this is softmax regression"
        if model.output == "softmax"
        else "no hidden layer"
    )
    return (
        f"The network {model} has 784 inputs, one a pixel, {layers}, and 10 outputs, one a class: "
        f"{model.parameters:,} parameters in all. It uses {_LOSSES[model.output]}; the largest output is the answer."
    )


def _training(record: RunRecord) -> str:
    training = record.config.training
    smoothing = f", with label smoothing of {training.label_smoothing:g}" if training.label_smoothing else ""
    dropout = f" and dropout of {percent(record.config.model.dropout, digits=0)}" if record.config.model.dropout else ""
    return (
        f"It was trained for {plural(training.epochs, 'epoch')} by {training.optimizer} in batches of "
        f"{training.batch_size}, with {_SCHEDULES[training.schedule]}, at most {training.learning_rate:g}"
        f"{smoothing}{dropout}. One seed, {training.seed}, fixes the first weights and the order of the images."
    )


def _scoring() -> str:
    return (
        "Recall is the share of a class that is recognized, precision the share of an answer that is right, F1 their "
        "harmonic mean; macro means count every class alike. Intervals of shares are Wilson's, 95 %: they say how much "
        "other test images would move them, not how much another training would."
    )


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
