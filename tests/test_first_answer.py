"""The first answer: the native kernels train without torch, the accuracy is told at once, and then it is proven."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from accelmnist.core.config import DataConfig, ExecutionConfig, ModelConfig, RunConfig, TrainingConfig
from accelmnist.core.errors import DataError, DivergedError
from accelmnist.core.records import load_record
from accelmnist.data.idx import write_idx
from accelmnist.data.types import Dataset
from accelmnist.device import available, cpu_instructions, is_known_without_torch, names, resolve, torch_version
from accelmnist.device.loading import usable_threads
from accelmnist.engines import choose, native
from accelmnist.engines.choose import BenchmarkSetting, Speed, SpeedTable, choose_engine, setting_of
from accelmnist.engines.native.network import NativeNetwork
from accelmnist.show.observer import SilentObserver
from accelmnist.training import execute as module
from accelmnist.training.checkpoint import find_stopped_run
from accelmnist.training.execute import answers_first, execute
from accelmnist.training.run import RunOutcome, RunRequest, choose_setup

pytestmark = pytest.mark.skipif(native.why_missing() is not None, reason=str(native.why_missing()))


@pytest.fixture(autouse=True)
def no_measured_speeds(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache folder of its own, here and in processes: other tests' benchmarks may have another engine ahead."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


ON_CPU = ExecutionConfig(device="cpu", engine="fused", threads=1)


@pytest.fixture(scope="module")
def folder(synthetic: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The synthetic set as files."""
    place = tmp_path_factory.mktemp("images")
    for name, part in (("train", synthetic.train), ("t10k", synthetic.test)):
        write_idx(place / f"{name}-images-idx3-ubyte", part.images.reshape(-1, 28, 28))
        write_idx(place / f"{name}-labels-idx1-ubyte", part.labels.astype(np.uint8))
    return place


def config_of(folder: Path, **settings: Any) -> RunConfig:
    choices = {"epochs": 3, "batch_size": 64, "learning_rate": 0.01} | settings
    return RunConfig(
        data=DataConfig(folder=str(folder)),
        model=ModelConfig(hidden=(40,), dropout=0.1),
        training=TrainingConfig(**choices),
        execution=ON_CPU,
    )


def run(config: RunConfig, **settings: Any) -> RunOutcome:
    return execute(RunRequest(config=config, **settings), choose_setup(config), SilentObserver)


@pytest.fixture
def early(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has not loaded torch, as far as a run can tell."""
    monkeypatch.setattr(module, "answers_first", lambda setup: setup.engine.name == "fused")


@pytest.mark.parametrize("optimizer", ["sgd", "sgd-momentum", "adamw"])
def test_a_run_that_answers_first_is_any_other_to_the_bit(
    folder: Any, optimizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(folder, optimizer=optimizer)
    plain = run(config)
    monkeypatch.setattr(module, "answers_first", lambda _setup: True)
    early = run(config)
    for mine, its in zip(plain.model.parameters(), early.model.parameters(), strict=True):
        assert torch.equal(mine, its)
    assert early.record.metrics == plain.record.metrics
    assert early.record.verdict is not None
    assert early.record.verdict.passed
    untimed = [[replace(one, train_s=0.0, images_per_s=0.0) for one in each.record.epochs] for each in (plain, early)]
    assert untimed[0] == untimed[1]


class Told(SilentObserver):
    """It writes down what it is told."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def planned(self, record: Any) -> None:
        self.events.append("planned")

    def epoch_done(self, figures: Any) -> None:
        self.events.append(f"epoch {figures.epoch}")


@pytest.mark.parametrize("epochs", [0, 1, 2])
def test_a_run_shows_and_saves_itself_when_its_time_is_over(
    folder: Any, epochs: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, early: Any
) -> None:
    """After as many epochs as there was time for; the rest is told as it happens, and the weights are the same."""
    config = config_of(folder)
    whole = run(config)
    answers: list[Any] = []
    saved: list[Any] = []
    told = Told()
    monkeypatch.setattr(module, "LONGEST_S", -1.0 if epochs == 0 else 1.0)
    original = NativeNetwork.train_epoch

    class Clock:
        """It jumps beyond the limit with the last epoch that is wanted."""

        def perf_counter(self) -> float:
            return 1e6 if trained >= epochs else 0.0

    trained = 0

    def train_epoch(self: Any, epoch: Any) -> Any:
        nonlocal trained
        trained += 1
        told.events.append("trained")
        saved.append((tmp_path / "run" / "run.json").exists())
        return original(self, epoch)

    monkeypatch.setattr(NativeNetwork, "train_epoch", train_epoch)
    monkeypatch.setattr(module, "time", Clock())
    request = RunRequest(
        config=config, folder=tmp_path / "run", on_answer=answers.append, since_start=lambda: 9.5, audit_windows=0
    )
    outcome = execute(request, choose_setup(config), lambda: told)
    for mine, its in zip(whole.model.parameters(), outcome.model.parameters(), strict=True):
        assert torch.equal(mine, its)
    before = [*(["trained"] * epochs), "planned", *(f"epoch {number + 1}" for number in range(epochs))]
    after = [event for number in range(epochs, 3) for event in ("trained", f"epoch {number + 1}")]
    assert told.events == before + after
    assert saved == [number >= epochs for number in range(3)]
    assert answers == []
    assert [one.epoch for one in outcome.record.epochs] == [1, 2, 3]
    assert outcome.record.timing.to_accuracy_s == 9.5


def test_times_are_those_of_the_first_answer(folder: Any, early: Any) -> None:
    ages = iter([1.25, 9.5])
    timing = run(config_of(folder), since_start=lambda: next(ages)).record.timing
    assert timing.to_accuracy_s == 1.25
    assert timing.evaluate_s is not None
    assert next(ages) == 9.5


def test_the_first_answer_is_the_one_of_the_record(folder: Any, early: Any) -> None:
    answers: list[float] = []
    metrics = run(config_of(folder), on_answer=answers.append).record.metrics
    assert metrics is not None
    assert answers == [pytest.approx(metrics.accuracy, abs=1 / 512)]
    assert answers[0] > 0.5


def test_what_was_trained_is_saved_before_it_is_proven(
    folder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, early: Any
) -> None:
    """A run that is killed after its first answer goes on from there."""
    config = config_of(folder)
    monkeypatch.setattr("accelmnist.training.proof.evaluate", lambda *_, **__: stop())
    with pytest.raises(KeyboardInterrupt):
        run(config, folder=tmp_path / "run")
    monkeypatch.undo()
    stopped_config, found = find_stopped_run(tmp_path / "run")
    assert found is not None
    whole = run(config)
    assert [one.epoch for one in found.epochs] == [1, 2, 3]
    weights = dict(whole.model.named_parameters())
    assert all(torch.equal(found.weights[name], weights[name]) for name in weights)
    assert {"scalar/count", "exp_avg/layers.0.weight"} <= found.state.keys()
    assert len(found.losses) == found.state["scalar/count"].item()
    setup = choose_setup(stopped_config, resumed_after=3)
    again = execute(RunRequest(config=stopped_config, checkpoint=found), setup, SilentObserver)
    assert again.record.metrics == whole.record.metrics


def stop() -> None:
    raise KeyboardInterrupt


def test_a_training_that_diverges_is_told_and_saved(folder: Any, tmp_path: Path, early: Any) -> None:
    with pytest.raises(DivergedError):
        run(config_of(folder, optimizer="sgd", learning_rate=1e30), folder=tmp_path / "run")
    assert load_record(tmp_path / "run").status == "diverged"


def test_wrong_data_is_told_as_ever(tmp_path: Path, early: Any) -> None:
    with pytest.raises(DataError, match="no such folder"):
        run(config_of(tmp_path / "nowhere"))


# --- what is known without torch


@pytest.fixture
def quiet_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has no accelerator, whatever this one has, in a process without torch."""
    monkeypatch.setattr(names, "_DRIVERS", ())
    monkeypatch.setattr(names.sys, "platform", "linux")
    monkeypatch.setattr(module, "sys", type("without torch", (), {"modules": {}}))


@pytest.mark.parametrize(
    ("changed", "waits"),
    [
        ({}, False),
        ({"execution": ExecutionConfig(device="auto", engine="auto")}, False),
        ({"execution": ExecutionConfig(device="cpu", engine="eager")}, True),
        ({"execution": ExecutionConfig(device="cpu", precision="bf16")}, False),
        ({"execution": ExecutionConfig(device="cpu", precision="fp16")}, True),
        ({"training": TrainingConfig(augment="shift")}, True),
        ({"training": TrainingConfig(averaging=0.5)}, True),
        ({"data": DataConfig(dataset="synthetic")}, True),
        ({"data": DataConfig(dataset="kmnist")}, True),
        ({"data": DataConfig(dataset="kmnist", folder="here")}, False),
        ({"model": ModelConfig(hidden=(2048,))}, True),
    ],
)
def test_it_answers_first_where_the_native_kernels_train_small_networks(
    quiet_machine: Any, changed: Any, waits: Any
) -> None:
    config = replace(RunConfig(execution=ExecutionConfig(device="cpu")), **changed)
    assert answers_first(choose_setup(config)) != waits


def test_a_process_that_has_torch_has_nothing_to_wait_for() -> None:
    assert not answers_first(choose_setup(RunConfig(execution=ON_CPU)))


def test_a_driver_leaves_the_device_open(quiet_machine: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert available() == ["cpu"]
    assert is_known_without_torch("auto")
    assert not is_known_without_torch("cuda")
    monkeypatch.setattr(names, "_DRIVERS", (str(tmp_path),))
    assert not is_known_without_torch("auto")
    assert is_known_without_torch("cpu")


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_other_systems_may_have_an_accelerator(
    quiet_machine: Any, monkeypatch: pytest.MonkeyPatch, platform: Any
) -> None:
    monkeypatch.setattr(names.sys, "platform", platform)
    assert not is_known_without_torch("auto")


def speed(engine: str, images_per_s: float, setting: BenchmarkSetting, **changed: Any) -> Speed:
    return Speed(
        setting=replace(setting, **changed),
        engine=engine,
        images_per_s=images_per_s,
        compile_s=0.0,
        measured="2026-11-24",
    )


@pytest.mark.parametrize(
    ("speeds", "engine"),
    [
        ((), "fused"),
        ((("fused", 2.0, {}), ("eager", 1.0, {})), "fused"),
        ((("fused", 1.0, {}), ("eager", 2.0, {})), "eager"),
        ((("fused", 2.0, {}), ("eager", 1.0, {}), ("eager", 1.0, {"batch_size": 8})), "fused"),
        ((("fused", 2.0, {}), ("cuda_graph", 9.0, {"device": "cuda:0"})), "fused"),
    ],
)
def test_the_engine_is_the_fastest_of_the_table(
    quiet_machine: Any, monkeypatch: pytest.MonkeyPatch, speeds: Any, engine: Any
) -> None:
    config, cpu = RunConfig(execution=ExecutionConfig(device="cpu")), resolve("cpu")
    setting = setting_of(config, cpu)
    table = SpeedTable(speeds=tuple(speed(name, value, setting, **changed) for name, value, changed in speeds))
    monkeypatch.setattr(choose, "load_speeds", lambda: table)
    assert choose_engine(config, cpu).name == engine


CHOSEN = """
import sys
from accelmnist.core.config import RunConfig
from accelmnist.device import resolve
from accelmnist.engines import choose
from accelmnist.engines.choose import Speed, SpeedTable
cpu = resolve("cpu")
setting = choose.setting_of(RunConfig(), cpu)
speeds = tuple(Speed(setting=setting, engine=name, images_per_s=value, compile_s=0.0, measured="")
    for name, value in (("fused", 3.0), ("eager", 2.0), ("compiled", 1.0), ("cuda_graph", 9.0), ("persistent", 9.0)))
choose.load_speeds = lambda: SpeedTable(speeds=speeds)
choice = choose.choose_engine(RunConfig(), cpu)
print(choice.name, "measured here" in choice.reason, "torch" in sys.modules, setting.threads, setting.machine)
import torch
print(choose.setting_of(RunConfig(), cpu) == setting)
"""


@pytest.mark.slow
def test_a_table_of_every_engine_is_read_without_torch() -> None:
    bare = {name: value for name, value in os.environ.items() if name not in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    done = subprocess.run([sys.executable, "-c", CHOSEN], env=bare, capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first.startswith("fused True False ")
    assert second == "True"


def test_without_the_extension_another_engine_is_chosen(quiet_machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "why_missing", lambda: "the native kernels are not built")
    choice = choose_engine(RunConfig(), resolve("cpu"))
    assert (choice.name, choice.reason) == ("eager", "not fused: the native kernels are not built")


def test_versions_and_instructions_are_torchs_own() -> None:
    assert torch_version() == str(torch.__version__)
    assert cpu_instructions() == torch.backends.cpu.get_cpu_capability()


@pytest.mark.parametrize("variables", [{}, {"OMP_NUM_THREADS": "1"}, {"OMP_NUM_THREADS": "64"}])
@pytest.mark.slow
def test_threads_are_those_that_torch_takes(variables: Any) -> None:
    program = "from accelmnist.device.loading import usable_threads as n; a = n(); import torch; "
    program += "print(a, torch.get_num_threads())"
    bare = {name: value for name, value in os.environ.items() if name not in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", program], env=bare | variables, capture_output=True, text=True, check=True
    )
    ours, theirs = done.stdout.split()
    assert ours == theirs


@pytest.mark.parametrize(("asked", "threads"), [("1", 1), ("1,4", 1), ("what", None), ("0", None), ("100000", None)])
def test_fewer_threads_can_be_asked_for(monkeypatch: pytest.MonkeyPatch, asked: Any, threads: Any) -> None:
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    cores = usable_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert usable_threads() == (threads or cores)


# --- the command


def start(*options: str, cwd: Path) -> subprocess.Popen[str]:
    command_line = [sys.executable, "-m", "accelmnist", "run", "--device", "cpu", *options]
    return subprocess.Popen(command_line, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_json_stays_what_it_is(folder: Any, tmp_path: Path) -> None:
    process = start("--data", str(folder), "--epochs", "1", "--no-save", "--json", cwd=tmp_path)
    output, errors = process.communicate()
    assert json.loads(output)["status"] == "done"
    assert errors.startswith("… ")


@pytest.mark.slow
def test_quiet_stays_what_it_is(folder: Any, tmp_path: Path) -> None:
    process = start("--data", str(folder), "--epochs", "1", "--no-save", "--quiet", cwd=tmp_path)
    output, errors = process.communicate()
    assert (output.count("\n"), errors) == (1, "")
    assert output.startswith("PASS")


def test_nothing_is_trained_for_a_folder_that_is_taken(folder: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    process = start("--data", str(folder), "--out", ".", cwd=tmp_path)
    output, errors = process.communicate()
    assert (process.returncode, output) == (2, "")
    assert errors.startswith("error: --out . holds other files")


INTERRUPTED = """
import os, signal, sys, time
from accelmnist.cli import invoke
from accelmnist.engines.native.network import NativeNetwork
def train(*_):
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(1000):  # another thread may be the one that takes the signal
        time.sleep(0.01)
NativeNetwork.train_epoch = train
sys.exit(invoke(sys.argv[1:]))
"""


ASKED = """
import sys
import click
from accelmnist.cli import invoke
def echo(message, **_):
    print(message, {"torch", "rich", "matplotlib", "sklearn"} & set(sys.modules))
click.echo = echo
sys.exit(invoke(sys.argv[1:]))
"""


@pytest.mark.parametrize("recipe", [(), pytest.param(("--recipe", "mnist-98"), marks=pytest.mark.slow)])
def test_the_accuracy_is_told_before_torch_is_loaded(recipe: Any, folder: Any, tmp_path: Path) -> None:
    arguments = ["run", "--device", "cpu", "--data", str(folder), "--out", str(tmp_path / "run"), *recipe]
    done = subprocess.run([sys.executable, "-c", ASKED, *arguments], capture_output=True, text=True, check=False)
    record = load_record(tmp_path / "run")
    first, *others = done.stdout.splitlines()
    assert done.stderr == ""
    assert record.metrics is not None
    accuracy = f"… {100 * record.metrics.accuracy:.2f} % of the test set are right"
    assert first == f"{accuracy}; now torch is loaded, to check and show it set()"
    assert not any("of the test set are right" in line for line in others)
    assert record.verdict is not None
    assert record.verdict.passed == (done.returncode == 0)
    assert record.timing.to_accuracy_s is not None
    assert record.timing.import_s is not None


def test_ctrl_c_ends_it_at_once(folder: Any, tmp_path: Path) -> None:
    arguments = ["run", "--device", "cpu", "--data", str(folder), "--out", str(tmp_path / "run")]
    done = subprocess.run([sys.executable, "-c", INTERRUPTED, *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.strip()) == (130, "", "error: interrupted. Nothing was saved")
    assert not (tmp_path / "run").exists()
