"""A device's capabilities, precisions and compiling: each is a value with a reason that can be printed."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from accelmnist.core.config import PRECISIONS, Precision
from accelmnist.core.errors import DeviceError
from accelmnist.device.names import Device


@dataclass(frozen=True)
class Capability:
    """Whether something works on a device, and why (not)."""

    available: bool
    reason: str

    def __str__(self) -> str:
        return f"{'yes' if self.available else 'no'}, {self.reason}"


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
    import torch

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
    support = f"emulated, slower than fp32: no {instructions} here" if _is_emulated_on_cpu(precision) else "native"
    return Capability(True, support)


def _is_emulated_on_cpu(precision: Precision) -> bool:
    import torch

    native = {
        "bf16": torch.ops.mkldnn._is_mkldnn_bf16_supported,
        "fp16": torch.ops.mkldnn._is_mkldnn_fp16_supported,
    }
    return precision in native and not native[precision]()


def is_emulated(device: Device, precision: Precision) -> bool:
    """Whether `device` has no instructions for `precision`, so that it is a hundred times slower than it looks."""
    return device.kind == "cpu" and _is_emulated_on_cpu(precision)


def compile_capability(device: Device) -> Capability:
    """Whether torch.compile can make code for `device`; the CPU needs a C++ compiler and Python's headers."""
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


def multiprocessors(device: Device) -> int:
    """The number of multiprocessors of a CUDA device."""
    import torch

    return torch.cuda.get_device_properties(device.torch_device).multi_processor_count


def cpp_compiler() -> str | None:
    """The C++ compiler that torch.compile will find: $CXX, else g++ or clang++ (torch's own order), else None."""
    asked = os.environ.get("CXX")
    names = [asked] if asked else (["clang++", "g++"] if sys.platform == "darwin" else ["g++", "clang++"])
    return next((name for name in names if shutil.which(name.split()[0])), None)


def require_precision(device: Device, precision: Precision) -> Capability:
    """The capability; raises DeviceError with the reason and the precisions that work if there is none."""
    capability = precision_capability(device, precision)
    if not capability.available:
        work = ", ".join(other for other in PRECISIONS if precision_capability(device, other).available)
        raise DeviceError(
            f"--precision {precision} is not available on {device}: {capability.reason}",
            remedy=f"Choose one of {work}",
        )
    return capability
