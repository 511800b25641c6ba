"""What this machine is ready for: everything that a run depends on, examined and returned as data.

Nothing is trained or left behind; one line of code is compiled, and a card multiplies for 0.2 s. The longest part is
hashing the embedded data (0.3 s). A `Finding` is a yes or no with its reason. A problem keeps a run on the CPU from
being right, a warning only hampers one. Memory and disk are in bytes. Host name, user and absolute paths stay out, so
that a diagnosis can be shared.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from accelmnist.core.config import ENGINES, PRECISIONS, ExecutionConfig, RunConfig
from accelmnist.core.errors import AccelmnistError
from accelmnist.core.files import RESULTS
from accelmnist.core.hardware import CpuFacts, GpuFacts
from accelmnist.core.records import Environment
from accelmnist.data.mnist import FileCheck, verify_embedded
from accelmnist.device import (
    KINDS,
    Device,
    available,
    compile_capability,
    precision_capability,
    resolve,
    synchronize,
    threads_in_force,
    total_memory_bytes,
    why_absent,
)
from accelmnist.device.environment import describe_environment
from accelmnist.device.nvml import HELD_DOWN, names_of
from accelmnist.engines import native
from accelmnist.engines.choose import engine_class, load_speeds, setting_of
from accelmnist.engines.standing import Standing, Work, hardware_of, standing

_WORK_S, _WORK_SIDE = 0.2, 2048  # seconds, and the side of the matrices that a card multiplies
_EMBEDDED = "embedded in the package, accelmnist/data/files"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Whether `name` works, and the reason why or why not."""

    name: str
    works: bool
    reason: str


@dataclass(frozen=True, kw_only=True)
class DeviceFindings:
    """What a device of this machine can do."""

    name: str
    hardware: str
    memory_bytes: int | None
    precisions: tuple[Finding, ...]
    engines: tuple[Finding, ...]
    compiler: Finding
    kernels: tuple[Finding, ...] = ()  # levels of instructions that the native kernels are made for
    gpu: GpuFacts | None = None
    standing: Standing | None = None


@dataclass(frozen=True, kw_only=True)
class Versions:
    """Versions of the software; None is not installed, or absent. `torch_cuda` is the CUDA that torch was built for."""

    accelmnist: str
    python: str
    torch: str
    torchvision: str | None
    numpy: str
    torch_cuda: str | None
    driver: str | None
    os: str


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The processor and what torch uses of it; `instructions` are the widest vectors that torch's kernels use."""

    processor: str
    cores: int | None
    logical_cores: int | None
    threads: int
    memory_bytes: int | None
    instructions: str | None
    cpu: CpuFacts | None = None


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """All findings. `ready` means that a run on the CPU has all it needs: there is no problem."""

    ready: bool
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    kinds: tuple[Finding, ...]
    devices: tuple[DeviceFindings, ...]
    versions: Versions
    machine: Machine
    data_source: str
    data_files: tuple[FileCheck, ...]
    results: Finding
    results_free_bytes: int | None


def diagnose(results: Path = RESULTS) -> Diagnosis:
    """Examine this machine; `results` is the folder that runs will be saved to."""
    names = available()
    devices = [resolve(name) for name in names]
    for device in devices:
        _work(device)
    environment = describe_environment(*devices)
    cards = {card.device: card for card in environment.gpus}
    files = verify_embedded()
    writable = check_folder(results)
    # From its metadata: to import it would take 0.8 s.
    torchvision = next((package.version for package in metadata.distributions(name="torchvision")), None)
    problems = tuple(f"{file.name}: {file.problem}" for file in files if not file.intact)
    return Diagnosis(
        ready=not problems,
        problems=problems,
        warnings=(*hindrances(environment), *(() if writable.works else (f"{writable.name}: {writable.reason}",))),
        kinds=tuple(_kind_finding(kind) for kind in KINDS),
        devices=tuple(_device_findings(device, cards.get(device.name), environment) for device in devices),
        versions=Versions(**_shared(Versions, environment), torchvision=torchvision, torch_cuda=torch.version.cuda),
        machine=Machine(**_shared(Machine, environment), instructions=environment.cpu_capability),
        data_source=_EMBEDDED,
        data_files=files,
        results=writable,
        results_free_bytes=_free_bytes(results),
    )


# --- devices


def _kind_finding(kind: str) -> Finding:
    if any(name.partition(":")[0] == kind for name in available()):
        return Finding(name=kind, works=True, reason=resolve(kind).hardware)
    return Finding(name=kind, works=False, reason=why_absent(kind))


def _work(device: Device) -> None:
    """Let a card work for a moment: at rest it lowers its clock and its link, which would say nothing."""
    if device.kind != "cuda":
        return
    until_s = time.monotonic() + _WORK_S
    with contextlib.suppress(RuntimeError):  # a card that can't work has its reasons told elsewhere
        matrix = torch.ones(_WORK_SIDE, _WORK_SIDE, device=device.torch_device)
        while time.monotonic() < until_s:
            torch.mm(matrix, matrix)
            synchronize(device)


def hindrances(environment: Environment) -> Iterator[str]:
    """What keeps this machine below what its hardware can do, or makes its memory doubtful."""
    for card in environment.gpus:
        if held := [reason for reason in card.held_by or () if reason in (names_of(HELD_DOWN) or ())]:
            yield f"{card.device}: its clock is held down by {' and '.join(held)}"
        if card.power_cap_w and card.power_default_w and card.power_cap_w < card.power_default_w:
            yield f"{card.device}: its power is capped at {card.power_cap_w:.0f} of {card.power_default_w:.0f} W"
        if card.link_width and card.link_width_max and card.link_width < card.link_width_max:
            yield f"{card.device}: {card.link_width} of {card.link_width_max} PCIe lanes are in use"
        if card.ecc_uncorrected:
            yield f"{card.device}: {card.ecc_uncorrected} memory errors were not corrected"
    if environment.cpu is not None and environment.cpu.quota is not None:
        yield f"cpu: a quota allows {environment.cpu.quota:.3g} processors"


def _device_findings(device: Device, card: GpuFacts | None, environment: Environment) -> DeviceFindings:
    precisions = ((name, precision_capability(device, name)) for name in PRECISIONS)
    compiling = compile_capability(device)
    return DeviceFindings(
        name=str(device),
        hardware=device.hardware,
        memory_bytes=total_memory_bytes(device),
        precisions=tuple(Finding(name=name, works=can.available, reason=can.reason) for name, can in precisions),
        engines=tuple(_engine_finding(name, device) for name in ENGINES),
        compiler=Finding(name="torch.compile", works=compiling.available, reason=compiling.reason),
        kernels=_kernel_findings() if device.kind == "cpu" and native.why_missing() is None else (),
        gpu=card,
        standing=standing(device.name, hardware_of(environment, device.name, device.hardware), _speeds(device)),
    )


def _speeds(device: Device) -> dict[Work, float]:
    """What `accelmnist bench` measured of `device`, and keeps for `--engine auto`; nothing if it can't be read."""
    with contextlib.suppress(AccelmnistError):
        here = replace(setting_of(RunConfig(), device), threads=threads_in_force(None))
        own = (here.machine, here.device, here.threads)
        return {
            Work(
                engine=speed.engine,
                precision=speed.setting.precision,
                batch_size=speed.setting.batch_size,
                hidden=speed.setting.hidden,
                optimizer=speed.setting.optimizer,
            ): speed.images_per_s
            for speed in load_speeds().speeds
            if (speed.setting.machine, speed.setting.device, speed.setting.threads) == own
        }
    return {}


def _engine_finding(name: str, device: Device) -> Finding:
    """Whether engine `name` can train the default configuration on `device`."""
    config = RunConfig(execution=ExecutionConfig(device=str(device), engine=name))
    try:
        engine = engine_class(name)
    except Exception as error:  # a broken installation is what a diagnosis is for, whatever it raises on import
        cause = " ".join(str(error).split()) or type(error).__name__
        return Finding(name=name, works=False, reason=f"can't be loaded: {cause}")
    refusal = engine.unsupported(config, device)
    return Finding(name=name, works=refusal is None, reason=engine.summary if refusal is None else refusal)


def _kernel_findings() -> tuple[Finding, ...]:
    """The native kernels' levels; a call takes the last one that works."""
    return tuple(
        Finding(name=name, works=why is None, reason=native.LEVELS[name] if why is None else why)
        for name, why in native.why_not().items()
    )


# --- software and machine


def _shared(kind: type[Versions | Machine], environment: Environment) -> dict[str, Any]:
    """The fields that both have."""
    return {part.name: getattr(environment, part.name) for part in fields(kind) if hasattr(environment, part.name)}


# --- files


def check_folder(folder: Path) -> Finding:
    """Whether a file can be made in `folder`, or in the nearest folder above it if it does not exist yet."""
    existing = _nearest_existing(folder)
    try:
        with tempfile.TemporaryFile(dir=existing):  # permissions alone miss a read-only or a full disk
            pass
    except OSError as error:
        cause = (error.strerror or str(error)).lower()
        return Finding(name=f"{folder}/", works=False, reason=f"cannot be written: {cause}")
    reason = "can be written" if existing == folder else "can be made here; it is not there yet"
    return Finding(name=f"{folder}/", works=True, reason=reason)


def _nearest_existing(folder: Path) -> Path:
    return next((path for path in (folder, *folder.parents) if path.exists()), Path())


def _free_bytes(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(_nearest_existing(folder)).free
    except OSError:
        return None
