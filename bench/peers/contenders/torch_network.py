"""The network and optimizer that the three PyTorch peers share: `nn.Sequential` and torch's fused update.

Source for the fused update: docs.pytorch.org/docs/stable/optim.html ("fused" is the fastest of its implementations);
for `inference_mode`, docs.pytorch.org/docs/stable/notes/autograd.html.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench.peers.workloads import BETA1, BETA2, EPSILON, Job, Weights, Workload


def network_of(workload: Workload) -> nn.Sequential:
    """Linear layers with rectifiers between them."""
    layers: list[nn.Module] = []
    for inputs, units in zip(workload.sizes, workload.sizes[1:], strict=False):
        layers += [nn.Linear(inputs, units), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def optimizer_of(workload: Workload, network: nn.Module) -> torch.optim.Optimizer:
    """Torch's fused SGD or Adam."""
    parameters, rate = network.parameters(), workload.learning_rate
    if workload.rule == "adam":
        return torch.optim.Adam(parameters, lr=rate, betas=(BETA1, BETA2), eps=EPSILON, fused=True)
    return torch.optim.SGD(parameters, lr=rate, momentum=workload.momentum, fused=True)


@torch.no_grad()
def load_weights(network: nn.Module, weights: Weights) -> None:
    """Copy the start weights into the network's own tensors, which a compiled graph holds on to."""
    tensors = [torch.from_numpy(values) for weight, bias in weights for values in (weight.T.copy(), bias)]
    torch._foreach_copy_(list(network.parameters()), tensors)


@torch.no_grad()
def reset_optimizer(optimizer: torch.optim.Optimizer) -> None:
    """Zero its state in place: a momentum buffer of zeros gives the first step that an absent one gives."""
    for state in optimizer.state.values():
        for value in state.values():
            if isinstance(value, Tensor):
                value.zero_()


def autocast(job: Job) -> torch.autocast:
    """Mixed precision as torch recommends it; does nothing for float32."""
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=job.precision == "bf16")
