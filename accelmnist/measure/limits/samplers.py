"""The limits of the hardware made ready to be sampled beside the cases that depend on them.

A probe takes its memory, and shows how long it runs, before any round: what it takes to begin must not fall into one.
So much of it makes a slice that all slices of a round take some `PROBE_S`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from accelmnist.core.errors import DeviceError
from accelmnist.device import Device, set_threads
from accelmnist.measure.limits.probes import Probe, probes_for
from accelmnist.measure.plan import Case
from accelmnist.measure.record_writer import RecordWriter
from accelmnist.measure.sampling import SLICES, Sampled, Sampler

PROBE_S = 0.04  # of a limit a round


def limit_samplers(
    cases: Sequence[Case], devices: Mapping[str, Device], writer: RecordWriter, *, threads: int
) -> dict[Sampled, Sampler]:
    """A sampler for every limit that `cases` depend on; `devices` has theirs by name.

    The limits go into the `writer`; one that can't be measured becomes a note there. `threads` are set for a sample
    whose limit names none.
    """
    samplers: dict[Sampled, Sampler] = {}
    for probe in probes_for(cases, devices):
        try:
            samplers[probe.limit] = probe_sampler(probe, threads=threads)
        except DeviceError as error:
            writer.failed(probe.limit, str(error))
        else:
            writer.add_limit(probe.limit)
    return samplers


def probe_sampler(probe: Probe, *, threads: int) -> Sampler:
    """The probe, ready; raises DeviceError with the reason if it can't be measured."""

    def sample() -> float:
        set_threads(probe.limit.threads or threads)
        return probe.sample()

    probe.prepare()
    started = time.perf_counter()
    sample()
    slices = round(PROBE_S / (time.perf_counter() - started))
    return Sampler(sample, slices=min(max(slices, 1), SLICES))
