"""Files that lie are one clear line: records, weights, links in a result's folder, and texts that steer a terminal."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from accelmnist.analysis.evidence import MissingEvidence
from accelmnist.analysis.neurons.analysis import describe_neurons
from accelmnist.analysis.neurons.record import load_neurons
from accelmnist.core.config import DataConfig, ModelConfig, RunConfig
from accelmnist.core.errors import CheckpointError, ConfigError, DeviceError, OutputError, RecordError
from accelmnist.core.files import encode, sole_writer
from accelmnist.core.records import load_record
from accelmnist.data.types import DIGIT_NAMES
from accelmnist.engines.model import MLP
from accelmnist.measure.case_builder import CaseBuilder
from accelmnist.measure.conclusion import conclude
from accelmnist.measure.plan import BenchConfig
from accelmnist.measure.recount import load_bench
from accelmnist.show import pictures
from accelmnist.show.render.console import as_text
from accelmnist.show.render.markdown import render_markdown
from accelmnist.show.render.report import render_html, render_pdf
from accelmnist.show.report.compose import ReportOptions, compose
from accelmnist.show.report.sources import Sources, parse_notes
from accelmnist.show.summary import run_page
from accelmnist.sweep.recount import load_sweep
from accelmnist.training import checkpoint
from accelmnist.training.checkpoint import Checkpoint, load_checkpoint, load_model, save_checkpoint
from accelmnist.training.reference.scores import score_here
from tests.bench_samples import sample_bench
from tests.neuron_samples import planted
from tests.samples import sample_epoch, sample_images, sample_record, sample_weights
from tests.sweep_samples import sweep_record, with_winner

EVIL = "\x1b[2J\x07\u202egnp\u2066\x9b1m\u200f"
Change = Callable[[Any], Any]


def matrix(document: Any) -> Any:
    return document["metrics"]["confusion_matrix"]


def measured(document: Any) -> Any:
    return next(case for case in document["cases"] if case["images_per_s"] and case["cost"])


RUNS: dict[str, tuple[Change, str]] = {
    "12 class names": (lambda d: d["data"]["class_names"].extend("ab"), "12 classes, not 10"),
    "a ragged matrix": (lambda d: matrix(d)[3].pop(), "its confusion matrix is not square"),
    "30 rows": (lambda d: matrix(d).extend(2 * matrix(d)), "its confusion matrix is not square"),
    "a huge count": (lambda d: matrix(d)[0].__setitem__(0, 2**62), "its counts are not of all images"),
    "a larger count": (lambda d: matrix(d)[0].__setitem__(0, 10**30), "its counts are not of all images"),
    "a negative count": (lambda d: matrix(d)[0].__setitem__(1, -1), "its counts are not of all images"),
    "9 classes": (lambda d: d["metrics"]["per_class"].pop(), "its confusion matrix is not square"),
    "a mistake of class 10": (lambda d: d["mistakes"][0].update(actual=10), "a mistake is of no image or no class"),
    "a share of 7": (lambda d: d["metrics"].update(accuracy=7), "7.0 is no share from 0 to 1"),
    "epoch 0": (lambda d: d["epochs"][0].update(epoch=0), "there is no epoch 0"),
    "beyond a float": (lambda d: d["timing"].update(train_s=1e300), "a number is beyond 1e\\+100"),
}
SWEEPS: dict[str, tuple[Change, str]] = {
    "a path that leads out": (lambda d: d["winner"].update(folder="../outside"), "winner's folder is not a plain name"),
    "an absolute path": (lambda d: d["winner"].update(folder="/etc"), "the winner's folder is not a plain name"),
    "the folder above": (lambda d: d["winner"].update(folder=".."), "the winner's folder is not a plain name"),
    "negative parameters": (lambda d: d["candidates"][0].update(parameters=-5), "a network of -5 parameters can't be"),
    "an accuracy of 3": (lambda d: d["candidates"][0]["accuracy"].update(mean=3), "3.0 is no share from 0 to 1"),
}
BENCHES: dict[str, tuple[Change, str]] = {
    "a speed of 0": (lambda d: measured(d)["images_per_s"].update(median=0), "a speed is not above 0"),
    "a negative cost": (lambda d: measured(d)["cost"].update(flops=-1), "a step has no such cost"),
    "a batch of none": (lambda d: d["cases"][0].update(batch_size=0), "a case's batch size .* is below 1"),
}
NEURONS: dict[str, tuple[Change, str]] = {
    "9 names": (lambda d: d["class_names"].pop(), "its classes are not 10"),
    "9 shares": (lambda d: d["neurons"][0]["activation"]["share_on"].pop(), "not of 10 classes"),
    "a share of 9": (lambda d: d["neurons"][0]["activation"]["share_on"].__setitem__(0, 9), "9.0 is no share"),
    "a neuron that is not there": (lambda d: d["order"].__setitem__(0, 99), "its order is not that of its neurons"),
    "class 10": (lambda d: d["neurons"][0].update(argues_for=[10]), "a class is not from 0 to 9"),
    "an image beyond": (lambda d: d["neurons"][0]["exciting"].__setitem__(0, 10**6), "none of the test images"),
}


def check_lie(document: object, change: Change, line: str, file: Path, load: Callable[[Path], object]) -> None:
    """The whole document loads, the changed one is a line."""
    content = json.loads(encode(document))
    file.write_text(json.dumps(content))
    load(file)
    change(content)
    file.write_text(json.dumps(content))
    with pytest.raises(RecordError, match=line) as caught:
        load(file)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("lie", RUNS)
def test_a_run_that_lies(lie: str, tmp_path: Path) -> None:
    check_lie(sample_record(), *RUNS[lie], tmp_path / "run.json", load_record)


@pytest.mark.parametrize("lie", SWEEPS)
def test_a_sweep_that_lies(lie: str, tmp_path: Path) -> None:
    check_lie(with_winner(sweep_record()), *SWEEPS[lie], tmp_path / "sweep.json", load_sweep)


def test_neurons_that_lie(tmp_path: Path) -> None:
    made = planted(500)
    record = describe_neurons(made.model, made.data)
    for change, line in NEURONS.values():
        check_lie(record, change, line, tmp_path / "neurons.json", load_neurons)


@pytest.mark.parametrize("lie", BENCHES)
def test_a_benchmark_that_lies(lie: str, tmp_path: Path) -> None:
    check_lie(conclude(sample_bench()), *BENCHES[lie], tmp_path / "bench.json", load_bench)


def test_a_case_on_a_device_that_its_benchmark_lacks() -> None:
    case, config = sample_bench().cases[0].case, BenchConfig(data=DataConfig(dataset="synthetic"))
    builder = CaseBuilder(config, {}, score_here)
    with pytest.raises(DeviceError, match="cuda:7 is none of the benchmark's devices"):
        builder.device(replace(case, device="cuda:7"))


def test_an_error_is_a_line_and_a_short_one() -> None:
    error = ConfigError(f"a\n{EVIL} {'x' * 100_000}", remedy="y\r\n" * 50_000)
    assert str(error).isprintable()
    assert len(str(error)) < 1300
    assert str(error).startswith("a ?[2J??gnp")


# --- weights


def weights_file(folder: Path, *, header: str | None = None, tensors: Any = None, **changes: Any) -> Path:
    """A model of 784-16-10, of which something is changed."""
    model = MLP(ModelConfig(hidden=(16,)), seed=1)
    known = {
        "format": "accelmnist model 1",
        "network": {"hidden": [16]},
        "class_names": DIGIT_NAMES,
        "dataset": "mnist",
    }
    own = checkpoint.weights_of(model) if tensors is None else tensors(checkpoint.weights_of(model))
    text = json.dumps(known | changes) if header is None else header
    file = folder / "model.safetensors"
    file.write_bytes(safetensors.torch.save(own, {"accelmnist": text}))
    return file


@pytest.mark.parametrize(
    ("lie", "line"),
    [
        ({"network": {"hidden": [16384, 16384]}}, "holds another network than 784-16384-16384-10"),
        ({"network": {"hidden": [65_536] * 64}}, "holds another network than 784-65536"),
        ({"tensors": lambda own: {name: tensor.double() for name, tensor in own.items()}}, "is of type F64, not F32"),
        ({"tensors": lambda own: own | {"more": torch.ones(3)}}, r"holds another network than .*: more \(3,\)"),
        ({"header": "[" * 100_000}, "of format 'unknown'"),
        ({"header": '{"format":"accelmnist model 1","network":' + "[" * 100_000}, "of format 'unknown'|is unusable"),
        ({"class_names": ["x" * 100_000]}, "names 1 classes, not 10"),
        ({"dataset": {"a": "\x1b[2J" * 10_000}}, "its header's dataset is unusable"),
    ],
)
def test_weights_that_lie_are_told_before_a_network_is_made(
    lie: dict[str, Any], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = weights_file(tmp_path, **lie)
    monkeypatch.setattr(checkpoint, "MLP", lambda *_, **__: pytest.fail("a network was made"))
    with pytest.raises(CheckpointError, match=line) as caught:
        load_model(file)
    assert len(str(caught.value)) < 1300
    assert str(caught.value).isprintable()


def test_names_in_weights_are_printable(tmp_path: Path) -> None:
    names = load_model(weights_file(tmp_path, class_names=[EVIL, *DIGIT_NAMES[1:]])).class_names
    assert "".join(names).isprintable()


def test_a_checkpoint_that_lies(tmp_path: Path) -> None:
    config = RunConfig(model=ModelConfig(hidden=(16,)))
    weights = checkpoint.weights_of(MLP(config.model, seed=1))
    state = {f"exp_avg/{name}": tensor.clone() for name, tensor in weights.items()}
    file, epochs = tmp_path / "checkpoint.safetensors", (sample_epoch(1), sample_epoch(2))

    def kept(**changes: Any) -> Checkpoint:
        parts = {"config": config, "weights": weights, "state": state, "losses": torch.ones(20), "epochs": epochs}
        save_checkpoint(Checkpoint(**(parts | changes)), file)
        return load_checkpoint(file)

    assert torch.equal(kept().state["exp_avg/layers.0.weight"], weights["layers.0.weight"])
    lies: tuple[dict[str, Any], ...] = (
        {"losses": torch.ones(19)},
        {"losses": torch.ones(0)},
        {"losses": torch.ones(2, 10)},
        {"epochs": (sample_epoch(1), sample_epoch(3))},
        {"epochs": tuple(map(sample_epoch, range(1, 21)))},
        {"weights": weights | {"layers.0.bias": torch.ones(17)}},
        {"state": state | {"exp_avg/layers.0.bias": torch.ones(17)}},
        {"state": state | {"scalar/count": torch.ones(3)}},
        {"state": state | {"scalar/count": torch.ones((), dtype=torch.int64)}},
    )
    for lie in lies:
        with pytest.raises(CheckpointError):
            kept(**lie)


# --- links


def test_nothing_is_written_through_a_symbolic_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "_write_figures", lambda *_: ())  # slow, and written as records are
    outside, folder = tmp_path / "outside", tmp_path / "run"
    (folder / "weights").mkdir(parents=True)
    outside.mkdir()
    victim = outside / "victim"
    victim.write_text("mine")
    (folder / "weights/neuron-000.png").symlink_to(victim)
    record, mistakes = sample_record(mistakes=0), sample_images(0)

    def draw() -> None:
        pictures.write_pictures(record, folder, weights=sample_weights(2), mistake_images=mistakes)

    draw()
    assert victim.read_text() == "mine"
    assert not (folder / "weights/neuron-000.png").is_symlink()
    for file in (folder / "weights").iterdir():
        file.unlink()
    (folder / "weights").rmdir()
    (folder / "weights").symlink_to(outside)
    with pytest.raises(OutputError, match="weights is a symbolic link"):
        draw()
    (folder / ".lock").symlink_to(victim)
    with pytest.raises(OutputError, match="cannot write"), sole_writer(folder):
        pass
    assert [file.read_text() for file in outside.iterdir()] == ["mine"]


# --- what is shown


def test_texts_that_steer_a_terminal_reach_none_of_the_ways_to_show_them(tmp_path: Path) -> None:
    content = json.loads(encode(sample_record()))
    content["data"].update(class_names=[f"{EVIL}{label}" for label in range(10)], source=EVIL)
    content["environment"].update(command=EVIL, hardware=EVIL)
    content["verdict"]["checks"][0]["name"] = content["choices"][0]["reason"] = content["message"] = EVIL
    (tmp_path / "run.json").write_text(json.dumps(content))
    record = load_record(tmp_path)
    evil_folder = tmp_path / EVIL
    pages = [as_text(run_page(record, evil_folder), width=80), render_markdown(run_page(record, evil_folder))]
    options = ReportOptions(title=EVIL, author=EVIL, notes=parse_notes("# Mine"), command=EVIL)
    report = compose(Sources(folder=tmp_path, run=record), MissingEvidence(EVIL), options)
    pages.append(render_html(report).decode())
    for page in pages:
        assert [character for character in page if not character.isprintable() and character != "\n"] == []
    assert render_pdf(report).startswith(b"%PDF")
