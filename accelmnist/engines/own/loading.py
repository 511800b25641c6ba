"""The engine in a user's file: loaded once a process, and held to the contract at every call.

Whatever goes wrong in it is told in a line, so that a benchmark goes on with its other cases. What it prints goes to
standard error.
"""

from __future__ import annotations

import inspect
import sys
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType
from typing import TYPE_CHECKING

from accelmnist.core.config import Precision, RunConfig
from accelmnist.core.engine_file import EngineFile
from accelmnist.device import Device
from accelmnist.engines.contract import Classifier, Engine, Job, Runner
from accelmnist.engines.own.faults import broken, calling, checked
from accelmnist.engines.plan import HostEpoch

if TYPE_CHECKING:
    from accelmnist.engines.model import MLP

_CLASS_METHODS = ("unsupported", "prepare", "why_alone", "prepare_shared", "classifier")


@cache
def own_engine(file: EngineFile) -> type[Engine]:
    """The engine in `file`; raises EngineError if there is none, or the file can't be read or has changed."""
    module = _load(file)
    found = getattr(module, file.name, None)
    if found is None:
        others = [name for name, one in vars(module).items() if _is_engine(one) and one is not Engine]
        remedy = f"Choose from {', '.join(others)}" if others else "Write it, or give another file"
        raise broken(file, f"there is no such class in {file.path}", remedy)
    if not _is_engine(found):
        raise broken(file, "it is no class that inherits Engine")
    missing = sorted(found.__abstractmethods__)
    if missing:
        raise broken(file, f"it lacks {' and '.join(missing)}")
    plain = next((name for name in _CLASS_METHODS if not inspect.ismethod(getattr(found, name))), None)
    if plain is not None:
        raise broken(file, f"its {plain} is no classmethod")
    return _held(found, file)


def _is_engine(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Engine)


def _load(file: EngineFile) -> ModuleType:
    """The module that the file is; what lies beside it can be imported there, after all else."""
    contents = file.read()
    spec = spec_from_file_location(f"accelmnist_own_{file.label}", file.path)
    assert spec is not None, "it ends in .py"
    module = sys.modules[spec.name] = module_from_spec(spec)
    if str(file.path.parent) not in sys.path:
        sys.path.append(str(file.path.parent))
    with calling(file, "import"):
        exec(compile(contents, file.path, "exec", dont_inherit=True), vars(module))
    return module


def _held(engine: type[Engine], file: EngineFile) -> type[Engine]:
    """The engine with its functions held to the contract."""

    def runner_of(runner: Runner, job: Job) -> Runner:
        from accelmnist.engines.own.runner import HeldRunner

        return HeldRunner(runner, job, file).runner

    def reason_of(name: str, found: object) -> str | None:
        reason: str | None = checked(file, name, found, str | None)
        return reason

    def unsupported(_cls: type[Engine], config: RunConfig, device: Device) -> str | None:
        with calling(file, "unsupported"):
            reason = engine.unsupported(config, device)
        if device.kind not in engine.kinds:
            return f"it runs on {' and '.join(engine.kinds)} alone"
        return reason_of("unsupported", reason)

    def why_alone(_cls: type[Engine], device: Device) -> str | None:
        with calling(file, "why_alone"):
            reason = engine.why_alone(device)
        return reason_of("why_alone", reason)

    def prepare(_cls: type[Engine], job: Job, sample: HostEpoch) -> Runner:
        with calling(file, "prepare"):
            runner = engine.prepare(job, sample)
        return runner_of(checked(file, "prepare", runner, Runner), job)

    def prepare_shared(_cls: type[Engine], job: Job, sample: HostEpoch) -> Runner:
        with calling(file, "prepare_shared"):
            runner = engine.prepare_shared(job, sample)
        return runner_of(checked(file, "prepare_shared", runner, Runner), job)

    def classifier(_cls: type[Engine], model: MLP, device: Device, precision: Precision) -> Classifier | None:
        with calling(file, "classifier"):
            return engine.classifier(model, device, precision)

    held = (unsupported, why_alone, prepare, prepare_shared, classifier)
    members = {function.__name__: classmethod(function) for function in held}
    return type(engine.__name__, (engine,), {**members, "own_file": file, "__module__": f"{__name__}.{file.label}"})
