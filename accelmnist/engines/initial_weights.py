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

_LINE = 16  # float32 numbers in 64 bytes

_SATURATING: tuple[Activation, ...] = ("tanh", "sigmoid")


def initial_parameters(config: ModelConfig, *, seed: int) -> list[NDArray[np.float32]]:
    """Weight (units, inputs) and bias (units,) of every layer in turn."""
    chance = generator(seed, Stream.WEIGHTS)
    parameters = []
    for inputs, units in zip(config.sizes, config.sizes[1:], strict=False):
        bound = np.float32(_bound(inputs, units, config.activation))
        weight = aligned_zeros(units, inputs)
        chance.random(dtype=np.float32, out=weight)
        np.multiply(2 * weight - 1, bound, out=weight)
        parameters += [weight, aligned_zeros(units)]
    return parameters


def aligned_zeros(*shape: int) -> NDArray[np.float32]:
    """Zeros that begin where a line of the processor's cache does, as torch's own memory: kernels depend on it."""
    size = math.prod(shape)
    memory = np.zeros(size + _LINE, dtype=np.float32)
    start = (-memory.ctypes.data // memory.itemsize) % _LINE
    return memory[start : start + size].reshape(shape)


def _bound(inputs: int, units: int, activation: Activation) -> float:
    return math.sqrt(6 / (inputs + units)) if activation in _SATURATING else math.sqrt(6 / inputs)
