"""Made-up folders of benchmarks over time, with a step where it is asked for."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from accelmnist.measure.record import BenchRecord, save_bench
from tests.test_compare import EAGER, sample_bench

START = datetime.fromisoformat("2026-09-01T08:00:00+00:00")


def sample_series(
    number: int, *, step: float = 1.0, place: int = 0, seed: int = 0, apart: float = 0.006, case: str = EAGER
) -> list[BenchRecord]:
    """So many records, a day apart; from the one at `place` on `case` is `step` times as fast.

    The machine differs by a fifth from day to day, and what each case and limit do by themselves by `apart`.
    """
    random = np.random.default_rng(seed)
    series = []
    for index in range(number):
        record = sample_bench(
            seed=int(random.integers(2**31)),
            drift=float(random.lognormal(0, 0.2)),
            apart=apart,
            rounds=12,
            speeds={case: step} if index >= place else {},
            created=(START + timedelta(days=index)).isoformat(),
        )
        assert record.environment is not None
        later = index >= place
        environment = replace(
            record.environment, commit=f"{'b' if later else 'a'}{index:011x}", torch="2.14.1" if later else "2.14.0"
        )
        series.append(replace(record, environment=environment))
    return series


def on_other_hardware(record: BenchRecord) -> BenchRecord:
    """The same on another processor."""
    assert record.environment is not None
    devices = tuple(replace(one, hardware="Apple M4") for one in record.devices)
    return replace(record, environment=replace(record.environment, processor="Apple M4"), devices=devices)


def save_series(series: list[BenchRecord], folder: Path) -> Path:
    """Each in a folder of its own below `folder`, which is returned."""
    for index, record in enumerate(series):
        own = folder / f"{index:04d}"
        own.mkdir(parents=True)
        save_bench(record, own)
    return folder
