"""Epochs by the persistent kernel, each in one launch: see `accelmnist/engines/triton/kernels/persistent.py`.

The grid is launched cooperatively, so that the driver refuses one whose programs can't all run at the same time; it has
one program a multiprocessor at most. Nothing is captured: an epoch costs the host one launch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from accelmnist.core.config import CLASSES, RunConfig
from accelmnist.device import operand_dtype
from accelmnist.engines.contract import Job
from accelmnist.engines.step.device_runner import DeviceEpoch, StepState
from accelmnist.engines.step.functional import bias_corrections
from accelmnist.engines.triton.kernels.constants import Exchange, Second
from accelmnist.engines.triton.kernels.partition import Partition, partition
from accelmnist.engines.triton.launches import network_of, parameter_of, product_of, rule_of


def partition_of(config: RunConfig, multiprocessors: int) -> Partition | None:
    """The partition of `config`, of one hidden layer, among `multiprocessors`; None if it does not fit."""
    inputs, units, _ = config.model.sizes
    return partition(config.training.batch_size, inputs, units, multiprocessors=multiprocessors)


class PersistentEpochs:
    """Runs epochs of `job` on the grid of `cut`; `kept` is what a step changes."""

    def __init__(self, job: Job, cut: Partition) -> None:
        config, device = job.config, job.device.torch_device
        self.cut = cut
        self.kept = StepState.fresh(job)
        (self._count,) = self.kept.scalars["count"]
        self._arrivals = torch.zeros((), dtype=torch.int64, device=device)
        self._fixed: dict[str, Any] = {"images": job.data.images, "labels": job.data.labels, "arrivals": self._arrivals}
        weight, *others = (parameter_of(self.kept, position) for position in range(4))
        self._fixed |= {"weight": weight, "second": Second(*others), "exchange": _exchange(config, cut, device)}
        self.constants = {
            "CUT": cut,
            "MODEL": network_of(config),
            "PRODUCT": product_of(config.execution.precision),
            "RULE": rule_of(config.training),
            "TILES": cut.head_tiles,
        }

    def __call__(self, epoch: DeviceEpoch) -> Tensor:
        """Run all steps in one launch; returns their losses (steps,) float32 on the device."""
        arguments = self.arguments(epoch)
        self._arrivals.zero_()
        self.launch(arguments, first=0, steps=len(epoch), PART="all", **self._options())
        self._count += len(epoch)
        losses: Tensor = arguments["losses"].sum(dim=1)
        return losses

    def arguments(self, epoch: DeviceEpoch) -> dict[str, Any]:
        """The kernel's tensors, and groups of them, by name, for the steps of `epoch`."""
        rates = epoch.learning_rates.contiguous()
        means, roots = rates, rates  # read by Adam alone
        if "exp_avg" in self.kept.slots:
            means, roots = bias_corrections(self._count + torch.arange(len(epoch), device=self._count.device))
        return self._fixed | {
            "order": epoch.order.contiguous(),
            "seeds": epoch.dropout_seeds.contiguous(),
            "rates": rates,
            "means": means,
            "roots": roots,
            "losses": torch.zeros(len(epoch), self.cut.head_tiles, device=self._count.device),
        }

    def launch(self, arguments: dict[str, Any], **numbers: Any) -> None:
        """Start the kernel on as many programs as there are blocks."""
        from accelmnist.engines.triton.kernels.persistent import persistent

        persistent[(self.cut.programs,)](**arguments, **self.constants, **numbers)

    def _options(self) -> dict[str, Any]:
        if self._count.device.type != "cuda":
            return {}  # Triton's interpreter knows no launch options
        return {"num_warps": self.cut.warps, "num_stages": 1, "launch_cooperative_grid": True}


def _exchange(config: RunConfig, cut: Partition, device: torch.device) -> Exchange:
    operand = operand_dtype(config.execution.precision)
    return Exchange(
        sums=torch.zeros(cut.input_blocks, cut.batch, cut.units, device=device),
        activations=torch.zeros(cut.batch, cut.units, dtype=operand, device=device),
        hidden_gradients=torch.zeros(cut.batch, cut.units, dtype=operand, device=device),
        gradients=torch.zeros(cut.batch, CLASSES, dtype=operand, device=device),
    )
