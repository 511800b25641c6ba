"""Names of the training state: what an engine keeps besides the weights, the same for all of them.

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
    """Copies on the host of one tensor a slot and parameter, and of the scalars."""
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
    found = state.get(name)
    if found is None or found.shape != like.shape:
        what = "is missing" if found is None else f"has shape {tuple(found.shape)}, not {tuple(like.shape)}"
        raise CheckpointError(f"the saved training state: {name} {what}", remedy="Resume with the run's own options")
    return found
