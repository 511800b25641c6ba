"""What is compiled while it should not be: recompilations and graph breaks, with their causes.

A region that is timed must not compile: one recompilation takes as long as a thousand steps. torch's compiler counts
its graphs and its breaks, and keeps a record of every compilation with the guard that failed. Read before and after,
they tell what happened in between. Where nothing was ever compiled the compiler isn't loaded, and isn't by this.

Sources: torch._dynamo.utils, `counters` and `get_compilation_metrics` (torch 2.11 to 2.14).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import TracebackType
from typing import Any

_UNKNOWN_CAUSE = "the compiler gives no cause"


@dataclass(frozen=True)
class Compilations:
    """What was compiled: a cause in words for each recompilation and each graph break."""

    recompiles: tuple[str, ...] = ()
    graph_breaks: tuple[str, ...] = ()

    def __add__(self, other: Compilations) -> Compilations:
        return Compilations(self.recompiles + other.recompiles, self.graph_breaks + other.graph_breaks)


@dataclass(frozen=True)
class _Counts:
    graphs: int
    breaks: dict[str, int]


class CompileWatch:
    """Within: what the compiler does is noted, and is in `seen` afterwards. Costs some microseconds."""

    def __init__(self) -> None:
        self.seen = Compilations()

    def __enter__(self) -> CompileWatch:
        self._before = _counts()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        after = _counts()
        new_breaks = [
            _first_line(cause) for cause, count in after.breaks.items() if count > self._before.breaks.get(cause, 0)
        ]
        self.seen = Compilations(_causes(after.graphs - self._before.graphs), tuple(new_breaks))


def _dynamo() -> Any:
    """The compiler's own accounts, or None where it was never loaded."""
    return sys.modules.get("torch._dynamo.utils")


def _counts() -> _Counts:
    dynamo = _dynamo()
    if dynamo is None:
        return _Counts(0, {})
    counters = dynamo.counters
    return _Counts(counters["stats"].get("unique_graphs", 0), dict(counters["graph_break"]))


def _causes(graphs: int) -> tuple[str, ...]:
    """The causes of the last `graphs` compilations."""
    if graphs <= 0:
        return ()
    metrics = list(_dynamo().get_compilation_metrics())[-graphs:]
    causes = [_first_line(getattr(one, "recompile_reason", None) or _UNKNOWN_CAUSE) for one in metrics]
    return tuple(causes) + (_UNKNOWN_CAUSE,) * (graphs - len(causes))


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or [_UNKNOWN_CAUSE])[0]
