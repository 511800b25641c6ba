"""A sweep from the command line to the record, on a small made-up data set: who wins, and who meets the test set."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from accelmnist.cli import invoke
from accelmnist.core.errors import OutputError, RecordError, StoppedError
from accelmnist.core.files import sole_writer
from accelmnist.core.records import Verdict, load_record
from accelmnist.data.synthetic import make_synthetic
from accelmnist.data.types import Dataset, ImageSet
from accelmnist.sweep import session
from accelmnist.sweep.proof import TrainingsProof
from accelmnist.sweep.record import SweepRecord, save_sweep
from accelmnist.sweep.recount import load_sweep, recount_sweep
from accelmnist.sweep.schedule import PlannedTrial, SweepObserver, trainings_done
from accelmnist.sweep.session import SweepRequest, execute_sweep
from accelmnist.training.reference.witness import Witness
from tests.sweep_samples import sweep_config, sweep_record, with_winner

BASE = ["sweep", "--synthetic", "--epochs", "2", "--batch-size", "64", "--device", "cpu", "--threads", "1"]
SMALL = [*BASE, "--hidden", "2", "--hidden", "32", "--seeds", "2"]
RATES = [*BASE, "--hidden", "16", "--hidden", "32", "--seeds", "2", "--lr", "1e-6,0.01", "--tune-lr"]


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("os.cpu_count", lambda: 1)  # all is loaded here already: a helper would only be waited for


@pytest.fixture(autouse=True)
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of the winner's neurons are another test's."""
    monkeypatch.setattr("accelmnist.cli.shell.PictureDrawing.begin", lambda *_, **__: None)


def swept(*arguments: str, out: str = "out") -> SweepRecord:
    assert invoke([*arguments, "--out", out, "--quiet"]) == 0
    return load_sweep(Path(out))


def without_times(record: SweepRecord) -> SweepRecord:
    """All that neither a clock nor the draw of an audit has a part in."""

    def timeless(result: Any) -> Any:
        trials = tuple(sorted((replace(trial, train_s=0.0) for trial in result.trials), key=str))
        return replace(result, trials=trials, train_s=None, on_front=())

    return replace(
        record,
        created="",
        environment=None,
        elapsed_s=0.0,
        candidates=tuple(map(timeless, record.candidates)),
        winner=replace(record.winner, train_s=0.0, verdict=None) if record.winner else None,
    )


def test_the_planted_best_wins_and_everything_of_it_is_there() -> None:
    record = swept(*BASE, "--hidden", "1", "--hidden", "2", "--hidden", "48", "--seeds", "3")
    assert record.status == "done"
    assert record.ranked[0].hidden == (48,)
    assert record.winner.candidate.hidden == (48,)
    assert all(len(result.compared) == 3 for result in record.candidates)
    assert {trial.seed for result in record.candidates for trial in result.trials} == {0, 1, 2}
    assert record.data.validation_images == 4096 // 6
    assert record.data.training_images == 4096 - 4096 // 6
    assert record.winner.training_images == 4096
    assert record.winner.verdict.passed
    assert {result.standing.verdict for result in record.candidates if result.hidden != (48,)} == {"worse"}
    run = load_record(Path("out/best"))
    assert run.metrics == record.winner.metrics
    assert run.config.data.validation == 0
    assert record.winner.low < record.winner.metrics.accuracy < record.winner.high
    assert {"accuracy-by-size.png", "pareto.png"} < set(record.files)
    assert all((Path("out") / name).exists() for name in record.files)
    assert not (Path("out") / ".lock").exists()


def test_what_is_kept_is_what_the_engine_reaches_on_images_that_it_never_saw() -> None:
    """The same training done by hand: split, train, and count what is right."""
    from accelmnist.data.split import split_validation
    from accelmnist.data.types import ImageSet
    from accelmnist.device import resolve
    from tests.training_helpers import train_with

    record = swept(*SMALL, "--engine", "eager")
    data = make_synthetic(seed=0)
    kept, held_out = split_validation(data.train.labels, 682, seed=0)
    part = ImageSet(data.train.images[kept], data.train.labels[kept])
    judge = ImageSet(data.train.images[held_out], data.train.labels[held_out])
    (trial,) = [trial for trial in record.candidates[1].trials if trial.seed == 1]
    config = record.config.run_config(record.candidates[1].candidate, learning_rate=0.016, seed=1)
    config = replace(config, execution=replace(config.execution, engine="eager"))
    made = train_with("eager", config, replace(data, train=part, test=judge), resolve("cpu"))
    outputs = made.model(torch.from_numpy(judge.images).float() / 255)
    right = (outputs.argmax(dim=1).numpy() == judge.labels).mean()
    assert trial.accuracy == pytest.approx(right, abs=1e-12)


class Forbidden:
    """Test images that nobody may look at; how many there are is no secret."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    @property
    def images(self) -> None:
        raise AssertionError("the test images were looked at")

    labels = images


def test_no_training_of_the_sweep_can_see_the_test_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sweep is given a data set whose test split can't be read; the winner's run loads its own."""

    def load() -> Dataset:
        made = make_synthetic(seed=0)
        return replace(made, test=Forbidden(len(made.test)))

    monkeypatch.setattr(session, "load_in_background", lambda _config, *, seed: load)
    assert swept(*RATES).status == "done"


def test_only_the_winner_meets_the_test_set_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from accelmnist.training import proof

    evaluated, original = [], proof.evaluate
    test = make_synthetic(seed=0).test

    def evaluate(model: Any, data: Any, **settings: Any) -> Any:
        evaluated.append((model.config, bool(np.array_equal(data.labels.numpy(), test.labels))))
        return original(model, data, **settings)

    monkeypatch.setattr(proof, "evaluate", evaluate)
    runs, execute = [], session.execute
    monkeypatch.setattr(session, "execute", lambda *given: runs.append(1) or execute(*given))
    record = swept(*SMALL)
    assert [(config.hidden, is_test) for config, is_test in evaluated] == [(record.winner.candidate.hidden, True)]
    assert len(runs) == 1


def test_training_and_judging_images_are_apart_and_stratified(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, original = [], session.train_trials

    def train_trials(trials: Any, training: Any, probe: Any, *given: Any, **options: Any) -> Any:
        seen.append((training, probe))
        return original(trials, training, probe, *given, **options)

    monkeypatch.setattr(session, "train_trials", train_trials)
    swept(*SMALL)
    whole = make_synthetic(seed=0).train
    assert seen
    for training, probe in seen:
        rows = {image.tobytes() for image in training.images}
        assert not rows & {image.tobytes() for image in probe.images}
        assert len(training) + len(probe) == len(whole)
        shares = np.bincount(probe.labels) / len(probe) - np.bincount(whole.labels) / len(whole)
        assert np.abs(shares).max() < 1 / len(probe)


def test_each_network_gets_the_rate_that_suits_it_and_a_seed_apart() -> None:
    record = swept(*RATES)
    for result in record.candidates:
        tuned = {trial.learning_rate: trial for trial in result.trials if trial.purpose == "tuning"}
        assert set(tuned) == {1e-6, 0.01}
        assert tuned[0.01].accuracy > tuned[1e-6].accuracy
        assert {trial.seed for trial in tuned.values()} == {2}
        assert result.learning_rate == 0.01
        assert {(trial.seed, trial.learning_rate) for trial in result.compared} == {(0, 0.01), (1, 0.01)}
    assert record.winner.candidate.learning_rate == 0.01
    assert "0 are the smallest and 2 the largest that was tried (1e-06 to 0.01)" in " ".join(record.findings)


def test_a_training_that_diverges_is_a_row_and_the_others_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*BASE, "--hidden", "16", "--optimizers", "sgd", "--lr", "0.1,1e30", "--seeds", "2", "--out", "out"]
    assert invoke(arguments) == 0
    record = load_sweep(Path("out"))
    good, bad = record.candidates
    assert good.rank == 1
    assert (bad.rank, bad.accuracy, bad.standing) == (None, None, None)
    assert "the loss is" in bad.error
    assert [trial.accuracy for trial in bad.trials] == [None, None]
    out = " ".join(capsys.readouterr().out.split())
    assert "Not compared" in out
    assert "784-16-10 relu softmax sgd lr 1e+30: the loss is" in out


def test_where_all_diverge_there_is_no_winner_and_the_exit_code_is_1(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*BASE, "--hidden", "8", "--hidden", "16", "--optimizers", "sgd", "--lr", "1e30", "--seeds", "1"]
    assert invoke([*arguments, "--out", "out"]) == 1
    record = load_sweep(Path("out"))
    assert (record.status, record.winner) == ("failed", None)
    assert record.message.startswith(
        "no network trained to its end from every seed; the first one's reason: the loss is"
    )
    assert "FAILED" in capsys.readouterr().out
    assert not Path("out/best").exists()


# --- stopping and going on


def stop_after(monkeypatch: pytest.MonkeyPatch, trainings: int, *, times: int = 1) -> None:
    """Press Ctrl-C when so many trainings are saved."""
    pressed: list[int] = []
    original = session.save_sweep

    def save(record: Any, folder: Any) -> Any:
        original(record, folder)
        if trainings_done(record) >= trainings and len(pressed) < times:
            for _ in range(times):
                pressed.append(1)
                os.kill(os.getpid(), signal.SIGINT)
        return folder

    monkeypatch.setattr(session, "save_sweep", save)


def test_ctrl_c_saves_and_a_resumed_sweep_is_the_same_to_the_bit(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = swept(*RATES, out="whole")
    with monkeypatch.context() as patch:
        stop_after(patch, 5)
        assert invoke([*RATES, "--out", "out"]) == 130
    captured = capsys.readouterr()
    assert "Stopping after the trainings under way" in captured.err
    assert captured.err.splitlines()[-1].endswith("Go on with: accelmnist sweep --resume out")
    stopped = load_sweep(Path("out"))
    assert stopped.status == "interrupted"
    assert 5 <= trainings_done(stopped) <= 6
    assert stopped.message == f"stopped after {trainings_done(stopped)} of 8 trainings"
    assert "Validation accuracy" in captured.out
    assert invoke(["sweep", "--resume", "out", "--quiet"]) == 0
    assert without_times(load_sweep(Path("out"))) == without_times(whole)
    weights = [(Path(folder) / "best/model.safetensors").read_bytes() for folder in ("whole", "out")]
    assert weights[0] == weights[1]


def test_a_resumed_sweep_keeps_the_faults_of_its_earlier_process(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        stop_after(patch, 1)
        patch.setattr(TrainingsProof, "hold", lambda proof, *_: proof.faults.append("a training: it went wrong"))
        assert invoke([*SMALL, "--out", "out", "--quiet"]) == 130
    assert invoke(["sweep", "--resume", "out", "--quiet"]) == 1
    record = load_sweep(Path("out"))
    assert set(record.faults) == {"a training: it went wrong"}
    assert record.winner is not None
    assert record.winner.verdict is not None
    assert [check.name for check in record.winner.verdict.failures] == ["trainings of the sweep"]
    passed = replace(record.winner, verdict=Verdict.of("", record.winner.verdict.checks[:1]))
    with pytest.raises(RecordError, match="the winner's verdict is passed, and of the trainings"):
        recount_sweep(replace(record, winner=passed))


def test_a_second_ctrl_c_stops_at_once_and_loses_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_after(monkeypatch, 2, times=2)
    assert invoke([*SMALL, "--out", "out", "--quiet"]) == 130
    record = load_sweep(Path("out"))
    assert (record.status, record.message) == ("interrupted", "stopped at once")
    assert trainings_done(record) >= 2


def test_a_stop_during_tuning_goes_on_with_tuning(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        stop_after(patch, 1)
        assert invoke([*RATES, "--out", "out", "--quiet"]) == 130
    stopped = load_sweep(Path("out"))
    assert all(result.learning_rate is None or result.trials for result in stopped.candidates)
    assert invoke(["sweep", "--resume", "out", "--quiet"]) == 0
    record = load_sweep(Path("out"))
    assert trainings_done(record) == 8
    assert all(result.learning_rate == 0.01 for result in record.candidates)


def test_a_finished_sweep_is_not_gone_on_with(capsys: pytest.CaptureFixture[str]) -> None:
    swept(*SMALL)
    capsys.readouterr()
    assert invoke(["sweep", "--resume", "out"]) == 2
    assert capsys.readouterr().err.startswith("error: --resume out: that sweep is finished")


def test_another_data_set_is_not_gone_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    record = replace(with_winner(sweep_record()), status="interrupted", winner=None)
    config = replace(record.config, data=replace(record.config.data, dataset="synthetic", validation=682))
    record = replace(record, config=config)
    with pytest.raises(Exception, match="the data set is not the one that the sweep began with"):
        execute_sweep(SweepRequest(config=config, record=record), SweepObserver())


def test_two_programs_do_not_write_into_one_sweep(capsys: pytest.CaptureFixture[str]) -> None:
    swept(*SMALL)
    save_sweep(replace(load_sweep(Path("out")), status="interrupted"), Path("out"))
    with sole_writer(Path("out")):
        assert invoke(["sweep", "--resume", "out", "--quiet"]) == 2
    assert "another accelmnist is writing into out" in capsys.readouterr().err


def test_a_folder_that_fills_up_loses_nothing_that_was_saved(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = session.save_sweep

    def save(record: Any, folder: Any) -> Any:
        if trainings_done(record) >= 3:
            raise OutputError("cannot write out/sweep.json: no space left on device", remedy="Make room there")
        return original(record, folder)

    monkeypatch.setattr(session, "save_sweep", save)
    assert invoke([*SMALL, "--out", "out"]) == 2
    captured = capsys.readouterr()
    assert (
        captured.err.splitlines()[-1] == "error: cannot write out/sweep.json: no space left on device. Make room there"
    )
    assert "Validation accuracy" in captured.out
    assert trainings_done(load_sweep(Path("out"))) == 2


def test_a_stop_before_anything_leaves_no_winner() -> None:
    config = sweep_config(hidden=((2,), (4,)), activations=("relu",), outputs=("softmax",), seeds=1)
    config = replace(config, data=replace(config.data, dataset="synthetic", validation=0))
    kept: list[Any] = []
    request = SweepRequest(config=config, should_stop=lambda: True, on_stopped=kept.append)
    with pytest.raises(StoppedError, match="stopped after 0 of 2 trainings"):
        execute_sweep(request, SweepObserver())
    assert [record.status for record in kept] == ["interrupted"]


# --- the record and the streams


def test_a_record_comes_back_as_it_was(tmp_path: Path) -> None:
    record = with_winner(sweep_record())
    save_sweep(record, tmp_path)
    assert load_sweep(tmp_path) == record
    document = json.loads((tmp_path / "sweep.json").read_text())
    assert (document["kind"], document["schema_version"]) == ("sweep", 1)
    assert document["candidates"][0]["accuracy"]["mean"] == record.candidates[0].accuracy.mean


def test_json_is_the_record_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke([*SMALL, "--no-save", "--json"]) == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert document["kind"] == "sweep"
    assert document["winner"]["folder"] is None
    assert "trainings" in captured.err
    assert not Path("results").exists()


def judge_by_training_images(patch: pytest.MonkeyPatch) -> None:
    whole = session.train_trials
    patch.setattr(
        session,
        "train_trials",
        lambda trials, training, _probe, *rest, **named: whole(trials, training, training, *rest, **named),
    )


def split_otherwise(patch: pytest.MonkeyPatch) -> None:
    whole = session.split_validation
    patch.setattr(session, "split_validation", lambda labels, count, *, seed: whole(labels, count, seed=seed + 1))


def train_in_another_order(patch: pytest.MonkeyPatch) -> None:
    whole = session.train_trials
    patch.setattr(
        session,
        "train_trials",
        lambda trials, training, probe, *rest, **named: whole(
            trials, ImageSet(training.images[::-1].copy(), training.labels[::-1].copy()), probe, *rest, **named
        ),
    )


def unseen_at_first(breaks: Callable[[pytest.MonkeyPatch], None]) -> Callable[[pytest.MonkeyPatch], None]:
    """The same where the first losses don't tell: what is wrong later has to be found by others."""

    def breaks_later(patch: pytest.MonkeyPatch) -> None:
        breaks(patch)
        patch.setattr(Witness, "first_loss_distance", lambda *_: 0.0)

    return breaks_later


def train_another(patch: pytest.MonkeyPatch) -> None:
    whole = PlannedTrial.run_config

    def other(self: PlannedTrial, record: SweepRecord) -> Any:
        config = whole(self, record)
        return replace(config, model=replace(config.model, activation="tanh"))

    patch.setattr(PlannedTrial, "run_config", other)


def tell_another_accuracy(patch: pytest.MonkeyPatch) -> None:
    whole = session._recorded
    patch.setattr(session, "_recorded", lambda *given: replace(whole(*given), accuracy=0.5, accuracy_by_epoch=(0.5,)))


@pytest.mark.parametrize(
    ("breaks", "fault"),
    [
        (tell_another_accuracy, "0.5 is not the accuracy"),
        (judge_by_training_images, "accuracy by epoch"),
        (train_in_another_order, "its first loss is not that of its seed"),
        (unseen_at_first(split_otherwise), "accuracy by epoch"),
        (unseen_at_first(train_in_another_order), "audited"),
        (train_another, "another network or training"),
    ],
)
def test_a_sweep_whose_trainings_are_wrong_fails(
    breaks: Callable[[pytest.MonkeyPatch], None], fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaks(monkeypatch)
    assert invoke([*SMALL, "--out", "out", "--quiet"]) == 1
    failures = load_sweep(Path("out")).winner.verdict.failures
    assert [check.name for check in failures] == ["trainings of the sweep"]
    assert fault in failures[0].detail
