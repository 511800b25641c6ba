"""Training as the framework does it: operations one by one, autograd, torch's fused update.

It is the baseline of every speed-up, and in float32 on the CPU the reference of every verdict, so it stays plain: see
`step/torch_steps.py`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from accelmnist.core.config import Precision, RunConfig
from accelmnist.device import Device
from accelmnist.engines.contract import Classifier, Engine, Job, Runner
from accelmnist.engines.plan import HostEpoch

if TYPE_CHECKING:
    from accelmnist.engines.model import MLP


class EagerEngine(Engine):
    """Operations one by one, torch's autograd and fused update."""

    summary = "operations one by one, fused update"

    @classmethod
    def unsupported(cls, config: RunConfig, device: Device) -> str | None:  # noqa: ARG003 - it runs all that torch runs
        """It runs everything that the device can."""
        return None

    @classmethod
    def prepare(cls, job: Job, sample: HostEpoch) -> Runner:  # noqa: ARG003 - nothing here depends on the shapes
        """Make the optimizer's state; nothing is compiled."""
        from accelmnist.engines.step.device_runner import device_runner
        from accelmnist.engines.step.torch_steps import EagerSteps

        steps = EagerSteps(job)
        return device_runner(steps.train_epoch, steps.update.kept, job.device)

    @classmethod
    def prepare_shared(cls, job: Job, sample: HostEpoch) -> Runner:  # noqa: ARG003 - as above
        """As `prepare`: autograd's gradients, summed over the ranks before the update."""
        from accelmnist.engines.step.shared_steps import shared_runner
        from accelmnist.engines.step.torch_steps import EagerSteps

        steps = EagerSteps(job)
        return shared_runner(job, steps.gradients, steps.update)

    @classmethod
    def classifier(cls, model: MLP, device: Device, precision: Precision) -> Classifier:
        """The forward pass of every evaluation."""
        from accelmnist.engines.model import logits_of

        return partial(logits_of, model, device=device, precision=precision)


ENGINE = EagerEngine
