"""Soaks made up for tests."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from accelmnist.core.config import RunConfig
from accelmnist.core.records import Check, Verdict
from accelmnist.measure.soak.plan import SoakConfig
from accelmnist.measure.soak.record import SoakDevice, SoakRecord, SoakRound

RIGHT = Verdict.of("float64", [Check.at_most("error", 0.0, 1.0, detail="", reason="")])
DEVICE = SoakDevice(
    name="gpu", hardware="One", engine="eager", threads=1, status="done", proof=RIGHT, deterministic=True, replays=100
)


def record_of(speeds: np.ndarray, **fields: object) -> SoakRecord:
    """A soak with these speeds (rounds, devices), all at work, of devices that are alike."""
    count = speeds.shape[1]
    devices = tuple(replace(DEVICE, name=f"cuda:{number}", fingerprints=("end",), **fields) for number in range(count))
    made = tuple(
        SoakRound(kind="together", at_s=float(at), replays=(1,) * count, images_per_s=tuple(row.tolist()))
        for at, row in enumerate(speeds)
    )
    config = SoakConfig(run=RunConfig(), replays=100)
    return SoakRecord(status="done", config=config, devices=devices, rounds=made, elapsed_s=1.0)


def noisy(chance: np.random.Generator, rounds: int, devices: int) -> np.ndarray:
    """Speeds of equal devices: a drift that all share, noise of 5 % of each, and stalls of one in twenty."""
    drift = np.cumsum(chance.normal(0, 0.01, (rounds, 1)), axis=0)
    noise = chance.normal(0, 0.05, (rounds, devices))
    stalls = (chance.random((rounds, devices)) < 0.05) * chance.exponential(0.3, (rounds, devices))
    return 1e5 * np.exp(drift + noise - stalls)
