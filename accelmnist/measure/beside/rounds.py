"""The rounds of a benchmark beside other programs: all sides in processes of their own, one at work at a time.

In a round each case is followed by the others that do the same work, and in the next round the last goes first. A
machine that is shared is fast and slow by turns of some ten milliseconds, so rounds are short and many: of two
processes of eager, the ratios of 400 rounds of 15 ms each were known to 0.7 %, of those four by four to 0.9 %. As
after another program a first step is slower, regions of the same work have the same number of steps.

Two processes of one program differ a little for as long as they live, by where their memory and threads happen to lie.
So the time is cut into parts, and in each all sides are started anew (copies of a process that has loaded its libraries
would share what they differ by). The first begins with this program's own process alone, some samples of which say
whether the mere presence of the others costs anything.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from random import Random

from accelmnist.core.config import RunConfig
from accelmnist.core.errors import DeviceError
from accelmnist.core.records import Check, Verdict
from accelmnist.device import Device, set_threads
from accelmnist.measure.audit import Anchor
from accelmnist.measure.beside.other_process import FLOOD_BYTES
from accelmnist.measure.beside.sides import OpenCase, Sides
from accelmnist.measure.beside.timed_remote import Remote, RemoteInference, RemoteTraining, product_flop_s
from accelmnist.measure.case_builder import with_checks
from accelmnist.measure.conclusion import over_side, own_of
from accelmnist.measure.limits.cost import cost_of
from accelmnist.measure.machine import MachineWatch
from accelmnist.measure.plan import OURS, Case, run_config
from accelmnist.measure.record import Presence, Sampled, SideFacts
from accelmnist.measure.session import Session
from accelmnist.measure.statistics.comparison import compare
from accelmnist.measure.timed_case import WarmCase
from accelmnist.training.reference.tolerances import seed_spread_limit

PARTS = 10
_FEWEST_PARTS = 6  # that allow an interval of their own
_ALONE = 32  # samples of this program's cases before the others are there
_MOST_ROUNDS = 1000
_EVERY = 15  # rounds: what takes time grows with their number; odd, so that either side comes after it by turns
_LEAST_S = 3.0  # of a part's rounds

Rates = dict[Case, float | DeviceError]


def measure_beside(session: Session, cases: list[Case]) -> None:
    """Measure `cases`, those of this program and of the others, until their ratios are known or the time is over."""
    config = session.config
    threads = config.threads[0] if len(config.threads) == 1 else session.threads
    with Sides(config.beside, threads=threads, left_s=lambda: session.budget.left_s) as sides:
        rounds = _Beside(session, sides, cases)
        first = 1 + max((round_.process for round_ in session.writer.record.rounds), default=-1)
        for part in range(first, max(first + 1, PARTS)):
            if not rounds.part(part):
                break


class _Beside:
    """The parts of a benchmark: `warm` are the cases that can be sampled in the one that goes on."""

    def __init__(self, session: Session, sides: Sides, cases: Sequence[Case]) -> None:
        self.session, self.sides, self.cases = session, sides, list(cases)
        self.warm: dict[Case, WarmCase] = {}
        self._checking_s = 0.0
        self._product_flop_s: float | None = None
        self._alone: dict[Case, list[float]] = {}
        self._beside: dict[Case, list[float]] = {}

    def part(self, number: int) -> bool:
        """One part of the time; whether there is time, and need, for another one."""
        budget = self.session.budget
        try:
            self._checking_s, started = 0.0, budget.elapsed_s
            self._start(number)
            start_s = budget.elapsed_s - started - self._checking_s
            parts, left_s = max(PARTS - number, 1), budget.left_s
            while parts > 1 and (left_s - (parts - 1) * start_s) / parts < _LEAST_S:
                parts -= 1
            self._round_till(budget.elapsed_s + (left_s - (parts - 1) * start_s) / parts, number)
        finally:
            self._tell_sides()
            self.warm.clear()
        is_time = budget.left_s >= start_s + _LEAST_S
        return is_time and bool(self.cases) and not (number + 1 >= _FEWEST_PARTS and self._is_settled())

    def _start(self, number: int) -> None:
        session = self.session
        names = [name for name in self.sides.names() if any(_side_of(case) == name for case in self.cases)]
        began, each_s = session.budget.elapsed_s, session.budget.left_s / (len(names) + 1)
        names = names[:: -1 if number % 2 else 1]  # whoever comes first gets other memory
        first = 0 if self._alone or OURS not in names else 1
        for together in filter(None, (names[:first], names[first:])):
            if not session.writer.record.rounds:
                own = "this program's own process"
                session.observer.stage(f"starting {', '.join(own if name == OURS else name for name in together)}")
            self.sides.start(*together)
            for name in together:
                ends_s = began + (names.index(name) + 1) * each_s
                self._prepare_all(name, ends_s=ends_s)
                if together == [OURS]:
                    self._sample_alone(Random(number))
                    self._start_again(name, ends_s=ends_s)
        if number == 0:
            session.observer.stage("measuring")

    def _sample_alone(self, rng: Random) -> None:
        """Sample this program's cases before another process is there."""
        for _ in range(_ALONE):
            for case, rate in self._sample(list(self.warm), rng, 0).items():
                self.warm[case].timed.regions.clear()
                if isinstance(rate, DeviceError):
                    self.session.writer.failed(case, str(rate))
                    self._leave_out(case)
                else:
                    self._alone.setdefault(case, []).append(rate)

    def _leave_out(self, case: Case) -> None:
        """From now on, for good."""
        self.warm.pop(case, None)
        self.cases.remove(case)

    def _prepare_all(self, name: str, *, ends_s: float) -> None:
        """Make a side's cases ready, those that compile last; the first in any case, others if time allows."""
        session, budget = self.session, self.session.budget
        cases = sorted((case for case in self.cases if _side_of(case) == name), key=session.compiles)
        for case in cases:
            is_known = name in self.sides.failures or session.writer.results[case].verdict is not None
            takes_s = budget.expect_s((name, case.engine, case.mode), compiles=session.compiles(case))
            left_s = (budget.left_s if case == cases[0] else ends_s - budget.elapsed_s) if not is_known else math.inf
            if self._is_for_nobody(case):
                session.cut(case, "cut for time: so were all of this program's that do the same")
                self._leave_out(case)
            elif takes_s > left_s:
                session.skip_for_time(case, takes_s, left_s)
                self._leave_out(case)
            else:
                began = budget.elapsed_s
                self._prepare(case)
                if case in self.warm:
                    budget.learn((name, case.engine, case.mode), budget.elapsed_s - began)
                if self.sides.is_lost(name):
                    return self._start_again(name, ends_s=ends_s)
        return None

    def _start_again(self, name: str, *, ends_s: float) -> None:
        """If a case ended its side's process, that one is out, and the others are made ready in a new process."""
        if self.sides.is_lost(name):
            self._cool(name)
            self.sides.start(name)
            self._prepare_all(name, ends_s=ends_s)

    def _cool(self, name: str) -> None:
        """None of a side's cases is ready any more."""
        for case in [case for case in self.warm if _side_of(case) == name]:
            del self.warm[case]

    def _is_for_nobody(self, case: Case) -> bool:
        """Whether this program's cases that do the same work were all cut for time."""
        results = self.session.writer.results.values()
        own = [result for result in results if result.side is None and _work(result.case) == _work(case)]
        return case.side is not None and bool(own) and all(result.status == "cut" for result in own)

    def _prepare(self, case: Case) -> None:
        """Make the case ready over there, judge it if nobody has, and warm it up; what fails is out for good."""
        session, writer = self.session, self.session.writer
        with session.attempt(case) as device:
            timed = self._timed(case, device)
            writer.update(case, status="measuring", skipped=None, compile_s=timed.compile_s, cost=cost_of(case))
            is_new = writer.results[case].verdict is None
            if is_new:
                session.observer.stage(f"checking {case.label}")
                started = session.budget.elapsed_s
                accuracy, verdict = self._verify(timed)
                self._checking_s += session.budget.elapsed_s - started
                writer.update(case, accuracy=accuracy, verdict=verdict)
            timed.warm_up(self._steps(case))
            writer.update(case, steps_per_region=timed.steps, region_s=timed.region_s)
            checks = (*timed.check_clock(), *self._check_speed(timed)) if is_new else ()
            timed.anchor = self._anchor(timed)
            self.warm[case] = WarmCase(timed, timed.threads, checks=checks)
        if case not in self.warm:
            self._leave_out(case)
        session.save(at_once=True)
        session.observer.case_done(writer.record, case)

    def _check_speed(self, timed: Remote) -> Iterator[Check]:
        """That the processor can be so fast; of other devices it isn't known."""
        if timed.device.kind == "cpu":
            set_threads(self.session.threads)
            self._product_flop_s = self._product_flop_s or product_flop_s()
            yield timed.check_speed(self._product_flop_s)

    def _steps(self, case: Case) -> int | None:
        """The steps of a region of the first that does the same work; None if nobody knows yet.

        After another program a first step is slower, so that the more steps a region has, the quicker they seem.
        """
        results = self.session.writer.results.items()
        same = (result.steps_per_region for other, result in results if _work(other) == _work(case))
        return next(filter(None, same), None)

    def _timed(self, case: Case, device: Device) -> RemoteTraining | RemoteInference:
        builder, config = self.session.builder, run_config(case, self.session.config)
        if case.mode == "training":
            other = OpenCase(self.sides, case, config, builder.dataset)
            return RemoteTraining(case, device, config, builder.images("train", device), other)
        # A run's batch size is that of the calls here: nothing is trained.
        config = replace(config, training=replace(config.training, batch_size=case.batch_size))
        other = OpenCase(self.sides, case, config, builder.dataset, start=builder.network(case).arrays())
        return RemoteInference(case, device, builder.images("test", device).images, other)

    def _verify(self, timed: RemoteTraining | RemoteInference) -> tuple[float | None, Verdict]:
        if isinstance(timed, RemoteTraining) and not timed.follows_order:
            return self._verify_own_order(timed)
        return self.session.builder.verify(timed)

    def _verify_own_order(self, timed: RemoteTraining) -> tuple[float, Verdict]:
        """Judge a training in an order of its own by what it learned: nothing else of it can be known."""
        config: RunConfig = timed.job.config
        timed.restore()
        timed.run(timed.whole)
        metrics = timed.evaluated(self.session.builder.images("test", timed.device)).metrics
        theirs = self.session.builder.reference(config).evaluation.metrics
        limit = seed_spread_limit("accuracy", 1 - theirs.accuracy, metrics.images)
        check = Check.at_most(
            "accuracy, another order",
            abs(metrics.accuracy - theirs.accuracy),
            limit,
            detail=f"{100 * metrics.accuracy:.2f} %, and {100 * theirs.accuracy:.2f} % by the reference",
            reason="the spread between seeds, measured: no step of it can be replayed",
        )
        timed.restore()
        return metrics.accuracy, Verdict.of("its accuracy alone: it takes the images in an order of its own", [check])

    def _anchor(self, timed: RemoteTraining | RemoteInference) -> Anchor:
        """What its regions must end with: as any case's, or finite losses in an order of its own."""
        config = run_config(timed.case, self.session.config)
        if isinstance(timed, RemoteTraining) and not timed.follows_order:
            reason = "finite losses: in an order of its own no more can be known"
            return Anchor(deviation=lambda: 0.0 if timed.is_finite else math.inf, limit=0.0, reason=reason)
        return self.session.builder.anchor(timed, config)

    def _round_till(self, ends_s: float, process: int) -> None:
        session, number, longest_s = self.session, 0, 0.0
        watch, rng = MachineWatch(list(session.devices.values())), Random(process)
        while self.warm and number < _MOST_ROUNDS:
            started = session.budget.elapsed_s
            if number >= 1 and (started + longest_s > ends_s or session.budget.left_s < longest_s):
                break
            watch.begin()
            rates = self._sample(list(self.warm), rng, number)
            sampled = dict[Sampled, float | DeviceError](rates.items())
            failed = session.writer.add_round(sampled, watch.end(), process=process)
            has_others = any(case.side is not None for case in self.warm)
            for case, rate in rates.items():
                if isinstance(rate, float) and has_others and len(self._beside.setdefault(case, [])) < _ALONE:
                    self._beside[case].append(rate)
            number += 1
            if number % _EVERY == 0 or failed:
                self._audit()
            for case in (key for key in failed if isinstance(key, Case)):
                self._leave_out(case)
            session.save()
            session.observer.round_done(session.writer.record)
            longest_s = max(longest_s, session.budget.elapsed_s - started)
            if any(self.sides.is_lost(_side_of(case)) for case in self.warm):
                break  # they go on in the next part
        self._audit()

    def _audit(self) -> None:
        """Add to the verdicts what proves the regions of this part so far."""
        for case, warm in self.warm.items():
            result = self.session.writer.results[case]
            if result.verdict is not None and result.images_per_s is not None and warm.timed.regions:
                own = result.images_per_s.samples[-len(warm.timed.regions) :]
                self.session.writer.update(case, verdict=with_checks(result.verdict, warm.audit(case, own)))

    def _sample(self, cases: Sequence[Case], rng: Random, number: int) -> Rates:
        """A sample of each, those of the same work in a row; a DeviceError in place of one that failed."""
        groups: dict[Case, list[Case]] = {}
        for case in cases:
            groups.setdefault(_work(case), []).append(case)
        rates: Rates = {}
        for group in rng.sample(list(groups.values()), len(groups)):
            for case in group if number % 2 else reversed(group):
                if self.sides.is_lost(_side_of(case)):  # another case, just now, has ended the process
                    continue
                try:
                    rates[case] = self.warm[case].sample()
                except DeviceError as error:
                    rates[case] = error
        return rates

    def _is_settled(self) -> bool:
        """Whether every ratio is known well enough."""
        results, threshold = self.session.writer.results, self.session.config.beside_threshold
        rounds = {round_.number: round_ for round_ in self.session.writer.record.rounds}
        pairs = [(own_of(case, results), case) for case in self.cases if case.side is not None]
        overs = [over_side(results[own], results[case], rounds, threshold) for own, case in pairs if own is not None]
        known = [over for over in overs if over is not None]
        return bool(known) and all(max(over.high / over.ratio, over.ratio / over.low) < 1 + threshold for over in known)

    def _tell_sides(self) -> None:
        """What is known of the sides, and whether their presence costs anything."""
        writer, config = self.session.writer, self.session.config
        known = {facts.name: facts.protocol_share for facts in writer.record.sides}
        own = [(OURS, "", dict[str, str]())]
        sides = []
        for name, command, settings in [*own, *((side.name, side.command, side.settings) for side in config.beside)]:
            hello = self.sides.hellos.get(name)
            timed = [warm.timed for case, warm in self.warm.items() if _side_of(case) == name]
            shares = [one.protocol_share for one in timed if isinstance(one, Remote)]
            facts = SideFacts(
                name=name,
                command=command,
                versions=hello.versions if hello else {},
                threads=hello.threads if hello else None,
                settings=settings,
                protocol_share=max(filter(None, shares), default=known.get(name)),
                failure=self.sides.failures.get(name) if hello is None else None,
            )
            sides.append(facts)
        for name in self.sides.flooding():
            writer.note(f"{name} wrote more than {FLOOD_BYTES >> 20} MiB to its standard error while it was measured")
        writer.set(sides=tuple(sides), presence=tuple(self._presences()))

    def _presences(self) -> Iterator[Presence]:
        for case, alone in self._alone.items():
            if beside := self._beside.get(case):
                compared = compare(alone, beside, paired=False)
                yield Presence(case=case.label, alone=tuple(alone), beside=tuple(beside), comparison=compared)


def _side_of(case: Case) -> str:
    return case.side or OURS


def _work(case: Case) -> Case:
    """What it does, whoever does it."""
    return replace(case, side=None, engine="")
