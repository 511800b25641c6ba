"""Ranks that fail: who failed is named in one line, all end with our code, what was saved stays, and the run goes on.

The programs are whole: two processes, started by the short form, by torchrun, or by hand.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch.distributed.run
from safetensors.numpy import load_file

from accelmnist import device as devices
from accelmnist.cli import invoke
from accelmnist.cli import ranks as cli_ranks
from accelmnist.core.config import ExecutionConfig, RunConfig
from accelmnist.core.errors import DeviceError
from accelmnist.core.records import load_record
from accelmnist.device import ranks as ranks_module
from accelmnist.device.ranks import Place, Ranks, join
from accelmnist.engines.choose import EngineChoice, engine_class
from accelmnist.training.run import _require_shared as require_engine_shares
from tests.rank_faults import FAULTS

ROOT = Path(__file__).parent.parent
SMALL = ["--dataset", "synthetic", "--hidden", "8", "--batch-size", "128", "--epochs", "3"]
SMALL += ["--device", "cpu", "--engine", "eager", "--no-reference", "--audit", "2", "--threads", "1"]
LOADED_S = 120  # on a busy machine; a run takes ten


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return int(server.getsockname()[1])


class Started:
    """The processes of `accelmnist run` by two ranks, in `folder`, with `faults` planted in them."""

    def __init__(self, folder: Path, *, faults: str = "", **variables: str) -> None:
        self.folder = folder
        self.files: list[Any] = []
        self.processes: list[Any] = []
        (folder / "sitecustomize.py").write_text("import tests.rank_faults\n")
        self.variables = os.environ | {"PYTHONPATH": f"{folder}:{ROOT}", FAULTS: faults} | variables

    def run(self, how: str, options: Sequence[str], *, own: Sequence[str] = ()) -> Started:
        """Start them by the short form, by torchrun, or by hand, rank 1 then with options of its `own`."""
        run = [sys.executable, "-m", "accelmnist", "run", *options]
        if how == "short":
            self.start([*run, "--ranks", "2"])
        elif how.startswith("torchrun"):
            launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
            self.start([sys.executable, *launcher, *how.split()[1:], *run[1:]])
        else:
            named = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
            for rank in range(2):
                self.start([*run, *(own if rank else ())], RANK=str(rank), **named)
        return self

    def start(self, command: Sequence[str], **variables: str) -> None:
        file = (self.folder / f"output{len(self.files)}").open("w+")
        self.files.append(file)
        self.processes.append(
            subprocess.Popen(
                command, env=self.variables | variables, stdout=subprocess.DEVNULL, stderr=file, cwd=self.folder
            )
        )

    def end(self, *, but: int | None = None) -> list[int]:
        """Wait for the end of all `but` one, which is killed then; returns the exit codes of the others."""
        try:
            return [process.wait(LOADED_S) for rank, process in enumerate(self.processes) if rank != but]
        finally:
            self.kill()

    def kill(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()

    def lines(self) -> list[str]:
        """All that was said on standard error."""
        return [line for file in self.files for line in Path(file.name).read_text().splitlines() if line]


def weights(folder: Path) -> dict[str, Any]:
    return {name: tensor.tobytes() for name, tensor in load_file(folder / "model.safetensors").items()}


def go_on_alone(folder: Path) -> None:
    """Go on with a run of two ranks by one."""
    assert invoke(["run", "--resume", str(folder), "--quiet", "--no-reference", "--audit", "2"]) == 0


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run by two ranks that nothing happened to; it said nothing but its result."""
    folder = tmp_path_factory.mktemp("undisturbed")
    started = Started(folder).run("short", [*SMALL, "--reduction", "exact", "--out", "out"])
    assert started.end() == [0], started.lines()
    assert started.lines() == []
    return folder / "out"


def test_a_rank_that_holds_the_store_is_named_though_its_connections_close_before_it_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alive = iter((True, True))
    monkeypatch.setattr(ranks_module, "_is_alive", lambda _: next(alive, False))
    watcher = object.__new__(ranks_module._Watcher)
    watcher._ranks = SimpleNamespace(rank=1, size=2, host="here", name="rank 1 of 2")
    watcher._launcher, watcher._processes = None, {0: ("here", ranks_module._machine(), 4)}
    assert watcher._why_no_store() == "rank 0 of 2 (here) has ended: its process 4 is gone"
    assert watcher._is_lowest_here()


FAILING = {
    # how, fault, the code of each process but one that was killed, who tells it, what is told
    "killed in training": ("short", "1 accelmnist.training.execute Training._save_checkpoint 2 kill", "1 .*has ended"),
    "killed in evaluation": ("short", "0 accelmnist.training.evaluation evaluate_shared 1 kill", "0 .* has ended"),
    "killed while rank 0 proves": ("hand", "1 accelmnist.device.ranks Ranks.end 1 kill", "1 .*has ended"),
    "the first, with the store": (
        "hand",
        "0 accelmnist.training.execute Training._save_checkpoint 2 kill",
        "0 .* has ended",
    ),
    "proving": ("torchrun", "0 accelmnist.training.proof _judge 1 kill", "0 .* has ended"),
    "hung": (
        "hand",
        "1 accelmnist.training.execute Training._save_checkpoint 2 hang",
        "1 .* has not answered for 15 s",
    ),
    "cut off": (
        "short",
        "1 accelmnist.training.execute Training._save_checkpoint 2 cut",
        "[01] .* lost its connection",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FAILING)
def test_the_rank_that_failed_is_named_and_the_run_goes_on(name: str, tmp_path: Path, undisturbed: Path) -> None:
    how, fault, said = FAILING[name]
    failed = int(fault[0])
    out = tmp_path / "out"
    started = Started(tmp_path, faults=fault).run(how, [*SMALL, "--reduction", "exact", "--out", str(out)])
    codes = started.end(but=failed if how == "hand" else None)
    ours = [line for line in started.lines() if "error:" in line and "Error:" not in line]
    assert len(ours) == 1, started.lines()
    assert re.fullmatch(rf"(\[rank 1 of 2, .*\] )?error: rank {said}.*", ours[0]), ours
    if how == "torchrun":  # its own code, and its log
        assert codes == [1]
    else:
        assert codes == [2]
        assert started.lines() == ours
    record = load_record(out)
    if ours[0].startswith("error: "):  # told by rank 0
        assert (record.status, record.message) == ("failed", ours[0].removeprefix("error: "))
    assert record.epochs
    if name == "killed in training":
        go_on_alone(out)
        assert weights(out) == weights(undisturbed)


@pytest.mark.slow
def test_a_link_that_is_cut_ends_both_sides(tmp_path: Path) -> None:
    names = [f"accelmnist-{os.getpid()}-{side}" for side in "ab"]
    made = [["ip", "netns", "add", name] for name in names]
    made += [
        ["ip", "link", "add", "eth7", "netns", names[0], "type", "veth", "peer", "name", "eth7", "netns", names[1]]
    ]
    for number, name in enumerate(names, 1):
        made += [["ip", "-n", name, "addr", "add", f"10.77.0.{number}/24", "dev", "eth7"]]
        made += [["ip", "-n", name, "link", "set", "eth7", "up"], ["ip", "-n", name, "link", "set", "lo", "up"]]
    started = Started(tmp_path, GLOO_SOCKET_IFNAME="eth7")
    try:
        for command in made:
            try:
                subprocess.run(command, check=True, capture_output=True)
            except (OSError, subprocess.CalledProcessError) as error:
                pytest.skip(f"no network namespaces here: {error}")
        for rank, name in enumerate(names):
            run = [sys.executable, "-m", "accelmnist", "run", *SMALL, "--epochs", "3000", "--out", "out"]
            named = {"WORLD_SIZE": "2", "MASTER_ADDR": "10.77.0.1", "MASTER_PORT": "29500", "RANK": str(rank)}
            started.start(["ip", "netns", "exec", name, *run], **named)
        until = time.monotonic() + LOADED_S
        while not (tmp_path / "out" / "checkpoint.safetensors").exists() and time.monotonic() < until:
            time.sleep(0.1)
        subprocess.run(["ip", "-n", names[1], "link", "set", "eth7", "down"], check=True)
        assert started.end() == [2, 2]
        first, second = started.lines()
        assert re.fullmatch(r"error: rank 1 of 2 .* has not answered for 15 s", first)
        assert re.fullmatch(r"\[rank 1 of 2, .*\] error: the rendezvous has not answered for 30 s: .* cut off", second)
        assert load_record(tmp_path / "out").status == "failed"
    finally:
        started.kill()
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


@pytest.mark.slow
@pytest.mark.parametrize("out", [["--out", "out"], []])
def test_ranks_that_are_started_again_end_with_the_same_weights(
    out: list[str], tmp_path: Path, undisturbed: Path
) -> None:
    fault = f"{len(out) // 2} accelmnist.training.execute Training._save_checkpoint 2 kill"
    started = Started(tmp_path, faults=fault)
    started.run("torchrun --max-restarts 1", [*SMALL, "--reduction", "exact", *out])
    assert started.end() == [0], started.lines()
    assert sum("error: rank" in line for line in started.lines()) == 1
    (folder,) = [tmp_path / "out"] if out else (tmp_path / "results").iterdir()
    assert weights(folder) == weights(undisturbed)
    assert load_record(folder).epochs[0].train_s > 0


@pytest.mark.slow
def test_a_stopped_run_of_one_process_goes_on_by_two(tmp_path: Path, undisturbed: Path) -> None:
    alone = Started(tmp_path, faults="alone accelmnist.training.execute Training._save_checkpoint 2 kill")
    alone.start([sys.executable, "-m", "accelmnist", "run", *SMALL, "--reduction", "exact", "--out", "out"])
    assert alone.end() == [-signal.SIGKILL]
    assert len(load_record(tmp_path / "out").epochs) == 1
    started = Started(tmp_path).run("short", ["--resume", "out", "--no-reference", "--audit", "2"])
    assert started.end() == [0], started.lines()
    assert weights(tmp_path / "out") == weights(undisturbed)


@pytest.mark.slow
def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path: Path, undisturbed: Path) -> None:
    fault = "0 accelmnist.training.execute Training._save_checkpoint 1 interrupt"
    started = Started(tmp_path, faults=fault).run("short", [*SMALL, "--reduction", "exact", "--out", "out"])
    assert started.end() == [130]
    assert started.lines() == [
        "Stopping at the end of this epoch; Ctrl-C again stops at once",
        "error: stopped after epoch 2 of 3. Go on with: accelmnist run --resume out",
    ]
    assert load_record(tmp_path / "out").status == "interrupted"
    go_on_alone(tmp_path / "out")
    assert weights(tmp_path / "out") == weights(undisturbed)


ANYONE = r"(\[rank 1 of 2, .*\] )?"  # rank 0 is given a second to tell it
WRONG = {
    # what is unlike in rank 1, or wrong with both: options of rank 1, options of both, a fault, what is said
    "batch": (["--batch-size", "64"], [], "", ANYONE + r"error: --batch-size is 128 on rank 0 and 64 on rank 1. Give"),
    "version": (
        [],
        [],
        "1 accelmnist.device torch_version 1 =1.0",
        ANYONE + rf"error: torch is .{re.escape(torch.__version__)}. on rank 0 and .1.0. on rank 1. Give",
    ),
    "images": (
        [],
        [],
        "1 accelmnist.training.agreement hash_of 1 =other",
        ANYONE + r"error: the hash of the [a-z]+ images is '[0-9a-f]+' on rank 0 and 'other' on rank 1. Give",
    ),
    "folder": (["--data", "/nothing"], [], "", r"\[rank 1 of 2, .*\] error: /nothing: no such folder. Check"),
    "its line": (["--epochs", "x"], [], "", r"\[rank 1 of 2, .*\] error: Invalid value for '--epochs': 'x' is"),
    "every line": ([], ["--ranks", "3"], "", "error: --ranks 3: 2 are started already. Leave it out"),
    "shares": ([], ["--batch-size", "127"], "", "error: --batch-size: 127 .* by 2 ranks. Give 126 or 128"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", WRONG)
def test_bad_input_is_told_once_before_the_first_step(name: str, tmp_path: Path) -> None:
    own, options, fault, said = WRONG[name]
    data = [*SMALL[2:]] if name == "folder" else SMALL
    started = Started(tmp_path, faults=fault).run("hand", [*data, *options, "--out", "out"], own=own)
    assert started.end() == [2, 2], started.lines()
    (line,) = started.lines()
    assert re.match(said, line), line
    record = tmp_path / "out" / "run.json"
    assert not record.exists() or json.loads(record.read_text())["epochs"] == []


REFUSED = {
    "--ranks 0": "--ranks: 0 is out of range. Give 1 to 1024",
    "--ranks 5000": "--ranks: 5000 is out of range. Give 1 to 1024",
    "--ranks 3": "--batch-size: 128 images can't be shared equally by 3 ranks. Give 126 or 129",
    "--ranks 256": "--batch-size: 128 images can't be shared equally by 256 ranks. Give 256",
    "--ranks 3 --reduction exact": "--reduction exact: 3 ranks can't share 8 parts. Take 1, 2, 4, 8 ranks",
    "--ranks 2 --profile": "--profile has no place beside 2 ranks: it looks at the steps of one process. Leave it out",
    "--ranks 2 --device mps": "--device mps: there is one MPS device, and 2 ranks. Add --device cpu",
    "--ranks 4 --device cuda": "4 ranks here, and 2 GPUs. Start 2, or add --device cpu",
    "--ranks 2 --device cuda:1": "--device cuda:1: each rank has a GPU of its own. Give --device cuda",
}


@pytest.mark.parametrize("options", REFUSED)
def test_what_ranks_cannot_do_is_refused_before_any_is_started(
    options: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def resolve(name: str) -> SimpleNamespace:
        return SimpleNamespace(kind=name.partition(":")[0])

    monkeypatch.setattr(torch.distributed.run, "run", lambda _: pytest.fail("ranks were started"))
    monkeypatch.setattr("accelmnist.device.available", lambda: ("cuda:0", "cuda:1", "mps", "cpu"))
    if "--device" in options:
        monkeypatch.setattr("accelmnist.device.resolve", resolve)
    assert invoke(["run", "--batch-size", "128", "--no-save", *options.split()]) == 2
    assert capsys.readouterr().err == f"error: {REFUSED[options]}\n"


def test_the_persistent_engine_is_refused_with_its_reason() -> None:
    config = RunConfig(execution=ExecutionConfig(device="cpu", engine="persistent", ranks=2))
    engine = EngineChoice(name="persistent", reason="asked for", engine=engine_class("persistent"))
    with pytest.raises(DeviceError, match=r"--engine persistent with 2 ranks: .* Choose another engine"):
        require_engine_shares(config.execution, engine, devices.resolve("cpu"))


def test_a_rendezvous_that_nobody_keeps_is_told_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(port))
    for rank in range(2):  # rank 0 keeps it itself, and waits for the other in vain
        with pytest.raises(
            DeviceError, match=rf"rank {rank} of 2 can't meet .* at 127.0.0.1:{port}: .*(wait|time).* Start all"
        ):
            join(Place(rank, 2, rank, 2), timeout_s=0.5)


def test_a_foreign_program_at_the_rendezvous_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks_module, "_LATE_S", 0.5)
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
        monkeypatch.setenv("MASTER_PORT", str(silent.getsockname()[1]))
        with pytest.raises(DeviceError, match=r"rank 1 of 2 can't meet the others at .* Start all ranks"):
            join(Place(1, 2, 1, 2), timeout_s=0.5)


def test_a_port_in_use_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(socket.create_server(("", 0))) as taken:
        monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
        monkeypatch.setenv("MASTER_PORT", str(taken.getsockname()[1]))
        with pytest.raises(DeviceError, match=r"the port is in use. Give another --master-port"):
            join(Place(0, 2, 0, 2), timeout_s=0.5)


@pytest.mark.parametrize("command", [["doctor"], ["predict", "digit.png"], ["--help"], []])
def test_what_has_no_ranks_is_rank_0s(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    assert invoke(command) == 0
    warnings.warn("the fan is off", stacklevel=1)
    print("nobody sees this")
    told = capsys.readouterr()
    assert told.out == ""


class Gone:
    """A store that is not there any more."""

    def check(self, *_: object) -> bool:
        raise RuntimeError("Broken pipe")

    get = set = compare_set = check


def test_who_kept_the_store_is_named_if_it_is_known_to_be_gone() -> None:
    """Processes of other machines are not looked up: theirs may have any number."""
    watcher = object.__new__(ranks_module._Watcher)
    watcher._ranks, watcher._store, watcher._launcher = Ranks(Place(1, 3, 1, 3)), Gone(), None
    nobody = subprocess.Popen(["true"])
    nobody.wait()
    here = ranks_module._machine()
    watcher._processes = {0: ("far", "another machine", nobody.pid), 2: ("near", here, os.getpid())}
    assert watcher._why_no_store().startswith("the rendezvous is gone: rank 0 of 3 (far), or who started it, has ended")
    watcher._processes[0] = ("near", here, nobody.pid)
    assert watcher._why_no_store() == f"rank 0 of 3 (near) has ended: its process {nobody.pid} is gone"
    watcher.lost, watcher._lock = "", threading.Lock()
    assert watcher.enter("it is gone")  # none lower is here, and there is no store to agree by
    watcher._processes[0] = ("near", here, os.getpid())
    watcher.lost = ""
    assert not watcher.enter("it is gone")


@pytest.mark.parametrize(
    ("cores", "threads"),
    [
        ({10: range(8), 11: range(8)}, 4),
        ({10: range(8), 11: range(8, 16)}, 8),  # bound by who started them, as Slurm does
        ({10: range(8), 11: range(4, 12)}, 4),
    ],
)
def test_ranks_share_the_cores_that_more_than_one_of_them_may_run_on(
    cores: dict[int, range], threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = ranks_module._machine()
    ranks, watcher = Ranks(Place(0, 3, 0, 2)), object.__new__(ranks_module._Watcher)
    watcher._processes = {0: ("near", here, 10), 1: ("near", here, 11), 2: ("far", "another machine", 10)}
    ranks._watcher = watcher
    monkeypatch.setattr(ranks_module, "cores_of", lambda process: frozenset(cores[process]))
    monkeypatch.setattr(os, "getpid", lambda: 10)
    monkeypatch.setattr(cli_ranks, "usable_cores", lambda: 8)
    execution, why = cli_ranks.execution_of_rank(ExecutionConfig(device="cpu"), ranks)
    assert execution.threads == threads
    assert why == "its share of the 8 cores here"
