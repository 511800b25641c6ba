"""The rounds of a benchmark beside other programs: all sides in processes of their own, one at work at a time.

Two processes of one program differ a little for as long as they live, by where their memory happens to lie. So the time
is cut into parts, and in each all sides are started anew. A part begins with this program's own process alone, some
samples of which say whether the mere presence of the others costs anything.

In a round each slice of a case is followed by the same slice of the others that do the same work; the next time the
last goes first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from random import Random
from statistics import harmonic_mean

from accelmnist.core.config import RunConfig
from accelmnist.core.errors import DeviceError
from accelmnist.core.records import Check, Verdict
from accelmnist.device import Device
from accelmnist.measure.audit import Anchor
from accelmnist.measure.beside.sides import OURS, OpenCase, Sides, UnsupportedError
from accelmnist.measure.beside.timed_remote import MOST_SLICES, Remote, RemoteInference, RemoteTraining
from accelmnist.measure.case_builder import with_checks
from accelmnist.measure.limits.cost import cost_of
from accelmnist.measure.machine import MachineWatch
from accelmnist.measure.plan import Case, run_config
from accelmnist.measure.record import Presence, Sampled, SideFacts
from accelmnist.measure.session import Session
from accelmnist.measure.statistics.comparison import compare
from accelmnist.measure.timed_case import WarmCase
from accelmnist.training.reference.tolerances import seed_spread_limit

PARTS = 4
_FEWEST_ROUNDS = 10  # of a part
_ALONE = 8  # samples of this program's cases before the others are there
_MOST_ROUNDS = 1000
_LEAST_S = 5.0  # of a part's rounds

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
        self._alone: dict[Case, list[float]] = {}
        self._beside: dict[Case, list[float]] = {}

    def part(self, number: int) -> bool:
        """One part of the time; whether there is time, and need, for another one."""
        budget = self.session.budget
        try:
            self._checking_s, started = 0.0, budget.elapsed_s
            self._start(number)
            start_s = budget.elapsed_s - started - self._checking_s
            parts, left_s = PARTS - number, budget.left_s
            while parts > 1 and (left_s - (parts - 1) * start_s) / parts < _LEAST_S:
                parts -= 1
            self._round_till(budget.elapsed_s + (left_s - (parts - 1) * start_s) / max(parts, 1), number)
        finally:
            self._tell_sides()
            self.warm.clear()
            self.sides.end()
        return parts > 1 and bool(self.cases) and not self._is_settled(PARTS)

    def _start(self, number: int) -> None:
        session, rng = self.session, Random(number)
        names = self.sides.names()
        for name in names:
            session.observer.stage(f"starting {name}" if name != OURS else "starting this program's own process")
            self.sides.start(name)
            for case in [case for case in self.cases if (case.side or OURS) == name]:
                self._prepare(case)
            if name == OURS:
                for _ in range(_ALONE):
                    for case, rate in self._sample(list(self.warm), rng, 0).items():
                        if not isinstance(rate, DeviceError):
                            self._alone.setdefault(case, []).append(rate)
                        self.warm[case].timed.regions.clear()
        session.observer.stage("measuring")

    def _prepare(self, case: Case) -> None:
        """Make the case ready over there, judge it if nobody has, and warm it up; what fails is out for good."""
        session, writer = self.session, self.session.writer
        with session.attempt(case) as device:
            try:
                timed = self._timed(case, device)
            except UnsupportedError as error:
                writer.update(case, status="skipped", skipped=str(error))
                self.cases.remove(case)
                return
            writer.update(case, status="measuring", skipped=None, compile_s=timed.compile_s, cost=cost_of(case))
            if writer.results[case].verdict is None:
                session.observer.stage(f"checking {case.label}")
                started = session.budget.elapsed_s
                accuracy, verdict = self._verify(timed)
                self._checking_s += session.budget.elapsed_s - started
                writer.update(case, accuracy=accuracy, verdict=verdict)
            timed.warm_up()
            writer.update(case, steps_per_region=timed.steps, region_s=timed.region_s)
            timed.anchor = self._anchor(timed)
            self.warm[case] = WarmCase(timed, timed.threads)
        if case not in self.warm:
            self.cases.remove(case)
        session.save(at_once=True)
        session.observer.case_done(writer.record, case)

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
            is_over = started + longest_s > ends_s or session.budget.left_s < longest_s
            if (is_over and number >= 1) or (number >= _FEWEST_ROUNDS and self._is_settled(process + 1)):
                return
            watch.begin()
            rates = self._sample(list(self.warm), rng, number)
            failed = session.writer.add_round(
                dict[Sampled, float | DeviceError](rates.items()), watch.end(), process=process
            )
            for case in failed:
                assert isinstance(case, Case)
                del self.warm[case]
                self.cases.remove(case)
            self._keep(rates, number)
            session.save()
            session.observer.round_done(session.writer.record)
            longest_s = max(longest_s, session.budget.elapsed_s - started)
            number += 1

    def _keep(self, rates: Rates, number: int) -> None:
        """What a round gave besides its samples: the first beside the others, and what proves them."""
        for case, warm in self.warm.items():
            result = self.session.writer.results[case]
            rate = rates.get(case)
            if number < _ALONE and case in self._alone and isinstance(rate, float):
                self._beside.setdefault(case, []).append(rate)
            if result.verdict is not None and result.images_per_s is not None:
                own = result.images_per_s.samples[-(number + 1) :]
                self.session.writer.update(case, verdict=with_checks(result.verdict, warm.audit(case, own)))

    def _sample(self, cases: Sequence[Case], rng: Random, number: int) -> Rates:
        """A sample of each, from slices that take turns; a DeviceError in place of one that failed."""
        groups: dict[Case, list[Case]] = {}
        for case in cases:
            groups.setdefault(replace(case, side=None, engine=""), []).append(case)
        order = list(range(MOST_SLICES))
        rng.shuffle(order)
        turns = {case: set(order[: self.warm[case].timed.slices]) for case in cases}
        rates: dict[Case, list[float]] = {case: [] for case in cases}
        failures: dict[Case, DeviceError] = {}
        for turn in range(MOST_SLICES):
            for group in rng.sample(list(groups.values()), len(groups)):
                for case in group if (turn + number) % 2 else reversed(group):
                    if turn in turns[case] and case not in failures:
                        try:
                            rates[case].append(self.warm[case].sample())
                        except DeviceError as error:
                            failures[case] = error
        return {case: failures[case] if case in failures else harmonic_mean(rates[case]) for case in cases}

    def _is_settled(self, parts: int) -> bool:
        """Whether every ratio is known well enough: after so many `parts` of all, as well as then can be expected."""
        target = self.session.config.beside_threshold * math.sqrt(PARTS / min(parts, PARTS))
        return all(width <= target for width in self._widths())

    def _widths(self) -> Iterator[float]:
        from accelmnist.measure.conclusion import own_of, paired  # here: it concludes what others measure as well

        results = self.session.writer.results
        for case in self.warm or self.cases:
            own = own_of(case, results) if case.side is not None else None
            compared = None if own is None else paired(results[case], results[own])
            if compared is not None:
                yield max(compared.high / compared.ratio - 1, 1 - compared.low / compared.ratio)

    def _tell_sides(self) -> None:
        """What is known of the sides, and whether their presence costs anything."""
        writer, config = self.session.writer, self.session.config
        known = {facts.name: facts.protocol_share for facts in writer.record.sides}
        own = [(OURS, "", dict[str, str]())]
        sides = []
        for name, command, settings in [*own, *((side.name, side.command, side.settings) for side in config.beside)]:
            hello = self.sides.hellos.get(name)
            timed = [warm.timed for case, warm in self.warm.items() if (case.side or OURS) == name]
            shares = [one.ping_s / one.region_s for one in timed if isinstance(one, Remote)]
            facts = SideFacts(
                name=name,
                command=command,
                versions=hello.versions if hello else {},
                threads=hello.threads if hello else None,
                settings=settings,
                protocol_share=max(shares, default=known.get(name)),
                failure=self.sides.failures.get(name),
            )
            sides.append(facts)
        for name, count in self.sides.flooded().items():
            writer.note(f"{name} wrote {count >> 20} MiB to its standard error while it was measured")
        writer.set(sides=tuple(sides), presence=tuple(self._presences()))

    def _presences(self) -> Iterator[Presence]:
        for case, alone in self._alone.items():
            if beside := self._beside.get(case):
                compared = compare(alone, beside, paired=False)
                yield Presence(case=case.label, alone=tuple(alone), beside=tuple(beside), comparison=compared)
