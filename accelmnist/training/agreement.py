"""What the ranks of a run tell one another: the same options and images before it, the same weights after every epoch.

Each computes its share of every batch, and all of them the same update. So their weights and the optimizer's state have
to be equal to the bit, on every rank, at the start and after every epoch; one that isn't is named, with what differs.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

import accelmnist
from accelmnist.core.errors import ConfigError
from accelmnist.core.records import Check, RankFigures
from accelmnist.data.types import ImageSet
from accelmnist.device import torch_version
from accelmnist.device.ranks import Ranks, unlike

_OWN = ("device", "threads")  # of the execution: what a rank has of its own


class Agreement:
    """The agreement of `ranks`; `faults` are what was found to differ."""

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks
        self.faults: list[str] = []

    def require_alike(self, config: Any, images: Mapping[str, ImageSet], **options: Any) -> None:
        """Raise ConfigError, on every rank, for an option or images that are not those of rank 0.

        `config` is the dataclass of what is asked for, None where a record has it; `images` are named.
        """
        told = asdict(config) if config is not None else {}
        for name in _OWN:
            told.get("execution", {}).pop(name, None)
        own = {f"--{name.replace('_', '-')}": value for part in _parts(told) for name, value in part.items()}
        own |= {f"--{name.replace('_', '-')}": value for name, value in options.items()}
        own |= {f"the hash of the {name} images": hash_of(part) for name, part in images.items()}
        _require_equal(self.ranks, own, remedy="Give every rank the same options and files")

    def after_epoch(self, epoch: int, digests: Mapping[str, str], *, stops: bool = False) -> bool:
        """Compare the `digests` of weights and state; whether a rank `stops`: then all do."""
        told = self.ranks.tell((dict(digests), stops))
        first, _ = told[0]
        when = f"after epoch {epoch}" if epoch else "before the first epoch"
        for rank, (theirs, _) in enumerate(told):
            others = [name for name in first | theirs if theirs.get(name) != first.get(name)]
            if others:
                more = f" and {len(others) - 1} more are" if len(others) > 1 else " is"
                self.faults.append(f"rank {rank}: {others[0]}{more} not rank 0's {when}")
        return any(stop for _, stop in told)

    def hear(self, own: Sequence[str]) -> None:
        """Take in what the other ranks found to be wrong with themselves, as rank 0's own checks tell what it found."""
        told = self.ranks.tell(tuple(own))
        self.faults += [f"rank {rank}: {fault}" for rank, faults in enumerate(told) if rank for fault in faults]

    def figures(self, *, device: str, threads: int, images: int, train_s: float) -> tuple[RankFigures, ...]:
        """What each rank was, and its images a second."""
        own = RankFigures(
            rank=self.ranks.rank,
            host=self.ranks.host,
            device=device,
            threads=threads,
            images_per_s=images / train_s if train_s else None,
        )
        return tuple(self.ranks.tell(own))

    def check(self, more: Sequence[str] = ()) -> Check:
        """That nothing differed, nor was found by others."""
        return Check.without(
            "equal ranks",
            [*self.faults, *more],
            finds="ranks with other weights, sums left out, images counted twice",
            reason="weights and state are the same to the bit on every rank after every epoch",
            group="ranks",
        )


def require_same_program(ranks: Ranks, command: Sequence[str]) -> None:
    """Raise ConfigError, on every rank, for another `command`, or another version of what computes, than rank 0's."""
    own = {"accelmnist": accelmnist.__version__, "torch": torch_version(), "numpy": np.__version__}
    own |= {"Python": platform.python_version().rpartition(".")[0], "the command": " ".join(command)}
    _require_equal(ranks, own, remedy="Give every rank the same program")


def _require_equal(ranks: Ranks, own: Mapping[str, Any], *, remedy: str) -> None:
    different = unlike(ranks.tell(own))
    if different:
        raise ConfigError(different, remedy=remedy)


def _parts(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    alone = {name: value for name, value in config.items() if not isinstance(value, dict)}
    return [alone, *(value for value in config.values() if isinstance(value, dict))]


def hash_of(images: ImageSet) -> str:
    """Of images and labels, in their order."""
    found = hashlib.blake2b(np.ascontiguousarray(images.images).data, digest_size=8)
    found.update(np.ascontiguousarray(images.labels).data)
    return found.hexdigest()
