"""The network: a multilayer perceptron from 784 pixels to 10 classes.

`MLP` owns the weights (`layers.0.weight` of shape (units, inputs), and so on, float32) and maps inputs to logits.
What differs by configuration (activation, output function, its loss) is a pure function chosen once by name, so that
the engines which compile or capture a step can use it as well as the module can.

Every output function is paired with the loss whose gradient at the logits is (output - target) / batch: softmax with
cross-entropy, sigmoid with binary cross-entropy, linear with half the squared error, each summed over the classes and
averaged over the batch. One learning rate therefore means the same for all three. Source: Bishop, "Pattern
Recognition and Machine Learning", section 5.2 (canonical link functions).

The weights start from what `plan` draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from accelmnist.core.config import CLASSES, Activation, ModelConfig, Output, Precision
from accelmnist.device import Device, autocast, matmul_precision
from accelmnist.engines.plan import initial_parameters

_CHUNK = 10_000  # images a forward pass: 31 MB of float32 inputs, the whole test set at once

PIXEL_SCALE = 1 / 255  # bytes become 0 to 1; black stays exactly 0, which a sparse kernel can use

ACTIVATION_FUNCTIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "leaky-relu": F.leaky_relu,
    "gelu": F.gelu,
    "silu": F.silu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}


class Layer(nn.Module):
    """Weights (units, inputs) and biases (units,), in the memory of the arrays given.

    `nn.Linear` would draw values of its own from the global generator, and its way around that, the meta device, makes
    torch import a second's worth of modules.
    """

    def __init__(self, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.from_numpy(weight))
        self.bias = nn.Parameter(torch.from_numpy(bias))


class MLP(nn.Module):
    """The network of `config`: its weights are `parameters`, whose memory it shares, or drawn from `seed`.

    They are drawn on the host: the same to the bit for every device.
    """

    def __init__(
        self, config: ModelConfig, *, seed: int = 0, parameters: Sequence[NDArray[np.float32]] | None = None
    ) -> None:
        super().__init__()
        self.config = config
        arrays = initial_parameters(config, seed=seed) if parameters is None else parameters
        self.layers = nn.ModuleList(map(Layer, arrays[::2], arrays[1::2]))

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (n, 10) of scaled inputs (n, 784), without dropout."""
        return forward(list(self.parameters()), inputs, activation=ACTIVATION_FUNCTIONS[self.config.activation])

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Copies of all weights on the host, by name."""
        return {name: weight.detach().to("cpu", copy=True).numpy() for name, weight in self.named_parameters()}

    def first_layer_weights(self) -> NDArray[np.float32]:
        """The weights from the pixels, (units, 784) on the host: of the first hidden layer, or of the outputs."""
        weights: NDArray[np.float32] = self.get_parameter("layers.0.weight").detach().cpu().numpy()
        return weights


def forward(
    parameters: Sequence[Tensor],
    inputs: Tensor,
    *,
    activation: Callable[[Tensor], Tensor],
    drop: Callable[[Tensor, int], Tensor] | None = None,
) -> Tensor:
    """Logits (n, 10) of inputs (n, 784) by the weights and biases in `parameters`, layer by layer.

    `drop` is called with a hidden activation and the number of its layer.
    """
    values = inputs
    last = len(parameters) - 2
    for position in range(0, last, 2):
        values = activation(F.linear(values, parameters[position], parameters[position + 1]))
        if drop is not None:
            values = drop(values, position // 2)
    return F.linear(values, parameters[last], parameters[last + 1])


def scale_images(images: Tensor) -> Tensor:
    """Inputs 0 to 1 as float32 from bytes, any shape."""
    return images.float() * PIXEL_SCALE  # converted first: a product of bytes and a number takes twice as long


def apply_output(logits: Tensor, output: Output) -> Tensor:
    """The output function: what the network says of each class, same shape; only softmax's add up to 1."""
    if output == "softmax":
        return torch.softmax(logits, dim=-1)
    return torch.sigmoid(logits) if output == "sigmoid" else logits


def target_table(label_smoothing: float, device: torch.device) -> Tensor:
    """The target of every class, one a row: (10, 10) float32, one-hot but for the share that smoothing spreads."""
    return torch.eye(CLASSES, device=device) * (1 - label_smoothing) + label_smoothing / CLASSES


def image_losses(logits: Tensor, targets: Tensor, output: Output) -> Tensor:
    """The loss of every image: (n,), from logits and targets (n, 10) of one type."""
    if output == "softmax":
        return F.cross_entropy(logits, targets, reduction="none")
    if output == "sigmoid":
        return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(dim=-1)
    return 0.5 * (logits - targets).square().sum(dim=-1)


def batch_loss(output: Output, *, label_smoothing: float, device: torch.device) -> Callable[[Tensor, Tensor], Tensor]:
    """The function (logits (n, 10), labels (n,)) -> the mean loss of the batch, a scalar: what training minimizes.

    16-bit logits are widened to float32 first. Where nothing is smoothed, cross-entropy by labels is the quickest form.
    """
    table = target_table(label_smoothing, device)

    def by_labels(logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(_widened(logits), labels)

    def by_targets(logits: Tensor, labels: Tensor) -> Tensor:
        wide = _widened(logits)
        # A row of the table an image: torch's own label_smoothing takes 1.6 times as long, forward and backward.
        return image_losses(wide, table.to(wide.dtype).index_select(0, labels), output).mean()

    return by_labels if output == "softmax" and label_smoothing == 0 else by_targets


def _widened(logits: Tensor) -> Tensor:
    return logits if logits.dtype in (torch.float32, torch.float64) else logits.float()


@torch.no_grad()
def logits_of(model: MLP, images: torch.Tensor, *, device: Device, precision: Precision) -> torch.Tensor:
    """Logits (n, 10) float32 on the device, of byte images (n, 784)."""
    chunks = []
    with matmul_precision(device, precision):
        for part in torch.split(images, _CHUNK):
            with autocast(device, precision):
                chunks.append(model(scale_images(part)).float())
    return torch.cat(chunks)
