"""What a report rests on: the network's answers, and what follows from them as numbers. Words are the report's own.

The saved network answers all test images again, since its record keeps counts and a report shows the images: on the CPU
in float32, whatever it was trained by. If its record has another confusion matrix, because the device rounds otherwise
or the data is not the same, `moved` counts the images that are in another cell: a report says so. What is missing is no
error but a `MissingEvidence`, which a report shows in place of the images.

Which images were taken for what is plausible, or not, by the images themselves. Two questions are asked of the images
of a class that were taken for another one, each against all of the class: are they nearer to the mean image of the
other class than to that of their own, and has the pen closed its loop? Fisher's exact test says whether the confused
ones differ from the rest; with few images it rightly says that nothing is known. Source: R. A. Fisher, "The logic of
inductive inference", Journal of the Royal Statistical Society 98, 1935.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from accelmnist.analysis.neurons.record import NeuronsRecord
from accelmnist.analysis.neurons.shape import has_loop
from accelmnist.core.errors import AccelmnistError, ConfigError, DataError
from accelmnist.core.metrics import ConfusedPair
from accelmnist.core.records import RunRecord

if TYPE_CHECKING:
    from accelmnist.analysis.neurons.analysis import Source
    from accelmnist.engines.model import MLP

_ANOTHER_SET = 0.02  # share of the test images in another cell: no rounding moves as many
_SURE = 0.01  # several questions are asked of several pairs


# --- the answers


@dataclass(frozen=True)
class MissingEvidence:
    """Why something can't be shown."""

    reason: str


@dataclass(frozen=True, kw_only=True, eq=False)
class RecomputedAnswers:
    """Test images uint8 (n, 784), their labels and the network's predictions int64 (n,), its scores float32 (n, 10).

    `weights`, float32 (neurons, 784), are the first layer's, which `neurons` describes; those of pixels that are inked
    in no training image were never trained, and are 0 here.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    predictions: NDArray[np.int64]
    scores: NDArray[np.float32]
    weights: NDArray[np.floating[Any]]
    moved: int
    neurons: NeuronsRecord | None = None


def find_evidence(
    record: RunRecord, folder: Path, *, data: Path | None = None, neurons: NeuronsRecord | None = None
) -> RecomputedAnswers | MissingEvidence:
    """The answers of the network in `folder` on the test images of its data set, which may lie in the folder `data`.

    `neurons` is the record of its first layer; without it, or if it is of another run, the neurons are described here.
    Raises DataError or ConfigError if `data` is given and is not the run's; anything else that is missing is a
    MissingEvidence.
    """
    from accelmnist.analysis.neurons.analysis import FEWEST_IMAGES, describe_run, find_source

    try:
        source = find_source(folder, data_folder=data, dataset=None)
        answers = _recompute(record, source)
        if isinstance(answers, MissingEvidence):
            return answers
        is_known = neurons and neurons.network == record.config.model and neurons.run in (None, record.created)
        if not is_known:
            neurons = describe_run(source) if len(source.data.test) >= FEWEST_IMAGES else None
        return replace(answers, neurons=neurons)
    except AccelmnistError as error:
        if data is not None and isinstance(error, DataError | ConfigError):
            raise
        return MissingEvidence(error.message)


def _recompute(record: RunRecord, source: Source) -> RecomputedAnswers | MissingEvidence:
    model, test = source.saved.model, source.data.test
    if model.config != record.config.model:
        return MissingEvidence(f"the saved weights are of {model.config}, not of {record.config.model}")
    scores = _scores(model, test.images)
    if not np.isfinite(scores).all():
        return MissingEvidence("the network's answers are not finite: its training diverged")
    predictions = scores.argmax(axis=1)
    moved = _moved(record, predictions, test.labels)
    if moved > _ANOTHER_SET * len(test):
        raise DataError(
            f"on these test images {moved:,} answers differ from the record: the data is not the run's",
            remedy="Give the folder of the run's own data with --data",
        )
    return RecomputedAnswers(
        images=test.images,
        labels=test.labels,
        predictions=predictions,
        scores=scores,
        weights=np.where(source.data.train.images.any(axis=0), model.first_layer_weights(), 0.0),
        moved=moved,
    )


def _scores(model: MLP, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    import torch

    from accelmnist.device import resolve
    from accelmnist.engines.model import apply_output, logits_of

    with torch.no_grad():
        logits = logits_of(model, torch.from_numpy(images), device=resolve("cpu"), precision="fp32")
        return np.asarray(apply_output(logits, model.config.output), dtype=np.float32)


def _moved(record: RunRecord, predictions: NDArray[np.int64], labels: NDArray[np.int64]) -> int:
    """The least number of images that are in another cell of the confusion matrix than in the record."""
    if record.metrics is None:
        return 0
    recorded = np.array(record.metrics.confusion_matrix, dtype=np.int64)
    recomputed = np.zeros_like(recorded)
    np.add.at(recomputed, (predictions, labels), 1)
    return int(np.abs(recomputed - recorded).sum() + 1) // 2


# --- which images were taken for what, and whether they look like it


@dataclass(frozen=True, kw_only=True)
class Trait:
    """How many of the `confused` images have a property, and how many of all `images` of their class."""

    hits: int
    confused: int
    class_hits: int
    images: int

    @property
    def is_sure(self) -> bool:
        """Whether the confused images have it more often than chance would give."""
        return self.confused > 0 and fisher_p_value(self.hits, self.confused, self.class_hits, self.images) < _SURE


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """Why a pair may be confused; by `correlation` its two mean images have `rank` of all `pairs`, 1 the most alike.

    `nearer`: images that are nearer to the mean of the wrong class. `opened` and `closed`: images without and with a
    closed loop.
    """

    pair: ConfusedPair
    rank: int
    pairs: int
    correlation: float
    nearer: Trait
    opened: Trait
    closed: Trait


def images_of(evidence: RecomputedAnswers, predicted: int, actual: int) -> NDArray[np.int64]:
    """Indices of the test images in a cell: mistakes by falling score of the answer, right answers by rising score."""
    indices = np.flatnonzero((evidence.predictions == predicted) & (evidence.labels == actual))
    surest = np.argsort(-evidence.scores[indices, predicted], kind="stable")
    return indices[surest[::-1] if predicted == actual else surest]


def class_means(evidence: RecomputedAnswers, classes: int) -> NDArray[np.float64]:
    """The mean image of every class, float (classes, 784); zero for one without images."""
    means = np.zeros((classes, evidence.images.shape[1]))
    for label in range(classes):
        members = evidence.images[evidence.labels == label]
        if len(members):
            means[label] = members.mean(axis=0, dtype=np.float64)
    return means


def likeness_of(pair: ConfusedPair, evidence: RecomputedAnswers, means: NDArray[np.float64]) -> Likeness:
    """How far the images explain `pair`, given the mean images (classes, 784)."""
    of_class = np.flatnonzero(evidence.labels == pair.actual)
    confused = evidence.predictions[of_class] == pair.predicted
    images = evidence.images[of_class]
    to_wrong, to_right = (np.linalg.norm(images - means[label], axis=1) for label in (pair.predicted, pair.actual))
    loops = has_loop(images)
    with np.errstate(invalid="ignore"):
        # Pearson's, of every two mean images; a blank one is like none.
        alike = np.asarray(np.nan_to_num(np.corrcoef(means)))
    upper = alike[np.triu_indices(len(means), k=1)]
    correlation = float(alike[pair.predicted, pair.actual])
    return Likeness(
        pair=pair,
        rank=1 + int((upper > correlation + 1e-12).sum()),
        pairs=len(upper),
        correlation=correlation,
        nearer=_trait(to_wrong < to_right, confused),
        opened=_trait(~loops, confused),
        closed=_trait(loops, confused),
    )


def fisher_p_value(hits: int, drawn: int, marked: int, total: int) -> float:
    """Fisher's exact test, one-sided: the probability of `hits` or more marked among `drawn`, by luck alone.

    `marked` of all `total` are marked, the drawn ones among them. scipy.stats has the test, and takes two seconds to
    load.
    """
    most = min(drawn, marked)
    ways = sum(math.comb(marked, count) * math.comb(total - marked, drawn - count) for count in range(hits, most + 1))
    return ways / math.comb(total, drawn)


def _trait(has: NDArray[np.bool_], confused: NDArray[np.bool_]) -> Trait:
    return Trait(
        hits=int((has & confused).sum()), confused=int(confused.sum()), class_hits=int(has.sum()), images=len(has)
    )
