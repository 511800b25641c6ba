"""The ranks of one program that several processes run together: who is here, what they sum, who failed.

torchrun starts them and says in the environment who is who; torch.distributed carries their sums: gloo on the CPU,
NCCL on CUDA. Everything but sums goes over a second group, which is gloo's always, so that what ranks tell one another
never meets their gradients.

A rank that ends leaves the others waiting for its part of a sum. So every rank beats: a thread writes a number into the
rendezvous' store and reads the others'. Whoever fails says so there first; a process that is gone from this host, or
silent, is named by who finds it. The rank that enters the first failure tells it, the others end in silence. One that
is cut off from the store itself ends on its own. Ranks that wait for nobody's part, since each does what it is dealt,
`survive`: rank 0 finds who is lost, and the others go on.

Sources: pytorch.org/docs, "torch.distributed" and "torchrun" (the environment's variables, the agent's store).
"""

from __future__ import annotations

import contextlib
import os
import pickle
import re
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from queue import Empty, Queue
from typing import TYPE_CHECKING, Any, TypeVar

from accelmnist.core.errors import ConfigError, DeviceError, RankError, headline
from accelmnist.core.text import brief

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Told = TypeVar("Told")

JOIN_S = 60.0  # to meet at the rendezvous
_LATE_S = 5.0  # after which torch is known not to keep that time
_WAIT_S = 45.0  # for the others in a sum
_BEAT_S = 1.0
_SILENT_S = 15.0  # without a beat a rank counts as lost
_CUT_OFF_S = 30.0  # without an answer of the store a rank counts itself as lost
_GRACE_S = 5.0  # in which the program has to end once a rank is lost, before the thread that beats ends it
_NAMED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_FAILED, _PRESENT, _BEAT, _ENDED, _KNOWN, _WITHOUT = "failed", "present", "beat", "ended", "known", "without"
_PART_BYTES = 2**22  # of what is posted: the store takes 8 MB at once


@dataclass(frozen=True)
class Place:
    """Where this process stands among the ranks, and how often they were started again."""

    rank: int
    size: int
    local_rank: int
    local_size: int
    restarts: int = 0

    def __str__(self) -> str:
        return f"rank {self.rank} of {self.size}"


def place_here(variables: Mapping[str, str] = os.environ) -> Place | None:
    """What torchrun says of this process; None where nobody started ranks. Raises ConfigError for half of it."""
    if not variables.get("RANK") and not variables.get("WORLD_SIZE"):
        return None
    given = [name for name in _NAMED if variables.get(name)]
    missing = [name for name in _NAMED if name not in given]
    if missing:
        raise ConfigError(
            f"{' and '.join(given)} {'says' if len(given) == 1 else 'say'} that there are ranks, but "
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set",
            remedy="Start with torchrun, or unset them",
        )
    local = {"LOCAL_RANK": variables["RANK"], "LOCAL_WORLD_SIZE": variables["WORLD_SIZE"]}
    local |= {"TORCHELASTIC_RESTART_COUNT": "0"}
    values = {name: variables.get(name) or local.get(name, "") for name in (*_NAMED, *local) if name != "MASTER_ADDR"}
    wrong = [f"{name}={value}" for name, value in values.items() if not value.isdecimal()]
    if wrong:
        raise ConfigError(f"{wrong[0]} is no number", remedy="Start with torchrun")
    rank, size, port, local_rank, local_size, restarts = map(int, values.values())
    if not (rank < size and local_rank < local_size <= size and 0 < port < 2**16):
        raise ConfigError(
            f"{', '.join(f'{name}={value}' for name, value in values.items())} can't all be right",
            remedy="Start with torchrun",
        )
    return Place(rank, size, local_rank, local_size, restarts)


class Ranks:
    """This process among the others: its `place`, and what they do together. A single one does it alone."""

    def __init__(self, place: Place, *, device: torch.device | None = None, store: Any = None) -> None:
        self.place, self.rank, self.size = place, place.rank, place.size
        self.host = socket.gethostname()
        self.backend = "none"
        self._store = store
        self._sums: Any = None
        self._words: Any = None
        self._watcher: _Watcher | None = None
        self._meetings = 0
        self.survives = False
        self.without: dict[int, str] = {}  # lost ranks, with what happened to each, where that is survived
        self.on_lost: Callable[[], None] = lambda: None  # told when a rank is lost, by the thread that beats
        self.on_give_up: Callable[[str], None] = lambda _line: None  # told before that thread ends the process for it
        if store is not None:
            self._join(store, device)

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0, which alone prints and writes."""
        return self.rank == 0

    @property
    def name(self) -> str:
        """This rank for people."""
        return f"rank {self.rank} of {self.size}, {self.host}"

    @property
    def sharers(self) -> int:
        """How many ranks share this one's cores, itself among them: a launcher may have bound each to its own."""
        if self._watcher is None:
            return self.place.local_size
        own = cores_of(os.getpid())
        return min(self.place.local_size, sum(bool(own & cores_of(one)) for one in self._watcher.processes_here()))

    @property
    def carrier(self) -> str:
        """What carries the sums, with its version; gloo has torch's."""
        if self.backend != "nccl":
            return self.backend
        import torch

        return f"nccl {'.'.join(map(str, torch.cuda.nccl.version()))}"  # type: ignore[no-untyped-call]

    def _join(self, store: Any, device: torch.device | None) -> None:
        import torch.distributed as dist

        on_cuda = device is not None and device.type == "cuda"
        store.set(f"{_PRESENT}/{self.rank}", f"{self.host}|{_machine()}|{os.getpid()}")
        dist.init_process_group(
            "gloo", store=store, rank=self.rank, world_size=self.size, timeout=timedelta(seconds=_WAIT_S)
        )
        self._words = dist.group.WORLD
        self.backend = "nccl" if on_cuda else "gloo"
        self._sums = dist.new_group(backend=self.backend, timeout=timedelta(seconds=_WAIT_S))
        self._watcher = _Watcher(self, store)

    def first(self, count: int) -> Ranks | None:
        """The first `count` of them by themselves, None for the others; all have to call it, in the same order."""
        if count == self.size:
            return self
        own = Ranks(Place(self.rank, count, self.place.local_rank, min(self.place.local_size, count)))
        if count > 1:
            import torch.distributed as dist

            waits, members = timedelta(seconds=_WAIT_S), list(range(count))
            own._words = dist.new_group(members, backend="gloo", timeout=waits)
            own._sums = dist.new_group(members, backend=self.backend, timeout=waits)
            own.backend, own._watcher = self.backend, self._watcher
            own._store = dist.PrefixStore(f"first/{count}", self._store)  # type: ignore[attr-defined]
        return own if self.rank < count else None

    # --- what they do together

    def add(self, numbers: Tensor) -> None:
        """Sum `numbers`, of one shape on every rank, over all ranks: in place, the same bits on each."""
        if self.size > 1:
            import torch.distributed as dist

            with self._waiting():
                dist.all_reduce(numbers, op=dist.ReduceOp.SUM, group=self._sums)

    def collect(self, numbers: Tensor) -> list[Tensor]:
        """The `numbers` of every rank, of one shape on each, by rank."""
        if self.size == 1:
            return [numbers]
        import torch
        import torch.distributed as dist

        found = [torch.empty_like(numbers) for _ in range(self.size)]
        with self._waiting():
            dist.all_gather(found, numbers, group=self._sums)
        return found

    def exchange(self, numbers: Tensor) -> Tensor:
        """Send each rank its part of `numbers`, as long for each; returns the parts that they sent here, by rank."""
        if self.size == 1:
            return numbers
        import torch
        import torch.distributed as dist

        found = torch.empty_like(numbers)
        with self._waiting():
            dist.all_to_all_single(found, numbers, group=self._sums)
        return found

    def tell(self, value: Told) -> list[Told]:
        """What every rank tells, by rank: anything that can be pickled."""
        if self.size == 1:
            return [value]
        import torch.distributed as dist

        found: list[Any] = [None] * self.size
        with self._waiting():
            dist.all_gather_object(found, value, group=self._words)
        return found

    def meet(self) -> None:
        """Wait for all ranks, for as long as they are alive: what one does alone may take its time."""
        if self.size > 1:
            self._meetings += 1
            key = f"meeting/{self._meetings}"
            self._store.add(key, 1)
            self.wait_until(lambda: int(self._store.add(key, 0)) >= self.size)

    def wait_until(self, holds: Callable[[], bool], *, every_s: float = 0.1) -> None:
        """Wait, looking as often at least, for as long as all ranks are alive; raises RankError when one is lost."""
        pause = 0.001
        with self._waiting():
            while not holds():
                self.require_all()
                time.sleep(pause)
                pause = min(pause * 1.5, every_s)

    @property
    def store(self) -> Any:
        """The store of the rendezvous, for what ranks write down for one another."""
        assert self._store is not None
        return self._store

    def post(self, key: str, value: Any) -> None:
        """Write `value`, anything that can be pickled, under `key` into the store, for whoever takes it."""
        data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        parts = [data[start : start + _PART_BYTES] for start in range(0, len(data), _PART_BYTES)]
        for number, part in enumerate(parts):
            self.store.set(f"{key}/{number}", part)
        self.store.set(key, str(len(parts)))

    def posted(self, key: str, *, keep: bool = False) -> list[Any]:
        """What was posted under `key`, if it is there whole; it is removed, unless others are to take it too."""
        if not self.store.check([key]):
            return []
        keys = [f"{key}/{number}" for number in range(int(self.store.get(key)))]
        value = pickle.loads(b"".join(bytes(self.store.get(part)) for part in keys))
        for one in [] if keep else [key, *keys]:
            self.store.delete_key(one)
        return [value]

    # --- who failed

    @property
    def lost(self) -> str:
        """What is known of a rank that failed; empty while all are well."""
        return "" if self._watcher is None else self._watcher.lost

    @property
    def told_here(self) -> bool:
        """Whether it is this rank that tells it."""
        return self._watcher is None or self._watcher.told_here

    def survive(self) -> None:
        """From now on go on without ranks that are lost, but for rank 0: nothing waits for all any more."""
        self.survives = True

    @property
    def is_over(self) -> bool:
        """Whether rank 0 has ended."""
        return bool(self.store.check([_ENDED]))

    def require_all(self) -> None:
        """Raise RankError if a rank is known to be lost."""
        if self.lost:
            raise RankError(self.lost, told_here=self.told_here)

    def find(self, otherwise: str) -> str:
        """What is lost, as far as a few seconds tell; else it is what `otherwise` says."""
        return otherwise if self._watcher is None else self._watcher.find(otherwise)

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        """Within, this rank waits for others: what torch says of a lost one becomes a RankError that names it."""
        try:
            yield
        except RuntimeError as error:
            cause = re.sub(r"^\[\S+\] ", "", headline(error))  # without the line of gloo's source
            cause = brief(cause).partition(". ")[0]
            lost = self.find(f"{self.name} lost its connection to the others: {cause}")
            raise RankError(lost, told_here=self.told_here) from error

    def fail(self, line: str) -> bool:
        """Enter that this rank failed; whether it is the first to say so, and therefore the one to tell it."""
        return self._watcher is None or self._watcher.enter(line)

    def end(self, code: int) -> int:
        """The exit code of all: rank 0 gives its own, and every other waits for that."""
        if self.size == 1:
            return code
        if self.is_first:
            self._store.set(_ENDED, str(code))
        else:
            self.wait_until(lambda: bool(self._store.check([_ENDED])))
            code = int(self._store.get(_ENDED))
        self._store.add("left", 1)
        if self.is_first:  # it may hold the store
            self.wait_until(lambda: int(self._store.add("left", 0)) >= self.size - len(self.without))
        self.leave()
        return code

    def leave(self) -> None:
        """Stop beating; what others wait for is not there any more. Of a failure all know by then."""
        if self._watcher is not None:
            self._watcher.wait_until_known()
            self._watcher.stop()


def join(place: Place, *, device: torch.device | None = None, timeout_s: float = JOIN_S) -> Ranks:
    """Meet the others at the rendezvous that the environment names; raises DeviceError where that fails in time."""
    if place.size == 1:
        return Ranks(place)
    import torch.distributed as dist

    if not dist.is_available() or not dist.is_gloo_available():
        raise DeviceError("this torch was built without torch.distributed's gloo", remedy="Install another build")
    where = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
    try:
        store = dist.PrefixStore(f"accelmnist/{place.restarts}", _store_of_all(place, timeout_s))  # type: ignore[attr-defined]
        store.set_timeout(timedelta(seconds=timeout_s))
        return Ranks(place, device=device, store=store)
    except (RuntimeError, ValueError, OSError) as error:
        cause = headline(error).partition(" C++")[0]
        is_taken = "EADDRINUSE" in str(error) or "address already in use" in str(error).lower()
        cause = "the port is in use" if is_taken else cause
        remedy = "Give another --master-port" if is_taken else "Start all ranks, with one address that each can reach"
        raise DeviceError(f"{place} can't meet the others at {where}: {brief(cause)}", remedy=remedy) from error


def _store_of_all(place: Place, timeout_s: float) -> Any:
    """The store of the rendezvous. A thread waits for it: a foreign program at the port may let it wait for ever."""
    from torch.distributed.rendezvous import rendezvous

    found: Queue[Any] = Queue()

    def meet() -> None:
        try:
            found.put(next(rendezvous("env://", place.rank, place.size, timeout=timedelta(seconds=timeout_s)))[0])
        except (RuntimeError, ValueError, OSError) as error:
            found.put(error)

    threading.Thread(target=meet, daemon=True).start()
    try:
        store = found.get(timeout=timeout_s + _LATE_S)
    except Empty:
        raise OSError("nothing that answers is one of them") from None
    if isinstance(store, Exception):
        raise store
    return store


class _Watcher:
    """The thread that beats for its rank and listens to the others; `lost` is what it found to be wrong."""

    def __init__(self, ranks: Ranks, store: Any) -> None:
        self.lost, self.told_here = "", False
        self._ranks = ranks
        self._store = store.clone() if hasattr(store, "clone") else store  # a wait of the other would hold it up
        self._heard = dict.fromkeys(range(ranks.size), ("", time.monotonic()))
        self._processes = dict(map(self._process_of, range(ranks.size)))  # known before the store can be gone
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._beats = 0
        self._launcher = os.getppid() if "TORCHELASTIC_RUN_ID" in os.environ else None
        for work in (self._run, self._guard):
            threading.Thread(target=work, daemon=True, name="ranks").start()

    def _process_of(self, rank: int) -> tuple[int, tuple[str, str, int]]:
        """A rank with its host, its machine and its process there: all have met, so it is in the store."""
        host, machine, process = bytes(self._store.get(f"{_PRESENT}/{rank}")).decode().split("|")
        return rank, (host, machine, int(process))

    def processes_here(self) -> list[int]:
        """The processes of this machine's ranks."""
        return [process for _, machine, process in self._processes.values() if machine == _machine()]

    def stop(self) -> None:
        """Beat no more."""
        self._over.set()

    def enter(self, line: str) -> bool:
        """Enter `line` as the first failure, if there is none; whether it is."""
        with self._lock:
            if not self.lost:
                self.lost, self.told_here = line, True
                mine = f"{self._ranks.rank}|{line}"
                try:
                    first = bytes(self._store.compare_set(_FAILED, "", mine)).decode()
                    if first != mine:
                        self.lost, self.told_here = first.partition("|")[2], False
                    self._store.set(f"{_KNOWN}/{self._ranks.rank}", "")
                except RuntimeError:  # no store to agree by
                    self.told_here = self._is_lowest_here()
            return self.told_here

    def find(self, otherwise: str) -> str:
        """What was lost, or who doesn't answer, as far as a few seconds tell."""
        until, survived = time.monotonic() + 3 * _BEAT_S, self._ranks.without
        while not self.lost and not survived and time.monotonic() < until:
            time.sleep(0.05)
            self._look()
        if not self.lost:
            self.enter(next(iter(survived.values()), otherwise))
        return self.lost

    def wait_until_known(self) -> None:
        """Once a failure is entered: wait a little for ranks that don't know it yet: rank 0 may hold the store."""
        until = time.monotonic() + 3 * _BEAT_S
        ranks = range(self._ranks.size) if self.lost and self._ranks.is_first else ()
        with contextlib.suppress(RuntimeError):
            while time.monotonic() < until and not all(
                self._store.check([f"{_KNOWN}/{rank}"]) or self._why_lost(rank) for rank in ranks
            ):
                time.sleep(0.05)

    def _run(self) -> None:
        while not self._over.wait(_BEAT_S):
            self._beats += 1
            with contextlib.suppress(RuntimeError):
                self._store.set(f"{_BEAT}/{self._ranks.rank}", str(self._beats))
            self._look()
            if self.lost:
                self._ranks.on_lost()
                if not self._over.wait(_GRACE_S):
                    self._give_up()

    def _guard(self) -> None:
        """End the process of a rank that is cut off: what waits for the store's answer can't tell that none comes."""
        seen = waited = 0
        while not self._over.wait(_BEAT_S):
            seen, waited = self._beats, waited + 1 if self._beats == seen else 0
            if waited * _BEAT_S > _CUT_OFF_S:
                if not self.lost:
                    self.lost, self.told_here = self._why_no_answer(), True
                self._give_up(is_cut_off=True)

    def _give_up(self, *, is_cut_off: bool = False) -> None:
        """The program waits for what never comes: end it here, in one line."""
        with contextlib.suppress(Exception):
            self._ranks.on_give_up(self.lost)
        if self.told_here:
            sys.stderr.write(f"{'' if self._ranks.is_first else f'[{self._ranks.name}] '}error: {self.lost}\n")
            sys.stderr.flush()
        if not is_cut_off:
            self.wait_until_known()
        os._exit(RankError.exit_code)

    def _look(self) -> None:
        """Whether a rank failed, is gone from this host, or silent."""
        if self.lost or self._over.is_set():
            return
        try:
            if self._store.check([_FAILED]):
                with self._lock:
                    self.lost = bytes(self._store.get(_FAILED)).decode().partition("|")[2]
                self._store.set(f"{_KNOWN}/{self._ranks.rank}", "")
                return
            lost = self._look_at_each()
        except RuntimeError:
            lost = [self._why_no_store()]
        if lost:
            self.enter(lost[0])

    def _look_at_each(self) -> list[str]:
        """What happened to ranks without which it doesn't go on; where losses are survived, rank 0 enters the others.

        A rank that was counted as lost, and yet goes on, has to end.
        """
        ranks = self._ranks
        if not ranks.survives:
            return [line for rank in range(ranks.size) if (line := self._why_lost(rank))]
        if not ranks.is_first:
            mine = f"{_WITHOUT}/{ranks.rank}"
            if self._store.check([mine]):
                self.lost, self.told_here = f"{bytes(self._store.get(mine)).decode()}; the others went on", True
            return [line] if (line := self._why_lost(0)) else []
        for rank in range(1, ranks.size):
            if rank not in ranks.without and (line := self._why_lost(rank)):
                self._store.set(f"{_WITHOUT}/{rank}", line)
                ranks.without[rank] = line
        return []

    def _why_lost(self, rank: int) -> str:
        if rank == self._ranks.rank:
            return ""
        if (gone := self._why_gone(rank)) and not self._store.check([_ENDED]):
            return gone
        beat = f"{_BEAT}/{rank}"
        heard = bytes(self._store.get(beat)).decode() if self._store.check([beat]) else ""
        last, since = self._heard[rank]
        if heard != last:
            self._heard[rank] = heard, time.monotonic()
        elif time.monotonic() - since > _SILENT_S:
            return f"{self._who(rank)} has not answered for {_SILENT_S:.0f} s"
        return ""

    def _who(self, rank: int) -> str:
        return f"rank {rank} of {self._ranks.size} ({self._processes[rank][0]})"

    def _why_gone(self, rank: int) -> str:
        """That the process of `rank` is gone, where it was one of this machine."""
        _, machine, process = self._processes[rank]
        is_here = machine == _machine() and rank != self._ranks.rank
        return (
            f"{self._who(rank)} has ended: its process {process} is gone" if is_here and not _is_alive(process) else ""
        )

    def _is_lowest_here(self) -> bool:
        """Whether no lower rank of this machine goes on."""
        lower = [rank for rank, (_, machine, _) in self._processes.items() if machine == _machine()]
        return all(rank >= self._ranks.rank or self._why_gone(rank) for rank in lower)

    def _why_no_store(self) -> str:
        """The likely reason for a store that is not there any more: who held it, rank 0 or the launcher, is gone."""
        if self._launcher not in (None, os.getppid()):
            return f"the launcher on {self._ranks.host} has ended: its process {self._launcher} is gone"
        until = time.monotonic() + 3 * _BEAT_S  # a process that ends closes its connections before it is gone
        while not (gone := [line for rank in self._processes if (line := self._why_gone(rank))]):
            if time.monotonic() > until:
                break
            time.sleep(0.05)
        held = f"{self._who(0)}, or who started it, has ended, or {self._ranks.name} is cut off"
        return gone[0] if gone else f"the rendezvous is gone: {held}"

    def _why_no_answer(self) -> str:
        held = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
        holder = "its launcher" if held else self._who(0)
        silent = f"the rendezvous has not answered for {_CUT_OFF_S:.0f} s"
        return f"{silent}: {holder} hangs, or {self._ranks.name} is cut off"


@cache
def _machine() -> str:
    """What tells this machine from others that may have its name: processes of it can be looked up."""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    return str(uuid.getnode())


def cores_of(process: int) -> frozenset[int]:
    """The processors that `process` may run on; all where the system doesn't tell."""
    with contextlib.suppress(AttributeError, OSError):
        return frozenset(os.sched_getaffinity(process))
    return frozenset(range(os.cpu_count() or 1))


def _is_alive(process: int) -> bool:
    import psutil

    with contextlib.suppress(psutil.Error):
        return bool(psutil.Process(process).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD))
    return False


def unlike(told: Sequence[Mapping[str, Any]]) -> str | None:
    """The first thing that not all ranks tell alike, with both values; None if they agree."""
    for name in sorted({name for one in told for name in one}):
        for rank, one in enumerate(told):
            if one.get(name) != told[0].get(name):
                return f"{name} is {told[0].get(name)!r} on rank 0 and {one.get(name)!r} on rank {rank}"
    return None
