"""The chapter on the answers: scores by class, the confusion matrix, and the confused images themselves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from accelmnist.analysis.evidence.answers import MissingEvidence, RecomputedAnswers
from accelmnist.analysis.evidence.confusions import class_means, images_of, likeness_of
from accelmnist.core.metrics import ConfusedPair, Metrics
from accelmnist.core.records import RunRecord
from accelmnist.show.heat import EMPTY, cell_colours, hex_colour, ink_on
from accelmnist.show.names import row_names
from accelmnist.show.report.class_scores import class_figure, class_table
from accelmnist.show.report.document import (
    Block,
    Cell,
    Chapter,
    Column,
    Gallery,
    Image,
    Matrix,
    MatrixCell,
    Missing,
    Points,
    Table,
    Text,
    Tile,
)
from accelmnist.show.report.observations import (
    accuracy_sentence,
    class_sentences,
    confusion_sentences,
    likeness_sentence,
)
from accelmnist.show.report.opening import DIGITS
from accelmnist.show.report.pictures import Collector
from accelmnist.show.report.words import ClassWords, begun, class_names_of, sentence
from accelmnist.show.units import count, percent

_PAIRS = 5  # shown with their images
_PAIR_IMAGES = 8
_MISTAKES = 24  # images that a cell of the matrix shows at most
_RIGHT = 8  # of a cell on the diagonal


def answers_chapter(record: RunRecord, found: RecomputedAnswers | MissingEvidence, collector: Collector) -> Chapter:
    """What the network says of the test images."""
    metrics, words = record.metrics, ClassWords(class_names_of(record))
    if metrics is None:
        missing = Missing(text="The test images were not classified: the run ended before that.")
        return Chapter(ident="answers", title="The answers", blocks=(missing,))
    blocks: list[Block] = [
        Text(text=accuracy_sentence(metrics), lead=True),
        Points(
            title="Observed",
            items=(
                *class_sentences(metrics, words),
                *confusion_sentences(metrics, words),
                *map(sentence, metrics.notes),
            ),
        ),
        _matrix(metrics, words, found, collector),
        *_moved(found),
        *_pairs(metrics, words, found, collector),
        class_figure(metrics, words),
        class_table(record, metrics, words),
    ]
    return Chapter(ident="answers", title="The answers", blocks=tuple(blocks))


# --- the confusion matrix


def _matrix(
    metrics: Metrics, words: ClassWords, found: RecomputedAnswers | MissingEvidence, collector: Collector
) -> Matrix:
    counts = np.array(metrics.confusion_matrix, dtype=np.int64)
    colours = cell_colours(counts)
    cells = tuple(
        tuple(
            _cell(int(counts[row, column]), colours[row][column], row, column, words, found, collector)
            for column in range(len(counts))
        )
        for row in range(len(counts))
    )
    return Matrix(
        caption=f"Confusion matrix: a row for each predicted {words.kind}, a column for each actual one. Mistakes are "
        "coloured by their share of the column, on a logarithmic scale.",
        names=words.names,
        class_kind=words.kind,
        cells=cells,
        precision=tuple(percent(scores.precision, digits=1) for scores in metrics.per_class),
        recall=tuple(percent(scores.recall, digits=1) for scores in metrics.per_class),
        accuracy=percent(metrics.accuracy),
        gap=_gap_text(found),
    )


def _moved(found: RecomputedAnswers | MissingEvidence) -> list[Block]:
    """Says so where the images are not quite those of the record's counts."""
    if isinstance(found, MissingEvidence) or found.moved == 0:
        return []
    return [
        Text(
            text=f"The images are those of a second evaluation, on the CPU in float32: {found.moved:,} of them fall "
            "into another cell than in the record."
        )
    ]


def _gap_text(found: RecomputedAnswers | MissingEvidence) -> str:
    return f"The images of its cells can't be shown: {found.reason}." if isinstance(found, MissingEvidence) else ""


def _cell(
    number_of: int,
    background: tuple[int, int, int],
    predicted: int,
    actual: int,
    words: ClassWords,
    found: RecomputedAnswers | MissingEvidence,
    collector: Collector,
) -> MatrixCell:
    is_right = predicted == actual
    who = begun(words.counted(number_of, actual))
    label = f"{who} recognized" if is_right else f"{who} taken for {words.names[predicted]}"
    most = _RIGHT if is_right else _MISTAKES
    places = (
        [] if isinstance(found, MissingEvidence) or number_of == 0 else list(images_of(found, predicted, actual)[:most])
    )
    tiles = (
        ()
        if isinstance(found, MissingEvidence)
        else tuple(_tile(int(place), found, words, collector) for place in places)
    )
    return MatrixCell(
        count=number_of,
        background="" if background == EMPTY else hex_colour(background),
        ink="" if background == EMPTY else hex_colour(ink_on(background)),
        label=label,
        tiles=tiles,
    )


def _tile(place: int, evidence: RecomputedAnswers, words: ClassWords, collector: Collector) -> Tile:
    """A test image with what was said of it, and how sure the network was."""
    actual, predicted = int(evidence.labels[place]), int(evidence.predictions[place])
    score = f"{float(evidence.scores[place, predicted]):.2f}"
    said = "recognized" if actual == predicted else f"taken for {words.names[predicted]}"
    return Tile(
        image=Image(
            DIGITS,
            collector.place(DIGITS, place),
            f"test image {place:,}, {words.one(actual)} {said} with score {score}",
        ),
        caption=score,
    )


# --- pairs


def _pairs(
    metrics: Metrics, words: ClassWords, found: RecomputedAnswers | MissingEvidence, collector: Collector
) -> list[Block]:
    """The most confused pairs with their images and, as far as it shows, why."""
    if not metrics.confused_pairs:
        return []
    blocks: list[Block] = [_pair_table(metrics, words)]
    if isinstance(found, MissingEvidence):
        return [*blocks, Missing(text=f"Images of the confused pairs can't be shown: {found.reason}.")]
    means = class_means(found, len(words.names))
    shown = [pair for pair in metrics.confused_pairs[:_PAIRS] if len(images_of(found, pair.predicted, pair.actual))]
    return [*blocks, *(_pair(pair, found, means, words, collector) for pair in shown)]


def _pair(
    pair: ConfusedPair, evidence: RecomputedAnswers, means: NDArray[np.float64], words: ClassWords, collector: Collector
) -> Gallery:
    places = images_of(evidence, pair.predicted, pair.actual)[:_PAIR_IMAGES]
    return Gallery(
        caption=likeness_sentence(likeness_of(pair, evidence, means), words),
        tiles=tuple(_tile(int(place), evidence, words, collector) for place in places),
    )


def _pair_table(metrics: Metrics, words: ClassWords) -> Table:
    names = row_names(words.names)
    wrong = metrics.images - sum(row[label] for label, row in enumerate(metrics.confusion_matrix))
    return Table(
        ident="pairs",
        caption="The most frequent mistakes. Below, the images of the first ones; the figure under each is the score "
        "of the wrong answer.",
        columns=(
            Column("actual"),
            Column("taken for"),
            Column("images", True),
            Column(f"of the {words.kind}", True),
            Column("of all mistakes", True),
        ),
        rows=tuple(
            (
                Cell(names[pair.actual], pair.actual),
                Cell(names[pair.predicted], pair.predicted),
                Cell(count(pair.count), pair.count),
                _share(pair.count, metrics.per_class[pair.actual].support),
                _share(pair.count, wrong),
            )
            for pair in metrics.confused_pairs
        ),
    )


def _share(part: int, whole: int) -> Cell:
    share = part / max(whole, 1)
    return Cell(percent(share, digits=1), share)
