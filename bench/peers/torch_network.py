"""What the three PyTorch peers share: `nn.Sequential`, its loss, and torch's fused update.

Source for the fused update: docs.pytorch.org/docs/stable/optim.html ("fused" is the fastest of its implementations);
for `inference_mode`, docs.pytorch.org/docs/stable/notes/autograd.html; for bfloat16 by `torch.autocast`,
docs.pytorch.org/docs/stable/amp.html.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from accelmnist.core.config import Activation, Precision
from accelmnist.engines.step.rules import BETA1, BETA2, EPSILON
from bench.peers.contract import COUNT, Contender, Job, State
from bench.peers.network import batch_loss

_ACTIVATIONS: dict[Activation, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky-relu": nn.LeakyReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


def network_of(job: Job) -> nn.Sequential:
    """Linear layers with activations between them."""
    sizes, layers = job.config.model.sizes, list[nn.Module]()
    for inputs, units in pairwise(sizes):
        layers += [nn.Linear(inputs, units), _ACTIVATIONS[job.config.model.activation]()]
    return nn.Sequential(*layers[:-1])


def criterion_of(job: Job) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss by logits (n, 10) and labels (n,)."""
    output, table = job.config.model.output, torch.from_numpy(job.targets())
    if output == "softmax":
        return nn.CrossEntropyLoss(label_smoothing=job.config.training.label_smoothing)
    loss = batch_loss(output, log_softmax=partial(F.log_softmax, dim=1), softplus=F.softplus)
    return lambda logits, labels: loss(logits, table[labels])


def optimizer_of(job: Job, network: nn.Module) -> torch.optim.Optimizer:
    """Torch's fused SGD, Adam or AdamW."""
    training, parameters = job.config.training, list(network.parameters())
    common: dict[str, Any] = {"lr": training.peak_rate, "weight_decay": training.weight_decay, "fused": True}
    if job.is_adam:
        kind = torch.optim.AdamW if training.optimizer == "adamw" else torch.optim.Adam
        return kind(parameters, betas=(BETA1, BETA2), eps=EPSILON, **common)
    momentum = training.momentum if job.slots else 0.0
    return torch.optim.SGD(parameters, momentum=momentum, nesterov=training.nesterov, **common)


class TorchContender(Contender):
    """The network, its optimizer and their state; how batches come to `step` is everybody's own."""

    packages: ClassVar[tuple[str, ...]] = ("torch",)
    precisions: ClassVar[tuple[Precision, ...]] = ("fp32", "bf16")

    def __init__(self, job: Job) -> None:
        self.job, self.rates = job, job.rates.tolist()
        self.network, self.criterion = network_of(job), criterion_of(job)
        self.optimizer = optimizer_of(job, self.network)

    def autocast(self) -> torch.autocast:
        """Mixed precision as torch recommends it; does nothing for float32."""
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.job.config.execution.precision == "bf16")

    def update(self, loss: Tensor, rate: float) -> Tensor:
        """Backward and the optimizer's step; returns the loss."""
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
        self.optimizer.param_groups[0]["lr"] = rate
        self.optimizer.step()
        return loss.detach()

    @torch.no_grad()
    def load(self, state: State) -> None:
        """Into the network's own tensors, which a compiled graph holds on to."""
        for name, parameter in zip(self.job.names, self.network.parameters(), strict=True):
            parameter.copy_(torch.from_numpy(state[name]))
            kept = {slot: torch.tensor(state[f"{slot}/{name}"]) for slot in self.job.slots}
            count = {"step": torch.tensor(float(state[COUNT]))} if self.job.is_adam else {}
            self.optimizer.state[parameter] = kept | count

    def save(self) -> State:
        """Copies of what both have."""
        named = dict(zip(self.job.names, self.network.parameters(), strict=True))
        state = {name: parameter.detach().numpy().copy() for name, parameter in named.items()}
        for slot in self.job.slots:
            state |= {f"{slot}/{n}": self.optimizer.state[p][slot].numpy().copy() for n, p in named.items()}
        count = self.optimizer.state[named[self.job.names[0]]].get("step")
        return state | ({} if count is None else {COUNT: count.numpy().copy()})

    def upload(self, images: NDArray[np.uint8]) -> Tensor:
        """As bytes."""
        return torch.from_numpy(images)

    @torch.inference_mode()
    def classify(self, images: Any) -> NDArray[Any]:
        """One forward pass over all images."""
        with self.autocast():
            logits: Tensor = self.network(images.float() / 255)
        return logits.float().numpy()
