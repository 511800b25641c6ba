"""A soak as OpenMetrics, for whoever watches a machine: each figure of each device, told apart by its name."""

from __future__ import annotations

import time
from pathlib import Path

from accelmnist.core.errors import OutputError
from accelmnist.core.files import write_atomically
from accelmnist.measure.soak.record import SoakDevice, SoakRecord
from accelmnist.show.openmetrics import Family, Labels, openmetrics_text

_UNITS = {"Hz": "hertz", "°C": "celsius", "W": "watts", "s": "seconds"}


def soak_families(record: SoakRecord) -> list[Family]:
    """All figures of a soak; one that isn't known yet has no sample."""
    families = [
        Family(name=f"accelmnist_soak_{name}", unit=unit, help=text)
        for name, unit, text in (
            ("replays", "", "Replays of the training that were done."),
            ("different_replays", "", "Replays that did not end, or go, as the first one, to the bit."),
            ("right", "", "1 if the training passed its full verdict on the device, 0 if not."),
            ("deterministic", "", "1 if the device gives the same bits again, 0 if it can't."),
            ("there", "", "1 if the device answers, 0 if it was lost or refused."),
            ("slow", "", "1 if the device is slow next to the others of its kind, 0 if not."),
            ("throughput_images_per_second", "images_per_second", "Images a second, median, all devices at work."),
            ("over_others_ratio", "ratio", "Speed over that of the others of its kind in the same rounds."),
        )
    ]
    for device in record.devices:
        labels = {"device": device.name, "hardware": device.hardware, "engine": device.engine or ""}
        for family, value in zip(families, _values(device), strict=True):
            if value is not None:
                family.samples.append((labels, float(value)))
    return [*families, *_counter_families(record), *_of_all(record)]


def _values(device: SoakDevice) -> tuple[float | None, ...]:
    together = next((one for one in device.beside if one.kind == "together"), None)
    return (
        device.replays,
        device.wrong,
        None if device.proof is None else device.proof.passed,
        device.deterministic,
        device.status not in ("lost", "refused"),
        any(one.is_slow for one in device.beside) if device.beside else None,
        None if device.images_per_s is None else device.images_per_s.median,
        None if together is None else together.over_others.ratio,
    )


def _counter_families(record: SoakRecord) -> list[Family]:
    """A gauge's last value; of a counter how much it grew."""
    families: dict[str, Family] = {}
    for device in record.devices:
        labels: Labels = {"device": device.name, "hardware": device.hardware}
        for counter in device.counters:
            is_gauge = counter.unit in ("Hz", "°C", "W")
            value = counter.last if is_gauge else counter.grew
            if value is None:
                continue
            unit = _UNITS.get(counter.unit, "")
            words = counter.name.lower().replace(",", "").replace(" ", "_")
            name = "_".join(filter(None, ("accelmnist_soak", words, unit)))
            text = f"The {counter.name}." if is_gauge else f"How much {counter.name} grew since the start."
            families.setdefault(name, Family(name=name, unit=unit, help=text)).samples.append((labels, value))
    return list(families.values())


def _of_all(record: SoakRecord) -> list[Family]:
    passed = Family(name="accelmnist_soak_passed", help="1 if nothing failed so far, 0 if a check did.")
    if record.verdict is not None:
        passed.add(float(record.verdict.passed))
    elapsed = Family(name="accelmnist_soak_elapsed_seconds", unit="seconds", help="Time of replaying so far.")
    elapsed.add(record.elapsed_s)
    now = Family(name="accelmnist_soak_updated_seconds", unit="seconds", help="When this was written, since 1970.")
    now.add(time.time())
    return [passed, elapsed, now]


def write_metrics(record: SoakRecord, file: Path) -> None:
    """Replace `file` in one step; raises OutputError that names it."""
    try:
        write_atomically(file, openmetrics_text(soak_families(record)).encode(), flush=False)
    except OutputError as error:
        raise OutputError(
            f"--metrics: {error.message}", remedy="Choose a file that can be written, or make room"
        ) from error
