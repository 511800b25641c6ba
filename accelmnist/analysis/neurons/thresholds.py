"""The numbers that decide what is said of a neuron, each with its meaning, stated once.

They are conventions, not measurements: what a reader would call clear. The record carries them with their meaning.
"""

from __future__ import annotations

from accelmnist.analysis.neurons.record import Threshold

CLEAR_SHARE = Threshold(
    name="clear, own",
    value=0.5,
    meaning="a neuron answers for classes where it is on for at least this share of the images of each",
)
CLEAR_OTHER = Threshold(
    name="clear, others",
    value=0.5,
    meaning="and for any other class at most for this part of the smallest share of its own",
)
CLEAR_MEAN_REST = Threshold(
    name="clear, rest",
    value=0.15,
    meaning="and, averaged over all other classes, for at most this share",
)
LEANING_SHARE = Threshold(
    name="leaning, own",
    value=0.1,
    meaning="a neuron leans to classes where it is on for at least this share of their images",
)
LEANING_RATIO = Threshold(
    name="leaning, ratio",
    value=3.0,
    meaning="and for this many times the share of the rest",
)
LARGEST_GROUP = Threshold(
    name="largest group",
    value=5,
    meaning="no group that a neuron answers for is larger; a neuron that is on for more is told by what it is off for",
)
DEAD = Threshold(
    name="dead",
    value=1e-3,
    meaning="a neuron is dead where it moves the logits by less than this share of their own spread over the images",
)
FAINT = Threshold(
    name="hardly heard",
    value=0.02,
    meaning="a neuron is hardly heard where it moves the logits by less than this share of their spread",
)
DUPLICATE = Threshold(
    name="duplicate",
    value=0.99,
    meaning="a neuron is a duplicate where its activations correlate this much or more with those of an earlier one",
)
INK = Threshold(
    name="ink area",
    value=0.01,
    meaning="clarity looks at the pixels that are inked in at least this share of the training images",
)
GREY = Threshold(
    name="grey",
    value=0.25,
    meaning="weights whose Moran's I is below this look like grey noise",
)
ARGUES = Threshold(
    name="argues",
    value=0.5,
    meaning="a class is named as argued for or against from this share of the strongest such argument on",
)
FEATURE = Threshold(
    name="feature",
    value=0.3,
    meaning="a property of the shape is named from this correlation on, within the classes",
)
CHANCE = Threshold(
    name="chance",
    value=0.05,
    meaning="a fall of recall is told where chance makes one in any class of any neuron with at most this probability",
)

THRESHOLDS: tuple[Threshold, ...] = (
    CLEAR_SHARE,
    CLEAR_OTHER,
    CLEAR_MEAN_REST,
    LEANING_SHARE,
    LEANING_RATIO,
    LARGEST_GROUP,
    DEAD,
    FAINT,
    DUPLICATE,
    INK,
    GREY,
    ARGUES,
    FEATURE,
    CHANCE,
)
