"""What goes wrong in a user's engine, in a line: the type of the error, its message, and the line that raised it."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import PurePath
from typing import Any

from accelmnist.core.engine_file import EngineFile
from accelmnist.core.errors import AccelmnistError, CheckpointError, DeviceError, EngineError, RankError, headline
from accelmnist.device import is_out_of_memory

_CONTRACT = "accelmnist/engines/contract.py"


@contextmanager
def engine_errors(
    file: EngineFile | None, doing: str = "", *, lets: tuple[type[AccelmnistError], ...] = (AccelmnistError,)
) -> Iterator[None]:
    """Within: what is raised becomes an EngineError of the engine in `file`; if that is None, it goes its way.

    So do a failed allocation, a closed output, and what `lets` names: it has its line already.
    """
    has_its_way: tuple[type[Exception], ...] = (BrokenPipeError, *lets)
    try:
        yield
    except has_its_way:
        raise
    except (Exception, SystemExit) as error:
        if file is None or is_out_of_memory(error):
            raise
        fault = (f"its {doing} failed: " if doing else "") + _told(error, file)
        raise broken(file, fault, "Correct it there") from error


@contextmanager
def calling(file: EngineFile, name: str) -> Iterator[None]:
    """Within: the engine's own `name` is called."""
    with engine_errors(file, name, lets=(DeviceError, CheckpointError, RankError)), redirect_stdout(sys.stderr):
        yield


def _told(error: BaseException, file: EngineFile) -> str:
    """What was raised, and from which line: the last one in the engine's file, if it was there."""
    what = type(error).__name__ + (f": {headline(error)}" if str(error).strip() else "")
    if isinstance(error, SyntaxError):
        return what  # which has its place
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == str(file.path)] or frames[-1:]
    return f"{what} ({PurePath(own[-1].filename).name}, line {own[-1].lineno})" if own else what


def broken(file: EngineFile, fault: str, remedy: str = f"The contract is {_CONTRACT}") -> EngineError:
    """The error that the engine in `file` has this `fault`."""
    return EngineError(f"the engine {file.label}: {fault}", remedy=remedy)


def checked(file: EngineFile, name: str, found: Any, kind: Any) -> Any:
    """What `name` gave; raises EngineError if that isn't of the `kind` that the contract says."""
    if not isinstance(found, kind):
        wanted = kind.__name__ if isinstance(kind, type) else kind
        raise broken(file, f"its {name} gave {described(found)}, and not {wanted}")
    return found


def described(found: Any) -> str:
    """What something is, in some words; a tensor with type, shape and device."""
    if all(hasattr(found, name) for name in ("shape", "dtype", "device")):
        return (
            f"a {type(found).__name__} {tuple(found.shape)} {str(found.dtype).removeprefix('torch.')} on {found.device}"
        )
    return "None" if found is None else f"a {type(found).__name__}"
