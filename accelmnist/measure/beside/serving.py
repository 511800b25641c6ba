"""A worker's side of the protocol: greet, answer line by line, end with the input."""

from __future__ import annotations

import json
import os
import sys
import traceback
from abc import ABC, abstractmethod
from pathlib import Path
from typing import IO, Any

from accelmnist.core.errors import AccelmnistError
from accelmnist.core.text import brief
from accelmnist.measure.beside.protocol import HELLO, PROTOCOL, Request


class Server(ABC):
    """What answers requests: the method of a request's name gets the rest of it.

    An answer of None is an empty one. Any exception is an error's line, and the server lives on.
    """

    @abstractmethod
    def hello(self) -> Request:
        """`versions` by name and `threads`, if known."""

    def answer(self, request: Request) -> Request:
        """Do what is asked for."""
        arguments = {("source" if name == "from" else name): value for name, value in request.items() if name != "do"}
        answer: Request | None = getattr(self, request["do"])(**arguments)
        return answer or {}


class Worker(Server):
    """A side of a benchmark: see `protocol`."""

    @abstractmethod
    def prepare(self, case: str, mode: str, config: dict[str, Any], files: dict[str, str]) -> Request:
        """Make a case ready; {"unsupported": why} if it isn't done here."""

    @abstractmethod
    def load(self, case: str, source: str | None) -> None:
        """Set weights and state to what the file `source` has, or to the start."""

    @abstractmethod
    def run(self, case: str, first: int, steps: int) -> Request:
        """Run steps, timed: {"seconds": s, "steps": n}."""

    @abstractmethod
    def losses(self, case: str) -> Request:
        """{"losses": [...]} of the last run."""

    @abstractmethod
    def save(self, case: str, to: str) -> None:
        """Write weights and state."""

    @abstractmethod
    def classify(self, case: str, images: str, to: str) -> None:
        """Write the logits, or digits, of the images in a file."""

    @abstractmethod
    def last(self, case: str, to: str) -> None:
        """Write the logits of the last batch that `run` classified."""

    def ping(self) -> None:
        """Answer."""


def take_output() -> IO[str]:
    """Standard output, for answers alone: what anybody else prints goes to standard error from now on."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def serve(worker: Server, answers: IO[str]) -> None:
    """Greet and answer until the input ends."""
    _say(answers, {"hello": HELLO, "protocol": PROTOCOL, **worker.hello()})
    for line in sys.stdin:
        try:
            answer = worker.answer(json.loads(line))
        except Exception as error:
            if not isinstance(error, AccelmnistError):
                traceback.print_exc()
            answer = {"error": reason_of(error)}
        _say(answers, answer)


def reason_of(error: BaseException) -> str:
    """An exception in a line: what ours say, or the type, and where it comes from if it says nothing."""
    if isinstance(error, AccelmnistError):
        return str(error)
    last = traceback.extract_tb(error.__traceback__)[-1:]
    place = "".join(f"{Path(frame.filename).name}, line {frame.lineno}" for frame in last)
    return f"{type(error).__name__}: {brief(str(error)) or place}"


def _say(answers: IO[str], answer: Request) -> None:
    answers.write(json.dumps(answer, allow_nan=True) + "\n")
    answers.flush()
