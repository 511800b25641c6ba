"""The optimizer's update of parameters by their gradient: the rules of `step.functional_update`, on blocks.

The bias corrections are computed before, once for all weights of a step.
"""

from __future__ import annotations

from typing import NamedTuple

import triton
import triton.language as tl


class Parameter(NamedTuple):
    """Pointers to a parameter and to its slots, float32 all; the parameter itself stands in for a slot it lacks."""

    value: tl.tensor
    first: tl.tensor
    second: tl.tensor


class Factors(NamedTuple):
    """A step's scalars: the learning rate, and Adam's two corrections."""

    rate: tl.tensor
    mean: tl.tensor
    root: tl.tensor


@triton.jit
def updated(value, first, second, gradient, factors, rule: tl.constexpr) -> tuple[tl.tensor, tl.tensor, tl.tensor]:
    """A block of a parameter and of its slots after an update; a slot that the rule lacks is returned unchanged."""
    if rule.optimizer == "adamw":
        value *= 1 - factors.rate * rule.decay
    else:
        gradient += rule.decay * value
    if rule.optimizer == "sgd":
        change = factors.rate * gradient
    elif rule.optimizer == "sgd-momentum":
        first = rule.momentum * first + gradient
        change = factors.rate * (gradient + rule.momentum * first if rule.nesterov else first)
    else:
        first += (1 - rule.beta1) * (gradient - first)
        second = rule.beta2 * second + (1 - rule.beta2) * gradient * gradient
        change = factors.rate * factors.mean * first / (tl.sqrt_rn(second) * factors.root + rule.epsilon)
    return value - change, first, second


@triton.jit
def load_parameter(parameter, offsets, inside, rule: tl.constexpr) -> tuple[tl.tensor, tl.tensor, tl.tensor]:
    """The values at `offsets` and both slots, zeros for those that the rule lacks."""
    value = tl.load(parameter.value + offsets, mask=inside, other=0.0)
    first = tl.zeros(value.shape, tl.float32)
    second = tl.zeros(value.shape, tl.float32)
    if rule.optimizer != "sgd":
        first = tl.load(parameter.first + offsets, mask=inside, other=0.0)
    if rule.optimizer == "adam" or rule.optimizer == "adamw":
        second = tl.load(parameter.second + offsets, mask=inside, other=0.0)
    return value, first, second


@triton.jit
def store_parameter(parameter, offsets, inside, value, first, second, rule: tl.constexpr) -> None:
    """The reverse of `load_parameter`; a slot that the rule lacks is not touched."""
    tl.store(parameter.value + offsets, value, mask=inside)
    if rule.optimizer != "sgd":
        tl.store(parameter.first + offsets, first, mask=inside)
    if rule.optimizer == "adam" or rule.optimizer == "adamw":
        tl.store(parameter.second + offsets, second, mask=inside)


@triton.jit
def update_parameter(parameter, offsets, inside, gradient, factors, rule: tl.constexpr) -> None:
    """Update the parameter and its slots at `offsets` by `gradient`."""
    value, first, second = load_parameter(parameter, offsets, inside, rule)
    value, first, second = updated(value, first, second, gradient, factors, rule)
    store_parameter(parameter, offsets, inside, value, first, second, rule)
