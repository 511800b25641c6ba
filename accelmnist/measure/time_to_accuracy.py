"""Time to accuracy: from files that nobody has touched to a target accuracy on the test set.

By MLPerf's rules where they fit (MLCommons, "MLPerf Training rules"): the clock starts before the data is read, the
evaluation after every epoch is on the clock, the result is the median over seeds, and none is left out. Building and
compiling are MLPerf's to leave out; here there are both times, with and without compiling. Importing torch is not on
the clock. A training that never reaches the target counts as infinite, so it widens the interval and moves the median.

The interval of the median is that of the order statistics (Thompson 1936), which takes infinite values as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np

from accelmnist.core.config import RunConfig
from accelmnist.core.errors import DivergedError
from accelmnist.core.records import Check
from accelmnist.data.mnist import load_dataset
from accelmnist.data.types import upload
from accelmnist.device import Device, set_threads
from accelmnist.engines.choose import engine_class
from accelmnist.engines.contract import Job
from accelmnist.measure.case_builder import with_checks
from accelmnist.measure.plan import Case, run_config
from accelmnist.measure.record import Target, TimeToAccuracy
from accelmnist.measure.session import Session
from accelmnist.measure.statistics.summary import CONFIDENCE
from accelmnist.training.evaluation import accuracy_of
from accelmnist.training.loop import Stopwatch, prepare, train
from accelmnist.training.reference.chain import clock_faults


@dataclass(frozen=True)
class TrainingToTarget:
    """One training: seconds with and without compiling and the epochs that it took, None if it missed.

    `check` says whether another clock, and the clocks of its parts, saw as much.
    """

    seconds: float | None
    without_compile_s: float | None
    compile_s: float | None
    epochs: int | None
    accuracy: float
    check: Check


def train_to_target(config: RunConfig, device: Device, engine_name: str, target: float) -> TrainingToTarget:
    """Train `config` from untouched files until it reaches `target` on the test set, or its epochs are over."""
    precision, epochs, best, parts_s = config.execution.precision, None, 0.0, 0.0
    clock = Stopwatch(device)
    with clock:
        folder = Path(config.data.folder) if config.data.folder is not None else None
        dataset = load_dataset(config.data.dataset, folder=folder, seed=0)
        test = upload(dataset.test, device)
        job = Job(config, device, dataset.train)
        engine = engine_class(engine_name)
        runner = prepare(engine, job)
        try:
            for result in train(runner, job, probe=None):
                parts_s += result.figures.train_s
                best = max(best, accuracy_of(job.model, test, device=device, precision=precision))
                if best >= target:
                    epochs = result.figures.epoch
                    break
        except DivergedError:
            pass  # it will not come back: a miss like any other
    compile_s = runner.prepare_s if device.kind in engine.compiles_on else None
    seconds = clock.seconds if epochs is not None else None
    without_s = seconds - (compile_s or 0.0) if seconds is not None else None
    seen_s = max(clock.least_s, runner.prepare_s + parts_s), clock.most_s
    check = Check.without(
        "seconds to the target",
        [] if seconds is None else [*clock_faults("a training to the target", seconds, seen_s)],
        finds="a clock that errs, or stands still for a part",
        reason="another clock saw as much, and the clocks of compiling and of all epochs no more",
    )
    return TrainingToTarget(seconds, without_s, compile_s, epochs, best, check)


def summarize_seconds(seconds: Sequence[float | None]) -> Target:
    """The median and the interval of times of which some may be infinite (None)."""
    ordered = sorted(math.inf if value is None else value for value in seconds)
    rank = _interval_rank(len(ordered))
    middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    low, high = ordered[rank], ordered[-1 - rank]
    return Target(seconds=tuple(seconds), median_s=_finite(middle), low_s=_finite(low), high_s=_finite(high))


def _interval_rank(count: int) -> int:
    """How many of the sorted values the interval leaves out at either end: the most that keeps 95 %, or none.

    With `rank` left out, the median lies outside with twice the probability that no more of `count` fair coins show
    heads.
    """
    from scipy.special import bdtr  # here: a benchmark without a target does without it

    allowed = int((2 * bdtr(np.arange(count), count, 0.5) <= 1 - CONFIDENCE).sum())
    return max(allowed - 1, 0)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def measure_time_to_accuracy(session: Session, cases: list[Case]) -> None:
    """Measure the time to the target of every case: judged once, off the clock, then rounds of a seed of each."""
    target = session.config.target_accuracy
    assert target is not None, "it was asked for"
    right = [case for case in cases if _judge(session, case)]
    session.observer.stage("training to the target")
    rng = Random(0)
    for seed in range(session.config.seeds):
        rng.shuffle(right)
        for case in list(right):
            if seed >= _seeds_done(session, case) and not _train(session, case, seed, target):
                right.remove(case)
        session.observer.round_done(session.writer.record)
    set_threads(session.threads)
    _note_misses(session)


def _judge(session: Session, case: Case) -> bool:
    """Give the case its verdict; False if that failed."""
    if session.writer.results[case].verdict is not None:
        return True
    session.observer.stage(f"checking {case.label}")
    with session.attempt(case):
        accuracy, verdict = session.builder.verify(session.builder.timed(case))
        session.writer.update(case, status="measuring", skipped=None, accuracy=accuracy, verdict=verdict)
        session.save(at_once=True)
        session.observer.case_done(session.writer.record, case)
        return True
    return False


def _train(session: Session, case: Case, seed: int, target: float) -> bool:
    """Train one seed and write it down; False if the case is over, for lack of time or of memory."""
    budget = session.budget
    takes_s = budget.expect_s(case, compiles=session.compiles(case))
    if takes_s > budget.left_s:
        done = _seeds_done(session, case)
        session.writer.note(f"{case.label}: time was up after {done} of {session.config.seeds} seeds")
        if done == 0:
            session.skip_for_time(case, takes_s, budget.left_s)
        return False
    started = budget.elapsed_s
    with session.attempt(case) as device:
        config = run_config(case, session.config, seed=seed)
        trained = train_to_target(config, device, config.execution.engine, target)
        budget.learn(case, budget.elapsed_s - started)
        verdict = session.writer.results[case].verdict
        if verdict is not None:
            session.writer.update(case, verdict=with_checks(verdict, (trained.check,)))
        _keep(session, case, trained, target)
        return True
    return False


def _seeds_done(session: Session, case: Case) -> int:
    times = session.writer.results[case].time_to_accuracy
    return 0 if times is None else len(times.accuracies)


def _keep(session: Session, case: Case, trained: TrainingToTarget, target: float) -> None:
    result = session.writer.results[case]
    before = result.time_to_accuracy
    with_compile = (*(before.with_compile.seconds if before else ()), trained.seconds)
    without = (*(before.without_compile.seconds if before else ()), trained.without_compile_s)
    times = TimeToAccuracy(
        target=target,
        most_epochs=session.config.training_epochs,
        with_compile=summarize_seconds(with_compile),
        without_compile=summarize_seconds(without),
        epochs=(*(before.epochs if before else ()), trained.epochs),
        accuracies=(*(before.accuracies if before else ()), trained.accuracy),
    )
    compile_s = result.compile_s if result.compile_s is not None else trained.compile_s
    session.writer.update(case, time_to_accuracy=times, compile_s=compile_s)
    session.save(at_once=True)


def _note_misses(session: Session) -> None:
    """Say which cases never reached the target."""
    for case, result in session.writer.results.items():
        times = result.time_to_accuracy
        if times is not None and times.reached == 0:
            within = f"within {times.most_epochs} epochs; the best was {max(times.accuracies):.2%}"
            session.writer.note(f"{case.label}: no seed reached {times.target:.2%} {within}")
