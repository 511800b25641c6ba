"""What a finished benchmark teaches `--engine auto`: the speeds of its right training cases, as table entries."""

from __future__ import annotations

from collections.abc import Mapping

from accelmnist.device import Device
from accelmnist.engines.choose import machine_name
from accelmnist.engines.speeds import BenchmarkSetting, Speed
from accelmnist.measure.record import BenchRecord, CaseResult

FEWEST_SAMPLES = 5


def speeds_of(record: BenchRecord, devices: Mapping[str, Device], *, threads: int) -> list[Speed]:
    """An entry for each case of training that was measured and is right; `threads` are those of cases that name none.

    What passed no check, or has fewer than FEWEST_SAMPLES samples, teaches nothing.
    """
    day = record.created[:10]
    return [
        _speed(result, machine_name(devices[result.device]), threads, day)
        for result in record.cases
        if result.mode == "training" and _counts(result) and result.device in devices
    ]


def _counts(result: CaseResult) -> bool:
    right = result.verdict is not None and result.verdict.passed
    return right and result.images_per_s is not None and len(result.images_per_s.samples) >= FEWEST_SAMPLES


def _speed(result: CaseResult, machine: str, threads: int, day: str) -> Speed:
    assert result.images_per_s is not None
    assert result.optimizer is not None
    setting = BenchmarkSetting(
        machine=machine,
        device=result.device,
        threads=result.threads or threads,
        precision=result.precision,
        batch_size=result.batch_size,
        hidden=result.hidden,
        optimizer=result.optimizer,
    )
    median = result.images_per_s.median
    return Speed(
        setting=setting, engine=result.engine, images_per_s=median, compile_s=result.compile_s or 0.0, measured=day
    )
