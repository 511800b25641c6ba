"""A neuron's effect on the network's answers: how far it moves each logit, and what is lost without it.

A neuron is taken away by setting its output to 0 for every image: its outgoing weights times its activation are
subtracted from the inputs of the next layer, which are computed once, and only the layers after that run again, for the
images whose activation isn't 0. That is exact, to float32's rounding, and for one hidden layer costs no product of
matrices at all. In a deep network the images are as many as `images_within` allows, the same share of every class.

All of it follows from the logits with and without the neuron: their difference, less its mean over the classes since a
common shift changes no answer, is what the neuron argues. For one hidden layer that is its activation times its
outgoing weights; with more layers it includes every way through them. Sources: Morcos et al., "On the importance of
single directions for generalization", ICLR 2018 (ablation to zero); Li, Monroe and Jurafsky, "Understanding neural
networks through representation erasure", 2016 (the change of what the network says).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from accelmnist.analysis.neurons.record import Ablation
from accelmnist.analysis.neurons.response import Response
from accelmnist.core.config import CLASSES, ModelConfig
from accelmnist.engines.model import ACTIVATION_FUNCTIONS, MLP, image_losses, target_table

_MOST_FLOPS = 1e11  # of all ablations together: one to three seconds of two Zen 4 cores
_LEAST_IMAGES = 500


@dataclass(frozen=True)
class Effect:
    """`support` by class where the neuron is on, `strength` over all images, and what is lost without it."""

    support: tuple[float, ...]
    strength: float
    ablation: Ablation | None


def images_within(config: ModelConfig, images: int, *, active: float) -> int:
    """How many of `images` serve for the ablations, so that they end in seconds.

    `active` is the share of the first layer's activations that aren't 0, and so have to be taken away at all.
    """
    if len(config.hidden) < 2:
        return images
    sizes = config.sizes[2:]
    per_image = max(active, 0.001) * config.hidden[0] * 2 * sum(a * b for a, b in itertools.pairwise(sizes))
    return min(images, max(_LEAST_IMAGES, int(_MOST_FLOPS / per_image)))


class Network:
    """The layers after the first, ready to answer without one of its neurons, on the images of `response`."""

    def __init__(self, model: MLP, response: Response) -> None:
        self.response, self.output = response, model.config.output
        self.labels, self.images = response.labels, response.images
        parameters = list(model.parameters())[2:]
        self._further = parameters[2:]
        self._activation = ACTIVATION_FUNCTIONS[model.config.activation]
        self.outgoing = parameters[0].T.contiguous()  # (neurons, units of the next layer)
        self._next = torch.addmm(parameters[1], response.activations.T, parameters[0].T)
        self.logits = self._finish(self._next)
        self.targets = target_table(0.0, self.logits.device)
        self.right = self.logits.argmax(dim=1) == self.labels
        self.losses = self.losses_of(self.logits, self.labels)

    def without(self, neuron: int) -> tuple[Tensor, Tensor]:
        """The images (k,) whose logits a neuron can move at all, and their logits (k, 10) without it."""
        activations = self.response.activations[neuron]
        rows = activations.nonzero().squeeze(1)
        return rows, self._finish(torch.addr(self._next[rows], activations[rows], self.outgoing[neuron], alpha=-1))

    def losses_of(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss of each of the images whose logits and labels these are."""
        return image_losses(logits, self.targets[labels], self.output)

    def _finish(self, values: Tensor) -> Tensor:
        for weight, bias in zip(self._further[::2], self._further[1::2], strict=True):
            values = F.linear(self._activation(values), weight, bias)
        return values


def effect_of(network: Network, neuron: int) -> Effect:
    """The effect of one neuron of the first hidden layer."""
    rows, logits = network.without(neuron)
    moved = _centred(network.logits[rows] - logits)
    support, strength = _argument(moved, network.response.on[neuron, rows], len(network.labels))
    return Effect(support, strength, _ablation(network, rows, logits))


def output_effect(response: Response, output: int) -> Effect:
    """The effect of an output of a network without hidden layers: it moves its own logit, and can't be taken away."""
    moved = _centred(response.activations[output][:, None] * torch.eye(CLASSES)[output])
    support, strength = _argument(moved, response.on[output], len(response.labels))
    return Effect(support, strength, None)


def spread_of(logits: Tensor) -> float:
    """How far the logits (n, 10) themselves vary over the images, as `Effect.strength` is measured."""
    return float(_centred(logits).double().var(dim=0, correction=0).mean().sqrt())


def _centred(logits: Tensor) -> Tensor:
    return logits - logits.mean(dim=1, keepdim=True)


def _argument(moved: Tensor, on: Tensor, images: int) -> tuple[tuple[float, ...], float]:
    """Mean shift by class where the neuron is on, and its spread over all `images`; those not in `moved` don't move."""
    wide = moved.double()
    support = wide[on].mean(dim=0) if bool(on.any()) else torch.zeros(CLASSES)
    variance = wide.square().sum(dim=0) / images - (wide.sum(dim=0) / images).square()
    return tuple(support.tolist()), float(variance.clamp(min=0).mean().sqrt())


def _ablation(network: Network, rows: Tensor, logits: Tensor) -> Ablation:
    labels, before = network.labels[rows], network.right[rows]
    after = logits.argmax(dim=1) == labels
    lost, gained = _count(labels[before & ~after]), _count(labels[~before & after])
    rise = torch.zeros(CLASSES, dtype=torch.float64)
    rise.index_add_(0, labels, (network.losses_of(logits, labels) - network.losses[rows]).double())
    images = network.images.clamp(min=1).double()
    recall = (_count(network.labels[network.right]) - lost + gained) / images
    return Ablation(
        recall=tuple(recall.tolist()),
        lost=tuple(lost.tolist()),
        gained=tuple(gained.tolist()),
        loss_rise=tuple((rise / images).tolist()),
        macro_recall_change=float(((gained - lost) / images).mean()),
    )


def _count(labels: Tensor) -> Tensor:
    return torch.bincount(labels, minlength=CLASSES)
