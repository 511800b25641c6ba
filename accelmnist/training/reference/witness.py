"""The independent witness: what this program computes, written down once more in NumPy's float64, for the audit.

It shares no code with what it checks, and imports the configuration alone. A step of training is defined here from its
documents, as are the random numbers behind it, so this is also their specification:

    seed of a stream   SeedSequence([run's seed, stream, index]) gives 64 bits; all but the lowest seed NumPy's PCG64
    stream 0  weights  layer by layer: uniform float32 in [-b, b), b = sqrt(6 / inputs) (He et al. 2015), for tanh and
                       sigmoid sqrt(6 / (inputs + units)) (Glorot and Bengio 2010); biases are 0
    stream 1  order    index is the epoch; `permutation` of the images; step s takes numbers s * batch and on
    stream 2  dropout  index is the epoch; `integers(2^31)` for each step; a value at place p of hidden layer k is kept
                       if mix(p ^ mix(seed + k * 0x9E3779B9)) >= probability * 2^32, where mix is C. Wellons' lowbias32
    stream 4  augment  index is the epoch; a map for every 250 neighbouring images: see `_maps`

Losses, gradients: Bishop, "Pattern Recognition and Machine Learning", 5.2 and 5.3. Optimizers: Sutskever et al. 2013;
Kingma and Ba 2015; Loshchilov and Hutter 2019. Schedules: Loshchilov and Hutter 2017; Smith and Topin 2019.

Rounding. An engine computes the same step in a precision of unit roundoff u. Every value here carries a bound on what
that may change, by the first order of the usual analysis (Higham, "Accuracy and Stability of Numerical Algorithms",
chapter 3): a product of K terms errs by up to (4 u + sqrt(K) v) |x| |y|, with v float32's roundoff in which it is added
up, in any order; what went in with an error e adds |e| |y|. Over a batch, whose terms may all be the same (a saturated
output, a white pixel), roundings don't cancel: added one by one, the partial sums grow to the sum s and err by K / 2 v
|s| more. Where a rectifier's input lies within its bound of the kink, either derivative is right. The bounds are
carried through the update element by element, so that the limit of a weight whose gradient is tiny beside its history
is tiny too.
"""

from __future__ import annotations

import gzip
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelmnist.core.config import ModelConfig, Precision, RunConfig, TrainingConfig

Array = NDArray[np.float64]
Arrays = Mapping[str, NDArray[Any]]

U32 = 2.0**-24
ROUNDOFF: dict[Precision, float] = {"fp32": U32, "tf32": 2.0**-11, "fp16": 2.0**-11, "bf16": 2.0**-8}
_FP16_SMALLEST, _FP16_LARGEST = 2.0**-24, 65504.0
GROWTH_INTERVAL = 2000  # steps in a row that fit, after which fp16's scale is doubled
BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8
_ROWS = 4096  # images at a time
_BLOCK = 1 << 14  # numbers of a matrix at a time
SMALL = 2.0**-124  # what is a quarter of it may be taken for 0
_LOW = 0xFFFFFFFF


@dataclass(frozen=True)
class Bounded:
    """A value and the bound of what rounding may have changed in it, both of one shape."""

    value: Array
    error: Array


# --- the random numbers and the plan


def generator(seed: int, stream: int, index: int = 0) -> np.random.Generator:
    """The generator of number `index` of a stream."""
    bits = np.random.SeedSequence([seed, stream, index]).generate_state(1, np.uint64)[0]
    return np.random.Generator(np.random.PCG64(int(bits) >> 1))


def first_weights(config: RunConfig) -> dict[str, NDArray[np.float32]]:
    """The weights (units, inputs) and biases (units,) that training starts from, by name."""
    rng, model = generator(config.training.seed, 0), config.model
    weights = {}
    for layer, (inputs, units) in enumerate(zip(model.sizes, model.sizes[1:], strict=False)):
        fans = inputs + units if model.activation in ("tanh", "sigmoid") else inputs
        drawn = 2 * rng.random((units, inputs), dtype=np.float32) - 1
        weights[f"layers.{layer}.weight"] = drawn * np.float32(math.sqrt(6 / fans))
        weights[f"layers.{layer}.bias"] = np.zeros(units, dtype=np.float32)
    return weights


def learning_rate(training: TrainingConfig, step: int, steps: int) -> float:
    """The rate of `step`, counted from 0, of all `steps` of a training, rounded to float32."""
    at, rise = step / max(steps - 1, 1), training.warmup
    share = 1.0
    if training.schedule == "cosine":
        share = (1 + math.cos(math.pi * at)) / 2
    elif training.schedule == "one-cycle" and at < rise:
        share = 0.04 + 0.96 * at / rise
    elif training.schedule == "one-cycle":
        share = 1e-4 + (1 - 1e-4) * (1 + math.cos(math.pi * (at - rise) / (1 - rise))) / 2
    return float(np.float32(training.peak_rate * share))


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The lowbias32 hash of 32-bit numbers, in 64-bit ones."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        values = ((values ^ (values >> np.uint64(shift))) * np.uint64(factor)) & np.uint64(_LOW)
    return values ^ (values >> np.uint64(16))


def kept(rows: range, units: int, seed: int, layer: int, probability: float) -> Array:
    """What dropout multiplies these rows of a batch's hidden values by: 0, or 1 over what is kept: (rows, units)."""
    places = np.arange(rows.start * units, rows.stop * units, dtype=np.uint64)
    stream = _mix(np.array([(seed + layer * 0x9E3779B9) & _LOW], dtype=np.uint64))
    keep = _mix(places ^ stream) >= np.uint64(int(probability * 2**32))
    return keep.reshape(len(rows), units) / (1 - probability)


@dataclass(frozen=True)
class Plan:
    """An epoch's order of all images (n,), dropout seeds (steps,), and maps of its blocks of images if they move."""

    order: NDArray[np.int64]
    seeds: NDArray[np.int64]
    maps: Array | None

    @classmethod
    def of(cls, training: TrainingConfig, images: int, steps: int, epoch: int) -> Plan:
        """The plan of `epoch`, counted from 0."""
        seed, kind = training.seed, training.augment
        return cls(
            order=generator(seed, 1, epoch).permutation(images),
            seeds=generator(seed, 2, epoch).integers(2**31, size=steps),
            maps=None if kind == "none" else _maps(kind, -(-images // 250), generator(seed, 4, epoch)),
        )


# --- the images


def read_file(path: Path) -> NDArray[np.integer[Any]]:
    """The numbers in an IDX file, gzipped or plain, in the shape that its header states (big-endian, LeCun et al.)."""
    content = path.read_bytes()
    content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    dimensions = content[3]
    shape = [int.from_bytes(content[4 + 4 * k : 8 + 4 * k], "big") for k in range(dimensions)]
    kind = {0x08: "u1", 0x0C: ">i4"}[content[2]]
    return np.frombuffer(content, dtype=kind, offset=4 + 4 * dimensions).reshape(shape)


def _maps(kind: str, blocks: int, rng: np.random.Generator) -> Array:
    """Maps (blocks, 2, 3) from (row, column, 1) in the new image to the old one, both from the images' centre.

    A shift is by -1, 0 or 1 pixel. An affine map turns by up to 12 degrees, slants by up to 0.2, stretches each axis of
    the new image by up to 12 % and moves by up to 1.5 pixels, all uniform, drawn in this order for all blocks.
    """
    maps = np.zeros((blocks, 2, 3))
    if kind == "shift":
        maps[:, 0, 0] = maps[:, 1, 1] = 1
        maps[:, :, 2] = rng.integers(-1, 2, size=(blocks, 2))
        return maps
    angle, slant = rng.uniform(-math.radians(12), math.radians(12), blocks), rng.uniform(-0.2, 0.2, blocks)
    stretch, move = 1 + rng.uniform(-0.12, 0.12, (blocks, 1, 2))[:, 0], rng.uniform(-1.5, 1.5, (blocks, 2, 1))
    cosine, sine = np.cos(angle), np.sin(angle)
    maps[:, 0, 0], maps[:, 0, 1] = cosine * stretch[:, 0], (cosine * slant - sine) * stretch[:, 1]
    maps[:, 1, 0], maps[:, 1, 1] = sine * stretch[:, 0], (sine * slant + cosine) * stretch[:, 1]
    maps[:, :, 2] = move[:, :, 0]
    return maps


def _moved(images: NDArray[np.uint8], maps: Array) -> NDArray[np.uint8]:
    """Each image (n, 784) by its map: bilinear in eighths of a pixel, black outside, halves rounded up."""
    count, side = len(images), 28
    row, column = (part.ravel() - (side - 1) / 2 for part in np.indices((side, side)))
    at = maps @ np.stack([row, column, np.ones(side * side)]) + (side - 1) / 2
    eighths = np.rint(8 * at).astype(np.int64)
    corner, part = eighths >> 3, eighths & 7
    padded = np.zeros((count, side + 4, side + 4), dtype=np.int64)
    padded[:, 2:-2, 2:-2] = images.reshape(count, side, side)
    corner = np.clip(corner, -2, side) + 2
    mixed, number = np.zeros((count, side * side), dtype=np.int64), np.arange(count)[:, None]
    for down in (0, 1):
        for right in (0, 1):
            share = (part[:, 0] if down else 8 - part[:, 0]) * (part[:, 1] if right else 8 - part[:, 1])
            mixed += share * padded[number, corner[:, 0] + down, corner[:, 1] + right]
    return ((mixed + 32) >> 6).astype(np.uint8)


# --- the network


def _sigmoid(values: Array) -> Array:
    return 0.5 * (1 + np.tanh(0.5 * values))


def _normal(values: Array) -> tuple[Array, Array]:
    """The standard normal distribution's function and density."""
    from scipy.special import ndtr  # here: GELU alone needs it, and NumPy lacks it

    return ndtr(values), np.exp(-0.5 * values**2) / math.sqrt(2 * math.pi)


def _gelu(values: Array) -> tuple[Array, Array]:
    share, density = _normal(values)
    return values * share, share + values * density


def _silu(values: Array) -> tuple[Array, Array]:
    share = _sigmoid(values)
    return values * share, share * (1 + values * (1 - share))


def _bell(squash: Callable[[Array], Array], slope: Callable[[Array], Array]) -> Callable[[Array], tuple[Array, Array]]:
    def both(values: Array) -> tuple[Array, Array]:
        squashed = squash(values)
        return squashed, slope(squashed)

    return both


# The function with its derivative; how fast the derivative changes at most, or how far it jumps at 0.
ACTIVATIONS: dict[str, tuple[Callable[[Array], tuple[Array, Array]], float, float]] = {
    "relu": (lambda z: (np.maximum(z, 0), (z > 0).astype(np.float64)), 0.0, 1.0),
    "leaky-relu": (lambda z: (np.where(z > 0, z, 0.01 * z), np.where(z > 0, 1.0, 0.01)), 0.0, 0.99),
    "gelu": (_gelu, 0.8, 0.0),
    "silu": (_silu, 0.5, 0.0),
    "tanh": (_bell(np.tanh, lambda a: 1 - a**2), 0.77, 0.0),
    "sigmoid": (_bell(_sigmoid, lambda a: a * (1 - a)), 0.1, 0.0),
}
_STEEPEST = 1.13  # of all activations: GELU's


def _norm(values: Array, axis: int) -> Array:
    norms: Array = np.sqrt(np.einsum("ij,ij->i" if axis else "ij,ij->j", values, values))
    return norms


def logits(model: ModelConfig, weights: Arrays, images: NDArray[np.uint8], kind: Any = np.float64) -> Array:
    """The network's logits (n, 10) of byte images (n, 784), without dropout, in numbers of this `kind`."""
    parts = []
    for start in range(0, len(images), _ROWS):
        values: Array = images[start : start + _ROWS] / kind(255)
        for layer in range(len(model.hidden) + 1):
            weight, bias = weights[f"layers.{layer}.weight"], weights[f"layers.{layer}.bias"]
            values = values @ weight.T.astype(kind) + bias.astype(kind)
            if layer < len(model.hidden):
                values = ACTIVATIONS[model.activation][0](values)[0]
        parts.append(values)
    return np.concatenate(parts)


def outputs_and_losses(logits: Array, targets: Array, output: str) -> tuple[Array, Array]:
    """The output function's values, and the loss of every image, by logits and targets (n, 10)."""
    if output == "linear":
        return logits, 0.5 * ((logits - targets) ** 2).sum(axis=1)
    if output == "sigmoid":
        ones = np.logaddexp(0, logits)  # -log(1 - sigmoid)
        return _sigmoid(logits), (ones - targets * logits).sum(axis=1)
    top = logits.max(axis=1, keepdims=True)
    logs = logits - top - np.log(np.exp(logits - top).sum(axis=1, keepdims=True))
    return np.exp(logs), -(targets * logs).sum(axis=1)


class Witness:
    """Replays single steps of the training of `config` on the host's `images` (n, 784) and `labels` (n,)."""

    def __init__(self, config: RunConfig, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
        self.config, self.images, self.labels = config, images, labels
        self.steps = len(labels) // config.training.batch_size  # of an epoch: a ragged last batch is left out
        self._plan = lru_cache(4)(partial(Plan.of, config.training, len(labels), self.steps))

    def distances(self, step: int, before: Arrays, after: Arrays, loss: float) -> dict[str, float]:
        """How far step number `step` of the whole training, from `before` to `after` with this `loss`, is from right.

        Both have weights and optimizer state by name. By the same names and "loss": the largest distance over what
        rounding may make of it, so that a right step has 1 at most; what is missing or not finite is infinitely far.
        """
        training, epoch = self.config.training, step // self.steps
        layers = [f"layers.{layer}" for layer in range(len(self.config.model.hidden) + 1)]
        slots = {"sgd": (), "sgd-momentum": ("momentum_buffer",)}.get(training.optimizer, ("exp_avg", "exp_avg_sq"))
        needed = {f"{slot}{layer}.{part}" for layer in layers for part in ("weight", "bias")
                  for slot in ("", *(f"{slot}/" for slot in slots))}  # fmt: skip
        shapes = [{name: part.shape for name, part in state.items()} for state in (before, after)]
        if shapes[0] != shapes[1] or not needed <= before.keys():
            return dict.fromkeys(("loss", *needed), math.inf)
        index, seed, images = self.batch(epoch, step % self.steps)
        scale = _scalar(before, "scalar/scale", float(len(index)))
        batch = _Batch(self.config, before, images, seed=seed, scale=scale)
        batch.run(self.labels[index])
        found = {"loss": _furthest(batch.mean_loss(), np.array(loss))}
        gradients: Iterable[tuple[str, slice, Bounded]] = batch.gradients()
        if "scalar/scale" in before:
            gradients = list(gradients)
            is_left_out, found["scalar/scale"] = _scale_distance(before, after, batch.least * scale, batch.most * scale)
            if is_left_out:
                same = (np.array_equal(before[name], after[name]) for name in needed)
                return found | {name: 0.0 if kept else math.inf for name, kept in zip(needed, same, strict=True)}
        count = _scalar(before, "scalar/count", 0.0) + 1
        if "scalar/count" in before:
            found["scalar/count"] = 0.0 if _scalar(after, "scalar/count", 0.0) == count else math.inf
        rate = learning_rate(training, step, self.steps * training.epochs)
        update = Update(training, rate=rate, count=count)
        for name, rows, gradient in gradients:
            names = [name, *(f"{slot}/{name}" for slot in slots)]
            parts = [before[each][rows].astype(np.float64) for each in names]
            ends = [after[each][rows].astype(np.float64) for each in names]
            for each, expected, end in zip(names, update(parts, gradient, ends), ends, strict=True):
                found[each] = max(found.get(each, 0.0), _furthest(expected, end))
        return found

    def first_loss_distance(self, loss: float) -> float:
        """How far the `loss` of the first step is from that of the seed's weights and order, as for `distances`."""
        index, seed, images = self.batch(0, 0)
        batch = _Batch(self.config, first_weights(self.config), images, seed=seed, scale=float(len(index)))
        batch.run(self.labels[index], is_forward=True)
        return _furthest(batch.mean_loss(), np.array(loss))

    def batch(self, epoch: int, place: int) -> tuple[NDArray[np.int64], int, NDArray[np.uint8]]:
        """Numbers of the images (batch,), dropout seed, and the images (batch, 784) as the epoch shows them."""
        plan, size = self._plan(epoch), self.config.training.batch_size
        index = plan.order[place * size : (place + 1) * size]
        images = self.images[index]
        if plan.maps is not None:
            cuts = [slice(start, start + _ROWS) for start in range(0, size, _ROWS)]
            images = np.concatenate([_moved(images[cut], plan.maps[index[cut] // 250]) for cut in cuts])
        return index, int(plan.seeds[place]), images


class _Batch:
    """Loss and gradients of a batch of `images` (n, 784), with their bounds.

    Pixels that are black in all images are left out: they neither add to a sum nor have a gradient. The largest of the
    gradients, of sums and of parameters, is from `least` to `most`; `scale` is what fp16 multiplies them by.
    """

    def __init__(
        self, config: RunConfig, before: Arrays, images: NDArray[np.uint8], *, seed: int, scale: float
    ) -> None:
        self.config, self.seed, self.size, self.u = config, seed, len(images), ROUNDOFF[config.execution.precision]
        self.layers = len(config.model.hidden) + 1
        self.inked = np.flatnonzero(images.any(axis=0))
        self.images = images[:, self.inked]
        weights = [before[f"layers.{layer}.weight"] for layer in range(self.layers)]
        self.weights = [weight.astype(np.float64) for weight in (weights[0][:, self.inked], *weights[1:])]
        self.biases = [before[f"layers.{layer}.bias"].astype(np.float64) for layer in range(self.layers)]
        self.norms = [_norm(weight, 1) for weight in self.weights]
        self.loss = self.loss_error = self.least = self.most = 0.0
        # Of every layer: the gradients; squares of the norms over the batch of what they are products of.
        self.sums: list[list[Array]] = [[] for _ in self.weights]
        self._alike = self.size / 2 * U32  # over a sum of as many terms as images: what they add if all are the same
        self.floor = 4 * _FP16_SMALLEST / scale if config.execution.precision == "fp16" else SMALL

    def run(self, labels: NDArray[np.int64], *, is_forward: bool = False) -> None:
        """Forward and, unless the loss is all that is wanted, backward, some rows at a time."""
        for start in range(0, self.size, _ROWS):
            rows = range(start, min(start + _ROWS, self.size))
            self._add(rows, labels[start : start + _ROWS], is_forward=is_forward)

    def _slack(self, terms: int) -> float:
        """The bound of a product of so many terms, over the product of the norms."""
        return 4 * self.u + math.sqrt(terms) * U32

    def _add(self, rows: range, labels: NDArray[np.int64], *, is_forward: bool) -> None:
        values = Bounded(self.images[rows.start : rows.stop] / 255.0, np.zeros((1, 1)))
        inputs, slopes = [values], list[Bounded]()
        sums = self._product(values, 0)
        for layer in range(1, self.layers):
            values, slope = self._activated(sums, rows, layer - 1)
            inputs.append(values)
            slopes.append(slope)
            sums = self._product(values, layer)
        gradient = self._at_logits(sums, targets_of(labels, self.config.training.label_smoothing))
        for layer in () if is_forward else range(self.layers - 1, -1, -1):
            self._take(layer, gradient, inputs[layer])
            if layer:
                gradient = self._back(gradient, layer, slopes[layer - 1])

    def _product(self, values: Bounded, layer: int) -> Bounded:
        weight, bias = self.weights[layer], self.biases[layer]
        slack = self._slack(weight.shape[1])
        reach = slack * _norm(values.value, 1) + _norm(values.error, 1)
        return Bounded(values.value @ weight.T + bias, np.outer(reach, self.norms[layer]) + slack * np.abs(bias))

    def _activated(self, sums: Bounded, rows: range, layer: int) -> tuple[Bounded, Bounded]:
        """The hidden values and the derivatives there, both 0 where dropped."""
        function, bend, jump = ACTIVATIONS[self.config.model.activation]
        value, slope = function(sums.value)
        error = _STEEPEST * sums.error + 2 * self.u * np.abs(value)
        slope_error = bend * sums.error + 2 * self.u if bend else np.where(np.abs(sums.value) <= sums.error, jump, 0.0)
        if not (probability := self.config.model.dropout):
            return Bounded(value, error), Bounded(slope, slope_error)
        mask = kept(rows, value.shape[1], self.seed, layer, probability)
        return Bounded(value * mask, error * mask), Bounded(slope * mask, slope_error * mask)

    def _at_logits(self, sums: Bounded, targets: Array) -> Bounded:
        output = self.config.model.output
        outputs, losses = outputs_and_losses(sums.value, targets, output)
        off = outputs - targets
        self.loss += float(losses.sum())
        rounding = (np.abs(sums.value) * (np.abs(targets) + outputs.clip(0, 1))).sum() + np.abs(losses).sum()
        self.loss_error += float((np.abs(off) * sums.error + sums.error**2).sum() + 8 * U32 * rounding)
        if output == "linear":
            moved = sums.error
        elif output == "sigmoid":
            moved = np.minimum(outputs * (1 - outputs) * np.expm1(np.minimum(sums.error, 1)) + sums.error**2, 1)
        else:
            spread = sums.error + (outputs * sums.error).sum(axis=1, keepdims=True)
            moved = outputs * np.expm1(np.minimum(spread, 1))
        error = (moved + self.u * np.abs(off) + 4 * U32 * (np.abs(outputs) + np.abs(targets))) / self.size
        return Bounded(off / self.size, error + self.floor)

    def _take(self, layer: int, gradient: Bounded, inputs: Bounded) -> None:
        """Add this layer's gradients, and the squares of the norms that their bounds are made of."""
        self._see(gradient)
        parts = [
            gradient.value.T @ inputs.value,
            gradient.value.sum(axis=0),
            *(np.einsum("ij,ij->j", part, part) for part in (gradient.value, gradient.error)),
            *(np.einsum("ij,ij->j", part, part) for part in (inputs.value, inputs.error)),
        ]
        known = self.sums[layer]
        self.sums[layer] = [before + part for before, part in zip(known, parts, strict=True)] if known else parts

    def _see(self, gradients: Bounded, stretch: float = 1.0) -> None:
        if self.config.execution.precision == "fp16":
            sizes = np.abs(gradients.value)
            self.least = max(self.least, float((sizes - gradients.error).max()))
            self.most = max(self.most, float((sizes + gradients.error).max()) * stretch)

    def _back(self, gradient: Bounded, layer: int, slope: Bounded) -> Bounded:
        """From the sums of a layer to those of the layer before it."""
        value = gradient.value @ self.weights[layer]
        reach = self._slack(gradient.value.shape[1]) * _norm(gradient.value, 1) + _norm(gradient.error, 1)
        error = np.outer(reach, _norm(self.weights[layer], 0)) + self.floor
        # Dropout makes them larger: what overflows there is lost, and be the derivative before it 0.
        self._see(Bounded(value, error), stretch=1 / (1 - self.config.model.dropout))
        bound = error * (np.abs(slope.value) + slope.error) + np.abs(value) * slope.error
        return Bounded(value * slope.value, bound)

    def mean_loss(self) -> Bounded:
        """The loss of the batch."""
        error = self.loss_error / self.size + self._alike * abs(self.loss) / self.size
        return Bounded(np.array(self.loss / self.size), np.array(error))

    def gradients(self) -> Iterator[tuple[str, slice, Bounded]]:
        """The gradients by the names of the parameters, some rows at a time: they stay in the cache."""
        slack, ones = self._slack(self.size), math.sqrt(self.size)
        for layer, (weight, bias, *squares) in enumerate(self.sums):
            ours, ours_error, theirs, theirs_error = map(np.sqrt, squares)
            ours_error += slack * ours
            if layer == 0:
                weight, theirs, theirs_error = map(self._with_black, (weight, theirs, theirs_error))
            left, right = np.stack([ours_error, ours], axis=1), np.stack([theirs, theirs_error])
            for start in range(0, len(bias), step := max(1, _BLOCK // weight.shape[1])):
                rows = slice(start, start + step)
                error = self._alike * np.abs(weight[rows])
                error += self.floor
                error += left[rows] @ right
                part = Bounded(weight[rows], error)
                self._see(part)
                yield f"layers.{layer}.weight", rows, part
            part = Bounded(bias, ours_error * ones + self._alike * np.abs(bias) + self.floor)
            self._see(part)
            yield f"layers.{layer}.bias", slice(None), part

    def _with_black(self, inked: Array) -> Array:
        whole = np.zeros((*inked.shape[:-1], 784))
        whole[..., self.inked] = inked
        return whole


def targets_of(labels: NDArray[np.int64], smoothing: float) -> Array:
    """What the outputs of images with these labels are to be: (n, 10)."""
    targets = np.full((len(labels), 10), smoothing / 10)
    targets[np.arange(len(labels)), labels] += 1 - smoothing
    return targets


# --- the update


def _scalar(arrays: Arrays, name: str, missing: float) -> float:
    return float(arrays[name].reshape(-1)[0]) if name in arrays else missing


def _scale_distance(before: Arrays, after: Arrays, least: float, most: float) -> tuple[bool, float]:
    """Whether fp16 left a step out, and how far its scale is from right.

    Its largest scaled gradient is from `least` to `most`. A step whose gradients overflow is left out and halves the
    scale; enough good ones in a row double it.
    """
    scale, good = _scalar(before, "scalar/scale", 1.0), _scalar(before, "scalar/good_steps", 0.0) + 1
    found = _scalar(after, "scalar/scale", math.nan), _scalar(after, "scalar/good_steps", math.nan)
    left_out, grown = (scale / 2, 0.0), ((scale * 2, 0.0) if good >= GROWTH_INTERVAL else (scale, good))
    is_left_out = found == left_out and not most < _FP16_LARGEST
    return is_left_out, 0.0 if is_left_out or (found == grown and not least > _FP16_LARGEST) else math.inf


class Update:
    """The optimizer's step number `count`, counted from 1, at the learning rate `rate`."""

    def __init__(self, training: TrainingConfig, *, rate: float, count: float) -> None:
        self.training, self.rate = training, rate
        self.first, self.second = 1 - BETA1**count, math.sqrt(1 - _BETA2**count)

    def __call__(self, before: Sequence[Array], gradient: Bounded, found: Sequence[Array]) -> list[Bounded]:
        """A weight and its slots after it, from those `before` it, as float32 may round them: 8 times at most.

        What is made of a new slot is held against the slot as it was `found`, which has a bound of its own.
        """
        training, weight = self.training, before[0]
        size = np.abs(weight)
        if training.optimizer != "adamw" and training.weight_decay:
            error = gradient.error + 2 * U32 * training.weight_decay * size
            gradient = Bounded(gradient.value + training.weight_decay * weight, error)
        if training.optimizer in ("adam", "adamw"):
            return [self._weight_by_adam(weight, found), *_moments(before[1], before[2], gradient)]
        change, after = gradient, list[Bounded]()
        if training.optimizer == "sgd-momentum" and training.momentum == 0:
            # Nothing reads the slot then, and torch leaves it as it is.
            slot = Bounded(before[1], np.full(1, SMALL)) if np.array_equal(before[1], found[1]) else gradient
            after = [Bounded(slot.value, slot.error + 8 * U32 * np.abs(slot.value))]
        elif training.optimizer == "sgd-momentum":
            rounding = 8 * U32 * (np.abs(before[1]) + np.abs(gradient.value)) + SMALL
            after = [Bounded(training.momentum * before[1] + gradient.value, gradient.error + rounding)]
            change = Bounded(found[1], np.zeros(1))
            if training.nesterov:
                change = Bounded(gradient.value + training.momentum * found[1], gradient.error)
        rounding = 8 * U32 * (size + self.rate * np.abs(change.value)) + SMALL
        return [Bounded(weight - self.rate * change.value, self.rate * change.error + rounding), *after]

    def _weight_by_adam(self, weight: Array, found: Sequence[Array]) -> Bounded:
        """Here and in `_moments` most is done in place: these are the largest arrays."""
        inverse = np.sqrt(found[2])
        inverse *= 1 / self.second
        inverse += _EPSILON
        np.divide(1, inverse, out=inverse)  # once: it takes as long as five additions
        change = found[1] * inverse
        change *= self.rate / self.first
        # The numerator may be so small that it is rounded to 0 before it is divided.
        rounding = np.multiply(SMALL, inverse, out=inverse)
        rounding += SMALL
        rounding += 16 * U32 * np.abs(change)
        rounding += 8 * U32 * np.abs(weight)
        decay = self.rate * self.training.weight_decay if self.training.optimizer == "adamw" else 0.0
        return Bounded(np.subtract(weight * (1 - decay), change, out=change), rounding)


def _moments(mean: Array, square: Array, gradient: Bounded) -> tuple[Bounded, Bounded]:
    """Adam's averages of the gradient and of its square."""
    size, share = np.abs(gradient.value), 1 - _BETA2
    mean_error = np.abs(mean)
    mean_error += size
    mean_error *= 8 * U32
    mean_error += (1 - BETA1) * gradient.error
    mean_error += SMALL
    new_mean = BETA1 * mean
    new_mean += (1 - BETA1) * gradient.value
    new_square = _BETA2 * square
    new_square += share * size * size
    square_error = 2 * size
    square_error += gradient.error
    square_error *= share * gradient.error
    square_error += 8 * U32 * new_square
    square_error += SMALL
    return Bounded(new_mean, mean_error), Bounded(new_square, square_error)


def _furthest(expected: Bounded, found: NDArray[Any]) -> float:
    """The largest distance over its bound; infinite for what isn't finite.

    A bound that overflowed is none, also where it was multiplied by 0: there, any finite number will do.
    """
    distance = np.abs(found - expected.value)
    distance /= expected.error
    ratio = float(distance.max())
    if math.isnan(ratio):
        bound = np.where(np.isnan(expected.error), math.inf, expected.error)
        ratio = float((np.abs(found - expected.value) / bound).max())
    return ratio if math.isfinite(ratio) else math.inf
