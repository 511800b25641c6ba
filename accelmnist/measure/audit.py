"""What a benchmark proves of its own timed regions, so that no figure is of other work than its case's.

While a region runs it is watched from outside its clock, and afterwards, off the clock, its result is looked at:

images        that the engine was given while the clock ran: those that are counted, no step more and none less
result        the weights and losses of a training, the logits of a classification: those of exactly these steps of this
              case from its first weights. What they must be, an `Anchor`, was found once, and not by what is timed. If
              two ways of running the steps gave the same to the bit, a region's must be the same to the bit too
seconds       held against two other clocks of the kernel: the raw one, which nothing adjusts, and the time of day. A
              clock that is being set may leave one of them, but not both
settling      a result is read to the host twice, at once after the clock stopped: if the first read takes longer, the
              device was still at work
threads       torch's number, and what the kernel says: the threads that ran, and their seconds over seconds passed
samples       are images over seconds of the very regions that the case itself has seen, round by round

Every check is of all regions but that of the clocks: somebody else may get the processor between two readings, so it
takes many of them to say that a clock is wrong.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from accelmnist.core.records import Check
from accelmnist.measure.record import Latency
from accelmnist.training.reference.chain import clock_faults

CLOCKS_APART = 0.005
_READING_S = 1e-4  # between two clocks' readings: 3 µs, and up to 70 on a busy machine
# Of another process: when it or we did nothing for some milliseconds, a request takes up to three times as long again
# as one that follows another at once (measured, idle and beside four programs, of the quickest of twenty).
TIMES_A_REQUEST, _QUICKEST = 4, 20
_LONGER_THAN_WAITED, _HIDDEN = 1e-3, 0.1
# Regions in which the processor is given away just then. On a machine as busy as can be, where that comes every
# millisecond, it is one in a hundred, and five of twenty once in a million cases.
_MAY_BE_DISTURBED = 4
_UNSETTLED_S = 5e-5
_BUSIER = 1.05  # the processor's own count is this coarse
_ROUNDING = 1e-9
_LIMITS_APART = 0.25


@dataclass(frozen=True)
class Readings:
    """The clocks at one moment, in seconds: processor time used, the kernel's raw clock, and the time of day.

    The last is read next to the region, at either end: reading the first one enters the kernel, which may well give
    the processor to somebody else.
    """

    cpu: float
    raw: float
    day: float

    @classmethod
    def before(cls) -> Readings:
        """Read them before a region."""
        return cls(time.process_time(), time.clock_gettime(time.CLOCK_MONOTONIC_RAW), time.time())

    @classmethod
    def after(cls) -> Readings:
        """Read them after a region."""
        day, raw = time.time(), time.clock_gettime(time.CLOCK_MONOTONIC_RAW)
        return cls(time.process_time(), raw, day)


@dataclass(frozen=True, kw_only=True)
class Region:
    """One timed region as seen from outside: `seconds` by its own clock, `raw_s`, `day_s`, `cpu_s` by the others.

    `images` is what the engine was given meanwhile, `threads` torch's number at the end, `settle_s` how much longer a
    first read of the result took than a second; `deviation` is how far the result is from the anchor's. `workers` are
    the threads that ran at least a tenth as long as this one. Both are None if nobody looked.

    In another process the clocks are read around a request, and an empty one's `request_s` is taken from them;
    `settle_s` is what was waited for before and after it, beyond what that takes, and `queued_s` how long it or we
    waited for a processor meanwhile.
    """

    images: int
    seconds: float
    raw_s: float
    day_s: float
    cpu_s: float
    threads: int
    settle_s: float
    deviation: float | None
    workers: int | None = None
    request_s: float = 0.0
    queued_s: float = 0.0

    @property
    def clock_gap_s(self) -> float:
        """By how much less the clock that was used says than the one of both others that is nearer to it."""
        return min(self.raw_s - self.seconds, self.day_s - self.seconds, key=abs)


@dataclass(frozen=True, kw_only=True)
class Anchor:
    """What a region must end with: `deviation` says how far it is from that now, and may be `limit` at most.

    `is_exact`: two ways of running the same steps agreed to the bit. `checks` are of the anchor itself.
    """

    deviation: Callable[[], float]
    limit: float
    reason: str
    is_exact: bool = False
    checks: tuple[Check, ...] = ()


def observe(
    clock: Callable[[], float],
    *,
    given: Callable[[], int],
    read: Callable[[], object],
    threads: Callable[[], int],
    deviation: Callable[[], float],
    counts_workers: bool = False,
    begin: Callable[[], object] = lambda: None,
) -> Region:
    """Let `clock` time a region, and return what was seen of it from outside.

    `given` says how many images the engine was given so far, `read` reads a number of the result to the host. `begin`
    is called first: ranks meet in it, by threads that must not be counted as those that work in the region.
    """
    begin()
    team = _Team() if counts_workers else None
    images, before = given(), Readings.before()
    seconds = clock()
    after, images = Readings.after(), given() - images
    workers = team.workers() if team else None
    first_s, second_s = _time(read), _time(read)
    return Region(
        images=images,
        seconds=seconds,
        raw_s=after.raw - before.raw,
        day_s=after.day - before.day,
        cpu_s=after.cpu - before.cpu,
        threads=threads(),
        settle_s=first_s - second_s,
        deviation=deviation(),
        workers=workers,
    )


class _Team:
    """The threads of this process that run from now on; those that end meanwhile are seen by their time alone."""

    def __init__(self) -> None:
        self._all, self._own, self._others = time.process_time(), time.thread_time(), _others_s()

    def workers(self) -> int | None:
        """How many ran at least a tenth as long as this one; None if the kernel doesn't tell (proc.rst, schedstat).

        What has ended counts as one, if it ran half as long: of a thread that runs the kernel's count may lag.
        """
        if not Path("/proc/self/schedstat").exists():
            return None
        others = _others_s()
        own, total = time.thread_time() - self._own, time.process_time() - self._all
        ran = [seconds - self._others.get(thread, 0.0) for thread, seconds in others.items()]
        return 1 + sum(seconds >= own / 10 for seconds in ran) + (total - own - sum(ran) >= own / 2)


def _others_s() -> dict[str, float]:
    """How long each thread but this one has run."""
    ran = {}
    for thread in Path("/proc/self/task").glob("*"):
        with contextlib.suppress(OSError):  # it may have ended
            ran[thread.name] = 1e-9 * int((thread / "schedstat").read_text().split()[0])
    ran.pop(str(threading.get_native_id()), None)
    return ran


def _time(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@dataclass(frozen=True, kw_only=True)
class Told:
    """What is told of a case's regions: `images` of each, `slices` regions a sample, threads, and the `samples`.

    `is_own` says whether they are told of the case that was timed. `prepared_threads` are those that it was made ready
    with; `watches_processor` says whether the processor's time tells who works, `has_queue` whether the device may
    still be at work when a call returns. Who `is_remote` works in another process, and is clocked around a request.
    """

    is_own: bool
    images: int
    slices: int
    samples: Sequence[float]
    threads: int
    prepared_threads: int
    watches_processor: bool
    has_queue: bool
    is_remote: bool = False


def audit(regions: Sequence[Region], anchor: Anchor, told: Told) -> tuple[Check, ...]:
    """The checks of what was timed; none if nothing was."""
    if not regions:
        return ()
    checks = [
        *anchor.checks,
        _check_images(regions, told),
        *_check_result(regions, anchor),
        *(_check_other_clock(regions) if told.is_remote else [_check_clock(regions)]),
        *([_check_settled(regions)] if told.has_queue else []),
        *_check_threads(regions, told),
        _check_samples(regions, told),
    ]
    return tuple(checks)


def _check_images(regions: Sequence[Region], told: Told) -> Check:
    apart = max(abs(region.images - told.images) for region in regions)
    return Check.at_most(
        "images miscounted",
        apart,
        0.0,
        detail=f"most of {len(regions)} regions of {told.images} images",
        reason="the engine is given what is counted while the clock runs: no step more, none less",
    )


def _check_result(regions: Sequence[Region], anchor: Anchor) -> list[Check]:
    deviations = np.array([region.deviation for region in regions if region.deviation is not None])
    if not len(deviations):
        return []
    far = Check.at_most(
        "deviation of a timed result",
        float(deviations.max()),
        anchor.limit,
        detail=f"largest of {len(deviations)} regions",
        reason=anchor.reason,
    )
    if not anchor.is_exact:
        return [far]
    other = Check.at_most(
        "share of timed results in other bits",
        float((deviations != 0).mean()),
        0.5,
        detail="regions that end unlike the same steps untimed",
        reason="two untimed ways agreed to the bit",
    )
    return [far, other]


def _check_clock(regions: Sequence[Region]) -> Check:
    """The error that is passed in a quarter of the regions, or in four: those may be disturbed."""
    errors = sorted(max(abs(region.clock_gap_s) - _READING_S, 0.0) / region.seconds for region in regions)
    spared = max(_MAY_BE_DISTURBED, len(errors) // 4)
    return Check.at_most(
        "error of the clock",
        errors[-1 - spared] if len(errors) > spared else 0.0,
        CLOCKS_APART,
        detail=f"against the kernel's raw clock and the time of day, in {spared} of {len(errors)} regions or more",
        reason="good clocks are within a thousandth",
    )


def _check_other_clock(regions: Sequence[Region]) -> list[Check]:
    """Another process's clock, and what it did while that stood still, in the quickest of twenty regions.

    Waiting for a busy machine only makes a request longer, so of many there are quick ones, while fewer than twenty say
    nothing; and nothing can have run for longer than was waited for.
    """
    quickest, spared = len(regions) // _QUICKEST, min(_MAY_BE_DISTURBED, len(regions) - 1)
    spared_s = TIMES_A_REQUEST * sorted(region.request_s for region in regions)[quickest]
    less = sorted(max(region.clock_gap_s - region.queued_s - spared_s, 0.0) / region.seconds for region in regions)
    more = sorted(max(-region.clock_gap_s - region.request_s, 0.0) / region.seconds for region in regions)
    hidden = sorted(max(region.settle_s - spared_s, 0.0) / region.seconds for region in regions)
    return [
        Check.at_most(
            "error of the clock",
            less[quickest] if quickest else 0.0,
            CLOCKS_APART,
            detail=f"less than passed around a request, beyond what one takes, in the quickest of {_QUICKEST} regions",
            reason="good clocks are within a thousandth",
        ),
        Check.at_most(
            "seconds beyond those that passed",
            more[-1 - spared],
            _LONGER_THAN_WAITED,
            detail=f"as a share, in more than {spared} of {len(regions)} regions",
            reason="nothing runs for longer than it is waited for",
        ),
        Check.at_most(
            "share of work outside of the clock",
            hidden[quickest] if quickest else 0.0,
            _HIDDEN,
            detail=f"what was waited for before and after a region, in the quickest of {_QUICKEST}",
            reason="setting weights back and sending losses takes less",
        ),
    ]


def _check_settled(regions: Sequence[Region]) -> Check:
    unsettled = float(np.median([region.settle_s for region in regions])) - _UNSETTLED_S
    return Check.at_most(
        "share of work after the clock",
        max(unsettled, 0.0) / float(np.median([region.seconds for region in regions])),
        CLOCKS_APART,
        detail="how much longer a first read of the result took than a second",
        reason="a device that was synchronized has nothing left to do",
    )


def _check_threads(regions: Sequence[Region], told: Told) -> list[Check]:
    seen = {told.prepared_threads, *(region.threads for region in regions)}
    checks = [
        Check.at_most(
            "threads off those asked for",
            max(abs(threads - told.threads) for threads in seen),
            0.0,
            detail=f"{told.threads} asked for; {', '.join(map(str, sorted(seen)))} seen",
            reason="a case is made ready and runs on its own number of threads",
        )
    ]
    if told.watches_processor:
        checks.append(
            Check.at_most(
                "busy threads",
                sum(max(region.cpu_s - TIMES_A_REQUEST * region.request_s, 0.0) for region in regions)
                / sum(region.seconds for region in regions)
                if told.is_remote
                else float(np.median([region.cpu_s / region.raw_s for region in regions])),
                _BUSIER * told.threads,
                detail="seconds of all threads over seconds passed",
                reason=f"{told.threads} threads can't be busy for longer",
            )
        )
    workers = [region.workers for region in regions if region.workers is not None]
    if told.watches_processor and workers:
        checks.append(
            Check.at_most(
                "threads at work",
                float(np.median(workers)),
                told.threads,
                detail="that ran at least a tenth as long as the first",
                reason=f"{told.threads} were asked for",
            )
        )
    return checks


def _check_samples(regions: Sequence[Region], told: Told) -> Check:
    """Of slices of equal work a sample is all images over all seconds."""
    parts = [regions[start : start + told.slices] for start in range(0, len(regions), told.slices)]
    own = [sum(region.images for region in part) / sum(region.seconds for region in part) for part in parts]
    alike = told.is_own and len(own) == len(told.samples) and len(regions) % told.slices == 0
    apart = max((abs(sample / speed - 1) for sample, speed in zip(told.samples, own, strict=False)), default=0.0)
    return Check.at_most(
        "samples not of these regions",
        apart if alike else float("inf"),
        _ROUNDING,
        detail=f"{len(told.samples)} samples, {len(own)} rounds of regions; the largest difference, as a share",
        reason="a sample is images over seconds of the case's own regions",
    )


def check_latency(
    latency: Latency, seconds: Sequence[float], seen_s: Mapping[int, tuple[float, float]]
) -> tuple[Check, Check]:
    """That its quantiles are what they are called, by counting: a share q of the calls took no longer, to one call.

    Some of the calls, by number, took from the least to the most of `seen_s` by another clock.
    """
    calls, taken = len(seconds), np.array(seconds)
    quantiles = {0.5: latency.p50_s, 0.9: latency.p90_s, 0.99: latency.p99_s, 1.0: latency.worst_s}
    off = [max(q - (taken <= value).mean(), (taken < value).mean() - q) for q, value in quantiles.items()]
    counted = Check.at_most(
        "calls off their quantile",
        float(calls * max(off)) if latency.calls == calls else float("inf"),
        1 + _ROUNDING,
        detail=f"of {calls}, the worst of p50, p90, p99 and the longest",
        reason="a quantile lies between two calls",
    )
    faults = [fault for call, seen in seen_s.items() for fault in clock_faults(f"call {call}", seconds[call], seen)]
    faults += [] if seen_s else ["no call was seen by another clock"]
    reason = f"{len(seen_s)} of {calls} calls are read by another clock as well, from within and from outside"
    return counted, Check.without("clock of single calls", faults, finds="calls that took longer", reason=reason)


def check_limits(apart: Sequence[float]) -> Check:
    """That the limits of a case's device are those of the work that was done; `apart` are the shares of their rates."""
    return Check.at_most(
        "limits off their work",
        max(apart, default=0.0),
        _LIMITS_APART,
        detail=f"the largest share of {len(apart)}, by tensors, passes and another clock",
        reason="what surrounds some milliseconds of work takes less",
    )
