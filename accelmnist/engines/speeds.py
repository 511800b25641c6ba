"""How fast each engine was on this machine: a table that `accelmnist bench` writes and `--engine auto` reads.

It lies in the user's cache folder, since it is the machine's and no project's. An entry counts only where machine,
versions and threads are those of the run to come: another torch is another program. Only cases whose result passed its
check get in.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from accelmnist.core.config import ModelConfig, Optimizer, Precision
from accelmnist.core.errors import AccelmnistError
from accelmnist.core.files import SCHEMA_VERSION, cache_folder, load, make_folder, save

TABLE_NAME = "speeds.json"
_FARTHEST = math.log(8)  # how unlike a measured case may be, all factors of size multiplied
_OTHER_OPTIMIZER = math.log(1.5)
_MOST_ENTRIES = 2000


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
    """The table, empty where there is none; raises RecordError for one that can't be read."""
    path = table_path()
    return load(path, SpeedTable, kind="speeds", noun="measured speeds") if path.exists() else SpeedTable()


def keep_speeds(speeds: Iterable[Speed]) -> None:
    """Put `speeds` into the table in place of older ones; a table that can't be read is begun anew.

    Raises OutputError where it can't be written.
    """
    known = SpeedTable()
    with contextlib.suppress(AccelmnistError):
        known = load_speeds()
    by_case = {(speed.setting, speed.engine): speed for speed in known.speeds}
    for speed in speeds:
        by_case.pop((speed.setting, speed.engine), None)  # so that the latest are the last
        by_case[speed.setting, speed.engine] = speed
    make_folder(table_path().parent)
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
