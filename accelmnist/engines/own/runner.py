"""The runner of a user's engine, held to the contract at every call.

The plan's way to the device and the losses' way back are ours, and nothing but `state` copies weights or state: work
that is put off until then would be done while no clock runs.
"""

from __future__ import annotations

import torch
from torch import Tensor

from accelmnist.core.engine_file import EngineFile
from accelmnist.engines.contract import Job, Runner, State
from accelmnist.engines.own.faults import broken, calling, checked, described
from accelmnist.engines.step.device_runner import DeviceEpoch, device_runner
from accelmnist.engines.step.rules import SLOTS


class HeldRunner:
    """The functions of a runner of `job`, by the engine in `file`, held to the contract; `runner` is what has them."""

    def __init__(self, runner: Runner, job: Job, file: EngineFile) -> None:
        self._of, self._file = runner, file
        names = [name for name, _ in job.model.named_parameters()]
        slots = SLOTS[job.config.training.optimizer]
        self._due = {f"{slot}/{name}" for slot in slots for name in names}
        if "exp_avg" in slots:
            self._due.add("scalar/count")
        self.runner = device_runner(self.train_epoch, self, job.device)
        self.state()

    def train_epoch(self, epoch: DeviceEpoch) -> Tensor:
        """The engine's own, whose losses are what the contract says."""
        with calling(self._file, "train_epoch"):
            losses: Tensor = self._of.train_epoch(epoch)
        is_tensor = type(losses) is Tensor and losses.device == epoch.order.device
        if not (is_tensor and losses.dtype == torch.float32 and losses.shape == (len(epoch),)):
            due = f"({len(epoch)},) float32 on {epoch.order.device}: a loss for each of {len(epoch)} steps"
            raise broken(self._file, f"its train_epoch gave {described(losses)}, and not a Tensor {due}")
        return losses.detach()

    def state(self) -> State:
        """The engine's own, which has all that the update keeps."""
        with calling(self._file, "state"):
            state: State = checked(self._file, "state", self._of.state(), dict)
        for name, part in state.items():
            if not (isinstance(part, Tensor) and part.device.type == "cpu"):
                raise broken(self._file, f"its state gave {described(part)} as {name}, and not a Tensor on the CPU")
        if missing := sorted(self._due - state.keys()):
            raise broken(self._file, f"its state lacks {missing[0]}, which the optimizer keeps")
        return state

    def load_state(self, state: State) -> None:
        """The engine's own."""
        with calling(self._file, "load_state"):
            self._of.load_state(state)
