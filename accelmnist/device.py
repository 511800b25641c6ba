"""Devices: the one module that names torch.cuda, torch.mps and torch.backends.

It resolves a name to a device, synchronizes it, says what it can do (every capability is a value with a reason that
can be printed), sets the arithmetic of a precision, and reads memory. Everything else in the package is
device-agnostic.

Units: bytes. Sources: PyTorch's notes on CUDA semantics, on MPS and on numerical accuracy (TF32).
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import torch

from accelmnist.config import PRECISIONS, Precision
from accelmnist.errors import ConfigError, DeviceError

KINDS = ("cpu", "cuda", "mps")
AMP_DTYPES: dict[Precision, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}


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


@dataclass(frozen=True)
class Capability:
    """Whether something works on a device, and why (not)."""

    available: bool
    reason: str

    def __str__(self) -> str:
        return f"{'yes' if self.available else 'no'}, {self.reason}"


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


def precision_capability(device: Device, precision: Precision) -> Capability:
    """Whether `device` can train in `precision`, with the reason."""
    if precision == "fp32":
        return Capability(True, "float32 everywhere")
    if precision == "tf32":
        return _tf32(device)
    if device.kind == "cpu":
        return _amp_on_cpu(precision)
    if device.kind == "mps":
        return Capability(True, "autocast on MPS")
    return _amp_on_cuda(device, precision)


def _compute_capability(device: Device) -> tuple[int, int]:
    return torch.cuda.get_device_capability(device.torch_device)


def _tf32(device: Device) -> Capability:
    if device.kind != "cuda":
        return Capability(False, f"TF32 is a mode of NVIDIA's tensor cores, and this is {device.kind}")
    major, minor = _compute_capability(device)
    needs = "tensor cores" if major >= 8 else "it takes 8.0"
    return Capability(major >= 8, f"compute capability {major}.{minor}: {needs}")


def _amp_on_cuda(device: Device, precision: Precision) -> Capability:
    major, minor = _compute_capability(device)
    least = 8 if precision == "bf16" else 7
    needs = "tensor cores" if major >= least else f"it takes {least}.0"
    return Capability(major >= least, f"compute capability {major}.{minor}: {needs}")


def _amp_on_cpu(precision: Precision) -> Capability:
    instructions = {"bf16": "AVX-512 BF16 or AMX", "fp16": "AVX-512 FP16 or AMX"}[precision]
    how = f"emulated, slower than fp32: no {instructions} here" if _is_emulated_on_cpu(precision) else "native"
    return Capability(True, how)


def _is_emulated_on_cpu(precision: Precision) -> bool:
    native = {
        "bf16": torch.ops.mkldnn._is_mkldnn_bf16_supported,
        "fp16": torch.ops.mkldnn._is_mkldnn_fp16_supported,
    }
    return precision in native and not native[precision]()


def is_emulated(device: Device, precision: Precision) -> bool:
    """Whether `device` has no instructions for `precision`, so that it is a hundred times slower than it looks."""
    return device.kind == "cpu" and _is_emulated_on_cpu(precision)


def compile_capability(device: Device) -> Capability:
    """Whether torch.compile can make code for `device`; the CPU takes a C++ compiler and Python's headers."""
    if device.kind == "cuda":
        return _compile_on_cuda(device)
    if device.kind == "mps":
        return Capability(True, "Metal shaders through Inductor, which torch calls early")
    compiler = cpp_compiler()
    if compiler is None:
        asked = os.environ.get("CXX")
        missing = f"CXX names {asked}, which is not there" if asked else "no C++ compiler found"
        return Capability(False, f"{missing}: install g++ or clang++, or set CXX")
    headers = Path(sysconfig.get_path("include")) / "Python.h"
    if not headers.is_file():
        return Capability(False, f"{compiler} is here, Python's headers are not: install python3-dev")
    return Capability(True, compiler)


def _compile_on_cuda(device: Device) -> Capability:
    if find_spec("triton") is None:
        return Capability(False, "Triton is not installed: pip install triton")
    major, minor = _compute_capability(device)
    return Capability(
        major >= 7, f"Triton, compute capability {major}.{minor}" + ("" if major >= 7 else ": it takes 7.0")
    )


def cpp_compiler() -> str | None:
    """The C++ compiler that torch.compile will find: $CXX, else g++ or clang++ (torch's own order), else None."""
    asked = os.environ.get("CXX")
    names = [asked] if asked else (["clang++", "g++"] if sys.platform == "darwin" else ["g++", "clang++"])
    return next((name for name in names if shutil.which(name.split()[0])), None)


def require_precision(device: Device, precision: Precision) -> Capability:
    """The capability, where there is one; raises DeviceError with the reason and the precisions that work."""
    capability = precision_capability(device, precision)
    if not capability.available:
        work = ", ".join(other for other in PRECISIONS if precision_capability(device, other).available)
        raise DeviceError(
            f"--precision {precision} is not available on {device}: {capability.reason}",
            remedy=f"Choose one of {work}",
        )
    return capability


@contextlib.contextmanager
def matmul_precision(device: Device, precision: Precision) -> Iterator[None]:
    """Within: float32 matrix products on CUDA use TF32 where `precision` asks for it, and full float32 where not."""
    if device.kind != "cuda":
        yield
        return
    before = torch.backends.cuda.matmul.fp32_precision
    torch.backends.cuda.matmul.fp32_precision = "tf32" if precision == "tf32" else "ieee"
    try:
        yield
    finally:
        torch.backends.cuda.matmul.fp32_precision = before


def autocast(device: Device, precision: Precision) -> contextlib.AbstractContextManager[None]:
    """Mixed precision for one forward pass; nothing for fp32 and tf32: even a disabled autocast costs 10 µs.

    It must be entered anew every step: autocast keeps the 16-bit copies of the weights until it is left.
    """
    dtype = AMP_DTYPES.get(precision)
    return contextlib.nullcontext() if dtype is None else torch.autocast(device.kind, dtype=dtype)


Replay = Callable[[], None]


def capture_graph(device: Device, work: Callable[[], object]) -> Replay:
    """A function that starts again, by one call of the host, all that `work` starts on `device`; CUDA alone has it.

    `work` runs once before, since what a first call loads or allocates can't be captured. It must use the same tensors
    every time and never wait for the device.
    """
    return capture_graphs(device, [work])[0]


def capture_graphs(device: Device, works: Sequence[Callable[[], object]]) -> list[Replay]:
    """The same for several that share memory: they run one at a time, and what one allocates is gone after it."""
    with torch.cuda.device(device.torch_device):
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        pool = torch.cuda.graph_pool_handle()
        return [_captured(work, stream, pool) for work in works]


def _captured(work: Callable[[], object], stream: torch.cuda.Stream, pool: Any) -> Replay:
    """On one stream throughout: cuBLAS has a workspace a stream, and would take another one while it is captured."""
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, pool=pool, stream=stream):
        work()
    replay: Replay = graph.replay
    return replay


def set_threads(threads: int | None) -> int:
    """Set the CPU threads of torch where a number is given; returns the number in force."""
    if threads is not None and threads != torch.get_num_threads():
        torch.set_num_threads(threads)
    return torch.get_num_threads()


def peak_memory_bytes(device: Device) -> int | None:
    """Most memory ever used: on CUDA by tensors, on the CPU by the whole process; MPS keeps only the present figure."""
    if device.kind == "cuda":
        return torch.cuda.max_memory_allocated(device.torch_device)
    if device.kind == "mps":
        return torch.mps.driver_allocated_memory()
    return process_peak_bytes()


def reset_peak_memory(device: Device) -> bool:
    """Let the peak start from what is used now; False where it can't be reset (the CPU but on Linux, and MPS)."""
    if device.kind == "cuda":
        torch.cuda.reset_peak_memory_stats(device.torch_device)
        return True
    if device.kind == "cpu":
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # proc(5): resets VmHWM, the peak resident set
            return True
    return False


def used_memory_bytes(device: Device) -> int:
    """Memory in use now: on CUDA by tensors, on MPS by the driver, on the CPU by the whole process."""
    if device.kind == "cuda":
        return torch.cuda.memory_allocated(device.torch_device)
    if device.kind == "mps":
        return torch.mps.driver_allocated_memory()
    return int(psutil.Process().memory_info().rss)


def process_peak_bytes() -> int:
    """The largest resident set of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts KiB, macOS bytes


def total_memory_bytes(device: Device) -> int | None:
    """Memory of the device: CUDA's own, MPS's recommended working set; None on the CPU, which has the machine's."""
    if device.kind == "cuda":
        return torch.cuda.get_device_properties(device.torch_device).total_memory
    if device.kind == "mps":
        return torch.mps.recommended_max_memory()
    return None


def free_memory_bytes(device: Device | None) -> int | None:
    """Memory that is free on a GPU, or with None on the host; None where the device doesn't tell."""
    if device is None or device.kind == "cpu":
        return int(psutil.virtual_memory().available)
    return torch.cuda.mem_get_info(device.torch_device)[0] if device.kind == "cuda" else None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` is a failed allocation; on the CPU and MPS torch says so in words alone."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
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
