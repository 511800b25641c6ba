"""A device of a soak as this process knows it: its own process over there, what is asked of it, and what it said."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median
from threading import Lock
from typing import TypeVar

import msgspec

from accelmnist.core.config import RunConfig
from accelmnist.core.errors import DeviceError
from accelmnist.core.text import brief
from accelmnist.measure.beside.other_process import Guard, OtherProcess
from accelmnist.measure.beside.protocol import Answer
from accelmnist.measure.plan import Side
from accelmnist.measure.soak.plan import SoakConfig, Target
from accelmnist.measure.soak.record import SoakDevice
from accelmnist.measure.soak.worker import Played, Prepared, Proven

TO_START_S = 600.0  # for loading, compiling, and the proof: the longest wait of each
_MOST_TIMES = 10  # that a replay may take longer than the longest so far
_MOST_FAULTS = 20  # that are kept; all are counted

Reply = TypeVar("Reply", bound=Answer)


@dataclass(frozen=True)
class Turn:
    """What a device did in a round."""

    replays: int
    images_per_s: float | None


class Station:
    """One device. Whatever happens to its process, `device` says so, and asking it again does nothing.

    All that is known of the device is `device`: what is read of it and concluded elsewhere comes here by `update`.
    """

    def __init__(self, target: Target, config: SoakConfig, device: SoakDevice) -> None:
        self.target, self.config, self.device = target, config, device
        self.longest_s = 0.0  # of a replay
        self._is_closing, self._lock = False, Lock()
        self._process: OtherProcess | None = None
        self._before = device.fingerprints  # of earlier processes

    @property
    def is_there(self) -> bool:
        """Whether it can be asked to work."""
        return self.device.status in ("waiting", "working")

    def start(self, guard: Guard) -> None:
        """Start its process, which loads while others do, and which the guard ends with this one."""
        core = self.target.core
        self._process = OtherProcess(
            Side(name="soak", command=shlex.quote(sys.executable)),
            threads=self.target.threads or 1,
            watch=guard,
            options=("--soak", *(() if core is None else ("--core", str(core)))),
        )

    def prepare(self) -> None:
        """Have its training made ready."""
        execution = replace(
            self.config.run.execution,
            device=self.target.device,
            engine=self.device.engine or self.config.run.execution.engine,
            threads=self.target.threads or self.config.run.execution.threads,
        )
        run: RunConfig = replace(self.config.run, execution=execution)

        def ready(process: OtherProcess) -> Prepared:
            process.within_s = max(TO_START_S, self.config.patience_s)
            process.greet()
            return process.ask(Prepared, "prepare", config=msgspec.to_builtins(run), done=self.device.replays)

        said = self._ask(ready)
        if said is not None and said.unsupported is not None:
            self.update(status="skipped", error=brief(said.unsupported))
        elif said is not None:
            self.longest_s = said.replay_s
            self.update(
                engine=said.engine,
                reason=said.reason,
                threads=said.threads,
                images=said.images,
                segment_steps=said.segment_steps,
                status="working",
            )

    def prove(self) -> None:
        """Have its training judged by all that a run is held to; what was judged in an earlier process stands."""
        if self.device.proof is None:
            said = self._ask(lambda process: process.ask(Proven, "prove"))
            if said is not None:
                self.update(proof=said.verdict, accuracy=said.accuracy)

    def work(self, for_s: float, most: int | None) -> Turn | None:
        """Have it replay for so many seconds, `most` times at most; None if nothing came of it."""

        def played(process: OtherProcess) -> Played:
            process.within_s = self.config.patience_s + for_s + _MOST_TIMES * self.longest_s
            return process.ask(Played, "replay", for_s=for_s, most=most)

        said = self._ask(played)
        if said is None:
            return None
        self._keep(said)
        speed = median(said.images_per_s) if said.images_per_s else None
        if speed is not None and self.device.images:
            self.longest_s = max(self.longest_s, self.device.images / min(said.images_per_s))
        return Turn(said.replays, speed)

    def update(self, **fields: object) -> None:
        """Set fields of the device; the threads that ask and the one that concludes do so at any time."""
        with self._lock:
            self.device = replace(self.device, **fields)  # type: ignore[arg-type]

    def kill(self) -> None:
        """End its process while another thread asks it, which is no fault of the device."""
        self._is_closing = True
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        """End its process for good."""
        if self._process is not None:
            self._process.end()
        if self.device.status == "working":
            self.update(status="done")

    def _keep(self, said: Played) -> None:
        device = self.device
        own = () if said.fingerprint is None else (said.fingerprint,)
        self.update(
            replays=device.replays + said.replays,
            wrong=device.wrong + said.wrong,
            faults=(*device.faults, *said.faults)[:_MOST_FAULTS],
            fingerprints=(*self._before, *own),
            deterministic=device.deterministic if said.deterministic is None else said.deterministic,
        )

    def _ask(self, ask: Callable[[OtherProcess], Reply]) -> Reply | None:
        """An answer of its process; None if it isn't there any more, or is lost by that: then it says why."""
        if self._process is None or not self.is_there:
            return None
        try:
            return ask(self._process)
        except DeviceError as error:
            if self._is_closing:
                return None
            # What a device did wrong once may be wrong from then on: a CUDA error stays in its process.
            self._process.end()
            status = "lost" if self.device.replays else "refused"
            self.update(status=status, error=str(error))
        return None
