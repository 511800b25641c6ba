"""The training state besides the weights, under names that are the same for all engines.

<slot>/<parameter>      such as exp_avg/layers.0.weight
scalar/<name>           count (updates made), scale and good_steps (fp16's loss scale)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from accelmnist.core.errors import CheckpointError
from accelmnist.engines.contract import State


def export_state(names: Sequence[str], slots: Mapping[str, Sequence[Tensor]], scalars: Mapping[str, Tensor]) -> State:
    """Copies on the host: one tensor for each slot and parameter, and the scalars."""
    tensors = {f"{slot}/{name}": tensor for slot, row in slots.items() for name, tensor in zip(names, row, strict=True)}
    tensors |= {f"scalar/{name}": tensor for name, tensor in scalars.items()}
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}


@torch.no_grad()
def import_state(
    state: State, names: Sequence[str], slots: Mapping[str, Sequence[Tensor]], scalars: Mapping[str, Tensor]
) -> None:
    """Copy `state` into the tensors given, in place; scalars that it lacks keep their value.

    Raises CheckpointError for a tensor that is missing or of another shape.
    """
    for slot, row in slots.items():
        for name, tensor in zip(names, row, strict=True):
            tensor.copy_(_matching(state, f"{slot}/{name}", tensor))
    for name, tensor in scalars.items():
        if f"scalar/{name}" in state:
            tensor.copy_(_matching(state, f"scalar/{name}", tensor))


def _matching(state: State, name: str, like: Tensor) -> Tensor:
    saved = state.get(name)
    if saved is None or saved.shape != like.shape:
        fault = "is missing" if saved is None else f"has shape {tuple(saved.shape)}, not {tuple(like.shape)}"
        raise CheckpointError(f"the saved training state: {name} {fault}", remedy="Resume with the run's own options")
    return saved
