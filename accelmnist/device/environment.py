"""The machine and the software under a result, for the record: all that moves a figure, nothing that names a person.

Unknown is None. Memory in bytes. Host name, user and absolute paths stay out, so that a record can
be shared.
"""

from __future__ import annotations

import os
import platform
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import psutil

import accelmnist
from accelmnist.core.records import Environment
from accelmnist.device import (
    Device,
    cpu_instructions,
    driver_version,
    processor,
    threads_in_force,
    torch_version,
    total_memory_bytes,
)
from accelmnist.device.cgroups import cores_within_quota, host_memory_bytes, text_of
from accelmnist.device.clocks import cpu_facts
from accelmnist.device.names import first_line_of
from accelmnist.device.nvml import gpu_facts

_STEERING = (
    "OMP_",
    "GOMP_",
    "KMP_",
    "MKL_",
    "OPENBLAS_NUM",
    "CUDA_VISIBLE",
    "CUBLAS_",
    "PYTORCH_",
    "TORCHINDUCTOR_",
    "NCCL_",
    "GLOO_",
)


def describe_environment(device: Device, *others: Device) -> Environment:
    """The environment of a run on `device`, and on `others` beside it, as it is now."""
    return Environment(
        processor=processor(),
        cores=_within_quota(psutil.cpu_count(logical=False)),
        logical_cores=_within_quota(psutil.cpu_count()),
        threads=threads_in_force(None),
        memory_bytes=host_memory_bytes(),
        device=str(device),
        hardware=device.hardware,
        device_memory_bytes=total_memory_bytes(device),
        driver=driver_version(device),
        cuda=_cuda_version() if device.kind == "cuda" else None,
        cpu_capability=cpu_instructions(),
        torch=torch_version(),
        numpy=numpy.__version__,
        python=platform.python_version(),
        os=f"{platform.system()} {platform.release()}",
        accelmnist=accelmnist.__version__,
        commit=_commit(),
        command=shlex.join(["accelmnist", *sys.argv[1:]]),  # as it was typed, without the program's own folder
        variables={name: value for name, value in sorted(os.environ.items()) if name.startswith(_STEERING)},
        **_facts((device, *others)),
    )


def with_clocks(environment: Environment | None, *devices: Device) -> Environment | None:
    """The environment with the clocks, links and quotas as they are now: `devices` have just worked."""
    return None if environment is None else replace(environment, **_facts(devices))


def _facts(devices: tuple[Device, ...]) -> dict[str, Any]:
    gpus = dict.fromkeys(device for device in devices if device.kind == "cuda")
    return {"cpu": cpu_facts(), "gpus": tuple(map(gpu_facts, gpus))}


def _within_quota(cores: int | None) -> int | None:
    return None if cores is None else cores_within_quota(cores)


def _cuda_version() -> str | None:
    import torch

    version: str | None = torch.version.cuda
    return version


def _commit() -> str | None:
    """The commit of the checkout that this package runs from, or was built in; `+changes` if files differ from it."""
    package = Path(accelmnist.__file__).parent
    folder = package.parent
    if not (folder / ".git").exists():
        built = package / "commit.txt"
        return text_of(built).strip() or None
    head = first_line_of(["git", "rev-parse", "--short=12", "HEAD"], folder=folder)
    if head is None:
        return None
    changed = first_line_of(["git", "status", "--porcelain", "--untracked-files=no"], folder=folder)
    return f"{head}+changes" if changed else head
