"""The devices that are there: by name, with their hardware, driver and queue of work."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from accelmnist.core.errors import ConfigError, DeviceError

KINDS = ("cpu", "cuda", "mps")
_MOST_THREADS_EACH = 4  # of a processor: more is a slip of the finger, and can take the machine down
_MOST_THREADS = 1024  # of the native kernels (kMaxThreads)


@dataclass(frozen=True)
class Device:
    """A device that is there: `torch_device` for tensors, `hardware` for people, `reason` why it was chosen."""

    torch_device: torch.device
    hardware: str
    reason: str

    @property
    def kind(self) -> str:
        """One of KINDS."""
        return self.torch_device.type

    def __str__(self) -> str:
        return str(self.torch_device)


def available() -> list[str]:
    """Names of the devices that are there, the fastest kind first; `cpu` is always the last."""
    names = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    if torch.backends.mps.is_available():
        names.append("mps")
    return [*names, "cpu"]


def resolve(name: str) -> Device:
    """The device called `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.

    Raises DeviceError for one that is not there and ConfigError for a name that means nothing; both name what is there.
    """
    there = available()
    if name == "auto":
        return _describe(there[0], "the fastest kind here" if len(there) > 1 else "no CUDA or MPS device here")
    kind, _, index = name.partition(":")
    if kind not in KINDS or (index and not index.isdecimal()) or (index and kind != "cuda"):
        raise ConfigError(
            f"--device: {name!r} is not a device",
            remedy=f"Choose auto, cpu, cuda, cuda:N or mps; here: {', '.join(there)}",
        )
    wanted = f"cuda:{int(index or 0)}" if kind == "cuda" else kind
    if wanted not in there:
        raise DeviceError(
            f"--device {name} is not available: {why_absent(kind)}",
            remedy=f"Choose one that is here: {', '.join(there)}",
        )
    return _describe(wanted, "asked for")


def _describe(name: str, reason: str) -> Device:
    device = torch.device(name)
    return Device(device, _hardware(device), reason)


def _hardware(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{processor()} GPU" if device.type == "mps" else processor()


def why_absent(kind: str) -> str:
    """Why this machine has no device of `kind`, or not the one asked for."""
    if kind == "cuda":
        if torch.version.cuda is None and torch.version.hip is None:
            return "this torch was built without CUDA"
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        return f"torch sees {count} CUDA devices" if count else "torch finds no CUDA device or driver"
    if not torch.backends.mps.is_built():
        return "this torch was built without MPS"
    return "MPS needs Apple silicon and macOS 14 or newer"


def processor() -> str:
    """The CPU's name as the operating system gives it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    if sys.platform == "darwin":
        return _first_line(["sysctl", "-n", "machdep.cpu.brand_string"]) or "Apple processor"
    import platform

    return platform.processor() or platform.machine()


def cpu_instructions() -> str:
    """The widest vector instructions that torch uses on this CPU, such as AVX2 or AVX512."""
    return str(torch.backends.cpu.get_cpu_capability())


def _first_line(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return (done.stdout.splitlines() or [""])[0].strip() or None


def driver_version(device: Device) -> str | None:
    """Version of the GPU's driver, or None where there is none to ask."""
    if device.kind != "cuda":
        return None
    return _first_line(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"])


def nvml_uuid(device: Device) -> str | None:
    """The name by which NVML knows a CUDA device, or None for others."""
    if device.kind != "cuda":
        return None
    uuid = getattr(torch.cuda.get_device_properties(device.torch_device), "uuid", None)
    return None if uuid is None else f"GPU-{uuid}"


def synchronize(device: Device) -> None:
    """Return when all work queued on `device` is done; on the CPU there is no queue."""
    if device.kind == "cuda":
        torch.cuda.synchronize(device.torch_device)
    elif device.kind == "mps":
        torch.mps.synchronize()


def require_threads(threads: int) -> None:
    """Raise ConfigError for more threads than a few for each processor: they would only wait for each other."""
    processors = os.cpu_count() or 1
    most = min(_MOST_THREADS_EACH * processors, _MOST_THREADS)
    if threads > most:
        raise ConfigError(
            f"--threads: {threads} is too many for the {processors} processors here",
            remedy=f"Give {most} or fewer",
        )


def set_threads(threads: int | None) -> int:
    """Set the CPU threads of torch where a number is given; returns the number in force.

    Raises ConfigError for more than `require_threads` allows.
    """
    if threads is not None:
        require_threads(threads)
    if threads is not None and threads != torch.get_num_threads():
        torch.set_num_threads(threads)
    return torch.get_num_threads()
