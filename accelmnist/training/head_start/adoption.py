"""A head start as the checkpoint from which a run goes on."""

from __future__ import annotations

import numpy as np
import torch

from accelmnist.core.config import RunConfig
from accelmnist.engines.contract import State
from accelmnist.engines.model import MLP
from accelmnist.engines.step.state import export_state
from accelmnist.training.checkpoint import Checkpoint
from accelmnist.training.head_start.foresight import ENGINE
from accelmnist.training.head_start.training import HeadStart
from accelmnist.training.setup import Setup


def fits(head_start: HeadStart, setup: Setup) -> bool:
    """Whether a run of `setup` would have trained just so: by the same engine with as many threads."""
    is_native = setup.device.kind == "cpu" and setup.engine.name == ENGINE
    return is_native and setup.config.execution.threads == head_start.threads


def as_checkpoint(head_start: HeadStart, config: RunConfig) -> Checkpoint:
    """The checkpoint of a run of `config` after the epochs of `head_start`."""
    network = head_start.network
    names = [name for name, _ in MLP(config.model, seed=0).named_parameters()]
    slots = {slot: [torch.from_numpy(array) for array in row] for slot, row in network.slots.items()}
    scalars = {"count": torch.tensor(network.count)} if slots else {}
    return Checkpoint(
        config=config,
        weights=_named(names, network.parameters),
        state=export_state(names, slots, scalars),
        losses=torch.from_numpy(head_start.losses),
        epochs=head_start.epochs,
    )


def _named(names: list[str], arrays: list[np.ndarray]) -> State:
    return {name: torch.from_numpy(array.copy()) for name, array in zip(names, arrays, strict=True)}
