"""The average of the weights over the epochs, which answers for the network in place of the last weights.

After epoch k the average moves towards the weights by (1 - d) / (1 - d^k), where d is the share that it keeps: an
exponential average without the bias of its start (Polyak and Juditsky 1992; the correction is Adam's, Kingma and Ba
2015). Training goes on from the weights themselves. Between two epochs the module holds the average, so whoever
evaluates or saves it sees what the run would give; engines see nothing of it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from accelmnist.core.errors import CheckpointError
from accelmnist.engines.contract import State
from accelmnist.engines.model import MLP

_SLOT = "trained"  # the state's name for the weights that training goes on from


class WeightAverage:
    """The average of `model`'s weights that keeps the share `decay` of its past each epoch; 0 leaves the weights."""

    def __init__(self, model: MLP, decay: float) -> None:
        self._decay = decay
        self._named = {name: weight.detach() for name, weight in model.named_parameters()} if decay else {}
        self._trained: dict[str, Tensor] = {}  # empty before the first epoch
        self._average = {name: torch.zeros_like(weight) for name, weight in self._named.items()}

    def resume_training(self) -> None:
        """Before an epoch: give the module the weights to train on, and keep the average."""
        for name, trained in self._trained.items():
            self._average[name].copy_(self._named[name])
            self._named[name].copy_(trained)

    def take_in(self, epochs: int) -> None:
        """After epoch number `epochs`, counted from 1: take its weights in, and give the module the average."""
        for name, weight in self._named.items():
            self._trained[name] = weight.clone()
            share = (1 - self._decay) / (1 - self._decay**epochs)
            weight.copy_(self._average[name].lerp_(weight, share))

    def state(self) -> State:
        """The weights to train on, as copies on the host; empty where nothing is averaged."""
        return {f"{_SLOT}/{name}": trained.to("cpu", copy=True) for name, trained in self._trained.items()}

    def load_state(self, state: State) -> None:
        """Go on from a `state()`; the module holds the average already. Raises CheckpointError where it is missing."""
        for name, weight in self._named.items():
            found = state.get(f"{_SLOT}/{name}")
            if found is None or found.shape != weight.shape:
                raise CheckpointError(
                    f"the saved training state: {_SLOT}/{name} is missing or of another shape",
                    remedy="Resume with the run's own options",
                )
            self._trained[name] = found.to(weight.device, copy=True)
