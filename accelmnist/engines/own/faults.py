"""What goes wrong in a user's engine, in a line: the type of the error, its message, and the line that raised it."""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from pathlib import PurePath
from typing import Any

from accelmnist.core.engine_file import EngineFile
from accelmnist.core.errors import AccelmnistError, CheckpointError, DeviceError, EngineError, RankError, headline
from accelmnist.device import is_out_of_memory

_CONTRACT = "accelmnist/engines/contract.py"
_LEAST_WAIT_S = 15.0  # for a call that is waited for no longer than a third of the time left
_left_s: ContextVar[Callable[[], float] | None] = ContextVar("left_s", default=None)


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
    lets = (DeviceError, CheckpointError, RankError)
    with engine_errors(file, name, lets=lets), redirect_stdout(sys.stderr), _patience(file, name), _as_it_was():
        yield


@contextmanager
def _as_it_was() -> Iterator[None]:
    """Around a call: what others depend on is set back: torch's mode, the current folder, who answers a signal."""
    import torch  # here: a run's command line does without it

    is_main = threading.current_thread() is threading.main_thread()
    has_gradients, folder = torch.is_grad_enabled(), _folder()
    handlers = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)] if is_main else []
    try:
        yield
    finally:
        if torch.is_grad_enabled() != has_gradients:
            torch.set_grad_enabled(has_gradients)
        if folder is not None and _folder() != folder:
            os.chdir(folder)
        for number, handler in handlers:
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)


def _folder() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109 - a tenth of Path's time
    except OSError:  # it was removed
        return None


@contextmanager
def in_time(left_s: Callable[[], float]) -> Iterator[None]:
    """Within: an engine's own call is broken off after a third of the seconds left, for others have to have theirs."""
    token = _left_s.set(left_s)
    try:
        yield
    finally:
        _left_s.reset(token)


@contextmanager
def _patience(file: EngineFile, name: str) -> Iterator[None]:
    """Within: what takes too long is broken off at the next line of Python. Only the main thread can be."""
    left_s = _left_s.get()
    most_s = math.inf if left_s is None else max(_LEAST_WAIT_S, left_s() / 3)
    if most_s == math.inf or threading.current_thread() is not threading.main_thread():
        yield
        return

    def break_off(*_: object) -> None:
        raise broken(file, f"its {name} did not come back within {most_s:.0f} s", "Let it be quicker, or leave it out")

    before = signal.signal(signal.SIGALRM, break_off)
    signal.setitimer(signal.ITIMER_REAL, most_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


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
