"""A second process that loads scikit-learn and matplotlib while the first one loads torch.

A run needs them for its last half second alone, and importing them takes two. Loading keeps one core busy, so on a
machine with a second core they can be had for nothing: the helper imports its modules, says that it is ready, and
then calls functions for the run, one after the other. The run waits for it before training starts, so that nothing
disturbs what is measured. If the time to the result is what counts, the helper begins with its first call: waiting
for it takes up to two seconds. If there is no second core, or the helper is gone, the functions are called here.

Requests and answers are pickles over its standard input and output, between two processes of one program. Each
request has a number and its answer the same, so answers may be asked for in any order. The helper ends when its input
does, so it never outlives the run, even one that is killed.

`concurrent.futures.ProcessPoolExecutor` does less well here: it imports the caller's main file anew, so that a script
without a guard around its call starts twice; its worker outlives a killed parent and hears the terminal's Ctrl-C.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any

import accelmnist
from accelmnist.device.cgroups import cores_within_quota

Pending = Callable[[], Any]

_RUN_MODULE = """
import runpy, sys
sys.path.append(sys.argv.pop(1))
runpy.run_module(sys.argv.pop(1), None, "__main__", True)
"""
_READY = 0  # the number of the answer that no request asked for: all modules are loaded


class HelperProcess:
    """The other process; a context manager around the run.

    `modules` are what it loads, `at_once` or with its first call.
    """

    def __init__(self, modules: Sequence[str], *, at_once: bool = True) -> None:
        self._modules = tuple(modules)
        self._process: subprocess.Popen[bytes] | None = None
        self._may_begin = cores_within_quota(os.cpu_count() or 1) > 1
        self._numbers = itertools.count(_READY + 1)
        self._answers: dict[int, tuple[bool, Any]] = {}  # those that came and were not asked for yet
        if at_once:
            self.begin()

    def begin(self) -> None:
        """Begin to load the modules over there, unless that has begun or there is no second core."""
        if self._may_begin:
            self._may_begin = False
            self._process = start_python(
                ["accelmnist.cli.helper_process", *self._modules],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,  # the terminal's Ctrl-C is the run's to answer
            )

    def __enter__(self) -> HelperProcess:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def wait_until_ready(self) -> None:
        """Return when the modules are loaded over there; at once if nothing has begun."""
        if self._process is not None:
            self._receive(_READY)

    def start(self, function: str, *arguments: Any, **settings: Any) -> Pending:
        """Begin to call `function`, named `module:name`; calling what returns gives the result or raises the exception.

        Several may be under way, and each gives its own result, whichever is asked for first.
        """
        self.begin()
        number, request = next(self._numbers), (function, arguments, settings)
        is_sent = self._send((number, *request))

        def result() -> Any:
            if not is_sent or not self._receive(number):
                return _call(*request)
            succeeded, value = self._answers[number]
            if not succeeded:
                raise value
            return value

        return result

    def _send(self, request: Any) -> bool:
        if self._process is None or self._process.stdin is None:
            return False
        try:
            _write(self._process.stdin, request)
        except OSError:
            return False
        return True

    def _receive(self, number: int) -> bool:
        """Read answers until that of `number` is there; False if the helper is gone before."""
        while number not in self._answers:
            if self._process is None or self._process.stdout is None:
                return False
            try:
                answered, *answer = pickle.load(self._process.stdout)
            except (EOFError, pickle.UnpicklingError, OSError):
                return False
            self._answers[answered] = tuple(answer)
        return True


def start_python(command: Sequence[str], **settings: Any) -> subprocess.Popen[bytes]:
    """A new process that runs a module of this package, the first of `command`; `settings` are Popen's.

    The current folder is not on its path, nor on that of its own children: what lies there is no module. This package's
    folder, which may be the same, comes last, so that it hides no module of Python's or of a library.
    """
    asked = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    kept = os.pathsep.join(folder for folder in asked if Path(folder).absolute() != Path.cwd())
    root = str(Path(accelmnist.__file__).parents[1])
    return subprocess.Popen(
        [sys.executable, "-c", _RUN_MODULE, root, *command],
        env=os.environ | {"PYTHONSAFEPATH": "1", "PYTHONPATH": kept},
        **settings,
    )


def _call(function: str, arguments: Sequence[Any], settings: dict[str, Any]) -> Any:
    module, name = function.split(":")
    return getattr(import_module(module), name)(*arguments, **settings)


def _write(stream: IO[bytes], value: Any) -> None:
    pickle.dump(value, stream)
    stream.flush()


def _serve(modules: Sequence[str]) -> None:
    """Load `modules`, say so, and answer requests until the input ends."""
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # what a library prints must not get among the answers
    logging.disable(logging.WARNING)  # nor its advice among the run's own lines
    waiting: SimpleQueue[tuple[Any, ...]] = SimpleQueue()
    with contextlib.suppress(BrokenPipeError):
        for module in modules:
            import_module(module)
        _write(answers, (_READY, True, None))
        threading.Thread(target=_read_requests, args=(requests, waiting), daemon=True).start()
        while True:
            number, *request = waiting.get()
            try:
                answer = (True, _call(*request))
            except Exception as error:
                answer = (False, error)
            _write(answers, (number, *answer))


def _read_requests(requests: IO[bytes], waiting: SimpleQueue[tuple[Any, ...]]) -> None:
    """Put requests into `waiting`; when the input ends, end at once: nobody holds the folder that is drawn into."""
    try:
        while True:
            waiting.put(pickle.load(requests))
    finally:
        os._exit(0)


if __name__ == "__main__":
    _serve(sys.argv[1:])
