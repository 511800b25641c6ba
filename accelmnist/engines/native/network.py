"""The native kernels' way to train and to classify, on the host's arrays: see `src/` beside this file for the kernels.

81 % of MNIST's pixels are zero: the kernels multiply by the others alone, forward and in the gradients of the weights.
They are listed once for all epochs. Of images with much ink all pixels are multiplied, which runs at the processor's
full speed: the ink of the whole set decides, not a clock, so that a run that goes on ends at the same bits. A
rectifier's units are listed too, in steps in which enough of them are zero. Every thread owns a slice of each layer's
units from the forward pass to the update, so weights never move between cores, and with one hidden layer the threads
meet once a step. The results are the same to the bit for the same number of threads.

In bf16 the operands of the hidden layers' products are rounded to it, some rows of a matrix at a time, and what is zero
in all of them is left out; weights, sums and the output layer stay float32.

Nothing here needs torch; who asks for the optimizer's state or for a classifier of tensors has it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from accelmnist.core.config import CLASSES, Optimizer, Precision, TrainingConfig
from accelmnist.core.records import Choice
from accelmnist.device import threads_in_force
from accelmnist.engines import native
from accelmnist.engines.contract import Job, Snapshot
from accelmnist.engines.plan import Epoch, Floats, HostEpoch, aligned_zeros
from accelmnist.engines.room import Room
from accelmnist.engines.step.rules import BETA1, BETA2, EPSILON, SLOTS

if TYPE_CHECKING:
    from torch import Tensor

    from accelmnist.engines.contract import Classifier, State
    from accelmnist.engines.model import MLP
    from accelmnist.engines.step.device_runner import StepState

# The largest share of the pixels that is listed, by level. On a Zen 5, lists and products of all take as long at 40 %
# for 784-128-10 and at 52 % for 784-512-512-10 with AVX-512, at 61 and 73 % with AVX2, and at 60 % for the former in
# `plain`.
_MOST_LISTED = dict.fromkeys(native.LEVELS, 0.45) | {"plain": 0.6, "avx2": 0.65}
_LEAST_UNITS = 16  # of the widest layer for each thread; with fewer, meeting costs more than it brings


class NativeNetwork:
    """The network of `job`: `slots` is the optimizer's state by name, an array a parameter, `count` its updates."""

    def __init__(self, job: Job, optimizer: Optimizer | None = None) -> None:
        self.job = job
        self.parameters = job.parameters
        names = SLOTS[optimizer or job.config.training.optimizer]
        self.slots = {name: [aligned_zeros(*array.shape) for array in self.parameters] for name in names}
        self.count = 0
        self.threads = useful_threads(job.config.model.hidden, threads_in_force(job.config.execution.threads))
        size = sum(part.size for part in self._named().values())
        self._room = job.room if job.room is not None and job.room.size == size else Room(size)
        images, self._most_listed = job.host_originals.images, _MOST_LISTED[native.chosen_level()]
        self._ink = float(np.count_nonzero(images) / images.size)
        self._listed: tuple[int, Any] | None = None
        self._pixels()

    def train_epoch(self, epoch: HostEpoch) -> Floats:
        """Run all steps; returns their losses (steps,)."""
        losses = self._run(epoch, self.job.config.training)
        self.count += len(losses)
        return losses

    def _run(self, epoch: HostEpoch, training: TrainingConfig, *, first: int = 0) -> Floats:
        """Run all steps by the rule of `training`, of batches that begin with row `first`."""
        losses = np.empty(len(epoch), dtype=np.float32)
        model = self.job.config.model
        native.extension().train(
            tuple(self.parameters),
            tuple(tuple(row) for row in self.slots.values()),
            self._pixels(),
            self.job.host_images.labels,
            epoch.order,
            epoch.learning_rates,
            epoch.dropout_seeds,
            losses,
            activation=model.activation,
            output=model.output,
            rule=training.optimizer,
            nesterov=training.nesterov,
            momentum=training.momentum,
            weight_decay=training.weight_decay,
            label_smoothing=training.label_smoothing,
            dropout=model.dropout,
            beta1=BETA1,
            beta2=BETA2,
            epsilon=EPSILON,
            count=float(self.count),
            first=first,
            threads=self.threads,
            precision=self.job.config.execution.precision,
            level=native.chosen_level(),
        )
        return losses

    def _pixels(self) -> Any:
        """The images for `train`, or the pixels that are not black, listed anew when they were augmented."""
        if not self._lists_pixels:
            return self.job.host_images.images
        augmentation = self.job.augmentation
        version = 0 if augmentation is None else augmentation.written
        if self._listed is None or self._listed[0] != version:
            images, level = self.job.host_images.images, native.chosen_level()
            self._listed = version, native.extension().list_pixels(images, threads=self.threads, level=level)
        return self._listed[1]

    @property
    def _lists_pixels(self) -> bool:
        return self.job.config.execution.precision == "fp32" and self._ink <= self._most_listed

    @property
    def choices(self) -> tuple[Choice, ...]:
        """Which pixels the first layer multiplies; in bf16 that is no question."""
        if self.job.config.execution.precision == "bf16":
            return ()
        value = "those that are not black" if self._lists_pixels else "all"
        ink, most = 100 * self._ink, 100 * self._most_listed
        reason = f"{ink:.0f} % are not black; up to {most:.0f} % lists of them are quicker"
        return (Choice(what="pixels", value=value, reason=reason),)

    def logits(self, images: NDArray[np.uint8]) -> Floats:
        """Logits (n, 10) of images (n, 784) by the weights of now."""
        config = self.job.config
        threads = threads_in_force(config.execution.threads)
        classify = array_classifier(
            self.parameters,
            activation=config.model.activation,
            threads=threads,
            precision=config.execution.precision,
        )
        return classify(images)

    def look(self) -> Snapshot:
        """Weights and state as copies, by their common names."""
        named = self._named()
        ends = np.cumsum([part.size for part in named.values()])
        copies = np.split(self._room.take(), ends[:-1])
        parts = {name: copy.reshape(part.shape) for copy, (name, part) in zip(copies, named.items(), strict=True)}
        for name, part in named.items():
            np.copyto(parts[name], part)
        return parts | ({"scalar/count": np.array(float(self.count))} if self.slots else {})

    def put_back(self, snapshot: Snapshot) -> None:
        """Go on from what `look` gave."""
        for name, part in self._named().items():
            np.copyto(part, snapshot[name])
        self.count = int(snapshot.get("scalar/count", np.zeros(())))

    def _named(self) -> dict[str, Floats]:
        names = [f"layers.{number // 2}.{('weight', 'bias')[number % 2]}" for number in range(len(self.parameters))]
        rows = {"": self.parameters} | {f"{slot}/": row for slot, row in self.slots.items()}
        return {start + name: part for start, row in rows.items() for name, part in zip(names, row, strict=True)}

    def state(self) -> State:
        """The optimizer's state under its common names, as copies."""
        return self._in_torch().state()

    def load_state(self, state: State) -> None:
        """Take over a state that `state()` of any engine gave."""
        shared = self._in_torch()
        shared.load_state(state)
        if self.slots:
            self.count = int(shared.scalars["count"][0])

    def _in_torch(self) -> StepState:
        """The state in tensors that share the slots' memory; `count` is a copy."""
        import torch

        from accelmnist.engines.step.device_runner import StepState

        slots = {name: [torch.from_numpy(array) for array in row] for name, row in self.slots.items()}
        return StepState.of_job(self.job, slots, {"count": [torch.tensor(float(self.count))] if slots else []})


class NativeGradients(NativeNetwork):
    """The gradients of some images, and no update: they are written down by a rule that we have.

    A momentum of 0 stores the gradient itself, and a rate of 0 leaves the weights alone.
    """

    def __init__(self, job: Job) -> None:
        self._rule = replace(
            job.config.training, optimizer="sgd-momentum", momentum=0.0, nesterov=False, weight_decay=0.0
        )
        super().__init__(job, self._rule.optimizer)

    def __call__(self, index: Tensor, seed: Tensor, first: int) -> tuple[Tensor, list[Tensor]]:
        """The mean loss of the images at `index`, which are a batch from row `first` on, and its gradients."""
        import torch

        order, seeds = index.numpy().reshape(1, -1), seed.numpy().reshape(1)
        losses = self._run(Epoch(order, np.zeros(1, np.float32), seeds), self._rule, first=first)
        return torch.from_numpy(losses)[0], [torch.from_numpy(row) for row in self.slots["momentum_buffer"]]


def array_classifier(
    parameters: Sequence[Floats], *, activation: str, threads: int, precision: Precision
) -> Callable[[NDArray[np.uint8]], Floats]:
    """Logits (n, 10) of images (n, 784) by a copy of `parameters`, on at most `threads` threads."""
    kernels, level = native.extension(), native.chosen_level()
    classifier = kernels.make_classifier(
        tuple(parameters), activation=activation, threads=threads, precision=precision, level=level
    )

    def classify(images: NDArray[np.uint8]) -> Floats:
        logits = np.empty((len(images), CLASSES), np.float32)
        kernels.classify(classifier, images, logits)
        return logits

    return classify


def native_classifier(model: MLP, precision: Precision) -> Classifier:
    """Native inference with a copy of the weights, on at most as many threads as torch has now."""
    import torch

    parameters = [parameter.detach().contiguous().numpy() for parameter in model.parameters()]
    by_arrays = array_classifier(
        parameters, activation=model.config.activation, threads=torch.get_num_threads(), precision=precision
    )

    def classify(images: Tensor) -> Tensor:
        # NumPy makes the logits, which saves 4 of the 13 microseconds of a call with one image.
        return torch.from_numpy(by_arrays(images.contiguous().numpy()))

    return classify


def useful_threads(hidden: Sequence[int], threads: int) -> int:
    """How many of `threads` are worth their meeting."""
    return max(1, min(threads, max(hidden, default=1) // _LEAST_UNITS))
