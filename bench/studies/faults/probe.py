"""The process in which the program runs with a fault: it has the libraries loaded, and forks for every fault.

A line of JSON on its standard input names the folder of the copy, the command and how often to run it; a line on its
standard output says what came of it. Loading the libraries takes most of a short run, so it is done once, before
anything of the package is. Its helper process, which loads what is loaded here, is left out.

`stand_in` puts what a processor can run in the place of a GPU:

    graphs       the engine `cuda_graph`, whose graphs are written down and replayed operator by operator
    triton       the engine `fused` on CUDA, whose kernels Triton interprets
    persistent   the engine `persistent`, likewise, a part of a step after the other
    resume       no device: the run is stopped after its second epoch, and gone on with
"""

from __future__ import annotations

import io
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

CRASHED = 70
_LIBRARIES = ("torch", "torch.optim.adam", "sklearn.metrics", "scipy.special", "matplotlib.figure", "rich.live")


def stand_in_for_graphs() -> None:
    """Let `cuda_graph` run on the CPU."""
    from accelmnist.engines.cuda_graph import CudaGraphEngine
    from tests.graph_stand_in import FakeGraphs

    _allow(CudaGraphEngine)
    _loaded("accelmnist.engines.step.replay").capture_graphs = FakeGraphs()


def stand_in_for_triton() -> None:
    """Let `fused` run its kernels for CUDA on the CPU; a replay is a call."""
    from tests.interpreted import _prepare

    _prepare()
    fused = _loaded("accelmnist.engines.fused")
    _allow(fused.FusedEngine)
    fused.FusedEngine.prepare = fused._replayed
    _loaded("accelmnist.engines.step.replay").capture_graphs = lambda _device, works: list(works)


def stand_in_for_persistent() -> None:
    """Let `persistent` run on the CPU, as if on eight multiprocessors: the end of a launch is the barrier."""
    from accelmnist.engines.step.device_runner import device_runner
    from tests.interpreted import _prepare

    _prepare()
    engine = _loaded("accelmnist.engines.persistent").PersistentEngine
    epochs_of = _loaded("accelmnist.engines.triton.persistent_epochs")
    _allow(engine)
    launch = epochs_of.PersistentEpochs.launch

    def in_parts(epochs: Any, arguments: dict[str, Any], *, first: int, steps: int, **_: Any) -> None:
        for step in range(first, first + steps):
            for part in ("forward", "head", "update"):
                launch(epochs, arguments, first=step, steps=1, PART=part)

    def prepare(job: Any, _sample: Any) -> Any:
        epochs = epochs_of.PersistentEpochs(job, epochs_of.partition_of(job.config, 8))
        return device_runner(epochs, epochs.kept, job.device)

    epochs_of.PersistentEpochs.launch = in_parts
    engine.prepare = prepare


def _allow(engine: Any) -> None:
    engine.kinds, engine.compiles_on = ("cpu",), ()
    engine.unsupported = classmethod(lambda *_: None)


def _loaded(name: str) -> Any:
    """A module in which something is replaced."""
    return import_module(name)


def stopped_and_resumed(command: Sequence[str]) -> int:
    """Run `command`, stop it after its second epoch, and go on: the first one's average is its weights."""
    from accelmnist.cli import invoke

    stop = _loaded("accelmnist.cli.shell").StopOnInterrupt
    epochs = count(1)
    stop.requested = property(lambda _: next(epochs) >= 2, lambda *_: None)
    invoke(command)
    stop.requested = False
    return invoke(["run", "--resume", command[command.index("--out") + 1]])


STAND_INS: dict[str, Callable[[], None]] = {
    "graphs": stand_in_for_graphs,
    "triton": stand_in_for_triton,
    "persistent": stand_in_for_persistent,
}


def run(command: Sequence[str], stand_in: str, folder: Path) -> dict[str, Any]:
    """What came of one run: its exit code, what failed in its record, and the last line that it wrote."""
    from accelmnist.cli import invoke

    command = [part.format(out=folder) for part in command]
    is_saved = str(folder) in command
    out, err = io.StringIO(), io.StringIO()
    started = time.perf_counter()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = stopped_and_resumed(command) if stand_in == "resume" else invoke([*command, "--json"])
        except Exception:
            traceback.print_exc()
            code = CRASHED
    text = _saved(folder) if is_saved else out.getvalue()
    if not is_saved and text:
        folder.mkdir(parents=True)
        (folder / f"{command[0]}.json").write_text(text)
    try:
        failed = list(failures(json.loads(text)))
    except ValueError:
        failed = []
    said = (err.getvalue().strip().splitlines() or [""])[-1]
    return {"code": code, "failed": failed, "said": said, "seconds": time.perf_counter() - started}


def _saved(folder: Path) -> str:
    record = folder / "run.json"
    return record.read_text() if record.exists() else ""


def failures(value: Any) -> Iterator[dict[str, Any]]:
    """Every check that failed, wherever it stands in a record."""
    if isinstance(value, dict):
        if value.get("passed") is False and value.get("condemns", True) and "limit" in value:
            yield {name: value.get(name) for name in ("name", "value", "limit", "detail")}
        for part in value.values():
            yield from failures(part)
    elif isinstance(value, list):
        for part in value:
            yield from failures(part)


def answer(asked: dict[str, Any]) -> list[dict[str, Any]]:
    """Run what is asked for; the package is that of the folder."""
    os.chdir(asked["folder"])
    sys.path.insert(0, asked["folder"])
    os.environ.update(asked["environment"])
    package = _loaded("accelmnist")
    assert package.__file__.startswith(asked["folder"]), "the package with the fault comes first"
    _loaded("accelmnist.cli.helper_process").HelperProcess.begin = lambda _: None
    if asked["stand_in"] in STAND_INS:
        STAND_INS[asked["stand_in"]]()
    folders = [Path(f"out/{number}").absolute() for number in range(asked["runs"])]
    return [run(asked["command"], asked["stand_in"], folder) for folder in folders]


def main() -> None:
    """Answer the lines of standard input, each in a process of its own."""
    for library in _LIBRARIES:
        import_module(library)
    for line in sys.stdin:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)
            os.close(reading)
            with os.fdopen(writing, "w") as pipe:
                json.dump(answer(json.loads(line)), pipe)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            text = pipe.read()
        os.waitpid(child, 0)
        print(text or json.dumps([]), flush=True)


if __name__ == "__main__":
    main()
