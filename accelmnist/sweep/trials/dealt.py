"""Trainings that ranks share: rank 0 deals them out, each rank takes the next when it has done one, rank 0 keeps all.

Nothing is summed, and no rank waits for another one's part. A deal lies in the rendezvous' store, and an atomic counter
there gives every rank the place of its next training. What a rank tells it numbers itself, so that one that is killed
in the middle leaves no gap. A lost rank is done without: what it had taken is dealt once more, when the others have
nothing left. Without any other rank, rank 0 does it all.

A rank trains as one process alone would: on a CPU with a thread of arithmetic a training, as many at once as it has
threads; what compiles, and a GPU, one after the other. So a training is the same to the bit wherever it is done.

Every rank loads the images itself, and they are held to those of rank 0. Of what arrives, the caller's proof counts
accuracies anew; the first training of every rank is audited there, beside those that the caller chose.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field, replace
from queue import SimpleQueue
from threading import Thread
from typing import Any

from accelmnist.core.config import RunConfig
from accelmnist.core.errors import DataError
from accelmnist.core.records import EpochFigures, RankFigures
from accelmnist.data.mnist import load_in_background
from accelmnist.data.split import load_images
from accelmnist.data.types import ImageSet, upload
from accelmnist.device import Device, threads_in_force
from accelmnist.device.ranks import Ranks
from accelmnist.sweep.trials.trial import Shared, Trial, TrialResult
from accelmnist.training.agreement import hash_of
from accelmnist.training.reference.audit import Audit
from accelmnist.training.reference.images import split_indexes

PART_WINDOWS = 16  # of a brief audit
_CLOCKS_APART = 1e-3  # two hosts' clocks
_PAUSE_S = 0.02  # between two looks at what others told

Part = Callable[[Sequence[Trial], Iterator[Trial], Shared, int | None], Iterator[TrialResult]]


@dataclass(frozen=True)
class Deal:
    """Trainings to share: on the images of `base`, with the hashes `images`, and with the audits chosen, by key."""

    trials: tuple[Trial, ...]
    base: RunConfig
    images: tuple[str, str]
    audits: Mapping[str, Audit]
    workers: int | None


@dataclass(frozen=True)
class Begun:
    """A rank begins its part of a deal, with as many trainings side by side."""

    host: str
    device: str
    threads: int


@dataclass(frozen=True)
class Over:
    """A rank has nothing left to do of a deal."""


Message = tuple[str, EpochFigures] | TrialResult | Begun | Over | BaseException


@dataclass
class _RankTally:
    """What a rank did: when it was last heard of, in seconds at work, and what it trained until then."""

    begun: Begun | None = None
    trainings: int = 0
    images: float = 0.0
    trained_s: float = 0.0
    at_work_s: float = 0.0


def hashes_of(training: ImageSet, probe: ImageSet) -> tuple[str, str]:
    """Of the images that train, and of those whose accuracy each epoch tells."""
    return hash_of(training), hash_of(probe)


class Dealer:
    """Rank 0's side: deals trainings on the images of `base` out to `ranks`, itself among them.

    What is wrong with what they tell is added to `faults`; `on_lost` is told of a rank that is done without.
    """

    def __init__(
        self, ranks: Ranks, base: RunConfig, *, faults: list[str], on_lost: Callable[[str], None] = lambda _line: None
    ) -> None:
        ranks.survive()
        self.ranks, self.base, self.faults, self.on_lost = ranks, base, faults, on_lost
        self._tallies = {rank: _RankTally() for rank in range(ranks.size)}
        self._mourned: set[int] = set()

    def train(
        self, trials: Sequence[Trial], shared: Shared, images: tuple[str, str], part: Part, *, workers: int | None
    ) -> Iterator[TrialResult]:
        """Let all ranks train `trials` by `part`, and yield the results as they come; `images` are the hashes."""
        left = {trial.key: trial for trial in trials}
        while left and not shared.should_stop():
            audits = {key: audit for key, trial in left.items() if (audit := shared.audit(trial)) is not None}
            deal = Deal(tuple(left.values()), self.base, images, audits, workers)
            for result in self._deal(deal, shared, part):
                if left.pop(result.key, None) is None:
                    self.faults.append(f"{result.key} was trained twice, or by nobody's order")
                else:
                    yield result

    def figures(self) -> tuple[RankFigures, ...]:
        """What each rank did, as far as it was heard of."""
        return tuple(
            RankFigures(
                rank=rank,
                host=tally.begun.host,
                device=tally.begun.device,
                threads=tally.begun.threads,
                trainings=tally.trainings,
                images_per_s=tally.images / tally.at_work_s if tally.images else None,
            )
            for rank, tally in self._tallies.items()
            if tally.begun is not None
        )

    def _deal(self, deal: Deal, shared: Shared, part: Part) -> Iterator[TrialResult]:
        number = int(self.ranks.store.add("deals", 1))
        table, told, started = Table(self.ranks, number), SimpleQueue[Message](), time.perf_counter()
        before = {rank: tally.at_work_s for rank, tally in self._tallies.items()}
        self.ranks.post(table.key, deal)
        own = Thread(target=_take_part, args=(table, deal, shared, part, told.put), name="rank 0's part")
        own.start()
        try:
            for rank, message in self._messages(table, told, shared.should_stop, len(deal.trials)):
                if isinstance(message, BaseException):
                    raise message
                if isinstance(message, TrialResult):
                    self._count(rank, message, before[rank] + time.perf_counter() - started, deal.workers)
                    yield message
                elif isinstance(message, Begun):
                    self._tallies[rank].begun = message
                elif isinstance(message, tuple):
                    shared.on_epoch(*message)
        finally:
            table.give_up(len(deal.trials))
            own.join()

    def _messages(
        self, table: Table, told: SimpleQueue[Message], should_stop: Callable[[], bool], count: int
    ) -> Iterator[tuple[int, Message]]:
        """What ranks tell, until each has told that it is over, or is lost."""
        working, is_stopped = set(range(self.ranks.size)) - self.ranks.without.keys(), False
        heard = dict.fromkeys(working, 0)
        while working:
            if not is_stopped and should_stop():
                table.stop(count)
                is_stopped = True
            lost = working & self.ranks.without.keys()  # before what they told, which they may have done since
            found = [(0, told.get()) for _ in range(told.qsize())]
            for rank in sorted(working - {0}):
                while message := table.told(rank, heard[rank]):
                    heard[rank] += 1
                    found.append((rank, *message))
            working -= {rank for rank, message in found if isinstance(message, Over)} | lost
            yield from found
            for rank in sorted(self.ranks.without.keys() - self._mourned):
                self._mourned.add(rank)
                self.on_lost(self.ranks.without[rank])
            if not found:
                self.ranks.require_all()
                time.sleep(_PAUSE_S)

    def _count(self, rank: int, result: TrialResult, at_work_s: float, workers: int | None) -> None:
        tally = self._tallies[rank]
        assert tally.begun is not None
        tally.trainings += 1
        tally.images += math.fsum(epoch.train_s * epoch.images_per_s for epoch in result.epochs)
        tally.trained_s += result.train_s
        tally.at_work_s = at_work_s
        at_once = max(tally.begun.threads, workers or 0)
        if tally.trained_s > at_work_s * at_once * (1 + _CLOCKS_APART):
            self.faults.append(
                f"rank {rank} was at work for {at_work_s:.4g} s, its trainings for {tally.trained_s:.4g}"
            )


class Table:
    """Where deal number `number` lies in the store, as every rank sees it."""

    def __init__(self, ranks: Ranks, number: int) -> None:
        self.ranks, self.key = ranks, f"deal/{number}"

    def is_laid(self) -> bool:
        """Whether there is a deal."""
        return bool(self.ranks.store.check([self.key]))

    def deal(self) -> Deal:
        """The deal, which stays for others."""
        (found,) = self.ranks.posted(self.key, keep=True)
        assert isinstance(found, Deal)
        return found

    def taken(self, trials: Sequence[Trial]) -> Iterator[Trial]:
        """One training after the other, each of them given to one rank alone."""
        while (place := int(self.ranks.store.add(f"{self.key}/next", 1)) - 1) < len(trials):
            yield trials[place]

    def stop(self, count: int) -> None:
        """Let none of the `count` trainings begin any more."""
        self.ranks.store.add(f"{self.key}/next", count)

    def give_up(self, count: int) -> None:
        """Let those that are under way end with their epoch, and none begin."""
        self.stop(count)
        self.ranks.store.set(f"{self.key}/given up", "")

    def is_given_up(self) -> bool:
        """Whether nobody waits for what comes of it."""
        return bool(self.ranks.store.check([f"{self.key}/given up"]))

    def teller(self) -> Callable[[Message], None]:
        """How this rank, which is not the first, tells rank 0."""
        count = 0

        def tell(message: Message) -> None:
            nonlocal count
            self.ranks.post(f"{self.key}/told/{self.ranks.rank}/{count}", message)
            count += 1

        return tell

    def told(self, rank: int, number: int) -> list[Any]:
        """What `rank` told under its own `number`, if it did."""
        return self.ranks.posted(f"{self.key}/told/{rank}/{number}")


def _take_part(table: Table, deal: Deal, shared: Shared, part: Part, tell: Callable[[Message], None]) -> None:
    """Do this rank's part of `deal`, and tell what comes of it; an exception too, where it isn't the main thread."""

    def on_epoch(key: str, figures: EpochFigures) -> None:
        if table.is_given_up():
            raise CancelledError
        tell((key, figures))

    ranks = table.ranks
    try:
        tell(Begun(ranks.host, str(shared.device), threads_in_force(None)))
        own = replace(shared, on_epoch=on_epoch, should_stop=table.is_given_up)
        for result in part(deal.trials, table.taken(deal.trials), own, deal.workers):
            tell(result)
        tell(Over())
    except CancelledError:
        tell(Over())
    except BaseException as error:
        if not ranks.is_first:
            raise
        tell(error)


# --- the other ranks


def serve(ranks: Ranks, device_of: Callable[[RunConfig], Device], part: Part) -> None:
    """Do what rank 0 deals out, by `part`, until it has ended, on the device that `device_of` gives for a deal's base.

    Raises RankError if rank 0 is lost, DataError where the images are not its own, and what the images' loading raises.
    """
    ranks.survive()
    helper, number = _Helper(ranks, device_of), 1
    while True:
        table = Table(ranks, number)
        ranks.wait_until(lambda: table.is_laid() or ranks.is_over, every_s=_PAUSE_S)  # noqa: B023 - called here alone
        if not table.is_laid():
            return
        deal = table.deal()
        tell = table.teller()
        _take_part(table, deal, helper.shared_for(deal), part, lambda message: tell(_sent(message)))  # noqa: B023
        number += 1


@dataclass
class _Helper:
    """What a rank that is not the first keeps between deals: its images, and whether it was audited."""

    ranks: Ranks
    device_of: Callable[[RunConfig], Device]
    audited: bool = False
    known: dict[tuple[str, str], tuple[Shared, ImageSet]] = field(default_factory=dict)

    def shared_for(self, deal: Deal) -> Shared:
        """The images that `deal` is about, which have to be those of rank 0, and the audits."""
        if deal.images not in self.known:
            self.known = {deal.images: self._load(deal)}
        shared, images = self.known[deal.images]
        return replace(shared, audit=lambda trial: self._audit_of(trial, deal, images))

    def _load(self, deal: Deal) -> tuple[Shared, ImageSet]:
        config = deal.base
        dataset = load_in_background(config.data, seed=config.training.seed)()
        found = load_images(config, lambda: dataset)
        if hashes_of(found.training, found.probe) != deal.images:
            raise DataError(
                f"the images on {self.ranks.host} are not those of rank 0", remedy="Give all ranks the same files"
            )
        kept, _ = split_indexes(dataset.train.labels, config.data.validation, seed=config.training.seed)
        device = self.device_of(config)
        shared = Shared(device=device, training=upload(found.training, device), probe=upload(found.probe, device))
        return shared, dataset.train.part(kept)

    def _audit_of(self, trial: Trial, deal: Deal, images: ImageSet) -> Audit | None:
        audit = deal.audits.get(trial.key)
        if audit is not None:
            audit.see(images)
        elif deal.audits and not self.audited:
            audit = Audit(trial.config, images, PART_WINDOWS, brief=True)
        self.audited = self.audited or audit is not None
        return audit


def _sent(message: Message) -> Message:
    """What goes to rank 0: an audit with its steps replayed, a network from the host's memory."""
    if isinstance(message, TrialResult):
        if message.audit is not None:
            message.audit.replay()
        return replace(message, model=None if message.model is None else message.model.cpu())
    return message
