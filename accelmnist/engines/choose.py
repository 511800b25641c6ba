"""Which engine runs a job: the one asked for, or for `auto` the fastest by what was measured here, or by a rule.

`accelmnist bench` keeps what it measures (`engines/speeds.py`), right cases alone. If it has measured two engines or
more at something like the job, the one that would end soonest is taken, compiling included. Else the rule is the order
of `RULE`: on the CPU the native kernels, on CUDA replayed graphs, everywhere else and wherever those can't, eager.
Compiling never pays in a run of seconds, and is asked for by `--compile`.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

import accelmnist
from accelmnist.core.config import AUTO, ENGINES, ModelConfig, RunConfig, steps_per_epoch
from accelmnist.core.errors import AccelmnistError, DeviceError
from accelmnist.device import Device, cpu_instructions, processor, threads_in_force, torch_version
from accelmnist.engines.contract import Engine
from accelmnist.engines.speeds import BenchmarkSetting, FastestEngine, fastest, load_speeds

RULE = {"cpu": ("fused",), "cuda": ("cuda_graph",)}  # before eager, by the kind of device
MOST_COMPILE_S = 2.0  # of an engine that nobody asked for
_IMAGES = 60_000  # of an epoch: the choice is made before the data is read


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
    """The engine for `config` on `device`; raises DeviceError where the one asked for can't, naming those that can.

    The number of threads has to be set before: a speed holds for as many.
    """
    asked = config.execution.engine
    if asked == AUTO:
        return _measured_best(config, device) or _by_the_rule(config, device)
    chosen = engine_class(asked)
    refusal = chosen.unsupported(config, device)
    if refusal is None:
        return EngineChoice(asked, chosen, f"asked for: {chosen.summary}")
    work = [name for name in ENGINES if engine_class(name).unsupported(config, device) is None]
    raise DeviceError(
        f"--engine {asked} can't run this on {device}: {refusal}", remedy=f"Choose one of {', '.join(work)}"
    )


def _measured_best(config: RunConfig, device: Device) -> EngineChoice | None:
    """By the table, or None where it says nothing of this job or can't be read: it is only a convenience."""
    try:
        table = load_speeds()
    except AccelmnistError:
        return None

    def is_possible(name: str) -> bool:
        return name in ENGINES and engine_class(name).unsupported(config, device) is None

    training = config.training
    images = training.epochs * steps_per_epoch(_IMAGES, training.batch_size) * training.batch_size
    wanted = setting_of(config, device)
    pick = fastest(table, wanted, images=images, is_possible=is_possible, most_compile_s=MOST_COMPILE_S)
    return EngineChoice(pick.speed.engine, engine_class(pick.speed.engine), _reason(pick)) if pick else None


def _reason(pick: FastestEngine) -> str:
    best, second = pick.speed, pick.others[0]
    setting = best.setting
    what = "" if pick.is_alike else f" at {ModelConfig(hidden=setting.hidden)}, batch {setting.batch_size}"
    ratio = best.images_per_s / second.images_per_s
    return f"measured here on {best.measured}{what}: {ratio:.2g} times {second.engine}'s images/s"


def _by_the_rule(config: RunConfig, device: Device) -> EngineChoice:
    why = []
    for name in RULE.get(device.kind, ()):
        if name not in ENGINES:
            continue
        engine = engine_class(name)
        refusal = engine.unsupported(config, device)
        if refusal is None:
            return EngineChoice(name, engine, f"the rule: {engine.summary}; accelmnist bench would measure it")
        why.append(f"not {name}: {refusal}")
    reason = "; ".join(why) or "a short run ends before compiling would pay; see --compile"
    return EngineChoice("eager", engine_class("eager"), reason)


def setting_of(config: RunConfig, device: Device) -> BenchmarkSetting:
    """What the speed of `config` depends on, on `device`, with as many threads as are in force."""
    return BenchmarkSetting(
        machine=machine_name(device),
        device=str(device),
        threads=threads_in_force(config.execution.threads),
        precision=config.execution.precision,
        batch_size=config.training.batch_size,
        hidden=config.model.hidden,
        optimizer=config.training.optimizer,
    )


def machine_name(device: Device) -> str:
    """Hardware and versions, as far as a speed depends on them."""
    own = () if device.kind == "cpu" else (device.hardware,)
    versions = (f"torch {torch_version()}", f"accelmnist {accelmnist.__version__}")
    return ", ".join((processor(), cpu_instructions(), *own, *versions))
