"""Memory of a device and of the process, in bytes, and the errors of a failed allocation."""

from __future__ import annotations

import contextlib
import ctypes
import re
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from accelmnist.core.errors import DeviceError
from accelmnist.device.cgroups import free_host_bytes
from accelmnist.device.names import Device

KEPT_BYTES = {"TRIM": 1 << 30, "MMAP": 1 << 25}  # free memory that glibc keeps, and the largest block out of it
_PARAMETERS = {"TRIM": -1, "MMAP": -3}  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h


def peak_memory_bytes(device: Device) -> int | None:
    """The most memory ever used: on CUDA by tensors, on the CPU by the process; MPS keeps only the present figure."""
    if device.kind == "cpu":
        return process_peak_bytes()
    if device.kind == "mps":
        return used_memory_bytes(device)
    import torch

    return torch.cuda.max_memory_allocated(device.torch_device)


def reset_peak_memory(device: Device) -> bool:
    """Start the peak from the memory in use; False if it can't be reset (on MPS, and on the CPU except on Linux).

    On the CPU glibc first gives back what is free: memory that it keeps would be used again, and no peak would show it.
    """
    if device.kind == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats(device.torch_device)
        return True
    if device.kind == "cpu":
        with contextlib.suppress(AttributeError):  # another library
            ctypes.CDLL(None).malloc_trim(0)
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # proc(5): resets VmHWM, the peak resident set
            return True
    return False


def keep_freed_memory() -> None:
    """Let glibc keep what is freed for what comes next, by mallopt(3); elsewhere nothing.

    It gives back what lies free at the end of its memory, and does so in every step if the last block there is a step's
    own, as luck has it: the same steps by eager took 17 ms or 28.
    """
    with contextlib.suppress(AttributeError):  # another library
        for name, size in KEPT_BYTES.items():
            ctypes.CDLL(None).mallopt(_PARAMETERS[name], size)


def used_memory_bytes(device: Device) -> int:
    """Memory in use now: on CUDA by tensors, on MPS by the driver, on the CPU by the whole process."""
    if device.kind == "cpu":
        return int(psutil.Process().memory_info().rss)
    import torch

    if device.kind == "mps":
        return torch.mps.driver_allocated_memory()
    return torch.cuda.memory_allocated(device.torch_device)


def process_peak_bytes() -> int:
    """The largest resident set of this process so far, or since `reset_peak_memory`.

    Linux keeps it as VmHWM. The figure of getrusage(2) outlives exec(2), so it never falls below the peak of the
    process that started this one; it is read only if there is no /proc.
    """
    with contextlib.suppress(OSError):
        peak_kib = re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
        if peak_kib:
            return int(peak_kib[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts KiB, macOS bytes


def peak_memory_again(device: Device) -> int | None:
    """What `peak_memory_bytes` is held to, by another reading; None where there is none: on MPS, and without /proc."""
    if device.kind == "cuda":
        import torch

        return int(torch.cuda.memory_stats(device.torch_device).get("allocated_bytes.all.peak", 0))
    if device.kind == "cpu":
        with contextlib.suppress(OSError, KeyError):
            rows = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
            amount, unit = rows["VmHWM"].split()
            return int(amount) * {"kB": 2**10}[unit]
    return None


def total_memory_bytes(device: Device) -> int | None:
    """Memory of the device: CUDA's own, MPS's recommended working set; None on the CPU, which has the machine's."""
    if device.kind == "cpu":
        return None
    import torch

    if device.kind == "mps":
        return torch.mps.recommended_max_memory()
    return torch.cuda.get_device_properties(device.torch_device).total_memory


def free_memory_bytes(device: Device | None) -> int | None:
    """Free memory of a GPU, or with None of the host; None if the device doesn't report it."""
    if device is None or device.kind == "cpu":
        return free_host_bytes()
    import torch

    return torch.cuda.mem_get_info(device.torch_device)[0] if device.kind == "cuda" else None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` is a failed allocation; on the CPU and MPS torch says so in words alone."""
    torch = sys.modules.get("torch")  # what isn't loaded raises nothing
    if isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
        return True
    words = ("can't allocate memory", "out of memory", "not enough memory")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)


@contextlib.contextmanager
def memory_errors(device: Device, remedy: str) -> Iterator[None]:
    """Within: a failed allocation becomes a DeviceError that names the device and the `remedy`."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise DeviceError(f"out of memory on {device} ({device.hardware})", remedy=remedy) from error
