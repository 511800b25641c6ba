"""The process of another side: started, asked, watched and ended; whatever it does, it ends with a line that says so.

Every side gets the same threads, however its library reads their number, and the same rules for threads that wait and
for memory that is freed. Each runs in a session of its own: a Ctrl-C is ours to answer. A guard, a process that does
nothing else, ends all of them when this one is gone, however that ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import IO, Any, TypeVar

import msgspec
import psutil

from accelmnist.core.errors import DeviceError
from accelmnist.core.text import brief
from accelmnist.device import KEPT_BYTES
from accelmnist.device.loading import prepare_for_torch
from accelmnist.measure.beside import guard
from accelmnist.measure.beside.peers import CHECKOUT, SERVE
from accelmnist.measure.beside.protocol import COMMAND, HELLO, OLDEST, PROTOCOL, Answer, Hello, Request
from accelmnist.measure.plan import Side

Reply = TypeVar("Reply", bound=Answer)

SEE_PROTOCOL = "The protocol is accelmnist/measure/beside/protocol.py"
_PRINT_ELSEWHERE, _START_BY_HAND = "Let it print to standard error alone", "Start it by hand to see why"
ANSWER_S, LEAST_WAIT_S = 120.0, 15.0  # the longest wait for an answer, of a third of the time left; the least of it
_LOOK_S = 0.5  # of the wait that a look counts at most
TO_END_S = 5.0  # of a process whose output is closed
MOST_BYTES = 1 << 25  # of a line: the losses of a million steps
FLOOD_BYTES = 1 << 20  # of standard error, beyond which it is told
_TAIL_BYTES = 1 << 12
_SHOWN = 200  # bytes of a line that is wrong

# What libraries call the number of threads: OpenMP, OpenBLAS, MKL, XLA's pool, TensorFlow's two, tinygrad.
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NPROC",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "NUM_CPU_THREADS",
)
# OpenBLAS's threads wait awake for 2^28 cycles after a product, 110 ms, in which they would take the processor of the
# side that comes next; 2^24 cycles, 7 ms, still last from one product of a step to the next. What glibc keeps of freed
# memory is a matter of luck (`device.memory.keep_freed_memory`), and here everybody's to keep.
_RULES = {"OPENBLAS_THREAD_TIMEOUT": "24"} | {
    f"MALLOC_{name}_THRESHOLD_": str(size) for name, size in KEPT_BYTES.items()
}


class Guard:
    """Ends the process groups that it is told of, and removes `folder`, when this process ends; a context manager."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> Guard:
        self._process = subprocess.Popen(
            [sys.executable, "-I", guard.__file__, str(self._folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.wait()

    def tell(self, number: int, mark: str = "") -> None:
        """Guard a group and all with its mark, or with its number below 0 no longer."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(f"{number} {mark}\n".encode())
            self._process.stdin.flush()


@dataclass(frozen=True)
class Asked:
    """An answer, and the seconds from the request to it: by the raw clock and by the time of day."""

    answer: Any
    raw_s: float
    day_s: float


class OtherProcess:
    """A running side. What goes wrong with it is a DeviceError; after one it may be `lost`.

    An answer is waited for up to a third of the time left, or `within_s`, if that is set. `options` are of the worker
    of a side of ours.
    """

    def __init__(
        self,
        side: Side,
        *,
        threads: int,
        watch: Guard,
        left_s: Callable[[], float] = lambda: ANSWER_S,
        options: Sequence[str] = (),
    ) -> None:
        self.side, self._guard, self._left_s = side, watch, left_s
        self.lost: str | None = None  # why it is gone
        self.within_s: float | None = None
        self._buffer = bytearray()
        words = [*side.words, *((*COMMAND, *options) if side.is_ours else ())]
        self._mark = token_hex()
        environment = environment_of(side, threads=threads) | {guard.MARK: self._mark}
        try:
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                start_new_session=True,
                executable=_found(words[0], environment),
            )
        except (OSError, ValueError) as error:
            cause = (getattr(error, "strerror", None) or str(error)).lower()
            self.lost = f"{brief(words[0])} can't be started: {cause}"
            return
        self._guard.tell(self._process.pid, self._mark)
        self._family = [self._process.pid]
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        self._errors = _Tail(self._process.stderr)

    @property
    def is_flooding(self) -> bool:
        """Whether it wrote more to standard error than anybody reads."""
        return hasattr(self, "_errors") and self._errors.count > FLOOD_BYTES

    def greet(self) -> Hello:
        """Wait for its hello; raises DeviceError."""
        self._require_alive()
        line = self._line("its hello")
        text = repr(_shown(line))
        try:
            said = json.loads(line)
            name, version = said["hello"], said["protocol"]
        except (ValueError, RecursionError, LookupError, TypeError):
            name = version = None
        if name != HELLO:
            raise self.lose(f"it said {text} before its hello", _PRINT_ELSEWHERE)
        if version != PROTOCOL:
            spoken = _shown(json.dumps(version))
            cause = f"it speaks version {spoken} of the protocol, and this accelmnist version {PROTOCOL}"
            raise self.lose(cause, "Use versions that agree")
        try:
            hello = msgspec.convert(said, type=Hello)
        except msgspec.ValidationError as error:
            raise self.lose(f"its hello is {text}: {error}", SEE_PROTOCOL) from None
        self.look_for_children()
        return hello

    def ask(self, kind: type[Reply], do: str, **arguments: Any) -> Reply:
        """The answer to a request, of its `kind`; raises DeviceError if there is none, or it says why not."""
        reply: Reply = self.ask_timed(kind, do, **arguments).answer
        return reply

    def ask_timed(self, kind: type[Answer], do: str, **arguments: Any) -> Asked:
        """The same, with the time that it took."""
        self._require_alive()
        self._require_silence()
        raw, day = time.clock_gettime(time.CLOCK_MONOTONIC_RAW), time.time()
        self._write({"do": do, **arguments})
        line = self._line(f"the answer to {do}")
        day_s, raw_s = time.time() - day, time.clock_gettime(time.CLOCK_MONOTONIC_RAW) - raw
        try:
            said = json.loads(line)  # json's, which knows NaN
        except (ValueError, RecursionError):
            raise self.lose(f"it said {_shown(line)!r} for an answer to {do}", _PRINT_ELSEWHERE) from None
        try:
            answer = msgspec.convert(said, type=kind)
        except msgspec.ValidationError as error:
            raise self.lose(f"{_shown(line)!r} is no answer to {do}: {error}", SEE_PROTOCOL) from None
        if answer.error is not None:
            raise DeviceError(f"{do} failed: {brief(answer.error)}")
        return Asked(answer, raw_s, day_s)

    def cpu_s(self) -> float | None:
        """Seconds that its threads have run so far, also those that ended; None if the system doesn't tell.

        Source: clock_getcpuclockid(3), as the kernel numbers the clock of another process.
        """
        total, seen = 0.0, False
        for process in self._family if sys.platform == "linux" else ():
            with contextlib.suppress(OSError):  # it may have ended
                total, seen = total + time.clock_gettime((~process << 3) | 2), True
        return total if seen else None

    def queued_s(self) -> float:
        """Seconds that it, and this process, waited for a processor so far (proc.rst, schedstat); 0 if unknown."""
        total = 0.0
        for process in (*self._family, os.getpid()):
            with contextlib.suppress(OSError, IndexError):
                total += 1e-9 * int(Path(f"/proc/{process}/schedstat").read_bytes().split()[1])
        return total

    def look_for_children(self) -> None:
        """What it has started by now counts from now on."""
        with contextlib.suppress(psutil.Error):
            self._family = [
                self._process.pid,
                *(child.pid for child in psutil.Process(self._process.pid).children(recursive=True)),
            ]

    def kill(self) -> None:
        """End it from another thread than that which asks it, and there learns of it."""
        if self.lost is None:
            guard.end_group(self._process.pid, self._mark)

    def end(self) -> None:
        """End it, and all that it started."""
        if hasattr(self, "_process"):
            guard.end_group(self._process.pid, self._mark)
            self._process.wait()
            self._guard.tell(-self._process.pid)
            for pipe in (self._process.stdin, self._process.stdout):
                with contextlib.suppress(OSError):
                    assert pipe is not None
                    pipe.close()
        self.lost = self.lost or "it has been ended"

    def _require_alive(self) -> None:
        if self.lost is not None:
            has_begun = hasattr(self, "_process")
            raise DeviceError(self.lost, remedy="" if has_begun else "Give a command that starts by hand")

    def _require_silence(self) -> None:
        """It must have said nothing more: that would be taken for the answer that comes next."""
        assert self._process.stdout is not None
        with contextlib.suppress(BlockingIOError):
            self._buffer += os.read(self._process.stdout.fileno(), 1 << 16)
        if self._buffer.strip():
            raise self.lose(f"it said {_shown(self._buffer)!r} unasked", _PRINT_ELSEWHERE)
        self._buffer.clear()

    def lose(self, cause: str, remedy: str) -> DeviceError:
        """End it for good; returns what to raise."""
        self.lost = cause
        self.end()
        return DeviceError(self.lost, remedy=remedy)

    def _write(self, request: Request) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(msgspec.json.encode(request) + b"\n")
            self._process.stdin.flush()
        except OSError:
            raise self.lose(self._how_it_ended(), _START_BY_HAND) from None

    def _line(self, what: str) -> bytes:
        """The next line of its output, and there is no more of it."""
        assert self._process.stdout is not None
        within_s = self.within_s or min(ANSWER_S, max(LEAST_WAIT_S, self._left_s() / 3))
        waited_s = 0.0
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                began = time.monotonic()
                is_there = selector.select(max(min(within_s - waited_s, _LOOK_S), 0.0))
                waited_s += min(time.monotonic() - began, _LOOK_S)  # no more, if both were stopped meanwhile
                if not is_there:
                    if self._process.poll() is not None:  # and a child of its own holds its output open
                        raise self.lose(self._how_it_ended(), _START_BY_HAND)
                    if waited_s < within_s:
                        continue
                    raise self.lose(
                        f"{what} did not come within {within_s:.0f} s", "Let it be quicker, or leave it out"
                    )
                part = os.read(self._process.stdout.fileno(), 1 << 20)
                if not part:
                    raise self.lose(self._how_it_ended(), _START_BY_HAND)
                self._buffer += part
                if len(self._buffer) > MOST_BYTES:
                    raise self.lose(f"{what} is longer than {MOST_BYTES >> 20} MiB", SEE_PROTOCOL)
        line, _, rest = bytes(self._buffer).partition(b"\n")
        self._buffer = bytearray(rest)
        return line

    def _how_it_ended(self) -> str:
        """How the process ended, with the last line that it wrote."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(TO_END_S)
        code = self._process.poll()
        if code is None:
            return "it closed its output"
        if self.side.is_ours and (version := self._version()) is not None:
            return f"accelmnist {version} has no worker: {OLDEST} is the oldest that has one"
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        last = self._errors.last_line()
        return f"it ended with {how}{f': {last}' if last else ''}"

    def _version(self) -> str | None:
        """The version of a side of ours that is too old to be one; None if it isn't that."""
        command = [*self.side.words, "-m", "accelmnist", "--version"]
        environment = environment_of(self.side, threads=1)
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            said = subprocess.run(
                command,
                capture_output=True,
                env=environment,
                timeout=30,
                executable=_found(command[0], environment),
                check=False,
            )
            words = said.stdout.decode(errors="replace").split()
            old = words[-1] if said.returncode == 0 and words else None
            return old if old is not None and _numbers(old) < _numbers(OLDEST) else None
        return None


class _Tail:
    """Reads a stream to its end, by a thread, and keeps the last of it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.count, self._last = 0, b""
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()

    def _read(self, stream: IO[bytes]) -> None:
        with stream, contextlib.suppress(OSError, ValueError):
            while part := os.read(stream.fileno(), 1 << 16):
                self.count += len(part)
                self._last = (self._last + part)[-_TAIL_BYTES:]

    def last_line(self) -> str:
        """The last line that says anything, when the stream has ended."""
        self._thread.join(1.0)
        lines = [line for line in self._last.decode(errors="replace").splitlines() if line.strip()]
        return brief(lines[-1]) if lines else ""


def environment_of(side: Side, *, threads: int) -> dict[str, str]:
    """The variables of a side's process: those of this one, the same rules for all, and what its command sets.

    `python` is this very one, and the accelmnist of a side of ours is never what lies in the current folder.
    """
    prepare_for_torch()
    # One that its command sets holds for all: torch takes MKL's number, and not OpenMP's, if they differ.
    number = next((side.settings[name] for name in _THREADS if name in side.settings), str(threads))
    rules = dict.fromkeys(_THREADS, number) | _RULES
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    environment = os.environ | rules | {"PATH": path}
    if side.is_ours:
        environment["PYTHONSAFEPATH"] = "1"
        found = _found(side.words[0], environment | side.settings)
        is_this = found is not None and Path(found).absolute() == Path(sys.executable).absolute()
        environment["PYTHONPATH"] = str(CHECKOUT) if is_this else ""
    elif tuple(side.words[1:3]) == SERVE:
        environment |= {"PYTHONSAFEPATH": "1", "PYTHONPATH": str(CHECKOUT)}
    return environment | side.settings


def _found(program: str, environment: Mapping[str, str]) -> str | None:
    """The program's file by PATH, as the system would find it; None leaves that to the system."""
    import shutil

    return shutil.which(program, path=environment.get("PATH")) or None


def _shown(said: object) -> str:
    """What it said, for a message: a line's first characters."""
    return brief(bytes(said[:_SHOWN]).decode(errors="replace") if isinstance(said, bytes | bytearray) else str(said))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())
