"""A device's capabilities, precisions and compiling, each a value with a reason that can be printed; their arithmetic.

The arithmetic of a precision is TF32 for products of float32, autocast for 16 bits. Source: PyTorch's notes on
numerical accuracy and on automatic mixed precision.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from accelmnist.core.config import PRECISIONS, Precision
from accelmnist.core.errors import UnsupportedError, headline
from accelmnist.device.names import Device

if TYPE_CHECKING:
    import torch

_TRIAL_S = 60.0
_AMP_NAMES: dict[Precision, str] = {"bf16": "bfloat16", "fp16": "float16"}


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
    if precision == "tf32" and device.kind != "cuda":
        return Capability(False, f"TF32 is a mode of NVIDIA's tensor cores, and this is {device.kind}")
    if device.kind == "cpu":
        return _amp_on_cpu(device, precision)
    if device.kind == "mps":
        return Capability(True, "autocast on MPS")
    return _from_compute_capability(device, 7 if precision == "fp16" else 8, has=": tensor cores")


def _from_compute_capability(device: Device, least: int, *, has: str) -> Capability:
    """What CUDA devices have from the compute capability `least` on; `has` ends the reason if this one is such."""
    import torch

    major, minor = torch.cuda.get_device_capability(device.torch_device)
    return Capability(
        major >= least, f"compute capability {major}.{minor}{has if major >= least else f': it takes {least}.0'}"
    )


def _amp_on_cpu(device: Device, precision: Precision) -> Capability:
    instructions = {"bf16": "AVX-512 BF16 or AMX", "fp16": "AVX-512 FP16 or AMX"}[precision]
    emulated = f"emulated, slower than fp32: no {instructions} here"
    return Capability(True, emulated if is_emulated(device, precision) else "native")


def is_emulated(device: Device, precision: Precision) -> bool:
    """Whether `device` has no instructions for `precision`, so that it is a hundred times slower than it looks.

    oneDNN says that it supports bf16 on x86-64 from AVX-512 on, where it widens operands without the instructions.
    """
    if device.kind != "cpu" or precision not in _AMP_NAMES:
        return False
    import torch

    is_widened = precision == "bf16" and torch.cpu._is_avx512_supported() and not _multiplies_bf16()
    return is_widened or not getattr(torch.ops.mkldnn, f"_is_mkldnn_{precision}_supported")()


def _multiplies_bf16() -> bool:
    """Whether an x86-64 processor has products of bf16."""
    import torch

    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def compile_capability(device: Device) -> Capability:
    """Whether torch.compile can make code for `device`; the CPU needs a C++ compiler and Python's headers.

    The compiler is tried with a line of code, in the folder where torch would call it.
    """
    if device.kind == "cuda" and find_spec("triton") is None:
        return Capability(False, "Triton is not installed: pip install triton")
    if device.kind == "cuda":
        capability = _from_compute_capability(device, 7, has="")
        return replace(capability, reason=f"Triton, {capability.reason}")
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
    problem = _trial(compiler, os.environ.get("TORCHINDUCTOR_CACHE_DIR"), tempfile.gettempdir())
    return Capability(False, problem) if problem else Capability(True, f"{compiler}, tried with a line of code")


@lru_cache
def _trial(compiler: str, cache: str | None, temporary: str) -> str:
    """Why `compiler` makes no library that can be loaded in torch's folder, by torch's own rule; empty if it does."""
    named = {"TORCHINDUCTOR_CACHE_DIR": cache, "TMPDIR": temporary}
    folders = {name: Path(path).absolute() for name, path in named.items() if path}
    for name, folder in folders.items():  # torch writes into both
        if re.search(r"[\s'\"\\]", str(folder)):
            return f"{name} has a space or a quote, at which torch splits the compiler's command line: choose another"
    name, folder = next(iter(folders.items()))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as inside:
            library = f"{inside}/line.so"
            command = [*shlex.split(compiler), "-shared", "-fPIC", "-x", "c++", "-", "-o", library]
            line = b'extern "C" int one() { return 1; }'
            subprocess.run(command, input=line, capture_output=True, timeout=_TRIAL_S, check=True)
            ctypes.CDLL(library)
    except subprocess.SubprocessError as error:
        said = (getattr(error, "stderr", None) or b"").decode(errors="replace").strip()
        return f"{compiler} compiles no line of code: {headline(RuntimeError(said or str(error)))}"
    except OSError as error:
        return (
            f"{name}: nothing can be made and loaded there ({(error.strerror or str(error)).lower()}): choose another"
        )
    return ""


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
    """The capability; raises UnsupportedError with the reason and the precisions that work if there is none."""
    capability = precision_capability(device, precision)
    if not capability.available:
        work = ", ".join(other for other in PRECISIONS if precision_capability(device, other).available)
        raise UnsupportedError(
            f"--precision {precision} is not available on {device}: {capability.reason}",
            remedy=f"Choose one of {work}",
        )
    return capability


def operand_dtype(precision: Precision) -> torch.dtype:
    """The type in which `precision` multiplies: one of 16 bits, else float32."""
    import torch

    dtype: torch.dtype = getattr(torch, _AMP_NAMES.get(precision, "float32"))
    return dtype


@contextlib.contextmanager
def matmul_precision(device: Device, precision: Precision) -> Iterator[None]:
    """Within: float32 matrix products on CUDA use TF32 if `precision` asks for it, else full float32."""
    if device.kind != "cuda":
        yield
        return
    import torch

    before = torch.backends.cuda.matmul.fp32_precision
    torch.backends.cuda.matmul.fp32_precision = "tf32" if precision == "tf32" else "ieee"
    try:
        yield
    finally:
        torch.backends.cuda.matmul.fp32_precision = before


def autocast(device: Device, precision: Precision) -> contextlib.AbstractContextManager[None]:
    """Mixed precision for one forward pass; nothing for fp32 and tf32: even a disabled autocast costs 10 µs.

    It must be entered anew at every step: autocast keeps the 16-bit copies of the weights until it is left.
    """
    if precision not in _AMP_NAMES:
        return contextlib.nullcontext()
    import torch

    return torch.autocast(device.kind, dtype=operand_dtype(precision))
