"""Devices: the one package that names torch.cuda, torch.mps and torch.backends.

It resolves a name to a device, synchronizes it, says what it can do (every capability is a value with a reason that
can be printed), sets the arithmetic of a precision, captures graphs, and reads memory. Everything else in the package
is device-agnostic.

Units: bytes. Sources: PyTorch's notes on CUDA semantics, on MPS and on numerical accuracy (TF32).

torch is loaded by the first function that needs it, not by an import of this package.
"""

from accelmnist.device.arithmetic import (
    autocast,
    matmul_precision,
    operand_dtype,
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
    is_known_without_torch,
    nvml_uuid,
    processor,
    require_threads,
    resolve,
    set_threads,
    synchronize,
    threads_in_force,
    torch_version,
    why_absent,
)

__all__ = [
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
    "is_known_without_torch",
    "is_out_of_memory",
    "matmul_precision",
    "memory_errors",
    "multiprocessors",
    "nvml_uuid",
    "operand_dtype",
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
    "threads_in_force",
    "torch_version",
    "total_memory_bytes",
    "used_memory_bytes",
    "why_absent",
]
