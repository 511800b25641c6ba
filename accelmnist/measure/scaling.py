"""A benchmark of several ranks: every form of training on the first 1, 2, … of them, and what carries their sums.

All ranks run this same program. Each prepares what it takes part in; then come rounds, in which every row and every
probe has a sample, slice by slice in an order that rank 0 draws. A slice begins at a barrier of those that take part
and ends when all ranks have told their seconds, so nobody computes beside it; rank 0 decides when it is enough.

What is timed is proven as in any benchmark: each rank holds every region to the anchor that it found from the seed's
weights, to other clocks and to what the engine was given. And after every region of a shared training, all ranks'
weights have to be equal to the bit.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from random import Random
from statistics import median
from typing import Any

import torch
from torch import Tensor

from accelmnist.core.config import RunConfig, check_shares
from accelmnist.core.errors import AccelmnistError, DeviceError, RankError
from accelmnist.core.records import Check, RankFigures, Verdict
from accelmnist.device import Device, set_threads, synchronize
from accelmnist.device.ranks import Place, Ranks
from accelmnist.engines.choose import engine_class
from accelmnist.measure.audit import Region
from accelmnist.measure.machine import MachineWatch
from accelmnist.measure.plan import Case, expand, run_config
from accelmnist.measure.scaling_record import ExchangeProbe, Scaling, ScalingRow, SumProbe
from accelmnist.measure.session import Session
from accelmnist.measure.statistics.summary import FEWEST_ROUNDS, is_settled
from accelmnist.measure.statistics.symptoms import RoundLoad
from accelmnist.measure.step_model import conclude_scaling
from accelmnist.measure.timed_case import FEWEST_TO_WARM, Sampler, TimedTraining, WarmCase, sample_round
from accelmnist.training.agreement import Agreement

_KEPT_ROUNDS = 8  # time for so many is kept back when a row is prepared
_ROUND_OVERHEAD_S = 0.05
_FIRST_GUESS_S = {True: 15.0, False: 2.0}  # to prepare a row, by whether its engine compiles
SUM_BYTES = (1, *(1 << power for power in (10, 14, 16, 18, 20, 22, 24, 26)))  # up to 64 MB
_EXCHANGED_BYTES = 1 << 22
_PROBE_S = 0.03  # of a probe a round
_PROBE_SLICES = 4
_MOST_CALLS = 32  # of a slice
_KNOWN = 251  # numbers that are summed go round: their sums are whole numbers that float32 holds


def measure_scaling(session: Session, ranks: Ranks) -> None:
    """Measure every row of the session's record on `ranks`; all of them call it, with one configuration."""
    config, dataset = session.config, session.builder.dataset
    cases = expand(config, config.devices)
    own = {name: value for name, value in asdict(config).items() if name not in ("devices", "threads", "data")}
    images = {"training": dataset.train, "test": dataset.test}
    Agreement(ranks).require_alike(run_config(cases[0], config), images, **own)
    groups = {count: ranks.first(count) for count in session.config.rank_counts}
    bench = _Scaling(session, ranks, groups)
    bench.prepare()
    if bench.points:
        bench.sample()
        bench.judge()
    bench.conclude()


class SilentRanks(Ranks):
    """This rank among `size` that never meet: its share is computed, and the sum left out.

    `moments` are when it would have been, `bytes` of how much.
    """

    def __init__(self, rank: int, size: int) -> None:
        super().__init__(Place(rank, size, rank, size))
        self.moments: list[float] = []
        self.bytes = 0

    def add(self, numbers: Tensor) -> None:
        """Leave the numbers as they are, but for the marks that a sum of all ranks would have."""
        self.bytes = numbers.numel() * numbers.element_size()
        numbers[-self.size :] = numbers[len(numbers) - self.size + self.rank]
        self.moments.append(time.perf_counter())


@dataclass(frozen=True)
class _Slice:
    """What a rank tells of a slice: its seconds, those of each step if they were seen, and a hash of its weights."""

    seconds: float
    steps_s: tuple[float, ...] = ()
    weights: str = ""


@dataclass
class _Point:
    """A row to be sampled: `group` and `warm` are None on a rank that takes no part in it."""

    row: ScalingRow
    everyone: Ranks
    group: Ranks | None = None
    warm: WarmCase | None = None
    silent: SilentRanks | None = None
    slices: int = 1
    steps: int = 1  # of a slice
    region_s: float = 0.0
    regions: list[Region] = field(default_factory=list)
    told: list[list[_Slice]] = field(default_factory=list)  # of this round, by slice and rank
    faults: list[str] = field(default_factory=list)

    def take(self) -> float:
        """Images a second of one slice, by the slowest rank."""
        own = None if self.warm is None else self._slice(self.warm)
        told = [one for one in self.everyone.tell(own) if one is not None]
        self.told.append(told)
        if len({one.weights for one in told}) > 1:
            others = [rank for rank, one in enumerate(told) if one.weights != told[0].weights]
            self.faults.append(f"rank {others[0]} has other weights than rank 0 after a timed region")
        return self.steps * self.row.step_images / max(one.seconds for one in told)

    def _slice(self, warm: WarmCase) -> _Slice:
        timed = warm.timed
        assert isinstance(timed, TimedTraining)
        timed.regions, timed.begin = self.regions, self._begin
        seconds = timed.slice_images / warm.sample()
        steps_s = () if self.silent is None else steps_between(self.silent.moments, seconds, self.steps)
        return _Slice(seconds, steps_s, _hash(timed.weights) if self.row.form in ("strong", "weak") else "")

    def _begin(self) -> None:
        """Wait for the others that take part."""
        assert self.group is not None
        assert self.warm is not None
        _meet(self.group, self.warm.timed.device)
        if self.silent is not None:
            self.silent.moments = [time.perf_counter()]

    def end_round(self, number: int) -> None:
        """Put the slices of a round into the row."""
        by_rank = tuple(sum(one.seconds for one in slices) for slices in zip(*self.told, strict=True))
        row = replace(self.row, rounds=(*self.row.rounds, number), rank_s=(*self.row.rank_s, by_rank))
        if self.row.form == "compute":
            slowest = [max(steps) for told in self.told for steps in zip(*(one.steps_s for one in told), strict=True)]
            row = replace(row, step_s_by_round=(*row.step_s_by_round, sum(slowest) / len(slowest)))
        self.row, self.told = row, []

    def checks(self) -> tuple[Check, ...]:
        """What this rank proves of its regions."""
        if self.warm is None or self.row.form == "compute":
            return ()
        timed, rank = self.warm.timed, self.everyone.rank
        timed.regions = self.regions
        images = timed.slices * timed.slice_images
        return self.warm.audit(timed.case, [images / seconds[rank] for seconds in self.row.rank_s])


def steps_between(moments: Sequence[float], seconds: float, steps: int) -> tuple[float, ...]:
    """Seconds of every step of a slice, by the moment of its begin and those of its sums.

    What comes after the last sum belongs to the step that begins there, and is added to the first. Equal parts if
    there are not as many sums as steps, as in a captured graph.
    """
    if len(moments) != steps + 1:
        return (seconds / steps,) * steps
    first, *others = (after - before for before, after in pairwise(moments))
    return (first + max(seconds - (moments[-1] - moments[0]), 0.0), *others)


def _meet(group: Ranks, device: Device) -> None:
    """A barrier."""
    group.add(torch.zeros(1, device=device.torch_device))
    synchronize(device)


def _hash(weights: Sequence[Tensor]) -> str:
    found = hashlib.blake2b(digest_size=16)
    for weight in weights:
        found.update(weight.cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


class _Probe:
    """A probe of what carries the ranks' sums: `calls` of known numbers a slice, each from a barrier on and checked."""

    def __init__(self, probe: SumProbe | ExchangeProbe, everyone: Ranks, group: Ranks | None, device: Device) -> None:
        self.probe, self.everyone, self.group, self.device = probe, everyone, group, device
        self.calls, self.slices = 1, 1
        self.told: list[
            list[tuple[list[float], int]]
        ] = []  # of this round: by slice and rank, seconds and wrong values
        is_single_byte = probe.bytes < torch.finfo(torch.float32).bits // 8
        self._dtype = torch.uint8 if is_single_byte else torch.float32
        self._count = probe.bytes if is_single_byte else probe.bytes // 4

    def prepare(self) -> None:
        """Find how many calls a slice takes, after one that isn't counted."""
        for _ in range(2):
            self.told = []
            self.take()
        seconds = max(max(taken) for taken, _ in self.told[0])
        calls = max(1, min(_PROBE_SLICES * _MOST_CALLS, int(_PROBE_S / seconds)))
        self.slices = min(_PROBE_SLICES, calls)
        self.calls, self.told = -(-calls // self.slices), []

    def take(self) -> float:
        """Bytes a second of one slice, by the slowest rank."""
        own = None if self.group is None else self._slice(self.group)
        told = [one for one in self.everyone.tell(own) if one is not None]
        self.told.append(told)
        slowest: list[float] = [max(call) for call in zip(*(taken for taken, _ in told), strict=True)]
        return self.probe.bytes * self.calls / sum(slowest)

    def _slice(self, group: Ranks) -> tuple[list[float], int]:
        taken, wrong = [], 0
        known = torch.arange(self._count, device=self.device.torch_device, dtype=torch.int32).remainder_(_KNOWN)
        sent, due = self._known(known.to(self._dtype), group)
        for _ in range(self.calls):
            numbers = sent.clone()
            _meet(group, self.device)
            started = time.perf_counter()
            found = self._call(group, numbers)
            synchronize(self.device)
            taken.append(time.perf_counter() - started)
            wrong += 0 if torch.equal(found, due) else int((found != due).sum())
        return taken, wrong

    def _known(self, numbers: Tensor, group: Ranks) -> tuple[Tensor, Tensor]:
        """What this rank gives, and what it must get."""
        if isinstance(self.probe, SumProbe):
            return numbers + group.rank, numbers * group.size + sum(range(group.size))
        parts = torch.arange(group.size, device=numbers.device).repeat_interleave(len(numbers) // group.size)
        parts = parts.to(numbers.dtype) * _KNOWN
        own = numbers.view(group.size, -1)[group.rank].repeat(group.size)
        return numbers + parts.new_full((), group.rank * _KNOWN), own + parts

    def _call(self, group: Ranks, numbers: Tensor) -> Tensor:
        if isinstance(self.probe, ExchangeProbe):
            return group.exchange(numbers)
        group.add(numbers)
        return numbers

    def end_round(self, number: int) -> None:
        """Put the slices of a round into the probe."""
        probe, calls = self.probe, self.calls * len(self.told)
        wrong = sum(one for slices in self.told for _, one in slices)
        values = calls * self._count * probe.ranks
        rounds = (*probe.rounds, number)
        counts: dict[str, Any] = {"rounds": rounds, "values": probe.values + values, "wrong": probe.wrong + wrong}
        if isinstance(probe, SumProbe):
            slowest = [max(call) for told in self.told for call in zip(*(taken for taken, _ in told), strict=True)]
            self.probe = replace(probe, **counts, calls=calls, call_s=(*probe.call_s, sum(slowest) / len(slowest)))
        else:
            by_rank = [[taken for taken, _ in slices] for slices in zip(*self.told, strict=True)]
            means = tuple(sum(map(sum, slices)) / calls for slices in by_rank)
            self.probe = replace(probe, **counts, rank_s=(*probe.rank_s, means))
        self.told = []


class _Scaling:
    """One benchmark of several ranks, as every one of them runs it."""

    def __init__(self, session: Session, ranks: Ranks, groups: dict[int, Ranks | None]) -> None:
        self.session, self.ranks, self.groups = session, ranks, groups
        scaling = session.writer.record.scaling
        assert scaling is not None
        self.rows = list(scaling.rows)
        self.points: dict[int, _Point] = {}  # by the place of their rows
        self.probes: list[_Probe] = []
        self.device = next(iter(session.devices.values()))
        self._alone: dict[Case, TimedTraining] = {}
        self._longest_s: dict[bool, float] = {}

    # --- before the rounds

    def prepare(self) -> None:
        """Make every row ready that can run here and that there is time for."""
        for place, row in enumerate(self.rows):
            reason = self._refusal(row) or self._too_late(row)
            if reason is None:
                self.session.observer.stage(f"preparing {row.title}")
                reason = self._prepare(place, row)
            if reason is not None:
                self.rows[place] = replace(row, skipped=reason)
        self._set_rows()
        if self.points and self.ranks.size > 1:
            self.session.observer.stage("preparing the probes")
            self._prepare_probes()

    def _refusal(self, row: ScalingRow) -> str | None:
        """Why the row can't run here; the same on every rank."""
        case, reason = row.trained, self.session.builder.refusal(row.trained)
        if reason is None and row.form in ("strong", "weak", "compute"):
            reason = engine_class(self.session.config.engine_of(case)).why_alone(self.device)
            try:
                check_shares(case.batch_size, ranks=row.ranks)
            except AccelmnistError as error:
                reason = error.message
        return reason

    def _too_late(self, row: ScalingRow) -> str | None:
        """Why there is no time for the row, as rank 0 says; what it trains may be ready already."""
        if row.is_alone and row.trained in self._alone:
            return None
        compiles = self.session.compiles(row.case)
        takes_s = self._longest_s.get(compiles, _FIRST_GUESS_S[compiles])
        left_s = self.ranks.tell(self.session.budget.left_s - _KEPT_ROUNDS * self._round_s())[0]
        if takes_s <= left_s:
            return None
        self.session.writer.note("Rows were cut for time: allow more by --time-limit")
        return f"cut for time: it takes about {takes_s:.0f} s and {max(left_s, 0):.0f} s are left"

    def _round_s(self) -> float:
        return sum(point.region_s + _ROUND_OVERHEAD_S for point in self.points.values())

    def _prepare(self, place: int, row: ScalingRow) -> str | None:
        """Add the row's point; returns why that failed, if it did."""
        group, started = self.groups[row.ranks], time.monotonic()
        point = _Point(row, self.ranks, group)
        # A rank that trains alone at some time is made ready beside all others, once.
        makers = self.ranks if row.is_alone else group
        timed, fault = None, None
        try:
            if makers is not None:
                point.silent = SilentRanks(makers.rank, makers.size) if row.form == "compute" else None
                timed = self._timed(row, makers, point.silent)
        except DeviceError as error:
            fault = str(error)
        self.ranks.meet()  # compiling may take its time
        if fault := next(filter(None, self.ranks.tell(fault)), None):
            return fault
        if makers is not None and timed is not None:
            warm = self._warm(row, makers, timed)
            point.warm = None if group is None else warm
        self._agree(point)
        self.points[place] = point
        compiles = self.session.compiles(row.case)
        self._longest_s[compiles] = max(self._longest_s.get(compiles, 0.0), time.monotonic() - started)
        return None

    def _timed(self, row: ScalingRow, makers: Ranks, silent: SilentRanks | None) -> TimedTraining:
        """What is timed of the row here: one training for all rows of a rank that trains alone."""
        case, session = row.trained, self.session
        set_threads(case.threads or session.threads)
        if row.is_alone and case in self._alone:
            return self._alone[case]
        return session.builder.training(case, self._config(row), None if row.is_alone else silent or makers)

    def _warm(self, row: ScalingRow, makers: Ranks, timed: TimedTraining) -> WarmCase:
        """Warm it up, on all that take part at once, and find the anchor of its regions."""
        case, session = row.trained, self.session
        if case not in self._alone or not row.is_alone:
            timed.begin, timed.agree = lambda: _meet(makers, self.device), lambda seconds: max(makers.tell(seconds))
            timed.fewest_steps = FEWEST_TO_WARM  # with a sum or without, a slice begins alike
            timed.warm_up()
            timed.agree = float
            if row.form != "compute":
                timed.anchor = session.builder.anchor(timed, self._config(row))
        if row.is_alone:
            self._alone[case] = timed
        return WarmCase(timed, case.threads or session.threads)

    def _config(self, row: ScalingRow) -> RunConfig:
        """The run that the row trains: of trainings alone each rank has another seed."""
        config = run_config(row.trained, self.session.config, seed=self.ranks.rank if row.is_alone else 0)
        execution = replace(config.execution, ranks=1 if row.is_alone else row.ranks)
        return replace(config, execution=execution)

    def _agree(self, point: _Point) -> None:
        """Rank 0 tells the others what a region is, for those too that take no part in it."""
        own = (1, 1, 0.0, 0)
        if point.warm is not None:
            timed = point.warm.timed
            own = (timed.slices, timed.slice_steps, timed.region_s, point.silent.bytes if point.silent else 0)
        point.slices, point.steps, point.region_s, summed = self.ranks.tell(own)[0]
        if summed not in (0, point.row.sum_bytes):
            raise RankError(f"a step sums {summed} bytes, and not {point.row.sum_bytes}")
        point.row = replace(point.row, steps_per_region=point.slices * point.steps)

    def _prepare_probes(self) -> None:
        for count in self.session.config.rank_counts[1:]:
            steps = sorted({point.row.sum_bytes for point in self.points.values() if point.row.ranks == count})
            sizes = dict.fromkeys(SUM_BYTES, False) | dict.fromkeys(steps, True)
            probes: list[SumProbe | ExchangeProbe] = [
                SumProbe(ranks=count, bytes=size, is_step=is_step) for size, is_step in sorted(sizes.items())
            ]
            probes.append(ExchangeProbe(ranks=count, bytes=_EXCHANGED_BYTES // (4 * count) * 4 * count))
            self.probes += [_Probe(probe, self.ranks, self.groups[count], self.device) for probe in probes]
        for probe in self.probes:
            probe.prepare()

    # --- the rounds

    def sample(self) -> None:
        """Sample until it is enough."""
        session, rng = self.session, Random(self.ranks.tell(secrets.randbits(32))[0])
        session.observer.stage("measuring")
        everything: list[_Point | _Probe] = [*self.points.values(), *self.probes]
        samplers = {place: Sampler(_strict(one.take), slices=one.slices) for place, one in enumerate(everything)}
        watch = MachineWatch([self.device])
        longest_s, number = self._round_s(), 0
        while not self._is_over(number, longest_s):
            started, number, own_s = time.monotonic(), number + 1, time.process_time()
            watch.begin()
            sample_round(samplers, rng)
            load = self._load(watch.end(), time.process_time() - own_s, time.monotonic() - started)
            for one in everything:
                one.end_round(number)
            longest_s = max(longest_s, time.monotonic() - started)
            session.writer.add_round({}, load)
            self._set_rows()
            session.save()
            session.observer.round_done(session.writer.record)
        set_threads(session.threads)

    def _load(self, seen: RoundLoad, own_s: float, passed_s: float) -> RoundLoad:
        """What else went on beside a round, as `seen` here: the other ranks of this host are none of it."""
        told = self.ranks.tell((self.ranks.host, own_s))
        ranks_s = sum(seconds for host, seconds in told if host == self.ranks.host) - own_s
        if seen.other_cpu is None:
            return seen
        return replace(seen, other_cpu=max(seen.other_cpu - ranks_s / passed_s / (os.cpu_count() or 1), 0.0))

    def _is_over(self, rounds: int, round_s: float) -> bool:
        """Whether it is enough, as rank 0 says."""
        config, left_s = self.session.config, self.session.budget.left_s
        is_over = rounds >= config.plan.most_rounds or (rounds > 0 and left_s < round_s)
        if not is_over and rounds >= FEWEST_ROUNDS and self.ranks.is_first:
            rows = conclude_scaling(self._scaling()).rows
            is_over = all(is_settled(row.images_per_s, target=config.precision_target) for row in rows if row.rounds)
        return self.ranks.tell(is_over)[0]

    def _scaling(self) -> Scaling:
        sums = tuple(one.probe for one in self.probes if isinstance(one.probe, SumProbe))
        exchanges = tuple(one.probe for one in self.probes if isinstance(one.probe, ExchangeProbe))
        return Scaling(rows=tuple(self.rows), sums=sums, exchanges=exchanges)

    def _set_rows(self) -> None:
        for place, point in self.points.items():
            self.rows[place] = point.row
        self.session.writer.set(scaling=self._scaling())

    # --- after the rounds

    def judge(self) -> None:
        """Give every training its verdict, by what all ranks prove of it."""
        for place, point in self.points.items():
            checks = self.ranks.tell(point.checks())
            if self.rows[place].form != "compute":
                verdict = Verdict.of("the same steps untimed, and float64", _of_all(checks, point))
                point.row = replace(point.row, verdict=verdict)
        self._set_rows()

    def conclude(self) -> None:
        """Say who took part, and what follows."""
        mine = [point for point in self.points.values() if point.row.form == "independent" and point.row.rounds]
        own = [images_of(point.row, self.ranks.rank) for point in mine if self.ranks.rank < point.row.ranks]
        figures = RankFigures(
            rank=self.ranks.rank,
            host=self.ranks.host,
            device=str(self.device),
            threads=self.session.threads,
            images_per_s=max(own, default=None),
        )
        ranks = tuple(self.ranks.tell(figures))
        self.session.writer.set(
            ranks=ranks, backend=self.ranks.carrier, scaling=conclude_scaling(self._scaling(), ranks)
        )


def images_of(row: ScalingRow, rank: int) -> float:
    """Images a second of one of the ranks that train alone, by the median."""
    images = row.batch_size * (row.steps_per_region or 0)
    return median(images / seconds[rank] for seconds in row.rank_s)


def _strict(take: Callable[[], float]) -> Callable[[], float]:
    """`take`, of which nothing may fail: the other ranks would wait for it."""

    def taken() -> float:
        try:
            return take()
        except DeviceError as error:
            raise RankError(str(error)) from error

    return taken


def _of_all(checks: Sequence[Sequence[Check]], point: _Point) -> list[Check]:
    """The checks of rank 0, those of others that failed, and that all had the same weights."""
    others = [
        replace(check, name=f"{check.name}, rank {rank}")
        for rank, own in enumerate(checks)
        for check in own
        if rank and not check.passed
    ]
    if point.row.form not in ("strong", "weak"):
        return [*checks[0], *others]
    equal = Check.without(
        "equal ranks",
        point.faults,
        finds=f"a region after which not all of {point.row.ranks} ranks have the same weights",
        reason="each adds the same sums to the same weights",
    )
    return [*checks[0], *others, equal]
