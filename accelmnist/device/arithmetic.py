"""The arithmetic of a precision: TF32 for products of float32, autocast for 16 bits.

Source: PyTorch's notes on numerical accuracy and on automatic mixed precision.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from accelmnist.core.config import Precision
from accelmnist.device.names import Device

if TYPE_CHECKING:
    import torch

_AMP_NAMES: dict[Precision, str] = {"bf16": "bfloat16", "fp16": "float16"}


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
