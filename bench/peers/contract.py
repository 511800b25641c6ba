"""What a contender is: one way of doing a workload, in a process of its own.

A contender builds itself from a `Job`. `train` goes on through the epochs, a region of steps a call; `classify` tells
the digits of the test images; `reset` puts weights and optimizer back to where they began. All three return when the
work is done: whoever runs asynchronously waits for the end inside. Everything that a user pays for in every epoch lies
inside too: the shuffling, the gathering of batches, and bringing the losses to the host.

A new contender is one file in `bench/peers/contenders/` that ends in `CONTENDER = ItsClass`, and one entry in
`bench.peers.catalogue`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.peers.workloads import Floats, Job

Digits = NDArray[np.int64]


class Contender(ABC):
    """One way of doing a workload."""

    # Whether the number of steps of a region is compiled in, so that another number takes another compilation.
    compiles_region: ClassVar[bool] = False
    # Steps that are only run together: a region has a multiple of them.
    unit: ClassVar[int] = 1
    # Whether it trains a network; who doesn't has neither losses nor digits to show, only its time.
    learns: ClassVar[bool] = True

    @abstractmethod
    def __init__(self, job: Job, variant: str) -> None:
        """Build it: data brought into the form that it likes, network and optimizer made."""

    @classmethod
    def unsupported(cls, job: Job, variant: str) -> str | None:  # noqa: ARG003
        """Why it can't do the job, or None when it can; `variant` is what the catalogue says, such as an engine."""
        return None

    @abstractmethod
    def reset(self) -> None:
        """Weights, optimizer and the order of the images as they were at the start."""

    @abstractmethod
    def train(self, steps: int) -> Floats:
        """Run the next `steps` steps of the epoch; returns losses on the host: one a step, or their mean alone."""

    @abstractmethod
    def classify(self) -> Digits:
        """The digit of every test image, from its bytes: (10,000,) on the host."""


def no_bf16(job: Job) -> str | None:
    """The reason of those that compute in float32 alone."""
    return "it has no bfloat16" if job.precision == "bf16" else None


def as_digits(values: Any) -> Digits:
    """Whatever array a framework gives, as int64 on the host."""
    return np.asarray(values).astype(np.int64)
