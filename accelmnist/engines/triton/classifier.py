"""Inference by our own Triton kernels: a launch a layer, which a CUDA graph captures."""

from __future__ import annotations

import torch
from torch import Tensor

from accelmnist.core.config import Precision
from accelmnist.device import operand_dtype
from accelmnist.engines.model import MLP
from accelmnist.engines.triton.kernels.constants import tile
from accelmnist.engines.triton.launches import Launch, block_sizes, products


class TritonForward:
    """The function bytes (n, 784) -> logits (n, 10) float32, with the weights that `model` has at the call."""

    def __init__(self, model: MLP, precision: Precision) -> None:
        self._model_config = model.config
        self._parameters = [parameter.detach() for parameter in model.parameters()]
        self._operand = operand_dtype(precision)
        self._products = products(precision)

    def __call__(self, images: Tensor) -> Tensor:
        """Logits of `images`; the activations in between lie in the call's own memory."""
        values, order = images, torch.arange(len(images), device=images.device)
        last = len(self._parameters) // 2 - 1
        for layer in range(last + 1):
            values = self._layer(layer, values, order, is_last=layer == last)
        return values

    def _layer(self, layer: int, source: Tensor, order: Tensor, *, is_last: bool) -> Tensor:
        from accelmnist.engines.triton.kernels.layers import forward

        weight, bias = self._parameters[2 * layer : 2 * layer + 2]
        count, (units, inputs) = len(source), weight.shape
        dtype = torch.float32 if is_last else self._operand
        values = torch.empty(count, units, dtype=dtype, device=source.device)
        block_shape = tile(count, units, inputs)
        arguments = {"source": source, "order": order, "weight": weight, "bias": bias, "values": values}
        constants = {
            "BATCH": count,
            "INPUTS": inputs,
            "UNITS": units,
            "LAYER": layer,
            "ACTIVATION": "none" if is_last else self._model_config.activation,
            "DROP_BELOW": 0,
            "KEPT_SCALE": 1.0,
            "TRAINING": False,
            "FROM_IMAGES": layer == 0,
        }
        constants |= self._products | block_sizes(block_shape)
        # The kernel touches neither activation_grads nor seeds: values and order stand in for them.
        Launch(
            forward, block_shape.grid(count, units), arguments | {"activation_grads": values, "seeds": order}, constants
        )(0)
        return values
