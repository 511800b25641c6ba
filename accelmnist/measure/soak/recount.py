"""A soak's record read, and what it concludes drawn once more from its rounds: see `core.recount`."""

from __future__ import annotations

from pathlib import Path
from statistics import median

import msgspec

from accelmnist.core.files import load, record_file
from accelmnist.core.records import recount_verdict
from accelmnist.core.recount import recounted, require, require_figure, require_same
from accelmnist.measure.soak.judgement import conclude
from accelmnist.measure.soak.record import SoakRecord


def load_soak(path: Path) -> SoakRecord:
    """Read, validate and recount a soak's record, given the file or its folder; raises RecordError.

    One that was killed holds conclusions of fewer rounds than it has: they are drawn from all of them.
    """
    file = record_file(path, "soak")
    record = load(file, SoakRecord, kind="soak", noun="a soak")
    with recounted(str(file)):
        if record.status == "running":
            record = conclude(record)
        recount_soak(record)
    return record


def recount_soak(record: SoakRecord) -> None:
    """Raise RecordError for the first figure of a soak that doesn't follow from its rounds and its devices' words."""
    for place, device in enumerate(record.devices):
        counted = sum(count for round_ in record.rounds if (count := round_.replays[place]) is not None)
        require(device.replays >= counted, f"{device.name} has {device.replays} replays, but its rounds have {counted}")
        require(len(device.faults) <= device.wrong, f"{device.name} has more faults than replays that differ")
        require(device.wrong == 0 or bool(device.faults), f"{device.name} has replays that differ, and no fault")
        recount_verdict(device.proof, f"the proof of {device.name}")
        for kind, summary in (("together", device.images_per_s), ("alone", device.alone)):
            speeds = [speed for _, speed in record.speeds(place, "together" if kind == "together" else "alone")]
            if summary is not None:
                of = "by its rounds"
                require_figure(f"median of {device.name}, {kind}", summary.median, median(speeds), of=of)
    follows = conclude(record)
    recount_verdict(record.verdict)
    require_same("verdict", *(msgspec.to_builtins(one.verdict) for one in (record, follows)), of="by its devices")
    for device, again in zip(record.devices, follows.devices, strict=True):
        said, worked_out = (msgspec.to_builtins(one.beside) for one in (device, again))
        require_same(f"speeds of {device.name} beside others", said, worked_out, of="by its rounds")
