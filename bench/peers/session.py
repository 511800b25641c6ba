"""One run of the command: the processes of all contenders, workload after workload, the record as it grows."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from accelmnist.data.mnist import load_dataset
from bench.peers.catalogue import CATALOGUE, Entry
from bench.peers.contenders.numpy_hand import ByHand
from bench.peers.process import Channel, ContenderProcess
from bench.peers.record import PeersRecord, StartCase, WorkloadRecord, new_record, save_record, workload_record
from bench.peers.rounds import Race
from bench.peers.start.rounds import entries_of, measure, starter
from bench.peers.worker import save_weights
from bench.peers.workloads import WORKLOADS, Job, PeerPrecision, Workload, start_weights


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to measure, how often, with how many threads, and where to save it."""

    workloads: Sequence[str]
    precisions: Sequence[PeerPrecision]
    contenders: Sequence[str]
    rounds: int
    epochs: int
    accuracy_s: float
    threads: int
    out: Path
    starts: int = 0  # rounds of processes from a cold start


class Contenders:
    """The processes, started when a workload needs them and kept for the next."""

    def __init__(self, entries: Sequence[Entry], *, threads: int, scratch: Path) -> None:
        self.entries, self.threads, self.scratch = entries, threads, scratch
        self.channels: dict[str, Channel] = {}

    def start(self) -> None:
        """Start whoever does not run: all at the beginning, later those that died. They load at the same time."""
        absent = [entry for entry in self.entries if entry.key not in self.channels]
        processes = [ContenderProcess(entry, threads=self.threads, scratch=self.scratch) for entry in absent]
        self.channels |= {entry.key: process for entry, process in zip(absent, processes, strict=True)}
        for process in processes:
            process.greet()

    def stop(self) -> None:
        """End all."""
        for channel in self.channels.values():
            channel.stop()


@contextlib.contextmanager
def running(entries: Sequence[Entry], *, threads: int) -> Iterator[Contenders]:
    """The contenders, with a folder for their caches; both are gone afterwards, however it ends."""
    with tempfile.TemporaryDirectory() as scratch:
        contenders = Contenders(entries, threads=threads, scratch=Path(scratch))
        try:
            yield contenders
        finally:
            contenders.stop()


def trained_weights(folder: Path) -> str:
    """The weights that inference is measured with: an epoch of Adam by hand, in a file that all read."""
    workload = WORKLOADS["c"]
    contender = ByHand(Job(workload, "fp32", load_dataset(), start_weights(workload.sizes)), "")
    contender.train(workload.epoch_steps)
    path = str(folder / "trained.npz")
    save_weights(path, contender.network.weights())
    return path


class Session:
    """Measures what `options` ask for; `record` is what there is so far."""

    def __init__(self, options: Options, *, command: str, say: Callable[[str], None]) -> None:
        self.options, self.say = options, say
        self.base = new_record(command, threads=options.threads)
        self.done: list[WorkloadRecord] = []
        self.starts: tuple[StartCase, ...] = ()

    def keep(self, record: PeersRecord) -> None:
        """Go on beside the workloads of another run, whose command, date and machine stay the record's."""
        self.base, self.done = record, list(record.workloads)

    def record(self, *under_way: WorkloadRecord) -> PeersRecord:
        """The record, with a workload that is under way."""
        return replace(self.base, workloads=(*self.done, *under_way), starts=self.starts)

    def run(self) -> None:
        """All workloads; an interrupt ends it and keeps what there is."""
        entries = [CATALOGUE[key] for key in self.options.contenders]
        with contextlib.suppress(KeyboardInterrupt), running(entries, threads=self.options.threads) as contenders:
            for key in self.options.workloads:
                self.say(f"{key}: starting the contenders that do not run")
                contenders.start()
                self._measure(self._race(WORKLOADS[key], contenders))

        if self.options.starts:
            self._start()

    def _start(self) -> None:
        """Processes from their start to 98.0 %, when no contender is left that could disturb them."""
        entries = entries_of(self.options.contenders)
        with contextlib.suppress(KeyboardInterrupt), tempfile.TemporaryDirectory() as scratch:
            start = starter(threads=self.options.threads, scratch=Path(scratch))
            for cases in measure(entries, start, rounds=self.options.starts, say=self.say):
                self.starts = cases
                save_record(self.record(), self.options.out)

    def _race(self, workload: Workload, contenders: Contenders) -> Race:
        weights = trained_weights(contenders.scratch) if workload.mode == "inference" else None
        return Race(
            workload,
            contenders.entries,
            contenders.channels,
            self.options.precisions,
            weights=weights,
            say=self.say,
        )

    def _measure(self, race: Race) -> None:
        """One workload, saved after each round; broken off, its complete rounds stay."""
        options, key = self.options, race.workload.key
        try:
            race.open()
            for number in range(options.rounds):
                race.round()
                save_record(self.record(workload_record(key, race.cases)), options.out)
                self.say(f"{key}: round {number + 1} of {options.rounds}, {len(race.running)} cases")
            race.measure_accuracy(epochs=options.epochs, longest_s=options.accuracy_s)
            race.close()
        finally:
            self.done.append(workload_record(key, race.cases))
            save_record(self.record(), options.out)
