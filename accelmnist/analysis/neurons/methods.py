"""How each figure of the record is found, with its source, and the numbers that decide what is said of a neuron.

Those numbers, the thresholds, are conventions, not measurements: what a reader would call clear. Each is stated once,
here, with its meaning; the record carries both. No torch here.

A drop of recall counts if it isn't chance: the images that were right and become wrong against those of the other way
round, by McNemar's exact test, for one class; and if as many drops are looked at as there are classes of all neurons,
with the probability divided by their number (Bonferroni). Source: McNemar, "Note on the sampling error of the
difference between correlated proportions or percentages", Psychometrika 12, 1947.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from accelmnist.analysis.neurons.record import Ablation, Baseline, Method, Threshold
from accelmnist.core.config import ModelConfig

_MOST_NAMED = 3  # classes

_ON = Method("on", "On: the neuron's input is positive for the image, so that its activation is above the one at rest.")
_ON_OUTPUT = Method("on", "On: the output is the largest of the ten, so that the network says its class.")

_SHARED: tuple[Method, ...] = (
    Method(
        "answers for",
        "The shares of each class's images that turn the neuron on are cut into two groups where they differ most; the "
        "thresholds decide whether that is clear, a leaning or nothing. Every class counts alike.",
        "Fisher, On grouping for maximum homogeneity, 1958",
    ),
    Method(
        "selectivity",
        "(m - r) / (m + r): m the mean activation on the class with the highest, r that over the other classes, both "
        "counted from rest. 0: no class is preferred; 1: no other excites it.",
        "Morcos et al., On the importance of single directions for generalization, ICLR 2018",
    ),
    Method(
        "separation",
        "The chance that an image of the classes excites the neuron more than one of the rest, ties as half.",
        "Mann and Whitney, 1947; Hanley and McNeil, The meaning and use of the area under a ROC curve, 1982",
    ),
    Method(
        "argues for and against",
        "How far the neuron moves each logit, averaged over the images that turn it on, less the mean over the classes,"
        " through all layers that follow. Strength is the spread of that over all test images.",
        "Li, Monroe and Jurafsky, Understanding neural networks through representation erasure, 2016",
    ),
    Method(
        "clarity",
        "Moran's I of the weights with those of the four pixels around, where there is ink: about 0 for grey noise, "
        "towards 1 for strokes.",
        "Moran, Notes on continuous stochastic phenomena, 1950",
    ),
    Method("border", "Pixels that are inked in no training image have untrained weights: pictures leave them blank."),
    Method(
        "shape",
        "Correlation of the activation with loops, upright strokes, slant and ink, each class within itself.",
        "Hu, Visual pattern recognition by moment invariants, 1962",
    ),
)

_ABLATION = Method(
    "without it",
    "The neuron's output is set to 0 for every image and the layers that follow run again. A drop of recall is stated "
    "if McNemar's exact test, divided by all classes of all neurons, rules out chance.",
    "Morcos et al., 2018; McNemar, 1947",
)


def methods_of(config: ModelConfig, *, images: int, ablation_images: int) -> tuple[Method, ...]:
    """The methods as they were used on a network of `config`."""
    if not config.hidden:
        return (_ON_OUTPUT, *_SHARED)
    part = f" On {ablation_images:,} of the {images:,} test images, the same share of every class."
    more = part if ablation_images < images else ""
    return (_ON, *_SHARED, replace(_ABLATION, explanation=_ABLATION.explanation + more))


# --- thresholds

CLEAR_SHARE = Threshold(
    "clear, own", 0.5, "a neuron answers for classes if it is on for at least this share of the images of each"
)
CLEAR_OTHER = Threshold(
    "clear, others", 0.5, "and for any other class at most for this part of the smallest share of its own"
)
CLEAR_MEAN_REST = Threshold("clear, rest", 0.15, "and, averaged over all other classes, for at most this share")
LEANING_SHARE = Threshold(
    "leaning, own", 0.1, "a neuron leans to classes if it is on for at least this share of their images"
)
LEANING_RATIO = Threshold("leaning, ratio", 3.0, "and for this many times the share of the rest")
LARGEST_GROUP = Threshold(
    "largest group",
    5,
    "no group that a neuron answers for is larger; a neuron that is on for more is described by what it is off for",
)
DEAD = Threshold(
    "dead", 1e-3, "a neuron is dead if it moves the logits by less than this share of their own spread over the images"
)
FAINT = Threshold(
    "hardly heard", 0.02, "a neuron is hardly heard if it moves the logits by less than this share of their spread"
)
DUPLICATE = Threshold(
    "duplicate",
    0.99,
    "a neuron is a duplicate if its activations correlate this much or more with those of an earlier one",
)
INK = Threshold(
    "ink area", 0.01, "clarity looks at the pixels that are inked in at least this share of the training images"
)
GREY = Threshold("grey", 0.25, "weights whose Moran's I is below this look like grey noise")
ARGUES = Threshold(
    "argues", 0.5, "a class is named as argued for or against from this share of the strongest such argument on"
)
FEATURE = Threshold("feature", 0.3, "a property of the shape is named from this correlation on, within the classes")
CHANCE = Threshold(
    "chance",
    0.05,
    "a drop of recall is stated if chance makes one in any class of any neuron with at most this probability",
)

# All of the above, in their order.
THRESHOLDS = tuple(value for value in tuple(globals().values()) if isinstance(value, Threshold))


# --- which of an effect is worth a word


def is_faint(strength: float, baseline: Baseline) -> bool:
    """Whether a neuron moves the logits too little to be heard, whatever it is on for."""
    return strength < FAINT.value * baseline.logit_spread


def votes(support: Sequence[float]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The classes that a neuron argues for most, and those it argues against most, the strongest first."""
    order = sorted(range(len(support)), key=lambda label: -abs(support[label]))
    limit = ARGUES.value * abs(support[order[0]])
    if limit == 0:
        return (), ()
    in_favour = tuple(label for label in order if support[label] >= limit)
    against = tuple(label for label in order if support[label] <= -limit)
    return in_favour[:_MOST_NAMED], against[:_MOST_NAMED]


def recall_drops(ablation: Ablation, baseline: Baseline, *, looked_at: int = 1) -> tuple[int, ...]:
    """The classes whose recall drops by more than chance among `looked_at` drops, the largest drop first."""
    return _changes(ablation.lost, ablation.gained, baseline.recall, ablation.recall, CHANCE.value / looked_at)


def recall_gains(ablation: Ablation, baseline: Baseline) -> tuple[int, ...]:
    """The classes whose recall rises by more than chance, the largest rise first; one at a time, without correction."""
    return _changes(ablation.gained, ablation.lost, ablation.recall, baseline.recall, CHANCE.value)


def _changes(
    more: Sequence[int], fewer: Sequence[int], higher: Sequence[float], lower: Sequence[float], level: float
) -> tuple[int, ...]:
    """The classes with significantly `more` than `fewer` images changed, by the difference of the recalls."""
    labels = [
        label
        for label, (most, least) in enumerate(zip(more, fewer, strict=True))
        if most > least and mcnemar(most, least) <= level
    ]
    return tuple(sorted(labels, key=lambda label: lower[label] - higher[label]))


def mcnemar(lost: int, gained: int) -> float:
    """The probability of a split at least as uneven if either way is as likely: two-sided, exact (binomial)."""
    from scipy.special import bdtr  # here: a third of a second; scipy.stats, with the whole test, takes two

    return min(1.0, 2 * float(bdtr(min(lost, gained), lost + gained, 0.5)))
