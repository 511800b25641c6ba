"""`run --trials N`: every seed is what it would be as a run of its own, and what they say together is right."""

from __future__ import annotations

import io
import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from scipy import stats

from accelmnist.cli import invoke
from accelmnist.core.config import RunConfig
from accelmnist.core.errors import ConfigError
from accelmnist.core.records import RunRecord, TrialFigures, TrialsSummary, load_record
from accelmnist.device import Device
from accelmnist.engines import native
from accelmnist.engines.model import MLP
from accelmnist.show.document import Document, Section
from accelmnist.show.observer import SilentObserver, TrialsProgress
from accelmnist.show.render.console import print_document
from accelmnist.show.render.markdown import render_markdown
from accelmnist.show.run_tables import plan_page
from accelmnist.show.summary import format_line, run_page, trials_blocks, trials_note
from accelmnist.sweep.trials import run as run_module
from accelmnist.sweep.trials import training as training_module
from accelmnist.sweep.trials.run import check_seeds, check_told, execute_trials, spread_of
from accelmnist.sweep.trials.training import way_of
from accelmnist.training.checkpoint import load_model
from accelmnist.training.reference.tolerances import seed_spread_limit
from accelmnist.training.run import RunRequest, choose_setup
from tests.samples import sample_epoch, sample_record

QUICK = ["run", "--synthetic", "--hidden", "16", "--epochs", "2", "--batch-size", "64", "--device", "cpu"]
ENGINES = ["eager", *([] if native.why_missing() else ["fused"])]


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("os.cpu_count", lambda: 1)


def trials_of(record: RunRecord) -> tuple[TrialFigures, ...]:
    assert record.trials is not None
    return record.trials.trials


# --- the whole command


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.slow
def test_every_seed_is_what_it_is_as_a_run(engine: str) -> None:
    """A folder of data, so that the seeds share their images as the single runs do."""
    arguments = ["run", *QUICK[2:], "--engine", engine, "--data", str(small_mnist()), "--quiet", "--no-reference"]
    assert invoke([*arguments, "--trials", "3", "--seed", "5", "--out", "together"]) == 0
    together = load_record(Path("together"))
    assert [trial.seed for trial in trials_of(together)] == [5, 6, 7]
    for trial in trials_of(together):
        assert invoke([*arguments, "--seed", str(trial.seed), "--out", f"alone{trial.seed}"]) == 0
        alone = load_record(Path(f"alone{trial.seed}"))
        assert (trial.accuracy, trial.macro_f1) == (alone.metrics.accuracy, alone.metrics.macro_f1)
    assert together.metrics == load_record(Path("alone5")).metrics
    ours, theirs = load_model(Path("together")).model, load_model(Path("alone5")).model
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def small_mnist() -> Path:
    """Four IDX files with the first images of MNIST."""
    from accelmnist.data.idx import write_idx
    from accelmnist.data.mnist import load_dataset

    mnist, folder = load_dataset("mnist"), Path("data")
    folder.mkdir()
    for part, name in ((mnist.train, "train"), (mnist.test, "t10k")):
        write_idx(folder / f"{name}-images-idx3-ubyte", part.images[:1500].reshape(-1, 28, 28))
        write_idx(folder / f"{name}-labels-idx1-ubyte", part.labels[:1500].astype(np.uint8))
    return folder


def test_the_record_the_table_and_the_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke([*QUICK, "--trials", "3", "--out", "run", "--quiet"]) == 0
    line = capsys.readouterr().out
    record = load_record(Path("run"))
    assert record.trials is not None
    accuracies = [trial.accuracy for trial in record.trials.trials]
    assert record.trials.accuracy == spread_of(accuracies)
    assert record.metrics.accuracy == accuracies[0]
    assert f"; 3 seeds: mean {100 * np.mean(accuracies):.2f} ± " in line
    images = 3 * 2 * 4096
    assert record.trials.images_per_s == pytest.approx(images / record.trials.total_s)
    assert record.trials.total_s >= max(trial.train_s for trial in record.trials.trials)
    assert record.verdict.checks[-2].name == "all seeds"
    assert "trials.md" in record.files
    assert Path("run/trials.md").read_text() == render_markdown(trials_note(replace(record, files=()), record.trials))
    assert not Path("run/checkpoint.safetensors").exists()


def test_the_first_seed_is_held_against_the_reference(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke([*QUICK, "--trials", "2", "--engine", ENGINES[-1], "--no-save", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    names = [check["name"] for check in record["verdict"]["checks"]]
    assert "accuracy, reference" in names or ENGINES == ["eager"]
    assert [trial["seed"] for trial in record["trials"]["trials"]] == [0, 1]


def test_one_trial_is_a_plain_run() -> None:
    assert invoke([*QUICK, "--trials", "1", "--out", "run", "--quiet", "--no-reference"]) == 0
    assert load_record(Path("run")).trials is None


# --- what can go wrong

MISTAKES = {
    "--trials 0": "Invalid value for '--trials': 0 is not in the range 1<=x<=10000. See accelmnist run --help",
    "--trials 2 --resume x": (
        "--resume has no place beside --trials: it goes on with one stopped training. Leave out --resume or --trials"
    ),
    "--trials 2 --profile": (
        "--profile has no place beside --trials: it looks at the steps of one training. Leave out --profile or --trials"
    ),
    "--trials 2 --save-every 2": (
        "--save-every has no place beside --trials: trainings of many seeds make no checkpoints. "
        "Leave out --save-every or --trials"
    ),
    "--trials 2 --seed 9223372036854775807": (f"--seed: {2**63} is out of range. Give 0 up to 2^63 - 1"),
}


@pytest.mark.parametrize("arguments", MISTAKES)
def test_a_mistake_is_one_line(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = invoke(["run", *arguments.split()])
    captured = capsys.readouterr()
    assert (code, captured.out, captured.err) == (2, "", f"error: {MISTAKES[arguments]}\n")
    assert not Path("results").exists()


def test_an_engine_on_a_gpu_has_no_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    config = RunConfig()
    setup = choose_setup(config)
    gpu = Device("cuda", "a GPU", "asked for")
    asked = replace(config, execution=replace(config.execution, engine="eager"))
    with pytest.raises(ConfigError, match="--engine eager has no effect with --trials on cuda: one graph trains all"):
        execute_trials(RunRequest(config=asked), replace(setup, device=gpu), SilentObserver, count=2)


def test_the_way_is_told() -> None:
    gpu, cpu = Device("cuda", "a GPU", "asked for"), choose_setup(RunConfig()).device
    compiled, fused = (
        replace(RunConfig(), execution=replace(RunConfig().execution, engine=name)) for name in ("compiled", "fused")
    )
    assert way_of(fused, gpu, count=8).startswith("as one graph")
    assert way_of(compiled, cpu, count=8) == "one after the other: compiled takes all threads"
    torch.set_num_threads(3)
    try:
        assert way_of(fused, cpu, count=8) == "3 at a time, with one thread each"
        assert way_of(fused, cpu, count=2) == "2 at a time, with one thread each"
    finally:
        torch.set_num_threads(1)


def test_as_many_are_held_to_train_at_once_as_the_pool_has_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seeds on four threads are two at once, and one where memory is short: not the number of threads."""
    workers, held = [], []
    pool_of, check = training_module._threads_of_one, run_module.check_told
    monkeypatch.setattr(training_module, "_threads_of_one", lambda count: (workers.append(count), pool_of(count))[1])
    monkeypatch.setattr(
        run_module, "check_told", lambda *told, at_once: (held.append(at_once), check(*told, at_once=at_once))[1]
    )
    for free in (None, 1):
        monkeypatch.setattr(training_module, "free_memory_bytes", lambda _, free=free: free)
        assert invoke([*QUICK, "--epochs", "1", "--trials", "2", "--threads", "4", "--no-save", "--no-reference"]) == 0
    assert workers == held == [2, 1]


def fail_seed(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Let that seed diverge at once."""
    original = run_module._trial

    def wild(config: Any, place: Any) -> Any:
        trial = original(config, place)
        if trial.key != str(seed):
            return trial
        training = replace(trial.config.training, optimizer="sgd", learning_rate=1e9, schedule="constant")
        return replace(trial, config=replace(trial.config, training=training))

    monkeypatch.setattr(run_module, "_trial", wild)


def test_another_seed_that_diverges_fails_the_check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_seed(monkeypatch, 1)
    assert invoke([*QUICK, "--trials", "3", "--out", "run", "--quiet", "--no-reference"]) == 1
    record = load_record(Path("run"))
    assert [trial.error is None for trial in trials_of(record)] == [True, False, True]
    assert [check.name for check in record.verdict.failures] == ["all seeds"]
    assert record.verdict.failures[0].detail.startswith("seed 1: the loss is ")
    assert capsys.readouterr().out.endswith("failed: all seeds\n")


def test_a_seed_evaluated_by_other_weights_fails_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    right = run_module.evaluate
    monkeypatch.setattr(run_module, "evaluate", lambda model, *a, **s: right(MLP(model.config, seed=9), *a, **s))
    assert invoke([*QUICK, "--trials", "2", "--out", "run", "--quiet", "--no-reference"]) == 1
    failed = {check.name: check.detail for check in load_record(Path("run")).verdict.failures}
    assert "its answers are not those of its weights, and 1 more" in failed["answers of all seeds"]


def test_a_first_seed_that_diverges_keeps_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_seed(monkeypatch, 0)
    assert invoke([*QUICK, "--trials", "3", "--out", "run", "--quiet"]) == 1
    record = load_record(Path("run"))
    assert record.status == "diverged"
    assert [trial.accuracy is None for trial in trials_of(record)] == [True, False, False]
    assert capsys.readouterr().err.count("\n") == 1


def test_a_stopped_run_keeps_the_seeds_that_are_over(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = []

    def stop_once(self: Any, figures: Any) -> None:
        told.append(figures)
        if len(told) == 1:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(SilentObserver, "trial_done", stop_once)
    assert invoke([*QUICK, "--trials", "9", "--out", "run", "--quiet"]) == 130
    record, said = load_record(Path("run")), capsys.readouterr().err
    done = len(trials_of(record))
    assert 1 <= done < 9
    assert record.status == "interrupted"
    assert record.message == f"stopped after {done} of 9 seeds"
    assert "Stopping after the trainings under way" in said
    assert said.endswith(f"error: stopped after {done} of 9 seeds. The seeds that are over are in run\n")
    assert invoke(["run", "--resume", "run"]) == 2
    assert "that run is of 9 seeds together, which have no checkpoint" in capsys.readouterr().err


def test_an_older_record_has_no_trials(tmp_path: Path) -> None:
    content = json.loads(Path(__file__).parents[1].joinpath("results", "default-run.json").read_text())
    assert content
    (tmp_path / "run.json").write_text('{"schema_version": 1, "kind": "run", "status": "done"}')
    assert load_record(tmp_path).trials is None


# --- what the seeds say together


@pytest.mark.parametrize("count", [2, 3, 10, 50])
def test_the_interval_is_students(count: int) -> None:
    values = list(np.random.default_rng(count).normal(0.98, 0.001, count))
    found = spread_of(values)
    low, high = stats.t.interval(0.95, count - 1, loc=np.mean(values), scale=stats.sem(values))
    assert found.mean == pytest.approx(np.mean(values), rel=1e-12)
    assert found.deviation == pytest.approx(stats.tstd(values), rel=1e-9)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9)


def test_one_value_has_no_interval_and_none_no_spread() -> None:
    one = spread_of([0.5])
    assert (one.mean, one.deviation, one.low, one.high) == (0.5, None, None, None)
    assert spread_of([]) is None


def seeds(*accuracies: float | None) -> list[TrialFigures]:
    return [
        TrialFigures(seed=seed, accuracy=accuracy, macro_f1=accuracy, train_s=1.0)
        for seed, accuracy in enumerate(accuracies)
    ]


def test_a_seed_that_stands_apart_is_named() -> None:
    limit = seed_spread_limit("accuracy", 0.02, 10_000)
    near, far = (seeds(0.98, 0.9801, 0.9799, 0.98, 0.98 - share * limit) for share in (0.99, 1.01))
    assert check_seeds(near, images=10_000).passed
    check = check_seeds(far, images=10_000)
    assert not check.passed
    assert check.value == 1
    assert check.detail == f"seed 4 is -{101 * limit:.2f} points off"


def test_seeds_that_differ_widely_may() -> None:
    """A network of two units learns more or less by luck: the seeds' own spread is the measure."""
    assert check_seeds(seeds(0.5, 0.6, 0.7, 0.65, 0.4), images=10_000).passed


def test_a_seed_that_is_always_right_is_a_fault() -> None:
    assert check_seeds(seeds(1.0, 1.0), images=10_000).detail == "seed 0 is always right; seed 1 is always right"
    assert check_seeds(seeds(1.0, 1.0), images=500).passed


# --- what is shown


def sample_trials(count: int = 4, *, error: str | None = None) -> TrialsSummary:
    trials = [
        TrialFigures(seed=seed, accuracy=0.98 + seed / 1000, macro_f1=0.9798 + seed / 1000, train_s=0.412)
        for seed in range(count)
    ]
    if error is not None:
        trials[1] = replace(trials[1], accuracy=None, macro_f1=None, error=error)
    good = [trial for trial in trials if trial.accuracy is not None]
    return TrialsSummary(
        planned=count,
        trials=tuple(trials),
        accuracy=spread_of([trial.accuracy for trial in good]),
        macro_f1=spread_of([trial.macro_f1 for trial in good]),
        total_s=0.931,
        images_per_s=1_030_000.0,
    )


def console(width: int = 80, *, terminal: bool = False) -> Console:
    return Console(width=width, file=io.StringIO(), force_terminal=terminal, no_color=True)


def trials_page(summary: Any) -> Document:
    return Document((Section(title="", blocks=trials_blocks(summary)),))


def lines(page: Document, width: int = 80) -> list[str]:
    made = console(width)
    print_document(page, made)
    return [line.rstrip() for line in made.file.getvalue().splitlines()]


@pytest.mark.parametrize("width", [80, 120])
def test_the_table(width: int) -> None:
    assert lines(trials_page(sample_trials()), width) == [
        "seed              test accuracy          macro F1  training",
        "───────────────────────────────────────────────────────────",
        "0                       98.00 %            0.9798    412 ms",
        "1                       98.10 %            0.9808    412 ms",
        "2                       98.20 %            0.9818    412 ms",
        "3                       98.30 %            0.9828    412 ms",
        "",
        "mean                    98.15 %            0.9813",
        "95 % interval  97.94 to 98.36 %  0.9792 to 0.9834",
        "deviation               0.129 %           0.00129",
        "4 seeds in 931 ms, 1,030,000 images/s together; interval of the mean by t",
    ]


def test_a_failed_seed_has_its_reason_and_many_seeds_are_cut() -> None:
    said = lines(trials_page(sample_trials(40, error="the loss is nan at step 6 of epoch 1, before it 0.2")))
    assert "seed 1: the loss is nan at step 6 of epoch 1, before it 0.2" in said
    assert "28 more" in said
    assert max(map(len, said)) <= 80
    assert len(said) < 25


def test_the_markdown_has_every_seed() -> None:
    record = sample_record()
    said = render_markdown(trials_note(record, sample_trials(40, error="the loss is nan"))).splitlines()
    assert said[0].startswith("784-256-10 on ")
    assert "| seed | test accuracy | macro F1 | training |" in said
    assert "| 39 | 101.90 % | 1.0188 | 412 ms |" in said
    assert "- seed 1: the loss is nan" in said
    assert all(line.count("|") == 5 for line in said if line.startswith("|"))


def test_the_summary_the_plan_and_the_line_tell_of_the_seeds() -> None:
    record = replace(sample_record(), trials=sample_trials())
    assert any(line.startswith("All seeds ──") for line in lines(run_page(record, None)))
    assert "; 4 seeds: mean 98.15 ± 0.21 %" in format_line(record)
    assert not any(line.startswith("seed ") for line in lines(plan_page(record)))
    assert not any(line.startswith("All seeds") for line in lines(run_page(sample_record(), None)))


def test_progress_in_a_pipe_is_a_line_a_seed() -> None:
    made = console()
    with TrialsProgress(2, 3, made) as progress:
        progress.update(sample_epoch(1))
        progress.trial_done(sample_trials(1).trials[0])
        progress.trial_done(replace(sample_trials(2).trials[1], error="the loss is inf"))
    assert made.file.getvalue().splitlines() == [
        "seed 0 (1 of 2): test accuracy 98.00 %, trained in 412 ms",
        "seed 1 (2 of 2): the loss is inf",
    ]


def test_progress_on_a_terminal_is_a_bar_of_all_epochs() -> None:
    made = console(60, terminal=True)
    with TrialsProgress(2, 3, made) as progress:
        for epoch in (1, 2, 3, 1):
            progress.update(sample_epoch(epoch))
        progress.trial_done(sample_trials(1).trials[0])
    drawn = made.file.getvalue()
    assert "training 1 of 2 seeds" in drawn
    assert "epoch 4/6" in drawn


def test_seeds_that_took_longer_than_all_of_them_are_a_fault() -> None:
    """Two at a time, of four seconds each, all four take eight seconds at least."""
    trials = tuple(TrialFigures(seed=seed, accuracy=0.9, macro_f1=0.9, train_s=4.0) for seed in range(4))
    whole, half = (TrialsSummary(planned=4, trials=trials, total_s=total_s) for total_s in (8.0, 4.0))
    assert check_told((), whole, at_once=2).passed
    assert not check_told((), half, at_once=2).passed
