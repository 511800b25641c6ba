"""What a network answers on the test set, computed once more from its weights and the files' images; scores, mistakes.

The witness computes the logits in float64. What follows from them (answers, counts, the loss, the surest mistakes) is
held to the run's own logits, which the first check ties to the weights: so nothing is wider than its own rounding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from accelmnist.core.config import AMP_PRECISIONS, CLASSES, ModelConfig, Output
from accelmnist.core.metrics import Metrics
from accelmnist.core.records import Check, EpochFigures, Mistake
from accelmnist.training.reference import witness
from accelmnist.training.reference.tolerances import Tolerance, Tolerances, tolerances

if TYPE_CHECKING:
    from accelmnist.data.types import ImageSet
    from accelmnist.engines.model import MLP
    from accelmnist.training.evaluation import Evaluation

Arrays = Mapping[str, NDArray[Any]]
Floats = NDArray[np.float64]

_U = 2.0**-24
_EVERY = 10
_MEASURED = 200  # images that tell how far rounding moves a network
_ROUNDINGS = 8  # inputs and what lies between the layers are rounded as well; 4.4 was measured
_LAST_DIGITS = 1e-9  # of a count that was divided and multiplied
_MOST_MISTAKES = 25
_NOTHING = 1e-12  # no error, over the largest logit
_SCORE_ROUNDING = 1e-5  # of float32's exponentials of logits up to 100


def logits_limit(model: ModelConfig, weights: Arrays, images: NDArray[np.uint8], limits: Tolerances) -> Tolerance:
    """How far a logit may be off, over the largest one: more in a deep network, as far as rounding moves that.

    That is measured on some of the `images`: every weight is moved by one rounding and by that of the sums, which grows
    with the root of their terms, up or down by chance.
    """
    some, rng = images[:: max(len(images) // _MEASURED, 1)], np.random.default_rng(0)
    share = limits.rounding + math.sqrt(max(model.sizes)) * _U
    nudged = {name: part * (1 + share * (2.0 * rng.integers(2, size=part.shape) - 1)) for name, part in weights.items()}
    exact, moved = (witness.logits(model, each, some) for each in (weights, nudged))
    apart = _ROUNDINGS * float(np.abs(moved - exact).max() / np.abs(exact).max())
    if not apart > limits.logits.limit:
        return limits.logits
    return Tolerance(apart, f"{_ROUNDINGS} times what rounding every weight once moves")


def check_answers(model: MLP, test: ImageSet, evaluation: Evaluation, limits: Tolerances) -> list[Check]:
    """Hold an evaluation on the whole `test` set against the same weights in float64."""
    weights, labels = model.arrays(), test.labels
    exact, limit = (
        witness.logits(model.config, weights, test.images),
        logits_limit(model.config, weights, test.images, limits),
    )
    found, scale = evaluation.logits, float(np.abs(exact).max())
    error = float(np.abs(found - exact).max()) / scale if found.shape == exact.shape else math.inf
    reason = f"against float64 in NumPy: {limit.reason}"
    return [
        Check.at_most("logits", error, limit.limit, detail="over the largest logit", reason=reason, group="answers"),
        *([_check_rounded(error)] if limits in map(tolerances, AMP_PRECISIONS) else []),
        _check_predictions(exact, evaluation, 2 * limit.limit * scale),
        _check_counts(labels, evaluation),
        _check_loss(model.config.output, labels, evaluation),
    ]


def _check_rounded(error: float) -> Check:
    """Logits of 16 bits err by more than float32's may: where they don't, it was float32 that computed."""
    allowed = tolerances("fp32").logits.limit
    return Check.at_most(
        "16 bits",
        allowed / max(error, _NOTHING),
        1.0,
        detail="float32's limit over the error of the logits",
        reason="what errs as little as float32 was not computed in 16 bits: it rounds a thousand times as much",
        group="answers",
    )


def _check_predictions(exact: Floats, evaluation: Evaluation, limit: float) -> Check:
    """A prediction may differ only where the two best logits are closer than twice the error a logit may have."""
    said, found = evaluation.predictions, evaluation.logits
    if len(said) != len(exact) or found.shape != exact.shape:
        widest, differ = math.inf, len(exact)
    else:
        ranked = np.sort(exact, axis=1)
        is_other = exact.argmax(axis=1) != said
        widest, differ = float((ranked[is_other, -1] - ranked[is_other, -2]).max(initial=0.0)), int(is_other.sum())
        if not (found[np.arange(len(said)), said] == found.max(axis=1)).all():
            widest = math.inf  # not even the largest of the run's own logits
    reason = "a prediction may differ from float64's only where the margin is under twice a logit's largest error"
    return Check.at_most(
        "predictions", widest, limit, detail=f"margin of {differ} that differ", reason=reason, group="answers"
    )


def _check_counts(labels: NDArray[np.int64], evaluation: Evaluation) -> Check:
    """Every image counts once under its file's label; rows predicted, columns actual, no cell may differ."""
    wrong = count_faults(labels, evaluation)
    reason = "counted again in NumPy by the labels of the files: rows predicted, columns actual, every image once"
    return Check.at_most(
        "confusion matrix", wrong, 0.0, detail="counts unlike those of the files", reason=reason, group="answers"
    )


def count_faults(labels: NDArray[np.int64], evaluation: Evaluation) -> int:
    """The number of counts that are not those of the predictions under these labels."""
    said, matrix, wrong = evaluation.predictions, np.array(evaluation.metrics.confusion_matrix), len(labels)
    if len(said) == len(labels) == len(evaluation.labels):
        counted = np.bincount(said * CLASSES + labels, minlength=CLASSES**2).reshape(CLASSES, CLASSES)
        wrong = int(np.abs(counted - matrix).sum() + (evaluation.labels != labels).sum())
    return wrong + len([*_unlike_matrix(matrix, evaluation.metrics)])


def _unlike_matrix(matrix: NDArray[np.int64], metrics: Metrics) -> Iterator[str]:
    """What else is counted, where it is not the matrix's."""
    rows, columns = matrix.sum(axis=1).tolist(), matrix.sum(axis=0).tolist()
    if [scores.predicted for scores in metrics.per_class] != rows:
        yield "predicted"
    if [scores.support for scores in metrics.per_class] != columns:
        yield "support"
    if metrics.images != matrix.sum() or metrics.right != matrix.trace():
        yield "images"
    f1 = 2 * matrix.diagonal() / np.maximum(matrix.sum(axis=0) + matrix.sum(axis=1), 1)
    told, counted = (metrics.accuracy, metrics.macro_f1), (matrix.trace() / max(matrix.sum(), 1), f1.mean())
    if not np.allclose(told, counted, rtol=0, atol=_LAST_DIGITS):
        yield "accuracy or macro F1"
    cells = sorted(matrix[~np.eye(CLASSES, dtype=bool)].tolist(), reverse=True)
    pairs = metrics.confused_pairs
    largest = [count for count in cells[: len(pairs) or 1] if count]
    distinct = {(pair.predicted, pair.actual) for pair in pairs}
    named = [pair.count for pair in pairs if pair.count == matrix[pair.predicted, pair.actual]]
    if named != largest or len(distinct) != len(pairs):
        yield "pairs"


def _check_loss(output: Output, labels: NDArray[np.int64], evaluation: Evaluation) -> Check:
    """The mean loss of the run's own logits: a sum of n numbers errs by sqrt(n) roundings, taken four times."""
    logits = evaluation.logits.astype(np.float64)
    if len(logits) != len(labels):
        error, limit = math.inf, 0.0
    else:
        _, losses = witness.outputs_and_losses(logits, np.eye(CLASSES)[labels], output)
        expected, found = float(losses.mean()), evaluation.metrics.loss
        error = math.inf if found is None else abs(found - expected)
        limit = _U * (4 * math.sqrt(len(labels)) * expected + 16 * float(np.abs(logits).max(axis=1).mean()))
    reason = "the mean over the test set, not smoothed, of the run's logits in float64; float32's sums may differ"
    return Check.at_most("test loss", error, limit, detail="difference", reason=reason, group="answers")


def answer_faults(model: MLP, evaluation: Evaluation, test: ImageSet, limits: Tolerances) -> Iterator[str]:
    """What is wrong with an evaluation of `model` on the `test` set: every tenth answer is computed anew."""
    weights = model.arrays()
    exact = witness.logits(model.config, weights, test.images[::_EVERY])
    limit = logits_limit(model.config, weights, test.images, limits)
    error = np.abs(evaluation.logits[::_EVERY] - exact).max() / np.abs(exact).max()
    if not error <= limit.limit:
        yield "its answers are not those of its weights"
    if count_faults(test.labels, evaluation):
        yield "its scores are not those of its answers"


def check_mistakes(output: Output, evaluation: Evaluation, mistakes: Sequence[Mistake]) -> Check:
    """The surest mistakes are those of the run's logits, each under its own number, label and score."""
    return Check.without(
        "mistakes",
        [*_mistake_faults(output, evaluation, mistakes)],
        group="answers",
        finds="images under another's number or label",
        reason="the wrong answers with the highest score, each once, by the run's logits in float64",
    )


def _mistake_faults(output: Output, evaluation: Evaluation, mistakes: Sequence[Mistake]) -> Iterator[str]:
    said, labels = evaluation.predictions, evaluation.labels
    zeros = np.zeros((len(labels), CLASSES))
    scores, _ = witness.outputs_and_losses(evaluation.logits.astype(np.float64), zeros, output)
    sure = np.where(said != labels, scores[np.arange(len(said)), said], -np.inf)
    most = np.sort(sure)[::-1][: min(_MOST_MISTAKES, int((said != labels).sum()))]
    if len({mistake.index for mistake in mistakes}) != len(most) or len(mistakes) != len(most):
        yield f"there are {len(mistakes)} of {len(most)}"
        return
    for mistake, score in zip(mistakes, most, strict=True):
        index, slack = mistake.index, _SCORE_ROUNDING * max(1.0, abs(float(score)))
        if not 0 <= index < len(labels) or (mistake.actual, mistake.predicted) != (labels[index], said[index]):
            yield f"image {index} is no {mistake.actual} taken for {mistake.predicted}"
        elif max(abs(mistake.score - sure[index]), abs(sure[index] - score)) > slack:
            yield f"image {index} has the score {sure[index]:.4g}, and not {mistake.score:.4g}"
        elif abs(mistake.actual_score - scores[index, labels[index]]) > slack:
            yield f"image {index}: the right answer's score is {scores[index, labels[index]]:.4g}"


def check_accuracies(
    model: ModelConfig, ends: Mapping[int, Arrays], probe: ImageSet, epochs: Sequence[EpochFigures], limits: Tolerances
) -> Check:
    """The accuracies after some epochs are those of the weights at their `ends`, by number, on the `probe` images.

    In float32, which is a third of float64's time: what that rounds adds to the limit.
    """
    faults = []
    for epoch, weights in ends.items():
        wide = logits_limit(model, weights, probe.images, limits).limit
        margin = 2 * (wide + tolerances("fp32").logits.limit)
        found = witness.logits(model, weights, probe.images, kind=np.float32)
        told = epochs[epoch - 1].accuracy
        faults += [f"epoch {epoch}: {fault}" for fault in accuracy_faults(told, found, probe.labels, margin=margin)]
    return Check.without(
        "accuracy by epoch",
        faults,
        group="figures",
        finds="accuracies unlike the weights'",
        reason=f"after {len(ends)} of the epochs; only images whose two best logits are close may differ",
    )


def check_first_answer(told: float, model: MLP, test: ImageSet, evaluation: Evaluation, limits: Tolerances) -> Check:
    """The accuracy that was told before torch was there is that of the evaluation of `model` on the `test` set."""
    limit = logits_limit(model.config, model.arrays(), test.images, limits)
    return Check.without(
        "first answer",
        [*accuracy_faults(told, evaluation.logits, evaluation.labels, margin=4 * limit.limit)],
        group="figures",
        finds="an accuracy unlike the evaluation's",
        reason="told before torch is there; only images whose two best logits are close may differ",
    )


def accuracy_faults(
    told: float | None, logits: NDArray[np.floating[Any]], labels: NDArray[np.int64], *, margin: float
) -> Iterator[str]:
    """That an accuracy is off by more images than have their two best logits within `margin` of the largest logit."""
    ranked = np.sort(logits, axis=1)
    unsure = int((ranked[:, -1] - ranked[:, -2] <= margin * np.abs(logits).max()).sum())
    hits = int((logits.argmax(axis=1) == labels).sum())
    if told is None or abs(told * len(labels) - hits) > unsure + _LAST_DIGITS:
        yield f"{told} are right, and not {hits / len(labels):.6g}"
