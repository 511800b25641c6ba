"""The devices of this machine: by name, with their hardware, driver and queue of work.

torch is loaded only for what it alone knows: the CPU needs no torch, and a Linux machine without the driver of a GPU
has no other device.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from accelmnist.core.errors import ConfigError, DeviceError
from accelmnist.device.loading import usable_threads

if TYPE_CHECKING:
    import torch

KINDS = ("cpu", "cuda", "mps")
_MOST_THREADS_EACH = 4  # of a processor: more is a slip of the finger, and can take the machine down
_MOST_THREADS = 1024  # of the native kernels (kMaxThreads)
# By vendor and family the models of each: arch/x86/kernel/cpu/amd.c and arch/x86/include/asm/intel-family.h of Linux.
_GENERATIONS: dict[tuple[str, int], dict[str, tuple[int, ...]]] = {
    ("AuthenticAMD", 0x17): {"Zen 2": (*range(0x30, 0x50), *range(0x60, 0x80), 0x90, 0x91, *range(0xA0, 0xB0))},
    ("AuthenticAMD", 0x19): {
        "Zen 3": (*range(0x10), *range(0x20, 0x60)),
        "Zen 4": (*range(0x10, 0x20), *range(0x60, 0xB0)),
    },
    ("AuthenticAMD", 0x1A): {"Zen 5": (*range(0x30), *range(0x40, 0x50), *range(0x60, 0x80))},
    ("GenuineIntel", 6): {
        "Ice Lake": (0x6A, 0x6C),
        "Sapphire Rapids": (0x8F,),
        "Emerald Rapids": (0xCF,),
        "Granite Rapids": (0xAD, 0xAE),
    },
}
_DRIVERS = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd")  # NVIDIA's, also under WSL, and AMD's


@dataclass(frozen=True)
class Device:
    """A device of this machine: its `name`, such as cuda:0, `hardware` for people, `reason` why it was chosen."""

    name: str
    hardware: str
    reason: str

    @property
    def kind(self) -> str:
        """One of KINDS."""
        return self.name.partition(":")[0]

    @cached_property
    def torch_device(self) -> torch.device:
        """The device for tensors."""
        import torch

        return torch.device(self.name)

    def __str__(self) -> str:
        return self.name


def available() -> list[str]:
    """Names of the devices here, the fastest kind first; `cpu` is always the last."""
    if _has_no_driver():
        return ["cpu"]
    import torch

    names = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    if torch.backends.mps.is_available():
        names.append("mps")
    return [*names, "cpu"]


def resolve(name: str, *, option: str = "--device") -> Device:
    """The device called `auto`, `cpu`, `cuda`, `cuda:N` or `mps`, as `option` of the command line names it.

    Raises DeviceError for a device that is absent and ConfigError for an unknown name; both list the devices here.
    """
    if name == "cpu":
        return _describe(name, "asked for")
    there = available()
    if name == "auto":
        return _describe(there[0], "the fastest kind here" if len(there) > 1 else "no CUDA or MPS device here")
    kind, _, index = name.partition(":")
    if kind not in KINDS or (index and not index.isdecimal()) or (index and kind != "cuda"):
        raise ConfigError(
            f"{option}: {name!r} is not a device",
            remedy=f"Choose auto, cpu, cuda, cuda:N or mps; here: {', '.join(there)}",
        )
    wanted = f"cuda:{int(index or 0)}" if kind == "cuda" else kind
    if wanted not in there:
        raise DeviceError(
            f"{option} {name} is not available: {why_absent(kind)}",
            remedy=f"Choose one that is here: {', '.join(there)}",
        )
    return _describe(wanted, "asked for")


def is_known_without_torch(name: str) -> bool:
    """Whether `resolve(name)` needs no torch."""
    return name == "cpu" or (name == "auto" and _has_no_driver())


def _has_no_driver() -> bool:
    """Whether no GPU can be here: only on Linux do files show the driver."""
    return sys.platform == "linux" and not any(Path(driver).exists() for driver in _DRIVERS)


def _describe(name: str, reason: str) -> Device:
    if name.startswith("cuda"):
        import torch

        return Device(name, torch.cuda.get_device_name(torch.device(name)), reason)
    return Device(name, f"{processor()} GPU" if name == "mps" else processor(), reason)


def why_absent(kind: str) -> str:
    """Why this machine has no device of `kind`, or not the one asked for."""
    import torch

    if kind == "cuda":
        if torch.version.cuda is None and torch.version.hip is None:
            return "this torch was built without CUDA"
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        return f"torch sees {count} CUDA devices" if count else "torch finds no CUDA device or driver"
    if not torch.backends.mps.is_built():
        return "this torch was built without MPS"
    return "MPS needs Apple silicon and macOS 14 or newer"


def processor() -> str:
    """The CPU's name as the operating system gives it, and its generation if that is known: "AMD EPYC, Zen 5"."""
    if name := _cpuinfo("model name"):
        return ", ".join(filter(None, (name, _generation())))
    if sys.platform == "darwin":
        return first_line_of(["sysctl", "-n", "machdep.cpu.brand_string"]) or "Apple processor"
    import platform

    return platform.processor() or platform.machine()


def cpu_instructions() -> str:
    """The widest vector instructions that torch uses on this CPU, such as AVX2 or AVX512.

    On Linux by torch's own rule: ATEN_CPU_CAPABILITY, else what the processor has.
    """
    flags = set(_cpuinfo("flags").split())
    if not flags:
        import torch

        return str(torch.backends.cpu.get_cpu_capability())
    asked = os.environ.get("ATEN_CPU_CAPABILITY", "").lower()
    if asked in ("avx512", "avx2", "default"):
        return asked.upper()
    if {"avx512vl", "avx512bw", "avx512dq", "fma"} <= flags:
        return "AVX512"
    return "AVX2" if {"avx2", "fma"} <= flags else "DEFAULT"


def _generation() -> str:
    """What a virtual machine's name of the processor leaves out; empty for one that isn't known here."""
    family, model = (int(number) if number.isdecimal() else -1 for number in map(_cpuinfo, ("cpu family", "model\t")))
    known = _GENERATIONS.get((_cpuinfo("vendor_id"), family), {})
    return next((name for name, models in known.items() if model in models), "")


def _cpuinfo(key: str) -> str:
    """What Linux says of the first processor under `key`, such as "flags"; empty if it says nothing, and elsewhere."""
    with contextlib.suppress(OSError), Path("/proc/cpuinfo").open() as lines:
        for line in lines:
            if line.startswith(key):
                return line.partition(":")[2].strip()
    return ""


def torch_version() -> str:
    """torch's version with its build, such as 2.14.1+cu130, which a package's metadata leaves out."""
    package = find_spec("torch")
    with contextlib.suppress(OSError):
        text = Path(package.origin).with_name("version.py").read_text() if package and package.origin else ""
        written = re.search(r"^__version__ = '([^']+)'", text, re.MULTILINE)
        if written:
            return written[1]
    import torch

    return str(torch.__version__)


def first_line_of(command: list[str], *, folder: Path | None = None) -> str | None:
    """The first line that a program writes, run in `folder`; None if it writes nothing or fails."""
    try:
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return (result.stdout.splitlines() or [""])[0].strip() or None


def driver_version(device: Device) -> str | None:
    """Version of the GPU's driver, or None if there is none."""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    return first_line_of(query) if device.kind == "cuda" else None


def nvml_uuid(device: Device) -> str | None:
    """The name by which NVML knows a CUDA device, or None for others."""
    if device.kind != "cuda":
        return None
    import torch

    uuid = getattr(torch.cuda.get_device_properties(device.torch_device), "uuid", None)
    return None if uuid is None else f"GPU-{uuid}"


def synchronize(device: Device) -> None:
    """Return when all work queued on `device` is done; on the CPU there is no queue."""
    if device.kind == "cpu":
        return
    import torch

    if device.kind == "cuda":
        torch.cuda.synchronize(device.torch_device)
    else:
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
    """Set the CPU threads of torch if a number is given; returns the number in force.

    Before torch is loaded, returns the number that will be: `load_torch` sets it. Raises ConfigError for more than
    `require_threads` allows.
    """
    if threads is not None:
        require_threads(threads)
    if "torch" not in sys.modules:
        return threads or usable_threads()
    import torch

    if threads is not None and threads != torch.get_num_threads():
        torch.set_num_threads(threads)
    return torch.get_num_threads()


def threads_in_force(asked: int | None) -> int:
    """The CPU threads that this thread of Python may use: torch's number; before torch is loaded, `asked` or its own.

    torch keeps a number for each thread of Python.
    """
    if "torch" not in sys.modules:
        return asked or usable_threads()
    import torch

    return torch.get_num_threads()
