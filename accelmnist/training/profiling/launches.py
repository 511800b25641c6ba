"""How much a step starts, and how often the host waits in it: counts of profiler events.

    operations      on CUDA, what reaches the driver: launches of kernels and graphs, copies, fills. Elsewhere,
                    operators that compute: the leaves of the trees of calls, once the calls that only make views,
                    reserve memory or read a number are cut off. So a linear layer is one, as it is one kernel on a GPU
    host syncs      on CUDA, calls that synchronize and copies that block. Elsewhere, tensors read as Python numbers; on
                    the CPU only by the program itself, since an operator that reads one waits for nobody
    graph replays   launches of a CUDA graph

Where one counted call makes another, the outer one counts. What can't be seen isn't counted, so on the CPU the count is
a lower bound: a compiled graph is one operation with those that it calls by name, since its own loops raise no event
(they would if it were compiled anew with `cpp.enable_kernel_profile`), and native code that is called past torch's
operators raises none at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from accelmnist.core.records import Launches
from accelmnist.training.profiling.events import Event, ancestors, driver_call, is_compiled_graph, is_host, roots

_OPERATOR = re.compile(r"\w+::\w+")
_STARTS = re.compile(r"\w*Launch\w*Kernel\w*|GraphLaunch|Mem(?:cpy|set)\w*")
_WAITS = re.compile(r"(?:Device|Ctx|Stream|Event)Synchronize|Memcpy(?!\w*Async)\w*")
_READS = frozenset({"aten::is_nonzero", "aten::item", "aten::_local_scalar_dense"})

# Views, reservations and questions: they take the host's time, which the table shows, and start no work.
_FREE = """
    alias _conj conj detach detach_ lift_fresh resolve_conj resolve_neg real imag view_as_real view_as_complex
    as_strided view view_as _unsafe_view reshape reshape_as _reshape_alias ravel flatten unflatten contiguous
    expand expand_as broadcast_to broadcast_tensors t numpy_T mT transpose transpose_ permute movedim swapaxes
    select slice narrow unbind split split_with_sizes chunk tensor_split unfold diagonal
    squeeze squeeze_ unsqueeze unsqueeze_ to type_as
    empty empty_like empty_strided new_empty new_empty_strided resize_ set_ result_type
"""
_NO_WORK = _READS | {f"aten::{name}" for name in _FREE.split()}


def count_launches(events: Sequence[Event], *, steps: int, on_cpu: bool) -> Launches:
    """Counts a step, of all the `events` of `steps` steps; `on_cpu` where the host is itself the device."""
    host = [event for event in events if is_host(event)]
    if has_driver_calls(host):
        operations = len(_outermost(host, lambda name: _matches(_STARTS, name)))
        syncs = len(_outermost(host, lambda name: _matches(_WAITS, name)))
    else:
        operations = sum(_computing(root) for root in roots(host))
        reads = _outermost(host, _READS.__contains__)
        syncs = sum(not (on_cpu and any(map(_is_operator, ancestors(read)))) for read in reads)
    replays = sum(driver_call(event.name) == "GraphLaunch" for event in host)
    return Launches(operations=operations / steps, host_syncs=syncs / steps, graph_replays=replays / steps)


def has_driver_calls(events: Iterable[Event]) -> bool:
    """Whether the calls of a GPU's driver were seen, by which launches are counted best."""
    return any(is_host(event) and driver_call(event.name) for event in events)


def _matches(pattern: re.Pattern[str], name: str) -> bool:
    return pattern.fullmatch(driver_call(name) or "") is not None


def _outermost(host: Sequence[Event], counts: Callable[[str], bool]) -> list[Event]:
    """The events that have a name that `counts` and were not made by another one that does."""
    named = (event for event in host if counts(event.name))
    return [event for event in named if not any(counts(above.name) for above in ancestors(event))]


def _is_operator(event: Event) -> bool:
    return _OPERATOR.fullmatch(event.name) is not None and not event.is_user_annotation


def _computing(event: Event) -> int:
    """Operators that compute, and compiled graphs, at and below `event`."""
    below = sum(_computing(child) for child in event.cpu_children)
    if is_compiled_graph(event.name):
        return below + 1
    computes_itself = _is_operator(event) and event.name not in _NO_WORK
    return below or int(computes_itself)
