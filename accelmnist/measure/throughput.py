"""Throughput: cases prepared one by one, then sampled together, round by round.

prepare   each case is built, compiled, judged against the reference, counted, warmed up; what doesn't fit into the
          time is cut, and said
sample    rounds of all cases and limits in random order, until every interval is narrow enough or time is up
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from random import Random
from statistics import median

from accelmnist.core.errors import DeviceError
from accelmnist.device import set_threads
from accelmnist.measure.clock import timed
from accelmnist.measure.limits.samplers import limit_samplers
from accelmnist.measure.machine.load import MachineWatch, RoundLoad
from accelmnist.measure.observer import BenchObserver
from accelmnist.measure.plan import Case
from accelmnist.measure.preparation import Preparer, WarmCase
from accelmnist.measure.record import Harness, Round
from accelmnist.measure.sampling import FEWEST_ROUNDS, Sampler, is_settled, sample_round
from accelmnist.measure.session import BenchRequest, Session
from accelmnist.measure.verification import compile_checks, with_checks

_KEPT_ROUNDS = 8  # time for so many is kept back when a case is prepared
_ROUND_OVERHEAD_S = 0.05  # a case's share of a round beyond its region: setting back, probes
_EMPTY_REGIONS = 100


class ThroughputSession(Session):
    """Images a second of every case."""

    def __init__(self, request: BenchRequest, observer: BenchObserver) -> None:
        super().__init__(request, observer)
        self.preparer = Preparer(self.builder, self.writer, self.peak, request.traces)
        self.prepared: dict[Case, WarmCase] = {}
        self.process = 1 + max((round_.process for round_ in self.writer.record.rounds), default=-1)
        self.rounds_here = 0

    def measure(self, runnable: list[Case]) -> None:
        """Prepare, those that compile last: where time is short, they are cut. Then sample."""
        for key in sorted(runnable, key=self.compiles):
            self._prepare(key)
            self.write(at_once=True)
            self.observer.case_done(self.writer.record, key)
        if self.prepared:
            self._sample()

    def _prepare(self, key: Case) -> None:
        compiles, result = self.compiles(key), self.writer.results[key]
        kind = f"{result.engine} {result.mode}"
        takes = self.budget.expect_s(kind, compiles=compiles)
        left = self.budget.left_s - _KEPT_ROUNDS * self._round_s()
        if takes > left:
            self.cut(key, takes, left)
            return
        self.observer.stage(f"{'compiling' if compiles else 'preparing'} {key.label}")
        started = self.budget.elapsed_s
        prepared = self.preparer.prepare(key, self.threads_of(key))
        self.budget.learn(kind, self.budget.elapsed_s - started)
        if prepared is not None:
            self.prepared[key] = prepared

    def _round_s(self) -> float:
        """What a round of the cases prepared so far takes, at a guess."""
        return sum(prepared.timed.region_s + _ROUND_OVERHEAD_S for prepared in self.prepared.values())

    def _sample(self) -> None:
        self.observer.stage("measuring")
        samplers: dict[Case | str, Sampler] = {
            key: Sampler(prepared.sample, slices=prepared.timed.slices) for key, prepared in self.prepared.items()
        }
        samplers.update(self._probes())
        watch = MachineWatch(self.devices())
        chance = Random(self.process)
        longest = self._round_s()
        while samplers and not self._is_over(longest):
            started = self.budget.elapsed_s
            watch.begin()
            outcomes = sample_round(samplers, chance)
            self._keep_round(outcomes, watch.end(), samplers)
            longest = max(longest, self.budget.elapsed_s - started)
        set_threads(self.threads)

    def _probes(self) -> dict[str, Sampler]:
        """The probes of what was prepared, ready."""
        cases = [prepared.timed.case for prepared in self.prepared.values()]
        devices = {str(device): device for device in self.devices()}
        return limit_samplers(cases, devices, self.writer, threads=self.threads)

    def _keep_round(
        self, outcomes: Mapping[Case | str, float | DeviceError], load: RoundLoad, samplers: dict[Case | str, Sampler]
    ) -> None:
        rates = {key: outcome for key, outcome in outcomes.items() if not isinstance(outcome, DeviceError)}
        for key in outcomes.keys() - rates.keys():
            self._drop(key, samplers, str(outcomes[key]))
        round_ = Round(
            number=len(self.writer.record.rounds) + 1,
            process=self.process,
            limits={key: rate for key, rate in rates.items() if isinstance(key, str)},
            other_cpu=load.other_cpu,
            throttled=load.throttled,
        )
        self.writer.add_round(round_, {key: rate for key, rate in rates.items() if isinstance(key, Case)})
        for key, prepared in self.prepared.items():
            self.writer.update(key, latency=prepared.latency, joules_per_image=prepared.joules_per_image)
        self.rounds_here += 1
        self.write()
        self.observer.round_done(self.writer.record)

    def _drop(self, key: Case | str, samplers: dict[Case | str, Sampler], reason: str) -> None:
        """Go on without a case or a limit that failed while it was timed."""
        del samplers[key]
        if isinstance(key, Case):
            del self.prepared[key]
            self.writer.update(key, status="failed", skipped=reason)
        else:
            self.writer.limit_failed(key, reason)

    def _is_over(self, round_s: float) -> bool:
        if self.rounds_here >= self.config.plan.most_rounds or self.budget.left_s < round_s:
            return True
        return self.rounds_here >= FEWEST_ROUNDS and self._unsettled() == 0

    def _unsettled(self) -> int:
        """Cases whose interval is still too wide."""
        target = self.config.precision_target
        return sum(not is_settled(samples, target=target) for samples in self._samples())

    def _samples(self) -> Iterator[tuple[float, ...]]:
        for key in self.prepared:
            summary = self.writer.results[key].images_per_s
            yield summary.samples if summary else ()

    def finish(self) -> None:
        """Add what happened to the cases while they were timed, and say what is wanting."""
        for key, prepared in self.prepared.items():
            verdict = self.writer.results[key].verdict
            if verdict is not None:
                verdict = with_checks(verdict, *compile_checks(prepared.compilations))
            self.writer.update(key, verdict=verdict)
        if wide := self._unsettled():
            target = f"{100 * self.config.precision_target:.3g} %"
            self.writer.note(f"{wide} of {len(self.prepared)} intervals are wider than {target} of their median")
        self.writer.set(harness=self._harness())

    def _harness(self) -> Harness | None:
        """The time of regions in which nothing runs, over the regions' own: what the measurement itself costs."""
        if not self.prepared:
            return None
        subjects = [prepared.timed for prepared in self.prepared.values()]
        empty = median(timed(lambda: None, subjects[0].device) for _ in range(_EMPTY_REGIONS))
        share = max(timed.overhead_s() / timed.region_s for timed in subjects)
        return Harness(empty_region_s=empty, share=share)
