"""Gradients in 16 bits, held to what rounding explains: a step once more in float32, with an engine's own roundings.

The bounds of `witness` are worst cases. Compounded from layer to layer, bf16's are some 40 times the gradient behind
one hidden layer and 2,000 times behind three, where what rounding really does is 1 or 2 %. No bound from its statistics
would be both safe and close: a step in which rounding takes a sum over a rectifier's kink may be off by a tenth.

But what rounding does is known if it is known where an engine rounds. So steps are computed twice here, with these
roundings and without any, which gives two gradients of every tensor, R and X. Rounding explains what lies about them:
with Frobenius norms and the unit roundoff u, an engine's gradient F is off by

    min(|F - X|, |F - R|) / (|R - X|, u / 4 |X|, what float32 hides of F; the root of the sum of their squares)

`fused` on a CPU rounds, to nearest, the factors of its products, and nothing else: neither bytes nor sums, nor the
outputs' layer behind hidden ones. It is at R, but for factors so near to the middle of two numbers that float32's order
of adding decides, a thousandth of them: 0.04 off at most, in trainings of all kinds, and 0.25 are allowed. What torch
computes in bf16 and fp16 rounds the results as well, in eager steps each of them, in compiled code some; R then has all
of these, so that |R - X| is what any part of them may do: 1.1 at most, and 3 are allowed.

The median of the steps looked at counts, for each tensor: a kink is crossed in some of them, while a fault that lasts
is in most. Behind one to three hidden layers, `fused` is 5 to 50 off if one image of 63 or 127 is left out, 1.5 to 40
if it is so in the pixels' weights alone, 20 to 80 if gradients are 10 % too large, 6 to 200 if an input that is not
dead is left out, and 2 to 8 if factors are cut off instead of rounded; eager steps in bf16 4 to 17, 1.3 to 14, 12 to
27, 3 to 100 and 5 to 8. Other engines, devices and ranks are not held to this: it is not known, or not measured, where
they round.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelmnist.core.config import Precision, RunConfig, TrainingConfig
from accelmnist.training.reference.witness import (
    ACTIVATIONS,
    BETA1,
    ROUNDOFF,
    U32,
    Array,
    Arrays,
    Witness,
    kept,
    learning_rate,
    outputs_and_losses,
    targets_of,
)

Floats = NDArray[np.float32]
Round = Callable[[NDArray[Any]], Floats]

_ROWS = 4096  # images at a time
# Derivatives that torch makes of the rounded value: of a sum of 4 and more that is 1, and nothing is left of them.
_BY_VALUE: dict[str, Callable[[Floats], Floats]] = {"tanh": lambda a: 1 - a * a, "sigmoid": lambda a: a * (1 - a)}


@dataclass(frozen=True)
class Rounding:
    """What is rounded besides the factors of products: `results`, pixels and the layer behind hidden ones, or nothing.

    A right engine is off by `limit` at most.
    """

    results: bool
    limit: float


FACTORS, ALL = Rounding(results=False, limit=0.25), Rounding(results=True, limit=3.0)


def rounding_of(config: RunConfig) -> Rounding | None:
    """Where the engine of `config` rounds, if that is known."""
    execution = config.execution
    if execution.precision not in _NEAREST or (execution.device, execution.ranks) != ("cpu", 1):
        return None
    return {"fused": FACTORS, "eager": ALL, "compiled": ALL}.get(execution.engine)


def nearest(values: NDArray[Any]) -> Floats:
    """To the nearest number in bf16, the upper half of a float: ties to even."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded: Floats = ((bits + (0x7FFF + (bits >> 16 & 1))) & 0xFFFF0000).view(np.float32)
    return rounded


def _nearest_in_fp16(values: NDArray[Any]) -> Floats:
    return values.astype(np.float16).astype(np.float32)


_NEAREST: dict[Precision, Round] = {"bf16": nearest, "fp16": _nearest_in_fp16}


def _as_it_is(values: NDArray[Any]) -> Floats:
    return values.astype(np.float32, copy=False)


class Gradients:
    """The gradients of `config` from the weights `before`, in float32, with a `rounding` or without any."""

    def __init__(self, config: RunConfig, before: Arrays, rounding: Rounding | None) -> None:
        self.config, self.last = config, len(config.model.hidden)
        layers, is_all = range(self.last + 1), rounding is not None and rounding.results
        to_nearest = _NEAREST[config.execution.precision]
        self._scale = before["scalar/scale"].reshape(-1)[0] if "scalar/scale" in before else np.float32(1)
        self._result: Round = to_nearest if is_all else _as_it_is
        self._factor: list[Round] = [
            to_nearest if is_all or (rounding and (layer < self.last or layer == 0)) else _as_it_is for layer in layers
        ]
        self._pixels = self._result  # a byte has eight bits, as bf16 has: it is a factor as it is, before it is scaled
        self._weights = [self._factor[layer](before[f"layers.{layer}.weight"]) for layer in layers]
        self._biases = [self._result(before[f"layers.{layer}.bias"]) for layer in layers]
        self._by_value = _BY_VALUE.get(config.model.activation) if is_all else None

    def of(self, images: NDArray[np.uint8], labels: NDArray[np.int64], seed: int) -> dict[str, Floats]:
        """Those of the mean loss of a batch (n, 784) with its labels and the `seed` of its dropout, by name."""
        sums: dict[str, Floats] = {}
        for start in range(0, len(labels), _ROWS):
            rows = slice(start, start + _ROWS)
            for name, part in self._of_rows(images[rows], labels[rows], len(labels), start, seed):
                sums[name] = sums[name] + part if name in sums else part
        return {name: self._result(gradient) / self._scale for name, gradient in sums.items()}

    def _of_rows(
        self, images: NDArray[np.uint8], labels: NDArray[np.int64], size: int, first: int, seed: int
    ) -> list[tuple[str, Floats]]:
        """The part of some rows, from row `first` on, in the gradients of a batch of this `size`."""
        inputs, slopes = [self._pixels(images * np.float32(1 / 255))], list[Floats]()
        for layer in range(self.last):
            value, slope = self._activated(self._sums(inputs[-1], layer))
            if probability := self.config.model.dropout:
                mask = kept(range(first, first + len(value)), value.shape[1], seed, layer, probability)
                value, slope = value * mask, slope * mask
            inputs.append(self._factor[layer + 1](value))
            slopes.append(_as_it_is(slope))
        logits, targets = self._sums(inputs[-1], self.last), targets_of(labels, self.config.training.label_smoothing)
        outputs, _ = outputs_and_losses(logits, targets, self.config.model.output)
        delta, parts = self._result((outputs - targets) * (self._scale / size)), list[tuple[str, Floats]]()
        for layer in range(self.last, -1, -1):
            factor = self._factor[layer](delta)
            parts += [(f"layers.{layer}.weight", factor.T @ inputs[layer]), (f"layers.{layer}.bias", delta.sum(axis=0))]
            if layer:
                delta = self._result(self._result(factor @ self._weights[layer]) * slopes[layer - 1])
        return parts

    def _sums(self, inputs: Floats, layer: int) -> NDArray[Any]:
        return self._result(inputs @ self._weights[layer].T + self._biases[layer])

    def _activated(self, sums: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """The values, and the derivatives there."""
        value, slope = ACTIVATIONS[self.config.model.activation][0](sums)
        rounded = self._result(value)
        return rounded, self._by_value(rounded) if self._by_value else slope


def unexplained(witness: Witness, step: int, before: Arrays, after: Arrays, rounding: Rounding) -> dict[str, float]:
    """How far the gradients of a step, as what it left shows them, are off, over the limit: by name of the parameter.

    What overflows is at 0: that it is finite is for `Witness.distances` to see.
    """
    config = witness.config
    if "scalar/scale" in before and after["scalar/scale"] < before["scalar/scale"]:
        return {}  # a step that overflowed was left out
    index, seed, images = witness.batch(step // witness.steps, step % witness.steps)
    exact, rounded = (
        Gradients(config, before, each).of(images, witness.labels[index], seed) for each in (None, rounding)
    )
    rate = learning_rate(config.training, step, witness.steps * config.training.epochs)
    ratios = {}
    for name, gradient in exact.items():
        share, change, hidden = _change(config.training, rate, name, before, after)
        off = min(_norm(change - share * each) for each in (gradient, rounded[name]))
        apart, least = _norm(rounded[name] - gradient), ROUNDOFF[config.execution.precision] / 4 * _norm(gradient)
        unit = math.hypot(share * apart, share * least, hidden)
        ratios[name] = off / (rounding.limit * unit) if math.isfinite(off) and unit else 0.0
    return ratios


def _change(
    training: TrainingConfig, rate: float, name: str, before: Arrays, after: Arrays
) -> tuple[float, Array, float]:
    """A share of a parameter's gradient, that share as the step left it, and the norm of what float32 hides of it.

    The gradient is seen in the slot that holds it, or where there is none in the weights.
    """
    keeps, share, slot = 1.0, -rate, ""
    if training.optimizer in ("adam", "adamw"):
        keeps, share, slot = BETA1, 1 - BETA1, "exp_avg/"
    elif training.optimizer == "sgd-momentum" and training.momentum:
        keeps, share, slot = training.momentum, 1.0, "momentum_buffer/"
    old, new = (state[slot + name].astype(np.float64) for state in (before, after))
    change = new - keeps * old
    if training.optimizer != "adamw" and training.weight_decay:
        change -= share * training.weight_decay * before[name]
    return share, change, 8 * U32 * (_norm(old) + _norm(new))


def _norm(values: NDArray[Any]) -> float:
    return float(np.linalg.norm(values))
