"""Functions compiled apart from each other by torch.compile, and a watch that records what was compiled and why.

Compiled code belongs to Python's code object, which all instances of a class share: with thirty engines alive each call
would try the guards of thirty graphs in turn, and after eight torch stops compiling. `compile_apart` gives each
function a code object of its own. That code goes when the function goes; nothing is reset for all.

The watch reads what torch's tracer counts anyway, and only if the tracer is loaded: importing it takes two seconds.
"""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, ParamSpec, TypeVar

import torch

from accelmnist.device import Device

P = ParamSpec("P")
R = TypeVar("R")

_TRACER = "torch._dynamo.utils"
_PLAIN = {"generic_jump": "Python branched on the value of a tensor"}  # torch's own word for it says nothing


def compile_apart(function: Callable[P, R], *, name: str, device: Device) -> Callable[P, R]:
    """`function` compiled for `device` as one graph of fixed shapes (a graph break is an error), apart from others.

    It is compiled at its first call; `name` is what a recompilation of it is reported under.
    """

    def call(*arguments: P.args, **options: P.kwargs) -> R:
        return function(*arguments, **options)

    code = call.__code__.replace(co_name=name)
    own = types.FunctionType(code, call.__globals__, name, None, call.__closure__)
    compiled: Callable[P, R] = torch.compile(own, fullgraph=True, dynamic=False, options=_options(device))
    return compiled


def _options(device: Device) -> dict[str, Any]:
    """torch.compile's options. On the CPU the kernels' caller is C++ too, and a loop is kept in the cache on disk.

    torch leaves loops out of that cache unless told; its key holds the loop's body, which a test makes sure of.
    """
    if device.kind != "cpu":
        return {}
    loop = "torch.ops.higher_order.while_loop"
    return {"cpp_wrapper": True, "unsafe_marked_cacheable_functions": {loop: str(torch.__version__)}}


@dataclass(frozen=True)
class Compilations:
    """What was compiled, for the first time or again, and where graphs broke, each with its cause in words."""

    recompiles: tuple[str, ...] = ()
    graph_breaks: tuple[str, ...] = ()

    def __add__(self, other: Compilations) -> Compilations:
        return Compilations(self.recompiles + other.recompiles, self.graph_breaks + other.graph_breaks)


class CompileWatch:
    """A context; afterwards `seen` has what was compiled within it. Entering and leaving takes microseconds."""

    def __init__(self) -> None:
        self.seen = Compilations()

    def __enter__(self) -> CompileWatch:
        self._before = [next(reversed(notes), None) for notes in (_compiled(), _graph_breaks())]
        return self

    def __exit__(self, *_: object) -> None:
        compiled, breaks = map(_since, (_compiled(), _graph_breaks()), self._before)
        self.seen = Compilations(
            recompiles=tuple(map(_compile_cause, compiled)),
            graph_breaks=tuple(dict.fromkeys(_break_cause(graph_break) for graph_break in breaks)),
        )


def _since(notes: list[Any], last: Any) -> list[Any]:
    """The notes after `last`; all where it is gone, since torch's lists start anew at a reset."""
    return list(takewhile(lambda note: note is not last, reversed(notes)))[::-1]


def _compiled() -> list[Any]:
    """torch's notes on the latest compilations, at most 64, the oldest first; empty if nothing was compiled."""
    read = getattr(sys.modules.get(_TRACER), "get_compilation_metrics", None)
    return read() if read else []


def _graph_breaks() -> list[Any]:
    """torch's notes on every graph break so far."""
    reasons: list[Any] = getattr(sys.modules.get(_TRACER), "graph_break_reasons", [])
    return reasons


def _compile_cause(metrics: Any) -> str:
    name = getattr(metrics, "co_name", None) or "a function"
    failure = getattr(metrics, "fail_reason", None)
    reason = getattr(metrics, "recompile_reason", None)
    if failure:
        return f"{name} could not be compiled: {_headline(failure)}"
    return f"{name} was compiled again: {_headline(reason)}" if reason else f"{name} was compiled for the first time"


def _break_cause(graph_break: Any) -> str:
    """Where the graph broke, torch's headline and its explanation."""
    reason = str(getattr(graph_break, "reason", "no cause given"))
    reason = _PLAIN.get(reason.partition(" ")[0], reason)
    stack = getattr(graph_break, "user_stack", None)
    position = f"{stack[-1].name}, line {stack[-1].lineno}: " if stack else ""
    explanation = re.search(r"^\s*Explanation: (.*)$", reason, flags=re.MULTILINE)
    return position + _headline(reason) + (f": {explanation[1].strip()}" if explanation else "")


def _headline(text: str) -> str:
    """The first line that says something, without the number of the compilation that torch puts before it."""
    lines = [re.sub(r"^\d+/\d+: ", "", line.strip()) for line in text.splitlines()]
    return next((line for line in lines if line), "no cause given")
