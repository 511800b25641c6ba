"""The head start: the same run to the bit, begun without torch; told at once, and given up where it isn't sure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from accelmnist.cli import head_start as command
from accelmnist.core.config import DataConfig, ExecutionConfig, ModelConfig, RunConfig, TrainingConfig
from accelmnist.core.errors import DataError
from accelmnist.core.records import load_record
from accelmnist.data.idx import write_idx
from accelmnist.device import resolve
from accelmnist.device.threads import usable_threads
from accelmnist.engines import native
from accelmnist.engines.native.arrays import NativeNetwork
from accelmnist.engines.speeds import BenchmarkSetting, Speed, SpeedTable
from accelmnist.show.observer import SilentObserver
from accelmnist.training.head_start import foresight, training
from accelmnist.training.head_start.adoption import as_checkpoint, fits
from accelmnist.training.head_start.training import HeadStart, begin
from accelmnist.training.runner import RunOutcome, RunRequest, execute
from accelmnist.training.setup import choose_setup

pytestmark = pytest.mark.skipif(native.why_missing() is not None, reason=str(native.why_missing()))


@pytest.fixture(autouse=True)
def no_measured_speeds(tmp_path_factory, monkeypatch):
    """A cache folder of its own, here and in processes: other tests' benchmarks may have another engine ahead."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


ON_CPU = ExecutionConfig(device="cpu", engine="fused", threads=1)


@pytest.fixture(scope="module")
def folder(synthetic, tmp_path_factory) -> Path:
    """The synthetic set as files."""
    place = tmp_path_factory.mktemp("images")
    for name, part in (("train", synthetic.train), ("t10k", synthetic.test)):
        write_idx(place / f"{name}-images-idx3-ubyte", part.images.reshape(-1, 28, 28))
        write_idx(place / f"{name}-labels-idx1-ubyte", part.labels.astype(np.uint8))
    return place


def config_of(folder: Path, **settings) -> RunConfig:
    choices = {"epochs": 3, "batch_size": 64, "learning_rate": 0.01} | settings
    return RunConfig(
        data=DataConfig(folder=str(folder)),
        model=ModelConfig(hidden=(40,), dropout=0.1),
        training=TrainingConfig(**choices),
        execution=ON_CPU,
    )


def run(config: RunConfig, head_start: HeadStart | None = None, **settings) -> RunOutcome:
    setup = choose_setup(config)
    return execute(RunRequest(config=config, head_start=head_start, **settings), setup, SilentObserver())


def begun(config: RunConfig) -> HeadStart:
    found = begin(config, since_start=lambda: 1.25)
    assert found is not None
    return found


@pytest.mark.parametrize("optimizer", ["sgd", "sgd-momentum", "adamw"])
def test_a_run_with_a_head_start_is_the_run_without_to_the_bit(folder, optimizer):
    config = config_of(folder, optimizer=optimizer)
    plain, ahead = run(config), run(config, begun(config))
    for mine, its in zip(plain.model.parameters(), ahead.model.parameters(), strict=True):
        assert torch.equal(mine, its)
    assert ahead.record.metrics == plain.record.metrics
    assert ahead.record.verdict is not None
    assert ahead.record.verdict.passed
    untimed = [[replace(one, train_s=0.0, images_per_s=0.0) for one in each.record.epochs] for each in (plain, ahead)]
    assert untimed[0] == untimed[1]


@pytest.mark.parametrize("epochs", [0, 1, 2])
def test_the_run_goes_on_from_as_many_epochs_as_there_was_time_for(folder, epochs, monkeypatch):
    config = config_of(folder)
    whole = run(config)

    class Clock:
        """It jumps beyond the limit with the last epoch that is wanted."""

        def perf_counter(self) -> float:
            return 1e6 if trained >= epochs else 0.0

    trained = 0

    class Counting(NativeNetwork):
        def train(self, plan):
            nonlocal trained
            trained += 1
            return super().train(plan)

    monkeypatch.setattr(training, "NativeNetwork", Counting)
    monkeypatch.setattr(training.TrainingPlan, "figures", figures_without_time)
    monkeypatch.setattr(training, "LONGEST_S", 1.0 if epochs else -1.0)
    monkeypatch.setattr(training, "time", Clock())
    ahead = begun(config)
    monkeypatch.undo()
    assert (len(ahead.epochs), ahead.accuracy) == (epochs, None)
    outcome = run(config, ahead, since_start=lambda: 9.5)
    for mine, its in zip(whole.model.parameters(), outcome.model.parameters(), strict=True):
        assert torch.equal(mine, its)
    assert [one.epoch for one in outcome.record.epochs] == [1, 2, 3]
    assert outcome.record.timing.to_accuracy_s == 9.5


def figures_without_time(self, number, losses, *, train_s, accuracy):
    return training.EpochFigures(
        epoch=number + 1, train_loss=0.0, accuracy=accuracy, learning_rate=0.1, train_s=1.0, images_per_s=1.0
    )


def test_times_are_those_of_the_first_answer(folder):
    config = config_of(folder)
    ahead = begun(config)
    timing = run(config, ahead, since_start=lambda: 9.5).record.timing
    assert (timing.to_accuracy_s, timing.evaluate_s, timing.load_s) == (1.25, ahead.evaluate_s, ahead.load_s)
    assert timing.train_s == sum(one.train_s for one in ahead.epochs)


def test_the_first_answer_is_the_one_of_the_record(folder):
    config = config_of(folder)
    ahead = begun(config)
    metrics = run(config, ahead).record.metrics
    assert metrics is not None
    assert ahead.accuracy == pytest.approx(metrics.accuracy, abs=1 / 512)
    assert ahead.accuracy > 0.5


def test_what_was_begun_is_saved_before_the_run_goes_on(folder, tmp_path, monkeypatch):
    """A run that is killed after its head start goes on from it."""
    config = config_of(folder)
    ahead = begun(config)
    monkeypatch.setattr("accelmnist.training.runner.run.evaluate", lambda *_, **__: stop())
    with pytest.raises(KeyboardInterrupt):
        run(config, ahead, folder=tmp_path / "run")
    from accelmnist.training.checkpoint import find_stopped_run

    found = find_stopped_run(tmp_path / "run").checkpoint
    assert found is not None
    wanted = as_checkpoint(ahead, choose_setup(config).config)
    assert found.epochs == wanted.epochs
    assert found.state.keys() == wanted.state.keys()
    assert all(torch.equal(found.weights[name], wanted.weights[name]) for name in wanted.weights)
    assert all(torch.equal(found.state[name], wanted.state[name]) for name in wanted.state)
    assert torch.equal(found.losses, wanted.losses)


def stop() -> None:
    raise KeyboardInterrupt


def test_a_training_that_diverges_is_left_to_the_run(folder):
    assert begin(config_of(folder, optimizer="sgd", learning_rate=1e30), since_start=lambda: None) is None


def test_wrong_data_is_told_as_a_run_tells_it(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        begin(config_of(tmp_path / "nowhere"), since_start=lambda: None)


# --- foresight


@pytest.fixture
def quiet_machine(monkeypatch):
    """One that has no accelerator, whatever this one has."""
    monkeypatch.setattr(foresight, "_DRIVERS", ())
    monkeypatch.setattr(foresight.sys, "platform", "linux")


@pytest.mark.parametrize(
    ("changed", "waits"),
    [
        ({}, False),
        ({"execution": ExecutionConfig(device="auto", engine="auto")}, False),
        ({"execution": ExecutionConfig(device="cuda")}, True),
        ({"execution": ExecutionConfig(device="cpu", engine="eager")}, True),
        ({"execution": ExecutionConfig(device="cpu", precision="bf16")}, True),
        ({"training": TrainingConfig(augment="shift")}, True),
        ({"training": TrainingConfig(averaging=0.5)}, True),
        ({"data": DataConfig(dataset="synthetic")}, True),
        ({"data": DataConfig(dataset="kmnist")}, True),
        ({"data": DataConfig(dataset="kmnist", folder="here")}, False),
        ({"model": ModelConfig(hidden=(2048,))}, True),
    ],
)
def test_it_begins_where_the_native_kernels_are_sure(quiet_machine, changed, waits):
    config = replace(RunConfig(execution=ON_CPU), **changed)
    assert (foresight.why_not(config) is not None) == waits


def test_a_driver_leaves_the_device_open(quiet_machine, monkeypatch, tmp_path):
    anywhere = RunConfig()
    assert foresight.why_not(anywhere) is None
    monkeypatch.setattr(foresight, "_DRIVERS", (str(tmp_path),))
    assert foresight.why_not(anywhere) is not None
    assert foresight.why_not(replace(anywhere, execution=ExecutionConfig(device="cpu"))) is None


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_other_systems_may_have_an_accelerator(quiet_machine, monkeypatch, platform):
    monkeypatch.setattr(foresight.sys, "platform", platform)
    assert foresight.why_not(RunConfig()) is not None


def speed(engine: str, images_per_s: float, *, device: str = "cpu", batch_size: int = 64) -> Speed:
    setting = BenchmarkSetting(
        machine="one",
        device=device,
        threads=2,
        precision="fp32",
        batch_size=batch_size,
        hidden=(32,),
        optimizer="sgd",
    )
    return Speed(setting=setting, engine=engine, images_per_s=images_per_s, compile_s=0.0, measured="2026-11-24")


@pytest.mark.parametrize(
    ("speeds", "sure"),
    [
        ((), True),
        ((speed("fused", 2.0), speed("eager", 1.0)), True),
        ((speed("fused", 1.0), speed("eager", 2.0)), False),
        ((speed("fused", 2.0), speed("eager", 1.0), speed("eager", 1.0, batch_size=8)), False),
        ((speed("fused", 2.0), speed("cuda_graph", 9.0, device="cuda:0")), True),
    ],
)
def test_a_table_that_has_another_engine_ahead_leaves_it_open(quiet_machine, monkeypatch, speeds, sure):
    monkeypatch.setattr(foresight, "load_speeds", lambda: SpeedTable(speeds=speeds))
    assert (foresight.why_not(RunConfig(execution=ExecutionConfig(device="cpu"))) is None) == sure


def test_without_the_extension_there_is_none(quiet_machine, monkeypatch):
    monkeypatch.setattr(native, "why_missing", lambda: "the native kernels are not built")
    assert foresight.why_not(RunConfig(execution=ON_CPU)) == "the native kernels are not built"


@pytest.mark.parametrize("variables", [{}, {"OMP_NUM_THREADS": "1"}, {"OMP_NUM_THREADS": "64"}])
def test_threads_are_those_that_torch_takes(variables):
    program = "from accelmnist.device.threads import usable_threads as n; a = n(); import torch; "
    program += "print(a, torch.get_num_threads())"
    bare = {name: value for name, value in os.environ.items() if name not in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", program], env=bare | variables, capture_output=True, text=True, check=True
    )
    ours, theirs = done.stdout.split()
    assert ours == theirs


@pytest.mark.parametrize(("asked", "threads"), [("1", 1), ("1,4", 1), ("what", None), ("0", None), ("100000", None)])
def test_fewer_threads_can_be_asked_for(monkeypatch, asked, threads):
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    cores = usable_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert usable_threads() == (threads or cores)


# --- what was not foreseen


def test_a_head_start_of_another_engine_or_number_of_threads_is_given_up(folder, capsys):
    config = config_of(folder)
    ahead, setup = begun(config), choose_setup(config)
    options = {"quiet": False, "as_json": False}
    assert fits(ahead, setup)
    assert command.keep_if_it_fits(ahead, setup, options) is ahead
    assert not fits(replace(ahead, threads=2), setup)
    eager = choose_setup(replace(config, execution=replace(ON_CPU, engine="eager")))
    assert command.keep_if_it_fits(ahead, eager, options) is None
    assert capsys.readouterr().out == "… eager on cpu was not foreseen: it trains anew\n"
    assert resolve("cpu").kind == setup.device.kind


# --- the command


def start(*options: str, cwd: Path) -> subprocess.Popen[str]:
    command_line = [sys.executable, "-m", "accelmnist", "run", "--device", "cpu", *options]
    return subprocess.Popen(command_line, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_command_tells_the_accuracy_first(folder, tmp_path):
    process = start("--data", str(folder), "--epochs", "2", "--out", "run", cwd=tmp_path)
    output, errors = process.communicate()
    assert (process.returncode, errors) == (0, "")
    record = load_record(tmp_path / "run")
    assert record.metrics is not None
    first = output.splitlines()[0]
    assert first.startswith(f"… {100 * record.metrics.accuracy:.2f} % of the test set are right")
    assert sum("of the test set are right" in line for line in output.splitlines()) == 1
    timing = record.timing
    assert timing.to_accuracy_s is not None
    assert timing.import_s is not None
    assert record.verdict is not None
    assert record.verdict.passed


def test_json_and_quiet_stay_what_they_are(folder, tmp_path):
    process = start("--data", str(folder), "--epochs", "1", "--no-save", "--json", cwd=tmp_path)
    output, errors = process.communicate()
    assert json.loads(output)["status"] == "done"
    assert errors.startswith("… ")
    process = start("--data", str(folder), "--epochs", "1", "--no-save", "--quiet", cwd=tmp_path)
    output, errors = process.communicate()
    assert (output.count("\n"), errors) == (1, "")
    assert output.startswith("PASS")


def test_nothing_is_trained_for_a_folder_that_is_taken(folder, tmp_path):
    (tmp_path / "notes.txt").touch()
    process = start("--data", str(folder), "--out", ".", cwd=tmp_path)
    output, errors = process.communicate()
    assert (process.returncode, output) == (2, "")
    assert errors.startswith("error: --out . holds other files")


INTERRUPTED = """
import os, signal, sys, time
from accelmnist.cli import invoke
from accelmnist.engines.native.arrays import NativeNetwork
def train(*_):
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(1000):  # another thread may be the one that takes the signal
        time.sleep(0.01)
NativeNetwork.train = train
sys.exit(invoke(sys.argv[1:]))
"""


def test_it_needs_neither_torch_nor_rich(folder):
    program = f"""
import sys
from accelmnist.cli.head_start import begin_training
from accelmnist.core.config import DataConfig, ExecutionConfig, RunConfig
config = RunConfig(data=DataConfig(folder={str(folder)!r}), execution=ExecutionConfig(device="cpu"))
found = begin_training(config, {{"trials": 1, "quiet": True, "as_json": False}})
print(found.accuracy > 0.5, {{"torch", "rich", "matplotlib", "sklearn"}} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "True set()\n"


def test_ctrl_c_ends_it_at_once(folder, tmp_path):
    arguments = ["run", "--device", "cpu", "--data", str(folder), "--out", str(tmp_path / "run")]
    done = subprocess.run([sys.executable, "-c", INTERRUPTED, *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.strip()) == (130, "", "error: interrupted")
    assert not (tmp_path / "run").exists()
