"""Other sides that misbehave: one clear line names each and its cause, the rest goes on, and no process stays.

`fake_worker.py` is the side; the seconds of its answers are few, and nothing here is measured.
"""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from accelmnist.cli import invoke
from accelmnist.core.config import DataConfig
from accelmnist.core.errors import DeviceError, UnsupportedError
from accelmnist.core.records import Verdict
from accelmnist.data.types import Dataset, DeviceSet, upload
from accelmnist.device import resolve
from accelmnist.measure.audit import Anchor, Region, Told, audit
from accelmnist.measure.beside import other_process, rounds
from accelmnist.measure.beside.other_process import Guard, OtherProcess
from accelmnist.measure.beside.protocol import Answer
from accelmnist.measure.beside.sides import OpenCase, Sides
from accelmnist.measure.beside.timed_remote import RemoteInference, RemoteTraining, product_flop_s
from accelmnist.measure.case_builder import CaseBuilder, resolve_devices, with_checks
from accelmnist.measure.plan import BenchConfig, Case, Side, run_config
from accelmnist.measure.record import BenchRecord, CaseResult
from accelmnist.measure.recount import load_bench
from accelmnist.measure.timed_case import WarmCase
from accelmnist.training.reference.scores import score_here

FAKE, FAULTY = (Path(__file__).with_name(name) for name in ("fake_worker.py", "faulty_trainers.py"))
CONFIG = BenchConfig(hidden=((8,),), threads=(1,))
CASE = Case(
    mode="training",
    device="cpu",
    engine="mine",
    precision="fp32",
    batch_size=64,
    hidden=(8,),
    optimizer="sgd",
    side="mine",
)


def side(mode: str, name: str = "mine") -> Side:
    return Side(name=name, command=shlex.join([sys.executable, str(FAKE), mode]))


@pytest.fixture(scope="module")
def guard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guard]:
    with Guard(tmp_path_factory.mktemp("guarded")) as one:
        yield one


@pytest.fixture(autouse=True)
def no_process_is_left(guard: Guard) -> Iterator[None]:
    """Every process that a test started ends with it, and what that one started."""
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    yield
    left = [process for process in psutil.Process().children(recursive=True) if process.pid not in before]
    assert [process.cmdline() for process in left] == []
    assert not [process for process in psutil.process_iter() if str(FAKE) in _command(process)]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(other_process, "LEAST_WAIT_S", 1.0)
    monkeypatch.setattr(other_process, "TO_END_S", 0.5)
    monkeypatch.setattr(other_process, "MOST_BYTES", 1 << 21)


def greeted(mode: str, guard: Guard) -> OtherProcess:
    """A side that said its hello, and answered once."""
    process = OtherProcess(side(mode), threads=1, watch=guard, left_s=lambda: 0.0)
    process.greet()
    time.sleep(0.05)
    process.ask(Answer, "ping")
    return process


HELLOS = {
    "banner": "it said 'Welcome to a library 1.0' before its hello. Let it print to standard error alone",
    "no-fields": "it said '{}' before its hello",
    "list": "it said '[1, 2]' before its hello",
    "other-hello": "before its hello",
    "other-version": "it speaks version 7 of the protocol, and this accelmnist version 1. Use versions that agree",
    "no-threads": "Expected `int` >= 1 - at `$.threads`",
    "hello-twice": "unasked",
    "hangs": "its hello did not come within 1 s",
    "half-hangs": "its hello did not come within 1 s",
    "hangs-hard": "its hello did not come within 1 s",
    "is-stopped": "its hello did not come within 1 s",
    "exits": "it ended with exit code 3: ValueError: out of luck",
    "ends": "it ended with exit code 0",
    "text-version": 'it speaks version "1" of the protocol, and this accelmnist version 1. Use versions that agree',
    "leaves-its-output": "it ended with exit code 3: ValueError: out of luck",
    "leaves-a-daemon": "it ended with exit code 3: ValueError: out of luck",
    "is-killed": "it ended with signal SIGKILL",
    "closes": "it closed its output",
    "never-ends": "its hello is longer than",
}


@pytest.mark.parametrize("mode", HELLOS)
def test_a_side_whose_hello_is_wrong_says_so_in_a_line(mode: str, guard: Guard) -> None:
    with pytest.raises(DeviceError, match=re.escape(HELLOS[mode])) as failure:
        greeted(mode, guard)
    assert "\n" not in str(failure.value)


ANSWERS = {
    "rubbish@run": "it said 'what?' for an answer to run. Let it print to standard error alone",
    "empty@run": "it said '' for an answer to run",
    "list@run": "'[1, 2]' is no answer to run",
    "deep@run": "for an answer to run",
    "not-utf-8@run": "for an answer to run",
    "half@run": "for an answer to run",
    "text-seconds@run": "Expected `float`, got `str`",
    "null-losses@losses": "is no answer to losses",
    "error@run": "run failed: no such thing",
    "error@prepare": "prepare failed: no such thing",
    "unsupported@prepare": "this is not for me",
    "twice@run": "it said '{}' unasked",
    "talks@run": "'one more step done'",  # unasked, or for an answer to what is asked next
    "exits@run": "it ended with exit code 3: ValueError: out of luck",
    "leaves-its-output@run": "it ended with exit code 3: ValueError: out of luck",
    "exits@prepare": "it ended with exit code 3: ValueError: out of luck",
    "is-killed@losses": "it ended with signal SIGKILL",
    "ends@save": "it ended with exit code 0",
    "closes@run": "it closed its output",
    "hangs@prepare": "the answer to prepare did not come within 1 s",
    "hangs@run": "the answer to run did not come within 1 s",
    "hangs-hard@run": "the answer to run did not come within 1 s",
    "half-hangs@run": "the answer to run did not come within 1 s",
    "is-stopped@losses": "the answer to losses did not come within 1 s",
    "never-ends@losses": "the answer to losses is longer than",
    "writes@run": "it changed labels.npy, which others read too. Let it copy what it changes",
    "removes@losses": "it changed images.npy, which others read too",
    "zero-seconds": "steps took it 0.0 s",
    "negative-seconds": "steps took it -0.0001 s",
    "nan-seconds@run": "steps took it nan s. Let it tell the seconds that passed",
    "huge-seconds@run": "steps took it inf s",
    "no-seconds@run": "steps took it 0.0 s",
    "given-few-losses": "it gave 4 losses of 5 steps",
    "given-other-shape": "layers.0.weight has shape (784, 8), and not (8, 784)",
    "given-no-weight": "layers.0.bias has shape none, and not (8,). The protocol is",
    "given-more": "layers.7.weight has shape (8, 784), and not any: it is no weight",
    "given-other-state": "exp_avg/layers.0.weight has shape (784, 8), and not (8, 784)",
    "given-text": "save left no file of arrays: it has something else than numbers",
    "given-complex": "save left no file of arrays: it has something else than numbers",
    "no-file": "save left no file of arrays: there is none",
    "folder": "save left no file of arrays: there is none",
    "pipe": "save left no file of arrays: there is none",
    "no-array": "save left no file of arrays: it is neither .npy nor .npz",
    "cut": "save left no file of arrays",
    "pickled": "save left no file of arrays: Object arrays cannot be loaded",
    "one-array": "layers.0.weight has shape none",
    "short-answer": "classify gave an array of shape (511,), and not (512, 10)",
    "cubic-answer": "classify gave an array of shape (512, 2, 5), and not (512, 10)",
}


@pytest.mark.parametrize("mode", ANSWERS)
def test_a_side_whose_answer_is_wrong_says_so_in_a_line(mode: str, synthetic: Dataset) -> None:
    device, config = resolve("cpu"), run_config(CASE, CONFIG)
    with Sides((side(mode),), threads=1, left_s=lambda: 0.0) as sides:
        sides.start("mine")
        with pytest.raises(DeviceError, match=re.escape(ANSWERS[mode])) as failure:
            trained(
                RemoteTraining(
                    CASE, device, config, upload(synthetic.train, device), OpenCase(sides, CASE, config, synthetic)
                ),
                upload(synthetic.test, device),
            )
        folder = sides.folder
    assert "\n" not in str(failure.value)
    assert isinstance(failure.value, UnsupportedError) == (mode == "unsupported@prepare")
    assert not folder.exists()


def test_what_a_side_leaves_in_the_place_of_its_weights_is_in_nobody_s_way(synthetic: Dataset) -> None:
    with Sides((side("folder"), side("given", name="next")), threads=1) as sides:
        sides.start("mine", "next")
        config = run_config(CASE, CONFIG)
        with pytest.raises(DeviceError, match="there is none"):
            OpenCase(sides, CASE, config, synthetic).look()
        assert OpenCase(sides, replace(CASE, side="next"), config, synthetic).look()


def trained(timed: RemoteTraining, test: DeviceSet) -> None:
    """Everything that is asked of a training."""
    timed.run(5)
    assert len(timed.losses)
    timed.look()
    timed.evaluated(test)
    timed.restore()
    timed.run(5)


def test_a_clock_is_in_doubt_where_waiting_may_hide_its_seconds(
    synthetic: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, config = resolve("cpu"), run_config(CASE, CONFIG)
    with Sides((side("half-seconds"),), threads=1) as sides:
        sides.start("mine")
        other = OpenCase(sides, CASE, config, synthetic)
        timed = RemoteTraining(CASE, device, config, upload(synthetic.train, device), other)
        monkeypatch.setattr(OtherProcess, "queued_s", lambda _: 0.9 * time.perf_counter())
        timed.slice_steps = 60
        error, doubt = timed.check_clock()
    assert error.passed
    assert (doubt.name, doubt.passed, doubt.condemns) == ("clock unseen", False, False)


# --- trainers that do something else than they say

OF_TRAINERS = BenchConfig(
    devices=("cpu",), hidden=((8,),), batch_sizes=(16,), threads=(1,), data=DataConfig(dataset="synthetic")
)


def verdict_of(fault: str, config: BenchConfig) -> Verdict:
    """What is found of the example's trainer with this fault, as in a benchmark."""
    command = shlex.join([sys.executable, str(FAULTY), fault])
    case = replace(CASE, optimizer=config.optimizers[0], batch_size=config.batch_sizes[0])
    device = resolve("cpu")
    run, builder = run_config(case, config), CaseBuilder(config, resolve_devices(("cpu",)), score_here)
    with Sides((Side(name="mine", command=command),), threads=1) as sides:
        sides.start("mine")
        other = OpenCase(sides, case, run, builder.dataset)
        timed = RemoteTraining(case, device, run, builder.images("train", device), other)
        _, verdict = builder.verify(timed)
        timed.warm_up()
        checks = timed.check_clock()
        timed.anchor = builder.anchor(timed, run)
        warm = WarmCase(timed, timed.threads, checks=checks)
        samples = [warm.sample() for _ in range(24)]
        return with_checks(verdict, warm.audit(case, samples))


FAULTS = {
    "ForgetsBias": "audited",
    "HalfTheBatch": "audited losses",
    "HalfTheUnits": "audited weights",
    "OtherOrder": "audited losses",
    "OtherOrderInARow": "the same steps in other calls",
    "StaleRate": "audited weights",
    "NoDecay": "audited weights",
    "CoarseWeights": "audited weights",
    "SkipsWhenTimed": "calls of many steps",
    "SkipsInLongCalls": "the same steps in other calls",
    "SaysHalf": "images miscounted",
    "ClassifiesByOthers": "logits",
    "GivesTheReferences": "audited weights",
    "TellsMore": "seconds beyond those that passed",
    "WorksInLosses": "share of work outside of the clock",
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_trainer_that_does_something_else_is_named_wrong(fault: str) -> None:
    config = replace(OF_TRAINERS, optimizers=("sgd",) if len(fault) % 2 else ("adamw",))
    assert FAULTS[fault] in " ".join(check.name for check in verdict_of(fault, config).failures)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sgd", "sgd-momentum", "adamw"])
def test_the_right_trainer_passes(optimizer: str) -> None:
    assert verdict_of("right", replace(OF_TRAINERS, optimizers=(optimizer,))).failures == ()


@pytest.mark.slow
def test_a_trainer_that_works_before_it_is_asked_does_not_hold_up_the_benchmark() -> None:
    with pytest.raises(DeviceError, match=r"a region takes it more than|while the clock stands still"):
        verdict_of("WorksInLoad", OF_TRAINERS)


@pytest.mark.slow
def test_a_right_trainer_in_float64_passes() -> None:
    """What goes on from weights and state that were taken ends where it would have ended without."""
    for _ in range(3):
        assert verdict_of("InFloat64", replace(OF_TRAINERS, optimizers=("adamw",))).failures == ()


def classifier(sides: Sides) -> RemoteInference:
    """The example's classifier, with the fault that the side has."""
    case = replace(CASE, mode="inference", optimizer=None, hidden=(256,))
    config = replace(OF_TRAINERS, hidden=((256,),), batch_sizes=(64,), modes=("inference",))
    device, run = resolve("cpu"), run_config(case, config)
    builder = CaseBuilder(config, resolve_devices(("cpu",)), score_here)
    run = replace(run, training=replace(run.training, batch_size=64))
    sides.start("mine")
    other = OpenCase(sides, case, run, builder.dataset)
    return RemoteInference(case, device, builder.images("test", device).images, other)


@pytest.mark.parametrize(("fault", "passes"), [("right", True), ("KeepsLogits", False)])
def test_logits_that_are_kept_are_faster_than_any_processor(fault: str, passes: bool) -> None:
    command = shlex.join([sys.executable, str(FAULTY), fault])
    with Sides((Side(name="mine", command=command),), threads=1) as sides:
        timed = classifier(sides)
        timed.warm_up()
        assert timed.check_speed(product_flop_s()).passed is passes


def test_who_classifies_the_last_batch_alone_is_not_measured() -> None:
    command = shlex.join([sys.executable, str(FAULTY), "TheLastBatchAlone"])
    with Sides((Side(name="mine", command=command),), threads=1) as sides:
        timed = classifier(sides)
        for steps in (None, 50):  # it finds out how many itself, or is told
            with pytest.raises(DeviceError, match=r"steps would be a region of .* s: it skips them"):
                timed.warm_up(steps)


# What is seen of a region of 30 ms, of which a request takes 0.2 ms, and 0.5 ms more if nothing happened before it.
SEEN = {"images": 64, "seconds": 0.03, "raw_s": 0.0305, "day_s": 0.0305, "cpu_s": 0.03, "threads": 1, "settle_s": 0.0}
SEEN |= {"deviation": 0.0, "request_s": 0.0002}
LATE = {"raw_s": 0.04, "day_s": 0.05, "settle_s": 0.02, "request_s": 0.004}
TOLD = Told(
    is_own=True,
    images=64,
    slices=1,
    samples=(),
    threads=1,
    prepared_threads=1,
    watches_processor=True,
    has_queue=False,
    is_remote=True,
)


@pytest.mark.parametrize(
    ("seen", "late", "finds"),
    [
        ({}, 0, set()),
        ({}, 37, set()),  # of 40 regions: a busy machine
        ({"raw_s": 0.033, "day_s": 0.033}, 0, {"error of the clock"}),  # 8 % less
        ({"raw_s": 0.033, "day_s": 0.0305}, 0, set()),  # a clock is being set
        ({"raw_s": 0.0295, "day_s": 0.0295}, 0, {"seconds beyond those that passed"}),
        ({"settle_s": 0.01}, 0, {"share of work outside of the clock"}),
        ({"cpu_s": 0.04}, 0, {"busy threads"}),
    ],
)
def test_what_is_seen_of_another_clock(seen: dict[str, float], late: int, finds: set[str]) -> None:
    """The machine may be as busy as it likes: two quick regions of forty do."""
    regions = [Region(**SEEN | seen)] * (40 - late) + [Region(**SEEN | LATE)] * late
    told = replace(TOLD, samples=[64 / 0.03] * 40)
    anchor = Anchor(deviation=lambda: 0.0, limit=0.0, reason="")
    assert {check.name for check in audit(regions, anchor, told) if not check.passed} == finds


# --- whole benchmarks


SMALL = ["bench", "--dataset", "synthetic", "--hidden", "8", "--devices", "cpu", "--threads", "1"]
SMALL += ["--engines", "eager", "--batch-sizes", "64", "--mode", "training"]


@pytest.fixture
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, right_digits: Path) -> None:
    """Two parts of some rounds, all sides fakes, this program's own too; whoever is right has the right digits."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FAKE_DIGITS", str(right_digits))
    monkeypatch.setattr("os.cpu_count", lambda: 1)  # or a helper would be waited for
    monkeypatch.setattr(import_module("accelmnist.cli.bench"), "seconds_since_start", lambda: 1.0)
    monkeypatch.setattr("accelmnist.show.pictures.write_bench_pictures", lambda *_, **__: ())
    monkeypatch.setattr(other_process, "COMMAND", (str(FAKE), "right"))
    for name, value in {"PARTS": 2, "_FEWEST_PARTS": 2, "_MOST_ROUNDS": 8, "_ALONE": 2, "_LEAST_S": 0.1}.items():
        monkeypatch.setattr(rounds, name, value)


@pytest.fixture(scope="module")
def right_digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the reference says of the test images."""
    case = Case(**{**vars(CASE), "engine": "eager", "side": None})
    builder = CaseBuilder(OF_TRAINERS, resolve_devices(("cpu",)), score_here)
    path = tmp_path_factory.mktemp("digits") / "digits.npy"
    np.save(path, builder.reference(run_config(case, OF_TRAINERS)).evaluation.predictions)
    return path


def beside(**modes: str) -> list[str]:
    """The options of sides with these names and faults."""
    return [word for name, mode in modes.items() for word in ("--beside", f"{name}={side(mode).command}")]


def row(record: BenchRecord, name: str | None) -> CaseResult:
    return next(result for result in record.cases if result.side == name)


def test_what_goes_wrong_on_one_side_keeps_nobody_else_from_being_measured(
    quick: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(other_process, "ANSWER_S", 5.0)  # others that start meanwhile need one on a busy machine
    causes = {
        "hangs": "failed: its hello did not come within 5 s",
        "banner": "failed: it said 'Welcome to a library 1.0' before its hello",
        "exits@losses": "failed: it ended with exit code 3: ValueError: out of luck",
        "unsupported@prepare": "skipped: this is not for me",
        "floods@hello": "done: None",
    }
    named = {f"side{number}": mode for number, mode in enumerate(causes)}
    line = [*SMALL, "--out", "out", *beside(good="right", **named), "--beside", "none=/no/such/program"]
    code, said, record = invoke(line), capsys.readouterr(), load_bench(Path("out"))
    assert (code, said.err) == (0, ""), said.out
    for name, mode in named.items():
        status = f"{row(record, name).status}: {row(record, name).skipped}"
        assert status.startswith(causes[mode])
        assert causes[mode].removeprefix("done: None") in " ".join(said.out.split())
    assert str(row(record, "none").skipped).startswith("/no/such/program can't be started: no such file or directory")
    assert [note for note in record.notes if "standard error" in note] == [
        "side4 wrote more than 1 MiB to its standard error while it was measured"
    ]
    for name in (None, "good", "side4"):
        result = row(record, name)
        assert result.status == "done"
        assert len(result.rounds) == len(record.rounds) == 16
    assert [one.name for one in record.sides if one.failure] == ["side0", "side1", "none"]


@pytest.mark.parametrize("at", ["prepare", "run"])
def test_a_case_that_ends_its_side_s_process_takes_no_other_with_it(at: str, quick: None) -> None:
    line = [*SMALL, "--batch-sizes", "64,32", "--quiet", "--out", "out", *beside(good=f"exits@{at}@32")]
    invoke(line)  # the digits are of batches of 64
    record = load_bench(Path("out"))
    found = {(result.side, result.batch_size): result for result in record.cases}
    assert str(found.pop(("good", 32)).skipped).startswith("it ended with exit code 3: ValueError: out of luck")
    assert {result.status for result in found.values()} == {"done"}
    assert all(len(result.rounds) >= 8 for result in found.values())


@pytest.mark.parametrize(("name", "after"), [("good", 3), (None, 3), (None, 0)])  # at 0 before the others are there
def test_a_side_that_ends_in_a_round_goes_on_with_its_other_cases(
    name: str | None, after: int, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own case is out with the samples that it has."""
    sample = WarmCase.sample

    def killed(warm: WarmCase) -> float:
        case = warm.timed.case
        if (case.side, case.batch_size) == (name, 32) and len(warm.timed.regions) == after:
            assert isinstance(warm.timed, RemoteTraining)
            warm.timed.other.process.kill()
        return sample(warm)

    monkeypatch.setattr(WarmCase, "sample", killed)
    invoke([*SMALL, "--batch-sizes", "64,32", "--quiet", "--out", "out", *beside(good="right")])
    found = {(result.side, result.batch_size): result for result in load_bench(Path("out")).cases}
    ended = found.pop((name, 32))
    assert str(ended.skipped).startswith("it ended with signal SIGKILL")
    assert len(ended.rounds) == after
    assert {result.status for result in found.values()} == {"done"}
    assert all(len(result.rounds) >= 8 for result in found.values())


def test_a_side_whose_process_ends_with_every_case_is_given_up(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    start = OtherProcess.__init__

    def watched(process: OtherProcess, side: Side, **arguments: Any) -> None:
        started.append(side.name)
        start(process, side, **arguments)

    monkeypatch.setattr(OtherProcess, "__init__", watched)
    line = [*SMALL, "--batch-sizes", "64,32,16,8,4", "--quiet", "--out", "out", *beside(good="exits@run")]
    invoke(line)  # the digits are of batches of 64
    found = {(result.side, result.batch_size): result for result in load_bench(Path("out")).cases}
    assert [result.status for (side, _), result in found.items() if side] == ["failed"] * 5
    assert [result.status for (side, _), result in found.items() if not side] == ["done"] * 5
    assert started.count("good") == 3


def test_all_sides_that_do_the_same_are_timed_for_the_same_number_of_steps_in_every_part(
    quick: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first step after another program is slower: who has more in a region would seem quicker."""
    asked: dict[str, set[tuple[bool, int]]] = {}
    sample = WarmCase.sample

    def watched(warm: WarmCase) -> float:
        steps = warm.timed.slice_steps
        asked.setdefault(warm.timed.case.side or "own", set()).add((warm.timed.warms_up(steps), steps))
        return sample(warm)

    monkeypatch.setattr(WarmCase, "sample", watched)
    assert invoke([*SMALL, "--no-save", *beside(good="right", other="right")]) == 0, capsys.readouterr().out
    assert set(asked) == {"own", "good", "other"}
    assert asked["own"] == asked["good"] == asked["other"]
    assert len(asked["own"]) == 1


def test_a_benchmark_with_sides_is_told_as_any_other(quick: None, capsys: pytest.CaptureFixture[str]) -> None:
    line = [*SMALL, *beside(good="right")]
    assert invoke([*line, "--json", "--no-save"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [case["side"] for case in told["cases"]] == [None, "good"]
    assert [side["name"] for side in told["sides"]] == ["ours", "good"]
    assert not list(Path().iterdir())
    assert invoke([*line, "--no-save", "--markdown"]) == 0
    told = capsys.readouterr().out
    assert "| cpu eager | good | 1.0" in told, told
    assert invoke([*line, "--quiet", "--out", "out"]) == 0
    said = capsys.readouterr()
    assert (len(said.out.splitlines()), said.err) == (1, "")
    assert row(load_bench(Path("out")), "good").status == "done"


@pytest.mark.parametrize(("mode", "code"), [("right", 0), ("exits@hello", 1)])
def test_what_a_side_is_to_be_held_against_has_to_be_measured(
    mode: str, code: int, quick: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke([*SMALL, "--no-save", "--quiet", "--fail-on", "50%", *beside(good=mode)]) == code
    assert capsys.readouterr().err == ""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("mode", ["hangs-hard", "hangs-hard@run", "is-stopped@prepare"])
def test_however_a_benchmark_ends_nothing_of_it_stays(mode: str, number: int, tmp_path: Path) -> None:
    """Also what the side has started; a side may be deaf, or stand still. The record is there."""
    line = [sys.executable, "-m", "accelmnist", *SMALL, "--out", str(tmp_path / "out"), *beside(mine=mode)]
    with (tmp_path / "log").open("w") as log:
        program = subprocess.Popen(line, stdout=log, stderr=log)
    own = psutil.Process(program.pid)
    family: list[psutil.Process] = []
    while program.poll() is None and not any(str(FAKE) in _command(one) for one in family):
        time.sleep(0.1)
        family = own.children(recursive=True)
    time.sleep(1.0)
    family = own.children(recursive=True)
    program.send_signal(number)
    program.wait(60)
    psutil.wait_procs(family, timeout=5)
    assert len(family) >= 4
    assert not [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    assert load_bench(tmp_path / "out").status == ("interrupted" if number == signal.SIGINT else "running")
