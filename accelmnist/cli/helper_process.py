"""A second process that loads scikit-learn and matplotlib while the first one loads torch.

A run needs them for its last half second alone, and importing them takes two. Loading keeps one core busy, so on a
machine with a second core they can be had for nothing: the helper imports its modules, says that it is ready, and
then calls functions for the run, one after the other. The run waits for it before training starts, so that nothing
disturbs what is measured. Where the time to the result is what counts, the helper begins with its first call:
waiting for it takes up to two seconds. Where there is no second core, or the helper is gone, the functions are
called here instead.

Requests and answers are pickles over its standard input and output, between two processes of one program. It ends
when its input does, so it never outlives the run, even one that is killed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from types import TracebackType
from typing import IO, Any

Pending = Callable[[], Any]


class HelperProcess:
    """The other process; a context manager around the run.

    `modules` are what it loads, `at_once` or with its first call.
    """

    def __init__(self, modules: Sequence[str], *, at_once: bool = True) -> None:
        self._modules = tuple(modules)
        self._process: subprocess.Popen[bytes] | None = None
        self._may_begin = (os.cpu_count() or 1) > 1
        self._is_ready = False
        if at_once:
            self._begin()

    def _begin(self) -> None:
        if self._may_begin:
            self._may_begin = False
            self._process = subprocess.Popen(
                [sys.executable, "-m", "accelmnist.cli.helper_process", *self._modules],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,  # the terminal's Ctrl-C is the run's to answer
            )

    def __enter__(self) -> HelperProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def wait_until_ready(self) -> None:
        """Return when the modules are loaded over there; at once where nothing has begun."""
        if self._process is not None and not self._is_ready:
            self._is_ready = True
            self._answer()

    def start(self, function: str, *arguments: Any, **settings: Any) -> Pending:
        """Begin to call `function`, named `module:name`; calling what returns gives the result or raises the exception.

        What was started first must be asked for first.
        """
        self._begin()
        request = (function, arguments, settings)
        if not self._send(request):
            return lambda: _call(*request)

        def result() -> Any:
            self.wait_until_ready()
            answer = self._answer()
            if answer is None:
                return _call(*request)
            succeeded, value = answer
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
            self._process = None
            return False
        return True

    def _answer(self) -> Any:
        """The next answer, or None where there is nobody to give one."""
        if self._process is None or self._process.stdout is None:
            return None
        try:
            return pickle.load(self._process.stdout)
        except (EOFError, pickle.UnpicklingError, OSError):
            return None


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
    with contextlib.suppress(EOFError, BrokenPipeError):
        for module in modules:
            import_module(module)
        _write(answers, (True, "ready"))
        while True:
            function, arguments, settings = pickle.load(requests)
            try:
                answer = (True, _call(function, arguments, settings))
            except Exception as error:
                answer = (False, error)
            _write(answers, answer)


if __name__ == "__main__":
    _serve(sys.argv[1:])
