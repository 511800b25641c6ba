"""Devices: the one package that names torch.cuda, torch.mps and torch.backends.

It resolves a name to a device, synchronizes it, says what it can do (every capability is a value with a reason that
can be printed), sets the arithmetic of a precision, captures graphs, and reads memory. Everything else in the package
is device-agnostic.

Units: bytes. Sources: PyTorch's notes on CUDA semantics, on MPS and on numerical accuracy (TF32).

The names below are imported when they are first asked for: `accelmnist.device.threads` has to come before torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from accelmnist.device.arithmetic import (
        AMP_DTYPES,
        autocast,
        matmul_precision,
    )
    from accelmnist.device.capabilities import (
        Capability,
        compile_capability,
        cpp_compiler,
        is_emulated,
        multiprocessors,
        precision_capability,
        require_precision,
    )
    from accelmnist.device.graphs import (
        Replay,
        capture_graph,
        capture_graphs,
    )
    from accelmnist.device.memory import (
        free_memory_bytes,
        is_out_of_memory,
        memory_errors,
        peak_memory_bytes,
        process_peak_bytes,
        reset_peak_memory,
        total_memory_bytes,
        used_memory_bytes,
    )
    from accelmnist.device.names import (
        KINDS,
        Device,
        available,
        cpu_instructions,
        driver_version,
        nvml_uuid,
        processor,
        require_threads,
        resolve,
        set_threads,
        synchronize,
        why_absent,
    )

__all__ = [
    "AMP_DTYPES",
    "KINDS",
    "Capability",
    "Device",
    "Replay",
    "autocast",
    "available",
    "capture_graph",
    "capture_graphs",
    "compile_capability",
    "cpp_compiler",
    "cpu_instructions",
    "driver_version",
    "free_memory_bytes",
    "is_emulated",
    "is_out_of_memory",
    "matmul_precision",
    "memory_errors",
    "multiprocessors",
    "nvml_uuid",
    "peak_memory_bytes",
    "precision_capability",
    "process_peak_bytes",
    "processor",
    "require_precision",
    "require_threads",
    "reset_peak_memory",
    "resolve",
    "set_threads",
    "synchronize",
    "total_memory_bytes",
    "used_memory_bytes",
    "why_absent",
]

_MODULES = ("arithmetic", "capabilities", "graphs", "memory", "names")


def __getattr__(name: str) -> object:
    """A name of `__all__`, kept here from the first time on (PEP 562)."""
    if name in __all__:
        for module in _MODULES:
            content = vars(import_module(f"{__name__}.{module}"))
            if name in content:
                globals()[name] = content[name]
                return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
