"""Time to accuracy: from files that nobody has touched to a target accuracy on the test set.

By MLPerf's rules where they fit (MLCommons, "MLPerf Training rules"): the clock starts before the data is read, the
evaluation after every epoch is on the clock, what is told is the median over seeds, and none is left out. Building and
compiling are MLPerf's to leave out; here the time is told both with and without compiling. Importing torch is not on
the clock. A training that never reaches the target counts as infinite, so it widens the interval and moves the median.

The interval of the median is that of the order statistics (Thompson 1936), which takes infinite values as well.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from random import Random

from accelmnist.core.config import RunConfig
from accelmnist.core.errors import DeviceError, DivergedError
from accelmnist.data.mnist import load_dataset
from accelmnist.data.on_device import upload
from accelmnist.device import Device, memory_errors, set_threads, synchronize
from accelmnist.engines.choose import engine_class
from accelmnist.engines.contract import Job
from accelmnist.engines.model import MLP
from accelmnist.measure.plan import Case, run_config
from accelmnist.measure.record import Target, TimeToAccuracy
from accelmnist.measure.session import Session
from accelmnist.measure.statistics.summary import CONFIDENCE
from accelmnist.training.evaluation import accuracy_of
from accelmnist.training.loop import prepare, train

_REMEDY = "Try a smaller batch size or network, or another device"


@dataclass(frozen=True)
class Trial:
    """One training: seconds with and without compiling and the epochs that it took, None where it missed."""

    seconds: float | None
    without_compile_s: float | None
    compile_s: float | None
    epochs: int | None
    accuracy: float


def train_to_target(config: RunConfig, device: Device, engine_name: str, target: float) -> Trial:
    """Train `config` from untouched files until it reaches `target` on the test set, or its epochs are over."""
    precision = config.execution.precision
    started = time.perf_counter()
    folder = Path(config.data.folder) if config.data.folder is not None else None
    dataset = load_dataset(config.data.dataset, folder=folder, seed=0)
    test = upload(dataset.test, device)
    model = MLP(config.model, seed=config.training.seed).to(device.torch_device)
    job = Job(config, device, model, upload(dataset.train, device))
    engine = engine_class(engine_name)
    runner = prepare(engine, job)
    compile_s = runner.prepare_s if engine.compiles_on(device.kind) else None
    best = 0.0
    try:
        for result in train(runner, job, probe=None):
            best = max(best, accuracy_of(model, test, device=device, precision=precision))
            if best >= target:
                synchronize(device)
                seconds = time.perf_counter() - started
                return Trial(seconds, seconds - (compile_s or 0.0), compile_s, result.figures.epoch, best)
    except DivergedError:
        pass  # it will not come back: a miss like any other
    return Trial(None, None, compile_s, None, best)


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
    tails = accumulate(math.comb(count, heads) for heads in range(count))
    allowed = sum(2 * tail <= (1 - CONFIDENCE) * 2**count for tail in tails)
    return max(int(allowed) - 1, 0)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


class TimeToAccuracySession(Session):
    """Time to the target accuracy of every training case: one seed of each a round, in random order."""

    def measure(self, runnable: list[Case]) -> None:
        """Judge every case once, off the clock; then train seed after seed."""
        right = [key for key in runnable if self._judge(key)]
        self.observer.stage("training to the target")
        chance = Random(0)
        for seed in range(self.config.seeds):
            chance.shuffle(right)
            for key in list(right):
                if seed >= len(_trials(self.writer.results[key].time_to_accuracy)) and not self._train(key, seed):
                    right.remove(key)
            self.observer.round_done(self.writer.record)
        set_threads(self.threads)

    def _judge(self, key: Case) -> bool:
        result = self.writer.results[key]
        if result.verdict is not None:
            return True
        self.observer.stage(f"checking {key.label}")
        set_threads(self.threads_of(key))
        try:
            device = self.builder.device(result.case)
            with memory_errors(device, _REMEDY):
                timed = self.builder.timed(result.case)
                accuracy, verdict = self.builder.verify(timed)
        except DeviceError as error:
            self.writer.update(key, status="failed", skipped=str(error))
            return False
        self.writer.update(key, status="measuring", skipped=None, accuracy=accuracy, verdict=verdict)
        self.write(at_once=True)
        self.observer.case_done(self.writer.record, key)
        return True

    def _train(self, key: Case, seed: int) -> bool:
        """Train one seed and write it down; False where the case is over, for lack of time or of memory."""
        result = self.writer.results[key]
        takes = self.budget.expect_s(key.label, compiles=self.compiles(key))
        if takes > self.budget.left_s:
            done = len(_trials(result.time_to_accuracy))
            self.writer.note(f"{key.label}: time was up after {done} of {self.config.seeds} seeds")
            if done == 0:
                self.cut(key, takes, self.budget.left_s)
            return False
        set_threads(self.threads_of(key))
        started = self.budget.elapsed_s
        try:
            device = self.builder.device(result.case)
            with memory_errors(device, _REMEDY):
                trial = train_to_target(
                    run_config(result.case, self.config, seed=seed), device, result.engine, self._target
                )
        except DeviceError as error:
            self.writer.update(key, status="failed", skipped=str(error))
            return False
        self.budget.learn(key.label, self.budget.elapsed_s - started)
        self._keep(key, trial)
        return True

    @property
    def _target(self) -> float:
        assert self.config.target_accuracy is not None
        return self.config.target_accuracy

    def _keep(self, key: Case, trial: Trial) -> None:
        result = self.writer.results[key]
        before = result.time_to_accuracy
        with_compile = (*(before.with_compile.seconds if before else ()), trial.seconds)
        without = (*(before.without_compile.seconds if before else ()), trial.without_compile_s)
        made = TimeToAccuracy(
            target=self._target,
            most_epochs=self.config.training_epochs,
            with_compile=summarize_seconds(with_compile),
            without_compile=summarize_seconds(without),
            epochs=(*(before.epochs if before else ()), trial.epochs),
            accuracies=(*(before.accuracies if before else ()), trial.accuracy),
        )
        compile_s = result.compile_s if result.compile_s is not None else trial.compile_s
        self.writer.update(key, time_to_accuracy=made, compile_s=compile_s)
        self.write(at_once=True)

    def finish(self) -> None:
        """Say which cases never reached the target."""
        for key, result in self.writer.results.items():
            made = result.time_to_accuracy
            if made is not None and made.reached == 0:
                within = f"within {made.most_epochs} epochs; the best was {max(made.accuracies):.2%}"
                self.writer.note(f"{key.label}: no seed reached {made.target:.2%} {within}")


def _trials(made: TimeToAccuracy | None) -> tuple[float, ...]:
    return made.accuracies if made is not None else ()
