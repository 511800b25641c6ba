"""Steps and forward passes compiled by Inductor: what `compiled` runs.

Compiling happens before training, where it is timed apart: one step is run and undone, so that it cannot help the
result. Every runner and classifier has compiled code of its own, so that many live side by side.

On the CPU many steps are one function: a loop that the compiler sees, so that Python, guards and dispatch are paid once
for all. It reads its plan from buffers that never move and a count that is data, so one graph of fixed shapes serves
epochs of any number of steps. Compiled size and compile time are those of one step, while steps written out one after
another would multiply both. The loop is torch's `while_loop`, whose condition the host reads before every step: free
on the CPU, a synchronization elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from accelmnist.core.config import AMP_PRECISIONS, Precision
from accelmnist.core.errors import DeviceError, headline
from accelmnist.device import Device, autocast, matmul_precision, operand_dtype
from accelmnist.engines.compilation import compile_apart
from accelmnist.engines.contract import Classifier, Gradients, Job, Runner
from accelmnist.engines.model import ACTIVATION_FUNCTIONS, MLP, forward, scale_images
from accelmnist.engines.plan import HostEpoch
from accelmnist.engines.step.device_runner import DeviceEpoch, device_runner, upload_epoch
from accelmnist.engines.step.functional import FunctionalStep
from accelmnist.engines.step.torch_update import ScaledUpdate

_MOST_STEPS = 64  # a call: what a call costs is then below 1 % of what it does
_PART_IMAGES = {4: 1000, 2: 2000}  # classified at once, by the bytes of an operand: their inputs stay in the cache
_MOST_OPERATIONS = 5e10  # a call, a second or so: Ctrl-C waits for its end


class StepLoop:
    """Calls of up to `capacity` steps of `step`, in place; `sample` has the batch shape of all that follow."""

    def __init__(self, step: FunctionalStep, sample: DeviceEpoch) -> None:
        self._step = step
        capacity = min(len(sample), _max_steps_a_call(step, batch_size=sample.order.shape[1]))
        self._plan = sample[:capacity].map(torch.zeros_like)
        self._steps = torch.zeros((), dtype=torch.int64, device=sample.order.device)

    @property
    def capacity(self) -> int:
        """The most steps of a call."""
        return len(self._plan)

    def plan(self, part: DeviceEpoch) -> None:
        """Set the steps of the next call, at most `capacity`."""
        self._plan.fill(part)
        self._steps.fill_(len(part))

    def __call__(self) -> Tensor:
        """Run the planned steps; returns (capacity,) float32, which begins with their losses."""
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
        losses = torch.where(torch.arange(self.capacity, device=losses.device) == position, loss, losses)
        return position + 1, losses, *self._step.corrections(after), *after


def _max_steps_a_call(step: FunctionalStep, *, batch_size: int) -> int:
    """Steps of a call; a step has 6 operations for every weight and image: forward and two gradients."""
    operations = 6 * batch_size * sum(parameter.numel() for parameter in step.parameters)
    return max(1, min(_MOST_STEPS, int(_MOST_OPERATIONS / operations)))


EpochFunction = Callable[[DeviceEpoch], Tensor]


def compiled_runner(job: Job, sample: HostEpoch) -> Runner:
    """Compile the step of `job` by running it once; the weights and the state end as they began."""
    step, plan = FunctionalStep(job), upload_epoch(sample, job.device)
    run = epoch_by_loop(step, plan, job.device) if job.device.kind == "cpu" else epoch_by_steps(step, job.device)
    changed = step.tensors()
    before = [tensor.clone() for tensor in changed]
    with _compile_errors():
        run(plan[:1])
    torch._foreach_copy_(changed, before)
    return device_runner(run, step.kept, job.device)


@contextmanager
def _compile_errors() -> Iterator[None]:
    """Within: what the compiler says becomes a DeviceError."""
    try:
        yield
    except torch._dynamo.exc.TorchDynamoException as error:
        remedy = "Run with --engine eager; TORCH_LOGS=+dynamo shows more"
        raise DeviceError(f"torch.compile failed: {headline(error)}", remedy=remedy) from error


def epoch_by_loop(step: FunctionalStep, sample: DeviceEpoch, device: Device) -> EpochFunction:
    """Runs epochs as a few calls of a compiled loop."""
    loop = StepLoop(step, sample)
    compiled = compile_apart(loop, name="training_steps", device=device)

    def run(epoch: DeviceEpoch) -> Tensor:
        losses = []
        for start in range(0, len(epoch), loop.capacity):
            part = epoch[start : start + loop.capacity]
            loop.plan(part)
            losses.append(compiled()[: len(part)])
        return torch.cat(losses)

    return run


def epoch_by_steps(step: FunctionalStep, device: Device) -> EpochFunction:
    """Runs epochs as one call of a compiled step after the other."""
    compiled = compile_apart(step, name="training_step", device=device)

    def run(epoch: DeviceEpoch) -> Tensor:
        return torch.stack([compiled(*one) for one in epoch.steps()])

    return run


def compiled_gradients(job: Job, sample: HostEpoch, update: ScaledUpdate) -> Gradients:
    """Compile the gradients of the rows that this rank computes at a time, by computing those of each once."""
    assert job.share is not None
    step, plan = FunctionalStep(job), upload_epoch(sample, job.device)
    scale = None if update.loss_scale is None else update.loss_scale.scale
    compiled = {}
    for number, rows in enumerate(torch.split(plan.order[0], job.share.rows)):
        first = job.share.first + number * job.share.rows if job.config.model.dropout else 0

        def gradients(index: Tensor, seed: Tensor, first: int = first) -> tuple[Tensor, Sequence[Tensor]]:
            return step.gradients(step.parameters, index, seed, scale, first)

        if first not in compiled:
            compiled[first] = compile_apart(gradients, name="gradients", device=job.device)
        with _compile_errors():
            compiled[first](rows, plan.dropout_seeds[0])

    def run(index: Tensor, seed: Tensor, first: int) -> tuple[Tensor, Sequence[Tensor]]:
        return compiled[first if job.config.model.dropout else 0](index, seed)

    return run


class CompiledClassifier:
    """Bytes (n, 784) -> logits (n, 10) float32; see `CompiledEngine.classifier`."""

    def __init__(self, model: MLP, device: Device, precision: Precision) -> None:
        self._parameters = [parameter.detach() for parameter in model.parameters()]
        self._activation = ACTIVATION_FUNCTIONS[model.config.activation]
        self._device, self._precision = device, precision
        dtype = operand_dtype(precision)
        self._operands = [parameter.to(dtype) for parameter in self._parameters]  # in float32 the weights themselves
        self._part_images = _PART_IMAGES[dtype.itemsize]
        self._compiled: dict[int, Classifier] = {}

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Logits of `images`, in parts."""
        if self._precision in AMP_PRECISIONS:  # once for all parts: 128 units have 128 images' worth of weights
            torch._foreach_copy_(self._operands, self._parameters)
        with matmul_precision(self._device, self._precision):
            parts = [self._classify(part) for part in torch.split(images, self._part_images)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _classify(self, images: Tensor) -> Tensor:
        compiled = self._compiled.get(len(images))
        if compiled is None:
            compiled = self._compiled[len(images)] = compile_apart(self._logits, name="classify", device=self._device)
        return compiled(images)

    def _logits(self, images: Tensor) -> Tensor:
        with autocast(self._device, self._precision):
            return forward(self._operands, scale_images(images), activation=self._activation).float()
