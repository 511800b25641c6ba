"""Which engine runs a job: the one asked for, or for `auto` the fastest by what was measured here, or by a rule.

`accelmnist bench` keeps what it measures, right cases alone, in a table in the user's cache folder, since it is the
machine's and no project's. An entry counts only if machine, versions and threads are those of the run to come: another
torch is another program. If two engines or more were measured at something like the job, the one that would end soonest
is taken, compiling included. Else the rule is the order
of `RULE`: on the CPU the native kernels, on CUDA replayed graphs, everywhere else and wherever those can't, eager.
Compiling never pays in a run of seconds, and is asked for by `--compile`.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import accelmnist
from accelmnist.core.config import AUTO, ENGINES, ModelConfig, Optimizer, Precision, RunConfig, steps_per_epoch
from accelmnist.core.engine_file import EngineFile, label_of
from accelmnist.core.errors import AccelmnistError, ConfigError, UnsupportedError
from accelmnist.core.files import SCHEMA_VERSION, cache_folder, load, save, sole_writer
from accelmnist.device import Device, cpu_instructions, processor, threads_in_force, torch_version
from accelmnist.engines.contract import Engine

RULE = {"cpu": ("fused",), "cuda": ("cuda_graph",)}  # before eager, by the kind of device
MOST_COMPILE_S = 2.0  # of an engine that nobody asked for
_IMAGES = 60_000  # of an epoch: the choice is made before the data is read

TABLE_NAME = "speeds.json"
_FARTHEST = math.log(8)  # how unlike a measured case may be, all factors of size multiplied
_OTHER_OPTIMIZER = math.log(1.5)
_MOST_ENTRIES = 2000


@dataclass(frozen=True)
class EngineChoice:
    """The engine that will run, by its name in a configuration, and why this one."""

    name: str
    engine: type[Engine]
    reason: str

    @property
    def label(self) -> str:
        """Its name for people."""
        return label_of(self.name)


def engine_class(name: str) -> type[Engine]:
    """The engine in `accelmnist/engines/<name>.py`, or in a user's file; raises EngineError for a bad one."""
    file = EngineFile.of(name)
    if file is not None:
        from accelmnist.engines.own.loading import own_engine

        return own_engine(file)
    engine: type[Engine] = import_module(f"accelmnist.engines.{name}").ENGINE
    return engine


def choose_engine(config: RunConfig, device: Device) -> EngineChoice:
    """The engine for `config` on `device`; raises UnsupportedError if the one asked for can't, with those that can.

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
    raise UnsupportedError(
        f"--engine {label_of(asked)} can't run this on {device}: {refusal}", remedy=f"Choose one of {', '.join(work)}"
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


@dataclass(frozen=True, kw_only=True)
class BenchmarkSetting:
    """What a speed depends on besides the engine: where it ran, and what was trained."""

    machine: str  # hardware and versions, as `machine_name` puts them
    device: str
    threads: int
    precision: Precision
    batch_size: int
    hidden: tuple[int, ...]
    optimizer: Optimizer


@dataclass(frozen=True, kw_only=True)
class Speed:
    """One measured case of training: images a second by the median, and the seconds that it compiled."""

    setting: BenchmarkSetting
    engine: str
    images_per_s: float
    compile_s: float
    measured: str  # the day


@dataclass(frozen=True, kw_only=True)
class SpeedTable:
    """Every speed that is known, the latest of each setting and engine."""

    schema_version: int = SCHEMA_VERSION
    kind: Literal["speeds"] = "speeds"
    speeds: tuple[Speed, ...] = ()


@dataclass(frozen=True)
class FastestEngine:
    """The fastest engine for a job by what was measured: `speed` is its own, `others` are those it was held against.

    `is_alike` says whether the measured case is just what is to be trained.
    """

    speed: Speed
    others: tuple[Speed, ...]
    is_alike: bool


def table_path() -> Path:
    """Where the table lies; raises DataError where there is no home folder."""
    return cache_folder() / TABLE_NAME


def load_speeds() -> SpeedTable:
    """The table, empty where there is none; raises RecordError for one that can't be read as a whole."""
    path = table_path()
    if not path.exists():
        return SpeedTable()
    entries = load(path, _Entries, kind="speeds", noun="measured speeds").speeds
    return SpeedTable(speeds=tuple(speed for entry in entries if (speed := _speed_from(entry)) is not None))


@dataclass(frozen=True)
class _Entries:
    """A table as it lies on the disk."""

    speeds: tuple[Any, ...] = ()


def _speed_from(entry: object) -> Speed | None:
    """The speed that an entry of the table is; None for one that can't be: the others count all the same."""
    import msgspec

    try:
        speed = msgspec.convert(entry, Speed)
        sizes = (*speed.setting.hidden, speed.setting.batch_size, speed.images_per_s)
        ModelConfig(hidden=speed.setting.hidden)
    except (msgspec.ValidationError, ConfigError):
        return None
    return speed if min(sizes) > 0 and speed.compile_s >= 0 else None


def keep_speeds(speeds: Iterable[Speed]) -> None:
    """Put `speeds` into the table in place of older ones; a table that can't be read is begun anew.

    Raises OutputError where it can't be written, or another program writes it.
    """
    known = SpeedTable()
    with sole_writer(table_path().parent):
        with contextlib.suppress(AccelmnistError):
            known = load_speeds()
        by_case = {(speed.setting, speed.engine): speed for speed in known.speeds}
        for speed in speeds:
            by_case.pop((speed.setting, speed.engine), None)  # so that the latest are the last
            by_case[speed.setting, speed.engine] = speed
        save(replace(known, speeds=tuple(by_case.values())[-_MOST_ENTRIES:]), table_path())


def fastest(
    table: SpeedTable,
    wanted: BenchmarkSetting,
    *,
    images: int,
    is_possible: Callable[[str], bool],
    most_compile_s: float,
) -> FastestEngine | None:
    """The engine that would train `images` images soonest, compiling included, by the case most like `wanted`.

    None where nothing like it was measured, or only one engine was. An engine that compiles longer than
    `most_compile_s` waits to be asked for.
    """
    groups: dict[BenchmarkSetting, list[Speed]] = {}
    for speed in table.speeds:
        if speed.compile_s <= most_compile_s and is_possible(speed.engine):
            groups.setdefault(speed.setting, []).append(speed)
    near = {
        setting: setting_distance(setting, wanted)
        for setting, speeds in groups.items()
        if len(speeds) > 1 and setting_distance(setting, wanted) <= _FARTHEST
    }
    if not near:
        return None
    setting = min(near, key=lambda one: near[one])
    ranked = sorted(groups[setting], key=lambda speed: images / speed.images_per_s + speed.compile_s)
    return FastestEngine(ranked[0], tuple(ranked[1:]), is_alike=setting == wanted)


def setting_distance(measured: BenchmarkSetting, wanted: BenchmarkSetting) -> float:
    """How far two settings are apart: the logarithms of their sizes' ratios, added up; infinite for other machines."""
    sure = ("machine", "device", "threads", "precision")
    if any(getattr(measured, name) != getattr(wanted, name) for name in sure):
        return math.inf
    parameters = [ModelConfig(hidden=setting.hidden).parameters for setting in (measured, wanted)]
    apart = abs(math.log(measured.batch_size / wanted.batch_size)) + abs(math.log(parameters[0] / parameters[1]))
    return apart + (_OTHER_OPTIMIZER if measured.optimizer != wanted.optimizer else 0.0)
