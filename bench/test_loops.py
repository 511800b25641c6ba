"""The eager engine against the loops that people write, in pairs: same network, batch and optimizer in one run.

pytest-benchmark's own figure is a whole round, both ways together; the ratios and each way's images/s are in
`extra_info`, and the median ratio stands below the tables.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from accelmnist.data.types import DeviceSet
from accelmnist.device import Device
from bench.loops import HandLoop, LoaderLoop, OwnLoop, write_torchvision_files
from bench.pairs import PAIR_PROPERTY, Contender, Pair, synchronized

_HAND_ROUNDS = 12  # of two epochs, 468 steps each
_LOADER_ROUNDS = 6
_LOADER_STEPS = 40  # half a second: a whole epoch takes six


@pytest.fixture(scope="session")
def torchvision_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which torchvision finds MNIST."""
    root = tmp_path_factory.mktemp("torchvision")
    write_torchvision_files(root)
    return root


def _contender(name: str, loop: OwnLoop | HandLoop | LoaderLoop, device: Device) -> Contender:
    train: Callable[[], Tensor] = synchronized(loop, device)
    return Contender(name, train, loop.images)


def _measure(benchmark: Any, pair: Pair, record_property: Callable[[str, object], None], *, rounds: int) -> None:
    benchmark.pedantic(pair, rounds=rounds, iterations=1, warmup_rounds=1)
    benchmark.extra_info.update(pair.summary(rounds))
    record_property(PAIR_PROPERTY, pair.describe(rounds))
    assert pair.ours.has_learned
    assert pair.theirs.has_learned


@pytest.mark.benchmark(group="pairs")
def test_eager_against_a_loop_by_hand(
    benchmark: Any, training_set: DeviceSet, device: Device, record_property: Callable[[str, object], None]
) -> None:
    ours = _contender(f"eager on {device}", OwnLoop(training_set, device, engine="eager"), device)
    theirs = _contender("loop by hand, tensors preloaded", HandLoop(training_set, device), device)
    _measure(benchmark, Pair(ours, theirs), record_property, rounds=_HAND_ROUNDS)


@pytest.mark.benchmark(group="pairs")
def test_eager_against_a_data_loader(
    benchmark: Any,
    training_set: DeviceSet,
    device: Device,
    torchvision_root: Path,
    record_property: Callable[[str, object], None],
) -> None:
    ours = _contender(f"eager on {device}", OwnLoop(training_set, device, engine="eager"), device)
    loader = LoaderLoop(torchvision_root, device, steps=_LOADER_STEPS)
    theirs = _contender("DataLoader over torchvision's MNIST", loader, device)
    _measure(benchmark, Pair(ours, theirs), record_property, rounds=_LOADER_ROUNDS)
