"""Devices: the one package that names torch.cuda, torch.mps and torch.backends; all else is device-agnostic.

torch is loaded by the first function that needs it, not by an import of this package. Units: bytes. Sources: PyTorch's
notes on CUDA semantics, on MPS and on numerical accuracy (TF32).
"""

from accelmnist.device.capabilities import Capability as Capability
from accelmnist.device.capabilities import autocast as autocast
from accelmnist.device.capabilities import compile_capability as compile_capability
from accelmnist.device.capabilities import cpp_compiler as cpp_compiler
from accelmnist.device.capabilities import is_emulated as is_emulated
from accelmnist.device.capabilities import matmul_precision as matmul_precision
from accelmnist.device.capabilities import multiprocessors as multiprocessors
from accelmnist.device.capabilities import operand_dtype as operand_dtype
from accelmnist.device.capabilities import precision_capability as precision_capability
from accelmnist.device.capabilities import require_precision as require_precision
from accelmnist.device.graphs import Replay as Replay
from accelmnist.device.graphs import capture_graph as capture_graph
from accelmnist.device.graphs import capture_graphs as capture_graphs
from accelmnist.device.loading import idle_threads_sleep as idle_threads_sleep
from accelmnist.device.memory import KEPT_BYTES as KEPT_BYTES
from accelmnist.device.memory import free_memory_bytes as free_memory_bytes
from accelmnist.device.memory import is_out_of_memory as is_out_of_memory
from accelmnist.device.memory import keep_freed_memory as keep_freed_memory
from accelmnist.device.memory import memory_errors as memory_errors
from accelmnist.device.memory import peak_memory_again as peak_memory_again
from accelmnist.device.memory import peak_memory_bytes as peak_memory_bytes
from accelmnist.device.memory import process_peak_bytes as process_peak_bytes
from accelmnist.device.memory import reset_peak_memory as reset_peak_memory
from accelmnist.device.memory import total_memory_bytes as total_memory_bytes
from accelmnist.device.memory import used_memory_bytes as used_memory_bytes
from accelmnist.device.names import KINDS as KINDS
from accelmnist.device.names import Device as Device
from accelmnist.device.names import available as available
from accelmnist.device.names import cpu_instructions as cpu_instructions
from accelmnist.device.names import driver_version as driver_version
from accelmnist.device.names import is_known_without_torch as is_known_without_torch
from accelmnist.device.names import nvml_uuid as nvml_uuid
from accelmnist.device.names import processor as processor
from accelmnist.device.names import require_threads as require_threads
from accelmnist.device.names import resolve as resolve
from accelmnist.device.names import set_threads as set_threads
from accelmnist.device.names import synchronize as synchronize
from accelmnist.device.names import threads_in_force as threads_in_force
from accelmnist.device.names import torch_version as torch_version
from accelmnist.device.names import why_absent as why_absent
