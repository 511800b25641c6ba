"""Dropout whose masks are the same on every device and engine.

A device's own generator would make other masks on every device, and no run could be compared with the CPU reference.
Here the mask is a hash of (seed of the step, layer, position): integer arithmetic, exact everywhere, and a compiler
fuses it into the layer. The hash is the two-round xor-multiply mixer "lowbias32" (C. Wellons, hash-prospector, 2018),
in int64 cut to 32 bits because torch has no full set of operations on unsigned integers.
"""

from __future__ import annotations

import torch
from torch import Tensor

_LOW_32 = 0xFFFFFFFF


def _mix(values: Tensor) -> Tensor:
    values = ((values ^ (values >> 16)) * 0x7FEB352D) & _LOW_32
    values = ((values ^ (values >> 15)) * 0x846CA68B) & _LOW_32
    return values ^ (values >> 16)


def drop(values: Tensor, probability: float, *, seed: Tensor, layer: int) -> Tensor:
    """`values` (batch, units) with each element zeroed with `probability` and the rest scaled up to keep the mean.

    `seed` is the step's, a scalar int64 tensor on the device of `values`.
    """
    positions = torch.arange(values.numel(), device=values.device).view_as(values)
    stream = _mix((seed + layer * 0x9E3779B9) & _LOW_32)
    keep = _mix((positions ^ stream) & _LOW_32) >= int(probability * 2**32)
    return values * keep * (1 / (1 - probability))
