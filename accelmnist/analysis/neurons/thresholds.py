"""The numbers that decide what is said of a neuron, each with its meaning, stated once.

They are conventions, not measurements: what a reader would call clear. The record carries them with their meaning.
"""

from __future__ import annotations

from accelmnist.analysis.neurons.record import Threshold

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
