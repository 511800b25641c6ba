"""Which test images were taken for what, and whether the images themselves make it plausible.

Two questions are asked of the images of a class that were taken for another one, each against all of the class: are
they nearer to the mean image of the other class than to that of their own, and has the pen closed its loop? Fisher's
exact test says whether the confused ones differ from the rest; with few images it rightly says that nothing is known.
Source: R. A. Fisher, "The logic of inductive inference", Journal of the Royal Statistical Society 98, 1935.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelmnist.analysis.evidence.answers import RecomputedAnswers
from accelmnist.analysis.loops import has_loop
from accelmnist.core.metrics import ConfusedPair

_SURE = 0.01  # several questions are asked of several pairs


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
    to_wrong, to_right = (_distances(images, means[label]) for label in (pair.predicted, pair.actual))
    loops = has_loop(images)
    alike = _correlations(means)
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


def _distances(images: NDArray[np.uint8], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.norm(images - mean, axis=1))


def _correlations(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pearson's, of every two mean images; a blank one is like none."""
    centred = means - means.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = centred / np.where(norms == 0, 1.0, norms)
    return np.asarray(unit @ unit.T)
