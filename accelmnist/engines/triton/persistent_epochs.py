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
from accelmnist.engines.contract import Job, State
from accelmnist.engines.step.device_runner import DeviceEpoch
from accelmnist.engines.step.functional_update import bias_corrections
from accelmnist.engines.step.rules import SLOTS
from accelmnist.engines.step.state import export_state, import_state
from accelmnist.engines.triton.kernels.constants import Head
from accelmnist.engines.triton.kernels.partition import Partition, partition
from accelmnist.engines.triton.launches import product, rule_of

_PARAMETERS = ("weight", "bias", "out_weight", "out_bias")


def partition_of(config: RunConfig, multiprocessors: int) -> Partition | None:
    """The partition of `config`, of one hidden layer, among `multiprocessors`; None if it does not fit."""
    inputs, units, _ = config.model.sizes
    return partition(config.training.batch_size, inputs, units, multiprocessors=multiprocessors)


class PersistentEpochs:
    """Runs epochs of `job` on the grid of `cut`; the optimizer's state lies in torch's tensors."""

    def __init__(self, job: Job, cut: Partition) -> None:
        config, device = job.config, job.device.torch_device
        self.cut = cut
        self._names = [name for name, _ in job.model.named_parameters()]
        self._parameters = [parameter.detach() for parameter in job.model.parameters()]
        slots = SLOTS[config.training.optimizer]
        self._slots = {name: [torch.zeros_like(parameter) for parameter in self._parameters] for name in slots}
        self._count = torch.zeros((), device=device)
        self._arrivals = torch.zeros((), dtype=torch.int64, device=device)
        self._fixed = {"images": job.data.images, "labels": job.data.labels, "arrivals": self._arrivals}
        self._fixed |= self._named_parameters() | _exchange(config, cut, device)
        self.constants = _constants(config, cut)

    def __call__(self, epoch: DeviceEpoch) -> Tensor:
        """Run all steps in one launch; returns their losses (steps,) float32 on the device."""
        arguments = self.arguments(epoch)
        self._arrivals.zero_()
        self.launch(arguments, first=0, steps=len(epoch), PART="all", **self._options())
        self._count += len(epoch)
        return arguments["losses"].sum(dim=1)

    def arguments(self, epoch: DeviceEpoch) -> dict[str, Tensor]:
        """The kernel's tensors by name, for the steps of `epoch`."""
        rates = epoch.learning_rates.contiguous()
        means, roots = rates, rates  # read by Adam alone
        if "exp_avg" in self._slots:
            means, roots = bias_corrections(self._count + torch.arange(len(epoch), device=self._count.device))
        return self._fixed | {
            "order": epoch.order.contiguous(),
            "seeds": epoch.dropout_seeds.contiguous(),
            "rates": rates,
            "means": means,
            "roots": roots,
            "losses": torch.zeros(len(epoch), self.cut.head_tiles, device=self._count.device),
        }

    def launch(self, arguments: dict[str, Tensor], **numbers: Any) -> None:
        """Start the kernel on as many programs as there are blocks."""
        from accelmnist.engines.triton.kernels.persistent import persistent

        persistent[(self.cut.programs,)](**arguments, **self.constants, **numbers)

    def state(self) -> State:
        """The optimizer's state under its common names, as copies on the host."""
        return export_state(self._names, self._slots, {"count": self._count})

    def load_state(self, state: State) -> None:
        """Copy in a state that `state()` of any engine returned."""
        import_state(state, self._names, self._slots, {"count": self._count})

    def _options(self) -> dict[str, Any]:
        if self._count.device.type != "cuda":
            return {}  # Triton's interpreter knows no launch options
        return {"num_warps": self.cut.warps, "num_stages": 1, "launch_cooperative_grid": True}

    def _named_parameters(self) -> dict[str, Tensor]:
        """Parameters and slots by the kernel's names; a rule with fewer slots doesn't touch the stand-ins for them."""
        named: dict[str, Tensor] = {}
        for position, (name, parameter) in enumerate(zip(_PARAMETERS, self._parameters, strict=True)):
            first, second = [*(slot[position] for slot in self._slots.values()), parameter, parameter][:2]
            named |= {name: parameter, f"{name}_first": first, f"{name}_second": second}
        return named


def _exchange(config: RunConfig, cut: Partition, device: torch.device) -> dict[str, Tensor]:
    operand = operand_dtype(config.execution.precision)
    return {
        "sums": torch.zeros(cut.input_blocks, cut.batch, cut.units, device=device),
        "activations": torch.zeros(cut.batch, cut.units, dtype=operand, device=device),
        "hidden_gradients": torch.zeros(cut.batch, cut.units, dtype=operand, device=device),
        "gradients": torch.zeros(cut.batch, CLASSES, dtype=operand, device=device),
    }


def _constants(config: RunConfig, cut: Partition) -> dict[str, Any]:
    model = config.model
    head = Head(
        classes=CLASSES,
        activation=model.activation,
        output=model.output,
        smoothing=config.training.label_smoothing,
        drop_below=int(model.dropout * 2**32),
        kept_scale=1 / (1 - model.dropout),
    )
    return {
        "CUT": cut,
        "MODEL": head,
        "PRODUCT": product(config.execution.precision),
        "RULE": rule_of(config.training),
        "TILES": cut.head_tiles,
    }
