"""Sentences on what a network gets right and wrong, from its confusion matrix and the images, and their words.

A sentence claims no more than its figures: an order of digits only if their intervals are apart, a reason only if
Fisher's exact test finds one, and if images are few it says so.
"""

from __future__ import annotations

import math

from accelmnist.analysis.evidence import Likeness, Trait
from accelmnist.analysis.neurons.sentences import ClassWords as NeuronWords
from accelmnist.core.metrics import ClassScores, Metrics, intervals_overlap, wilson_interval
from accelmnist.core.records import EpochFigures, RunRecord
from accelmnist.show.units import class_kind, percent, plural

_FEW = 10  # images, below which a sentence says so
_ALIKE = 10  # pairs of classes that count as alike, of 45


class ClassWords:
    """How the classes of one data set are spoken of."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.kind = class_kind(names)
        self.are_digits = self.kind == "digit"

    def many(self, label: int) -> str:
        """Several images of a class: "nines"."""
        return NeuronWords(self.names).images((label,)).removeprefix("the ")

    def counted(self, number: int, label: int) -> str:
        """So many images of a class: "no nines", "a 9", "2 nines"."""
        if number == 1:
            return self.one(label)
        return f"{number:,} {self.many(label)}" if number else f"no {self.many(label)}"

    def one(self, label: int) -> str:
        """One image of a class: "a 9"."""
        name = self.names[label]
        return f"{'an' if name == '8' or name[:1] in 'AEIOUaeiou' else 'a'} {name}"


def _interval_text(hits: int, total: int, *, digits: int = 1) -> str:
    """The 95 % interval of a share, in percent: "98.2 to 98.7 %"."""
    low, high = wilson_interval(hits, total)
    return f"{100 * low:.{digits}f} to {100 * high:.{digits}f} %"


def sentence(text: str) -> str:
    """A finding of a record as a sentence: with a capital letter and a full stop."""
    return begun(text) if text.endswith((".", "!", "?")) else f"{begun(text)}."


def begun(text: str) -> str:
    """The text with a capital letter."""
    return text[:1].upper() + text[1:]


# --- all answers


def accuracy_sentence(metrics: Metrics) -> str:
    """How many are right, and how sure the share is."""
    return (
        f"{metrics.right:,} of {metrics.images:,} test images are classified rightly: {percent(metrics.accuracy)}, "
        f"95 % interval {_interval_text(metrics.right, metrics.images, digits=2)}."
    )


def seed_sentences(record: RunRecord) -> tuple[str, ...]:
    """What all seeds of a run say together, if it trained several."""
    trials = record.trials
    if trials is None or trials.accuracy is None or trials.accuracy.low is None or trials.accuracy.high is None:
        return ()
    spread = trials.accuracy
    return (
        f"That is seed {record.config.training.seed}; over {len(trials.trials)} seeds the mean is "
        f"{percent(spread.mean)}, 95 % interval {percent(spread.low)} to {percent(spread.high)}.",
    )


# --- classes


def class_sentences(metrics: Metrics, words: ClassWords) -> tuple[str, ...]:
    """The strongest and the weakest class by recall, and the answer that is wrong most often."""
    present = [scores for scores in metrics.per_class if scores.support > 0]
    if len(present) < 2:
        return ()
    best, worst = max(present, key=lambda scores: scores.recall), min(present, key=lambda scores: scores.recall)
    sentences = [_extremes(best, worst, words)]
    answered = sorted((scores for scores in present if scores.predicted > 0), key=lambda scores: scores.precision)
    if answered and answered[0].precision < 1:
        sentences.append(_least_trusted(answered, words))
    return tuple(sentences)


def _least_trusted(answered: list[ClassScores], words: ClassWords) -> str:
    """The first of `answered`, and whether its interval overlaps the next one's."""
    least, *others = answered
    wrong, hedge = least.predicted - round(least.precision * least.predicted), ""
    intervals = [
        wilson_interval(round(scores.precision * scores.predicted), scores.predicted) for scores in answered[:2]
    ]
    if others and intervals_overlap(*intervals):
        hedge = f", though the interval overlaps that of {words.names[others[0].label]}"
    return (
        f"The answer {words.names[least.label]} is wrong most often: {wrong} of {least.predicted:,} such answers, a "
        f"precision of {percent(least.precision, digits=1)}{hedge}."
    )


def _extremes(best: ClassScores, worst: ClassScores, words: ClassWords) -> str:
    if best.recall == worst.recall:
        return f"Every {words.kind} is recognized equally well, {percent(best.recall, digits=1)} of its images."
    named, intervals = [], []
    for scores in (best, worst):
        hits = round(scores.recall * scores.support)
        interval = _interval_text(hits, scores.support)
        named.append(f"{words.many(scores.label)} ({percent(scores.recall, digits=1)}, 95 % interval {interval})")
        intervals.append(wilson_interval(hits, scores.support))
    order = (
        "The intervals overlap, so other test images could order them otherwise."
        if intervals_overlap(*intervals)
        else "The intervals are apart, so the difference is more than the luck of the test images."
    )
    return f"{begun(named[0])} are recognized best and {named[1]} worst. {order}"


# --- confusions


def confusion_sentences(metrics: Metrics, words: ClassWords) -> tuple[str, ...]:
    """How many mistakes there are, and which two classes are mixed up most."""
    wrong = metrics.images - metrics.right
    if wrong == 0:
        return ("No test image is classified wrongly.",)
    matrix = metrics.confusion_matrix
    pairs = [(low, high) for high in range(len(matrix)) for low in range(high)]
    one, other = max(pairs, key=lambda pair: matrix[pair[0]][pair[1]] + matrix[pair[1]][pair[0]])
    there, back = matrix[other][one], matrix[one][other]
    mixed = (
        f"{words.names[one]} and {words.names[other]} are mixed up most: {there + back} of {plural(wrong, 'mistake')} "
        f"({words.counted(there, one)} taken for {words.names[other]}, {words.counted(back, other)} "
        f"for {words.names[one]})."
    )
    few = " With so few, another training could well put another pair first." if there + back < _FEW else ""
    return (mixed + few, *_one_sided(metrics, words))


def _one_sided(metrics: Metrics, words: ClassWords) -> tuple[str, ...]:
    """The pair whose mistakes go mostly one way, if that is more than a coin would do."""
    matrix = metrics.confusion_matrix
    for pair in metrics.confused_pairs:
        there, back = pair.count, matrix[pair.actual][pair.predicted]
        tosses = there + back  # of a coin, with `there` or more heads, or as many tails
        p_value = 2 * sum(math.comb(tosses, heads) for heads in range(there, tosses + 1)) / float(2**tosses)
        if there > back and p_value < 0.01:
            return (
                f"The mistakes between {words.names[pair.actual]} and {words.names[pair.predicted]} go mostly one way: "
                f"{words.counted(there, pair.actual)} taken for {words.names[pair.predicted]}, {back or 'none'} the "
                "other way round.",
            )
    return ()


def likeness_sentence(likeness: Likeness, words: ClassWords) -> str:
    """Why a pair may be confused, as far as the images show it."""
    pair = likeness.pair
    wrong, right = words.names[pair.predicted], words.names[pair.actual]
    parts = [
        begun(f"{words.counted(pair.count, pair.actual)} taken for {wrong}."),
        _alike(likeness, words),
        _nearer(likeness.nearer, words.many(pair.actual), wrong=wrong, right=right),
        _loops(likeness, words),
    ]
    if pair.count < _FEW and not likeness.nearer.is_sure:
        parts.append("With so few images no reason is certain.")
    return " ".join(filter(None, parts))


def _alike(likeness: Likeness, words: ClassWords) -> str:
    pair = likeness.pair
    named = f"The mean images of {words.names[pair.actual]} and {words.names[pair.predicted]}"
    figure = f"(correlation {likeness.correlation:.2f})"
    if likeness.rank == 1:
        return f"{named} are the most alike of all {likeness.pairs} pairs {figure}."
    if likeness.rank <= _ALIKE:
        return f"{named} are among the {_ALIKE} most alike of all {likeness.pairs} pairs {figure}."
    return f"{named} are not especially alike {figure}."


def _nearer(trait: Trait, many: str, *, wrong: str, right: str) -> str:
    nearer = f"{trait.hits} of the {trait.confused} are nearer to the mean {wrong} than to the mean {right}"
    base = f"of all {many} {percent(trait.class_hits / max(trait.images, 1), digits=0)} are"
    if trait.is_sure:
        return f"{nearer}; {base}: their pixels already look like {wrong}."
    return f"{nearer}; {base}, which is no clear difference." if trait.hits else ""


def _loops(likeness: Likeness, words: ClassWords) -> str:
    """Only what the test finds: a loop that most of these images lack, or have, unlike the rest of their class."""
    if not words.are_digits:
        return ""
    many = words.many(likeness.pair.actual)
    for trait, how in ((likeness.opened, "do not close a loop"), (likeness.closed, "close a loop")):
        if trait.is_sure:
            share = percent(trait.class_hits / trait.images, digits=0)
            return f"{trait.hits} of the {trait.confused} {how}, as {share} of all {many} do."
    return ""


# --- training


def training_sentences(record: RunRecord) -> tuple[str, ...]:
    """How the loss fell, and what the accuracy by epoch says of more epochs and of new images."""
    known = [epoch for epoch in record.epochs if epoch.train_loss is not None and math.isfinite(epoch.train_loss)]
    sentences = []
    if len(known) > 1:
        sentences.append(
            f"The training loss fell from {known[0].train_loss:.3f} in epoch {known[0].epoch} to "
            f"{known[-1].train_loss:.3f} in epoch {known[-1].epoch}."
            if (known[-1].train_loss or 0) < (known[0].train_loss or 0)
            else "The training loss did not fall from the first epoch to the last."
        )
    known = [epoch for epoch in record.epochs if epoch.accuracy is not None]
    if record.data is not None and record.data.validation_images > 0:
        return (*sentences, *_validation(known))
    return (*sentences, *(_memory(known[-1], record) if known else ()))


def _validation(known: list[EpochFigures]) -> tuple[str, ...]:
    if len(known) < 2:
        return ()
    best, last = max(known, key=lambda epoch: epoch.accuracy or 0.0), known[-1]
    if best is last:
        return (f"The validation accuracy was highest in the last epoch, {percent(last.accuracy)}: more could help.",)
    return (
        f"The validation accuracy was highest in epoch {best.epoch} ({percent(best.accuracy)}) and "
        f"{percent(last.accuracy)} in the last: more epochs would not help.",
    )


def _memory(last: EpochFigures, record: RunRecord) -> tuple[str, ...]:
    if record.metrics is None or last.accuracy is None:
        return ()
    gap = 100 * (last.accuracy - record.metrics.accuracy)
    seen = f"{percent(last.accuracy)} of the training images in the sample are right after the last epoch"
    if gap < 0.1:
        return (f"{seen}, no more than of the test images: the network did not learn its examples by heart.",)
    return (f"{seen}, {gap:.2f} points more than of the test images: that much is memory of the examples.",)
