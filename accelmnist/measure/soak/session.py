"""A soak from its start to its end: every device in a process of its own, asked round by round, saved all along.

A round has all devices at work at once, each replaying for the same time. After it some work alone, in turn, for a
quarter of the time in all: a device that is slow by itself and one that is slow beside others are two faults. A device
that is late is not waited for: the others go on, until its limit ends its process. The record is saved after every
round, so that whatever ends the soak, what was found stands.
"""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from accelmnist.core.errors import OutputError, StoppedError, UnsupportedError
from accelmnist.core.files import RECORDS, lock_on_machine, save
from accelmnist.core.records import Status
from accelmnist.device import resolve
from accelmnist.device.environment import describe_environment
from accelmnist.measure.beside.other_process import Guard
from accelmnist.measure.machine import MachineWatch
from accelmnist.measure.soak.counters import Counters
from accelmnist.measure.soak.judgement import conclusions_of, verdict_of
from accelmnist.measure.soak.plan import SoakConfig, Target, targets_of
from accelmnist.measure.soak.record import RoundKind, SoakDevice, SoakRecord, SoakRound
from accelmnist.measure.soak.station import Station, Turn
from accelmnist.training.run import record_early_exit

_LEAST_ROUND_S, _MOST_ROUND_S, _ROUNDS, _FEW_ROUNDS = 2.0, 60.0, 600, 20
_ALONE_SHARE = 0.25
_TICK_S, _COUNTERS_EVERY_S, _SAVE_EVERY_S = 0.25, 1.0, 1.0
_SHARE = 0.01  # of the time, for conclusions on the way
_LATE = 2  # rounds, after which a device isn't waited for


class SoakObserver:
    """Who is told what happens in a soak: here nobody."""

    def planned(self, record: SoakRecord) -> None:
        """The devices are known."""

    def stage(self, what: str) -> None:
        """The soak goes on to `what`."""

    def changed(self, record: SoakRecord) -> None:
        """There is something new, or time has passed."""


@dataclass(frozen=True, kw_only=True)
class SoakRequest:
    """What is wanted of a soak: a new `record`, or one to go on with; `folder` None saves nothing.

    `publish` is told the record after every round, for whoever reads it meanwhile; what it raises is noted once.
    `on_stopped` gets the record of a soak that ends early.
    """

    record: SoakRecord
    folder: Path | None = None
    should_stop: Callable[[], bool] = lambda: False
    publish: Callable[[SoakRecord], None] = lambda _record: None
    on_stopped: Callable[[SoakRecord], None] = lambda _record: None


def new_record(config: SoakConfig) -> SoakRecord:
    """The record of a soak that has not begun; raises ConfigError and DeviceError for devices that aren't here."""
    targets = targets_of(config)
    devices = tuple(
        SoakDevice(name=target.name, hardware=target.hardware, core=target.core, threads=target.threads)
        for target in targets
    )
    return SoakRecord(
        created=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        environment=describe_environment(resolve(targets[0].device)),
        config=config,
        devices=devices,
    )


def execute_soak(request: SoakRequest, observer: SoakObserver) -> SoakRecord:
    """Soak, and return the record, which is saved whatever ends it. A stop asked for ends it after the round."""
    soak = _Soak(request, observer)
    with record_early_exit(soak.stop):
        soak.run()
    return soak.record


class _Soak:
    """What the parts of a soak share."""

    def __init__(self, request: SoakRequest, observer: SoakObserver) -> None:
        self.request, self.observer, self.config = request, observer, request.record.config
        self._record = replace(request.record, status="running", message=None)  # with the devices as they were
        self.stations = [
            Station(_target_of(device, self.config), self.config, replace(device, status="waiting", error=None))
            for device in request.record.devices
        ]
        self._counters = [Counters(station.target, station.device.counters) for station in self.stations]
        self._spent_s = request.record.elapsed_s
        self._began: float | None = None
        self._saved_at = self._counted_at = -1e9
        self._conclude_at = 0.0
        self._late: dict[str, Future[Any]] = {}

    # --- the record

    @property
    def elapsed_s(self) -> float:
        """Seconds of replaying so far, in all processes of the soak."""
        return self._spent_s + (0.0 if self._began is None else time.monotonic() - self._began)

    @property
    def record(self) -> SoakRecord:
        """The record as it stands."""
        devices = tuple(station.device for station in self.stations)
        return replace(self._record, devices=devices, elapsed_s=self.elapsed_s)

    def note(self, text: str) -> None:
        """Keep what has to be told, once."""
        if text not in self._record.notes:
            self._record = replace(self._record, notes=(*self._record.notes, text))

    def _save(self, *, at_once: bool = False) -> None:
        now = time.monotonic()
        if now >= self._conclude_at or at_once:
            self._conclude()
            self._conclude_at = now + (time.monotonic() - now) / _SHARE
        if not at_once and now - self._saved_at < _SAVE_EVERY_S:
            return
        self._saved_at = now
        self._publish()
        if self.request.folder is not None:
            try:
                save(self.record, self.request.folder / RECORDS["soak"])
            except OutputError as error:
                if at_once:
                    raise
                self.note(f"the record could not be saved on the way: {error.message}")

    def _conclude(self) -> None:
        record = self.record
        for place, station in enumerate(self.stations):
            station.update(**conclusions_of(record, place))
        self._record = replace(self._record, verdict=verdict_of(self.record))

    def _publish(self) -> None:
        try:
            self.request.publish(self.record)
        except OutputError as error:
            self.note(error.message)

    def stop(self, status: Status, message: str) -> None:
        """It ends early: save what there is; if even that fails, what was saved last stays."""
        self._record = replace(self._record, status=status, message=message)
        with suppress(OutputError):
            self._save(at_once=True)
        self.request.on_stopped(self.record)

    # --- the work

    def run(self) -> None:
        """Start, prove, and replay until the time is over or all replays are done."""
        with ExitStack() as until_over:
            self._tell_of_others(until_over)
            guard = until_over.enter_context(Guard(Path(tempfile.mkdtemp(prefix="accelmnist-soak-"))))
            pool = until_over.enter_context(_pool(self.stations))
            self.observer.planned(self.record)
            self._save(at_once=True)
            self.observer.stage("starting a process for each device")
            for station in self.stations:
                station.start(guard)
            self._all(pool, Station.prepare)
            self._require_one()
            self.observer.stage("proving the training on each device")
            self._all(pool, Station.prove)
            self._save(at_once=True)
            self.observer.stage("replaying")
            self._replay(pool)
            self._wait_for_late()
            for station in self.stations:
                station.close()
        stopped = self.request.should_stop()
        if stopped:
            raise StoppedError("stopped after a round")
        self._record = replace(self._record, status="done", files=(RECORDS["soak"],) if self.request.folder else ())
        self._save(at_once=True)

    def _require_one(self) -> None:
        """Raise UnsupportedError if no device does such a training: whoever asks for it is wrong, and not a device."""
        devices = self.record.devices
        if all(device.status == "skipped" for device in devices):
            raise UnsupportedError(devices[0].error or "no device does such a training")

    def _tell_of_others(self, until_over: ExitStack) -> None:
        """Note if another soak, of whichever user, is at work on a device or a core of it: no speed is then its own."""
        targets, taken = [station.target for station in self.stations], set[str]()
        for name in {name for target in targets for name in target.parts}:
            try:
                until_over.callback(os.close, lock_on_machine("soak", name))
            except BlockingIOError:
                taken.add(name)
            except OSError:
                pass  # where nothing can be locked nobody knows of the others
        for target in targets:
            if taken.intersection(target.parts):
                self.note(f"another soak is at work on {target.name}: what its speed is, can't be told")

    def _all(self, pool: ThreadPoolExecutor, ask: Callable[[Station], None]) -> None:
        """Ask all devices, and wait until each has answered or is gone."""
        self._wait([pool.submit(ask, station) for station in self.stations])
        self._save(at_once=True)

    def _replay(self, pool: ThreadPoolExecutor) -> None:
        self._began = time.monotonic()
        together_s, alone_s, turns = 0.0, 0.0, self._turns()
        while not self._is_over():
            present = [station for station in self._idle() if not self._is_done(station)]
            if not present:
                self._wait(self._late.values(), until_first=True)
                self._forget_late()
                continue
            began = time.monotonic()
            self._round("together", pool, present)
            together_s += time.monotonic() - began
            while alone_s < _ALONE_SHARE / (1 - _ALONE_SHARE) * together_s and not self._is_over() and not self._late:
                station = next(turns, None)
                if station is None:
                    break
                began = time.monotonic()
                self._round("alone", pool, [station])
                alone_s += time.monotonic() - began

    def _round(self, kind: RoundKind, pool: ThreadPoolExecutor, stations: list[Station]) -> None:
        for_s, most = self._round_s(), None
        if kind == "alone":
            for_s, most = 0.0, 1
        watch, at_s = MachineWatch(), self.elapsed_s
        watch.begin()
        asked = {
            station.target.name: pool.submit(station.work, for_s, self._most(station, most)) for station in stations
        }
        expected_s = for_s + max((station.longest_s for station in stations), default=0.0)
        self._wait(asked.values(), for_s=_LATE * expected_s + _LEAST_ROUND_S)
        self._late.update({name: future for name, future in asked.items() if not future.done()})
        turns: dict[str, Turn | None] = {name: future.result() for name, future in asked.items() if future.done()}
        done = [turns.get(station.target.name) for station in self.stations]
        if any(done):
            round_ = SoakRound(
                kind=kind,
                at_s=at_s,
                replays=tuple(None if turn is None else turn.replays for turn in done),
                images_per_s=tuple(None if turn is None else turn.images_per_s for turn in done),
                other_cpu=watch.end().other_cpu,
            )
            self._record = replace(self._record, rounds=(*self._record.rounds, round_))
        self._save()
        self.observer.changed(self.record)

    def _round_s(self) -> float:
        if self.config.for_s is None:
            return _LEAST_ROUND_S
        left_s = max(self.config.for_s - self.elapsed_s, 0.0)
        least_s = min(_LEAST_ROUND_S, self.config.for_s / _FEW_ROUNDS)
        return min(max(least_s, min(self.config.for_s / _ROUNDS, _MOST_ROUND_S)), left_s)

    def _most(self, station: Station, most: int | None) -> int | None:
        if self.config.replays is None:
            return most
        each = math.ceil(self.config.replays / _ROUNDS)
        return min(most or each, self.config.replays - station.device.replays)

    def _turns(self) -> Iterator[Station]:
        """The devices that can work alone, each once and then each again, in random orders; none of a single one."""
        chance = Random()
        while len([station for station in self.stations if station.is_there]) > 1:
            turns = [station for station in self._idle() if not self._is_done(station)]
            if not turns:
                return
            chance.shuffle(turns)
            yield from turns

    def _is_done(self, station: Station) -> bool:
        return self.config.replays is not None and station.device.replays >= self.config.replays

    def _is_over(self) -> bool:
        there = [station for station in self.stations if station.is_there]
        compared = all(station.device.replays > 1 for station in there)
        timed_out = self.config.for_s is not None and self.elapsed_s >= self.config.for_s and compared
        return not there or timed_out or all(map(self._is_done, there)) or self.request.should_stop()

    def _idle(self) -> list[Station]:
        self._forget_late()
        return [station for station in self.stations if station.is_there and station.target.name not in self._late]

    def _forget_late(self) -> None:
        self._late = {name: future for name, future in self._late.items() if not future.done()}

    def _wait_for_late(self) -> None:
        """Those that are late have until their limit; not if the user wants to stop."""
        if self._late and not self.request.should_stop():
            self.observer.stage(f"waiting for {', '.join(self._late)}")
            self._wait(self._late.values())

    def _wait(self, futures: Iterable[Future[Any]], *, for_s: float | None = None, until_first: bool = False) -> None:
        """Wait for all of them, or the first, and meanwhile read the counters; not longer than `for_s`."""
        left, began = set(futures), time.monotonic()
        while left:
            done, left = wait(left, timeout=_TICK_S, return_when="FIRST_COMPLETED" if until_first else "ALL_COMPLETED")
            self._count()
            self.observer.changed(self.record)
            if (done and until_first) or (for_s is not None and time.monotonic() - began > for_s):
                break

    def _count(self) -> None:
        """Read the counters of the devices, if it is time."""
        if time.monotonic() - self._counted_at >= _COUNTERS_EVERY_S:
            self._counted_at = time.monotonic()
            for station, counters in zip(self.stations, self._counters, strict=True):
                station.update(counters=counters.read())


@contextmanager
def _pool(stations: list[Station]) -> Iterator[ThreadPoolExecutor]:
    """Threads that ask, one a device; in the end their processes end, whatever they are doing."""
    pool = ThreadPoolExecutor(max_workers=len(stations), thread_name_prefix="soak")
    try:
        yield pool
    finally:
        for station in stations:
            station.kill()
        pool.shutdown(wait=True, cancel_futures=True)
        for station in stations:
            station.close()


def _target_of(device: SoakDevice, config: SoakConfig) -> Target:
    """The device of a record; raises ConfigError and DeviceError if it isn't here any more."""
    (target,) = targets_of(replace(config, devices=(device.name,), cores=False))
    return replace(target, threads=device.threads)
