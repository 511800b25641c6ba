"""What every engine in torch shares: the plan of an epoch in tensors, the state that training goes on from, the runner.

A state has the same names for all engines:

    <slot>/<parameter>      such as exp_avg/layers.0.weight
    scalar/<name>           count (updates made), scale and good_steps (fp16's loss scale)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from accelmnist.core.config import Optimizer
from accelmnist.core.errors import CheckpointError
from accelmnist.device import Device
from accelmnist.engines.contract import Job, Runner, State
from accelmnist.engines.plan import Epoch, HostEpoch
from accelmnist.engines.step.rules import SLOTS

DeviceEpoch = Epoch[Tensor]
Slots = Mapping[str, Sequence[Tensor]]


@dataclass(frozen=True)
class StepState:
    """The tensors that a step changes: parameters, the optimizer's slots, one tensor a parameter, and scalars.

    torch's Adam counts updates once a parameter, so a scalar has one tensor or several of the same value.
    """

    names: Sequence[str]  # of the parameters
    parameters: Sequence[Tensor]
    slots: Slots
    scalars: Slots

    @classmethod
    def of_job(cls, job: Job, slots: Slots, scalars: Slots) -> StepState:
        """The state of the network of `job`."""
        names, parameters = zip(*job.model.named_parameters(), strict=True)
        return cls(names, [parameter.detach() for parameter in parameters], slots, scalars)

    @classmethod
    def fresh(cls, job: Job, **scalars: Sequence[Tensor]) -> StepState:
        """What `job` begins with: slots of zeros, a count of 0, and `scalars`."""
        slots = zero_slots(list(job.model.parameters()), job.config.training.optimizer)
        return cls.of_job(job, slots, {"count": [torch.zeros((), device=job.device.torch_device)], **scalars})

    def tensors(self) -> list[Tensor]:
        """Everything that a step changes, so that a warm-up can be undone."""
        rows = (*self.slots.values(), *self.scalars.values())
        return [*self.parameters, *(tensor for row in rows for tensor in row)]

    def tensor_names(self) -> list[str]:
        """Their names, in the order of `tensors`; a scalar of several tensors has one."""
        return [*self.names, *self._named()]

    def state(self) -> State:
        """Everything but the parameters under its common name, as copies on the host."""
        return {name: row[0].detach().to("cpu", copy=True) for name, row in self._named().items()}

    @torch.no_grad()
    def load_state(self, state: State) -> None:
        """Copy in a state that any engine gave, in place; scalars that it lacks keep their value.

        Raises CheckpointError for a tensor that is missing or of another shape.
        """
        for name, row in self._named().items():
            if name in state or not name.startswith("scalar/"):
                for tensor in row:
                    tensor.copy_(_matching(state, name, tensor))

    def _named(self) -> dict[str, Sequence[Tensor]]:
        named: dict[str, Sequence[Tensor]] = {
            f"{slot}/{name}": [tensor]
            for slot, row in self.slots.items()
            for name, tensor in zip(self.names, row, strict=True)
        }
        return named | {f"scalar/{name}": row for name, row in self.scalars.items() if row}


def _matching(state: State, name: str, like: Tensor) -> Tensor:
    saved = state.get(name)
    if saved is None or saved.shape != like.shape:
        fault = "is missing" if saved is None else f"has shape {tuple(saved.shape)}, not {tuple(like.shape)}"
        raise CheckpointError(f"the saved training state: {name} {fault}", remedy="Resume with the run's own options")
    return saved


def zero_slots(parameters: Sequence[Tensor], optimizer: Optimizer) -> dict[str, list[Tensor]]:
    """The slots of `optimizer` as training begins."""
    return {name: [torch.zeros_like(p, requires_grad=False) for p in parameters] for name in SLOTS[optimizer]}


def upload_epoch(epoch: HostEpoch, device: Device) -> DeviceEpoch:
    """The plan in torch's tensors on `device`; on the CPU they share the arrays' memory."""
    return epoch.map(lambda part: torch.from_numpy(part).to(device.torch_device))


class KeepsState(Protocol):
    """What gives a state and takes one: a `StepState`."""

    def state(self) -> State:
        """As a `Runner` gives it."""

    def load_state(self, state: State) -> None:
        """As a `Runner` takes it."""


def device_runner(train_epoch: Callable[[DeviceEpoch], Tensor], kept: KeepsState, device: Device) -> Runner:
    """The runner whose epochs are `train_epoch`'s, of plans on `device`, and whose state is `kept`."""
    upload = partial(upload_epoch, device=device)
    return Runner(train_epoch, kept.state, kept.load_state, upload, download=lambda losses: losses.cpu().numpy())
