"""Profiles: some steps under torch's profiler, for counts of launches and host syncs, and for where the time goes.

The steps run once to warm up, once more under the profiler to warm that up, and once to be counted, each time
synchronized at the end. Only what lies inside the counted region counts, so that no start, no synchronization at the
ends and no compiling is in the figures. What an epoch does besides its steps (it takes its plan apart and joins the
losses) is in them, divided by the steps.

Profiling slows every call down, and small ones most: its times say where the time goes, never how fast something is.
Nothing of it stays behind: no slowdown of later steps could be measured. Twenty eager steps take a few tenths of a
second, most of it torch's own, 45 µs an event.

It is `torch.autograd.profiler.profile`, the part that records of `torch.profiler.profile`. The latter imports the whole
compiler when it starts: 2 s and 150 MB in a process that compiles nothing, against 1 ms.

Sources: PyTorch's documentation of the profiler; the trace is in the Trace Event Format of Chrome, which
chrome://tracing and https://ui.perfetto.dev open.
"""

from __future__ import annotations

import gzip
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch.autograd import profiler

from accelmnist.core.errors import OutputError
from accelmnist.core.files import write_atomically
from accelmnist.core.records import Launches, OperationFigures, ProfileSummary
from accelmnist.device import Device, matmul_precision, synchronize
from accelmnist.engines.contract import Job, Runner
from accelmnist.engines.plan import Epoch, TrainingPlan
from accelmnist.training.checkpoint import load_weights, weights_of
from accelmnist.training.profile_events import (
    HOST_ROW,
    Event,
    count_launches,
    has_driver_calls,
    is_compiled_graph,
    tabulate,
    within,
)

TRACE_NAME = "profile.json.gz"
COUNTED_STEPS = 5  # enough for counts, which are the same every step
PROFILED_STEPS = 20  # for shares of the time, which are not

_WARM_UP, _COUNTED = "accelmnist: warm-up", "accelmnist: counted steps"
_MOST = 0.5  # of the host's time
# Kineto speaks on standard error whenever it starts and stops, and of every GPU that is not there.
_LOG_LEVEL, _SILENT = "KINETO_LOG_LEVEL", "99"
_KEPT_IN_TRACE = ("schemaVersion", "deviceProperties", "displayTimeUnit", "baseTimeNanoseconds", "traceEvents")


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What came of a profile: the counts for a benchmark's record, and all figures for a run's."""

    launches: Launches
    summary: ProfileSummary


def profile_training(runner: Runner, job: Job, *, steps: int = PROFILED_STEPS, trace: Path | None = None) -> Profile:
    """Profile the first steps of `job` by the runner that trains it; weights and state end as they began.

    The Chrome trace goes to `trace`; raises OutputError where that can't be written.
    """
    epoch = runner.upload(TrainingPlan(job.config, len(job)).epoch(0))
    weights, state = weights_of(job.model), runner.state()
    try:
        with matmul_precision(job.device, job.config.execution.precision):
            return profile_steps(runner, epoch, job.device, steps=steps, trace=trace)
    finally:
        load_weights(job.model, weights, source="the profile's copy")
        runner.load_state(state)


def profile_steps(
    runner: Runner, epoch: Epoch[Any], device: Device, *, steps: int = COUNTED_STEPS, trace: Path | None = None
) -> Profile:
    """Profile the first `steps` steps of `epoch`, which lies on the device.

    They run three times and change the weights and the runner's state: what is needed afterwards, the caller keeps and
    restores. TF32 is the caller's to set, as for training. The Chrome trace goes to `trace`, gzip's where the name ends
    in .gz; raises OutputError where that can't be written.
    """
    steps = min(steps, len(epoch))
    few = epoch[:steps]
    return _profile(lambda: runner.train_epoch(few), device, steps=steps, trace=trace)


def profile_calls(
    work: Callable[[], object], device: Device, *, steps: int = COUNTED_STEPS, trace: Path | None = None
) -> Profile:
    """Profile `steps` calls of `work`, such as a batch that is classified; figures are of one call."""

    def all_calls() -> None:
        for _ in range(steps):
            work()

    return _profile(all_calls, device, steps=steps, trace=trace)


def _profile(work: Callable[[], object], device: Device, *, steps: int, trace: Path | None) -> Profile:
    work()  # what compiles for this number of steps does it here, where nobody records a compiler's calls
    synchronize(device)
    recorded = _record(work, device)
    if trace is not None:
        _save_trace(recorded, trace)
    return summarize(recorded.function_events, device, steps=steps)


def _record(work: Callable[[], object], device: Device) -> Any:
    """torch's finished profile of `work`, run twice: in the warm-up's region and in the one that counts."""
    os.environ.setdefault(_LOG_LEVEL, _SILENT)
    kind = "cuda" if device.kind == "cuda" else None
    with profiler.profile(use_device=kind, use_kineto=True) as recorded:
        for region in (_WARM_UP, _COUNTED):
            with profiler.record_function(region):
                work()
            synchronize(device)
    return recorded


def summarize(events: Sequence[Event], device: Device, *, steps: int) -> Profile:
    """The profile that follows from all of a recording's `events`, of which one is the region of `steps` steps."""
    region = next(event for event in events if event.name == _COUNTED)
    counted = within(events, region)
    launches = count_launches(counted, steps=steps, on_cpu=device.kind == "cpu")
    rows = tabulate(region, counted, steps=steps)
    summary = ProfileSummary(
        steps=steps,
        **asdict(launches),
        rows=rows,
        notes=(_sentence(launches, rows), *_caveats(counted, rows, device)),
    )
    return Profile(launches=launches, summary=summary)


def _sentence(launches: Launches, rows: Sequence[OperationFigures]) -> str:
    largest = rows[0]
    place = "host" if largest.device_s is None else "device"
    replays = f", {launches.graph_replays:.3g} graph replays" if launches.graph_replays else ""
    counts = f"{launches.operations:.3g} operations{replays} and {launches.host_syncs:.3g} host syncs a step"
    where = largest.name if largest.name == HOST_ROW else f"in {largest.name}"
    return f"{counts}; {largest.share:.0%} of the {place}'s time is {where}"


def _caveats(counted: Sequence[Event], rows: Sequence[OperationFigures], device: Device) -> list[str]:
    """What a reader must know of these figures."""
    notes = ["Profiling slows every call down: read the shares, and take speeds from the run itself."]
    if device.kind == "mps":
        notes.append(
            "On MPS torch's profiler sees the host alone: operations are its calls, the GPU's time is unknown."
        )
    if device.kind == "cuda" and not has_driver_calls(counted):
        notes.append("The CUDA driver's calls could not be traced (CUPTI): operators are counted in their place.")
    if any(is_compiled_graph(event.name) for event in counted) and not has_driver_calls(counted):
        notes.append(
            "A compiled graph counts once, with what it calls by name; its own loops can't be seen one by one."
        )
    if device.kind == "cpu" and next(row.share for row in rows if row.name == HOST_ROW) > _MOST:
        notes.append("Most of the time passes between torch's operators: in Python, or in native code that isn't seen.")
    return notes


def _save_trace(recorded: Any, path: Path) -> None:
    try:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "trace.json"
            recorded.export_chrome_trace(str(file))
            content = _anonymous(file.read_bytes())
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or "the profiler left no whole trace"
        raise OutputError(
            f"cannot write {path}: {cause.lower()}", remedy="Make room in the temporary folder"
        ) from error
    write_atomically(path, gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def _anonymous(trace: bytes) -> bytes:
    """The trace without the names of the host and of the file that it went to first, so that it can be shared."""
    whole = json.loads(trace)
    return json.dumps({key: whole[key] for key in _KEPT_IN_TRACE if key in whole}, separators=(",", ":")).encode()
