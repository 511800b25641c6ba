"""The network, its losses and the rules of update, for any library whose arrays know Python's operators.

Functions that every library calls by a name of its own are given. Sources: Bishop, "Pattern Recognition and Machine
Learning", 5.2, for the losses; for the rules Sutskever et al. 2013, Kingma and Ba 2015, Loshchilov and Hutter 2019, in
torch's form: decay is added to the gradient but for AdamW, where it shrinks the weight itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from accelmnist.core.config import Output, TrainingConfig
from accelmnist.engines.step.rules import BETA1, BETA2, EPSILON

Array = Any
Function = Callable[[Array], Array]
Arrays = Mapping[str, Array]


def logits_of(weights: Arrays, values: Array, activation: Function, cast: Function = lambda values: values) -> Array:
    """Logits of inputs (n, 784); `cast` makes of a weight what is multiplied."""
    last = len(weights) // 2 - 1
    for layer in range(last + 1):
        weight, bias = cast(weights[f"layers.{layer}.weight"]), cast(weights[f"layers.{layer}.bias"])
        values = values @ weight.T + bias
        values = activation(values) if layer < last else values
    return values


def batch_loss(output: Output, *, log_softmax: Function, softplus: Function) -> Callable[[Array, Array], Array]:
    """The loss of the output function, by logits and targets (n, 10): summed over classes, averaged over images."""
    losses: dict[Output, Callable[[Array, Array], Array]] = {
        "softmax": lambda logits, targets: -(log_softmax(logits) * targets),
        "sigmoid": lambda logits, targets: softplus(logits) - targets * logits,
        "linear": lambda logits, targets: 0.5 * (logits - targets) * (logits - targets),
    }
    return lambda logits, targets: losses[output](logits, targets).sum(1).mean()


def corrections(count: int) -> tuple[float, float]:
    """What Adam divides its averages by, and the root of the second, in update number `count`, counted from 1."""
    return 1 - BETA1**count, (1 - BETA2**count) ** 0.5


def updated(
    training: TrainingConfig, state: Arrays, gradients: Arrays, *, rate: Array, by: tuple[Array, Array], sqrt: Function
) -> dict[str, Array]:
    """Weights and slots after a step; `by` are Adam's `corrections`."""
    after: dict[str, Array] = {}
    for name, gradient in gradients.items():
        weight = state[name]
        if training.weight_decay and training.optimizer == "adamw":
            weight = weight * (1 - rate * training.weight_decay)
        elif training.weight_decay:
            gradient = gradient + training.weight_decay * weight
        if training.optimizer in ("adam", "adamw"):
            mean = BETA1 * state[f"exp_avg/{name}"] + (1 - BETA1) * gradient
            square = BETA2 * state[f"exp_avg_sq/{name}"] + (1 - BETA2) * gradient * gradient
            change = rate / by[0] * mean / (sqrt(square) / by[1] + EPSILON)
            after |= {name: weight - change, f"exp_avg/{name}": mean, f"exp_avg_sq/{name}": square}
        elif training.optimizer == "sgd-momentum":
            velocity = training.momentum * state[f"momentum_buffer/{name}"] + gradient
            direction = gradient + training.momentum * velocity if training.nesterov else velocity
            after |= {name: weight - rate * direction, f"momentum_buffer/{name}": velocity}
        else:
            after[name] = weight - rate * gradient
    return after
