"""A benchmark, from its configuration to its record: cases are prepared one by one, then sampled in rounds.

With a target accuracy, `time_to_accuracy` takes the place of both. Nothing is printed: an observer is told what
happens. The record is saved after every case and every round, so that nothing that was measured is lost, whatever ends
it early.
"""

from __future__ import annotations

from random import Random
from statistics import median

from accelmnist.device import matmul_precision, set_threads
from accelmnist.engines.own.faults import in_time
from accelmnist.measure.audit import check_limits
from accelmnist.measure.beside.rounds import measure_beside
from accelmnist.measure.case_builder import with_checks
from accelmnist.measure.limits.cost import cost_of
from accelmnist.measure.limits.probes import limit_samplers
from accelmnist.measure.machine import MachineWatch
from accelmnist.measure.plan import Case
from accelmnist.measure.record import BenchObserver, BenchRecord, Harness, Sampled
from accelmnist.measure.scaling import measure_scaling
from accelmnist.measure.session import BenchRequest, Session
from accelmnist.measure.statistics.summary import FEWEST_ROUNDS, is_settled
from accelmnist.measure.time_to_accuracy import measure_time_to_accuracy
from accelmnist.measure.timed_case import Sampler, TimedCase, TimedTraining, WarmCase, sample_round, seconds_of
from accelmnist.training.profile import COUNTED_STEPS, PROFILED_STEPS, profile_calls, profile_steps
from accelmnist.training.run import record_early_exit

_KEPT_ROUNDS = 8  # time for so many is kept back when a case is prepared
_ROUND_OVERHEAD_S = 0.05  # a case's share of a round beyond its region: setting back, probes
_EMPTY_REGIONS = 100

WarmCases = dict[Case, WarmCase]


def execute_bench(request: BenchRequest, observer: BenchObserver) -> BenchRecord:
    """Measure what `request` asks for and return the record.

    Raises ConfigError, DataError and OutputError; the record is saved with its status before. KeyboardInterrupt and
    BrokenPipeError pass through, after saving.
    """
    session = Session(request, observer)
    measure = measure_throughput if session.config.target_accuracy is None else measure_time_to_accuracy
    measure = measure_beside if session.config.beside else measure
    ranks = request.ranks
    with record_early_exit(session.stop, interrupted="interrupted"):
        if request.record.status != "done":
            session.writer.set(status="running", message=None)  # conclusions of an earlier part are no longer its own
            observer.planned(session.writer.record)
            session.writer.save()
            if ranks is None:
                with in_time(lambda: session.budget.left_s):
                    measure(session, session.runnable())
            else:
                measure_scaling(session, ranks)
        if ranks is None or ranks.is_first:
            session.close()
    return session.writer.record


def measure_throughput(session: Session, cases: list[Case]) -> None:
    """Measure images a second of every case; those that compile come last, to be left out if time is short."""
    warm: WarmCases = {}
    for case in sorted(cases, key=session.compiles):
        _prepare_in_time(session, case, warm)
        session.save(at_once=True)
        session.observer.case_done(session.writer.record, case)
    if warm:
        _Rounds(session, warm).run()
        _finish(session, warm)


def _prepare_in_time(session: Session, case: Case, warm: WarmCases) -> None:
    """Add the case to `warm`, unless it fails or takes more time than is left."""
    compiles, budget = session.compiles(case), session.budget
    kind = f"{case.engine} {case.mode}"
    takes_s = budget.expect_s(kind, compiles=compiles)
    left_s = budget.left_s - _KEPT_ROUNDS * _round_s(warm)
    if takes_s > left_s:
        session.skip_for_time(case, takes_s, left_s)
        return
    session.observer.stage(f"{'compiling' if compiles else 'preparing'} {case.label}")
    started = budget.elapsed_s
    prepared = prepare_case(session, case)
    budget.learn(kind, budget.elapsed_s - started)
    if prepared is not None:
        warm[case] = prepared


def prepare_case(session: Session, case: Case) -> WarmCase | None:
    """The case, ready to be sampled; None if it failed: the reason is in its result, and the benchmark goes on."""
    writer = session.writer
    with session.attempt(case) as device:
        session.peak.begin(device)
        timed = session.builder.timed(case)
        writer.update(case, status="measuring", skipped=None, compile_s=timed.compile_s, cost=cost_of(case))
        if writer.results[case].verdict is None:
            accuracy, verdict = session.builder.verify(timed)
            writer.update(case, accuracy=accuracy, verdict=verdict)
        _profile(session, timed)
        timed.warm_up()
        writer.update(case, steps_per_region=timed.steps, region_s=timed.region_s)
        writer.update(case, peak_memory_bytes=session.peak.end(device))
        timed.anchor = session.builder.anchor(timed)
        return WarmCase(timed, case.threads or session.threads, checks=session.peak.checks)
    return None


def _profile(session: Session, timed: TimedCase) -> None:
    """Count what a step starts; with a folder for traces, also find out where its time goes."""
    case, device, folder = timed.case, timed.device, session.request.traces
    steps, trace = COUNTED_STEPS, None
    if folder is not None:
        steps, trace = PROFILED_STEPS, folder / f"{case.label.replace(' ', '-').replace(':', '')}.json.gz"
    with matmul_precision(device, case.precision):
        if isinstance(timed, TimedTraining):
            profile = profile_steps(timed.runner, timed.first_steps(steps), device, steps=steps, trace=trace)
        else:
            profile = profile_calls(lambda: timed.run(1), device, steps=steps, trace=trace)
    timed.restore()
    session.writer.update(case, launches=profile.launches)
    if folder is not None:
        session.writer.update(case, profile=profile.summary)


def _round_s(warm: WarmCases) -> float:
    """What a round of these cases takes, at a guess."""
    return sum(prepared.timed.region_s + _ROUND_OVERHEAD_S for prepared in warm.values())


class _Rounds:
    """The rounds of one process; a case or a limit that fails on the way is dropped, `warm` included."""

    def __init__(self, session: Session, warm: WarmCases) -> None:
        self.session, self.warm = session, warm
        self.process = 1 + max((round_.process for round_ in session.writer.record.rounds), default=-1)
        self.count = 0
        self._limits: dict[Sampled, Sampler] = {}
        results = session.writer.results
        self._verdicts = {case: results[case].verdict for case in warm}
        self._begun = {case: len(results[case].rounds) for case in warm}  # samples of earlier processes

    def run(self) -> None:
        """Sample until it is enough."""
        session = self.session
        session.observer.stage("measuring")
        samplers: dict[Sampled, Sampler] = {
            case: Sampler(prepared.sample, slices=prepared.timed.slices) for case, prepared in self.warm.items()
        }
        self._limits = limit_samplers(list(self.warm), session.devices, session.writer, threads=session.threads)
        samplers |= self._limits
        watch = MachineWatch(list(session.devices.values()))
        rng = Random(self.process)
        longest_s = _round_s(self.warm)
        while samplers and not self._is_over(longest_s):
            started = session.budget.elapsed_s
            self._round(samplers, watch, rng)
            longest_s = max(longest_s, session.budget.elapsed_s - started)
        set_threads(session.threads)

    def _round(self, samplers: dict[Sampled, Sampler], watch: MachineWatch, rng: Random) -> None:
        writer = self.session.writer
        watch.begin()
        outcomes = sample_round(samplers, rng)
        for key in writer.add_round(outcomes, watch.end(), process=self.process):
            del samplers[key]
            if isinstance(key, Case):
                del self.warm[key]
        for case, prepared in list(self.warm.items()):
            writer.update(case, latency=prepared.latency, joules_per_image=prepared.joules_per_image)
            with self.session.attempt(case):
                self._audit(case, prepared)
                continue
            del samplers[case], self.warm[case]
        self.count += 1
        self.session.save()
        self.session.observer.round_done(writer.record)

    def _audit(self, case: Case, prepared: WarmCase) -> None:
        """Add to the verdict what this process proves of what it timed."""
        result, verdict = self.session.writer.results[case], self._verdicts[case]
        if verdict is not None and result.images_per_s is not None:
            checks = prepared.audit(case, result.images_per_s.samples[self._begun[case] :])
            apart = [limit.apart() for key, limit in self._limits.items() if key.device == case.device]
            self.session.writer.update(case, verdict=with_checks(verdict, (*checks, check_limits(apart))))

    def _is_over(self, round_s: float) -> bool:
        config, budget = self.session.config, self.session.budget
        if self.count >= config.plan.most_rounds or budget.left_s < round_s:
            return True
        return self.count >= FEWEST_ROUNDS and _unsettled(self.session, self.warm) == 0


def _unsettled(session: Session, warm: WarmCases) -> int:
    """Cases whose interval is still too wide."""
    target = session.config.precision_target
    return sum(not is_settled(session.writer.results[case].images_per_s, target=target) for case in warm)


def _finish(session: Session, warm: WarmCases) -> None:
    """Say what is wanting, and what the measurement itself costs."""
    writer = session.writer
    if wide := _unsettled(session, warm):
        target = f"{100 * session.config.precision_target:.3g} %"
        writer.note(f"{wide} of {len(warm)} intervals are wider than {target} of their median")
    writer.set(harness=_harness(warm))


def _harness(warm: WarmCases) -> Harness | None:
    """The time of regions in which nothing runs, over the regions' own: what the measurement itself costs."""
    cases = [prepared.timed for prepared in warm.values()]
    if not cases:
        return None
    empty_s = median(seconds_of(lambda: None, cases[0].device) for _ in range(_EMPTY_REGIONS))
    return Harness(empty_region_s=empty_s, share=max(case.overhead_s() / case.region_s for case in cases))
