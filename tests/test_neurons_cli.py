"""`accelmnist neurons`: what it leaves and prints, and one line for everything that is not a finished run."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from accelmnist.analysis.neurons import effect
from accelmnist.analysis.neurons.images import signed_images, weight_images
from accelmnist.analysis.neurons.record import RECORD_NAME, ClassPreference, load_neurons, save_neurons
from accelmnist.cli import invoke
from accelmnist.core.config import DataConfig, ModelConfig
from accelmnist.core.files import SCHEMA_VERSION, save
from accelmnist.core.metrics import compute_metrics
from accelmnist.core.records import RunRecord, save_record
from accelmnist.data.idx import write_idx
from accelmnist.data.types import DIGIT_NAMES
from accelmnist.engines.model import MLP
from accelmnist.measure.record import BenchRecord
from accelmnist.show.figures.atlas import CARD_WIDTH, MOST_ALIKE, MOST_CLEAR, atlas_figure
from accelmnist.show.figures.sheet import size_px, text_width
from accelmnist.training.checkpoint import MODEL_NAME, save_model
from tests.neuron_samples import COPY, DEAD, FIVE_NINE, NOISE, ZERO, Planted, planted, random_network
from tests.samples import FASHION, sample_record

FINISHED = "Give the folder of `accelmnist run`"


@pytest.fixture(scope="module")
def made() -> Planted:
    return planted(500)


@pytest.fixture(scope="module")
def finished(made: Planted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `run`, a finished run of the planted network, and `data`, its images."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "data").mkdir()
    for name, part in (("train", made.data.train), ("t10k", made.data.test)):
        write_idx(folder / "data" / f"{name}-images-idx3-ubyte", part.images.reshape(-1, 28, 28))
        write_idx(folder / "data" / f"{name}-labels-idx1-ubyte", part.labels.astype(np.uint8))
    make_run(folder / "run", made.model, made, data=str(folder / "data"))
    return folder


@torch.no_grad()
def make_run(folder: Path, model: MLP, made: Planted, *, data: str | None = None) -> None:
    said = model(torch.from_numpy(made.data.test.images) / 255).argmax(dim=1).numpy()
    confusion = np.zeros((10, 10), dtype=np.int64)
    np.add.at(confusion, (said, made.data.test.labels), 1)
    record = sample_record()
    config = replace(record.config, model=model.config, data=DataConfig(folder=data))
    folder.mkdir()
    metrics = compute_metrics(confusion)
    summary = replace(record.data, test_images=metrics.images)
    whole = replace(record, config=config, parameters=model.config.parameters, data=summary)
    save_record(replace(whole, metrics=metrics, mistakes=(), reference=None), folder)
    save_model(model, folder / MODEL_NAME, class_names=DIGIT_NAMES, dataset="mnist")


@pytest.fixture
def run(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run, which a test may spoil."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    shutil.copytree(finished / "run", tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture(scope="module")
def described(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run with everything that the command leaves; for tests that only look."""
    folder = tmp_path_factory.mktemp("described") / "run"
    shutil.copytree(finished / "run", folder)
    assert invoke(["neurons", str(folder)]) == 0
    return folder


def fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line that `accelmnist neurons` fails with."""
    assert invoke(["neurons", *map(str, arguments)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    return captured.err.removeprefix("error: ").rstrip("\n")


# --- what it leaves


def test_it_leaves_a_record_an_atlas_and_the_images_of_every_neuron(described: Path) -> None:
    record = load_neurons(described)
    assert set(record.files) == {RECORD_NAME, "atlas.png", "neurons/exciting.png"} | {
        f"neurons/{kind}-{index:03d}.png" for kind in ("grey", "signed") for index in range(13)
    }
    assert all((described / name).exists() for name in record.files)
    assert record.run == "2025-03-01T12:00:00+00:00"
    assert record.environment is not None


def test_the_images_are_the_weights_with_the_uninked_border_as_zero(described: Path, made: Planted) -> None:
    weights = made.model.first_layer_weights()
    inked = made.data.train.images.any(axis=0)
    assert not inked.reshape(28, 28)[0].any()
    expected = np.where(inked, weights, 0)
    for index, neuron in enumerate(load_neurons(described).neurons):
        grey, signed = (Image.open(described / str(name)) for name in (neuron.grey_file, neuron.signed_file))
        assert (grey.mode, signed.mode) == ("L", "RGB")
        assert np.array_equal(np.asarray(grey), weight_images(expected)[index])
        assert np.array_equal(np.asarray(signed), signed_images(expected)[index])
    noise = np.asarray(Image.open(described / "neurons" / f"signed-{NOISE:03d}.png"))
    assert (noise[0] == 255).all()


def test_exciting_images_stand_in_a_row(described: Path, made: Planted) -> None:
    neuron = load_neurons(described).neurons[ZERO]
    rows = np.asarray(Image.open(described / "neurons" / "exciting.png"))
    assert rows.shape == (28 * 13, 28 * 8)
    second = made.data.test.images[neuron.exciting[1]].reshape(28, 28)
    assert np.array_equal(rows[28 * ZERO : 28 * (ZERO + 1), 28:56], second)
    assert not rows[28 * DEAD : 28 * (DEAD + 1)].any()
    assert neuron.exciting_labels == tuple(made.data.test.labels[list(neuron.exciting)])


def test_the_files_of_an_earlier_record_are_replaced(run: Path) -> None:
    (run / "neurons").mkdir()
    (run / "neurons" / "grey-099.png").write_bytes(b"old")
    (run / "neurons" / "notes.txt").write_text("mine")
    assert invoke(["neurons", str(run)]) == 0
    assert not (run / "neurons" / "grey-099.png").exists()
    assert (run / "neurons" / "notes.txt").exists()


def test_out_and_no_save(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["neurons", str(run), "--out", "elsewhere"]) == 0
    assert load_neurons(Path("elsewhere")).live == 11
    assert invoke(["neurons", str(run), "--no-save"]) == 0
    assert not (run / RECORD_NAME).exists()
    capsys.readouterr()
    assert "--no-save contradicts --out" in fails(capsys, run, "--no-save", "--out", "elsewhere")


def test_json_is_the_record_and_nothing_else(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["neurons", str(run), "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == json.loads((run / RECORD_NAME).read_text())
    assert "answers for" in captured.err


@pytest.mark.parametrize("columns", [80, 120])
def test_the_console_fits_its_width_and_tells_the_top(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert invoke(["neurons", str(run), "--top", "2", "--no-save"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= columns
    assert "11 of 13 neurons are live, 1 dead and 1 doing the same as another one." in text
    assert text.count("selectivity") == 2
    assert "The clearest 2 of 13" in text


def test_softmax_regression(made: Planted, run: Path, capsys: pytest.CaptureFixture[str], finished: Path) -> None:
    make_run(run.parent / "softmax", random_network(()), made, data=str(finished / "data"))
    assert invoke(["neurons", "softmax"]) == 0
    assert "10 of 10 outputs are live" in capsys.readouterr().out
    assert len(load_neurons(Path("softmax")).neurons) == 10


def test_a_deep_network_uses_as_many_images_as_end_in_time(
    made: Planted, run: Path, capsys: pytest.CaptureFixture[str], finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(effect, "_LEAST_IMAGES", 200)
    monkeypatch.setattr(effect, "_MOST_FLOPS", 1.0)
    make_run(run.parent / "deep", random_network((9, 8, 7), activation="tanh"), made, data=str(finished / "data"))
    assert invoke(["neurons", "deep"]) == 0
    record = load_neurons(Path("deep"))
    assert record.ablation_images == 200
    assert record.baseline.images == (20,) * 10
    assert record.test_images == 500
    assert any("On 200 of the 500 test images" in method.explanation for method in record.methods)
    assert "on 200 of the test images" in capsys.readouterr().out


# --- the atlas


def test_the_atlas_shows_the_clearest_and_the_others(described: Path, made: Planted) -> None:
    with Image.open(described / "atlas.png") as image:
        assert image.mode == "RGB"
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        assert image.width == 2478


def test_a_large_atlas_is_a_page_with_at_most_three_of_a_kind(described: Path, made: Planted) -> None:
    """Three hundred neurons by repeating the planted ones: zero detectors, five-nine detectors and noise in plenty."""
    record = load_neurons(described)
    kinds = (ZERO, FIVE_NINE, NOISE, DEAD, COPY, 5, 6, 7, 8, 9, 10, 11)
    neurons = tuple(replace(record.neurons[kinds[place % 12]], index=place) for place in range(300))
    large = replace(record, neurons=neurons, order=tuple(sorted(range(300), key=lambda place: place % 12)))
    weights = np.tile(made.model.first_layer_weights()[list(kinds)], (25, 1))
    figure = atlas_figure(large, weights=weights, images=made.data.test.images)
    texts = [text.get_text() for text in figure.texts]
    assert texts.count("answers for 0") == MOST_ALIKE
    assert sum(text.startswith("answers for") for text in texts) == MOST_CLEAR
    assert {"no clear task", "dead", f"the same as {FIVE_NINE}"} <= set(texts)
    assert size_px(figure) == (2478, 3506)


@pytest.mark.parametrize("classes", [(1, 7, 9), (0, 2, 3, 5, 8)])
def test_no_line_of_a_card_is_wider_than_the_card(described: Path, made: Planted, classes: tuple[int, ...]) -> None:
    record = load_neurons(described)
    task = ClassPreference(certainty="clear", classes=classes, share_on=0.999, share_on_rest=0.001, separation=0.99)
    neuron = replace(record.neurons[ZERO], task=task, argues_for=(0, 1, 2), argues_against=(3, 4, 5), missed_by=(5,))
    crowded = replace(record, neurons=(neuron, *record.neurons[1:]))
    figure = atlas_figure(crowded, weights=made.model.first_layer_weights(), images=made.data.test.images)
    words = [text for text in figure.texts if text.get_text().startswith(("on for", "argues", "without it", "answers"))]
    assert len(words) > 20
    assert max(text_width(text.get_text(), size=float(text.get_fontsize())) for text in words) <= CARD_WIDTH
    assert any("< 1 % of the rest" in text.get_text() for text in words)


def test_the_atlas_of_clothes_names_them(described: Path, made: Planted) -> None:
    record = replace(load_neurons(described), class_names=FASHION)
    figure = atlas_figure(record, weights=made.model.first_layer_weights(), images=made.data.test.images)
    assert any("0 T-shirt/top" in text.get_text() for text in figure.texts)


def test_signed_images_have_zero_white_and_two_hues() -> None:
    weights = np.zeros((2, 784))
    weights[0, :3] = (-1.0, 1.0, 0.0)
    red, _, blue = signed_images(weights).reshape(2, 784, 3)[0, :3].astype(int).T
    assert blue[0] > red[0] + 50
    assert red[1] > blue[1] + 50
    assert (red[2], blue[2]) == (255, 255)
    assert (signed_images(weights)[1] == 255).all()


# --- bad input


def test_what_is_no_run_is_one_line(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fails(capsys, "nowhere") == "nowhere: no such file or folder. Give the folder of a run"
    Path("empty").mkdir()
    assert fails(capsys, "empty") == f"empty holds no run.json. {FINISHED}"
    Path("bench").mkdir()
    save(BenchRecord(), Path("bench/bench.json"))
    assert fails(capsys, "bench") == f"bench holds a benchmark, not a run. {FINISHED}"
    assert "is a record of kind 'bench', not of a run" in fails(capsys, "bench/bench.json")


def test_a_newer_schema_is_named(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads((run / "run.json").read_text()) | {"schema_version": SCHEMA_VERSION + 1}
    (run / "run.json").write_text(json.dumps(document))
    assert f"has schema version {SCHEMA_VERSION + 1}, newer than the {SCHEMA_VERSION} known here" in fails(capsys, run)
    (run / "run.json").write_text("{")
    assert "not whole JSON" in fails(capsys, run)


@pytest.mark.parametrize(
    ("status", "remedy"), [("interrupted", "Go on with: accelmnist run --resume run"), ("failed", "Train again")]
)
def test_a_run_without_weights(run: Path, capsys: pytest.CaptureFixture[str], status: str, remedy: str) -> None:
    (run / MODEL_NAME).unlink()
    save_record(RunRecord(status=status), run)
    assert fails(capsys, "run") == f"run holds no model.safetensors: its run is {status}. {remedy}"


def test_damaged_and_infinite_weights(run: Path, made: Planted, capsys: pytest.CaptureFixture[str]) -> None:
    model = MLP(ModelConfig(hidden=(3,)), seed=0)
    with torch.no_grad():
        model.get_parameter("layers.1.bias")[2] = float("inf")
    save_model(model, run / MODEL_NAME, class_names=DIGIT_NAMES, dataset="mnist")
    assert "weights that are not finite" in fails(capsys, run)
    (run / MODEL_NAME).write_bytes(b"nonsense")
    assert "is damaged or no safetensors file" in fails(capsys, run)


def test_two_images_are_too_few_to_say_what_a_neuron_answers_for(
    run: Path, capsys: pytest.CaptureFixture[str], made: Planted, tmp_path: Path
) -> None:
    few = tmp_path / "few"
    few.mkdir()
    for name, part in (("train", made.data.train), ("t10k", made.data.test.part(np.arange(2)))):
        write_idx(few / f"{name}-images-idx3-ubyte", part.images.reshape(-1, 28, 28))
        write_idx(few / f"{name}-labels-idx1-ubyte", part.labels.astype(np.uint8))
    line = fails(capsys, run, "--data", few)
    assert "2 test images are too few to say what a neuron answers for. Give a test set of 50 images" in line


def test_another_data_set(run: Path, capsys: pytest.CaptureFixture[str], made: Planted, finished: Path) -> None:
    assert fails(capsys, run, "--dataset", "kmnist") == (
        f"the network in {run} learned mnist, not kmnist. Give --dataset mnist"
    )
    shutil.copytree(finished / "data", "other")
    write_idx(Path("other/t10k-images-idx3-ubyte"), np.flip(made.data.test.images.reshape(-1, 28, 28), axis=(1, 2)))
    line = fails(capsys, run, "--data", "other")
    assert line.startswith("these are not the images that the network was tested on: ")
    assert line.endswith("Give the folder of mnist with --data")
    assert "no such folder" in fails(capsys, run, "--data", "missing")


def test_a_file_that_cannot_be_written_hides_nothing(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "atlas.png").mkdir()
    assert invoke(["neurons", str(run)]) == 2
    captured = capsys.readouterr()
    assert "answers for" in captured.out
    assert captured.err.startswith("error: cannot write ")
    assert load_neurons(run).live == 11


def test_a_record_of_neurons_comes_back(described: Path, tmp_path: Path) -> None:
    record = load_neurons(described)
    assert save_neurons(record, tmp_path) == tmp_path / RECORD_NAME
    assert load_neurons(tmp_path / RECORD_NAME) == record
