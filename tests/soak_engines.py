"""An engine that goes wrong as ACCELMNIST_TEST_FAULT says, in JSON: a flipped bit, a hang, a slow core, roundings.

A core and the processor as a whole have a fault each: {"core": {...}, "cpu": {...}}.

They do nothing of it in the training that is proven, which has a runner of its own.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch

from accelmnist.engines.contract import Engine, Job, Runner
from accelmnist.engines.eager import EagerEngine
from accelmnist.engines.plan import HostEpoch
from accelmnist.measure.soak.replays import TRIALS


class Faulty(Engine):
    """Eager, but for the fault; replays are counted from 1 by how often the start was put back."""

    made: ClassVar[int] = 0

    @classmethod
    def unsupported(cls, config: Any, device: Any) -> str | None:
        return EagerEngine.unsupported(config, device)

    @classmethod
    def prepare(cls, job: Job, sample: HostEpoch) -> Runner:
        cls.made += 1
        runner = EagerEngine.prepare(job, sample)
        return Faults(job, runner).runner if cls.made == 1 else runner


class Faults:
    def __init__(self, job: Job, runner: Runner, plan: dict[str, Any] | None = None) -> None:
        own = json.loads(os.environ.get("ACCELMNIST_TEST_FAULT", "{}"))
        self.plan = own.get("core" if "--core" in sys.argv else "cpu", {}) if plan is None else plan
        self.job, self.own, self.replay, self.step = job, runner, -TRIALS, 0  # trials of segments come first
        self.chance = torch.Generator().manual_seed(os.getpid())
        # A start is put back by the one or by the other.
        put_back = None if runner.put_back is None else self.counted(runner.put_back)
        load_state = runner.load_state if put_back else self.counted(runner.load_state)
        self.runner = replace(runner, train_epoch=self.train_epoch, load_state=load_state, put_back=put_back)

    def counted(self, start: Callable[[Any], None]) -> Callable[[Any], None]:
        def started(state: Any) -> None:
            self.replay, self.step = self.replay + 1, 0
            start(state)

        return started

    def train_epoch(self, part: Any) -> Any:
        losses, first = [], 0
        for number in range(1, len(part) + 1):
            self.step += 1
            if self.replay in self.plan.get("replays", [self.replay]) and self.step == self.plan.get("step", self.step):
                losses.append(self.own.train_epoch(part[first:number]))
                self.go_wrong()
                first = number
        losses += [self.own.train_epoch(part[first:])] if first < len(part) else []
        return np.concatenate(losses) if isinstance(losses[0], np.ndarray) else torch.cat(losses)

    @torch.no_grad()
    def go_wrong(self) -> None:
        kind = self.plan.get("kind")
        if kind == "flip" and self.replay > 0:
            self.flip(self.plan["tensor"], self.plan["index"], self.plan["bit"])
        elif kind == "flips" and self.replay > 0:
            for flip in self.plan["flips"]:
                self.flip(*flip)
        elif kind == "roundings":
            for weight in self.job.model.parameters():
                weight.mul_(1 + 2.0**-23 * torch.randint(0, 2, weight.shape, generator=self.chance))
        elif kind == "hang" and self.replay > 0:
            time.sleep(3600)
        elif kind == "vanish" and self.replay > 0:
            os.kill(os.getpid(), signal.SIGKILL)
        elif kind == "slow" and self.replay > 0 and os.sched_getaffinity(0) == {self.plan["slow"]}:
            time.sleep(0.01)

    def flip(self, tensor: str, index: int, bit: int) -> None:
        bits = self.job.model.get_parameter(tensor).view(torch.int32).view(-1)
        bits[index] ^= 1 << bit if bit < 31 else -(1 << 31)
