"""Many steps as one function: a loop that the compiler sees, so that Python, guards and dispatch are paid once for all.

Compiled code reads its plan from buffers that never move and a count that is data, so one graph of fixed shapes serves
epochs of any number of steps. Compiled size and compile time are those of one step, while steps written out one after
another would multiply both. The loop is torch's `while_loop`, whose condition the host reads before every step: free
on the CPU, a synchronization elsewhere.
"""

from __future__ import annotations

import torch
from torch import Tensor

from accelmnist.engines.step.device_runner import DeviceEpoch
from accelmnist.engines.step.functional import FunctionalStep

_MOST_STEPS = 64  # a call: what a call costs is then below 1 % of what it does
_MOST_OPERATIONS = 5e10  # a call, a second or so: Ctrl-C waits for its end


class StepLoop:
    """Calls of up to `room` steps of `step`, in place; `sample` has the batch shape of all that follow."""

    def __init__(self, step: FunctionalStep, sample: DeviceEpoch) -> None:
        self._step = step
        room = min(len(sample), _max_steps_a_call(step, batch_size=sample.order.shape[1]))
        self._plan = sample[:room].map(torch.zeros_like)
        self._steps = torch.zeros((), dtype=torch.int64, device=sample.order.device)

    @property
    def room(self) -> int:
        """The most steps of a call."""
        return len(self._plan)

    def plan(self, part: DeviceEpoch) -> None:
        """Set the steps of the next call, at most `room`."""
        steps = len(part)
        assert part.order.shape[1:] == self._plan.order.shape[1:], "the batch of an epoch is the sample's"
        self._plan.order[:steps] = part.order
        self._plan.learning_rates[:steps] = part.learning_rates
        self._plan.dropout_seeds[:steps] = part.dropout_seeds
        self._steps.fill_(steps)

    def __call__(self) -> Tensor:
        """Run the planned steps; returns (room,) float32, which begins with their losses."""
        from torch._higher_order_ops import while_loop  # imports the compiler: two seconds

        def has_steps_left(position: Tensor, *_: Tensor) -> Tensor:
            return position < self._steps

        tensors = self._step.tensors()
        losses = torch.zeros_like(self._plan.learning_rates)
        corrections = self._step.corrections(tensors)
        start = (torch.zeros_like(self._steps), losses, *corrections, *(tensor.clone() for tensor in tensors))
        end: tuple[Tensor, ...] = while_loop(has_steps_left, self._advance, start)  # type: ignore[no-untyped-call]
        for stored, value in zip(tensors, end[2 + len(corrections) :], strict=True):
            stored.copy_(value)
        return end[1]

    def _advance(self, position: Tensor, losses: Tensor, *carried: Tensor) -> tuple[Tensor, ...]:
        correction_count = len(carried) - len(self._step.tensors())
        index = position.view(1)
        loss, after = self._step.advance(
            carried[correction_count:],
            carried[:correction_count],
            self._plan.order.index_select(0, index).view(-1),
            self._plan.learning_rates.index_select(0, index).view(()),
            self._plan.dropout_seeds.index_select(0, index).view(()),
        )
        losses = torch.where(torch.arange(self.room, device=losses.device) == position, loss, losses)
        return position + 1, losses, *self._step.corrections(after), *after


def _max_steps_a_call(step: FunctionalStep, *, batch_size: int) -> int:
    """Steps of a call; a step has 6 operations for every weight and image: forward and two gradients."""
    operations = 6 * batch_size * sum(parameter.numel() for parameter in step.parameters)
    return max(1, min(_MOST_STEPS, int(_MOST_OPERATIONS / operations)))
