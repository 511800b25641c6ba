"""Engines in files of their users: found, timed and judged as ours, and told in a line if they are wrong or broken."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
from pathlib import Path

import msgspec
import pytest
import torch

from accelmnist.cli import invoke
from accelmnist.core.config import DataConfig, ExecutionConfig
from accelmnist.core.engine_file import EngineFile, label_of
from accelmnist.core.errors import ConfigError, DeviceError, EngineError
from accelmnist.core.records import load_record
from accelmnist.data.types import Dataset, upload
from accelmnist.device import resolve
from accelmnist.engines.choose import engine_class, load_speeds
from accelmnist.engines.own.loading import own_engine
from accelmnist.measure.anchors import anchor_training
from accelmnist.measure.case_builder import CaseBuilder, resolve_devices
from accelmnist.measure.plan import BenchConfig, expand, run_config
from accelmnist.measure.recount import load_bench
from accelmnist.measure.timed_case import TimedTraining
from accelmnist.training.reference.scores import score_here
from tests.test_bench_cli import (
    PROGRAM,
    QUICK,
    in_empty_folder,
    no_pictures,
    process_that_has_just_started,
    short_regions,
)
from tests.test_timed_audit import failures, ready
from tests.training_helpers import small_config, train_with

__all__ = ["in_empty_folder", "no_pictures", "process_that_has_just_started", "short_regions"]  # fixtures for all here

CPU = resolve("cpu")
README = Path(__file__).parent.parent / "README.md"
RUN = ["run", "--synthetic", "--hidden", "16", "--epochs", "2", "--device", "cpu", "--no-reference", "--quiet"]

# Eager steps, with what a user may get wrong; each class changes one thing.
ENGINES = """
print("imported")
import os
import signal
import sys
import threading
import torch
from accelmnist.engines.contract import Engine, Runner
from accelmnist.engines.eager import EagerEngine
from accelmnist.engines.step.device_runner import device_runner
from accelmnist.engines.step.torch_steps import EagerSteps

class Right(EagerEngine):
    summary = "right"
    after = 0

    @classmethod
    def prepare(cls, job, sample):
        steps, calls = EagerSteps(job), [0]
        def train_epoch(epoch):
            calls[0] += 1
            return (cls.run if calls[0] > cls.after else EagerSteps.train_epoch)(steps, epoch)
        return device_runner(train_epoch, steps.update.kept, job.device)

    @staticmethod
    def run(steps, epoch):
        return steps.train_epoch(epoch)

class WithoutBias(Right):
    @staticmethod
    def run(steps, epoch):
        losses = []
        for step in epoch.steps():
            before = [bias.detach().clone() for bias in steps.parameters[1::2]]
            losses.append(steps.step(*step))
            with torch.no_grad():
                torch._foreach_copy_(steps.parameters[1::2], before)
        return torch.stack(losses)

class Skips(Right):
    @staticmethod
    def run(steps, epoch):
        half = steps.train_epoch(epoch[: (len(epoch) + 1) // 2])
        return half.repeat_interleave(2)[: len(epoch)]

class SkipsLater(Skips):
    after = 12

class StaleLosses(Right):
    @staticmethod
    def run(steps, epoch):
        before = getattr(steps, "last", torch.ones(1))
        losses = steps.train_epoch(epoch)
        steps.last = losses[-1:]
        return torch.cat([before, losses[:-1]])

class ChangesLabels(Right):
    @staticmethod
    def run(steps, epoch):
        steps.data.labels.zero_()
        return steps.train_epoch(epoch)

class NanWeights(Right):
    @staticmethod
    def run(steps, epoch):
        losses = steps.train_epoch(epoch)
        with torch.no_grad():
            steps.parameters[0][0, 0] = float("nan")
        return torch.nan_to_num(losses, 0.5)

class Hangs(Right):
    after = 9
    @staticmethod
    def run(steps, epoch):
        while True:
            pass

class HangsAtOnce(Right):
    @classmethod
    def prepare(cls, job, sample):
        threading.Event().wait()

class SetsMuch(Right):
    @staticmethod
    def run(steps, epoch):
        losses = steps.train_epoch(epoch)
        torch.set_grad_enabled(False)
        os.chdir("/")
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return losses

class LeavesThreads(Right):
    @classmethod
    def prepare(cls, job, sample):
        threading.Thread(target=threading.Event().wait).start()
        return super().prepare(job, sample)

class Lazy(Right):
    @classmethod
    def prepare(cls, job, sample):
        steps, waiting = EagerSteps(job), []
        def train_epoch(epoch):
            waiting.append((epoch, losses := torch.zeros(len(epoch))))
            return losses
        def do():
            while waiting:
                epoch, losses = waiting.pop(0)
                losses.copy_(steps.train_epoch(epoch))
        kept = steps.update.kept
        return Runner(
            train_epoch, lambda: (do(), kept.state())[1], lambda state: (do(), kept.load_state(state))[1],
            download=lambda losses: (do(), losses.numpy())[1],
        )

class Raises(Right):
    after = 3
    @staticmethod
    def run(steps, epoch):
        raise ValueError("tired\\nof it")

class Exits(Right):
    @classmethod
    def prepare(cls, job, sample):
        sys.exit(3)

class Doubles(Right):
    @staticmethod
    def run(steps, epoch):
        return steps.train_epoch(epoch).double()

class TooFew(Right):
    @staticmethod
    def run(steps, epoch):
        return steps.train_epoch(epoch)[1:]

class GivesNothing(Right):
    after = 60
    @staticmethod
    def run(steps, epoch):
        return None

class NoRunner(Right):
    @classmethod
    def prepare(cls, job, sample):
        return EagerSteps(job)

class NoState(Right):
    @classmethod
    def prepare(cls, job, sample):
        return Runner(EagerSteps(job).train_epoch, lambda: {}, lambda state: None)

class OtherNetwork(Right):
    @classmethod
    def prepare(cls, job, sample):
        runner = super().prepare(job, sample)
        job.model.layers[0].weight = torch.nn.Parameter(torch.zeros(3, 784))
        return runner

class Unlike(Right):
    @classmethod
    def unsupported(cls, config, device):
        return True

class NotToday(Right):
    @classmethod
    def unsupported(cls, config, device):
        return "not today"

class NoClassmethod(Right):
    def prepare(self, job, sample):
        return None

class Half(Engine):
    pass

class Alone(Engine):
    unsupported = EagerEngine.unsupported
    prepare = EagerEngine.prepare

class NoEngine:
    pass
"""


@pytest.fixture
def engines(tmp_path: Path) -> str:
    """The file with the engines above; "/…/mine.py:" and a class name one of them."""
    (tmp_path / "mine.py").write_text(ENGINES)
    return f"{tmp_path}/mine.py:"


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a command which fails with exit code 2 says, besides what the engine prints."""
    assert invoke(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = (line for line in err.splitlines() if line != "imported")
    return line.removeprefix("error: ")


@pytest.fixture(autouse=True)
def no_pictures_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take a second."""
    monkeypatch.setattr("accelmnist.show.pictures.write_pictures", lambda *_, **__: ())


@pytest.mark.slow
def test_the_example_of_the_readme_runs_is_timed_and_judged(capsys: pytest.CaptureFixture[str]) -> None:
    """And goes on as what it was, or not at all."""
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(code.splitlines()) <= 34
    file = Path("by_hand.py").absolute()
    file.write_text(code)
    assert invoke([*RUN, "--engine", "by_hand.py:ByHand", "--audit", "full", "--out", "run"]) == 0
    record = load_record(Path("run"))
    assert record.config.execution.engine.startswith(f"{file}:ByHand@")
    assert {choice.what: choice.value for choice in record.choices}["engine"] == "by_hand.ByHand"
    bench = [*QUICK, "--time-limit", "60", "--engine", "eager,by_hand.py:ByHand", "--baseline", "by_hand.ByHand"]
    assert invoke([*bench, "--out", "bench", "--quiet"]) == 0
    rows = {(row.mode, row.engine): row for row in load_bench(Path("bench")).cases}
    mine, ours, skipped = (
        rows[key] for key in (("training", "by_hand.ByHand"), ("training", "eager"), ("inference", "by_hand.ByHand"))
    )
    assert mine.verdict is not None
    assert mine.verdict.passed
    assert mine.images_per_s is not None
    assert ours.speedup is not None
    why = "engine by_hand.ByHand has no way of its own to classify; it only trains"
    assert (skipped.status, skipped.skipped) == ("skipped", why)
    assert all(speed.engine == "eager" for speed in load_speeds().speeds)  # a file may change: `auto` takes none

    file.write_text(code + "# changed")
    own_engine.cache_clear()  # as in another process
    capsys.readouterr()
    line = f"the engine's file {file} has been changed since this began. Put it back as it was, or start anew"
    for name, status in (("run", "running"), ("bench", "interrupted")):
        saved = Path(name) / f"{name}.json"
        saved.write_text(json.dumps(json.loads(saved.read_text()) | {"status": status, "files": []}))
        assert fails(capsys, name, "--resume", name) == line


WRONG = {
    "WithoutBias": {"audited weights"},
    "Skips": {"calls of many steps"},
    "StaleLosses": {"audited losses", "calls of many steps"},
    "NanWeights": {"audited weights", "audited losses"},
    "Lazy": {"audited weights", "audited losses", "unbroken training"},
}


@pytest.mark.parametrize("name", ["Right", *WRONG])
def test_a_wrong_training_is_found(engines: str, synthetic: Dataset, name: str) -> None:
    config = small_config(training={"optimizer": "adamw", "learning_rate": 0.01})
    done = train_with(engine_class(engines + name), config, synthetic, CPU, windows=20)
    done.audit.finish(done.model.arrays(), done.losses.numpy())
    found = {check.name for check in done.audit.checks() if not check.passed}
    assert WRONG.get(name, set()) <= found
    assert bool(found) is (name in WRONG)


WRONG_WHEN_TIMED = {
    "WithoutBias": "audited weights, timed",
    "Skips": "calls of many steps, timed",
    "StaleLosses": "audited losses, timed",
    "NanWeights": "audited weights, timed",
}


def timed_by(engine: str, dataset: Dataset) -> TimedTraining:
    """A warm case by the engine in a file."""
    config = BenchConfig(engines=(engine,), hidden=((16,),), batch_sizes=(32,), modes=("training",))
    (case,) = expand(config, ("cpu",))
    timed = TimedTraining(case, CPU, run_config(case, config), upload(dataset.train, CPU))
    ready(timed)
    timed.anchor = anchor_training(timed, run_config(case, config), dataset.train, None)
    return timed


@pytest.mark.parametrize("name", ["Right", *WRONG_WHEN_TIMED])
def test_what_is_timed_is_found_wrong(engines: str, synthetic: Dataset, name: str) -> None:
    found = failures(timed_by(engines + name, synthetic))
    assert WRONG_WHEN_TIMED.get(name, "") in ["", *found]
    assert bool(found) is (name in WRONG_WHEN_TIMED)


def test_one_that_changes_its_images_is_wrong_and_nobody_else(engines: str) -> None:
    data = DataConfig(dataset="synthetic")
    config = BenchConfig(
        devices=("cpu",),
        engines=(engines + "ChangesLabels", "eager"),
        hidden=((16,),),
        modes=("training",),
        data=data,
        batch_sizes=(256,),
    )
    builder = CaseBuilder(config, resolve_devices(("cpu",)), score_here)
    passed = {}
    for case in expand(config, ("cpu",)):
        _, verdict = builder.verify(builder.timed(case))
        passed[case.engine] = verdict.passed
    assert passed == {"mine.ChangesLabels": False, "eager": True}


def test_one_that_hangs_takes_no_more_than_its_share_of_the_time(engines: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accelmnist.engines.own.faults._LEAST_WAIT_S", 1.0)
    named = f"{engines}Hangs,{engines}HangsAtOnce,eager"
    invoke([*QUICK, "--engines", named, "--time-limit", "15", "--mode", "training", "--out", "out", "--quiet"])
    found = {label_of(case.engine): str(case.skipped) for case in load_bench(Path("out")).cases}
    assert re.search("its train_epoch did not come back within [1-4] s. Let it be quicker, or", found["mine.Hangs"])
    assert "its prepare did not come back within" in found["mine.HangsAtOnce"]
    assert found["eager"] == "None"


def test_what_one_sets_is_set_back(engines: str, synthetic: Dataset) -> None:
    before = torch.is_grad_enabled(), Path.cwd(), signal.getsignal(signal.SIGINT)
    assert failures(timed_by(f"{engines}SetsMuch", synthetic)) == []
    assert (torch.is_grad_enabled(), Path.cwd(), signal.getsignal(signal.SIGINT)) == before


def test_one_that_leaves_a_thread_does_not_keep_the_program(engines: str) -> None:
    command = [*PROGRAM, *RUN, "--engine", f"{engines}LeavesThreads", "--no-save"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "imported\n")
    assert done.stdout.startswith("PASS")


def test_one_that_skips_once_it_is_timed_is_found(engines: str, synthetic: Dataset) -> None:
    """From so many calls on: before that it passes whatever is asked of it."""
    assert "deviation of a timed result" in failures(timed_by(engines + "SkipsLater", synthetic))


def test_one_that_works_while_the_clock_stands_still_is_not_waited_for(
    engines: str, synthetic: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its regions take no time, however many steps they have, and setting them back takes all of it."""
    monkeypatch.setattr("accelmnist.measure.timed_case._MOST_SET_BACK_S", 0.02)
    timed = timed_by(engines + "Lazy", synthetic)
    with pytest.raises(DeviceError, match="its steps run while the clock stands still"):
        timed.warm_up()


BROKEN = {
    "Nothing": "there is no such class in",
    "NoEngine": "it is no class that inherits Engine",
    "Half": "it lacks prepare and unsupported",
    "NoClassmethod": "its prepare is no classmethod",
    "NoRunner": "its prepare gave a EagerSteps, and not Runner",
    "Raises": r"its train_epoch failed: ValueError: tired \(mine.py, line \d+\)\. Correct it there",
    "Exits": r"its prepare failed: SystemExit: 3 \(mine.py, line \d+\)",
    "Doubles": r"its train_epoch gave a Tensor \(\d+,\) float64 on cpu, and not a Tensor \(\d+,\) float32 on cpu",
    "TooFew": r"its train_epoch gave a Tensor \(\d+,\) float32 on cpu, and not a Tensor \(\d+,\) float32 on cpu",
    "NoState": "its state lacks exp_avg/layers.0.bias, which the optimizer keeps",
    "Unlike": "its unsupported gave a bool, and not str",
    "OtherNetwork": "RuntimeError: ",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_one_is_told_in_a_line(engines: str, capsys: pytest.CaptureFixture[str], name: str) -> None:
    line = fails(capsys, *RUN, "--no-save", "--engine", engines + name)
    assert re.match(rf"the engine mine\.{name}: {BROKEN[name]}", line), line


FILES: dict[str, tuple[str | None, str]] = {
    "gone.py:X": (None, "the engine's file {here}/gone.py: no such file or directory. Give one that can be read"),
    "some.py": ("", "--engine some.py: it names no class in a Python file. Give some.py:CLASS"),
    "some.py:": ("", "--engine some.py:: it names no class in a Python file. Give FILE.py:CLASS"),
    "some.txt:X": ("", "--engine some.txt:X: it names no class in a Python file. Give FILE.py:CLASS"),
    "lacks.py:X": (
        "import nothing_of_that_name",
        "the engine lacks.X: its import failed: ModuleNotFoundError: No module named 'nothing_of_that_name' "
        "(lacks.py, line 1). Correct it there",
    ),
    "syntax.py:X": (
        "def (",
        "the engine syntax.X: its import failed: SyntaxError: invalid syntax (syntax.py, line 1). Correct it there",
    ),
    "ends.py:X": (
        "import sys\nprint('bye')\nsys.exit()",
        "the engine ends.X: its import failed: SystemExit (ends.py, line 3). Correct it there",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_bad_file_is_told_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    contents, line = FILES[name]
    if contents is not None:
        Path(name.partition(":")[0]).write_text(contents)
    assert invoke([*RUN, "--no-save", "--engine", name]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"error: {line.format(here=tmp_path)}"


def test_what_cannot_be_done_is_told(engines: str, capsys: pytest.CaptureFixture[str]) -> None:
    line = fails(capsys, *RUN, "--no-save", "--engine", f"{engines}NotToday")
    assert line.startswith("--engine mine.NotToday can't run this on cpu: not today. Choose one of ")
    line = fails(capsys, *RUN, "--no-save", "--reduction", "exact", "--engine", f"{engines}Alone")
    assert line.startswith("--engine mine.Alone with 1 ranks: it has no prepare_shared, and trains alone")


def test_one_that_fails_leaves_the_others_their_rows(engines: str, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("eager", *(engines + name for name in ("Right", "Raises", "GivesNothing", "Nothing", "NotToday")))
    command = [*QUICK, "--time-limit", "60", "--mode", "training", "--engines", ",".join(names), "--out", "out"]
    assert invoke([*command, "--json"]) == 1
    out = json.loads(capsys.readouterr().out)  # and what the file prints is elsewhere
    rows = {row["engine"]: row for row in out["cases"]}
    assert [name for name, row in rows.items() if row["images_per_s"]] == ["eager", "mine.Right"]
    assert {name: row["status"] for name, row in rows.items() if not row["images_per_s"]} == {
        "mine.Raises": "failed",
        "mine.GivesNothing": "failed",
        "mine.Nothing": "failed",
        "mine.NotToday": "skipped",
    }
    assert "its train_epoch gave None" in rows["mine.GivesNothing"]["skipped"]


def test_names_tell_two_files_apart_and_a_record_needs_neither(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        for name in ("v1.py", "v2.py"):
            (tmp_path / folder / name).write_text(ENGINES + f"# {folder} {name}")
    one, two, other = (f"{tmp_path}/{file}:Right" for file in ("one/v1.py", "one/v2.py", "two/v1.py"))
    assert engine_class(one) is not engine_class(two)
    config = BenchConfig(engines=(one, two), modes=("training",), batch_sizes=(64,))
    cases = expand(config, ("cpu",))
    assert [case.engine for case in cases] == ["v1.Right", "v2.Right"]
    assert [run_config(case, config).execution.engine for case in cases] == [one, two]
    with pytest.raises(ConfigError, match=r"--engines: v1.Right is given twice\. .*so rename one"):
        BenchConfig(engines=(one, other))
    named = EngineFile.asked_for(one, "--engine")
    assert named is not None
    shutil.rmtree(tmp_path / "one")
    again = msgspec.json.decode(msgspec.json.encode(ExecutionConfig(engine=str(named))), type=ExecutionConfig)
    assert (EngineFile.of(again.engine), label_of(again.engine)) == (named, "v1.Right")
    with pytest.raises(EngineError, match="no such file"):
        engine_class(again.engine)
