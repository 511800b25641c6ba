"""The runner: opens every case of a workload, samples all of them round by round, and asks for their accuracy.

In each round every case runs one region, in an order drawn anew, so that a round gives one sample of each, close
together in time: pairs, in which a drift of the machine cancels. While one runs, all others sleep; between two regions
lies a short pause, since thread pools go on waiting awake for a moment after their work (`bench.peers.process`).
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.peers.catalogue import EAGER, Entry
from bench.peers.process import Channel, ContenderLostError
from bench.peers.workloads import PeerPrecision, Workload

PAUSE_S = 0.03
REFERENCE_S = 100.0


@dataclass
class Case:
    """One contender at one workload and precision, and what is known of it so far."""

    entry: Entry
    precision: PeerPrecision
    version: str = ""
    reason: str | None = None  # why it has no result
    steps: int = 0  # of a region
    first_s: float | None = None  # building and first call, beyond a later call
    seconds: list[float] = field(default_factory=list)  # one a round
    accuracies: list[tuple[int, float]] = field(default_factory=list)  # steps from the start, share of the test set

    @property
    def key(self) -> str:
        """Its name in requests."""
        return f"{self.entry.key} {self.precision}"

    @property
    def runs(self) -> bool:
        """Whether it is still in the race."""
        return self.reason is None


class Race:
    """All cases of one workload, over the channels of their contenders; a channel that is lost is taken out."""

    def __init__(
        self,
        workload: Workload,
        entries: Sequence[Entry],
        channels: dict[str, Channel],
        precisions: Iterable[PeerPrecision],
        *,
        weights: str | None = None,
        seed: int = 0,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.workload, self.channels, self.weights, self.say = workload, channels, weights, say
        self.cases = [Case(entry, precision) for precision in precisions for entry in entries]
        self.random = random.Random(seed)

    @property
    def running(self) -> list[Case]:
        """The cases that are still in the race."""
        return [case for case in self.cases if case.runs]

    def open(self) -> None:
        """Build every case, one after the other, so that the times of first calls are their own."""
        for case in self.cases:
            self._open(case)
            self.say(f"{self.workload.key}: {case.key}: {case.reason or f'{case.first_s:.1f} s to the first region'}")

    def _open(self, case: Case) -> None:
        channel = self.channels.get(case.entry.key)
        if channel is None:
            case.reason = "its process could not be started"
            return
        case.version = channel.greeting.get("version", "")
        case.reason = channel.greeting.get("missing")
        if not case.runs:
            return
        reply = self._ask(case, do="open", workload=self.workload.key, precision=case.precision, weights=self.weights)
        case.steps, case.first_s = reply.get("steps", 0), reply.get("first_s")

    def round(self) -> None:
        """One region of every case, in random order; a round in which none is left takes nothing."""
        order = self.running
        self.random.shuffle(order)
        for case in order:
            if case.runs:  # its contender may have been lost with another precision of this round
                self._sample(case)

    def _sample(self, case: Case) -> None:
        time.sleep(PAUSE_S)
        reply = self._ask(case, do="region", steps=case.steps)
        if "seconds" in reply:
            case.seconds.append(reply["seconds"])

    def measure_accuracy(self, *, epochs: int, longest_s: float) -> None:
        """Train every case from its start; the one that all are held against takes its time and tells every one."""
        for case in self.running:
            if case.runs:
                every = case.entry.key == EAGER and case.precision == "fp32"
                limit_s = REFERENCE_S if every else longest_s
                reply = self._ask(case, do="accuracy", epochs=epochs, longest_s=limit_s, every=every)
                case.accuracies = [(steps, share) for steps, share in reply.get("accuracies", [])]

    def close(self) -> None:
        """Free what the cases hold in their processes."""
        for case in self.cases:
            if case.entry.key in self.channels and case.steps:
                self._ask(case, do="close")

    def _ask(self, case: Case, **request: Any) -> dict[str, Any]:
        """The reply; where there is none, or it is a refusal, the case has its reason and drops out."""
        channel = self.channels.get(case.entry.key)
        if channel is None:
            return {}
        try:
            reply = channel.ask(case=case.key, **request)
        except ContenderLostError as lost:
            self._lose(case, str(lost))
            return {}
        case.reason = reply.get("error") or reply.get("unsupported") or case.reason
        return reply

    def _lose(self, case: Case, reason: str) -> None:
        """The process is gone, and with it its other precisions."""
        self.channels.pop(case.entry.key).stop()
        for other in self.cases:
            if other.entry.key == case.entry.key and other.runs:
                other.reason = reason
