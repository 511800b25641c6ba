"""The chapter on the answers: scores by class, the confusion matrix, and the confused images themselves."""

from __future__ import annotations

from dataclasses import replace

from accelmnist.analysis.evidence import MissingEvidence, RecomputedAnswers, class_means, images_of, likeness_of
from accelmnist.core.metrics import Metrics
from accelmnist.core.records import RunRecord
from accelmnist.show.document import Block, Figure, Gallery, Image, Matrix, Missing, Points, Section, Text, Tile
from accelmnist.show.figures.run import classes_figure
from accelmnist.show.render.pictures import DIGITS, Collector, panel_of
from accelmnist.show.report import sentences
from accelmnist.show.run_tables import class_names_of, classes_table, confusion_matrix, pairs_table
from accelmnist.show.units import percent

_PAIRS = 5  # shown with their images
_PAIR_IMAGES = 8
_MISTAKES = 24  # images that a cell of the matrix shows at most
_RIGHT = 8  # of a cell on the diagonal
_PAIRS_CAPTION = (
    "The most frequent mistakes. Below, the images of the first ones; the figure under each is the score of the wrong "
    "answer."
)


def answers_chapter(record: RunRecord, answers: RecomputedAnswers | MissingEvidence, collector: Collector) -> Section:
    """What the network says of the test images."""
    metrics, words = record.metrics, sentences.ClassWords(class_names_of(record))
    if metrics is None:
        missing = Missing(text="The test images were not classified: the run ended before that.")
        return Section(ident="answers", title="The answers", blocks=(missing,))
    blocks: list[Block] = [
        Text(text=sentences.accuracy_sentence(metrics), lead=True),
        Points(
            title="Observed",
            items=(
                *sentences.class_sentences(metrics, words),
                *sentences.confusion_sentences(metrics, words),
                *map(sentences.sentence, metrics.notes),
            ),
        ),
        _matrix(metrics, words, answers, collector),
    ]
    if isinstance(answers, RecomputedAnswers) and answers.moved:
        moved = (
            f"The images are those of a second evaluation, on the CPU in float32: {answers.moved:,} of them fall into "
            "another cell than in the record."
        )
        blocks.append(Text(text=moved))
    reference = None if record.reference is None else record.reference.metrics
    blocks += _pairs(metrics, words, answers, collector)
    blocks += [_class_figure(metrics, words), classes_table(metrics, words.names, reference)]
    return Section(ident="answers", title="The answers", blocks=tuple(blocks))


# --- the confusion matrix


def _matrix(
    metrics: Metrics, words: sentences.ClassWords, answers: RecomputedAnswers | MissingEvidence, collector: Collector
) -> Matrix:
    def label_of(number: int, predicted: int, actual: int) -> str:
        who = sentences.begun(words.counted(number, actual))
        return f"{who} recognized" if predicted == actual else f"{who} taken for {words.names[predicted]}"

    def tiles_of(predicted: int, actual: int) -> tuple[Tile, ...]:
        if isinstance(answers, MissingEvidence):
            return ()
        most = _RIGHT if predicted == actual else _MISTAKES
        chosen = images_of(answers, predicted, actual)[:most]
        return tuple(_tile(int(index), answers, words, collector) for index in chosen)

    gap = f"The images of its cells can't be shown: {answers.reason}." if isinstance(answers, MissingEvidence) else ""
    return confusion_matrix(metrics, words.names, label_of=label_of, tiles_of=tiles_of, gap=gap)


def _tile(index: int, evidence: RecomputedAnswers, words: sentences.ClassWords, collector: Collector) -> Tile:
    """A test image with what was said of it, and how sure the network was."""
    actual, predicted = int(evidence.labels[index]), int(evidence.predictions[index])
    score = f"{float(evidence.scores[index, predicted]):.2f}"
    answer = "recognized" if actual == predicted else f"taken for {words.names[predicted]}"
    alt = f"test image {index:,}, {words.one(actual)} {answer} with score {score}"
    return Tile(image=Image(DIGITS, collector.place(DIGITS, index), alt), caption=score)


# --- pairs


def _pairs(
    metrics: Metrics, words: sentences.ClassWords, answers: RecomputedAnswers | MissingEvidence, collector: Collector
) -> list[Block]:
    """The most confused pairs with their images and, as far as it shows, why."""
    if not metrics.confused_pairs:
        return []
    blocks: list[Block] = [replace(pairs_table(metrics.confused_pairs, metrics, words.names), caption=_PAIRS_CAPTION)]
    if isinstance(answers, MissingEvidence):
        return [*blocks, Missing(text=f"Images of the confused pairs can't be shown: {answers.reason}.")]
    means = class_means(answers, len(words.names))
    for pair in metrics.confused_pairs[:_PAIRS]:
        chosen = images_of(answers, pair.predicted, pair.actual)[:_PAIR_IMAGES]
        if len(chosen):
            caption = sentences.likeness_sentence(likeness_of(pair, answers, means), words)
            tiles = tuple(_tile(int(index), answers, words, collector) for index in chosen)
            blocks.append(Gallery(caption=caption, tiles=tiles))
    return blocks


def _class_figure(metrics: Metrics, words: sentences.ClassWords) -> Figure:
    """Recall and precision with their intervals."""
    return Figure(
        ident="class-scores",
        caption="Recall and precision of every class with their 95 % intervals.",
        alt="; ".join(
            f"{name}: recall {percent(scores.recall, digits=1)}, precision {percent(scores.precision, digits=1)}"
            for name, scores in zip(words.names, metrics.per_class, strict=True)
        ),
        panels=(panel_of(classes_figure(metrics, words.names), "class-scores"),),
    )
