"""Steps whose batches several ranks share: each computes the gradients of its rows, one sum makes them the batch's.

An engine gives the gradients of some rows. They are written into one flat float32 buffer, with the loss behind them,
and summed over the ranks: one SUM a step, whatever the network. The update is torch's fused one on every rank, so that
equal weights stay equal to the bit.

The exact reduction computes the gradients of eight fixed parts of a batch and adds them in one fixed tree, whoever
computed which: any number of ranks that shares the parts gives the same bits. It costs the smaller products, and every
rank's sum is sent whole instead of being added on the way.

Behind the loss every rank has a mark of its own, in which it alone writes the number of its sums: so a rank that left
one out, and a sum that was none, are seen in the step in which it happens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from accelmnist.core.errors import RankError
from accelmnist.device.ranks import Ranks
from accelmnist.engines.contract import Gradients, Job, Runner
from accelmnist.engines.plan import Floats, HostEpoch, Share
from accelmnist.engines.step.device_runner import DeviceEpoch, device_runner, upload_epoch
from accelmnist.engines.step.replay import GraphChunk, replaying_runner
from accelmnist.engines.step.torch_steps import capacity_of
from accelmnist.engines.step.torch_update import ScaledUpdate

_MOST_MARKS = 1 << 20  # sums are counted up to here and from 0 again: float32 holds such a number exactly


class SharedSteps:
    """The steps of `job` by `gradients` of its share's rows and the `update` of the whole batch's."""

    def __init__(self, job: Job, gradients: Gradients, update: ScaledUpdate) -> None:
        assert job.ranks is not None
        assert job.share is not None
        self.ranks: Ranks = job.ranks
        self.share: Share = job.share
        self.gradients, self.update = gradients, update
        self.is_exact = job.config.execution.reduction == "exact"
        self.sizes = [parameter.numel() for parameter in update.parameters]
        self.numbers = sum(self.sizes) + 1  # with the loss
        device = job.device.torch_device
        self.flat = torch.zeros(self.numbers + self.ranks.size, device=device)
        is_one = self.share.shards == 1  # its gradients are written where they are summed
        self.parts = self.flat[None, : self.numbers] if is_one else self.flat.new_zeros(self.share.shards, self.numbers)
        whole = self.flat[: self.numbers - 1]
        self.views = [
            part.view_as(parameter)
            for part, parameter in zip(torch.split(whole, self.sizes), update.parameters, strict=True)
        ]
        self.count = torch.zeros((), device=device)  # of the sums so far
        self.marks = self.flat[self.numbers :]

    def train_epoch(self, epoch: DeviceEpoch) -> Tensor:
        """Run all steps; returns their losses (steps,) float32 on the device."""
        losses = torch.empty_like(epoch.learning_rates)
        for number, step in enumerate(epoch.steps()):
            losses[number] = self.step(*step)
            if not self.flat.is_cuda:  # there the host would wait for the device: the epoch's end has to do
                self.require_marks()
        return losses

    @torch.no_grad()
    def step(self, index: Tensor, rate: Tensor, seed: Tensor) -> Tensor:
        """One step on this rank's images `index`; returns the loss of the whole batch, a scalar on the device."""
        share = self.share
        for number, rows in enumerate(torch.split(index, share.rows)):
            loss, gradients = self.gradients(rows, seed, share.first + number * share.rows)
            torch.cat([*(gradient.reshape(-1).float() for gradient in gradients), loss.view(1)], out=self.parts[number])
        if share.shards > 1:
            self.flat[: self.numbers] = _tree_sum(list(self.parts))
        self._add_over_ranks()
        self.flat[: self.numbers] *= share.rows / share.of  # of a sum of means
        self.update.update(self.views, rate)
        return self.flat[self.numbers - 1]

    def _add_over_ranks(self) -> None:
        self.count.copy_((self.count + 1) % _MOST_MARKS)
        self.marks.zero_()
        self.marks[self.ranks.rank] = self.count
        if self.is_exact:
            self.flat.copy_(_tree_sum(self.ranks.collect(self.flat)))
        else:
            self.ranks.add(self.flat)

    def downloaded(self, losses: Tensor) -> Floats:
        """The `losses` on the host, if all ranks took part in the last sum."""
        self.require_marks()
        return losses.cpu().numpy()

    def require_marks(self) -> None:
        """Raise RankError if the marks of the last sum are not those of ranks that all take part in it."""
        wanted, found = int(self.count), self.marks.tolist()
        if any(mark != wanted for mark in found):
            line = self._fault(wanted, found)
            raise RankError(line, told_here=self.ranks.fail(line))

    def _fault(self, wanted: int, found: list[float]) -> str:
        """What is wrong with the marks `found`, of which each has to be `wanted`."""
        own = self.ranks.rank
        if all(mark == wanted / len(found) for mark in found):
            return f"the ranks' sum number {wanted} is their mean: it has to be a SUM"
        if found[own] == wanted and not any(found[:own] + found[own + 1 :]):
            return f"rank {own} left out the all-reduce of its step {wanted}"
        rank = next(rank for rank, mark in enumerate(found) if mark != wanted)
        return (
            f"rank {rank} is in its sum {found[rank]:g} where rank {own} is in its sum {wanted}: "
            "one of them left out a step's all-reduce"
        )


def _tree_sum(parts: Sequence[Tensor]) -> Tensor:
    """The sum of `parts`, neighbours first: ((0 + 1) + (2 + 3)) + ..., in new memory where there are several."""
    while len(parts) > 1:
        parts = [one + other for one, other in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


class SharedChunk(GraphChunk):
    """Several of such steps as one function, for a CUDA graph to capture, sums included."""

    def __init__(self, steps: SharedSteps, sample: DeviceEpoch) -> None:
        super().__init__(steps.update.kept, sample, capacity_of(sample))
        self.steps = steps

    def __call__(self, steps: int) -> None:
        """Run the first `steps` of the step inputs, in place."""
        inputs = self.step_inputs
        for number in range(steps):
            step = inputs.order[number], inputs.learning_rates[number], inputs.dropout_seeds[number]
            self.losses[number] = self.steps.step(*step)


def shared_runner(job: Job, gradients: Gradients, update: ScaledUpdate) -> Runner:
    """The runner that starts every step from the host."""
    steps = SharedSteps(job, gradients, update)
    return replace(device_runner(steps.train_epoch, update.kept, job.device), download=steps.downloaded)


def replayed_shared_runner(job: Job, gradients: Gradients, update: ScaledUpdate, sample: HostEpoch) -> Runner:
    """The runner that replays captured steps."""
    steps = SharedSteps(job, gradients, update)
    runner = replaying_runner(SharedChunk(steps, upload_epoch(sample, job.device)), job.device)
    return replace(runner, download=steps.downloaded)
