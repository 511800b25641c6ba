"""What runs in a device's own process: it prepares a training, proves it, and replays it as it is told.

Requests and answers are lines of JSON, as a benchmark's other sides speak them (`measure.beside.protocol`): `prepare`,
`prove` and `replay` are a soak's own.
"""

from __future__ import annotations

import gc
import time
from typing import Any

import msgspec

from accelmnist.core.config import RunConfig
from accelmnist.core.errors import ConfigError, DataError, DeviceError, EngineError, UnsupportedError
from accelmnist.core.records import Verdict
from accelmnist.data.mnist import load_in_background
from accelmnist.data.split import load_images
from accelmnist.device import keep_freed_memory
from accelmnist.engines.contract import Job
from accelmnist.engines.own.faults import engine_errors
from accelmnist.engines.plan import TrainingPlan
from accelmnist.measure.beside.protocol import Answer, Request
from accelmnist.measure.beside.serving import Server
from accelmnist.measure.soak.record import Fault
from accelmnist.measure.soak.replays import Replays
from accelmnist.training.execute import execute
from accelmnist.training.loop import prepare
from accelmnist.training.run import Observer, RunRequest, choose_setup


class Prepared(Answer, frozen=True):
    """The training is ready: by which engine, on how many threads, the images that it is shown, and about how long."""

    engine: str = ""
    reason: str = ""
    threads: int = 1
    images: int = 0
    segment_steps: int = 1
    replay_s: float = 0.0


class Proven(Answer, frozen=True):
    """The full verdict on the training, and its accuracy on the test set."""

    verdict: Verdict | None = None
    accuracy: float | None = None


class Played(Answer, frozen=True):
    """Replays that were done: the images a second of each that came to its end, faults, and the digest of the last."""

    replays: int = 0
    wrong: int = 0
    images_per_s: tuple[float, ...] = ()
    faults: tuple[Fault, ...] = ()
    fingerprint: str | None = None
    deterministic: bool | None = None


class SoakWorker(Server):
    """One device's."""

    def hello(self) -> Request:
        """Nothing of a worker's versions is needed: it is this program."""
        return {}

    def prepare(self, config: dict[str, Any], done: int) -> Request:
        """Make the training ready on the device that `config` names; `done` replays are behind it."""
        try:
            self._setup = choose_setup(msgspec.convert(config, RunConfig))
            run, device, engine = self._setup.config, self._setup.device, self._setup.engine.engine
            keep_freed_memory()
            self._dataset = load_in_background(run.data, seed=run.training.seed)()
            images = load_images(run, lambda: self._dataset).training
        except (ConfigError, DataError, EngineError, UnsupportedError) as error:  # who asks is wrong, and no device
            return {"unsupported": str(error)}
        with engine_errors(engine.own_file):
            job = Job(run, device, images)
            self._replays = Replays(job, prepare(engine, job), done=done)
        gc.collect()
        gc.freeze()
        plan = TrainingPlan(run, len(job))
        return {
            "engine": self._setup.engine.name,
            "reason": self._setup.engine.reason,
            "threads": run.execution.threads or 1,
            "images": plan.steps * run.training.batch_size * run.training.epochs,
            "segment_steps": self._replays.every,
            "replay_s": self._replays.step_s * plan.steps * run.training.epochs,
        }

    def prove(self) -> Request:
        """Train as `accelmnist run` does, and judge it by all that a run is held to."""
        request = RunRequest(config=self._setup.config, load=lambda: self._dataset)
        record = execute(request, self._setup, _Nobody).record
        gc.collect()
        if record.verdict is None or record.metrics is None:
            raise DeviceError(record.message or "the proof ended without a verdict")
        return {"verdict": msgspec.to_builtins(record.verdict), "accuracy": record.metrics.accuracy}

    def replay(self, for_s: float, most: int | None) -> Request:
        """Replay for about so many seconds, once at least, and `most` times at most."""
        began, longest_s, count = time.monotonic(), 0.0, 0
        speeds, faults = list[float](), list[Fault]()
        while True:
            started = time.monotonic()
            with engine_errors(self._setup.engine.engine.own_file):
                replayed = self._replays.replay()
            count += 1
            speeds += [] if replayed.images_per_s is None else [replayed.images_per_s]
            faults += [] if replayed.fault is None else [replayed.fault]
            now = time.monotonic()
            longest_s = max(longest_s, now - started)
            if count == most or now - began + longest_s / 2 > for_s:
                break
        return {
            "replays": count,
            "wrong": len(faults),
            "images_per_s": speeds,
            "faults": msgspec.to_builtins(faults),
            "fingerprint": self._replays.fingerprint,
            "deterministic": self._replays.deterministic,
        }


class _Nobody(Observer):
    """Who is told of the proof's training."""
