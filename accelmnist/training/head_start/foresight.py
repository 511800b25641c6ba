"""Whether a run will be the native kernels' on the CPU, told before torch is there; where it isn't sure, the run waits.

What is said here is what `run_setup` will choose later. A driver of a GPU, or a table that has another engine as the
fastest anywhere, leaves it open.
"""

from __future__ import annotations

import sys
from pathlib import Path

from accelmnist.core.config import AUTO, RunConfig
from accelmnist.core.errors import AccelmnistError
from accelmnist.device.threads import usable_threads
from accelmnist.engines import native
from accelmnist.engines.speeds import load_speeds, wins_everywhere

ENGINE = "fused"
WEIGHTS_A_SECOND = 1.5e10  # times images: a low estimate for two cores, before an epoch has told the true one
LONGEST_S = 2.0  # until the run shows itself, as torch would take
_IMAGES = 60_000
_DRIVERS = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd")  # NVIDIA's, also under WSL, and AMD's


def why_not(config: RunConfig) -> str | None:
    """Why `config` has to wait for torch; None where it can begin."""
    if not _will_be_native(config):
        return "another engine or device may be chosen"
    training = config.training
    if config.execution.precision != "fp32" or training.augment != "none" or training.averaging:
        return "its epochs need torch"
    if config.data.folder is None and config.data.dataset != "mnist":
        return "its images have to be fetched or made"
    if expected_epoch_s(config, _IMAGES) > LONGEST_S:
        return "an epoch takes longer than torch's import"
    return native.why_missing()


def threads_of(config: RunConfig) -> int:
    """How many threads will train: those asked for, or those that torch would take."""
    return config.execution.threads or usable_threads()


def expected_epoch_s(config: RunConfig, images: int) -> float:
    """A high estimate of the seconds that an epoch over `images` takes."""
    return config.model.parameters * images / WEIGHTS_A_SECOND


def _will_be_native(config: RunConfig) -> bool:
    device, engine = config.execution.device, config.execution.engine
    if device != "cpu" and not (device == AUTO and _has_no_accelerator()):
        return False
    return engine == ENGINE or (engine == AUTO and _is_fastest())


def _has_no_accelerator() -> bool:
    return sys.platform == "linux" and not any(Path(driver).exists() for driver in _DRIVERS)


def _is_fastest() -> bool:
    try:
        return wins_everywhere(load_speeds(), ENGINE, device="cpu")
    except AccelmnistError:
        return True  # a table that can't be read says nothing, and the rule holds
