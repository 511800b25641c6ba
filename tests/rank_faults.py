"""Faults that a test plants in a rank before its program begins: a start file that imports this is put into its path.

RANK_FAULT holds one a line, `rank module function call deed`: at that call of that function (`Class.method`), counted
from 1, the rank (or `alone`) does the deed. A rank that the launcher starts again is well.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

FAULTS = "RANK_FAULT"


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hang() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def interrupt() -> None:
    os.kill(os.getppid(), signal.SIGINT)  # the launcher
    time.sleep(1)


def cut() -> None:
    """Shut every connection down but those to the rendezvous."""
    for number in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
        try:
            one = socket.socket(fileno=os.dup(number))
            port = one.getpeername()[1]
        except (OSError, IndexError):
            continue
        if str(port) != os.environ["MASTER_PORT"]:
            one.shutdown(socket.SHUT_RDWR)


DEEDS: dict[str, Callable[[], None]] = {"kill": kill, "hang": hang, "interrupt": interrupt, "cut": cut}


class Planter(MetaPathFinder):
    """Changes a function when its module is imported."""

    def __init__(self, module: str, function: str, call: str, deed: str) -> None:
        self.module, self.function, self.call, self.deed = module, function, int(call), deed
        self.is_busy = False

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if fullname != self.module or self.is_busy:
            return None
        self.is_busy = True
        spec = importlib.util.find_spec(fullname)
        load = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            load(module)
            self.plant(module)

        spec.loader.exec_module = exec_module
        return spec

    def plant(self, module: ModuleType) -> None:
        *parts, name = self.function.split(".")
        owner: Any = module
        for part in parts:
            owner = getattr(owner, part)
        right, calls = getattr(owner, name), 0

        def wrong(*arguments: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if self.deed.startswith("="):
                return self.deed[1:]
            if calls == self.call:
                DEEDS[self.deed]()
            return right(*arguments, **named)

        setattr(owner, name, wrong)


def plant() -> None:
    """Plant what is this rank's."""
    if os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0":
        return
    for line in os.environ.get(FAULTS, "").splitlines():
        rank, *fault = line.split()
        if rank == os.environ.get("RANK", "alone"):
            sys.meta_path.insert(0, Planter(*fault))


plant()
