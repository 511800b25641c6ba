"""The measurement: every case and every limit of the hardware in the same rounds, in slices that chance mixes.

It is `accelmnist bench` with cases of its own choice: the same subjects, samples, limits and conclusions, so that its
record is a benchmark's. Each case is judged by its first steps against float64 before it is timed; whole trainings of
networks this large would take longer than all of the rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random

import torch

from accelmnist.core.errors import DeviceError
from accelmnist.core.records import Verdict
from accelmnist.data.mnist import load_dataset
from accelmnist.data.types import Dataset, DeviceSet, upload
from accelmnist.device import Device, resolve, set_threads
from accelmnist.device.environment import describe_environment
from accelmnist.engines.choose import engine_class
from accelmnist.measure.conclusion import conclude
from accelmnist.measure.limits.cost import cost_of
from accelmnist.measure.limits.probes import limit_samplers
from accelmnist.measure.machine import MachineWatch
from accelmnist.measure.plan import BenchConfig, Case, run_config
from accelmnist.measure.record import BenchRecord, CaseResult, DeviceInfo, RecordWriter, Sampled
from accelmnist.measure.statistics.symptoms import RoundLoad
from accelmnist.measure.timed_case import Sampler, TimedTraining, WarmCase, sample_round
from accelmnist.training.loop import EpochSteps, Stopwatch
from accelmnist.training.reference.audit import WHOLE, Audit

FEWEST_ROUNDS = 6  # the least that an interval takes


class Scaling:
    """Measures `cases` into a record that is saved in `folder`; `say` is told what happens."""

    def __init__(self, cases: Sequence[Case], folder: Path, say: Callable[[str], None]) -> None:
        self.started, self.say = time.perf_counter(), say
        self.device = resolve("cpu")
        self.config = BenchConfig(devices=("cpu",), modes=("training",), optimizers=("sgd",))
        self.dataset: Dataset = load_dataset()
        self.images: DeviceSet = upload(self.dataset.train, self.device)
        results = tuple(CaseResult.of(case) for case in cases)
        self.writer = RecordWriter(_record(self.config, self.device, results), folder)
        self.samplers: dict[Sampled, Sampler] = {}
        self.prepared: set[Sampled] = set()

    def run(self, seconds: float) -> BenchRecord:
        """Prepare all, sample until `seconds` are over, conclude; returns the record, saved."""
        for case in list(self.writer.results):
            self._prepare(case)
        self._add_limits()
        self._sample(seconds)
        for case in self.writer.results.keys() & self.prepared:
            self.writer.update(case, status="done")
        self.writer.take(conclude(self.writer.record))
        self.writer.set(elapsed_s=time.perf_counter() - self.started)
        self.writer.end("done", None)
        return self.writer.record

    def _prepare(self, case: Case) -> None:
        self.say(f"preparing {case.label}")
        config = run_config(case, self.config)
        assert case.threads is not None, "the cases of this study name their threads"
        set_threads(case.threads)
        refusal = engine_class(case.engine).unsupported(config, self.device)
        if refusal is not None:
            self.writer.update(case, status="skipped", skipped=refusal)
            return
        timed = TimedTraining(case, self.device, config, self.images)
        self.writer.update(case, status="measuring", cost=cost_of(case), verdict=self._judge(timed))
        timed.warm_up()
        self.writer.update(case, steps_per_region=timed.steps, region_s=timed.region_s)
        self.samplers[case] = Sampler(WarmCase(timed, case.threads).sample, slices=timed.slices)
        self.prepared.add(case)

    def _judge(self, timed: TimedTraining) -> Verdict:
        audit = Audit(timed.job.config, self.dataset.train)
        audit.watch(0, EpochSteps(timed.runner, timed.job, timed.first_steps(WHOLE.first), Stopwatch(self.device)))
        timed.restore()
        return Verdict.of("float64", audit.step_checks())

    def _add_limits(self) -> None:
        cases = [case for case in self.writer.results if case in self.prepared]
        self.samplers |= limit_samplers(cases, {"cpu": self.device}, self.writer, threads=torch.get_num_threads())

    def _sample(self, seconds: float) -> None:
        """Rounds until the next one would end too late; so many at least that there is an interval."""
        watch, rng, longest = MachineWatch(), Random(0), 0.0
        while len(self.writer.record.rounds) < FEWEST_ROUNDS or self._elapsed() + longest < seconds:
            began = self._elapsed()
            watch.begin()
            outcomes = sample_round(self.samplers, rng)
            self._keep(outcomes, watch.end())
            longest = max(longest, self._elapsed() - began)
            self.say(f"round {len(self.writer.record.rounds)}")

    def _elapsed(self) -> float:
        return time.perf_counter() - self.started

    def _keep(self, outcomes: Mapping[Sampled, float | DeviceError], load: RoundLoad) -> None:
        for key in self.writer.add_round(outcomes, load):
            del self.samplers[key]
            self.prepared.discard(key)
        self.writer.save()


def _record(config: BenchConfig, device: Device, results: tuple[CaseResult, ...]) -> BenchRecord:
    memory = describe_environment(device).memory_bytes
    return BenchRecord(
        created=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        environment=describe_environment(device),
        devices=(DeviceInfo(name=str(device), hardware=device.hardware, memory_bytes=memory),),
        config=config,
        cases=results,
    )
