"""A case on its way to be timed: built, judged, counted, warmed up, each step on the clock or on the record.

What fails becomes the case's result, and the benchmark goes on without it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from accelmnist.core.errors import DeviceError
from accelmnist.device import matmul_precision, memory_errors, set_threads
from accelmnist.engines.compilation import Compilations, CompileWatch
from accelmnist.measure.case_builder import CaseBuilder
from accelmnist.measure.limits.cost import cost_of
from accelmnist.measure.machine.load import EnergyMeter
from accelmnist.measure.machine.peak import PeakMemory
from accelmnist.measure.plan import LATENCY_BATCH, Case
from accelmnist.measure.record import Latency
from accelmnist.measure.record_writer import RecordWriter
from accelmnist.measure.timed_case import TimedCase, TimedInference, TimedTraining
from accelmnist.training.profiling.profile import COUNTED_STEPS, PROFILED_STEPS, Profile, profile_calls, profile_steps

_REMEDY = "Try a smaller batch size or network, or another device"
_LATENCY_CALLS = 16  # a slice


class WarmCase:
    """A timed that is warm; `sample` takes one slice and keeps what else that tells."""

    def __init__(self, timed: TimedCase, threads: int) -> None:
        self.timed, self._threads = timed, threads
        self.latencies: list[float] = []
        self.compilations = Compilations()
        self._energy = EnergyMeter(timed.device)
        self._joules: list[float] = []
        self._images = 0

    def sample(self) -> float:
        """Images a second of one slice; raises DeviceError where it fails."""
        timed = self.timed
        set_threads(self._threads)
        with memory_errors(timed.device, _REMEDY), CompileWatch() as watch:
            self._energy.begin()
            speed = timed.sample()
            joules = self._energy.end()
            if timed.case.batch_size == LATENCY_BATCH and isinstance(timed, TimedInference):
                self.latencies += timed.latencies(_LATENCY_CALLS)
        self.compilations += watch.seen
        if joules is not None:
            self._joules.append(joules)
            self._images += timed.slice_steps * timed.case.batch_size
        return speed

    @property
    def joules_per_image(self) -> float | None:
        """All that was counted, over all images: a counter that moves in steps is right on average alone.

        None where nothing counts energy.
        """
        return sum(self._joules) / self._images if self._images else None

    @property
    def latency(self) -> Latency | None:
        """Quantiles of the single calls so far."""
        if not self.latencies:
            return None
        p50, p90, p99 = np.quantile(self.latencies, [0.5, 0.9, 0.99]).tolist()
        calls = len(self.latencies)
        return Latency(calls=calls, p50_s=p50, p90_s=p90, p99_s=p99, worst_s=max(self.latencies))


class Preparer:
    """Makes cases ready, one after the other, and writes down what that tells.

    `traces` is the folder for a Chrome trace of each case, or None.
    """

    def __init__(self, builder: CaseBuilder, writer: RecordWriter, peak: PeakMemory, traces: Path | None) -> None:
        self._builder, self._writer, self._peak, self._traces = builder, writer, peak, traces

    def prepare(self, key: Case, threads: int) -> WarmCase | None:
        """The case, ready to be sampled; None where it failed, with the reason in its result."""
        set_threads(threads)
        try:
            device = self._builder.device(self._writer.results[key].case)
            with memory_errors(device, _REMEDY):
                self._peak.begin(device)
                timed = self._make(key)
                self._writer.update(key, peak_memory_bytes=self._peak.end(device))
        except DeviceError as error:
            self._writer.update(key, status="failed", skipped=str(error))
            return None
        return WarmCase(timed, threads)

    def _make(self, key: Case) -> TimedCase:
        case = self._writer.results[key].case
        timed = self._builder.timed(case)
        self._writer.update(key, status="measuring", skipped=None, compile_s=timed.compile_s, cost=cost_of(case))
        if self._writer.results[key].verdict is None:
            accuracy, verdict = self._builder.verify(timed)
            self._writer.update(key, accuracy=accuracy, verdict=verdict)
        self._profile(key, timed)
        timed.warm_up()
        self._writer.update(key, steps_per_region=timed.steps, region_s=timed.region_s)
        return timed

    def _profile(self, key: Case, timed: TimedCase) -> None:
        """Count what a step starts; with a folder for traces, also tell where its time goes."""
        if self._traces is None:
            self._writer.update(key, launches=profiled(timed, steps=COUNTED_STEPS, trace=None).launches)
            return
        trace = self._traces / f"{key.label.replace(' ', '-').replace(':', '')}.json.gz"
        profile = profiled(timed, steps=PROFILED_STEPS, trace=trace)
        self._writer.update(key, launches=profile.launches, profile=profile.summary)


def profiled(timed: TimedCase, *, steps: int, trace: Path | None) -> Profile:
    """A profile of the timed's step; it ends as it began."""
    device = timed.device
    with matmul_precision(device, timed.case.precision):
        if isinstance(timed, TimedTraining):
            profile = profile_steps(timed.runner, timed.first_steps(steps), device, steps=steps, trace=trace)
        else:
            profile = profile_calls(lambda: timed.run(1), device, steps=steps, trace=trace)
    timed.restore()
    return profile
