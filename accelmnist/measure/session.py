"""One benchmark from its configuration to its record: what all kinds of measurement share.

    plan      every combination is a case; one that can't run here is a row with its reason
    measure   by `throughput` or `time_to_accuracy`
    conclude  what follows from the samples
It prints nothing: an observer is told what happens. The record is saved after every case and every round, so that
nothing that was measured is lost, whatever ends it early.
"""

from __future__ import annotations

import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from accelmnist.core.errors import AccelmnistError, OutputError
from accelmnist.core.records import Status
from accelmnist.device import Device, require_threads, resolve, total_memory_bytes
from accelmnist.device.environment import describe_environment
from accelmnist.engines.choose import engine_class
from accelmnist.engines.speeds import keep_speeds
from accelmnist.measure.budget import Budget
from accelmnist.measure.case_builder import CaseBuilder, resolve_devices
from accelmnist.measure.conclusion import conclude
from accelmnist.measure.known_speeds import speeds_of
from accelmnist.measure.machine.peak import PeakMemory
from accelmnist.measure.observer import BenchObserver
from accelmnist.measure.plan import BenchConfig, Case, case_fields, expand
from accelmnist.measure.record import BenchRecord, CaseResult, DeviceInfo
from accelmnist.measure.record_writer import RecordWriter
from accelmnist.training.early_exit import record_early_exit
from accelmnist.training.reference.scores import Oracle, score_here

_SAVE_EVERY_S = 1.0


@dataclass(frozen=True, kw_only=True)
class BenchRequest:
    """What is wanted of a benchmark. `folder` None saves nothing; `record` is one to go on with.

    With `traces`, a folder, every case is profiled, and a Chrome trace of each goes there.

    `spent_s` are the seconds since the start of the command. `on_stopped` gets the record of a benchmark that ends
    without a result. Of several processes the last one ends the benchmark; `is_last` says whether this is it.
    """

    config: BenchConfig
    folder: Path | None = None
    record: BenchRecord | None = None
    traces: Path | None = None
    oracle: Oracle = score_here
    spent_s: float = 0.0
    is_last: bool = True
    on_stopped: Callable[[BenchRecord], None] = lambda _record: None


def new_record(config: BenchConfig) -> BenchRecord:
    """The record of a benchmark that has not begun: every case pending; raises ConfigError for an unknown device.

    It raises it for more threads than make sense here, too.
    """
    for threads in config.threads:
        require_threads(threads)
    devices = resolve_devices(config.devices)
    here = [device for device in devices.values() if isinstance(device, Device)]
    first = here[0] if here else resolve("cpu")
    return BenchRecord(
        created=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        environment=describe_environment(first),
        devices=tuple(
            DeviceInfo(name=str(device), hardware=device.hardware, memory_bytes=total_memory_bytes(device))
            for device in here
        ),
        config=config,
        cases=tuple(CaseResult(**case_fields(case)) for case in expand(config, tuple(devices), runs_on=_runs_on)),
    )


def _runs_on(engine: str, kind: str) -> bool:
    """Whether `engine` can run on devices of `kind` at all."""
    return kind in engine_class(engine).kinds


class Session(ABC):
    """A benchmark on its way; `measure` is what kinds of it differ in."""

    def __init__(self, request: BenchRequest, observer: BenchObserver) -> None:
        self.request, self.observer = request, observer
        self.config = request.config
        self.writer = RecordWriter(request.record or new_record(self.config), request.folder)
        self.budget = Budget(self.config.ends_after_s, spent_s=request.spent_s)
        self.builder = CaseBuilder(self.config, resolve_devices(self.config.devices), request.oracle)
        self.writer.set(training_images=len(self.builder.dataset.train))
        self.threads = torch.get_num_threads()
        self.peak = PeakMemory()
        self._saved_at = 0.0

    @abstractmethod
    def measure(self, runnable: list[Case]) -> None:
        """Measure the cases with these keys: all that are open and can run here."""

    @abstractmethod
    def finish(self) -> None:
        """Write down what this process knows only at its end."""

    def execute(self) -> BenchRecord:
        """Run from beginning to end; whatever ends it early, the record is concluded and saved first."""
        with record_early_exit(self._stop, interrupted="interrupted"):
            self.observer.planned(self.writer.record)
            self.writer.save()
            self.measure(self._runnable())
            self.finish()
            if self.request.is_last:
                self._close()
            else:
                self.writer.save()
        return self.writer.record

    def _runnable(self) -> list[Case]:
        """The open cases that can run here; the others get their reason."""
        open_cases = [key for key, result in self.writer.results.items() if result.status != "done"]
        for key in open_cases:
            reason = self.builder.refusal(self.writer.results[key].case)
            if reason is not None:
                self.writer.update(key, status="skipped", skipped=reason)
        return [key for key in open_cases if self.writer.results[key].status != "skipped"]

    def compiles(self, key: Case) -> bool:
        """Whether the case's engine compiles."""
        result = self.writer.results[key]
        return engine_class(result.engine).compiles_on(result.device.partition(":")[0])

    def threads_of(self, key: Case) -> int:
        """The CPU threads of a case."""
        return self.writer.results[key].threads or self.threads

    def devices(self) -> list[Device]:
        """The devices that are here."""
        return [device for device in self.builder.devices.values() if isinstance(device, Device)]

    def cut(self, key: Case, takes: float, left: float) -> None:
        """Leave a case out for lack of time, and say so."""
        reason = f"cut for time: it takes about {takes:.0f} s and {max(left, 0):.0f} s are left"
        self.writer.update(key, status="cut", skipped=reason)
        self.writer.note("Cases were cut for time: allow more by --time-limit, or use --full")

    def write(self, *, at_once: bool = False) -> None:
        """Save, but not more often than the disk's time is worth."""
        now = time.monotonic()
        if at_once or now - self._saved_at >= _SAVE_EVERY_S:
            self.writer.save()
            self._saved_at = now

    def _close(self) -> None:
        """The last process ends the benchmark."""
        for key, result in self.writer.results.items():
            if result.status == "measuring":
                self.writer.update(key, status="done")
        self._conclude()
        self.writer.end("done", None)
        if self.request.folder is not None:
            self._teach()

    def _teach(self) -> None:
        """Keep the speeds for `--engine auto`, where they can be kept."""
        devices = {str(device): device for device in self.devices()}
        with contextlib.suppress(AccelmnistError):
            keep_speeds(speeds_of(self.writer.record, devices, threads=self.threads))

    def _conclude(self) -> None:
        self.writer.set(elapsed_s=self.budget.elapsed_s, peak_memory_bytes=self.peak.process_bytes)
        self.writer.take(conclude(self.writer.record))

    def _stop(self, status: Status, message: str) -> None:
        """Save what there is; where even that fails, what was saved last stays."""
        self._conclude()
        with contextlib.suppress(OutputError):
            self.writer.end(status, message)
        self.request.on_stopped(self.writer.record)
