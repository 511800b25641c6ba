"""A case on its way to be timed: built, judged, counted, warmed up, each step on the clock or on the record."""

from __future__ import annotations

from pathlib import Path

from accelmnist.device import matmul_precision
from accelmnist.measure.limits.cost import cost_of
from accelmnist.measure.plan import Case
from accelmnist.measure.session import Session
from accelmnist.measure.timed_case import TimedCase, TimedTraining, WarmCase
from accelmnist.training.profiling.profile import COUNTED_STEPS, PROFILED_STEPS, Profile, profile_calls, profile_steps


def prepare_case(session: Session, case: Case) -> WarmCase | None:
    """The case, ready to be sampled; None if it failed: the reason is in its result, and the benchmark goes on."""
    with session.attempt(case) as device:
        session.peak.begin(device)
        timed = _timed(session, case)
        session.writer.update(case, peak_memory_bytes=session.peak.end(device))
        return WarmCase(timed, case.threads or session.threads)
    return None


def _timed(session: Session, case: Case) -> TimedCase:
    """The case, built, judged, counted and warm; what that tells is in the record."""
    writer = session.writer
    timed = session.builder.timed(case)
    writer.update(case, status="measuring", skipped=None, compile_s=timed.compile_s, cost=cost_of(case))
    if writer.results[case].verdict is None:
        accuracy, verdict = session.builder.verify(timed)
        writer.update(case, accuracy=accuracy, verdict=verdict)
    _profile(session, timed)
    timed.warm_up()
    writer.update(case, steps_per_region=timed.steps, region_s=timed.region_s)
    return timed


def _profile(session: Session, timed: TimedCase) -> None:
    """Count what a step starts; with a folder for traces, also find out where its time goes."""
    case, folder = timed.case, session.request.traces
    if folder is None:
        launches = profiled(timed, steps=COUNTED_STEPS, trace=None).launches
        session.writer.update(case, launches=launches)
        return
    trace = folder / f"{case.label.replace(' ', '-').replace(':', '')}.json.gz"
    profile = profiled(timed, steps=PROFILED_STEPS, trace=trace)
    session.writer.update(case, launches=profile.launches, profile=profile.summary)


def profiled(timed: TimedCase, *, steps: int, trace: Path | None) -> Profile:
    """A profile of the case's step; the case ends as it began."""
    device = timed.device
    with matmul_precision(device, timed.case.precision):
        if isinstance(timed, TimedTraining):
            profile = profile_steps(timed.runner, timed.first_steps(steps), device, steps=steps, trace=trace)
        else:
            profile = profile_calls(lambda: timed.run(1), device, steps=steps, trace=trace)
    timed.restore()
    return profile
