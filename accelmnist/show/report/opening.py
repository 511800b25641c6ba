"""The first chapters: the question, the data and its split, the method, and the training."""

from __future__ import annotations

import numpy as np

from accelmnist.analysis.evidence import RecomputedAnswers, class_means
from accelmnist.core.records import DataSummary, RunRecord
from accelmnist.show import document as doc
from accelmnist.show.figures.run import curve_panels
from accelmnist.show.render.pictures import DIGITS, Collector, panel_of
from accelmnist.show.report.sentences import training_sentences
from accelmnist.show.report.sources import Sources
from accelmnist.show.run_tables import class_names_of, number, plan_rows
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


_ENDED = {
    "running": "The record is of a run that has not ended: what follows is as far as it came.",
    "interrupted": "The run was interrupted: what follows is as far as it came.",
    "diverged": "The training diverged: its loss stopped being finite, and its weights are of no use.",
    "failed": "The run failed: what follows is as far as it came.",
}
_SCORING = (
    "Recall is the share of a class that is recognized, precision the share of an answer that is right, F1 their "
    "harmonic mean; macro means count every class alike. Intervals of shares are Wilson's, 95 %: they say how much "
    "other test images would move them, not how much another training would."
)


def question_chapter(sources: Sources) -> doc.Section:
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
    blocks = (doc.Text(text=lead, lead=True), doc.Points(title="Asked", items=tuple(asked)))
    return doc.Section(ident="question", title="The question", blocks=blocks)


# --- data


def data_chapter(record: RunRecord, evidence: RecomputedAnswers | None, collector: Collector) -> doc.Section | None:
    """Where the images come from and which serve for what; one typical image of every class."""
    data = record.data
    if data is None:
        return None
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
    blocks: list[doc.Block] = [doc.Text(text=_split(data), lead=True), doc.Facts(rows=tuple(rows))]
    if evidence is not None:
        blocks.append(_typical(evidence, class_names_of(record), collector))
    return doc.Section(ident="data", title="The data", blocks=tuple(blocks))


def _split(data: DataSummary) -> str:
    held_out = "no training image was held out, so nothing was chosen while it trained"
    if data.validation_images:
        held_out = (
            f"{count(data.validation_images)} training images, the same share of every class, were held out to watch "
            "the training and to choose by"
        )
    return (
        f"The network was trained on {count(data.training_images)} images of {data.dataset}; {held_out}. The "
        f"{count(data.test_images)} test images took no part: they were classified once, at the end."
    )


def _typical(evidence: RecomputedAnswers, names: tuple[str, ...], collector: Collector) -> doc.Gallery:
    means = class_means(evidence, len(names))
    tiles = []
    for label, name in enumerate(names):
        places = np.flatnonzero(evidence.labels == label)
        if len(places):
            nearest = int(places[np.linalg.norm(evidence.images[places] - means[label], axis=1).argmin()])
            image = doc.Image(DIGITS, collector.place(DIGITS, nearest), f"test image {nearest:,}, a typical {name}")
            tiles.append(doc.Tile(image=image, caption=name))
    caption = "The test image of every class that is nearest to the mean of its class."
    return doc.Gallery(caption=caption, tiles=tuple(tiles))


# --- method


def method_chapter(record: RunRecord) -> doc.Section:
    """The network, its training, and how it is scored."""
    lead = doc.Text(text=_network(record), lead=True)
    blocks = (lead, doc.Text(text=_training(record)), doc.Text(text=_SCORING), doc.Facts(rows=plan_rows(record)))
    return doc.Section(ident="method", title="The method", blocks=blocks)


def _network(record: RunRecord) -> str:
    model = record.config.model
    layers = "no hidden layer: this is softmax regression" if model.output == "softmax" else "no hidden layer"
    if model.hidden:
        units = " and ".join(map(str, model.hidden))
        layers = f"{plural(len(model.hidden), 'hidden layer')} of {units} units ({model.activation})"
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


# --- training


def training_chapter(record: RunRecord) -> doc.Section:
    """How the network learned."""
    blocks: list[doc.Block] = []
    if record.status in _ENDED:
        blocks.append(doc.Missing(text=" ".join(filter(None, (_ENDED[record.status], record.message)))))
    speed = "" if record.timing.images_per_s is None else f", {rate(record.timing.images_per_s)}"
    done = f"{len(record.epochs)} of {plural(record.config.training.epochs, 'epoch')}"
    blocks.append(doc.Text(text=f"{done} took {seconds(record.timing.train_s)}{speed}.", lead=True))
    observed = training_sentences(record)
    if record.epochs:
        figure = doc.Figure(
            ident="curves",
            caption="Learning curves: the loss that is minimized, and the share of images that are right, by epoch.",
            alt=" ".join(observed) or "Learning curves.",
            panels=tuple(map(panel_of, curve_panels(record), ("curve-loss", "curve-accuracy"))),
        )
        blocks.append(figure)
    else:
        blocks.append(doc.Missing(text="No epoch was finished, so there are no curves."))
    blocks += [doc.Points(title="Observed", items=observed)] if observed else []
    blocks += [_epochs(record)] if record.epochs else []
    blocks.append(doc.Facts(rows=_costs(record)))
    return doc.Section(ident="training", title="The training", blocks=tuple(blocks))


def _epochs(record: RunRecord) -> doc.Table:
    held_out = record.data is not None and record.data.validation_images > 0
    accuracy = "validation accuracy" if held_out else "training accuracy"
    headings = ("training loss", accuracy, "learning rate", "time", "images/s")
    return doc.Table(
        ident="epochs",
        caption="The figures of every epoch: loss and speed over it, accuracy and learning rate at its end.",
        columns=(doc.Column("epoch"), *(doc.Column(heading, True) for heading in headings)),
        rows=tuple(
            (
                doc.Cell(str(epoch.epoch), epoch.epoch),
                number(epoch.train_loss, fraction(epoch.train_loss)),
                number(epoch.accuracy, percent(epoch.accuracy)),
                number(epoch.learning_rate, f"{epoch.learning_rate:.3g}"),
                number(epoch.train_s, seconds(epoch.train_s)),
                number(epoch.images_per_s, f"{epoch.images_per_s:,.0f}"),
            )
            for epoch in record.epochs
        ),
    )


def _costs(record: RunRecord) -> tuple[tuple[str, str], ...]:
    """The time of each part, and the memory, as far as they are known."""
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
