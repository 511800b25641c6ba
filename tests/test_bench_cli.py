"""`accelmnist bench` from the command line to the record, on small made-up data."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from accelmnist.cli import invoke
from accelmnist.core.errors import OutputError
from accelmnist.core.files import sole_writer
from accelmnist.engines.eager import EagerEngine
from accelmnist.measure import record as bench_record
from accelmnist.measure.limits import probes
from accelmnist.measure.record import BenchRecord
from accelmnist.measure.recount import load_bench

SMALL = ["bench", "--dataset", "synthetic", "--hidden", "16", "--devices", "cpu", "--threads", "1"]
QUICK = [*SMALL, "--engines", "eager", "--batch-sizes", "64", "--precision-target", "90%"]
TRAINING = [*QUICK, "--mode", "training"]
PROGRAM = [sys.executable, "-m", "accelmnist"]


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.cpu_count", lambda: 1)  # all is loaded here already: a helper would only be waited for


@pytest.fixture(autouse=True)
def process_that_has_just_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits count from the start of the process, and the tests' own has been running for minutes."""
    monkeypatch.setattr(import_module("accelmnist.cli.bench"), "seconds_since_start", lambda: 1.0)


@pytest.fixture(autouse=True)
def short_regions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A region of a hundredth of a second and probes of less: here what happens is tested, and nothing is measured."""
    monkeypatch.setattr("accelmnist.measure.timed_case.TimedCase.least_s", 0.01)
    monkeypatch.setattr("accelmnist.measure.limits.probe.SAMPLE_S", 0.0005)
    monkeypatch.setattr("accelmnist.measure.limits.probes.PROBE_S", 0.002)
    monkeypatch.setitem(probes._COPY_BYTES, "cpu", 1 << 22)


@pytest.fixture
def pictures() -> None:
    """For a test that looks at the pictures."""


@pytest.fixture(autouse=True)
def no_pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """They take a second of each benchmark."""
    if "pictures" not in request.fixturenames:
        monkeypatch.setattr("accelmnist.show.pictures.write_bench_pictures", lambda *_, **__: ())


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a command which fails with exit code 2 says."""
    assert invoke(arguments) == 2
    line, *rest = capsys.readouterr().err.splitlines()
    assert rest == []
    return line.removeprefix("error: ")


def measured(folder: str = "out", *arguments: str) -> BenchRecord:
    assert invoke([*QUICK, "--out", folder, "--quiet", *arguments]) == 0
    return load_bench(Path(folder))


def test_a_benchmark_ends_with_every_figure_of_every_case(capsys: pytest.CaptureFixture[str], pictures: Any) -> None:
    record = measured()
    assert (record.status, len(record.cases)) == ("done", 2)
    assert len(record.rounds) >= 10
    for result in record.cases:
        assert result.status == "done"
        assert result.images_per_s is not None
        assert len(result.images_per_s.samples) == len(result.rounds) == len(record.rounds)
        assert result.images_per_s.low <= result.images_per_s.median <= result.images_per_s.high
        assert result.verdict is not None
        assert result.verdict.passed
        assert result.accuracy is not None
        assert result.launches is not None
        assert result.launches.operations > 3
        assert result.bound is not None
        assert result.share_of_limit is not None
        assert result.rank == 1
    assert all(limit.rate is not None for limit in record.limits)
    meeting = {"meeting"} if torch.get_num_threads() > 1 else set()
    kinds = {"matmul", "workload", "memory", "working set", "dispatch"} | meeting
    assert {limit.kind for limit in record.limits} == kinds
    assert record.harness is not None
    assert record.harness.share is not None
    assert record.harness.share < 0.01
    assert record.files[0] == "bench.json"
    assert all((Path("out") / name).exists() for name in record.files)
    assert not (Path("out") / ".lock").exists()


def test_a_device_that_is_not_here_is_a_row_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    code = invoke([*TRAINING[:5], "--devices", "cpu,cuda:7", *TRAINING[7:], "--out", "out"])
    out = capsys.readouterr().out
    record = load_bench(Path("out"))
    absent = [result for result in record.cases if result.device == "cuda:7"]
    assert code == 0
    assert [result.status for result in absent] == ["skipped"]
    assert "cuda:7 is not available" in str(absent[0].skipped)
    assert "not available" in " ".join(out.split())


@pytest.mark.parametrize("saved", [("--no-save",), ("--out", "out")])
def test_where_nothing_could_be_measured_the_last_line_says_why(
    capsys: pytest.CaptureFixture[str], saved: tuple[str, ...]
) -> None:
    """Exit 0: no device is no failure, unless every case is asked for."""
    absent = [*TRAINING[:5], "--devices", "cuda:7,cuda:8", *TRAINING[7:], "--engines", "eager,compiled"]
    assert invoke([*absent, *saved]) == 0
    out = capsys.readouterr().out
    last = " ".join(out[out.rindex("Nothing was measured") :].split())
    assert last.startswith("Nothing was measured: ")
    assert "--devices cuda:7 is not available" in last
    assert last.endswith("(2 of 4 cases)")
    assert invoke([*absent, "--no-save", "--strict", "--quiet"]) == 1
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    assert "--devices cuda:7 is not available" in line


def test_strict_asks_for_every_case(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke([*TRAINING[:5], "--devices", "cpu,cuda:7", *TRAINING[7:], "--no-save", "--strict", "--quiet"]) == 1


def test_a_wrong_case_is_told_and_the_exit_code_is_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = EagerEngine.prepare

    def prepare(job: Any, sample: Any) -> Any:
        """It leaves out the second half of every epoch, which makes it twice as fast."""
        runner = original(job, sample)

        def forgetful(epoch: Any) -> Any:
            half = max(len(epoch) // 2, 1)
            losses = runner.train_epoch(epoch[:half])
            return torch.cat([losses, losses[: len(epoch) - half]])

        return replace(runner, train_epoch=forgetful)

    monkeypatch.setattr(EagerEngine, "prepare", prepare)
    monkeypatch.setattr("accelmnist.measure.case_builder.is_reference", lambda *_, **__: False)
    monkeypatch.setattr(
        "accelmnist.training.reference.verdict.EagerEngine", type("Right", (EagerEngine,), {"prepare": original})
    )
    assert invoke([*TRAINING, "--out", "out"]) == 1
    (result,) = load_bench(Path("out")).cases
    assert result.is_wrong
    assert (result.rank, result.speedup) == (None, None)
    assert "FAIL" in capsys.readouterr().out


def test_out_of_memory_is_that_rows_result(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    original = EagerEngine.prepare

    def prepare(job: Any, sample: Any) -> Any:
        if job.config.training.batch_size == 128:
            raise MemoryError
        return original(job, sample)

    monkeypatch.setattr(EagerEngine, "prepare", prepare)
    arguments = [*TRAINING, "--out", "out", "--quiet"]
    arguments[arguments.index("64")] = "64,128"
    assert invoke(arguments) == 0
    good, bad = load_bench(Path("out")).cases
    assert good.status == "done"
    assert bad.status == "failed"
    assert str(bad.skipped).startswith("out of memory on cpu")


def test_what_does_not_fit_into_the_time_is_cut_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke([*SMALL, "--time-limit", "0.5", "--out", "out", "--quiet"]) == 1
    record = load_bench(Path("out"))
    assert {result.status for result in record.cases} <= {"cut", "skipped", "done"}
    cut = [result for result in record.cases if result.status == "cut"]
    assert cut
    assert all("cut for time" in str(result.skipped) for result in cut)
    assert any("--time-limit" in note for note in record.notes)


@pytest.mark.parametrize("processes", ["1", "2"])
def test_time_that_is_over_before_a_round_is_told_and_fails(
    processes: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine the preparation takes it all; no other process would get further."""
    from accelmnist.measure.benchmark import _Rounds

    monkeypatch.setattr(_Rounds, "_is_over", lambda *_: True)
    monkeypatch.setattr("os.getloadavg", lambda: (9.0, 9.0, 9.0))
    assert invoke([*TRAINING, "--processes", processes, "--out", "out", "--quiet"]) == 1
    record = load_bench(Path("out"))
    assert (record.status, record.cases[0].status) == ("done", "cut")
    said = capsys.readouterr().out
    assert said.startswith("NOTHING MEASURED")
    assert "cut for time: no round fitted into the 180 s after the preparation" in said
    assert "the machine was busy (load 9.0 on 1 cores)" in said
    assert any("--time-limit" in note for note in record.notes)


def test_a_process_that_measures_nothing_ends_the_benchmark_as_failed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_module("accelmnist.cli.bench"), "_resume_in_fresh_process", lambda *_: None)
    assert invoke([*TRAINING, "--processes", "2", "--out", "out", "--quiet"]) == 2
    line = "a fresh process measured nothing. Allow it more by --time-limit"
    assert capsys.readouterr().err == f"error: {line}\n"
    record = load_bench(Path("out"))
    assert (record.status, record.message) == (
        "failed",
        "a fresh process measured nothing. Allow it more by --time-limit",
    )
    assert invoke(["bench", "--resume", "out", "--quiet"]) == 0  # this one is the second process
    assert load_bench(Path("out")).status == "done"


@pytest.mark.parametrize("lost", ["drawing fails", "a picture is gone"])
def test_a_benchmark_that_lacks_pictures_gets_them_and_is_not_measured_again(
    lost: str, pictures: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> Any:
        raise OutputError("cannot write out/throughput.png: no space left on device", remedy="Make room there")

    with monkeypatch.context() as patch:
        if lost == "drawing fails":
            patch.setattr("accelmnist.show.pictures.write_atomically", full)
        assert invoke([*TRAINING, "--out", "out", "--quiet"]) == (2 if lost == "drawing fails" else 0)
    assert "1 of 1 case measured" in capsys.readouterr().out
    before = load_bench(Path("out"))
    assert before.status == ("failed" if lost == "drawing fails" else "done")
    (Path("out") / "throughput.png").unlink(missing_ok=True)
    assert invoke(["bench", "--resume", "out", "--quiet"]) == 0
    record = load_bench(Path("out"))
    assert (record.status, record.rounds) == ("done", before.rounds)
    assert all((Path("out") / name).exists() for name in record.files)
    assert "throughput.png" in record.files
    assert fails(capsys, "bench", "--resume", "out").startswith("--resume out: that benchmark is finished")


def test_the_last_line_of_json_is_the_record(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke([*TRAINING, "--no-save", "--json"]) == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out.splitlines()[-1])
    assert document["kind"] == "bench"
    assert document["cases"][0]["images_per_s"]["median"] > 0
    assert len(captured.out.splitlines()) == 1


def test_markdown_is_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke([*TRAINING, "--no-save", "--markdown"]) == 0
    out = capsys.readouterr().out
    assert "| ---" in out.replace("|---", "| ---")
    assert "eager" in out


def test_profile_leaves_a_trace_and_the_top_operations(capsys: pytest.CaptureFixture[str]) -> None:
    record = measured("out", "--profile", "--mode", "training")
    (result,) = record.cases
    assert result.profile is not None
    assert result.profile.rows
    assert len(list((Path("out") / "profiles").glob("*.json.gz"))) == 1


def test_time_to_accuracy_tells_every_seed(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*TRAINING, "--target-accuracy", "50%", "--seeds", "3", "--out", "out", "--quiet"]
    assert invoke(arguments) == 0
    (result,) = load_bench(Path("out")).cases
    assert result.time_to_accuracy is not None
    assert result.time_to_accuracy.reached == 3
    assert len(result.time_to_accuracy.with_compile.seconds) == 3


def test_a_target_out_of_reach_ends_says_so_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke([*TRAINING, "--target-accuracy", "99.9999%", "--seeds", "2", "--out", "out"]) == 1
    (result,) = load_bench(Path("out")).cases
    assert result.time_to_accuracy is not None
    assert result.time_to_accuracy.with_compile.median_s is None
    assert "no seed reached" in " ".join(capsys.readouterr().out.split())


def stop_after(monkeypatch: pytest.MonkeyPatch, rounds: int) -> None:
    """Press Ctrl-C in the middle of a round."""
    from accelmnist.measure import benchmark

    original, calls = benchmark.sample_round, []

    def sample_round(samplers: Any, rng: Any) -> Any:
        calls.append(1)
        if len(calls) > rounds:
            os.kill(os.getpid(), signal.SIGINT)
        return original(samplers, rng)

    monkeypatch.setattr(benchmark, "sample_round", sample_round)


def test_ctrl_c_saves_shows_and_can_be_gone_on_with(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_after(patch, 4)
        assert invoke([*TRAINING, "--out", "out"]) == 130
    captured = capsys.readouterr()
    assert captured.err.splitlines()[-1].endswith("Go on with: accelmnist bench --resume out")
    assert "images/s" in captured.out
    stopped = load_bench(Path("out"))
    assert (stopped.status, len(stopped.rounds)) == ("interrupted", 4)
    assert invoke(["bench", "--resume", "out", "--quiet"]) == 0
    record = load_bench(Path("out"))
    (before,), (after,) = stopped.cases, record.cases
    assert before.images_per_s is not None
    assert after.images_per_s is not None
    assert after.images_per_s.samples[:4] == before.images_per_s.samples
    assert record.status == "done"
    assert {round_.process for round_ in record.rounds} == {0, 1}


def test_a_case_that_is_done_is_not_measured_again(capsys: pytest.CaptureFixture[str]) -> None:

    from accelmnist.measure.record import save_bench

    record = measured()
    save_bench(replace(record, status="interrupted"), Path("out"))
    assert invoke(["bench", "--resume", "out", "--quiet"]) == 0
    again = load_bench(Path("out"))
    assert [result.images_per_s for result in again.cases] == [result.images_per_s for result in record.cases]


@pytest.mark.slow
def test_killed_at_any_moment_what_was_finished_is_there() -> None:
    command = [*PROGRAM, *TRAINING, "--precision-target", "0.0001%", "--out", "out", "--quiet"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        if Path("out/bench.json").exists() and len(load_bench(Path("out")).rounds) >= 2:
            break
        time.sleep(0.05)
    process.kill()
    process.wait()
    record = load_bench(Path("out"))
    assert len(record.rounds) >= 2
    assert record.cases[0].images_per_s is not None
    with sole_writer(Path("out")):
        pass  # the lock went with the process


@pytest.mark.slow
def test_several_processes_share_a_record_and_their_spread_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    record = measured("out", "--mode", "training", "--processes", "2")
    (result,) = record.cases
    assert {round_.process for round_ in record.rounds} == {0, 1}
    assert len(result.process_medians) == 2
    assert result.process_spread is not None
    assert record.status == "done"


def test_two_writers_on_one_record_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Path("out").mkdir()
    with sole_writer(Path("out")), pytest.raises(OutputError), sole_writer(Path("out")):
        pass
    with sole_writer(Path("other")):
        Path("other/.lock").exists()
        line = fails(capsys, *TRAINING, "--out", "other")
    assert line.startswith("--out other holds other files") or "another accelmnist is writing" in line


def test_a_folder_that_fills_up_loses_nothing_that_was_saved(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:

    original, calls = bench_record.save_bench, []

    def save_bench(record: Any, folder: Any) -> Any:
        calls.append(1)
        if len(record.rounds) >= 3:
            raise OutputError("cannot write out/bench.json: no space left on device", remedy="Make room there")
        return original(record, folder)

    monkeypatch.setattr(bench_record, "save_bench", save_bench)
    monkeypatch.setattr("accelmnist.measure.session._SAVE_EVERY_S", 0.0)
    assert invoke([*TRAINING, "--out", "out"]) == 2
    captured = capsys.readouterr()
    assert captured.err.splitlines()[-1] == (
        "error: cannot write out/bench.json: no space left on device. Make room there"
    )
    assert "images/s" in captured.out
    assert len(load_bench(Path("out")).rounds) == 2


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--engines", "turbo"], "--engines: 'turbo' is not known"),
        (["--precisions", "fp8"], "--precisions: 'fp8' is not known"),
        (["--devices", "tpu"], "--devices: 'tpu' is not a device"),
        (["--devices", "cpu,"], "'cpu,' has an empty place"),
        (["--devices", "cpu,cpu"], "--devices: cpu is given twice"),
        (["--batch-sizes", "64,x"], "'64,x' is no list of numbers"),
        (["--mode", "sleep"], "--mode: 'sleep' is not known"),
        (["--quick", "--full"], "--quick contradicts --full"),
        (["--target-accuracy", "1.5"], "--target-accuracy: 1.5 is not between 0 and 1"),
        (["--target-accuracy", "often"], "--target-accuracy: 'often' is not a share"),
        (["--precision-target", "0"], "--precision-target: it is not between 0 and 1"),
        (["--no-save", "--out", "x"], "--no-save contradicts --out"),
        (["--json", "--markdown"], "--json contradicts --markdown"),
        (["--processes", "2", "--target-accuracy", "0.9"], "--processes: a time to an accuracy is measured in one"),
        (["--processes", "2", "--no-save"], "--processes takes a record that they share"),
        (["--resume", "nowhere"], "cannot read nowhere"),
        (["--resume", "nowhere", "--engines", "eager"], "--resume goes on with the stopped benchmark's own"),
        (["--baseline", "fastest"], "--baseline: 'fastest' names"),
    ],
)
def test_bad_input_is_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], line: str) -> None:
    said = fails(capsys, "bench", *arguments)
    assert line in said
    assert not Path("results").exists()


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('{"schema_version": 1, "kind": "be', "is not whole JSON"),
        ('{"schema_version": 99, "kind": "bench"}', "has schema version 99, newer than"),
        ('{"schema_version": 1, "kind": "run"}', "is a record of kind 'run', not of a benchmark"),
        ('{"benchmarks": []}', "is not a record of accelmnist"),
    ],
)
def test_a_record_that_can_not_be_gone_on_with_is_one_line(
    capsys: pytest.CaptureFixture[str], content: str, line: str
) -> None:
    Path("old").mkdir()
    Path("old/bench.json").write_text(content)
    assert line in fails(capsys, "bench", "--resume", "old")
    assert Path("old/bench.json").read_text() == content


def test_a_finished_benchmark_is_not_gone_on_with(capsys: pytest.CaptureFixture[str]) -> None:
    measured()
    assert fails(capsys, "bench", "--resume", "out").startswith("--resume out: that benchmark is finished")
