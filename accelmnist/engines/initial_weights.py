"""The weights that training starts from: drawn on the host from the run's seed, the same to the bit for every device.

Uniform: He's variance for rectifiers, Glorot's for saturating functions (He et al. 2015; Glorot and Bengio 2010).
Biases start from zero.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from accelmnist.core.config import Activation, ModelConfig
from accelmnist.core.seeds import Stream, generator

_SATURATING: tuple[Activation, ...] = ("tanh", "sigmoid")


def initial_parameters(config: ModelConfig, *, seed: int) -> list[NDArray[np.float32]]:
    """Weight (units, inputs) and bias (units,) of every layer in turn."""
    chance = generator(seed, Stream.WEIGHTS)
    parameters = []
    for inputs, units in zip(config.sizes, config.sizes[1:], strict=False):
        bound = np.float32(_bound(inputs, units, config.activation))
        weight = chance.random((units, inputs), dtype=np.float32)
        parameters += [(2 * weight - 1) * bound, np.zeros(units, dtype=np.float32)]
    return parameters


def _bound(inputs: int, units: int, activation: Activation) -> float:
    return math.sqrt(6 / (inputs + units)) if activation in _SATURATING else math.sqrt(6 / inputs)
