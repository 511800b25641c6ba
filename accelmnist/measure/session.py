"""What a benchmark is asked, and what its parts share while it runs."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from accelmnist.core.config import ENGINES
from accelmnist.core.engine_file import EngineFile
from accelmnist.core.errors import AccelmnistError, DeviceError, EngineError, OutputError, UnsupportedError
from accelmnist.core.records import Status
from accelmnist.device import (
    Device,
    keep_freed_memory,
    memory_errors,
    require_threads,
    resolve,
    set_threads,
    total_memory_bytes,
)
from accelmnist.device.environment import describe_environment, with_clocks
from accelmnist.device.ranks import Ranks
from accelmnist.engines.choose import BenchmarkSetting, Speed, engine_class, keep_speeds, machine_name
from accelmnist.engines.own.faults import engine_errors
from accelmnist.engines.standing import Standing, hardware_of, standing
from accelmnist.measure.case_builder import CaseBuilder, resolve_devices
from accelmnist.measure.conclusion import conclude
from accelmnist.measure.machine import PeakMemory
from accelmnist.measure.plan import BenchConfig, Case, expand
from accelmnist.measure.record import BenchObserver, BenchRecord, CaseResult, DeviceInfo, RecordWriter
from accelmnist.measure.recount import recount_bench
from accelmnist.measure.scaling_record import Scaling, rows_of
from accelmnist.measure.submission import training_speeds
from accelmnist.measure.timed_case import REMEDY
from accelmnist.training.reference.scores import Oracle, score_here

_SAVE_EVERY_S = 1.0
FINISH_S = 2.5  # kept back for the conclusion and the figures
_FIRST_GUESSES = {True: 12.0, False: 1.5}  # seconds to prepare and verify a case, by whether its engine compiles


class Budget:
    """`ends_after_s` seconds (None for no end) of which `spent_s` were gone when it was made."""

    def __init__(
        self, ends_after_s: float | None, *, spent_s: float = 0.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._started = clock() - spent_s
        self._ends_after_s = math.inf if ends_after_s is None else ends_after_s
        self._longest: dict[Hashable, float] = {}

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start of the command."""
        return self._clock() - self._started

    @property
    def left_s(self) -> float:
        """Seconds left for work, those for the finish kept back; infinite without an end."""
        return self._ends_after_s - self.elapsed_s - min(FINISH_S, 0.1 * self._ends_after_s)

    def expect_s(self, kind: Hashable, *, compiles: bool) -> float:
        """What a piece of work of this kind will take: the longest so far, or a guess."""
        return self._longest.get(kind, _FIRST_GUESSES[compiles])

    def learn(self, kind: Hashable, seconds: float) -> None:
        """Remember what a piece of work took."""
        self._longest[kind] = max(seconds, self._longest.get(kind, 0.0))


@dataclass(frozen=True, kw_only=True)
class BenchRequest:
    """What is wanted of a benchmark: `record` is a new one, or one to go on with; `folder` None saves nothing.

    With `traces`, a folder, every case is profiled, and a Chrome trace of each goes there. `spent_s` are the seconds
    since the start of the command. `on_stopped` gets the record of a benchmark that ends without a result. Those of a
    configuration with ranks are `ranks`: every one of them has such a request, and the first one alone a folder.

    Of several processes the last one concludes the benchmark; `is_last` says whether this is it. `finish` writes what
    belongs to the result besides its record, and returns the names of all its files: only then it is done. If it is
    None, another process does that, whose `record` is done but for the files.
    """

    record: BenchRecord
    folder: Path | None = None
    ranks: Ranks | None = None
    traces: Path | None = None
    oracle: Oracle = score_here
    spent_s: float = 0.0
    is_last: bool = True
    on_stopped: Callable[[BenchRecord], None] = lambda _record: None
    finish: Callable[[BenchRecord], tuple[str, ...]] | None = lambda _record: ()


def new_record(config: BenchConfig) -> BenchRecord:
    """The record of a benchmark that has not begun; ConfigError for an unknown device or too many threads."""
    for threads in config.threads:
        require_threads(threads)
    devices = resolve_devices(config.devices)
    here = [device for device in devices.values() if isinstance(device, Device)]
    first = here[0] if here else resolve("cpu")
    cases = expand(config, tuple(devices), runs_on=lambda engine, kind: kind in engine_class(engine).kinds)
    return BenchRecord(
        created=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        environment=describe_environment(first, *here),
        devices=tuple(
            DeviceInfo(name=str(device), hardware=device.hardware, memory_bytes=total_memory_bytes(device))
            for device in here
        ),
        config=config,
        cases=() if config.ranks else tuple(map(CaseResult.of, cases)),
        scaling=Scaling(rows=rows_of(cases, config.rank_counts)) if config.ranks else None,
    )


class Session:
    """What the parts of a benchmark share: its record, the time that is left, the devices, and who watches."""

    def __init__(self, request: BenchRequest, observer: BenchObserver) -> None:
        self.request, self.observer = request, observer
        self.config = request.record.config
        self.writer = RecordWriter(request.record, request.folder)
        self.budget = Budget(self.config.ends_after_s, spent_s=request.spent_s)
        self.builder = CaseBuilder(self.config, resolve_devices(self.config.devices), request.oracle)
        self.writer.set(training_images=len(self.builder.dataset.train))
        self.threads = torch.get_num_threads()
        self.peak = PeakMemory()
        keep_freed_memory()
        self._saved_at = 0.0

    def runnable(self) -> list[Case]:
        """The open cases that can run here; the others get their reason."""
        open_cases = [case for case, result in self.writer.results.items() if result.status != "done"]
        runnable = []
        for case in open_cases:
            try:
                reason = self.builder.refusal(case)
            except EngineError as error:
                self.writer.failed(case, str(error))
                continue
            if reason is None:
                runnable.append(case)
            else:
                self.writer.update(case, status="skipped", skipped=reason)
        return runnable

    def compiles(self, case: Case) -> bool:
        """Whether the case's engine compiles."""
        is_ours = case.engine != case.side
        return is_ours and case.device.partition(":")[0] in engine_class(self.config.engine_of(case)).compiles_on

    @property
    def devices(self) -> dict[str, Device]:
        """The devices that are here, by name."""
        return {name: device for name, device in self.builder.devices.items() if isinstance(device, Device)}

    @contextlib.contextmanager
    def attempt(self, case: Case) -> Iterator[Device]:
        """The device of `case`, with its threads in force; what fails within is written down as its result."""
        set_threads(case.threads or self.threads)
        try:
            device = self.builder.device(case)
            with memory_errors(device, REMEDY), engine_errors(EngineFile.of(self.config.engine_of(case))):
                yield device
        except UnsupportedError as error:
            self.writer.update(case, status="skipped", skipped=error.message)
        except DeviceError as error:
            self.writer.failed(case, str(error))

    def skip_for_time(self, case: Case, takes_s: float, left_s: float) -> None:
        """Leave a case out for lack of time, and say so."""
        self.cut(case, f"cut for time: it takes about {takes_s:.0f} s and {max(left_s, 0):.0f} s are left")

    def cut(self, case: Case, reason: str) -> None:
        """Leave a case out for lack of time, for this reason."""
        self.writer.update(case, status="cut", skipped=reason)
        self.writer.note("Cases were cut for time: allow more by --time-limit, or use --full")

    def save(self, *, at_once: bool = False) -> None:
        """Save the record, but not more often than the disk's time is worth."""
        now = time.monotonic()
        if at_once or now - self._saved_at >= _SAVE_EVERY_S:
            self.writer.save()
            self._saved_at = now

    def close(self) -> None:
        """Save what this process measured; the last one, or one that measured nothing, ends the benchmark."""
        if self.request.record.status != "done":
            if not self.request.is_last and self.writer.record.rounds:
                self.writer.save()
                return
            self._close_cases()
            self._conclude()
            self.writer.set(standing=_standings(self.writer.record))
            recount_bench(replace(self.writer.record, status="done"))
        if self.request.finish is None:
            self.writer.save()
            return
        self.writer.set(files=self.request.finish(replace(self.writer.record, status="done", message=None)))
        self.writer.end("done", None)
        if self.request.folder is not None:
            with contextlib.suppress(AccelmnistError):  # `--engine auto` can do without
                keep_speeds(speeds_of(self.writer.record, self.devices, threads=self.threads))

    def _close_cases(self) -> None:
        """What was sampled is done; what was prepared and not sampled was cut, for time was over before a round."""
        limit_s, load, cores = self.config.ends_after_s, os.getloadavg()[0], os.cpu_count() or 1
        for case, result in self.writer.results.items():
            if result.status != "measuring":
                continue
            if result.images_per_s is not None or result.time_to_accuracy is not None:
                self.writer.update(case, status="done")
                continue
            busy = f", and the machine was busy (load {load:.1f} on {cores} cores)" if load > cores else ""
            self.cut(case, f"cut for time: no round fitted into the {limit_s or 0:.0f} s after the preparation{busy}")

    def stop(self, status: Status, message: str) -> None:
        """Save what there is; if even that fails, what was saved last stays."""
        self._conclude()
        with contextlib.suppress(OutputError):
            self.writer.end(status, message)
        self.request.on_stopped(self.writer.record)

    def _conclude(self) -> None:
        environment = with_clocks(self.writer.record.environment, *self.devices.values())
        self.writer.set(
            elapsed_s=self.budget.elapsed_s, peak_memory_bytes=self.peak.process_bytes, environment=environment
        )
        self.writer.take(conclude(self.writer.record))


def _standings(record: BenchRecord) -> tuple[Standing, ...]:
    """Where each device of a benchmark with cases of training stands beside the verified records."""
    environment, found = record.environment, []
    for device in record.devices if environment is not None and record.config.data.dataset == "mnist" else ():
        if speeds := training_speeds(record, device.name):
            assert environment is not None
            found.append(standing(device.name, hardware_of(environment, device.name, device.hardware), speeds))
    return tuple(found)


FEWEST_SAMPLES = 5


def speeds_of(record: BenchRecord, devices: Mapping[str, Device], *, threads: int) -> list[Speed]:
    """What a finished benchmark teaches `--engine auto`: a speed for each right case of training with enough samples.

    `threads` are those of cases that name none.
    """
    return [
        Speed(
            setting=BenchmarkSetting(
                machine=machine_name(devices[result.device]),
                device=result.device,
                threads=result.threads or threads,
                precision=result.precision,
                batch_size=result.batch_size,
                hidden=result.hidden,
                optimizer=result.optimizer,
            ),
            engine=result.engine,
            images_per_s=result.images_per_s.median,
            compile_s=result.compile_s or 0.0,
            measured=record.created[:10],
        )
        for result in record.cases
        if result.engine in ENGINES  # one in a file of the user's is another with every change of it
        if result.optimizer is not None and result.device in devices and result.side is None
        if result.verdict is not None and result.verdict.passed
        if result.images_per_s is not None and len(result.images_per_s.samples) >= FEWEST_SAMPLES
    ]
