"""How each figure of the record is found, with its source: what a reader of the record or of a report needs to know."""

from __future__ import annotations

from dataclasses import replace

from accelmnist.analysis.neurons.record import Method
from accelmnist.core.config import ModelConfig

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
