"""What an engine is: one way of running the steps of an epoch.

An engine gets a `Job` (weights, images and the configuration) and prepares a `Runner`, which then runs epochs. It says
of itself what it can't do; for that its file is imported, so it imports no torch at its top. From the same start and
the same order every engine follows the eager float32 reference on the CPU within a stated tolerance; one parametrised
test holds all of them to that.

A new engine of ours is one file in `accelmnist/engines/`, which ends in `ENGINE = ItsClass`. One of your own is a class
in any file, `--engine FILE.py:CLASS`, and needs but two class methods, `unsupported` and `prepare`:

- `prepare` gets `job`: `job.model`, the network, whose parameters you change in place; `job.data`, all images uint8
  (n, 784) and labels int64 (n,) on the device; `job.config`, what is asked for; `job.device`.
- Its `train_epoch` gets the plan of some steps on the device. Step by step `plan.steps()` gives the batch's numbers of
  images (batch,), the learning rate and the dropout's seed, scalars. A step trains on pixels over 255 and the mean loss
  of the batch: `cross_entropy` with `label_smoothing` for softmax, else see `model.image_losses`. It returns a new
  tensor, (steps,) float32 on the device: the loss of each step before its update.
- The update is that of `torch.optim`'s SGD, Adam or AdamW, with `weight_decay`, `momentum` and `nesterov`. It keeps the
  `SLOTS` of `step.rules` for each parameter, and Adam's `scalar/count` the number of updates: `StepState.fresh(job)`
  makes them all, and `device_runner(train_epoch, kept, job.device)`, both of `step.device_runner`, makes the runner.
- What it can't do (dropout, 16 bits, another optimizer), `unsupported` has to say in a phrase.
- To classify, and to share batches with other ranks, it may have `classifier` and `prepare_shared`, as below.

Plan and losses are brought to and from the device for it, and all work belongs in `train_epoch`: what is put off isn't
there when weights and state are looked at. README.md has an example.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from accelmnist.core.config import Precision, RunConfig
from accelmnist.core.engine_file import EngineFile
from accelmnist.core.records import Choice
from accelmnist.data.types import DeviceSet, ImageSet, upload
from accelmnist.device import KINDS, Device
from accelmnist.engines.plan import Epoch, Floats, HostEpoch, Share, initial_parameters

if TYPE_CHECKING:
    from torch import Tensor

    from accelmnist.data.augment import Augmentation
    from accelmnist.device.ranks import Ranks
    from accelmnist.engines.model import MLP
    from accelmnist.engines.room import Room

State = dict[str, "Tensor"]
Snapshot = dict[str, NDArray[Any]]  # weights and state by name, as copies on the host
# Bytes (n, 784) -> logits (n, 10) float32, both on the device; the next call may overwrite what this one gave.
Classifier = Callable[["Tensor"], "Tensor"]
# Images (rows,) of the step's `order`, its dropout seed, and the first one's row in the whole batch -> the mean loss of
# these images, a float32 scalar, and its gradient at every parameter, scaled as the engine's update undoes.
Gradients = Callable[["Tensor", "Tensor", int], tuple["Tensor", Sequence["Tensor"]]]


class Job:
    """What is to be trained: the network and the images of `config`, in arrays on the host and in tensors on `device`.

    Each form is made when it is first asked for, so that what needs arrays alone does without torch. On the CPU both
    share their memory. `images` may lie on the device already, and a `model` may be given; else the weights are those
    that training starts from. Of every batch `ranks` compute a share each; None computes all of it here. `room` is what
    a native engine's copies may lie in.
    """

    def __init__(
        self,
        config: RunConfig,
        device: Device,
        images: ImageSet | DeviceSet,
        model: MLP | None = None,
        *,
        ranks: Ranks | None = None,
        room: Room | None = None,
    ) -> None:
        self.config, self.device, self.ranks, self.room = config, device, ranks, room
        self._images = images
        if model is not None:
            self.model = model

    def __len__(self) -> int:
        return len(self._images)

    @cached_property
    def share(self) -> Share | None:
        """The rows of every batch that are this rank's; None where it computes all of them at once."""
        execution = self.config.execution
        if self.ranks is None or (execution.ranks == 1 and execution.reduction == "sum"):
            return None
        return Share.of_rank(self.ranks.rank, self.config)

    def own_rows(self, plan: HostEpoch) -> HostEpoch:
        """The plan of an epoch with this process's rows of its batches alone."""
        return plan if self.share is None else self.share.cut(plan)

    @cached_property
    def parameters(self) -> list[Floats]:
        """Weight (units, inputs) and bias (units,) of every layer in turn, in the host's memory."""
        if "model" in vars(self):
            return [parameter.detach().cpu().numpy() for parameter in self.model.parameters()]
        return initial_parameters(self.config.model, seed=self.config.training.seed)

    @cached_property
    def model(self) -> MLP:
        """The network on the device."""
        from accelmnist.engines.model import MLP

        return MLP(self.config.model, parameters=self.parameters).to(self.device.torch_device)

    @cached_property
    def originals(self) -> DeviceSet:
        """The images on the device as their files hold them."""
        return self._images if isinstance(self._images, DeviceSet) else upload(self._images, self.device)

    @cached_property
    def augmentation(self) -> Augmentation | None:
        """What writes every epoch's images into `data`, where they are augmented."""
        training = self.config.training
        if training.augment == "none":
            return None
        from accelmnist.data.augment import Augmentation

        return Augmentation(training.augment, self.originals, seed=training.seed)

    @property
    def data(self) -> DeviceSet:
        """The images on the device; a copy where they are augmented."""
        return self.originals if self.augmentation is None else self.augmentation.data

    @property
    def host_images(self) -> ImageSet:
        """The images of a job on the CPU in arrays, as they are now: they share the memory of `data`."""
        return self.host_originals if self.augmentation is None else _in_arrays(self.data)

    @property
    def host_originals(self) -> ImageSet:
        """The images of a job on the CPU in arrays, as their files hold them: they share the memory of `originals`."""
        return self._images if isinstance(self._images, ImageSet) else _in_arrays(self.originals)


def _in_arrays(images: DeviceSet) -> ImageSet:
    return ImageSet(images.images.contiguous().numpy(), images.labels.numpy())


@dataclass(frozen=True)
class Runner:
    """An engine that is ready to train its job; the network's weights are current before and after each epoch.

    `upload` puts the plan of an epoch where `train_epoch` reads it, on the device. `train_epoch` runs all steps and
    returns their losses (steps,) float32 there, without a host sync. `state` is everything besides the weights that the
    next epoch depends on, by name, as copies on the host; `load_state` goes on from a state of this or another engine
    that trained the same configuration. `download` brings losses to the host. `classify` gives the logits (n, 10) of
    the host's images (n, 784) by the weights of now, where the runner has a way to do that without torch; so `look`
    copies weights and state, and `put_back` goes on from such copies. `choices` are what the images decided.
    """

    train_epoch: Callable[[Epoch[Any]], Any]
    state: Callable[[], State]
    load_state: Callable[[State], None]
    upload: Callable[[HostEpoch], Epoch[Any]] = lambda epoch: epoch
    download: Callable[[Any], Floats] = lambda losses: losses
    classify: Callable[[NDArray[np.uint8]], Floats] | None = None
    look: Callable[[], Snapshot] | None = None
    put_back: Callable[[Snapshot], None] | None = None
    choices: tuple[Choice, ...] = ()
    prepare_s: float = 0.0  # what it took to compile, capture and allocate
    prepare_seen_s: tuple[float, float] = (0.0, math.inf)  # the least and the most of that by another clock
    engine: type[Engine] | None = None  # whose it is


class Engine(ABC):
    """One way of running the steps of an epoch. It is never made: what an engine keeps, its runner has."""

    summary: ClassVar[str] = "an engine of one's own"  # for people: what it does, in a phrase
    kinds: ClassVar[tuple[str, ...]] = KINDS  # of device on which it can run at all, whatever is installed
    compiles_on: ClassVar[tuple[str, ...]] = ()  # kinds on which `prepare` takes so long that people should be told
    own_file: ClassVar[EngineFile | None] = None  # where it is, if it isn't ours
    runs_python: ClassVar[bool] = True  # whether a step runs the network's Python after `prepare`: see `python_watch`

    @classmethod
    @abstractmethod
    def unsupported(cls, config: RunConfig, device: Device) -> str | None:
        """Why this engine can't train `config` on `device`, or None when it can."""

    @classmethod
    @abstractmethod
    def prepare(cls, job: Job, sample: HostEpoch) -> Runner:
        """Compile, capture, allocate. The weights end as they began.

        `sample` has the batch shape of every epoch to come; those may have fewer steps.
        """

    @classmethod
    def why_alone(cls, device: Device) -> str | None:  # noqa: ARG003 - most can on every device that they run on
        """Why several ranks can't share its batches on `device`, or None when they can."""
        is_own = cls.prepare_shared.__func__ is not Engine.prepare_shared.__func__  # type: ignore[attr-defined]
        return None if is_own else "it has no prepare_shared, and trains alone"

    @classmethod
    def prepare_shared(cls, job: Job, sample: HostEpoch) -> Runner:
        """As `prepare`, for a job of which this process computes `job.share`; the plans have that share's rows."""
        raise NotImplementedError(f"{cls.__name__}.why_alone has to say why")

    @classmethod
    def classifier(cls, model: MLP, device: Device, precision: Precision) -> Classifier | None:  # noqa: ARG003
        """The engine's own way to classify images with the weights that `model` has now; None where it has none.

        The first call with a new number of images may compile.
        """
        return None
