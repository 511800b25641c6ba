"""Which engine runs a job: the one asked for, or by a stated rule.

The rule of `auto` today is `eager`: a default run trains for seconds, and compiling takes longer than it saves.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

from accelmnist.config import AUTO, ENGINES, RunConfig
from accelmnist.device import Device
from accelmnist.errors import DeviceError
from accelmnist.step.contract import Engine


@dataclass(frozen=True)
class EngineChoice:
    """The engine that will run, and why this one."""

    name: str
    engine: type[Engine]
    reason: str


def engine_class(name: str) -> type[Engine]:
    """The engine in `accelmnist/engines/<name>.py`."""
    engine: type[Engine] = import_module(f"accelmnist.engines.{name}").ENGINE
    return engine


def choose_engine(config: RunConfig, device: Device) -> EngineChoice:
    """The engine for `config` on `device`; raises DeviceError where the one asked for can't, naming those that can."""
    asked = config.execution.engine
    if asked == AUTO:
        return EngineChoice(
            "eager", engine_class("eager"), "a short run ends before compiling would pay; see --compile"
        )
    chosen = engine_class(asked)
    refusal = chosen.unsupported(config, device)
    if refusal is None:
        return EngineChoice(asked, chosen, f"asked for: {chosen.summary}")
    work = [name for name in ENGINES if engine_class(name).unsupported(config, device) is None]
    raise DeviceError(
        f"--engine {asked} can't run this on {device}: {refusal}", remedy=f"Choose one of {', '.join(work)}"
    )
