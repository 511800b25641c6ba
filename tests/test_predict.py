"""`accelmnist predict`: the right digit for most pictures, scores that NumPy confirms, one line for every mistake."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import load_file, save_file

from accelmnist.analysis.prediction import STRANGE, newest_model
from accelmnist.cli import invoke
from accelmnist.core.config import OUTPUTS, ModelConfig, Output, RunConfig, TrainingConfig
from accelmnist.core.errors import CheckpointError
from accelmnist.core.records import RunRecord, save_record
from accelmnist.data.idx import write_idx
from accelmnist.data.likeness import measure_likeness
from accelmnist.data.mnist import PUBLISHED, load_dataset
from accelmnist.data.types import DIGIT_NAMES, Dataset, ImageSet
from accelmnist.device import resolve
from accelmnist.engines.contract import Job
from accelmnist.engines.eager import EagerEngine
from accelmnist.engines.model import MLP
from accelmnist.training.checkpoint import MODEL_NAME, Checkpoint, save_checkpoint, save_model, weights_of
from accelmnist.training.loop import prepare, train
from tests.photographs import photographs
from tests.rounding import SUM_ERROR

Grey = NDArray[np.uint8]

DIGITS = 60
AIMS = (("light", 10, 8), ("around", 10, 8), ("squares", 60, 57))  # kind, pictures, right at least
LEAST_RIGHT = 0.85  # the network here is right for 0.93 of the test set
GIVE_SAVED = "Give what a run saved"
FORMATS = "Give a PNG, JPEG or other picture, or an IDX file"
HOW_TO_GET_ONE = "Run `accelmnist run` first, or give one with --model"


@dataclass(frozen=True)
class Told:
    """What a command line printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def predictions(self) -> list[dict[str, Any]]:
        predictions: list[dict[str, Any]] = json.loads(self.out)["predictions"]
        return predictions


Tell = Callable[..., Told]


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Tell:
    """Run `accelmnist predict ...` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: object) -> Told:
        code = invoke(["predict", *map(str, arguments)])
        return Told(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def mnist() -> Dataset:
    return load_dataset()


@pytest.fixture(scope="module")
def models(mnist: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small trained network for each output function: softmax/model.safetensors, and so on."""
    folder = tmp_path_factory.mktemp("models")
    part = ImageSet(images=mnist.train.images[:12_000], labels=mnist.train.labels[:12_000])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # steps this small only wait for a second thread, 20 times as long on a busy machine
    for output in OUTPUTS:
        (folder / output).mkdir()
        save(trained(part, output), folder / output)
    torch.set_num_threads(threads)
    return folder


@pytest.fixture(scope="module")
def wide(mnist: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A larger network, of the whole training set, with its likeness."""
    file = tmp_path_factory.mktemp("wide") / MODEL_NAME
    likeness = measure_likeness(mnist.train.images, light=False)
    save_model(trained(mnist.train, "softmax", 128), file, class_names=DIGIT_NAMES, dataset="mnist", likeness=likeness)
    return file


def trained(images: ImageSet, output: Output, hidden: int = 32) -> MLP:
    config = RunConfig(
        model=ModelConfig(hidden=(hidden,), output=output), training=TrainingConfig(epochs=4, batch_size=200)
    )
    device = resolve("cpu")
    job = Job(config, device, images)
    assert len(list(train(prepare(EagerEngine, job), job, probe=None))) == 4
    return job.model


def save(model: MLP, folder: Path, *, class_names: tuple[str, ...] = DIGIT_NAMES) -> Path:
    file = folder / MODEL_NAME
    save_model(model, file, class_names=class_names, dataset="mnist")
    return file


def untrained(**settings: Any) -> MLP:
    return MLP(ModelConfig(hidden=(4,), **settings), seed=0)


def as_it_is(digit: Grey) -> Image.Image:
    return Image.fromarray(digit)


def on_paper(digit: Grey) -> Image.Image:
    """Large and dark on a white sheet of 200 x 300."""
    page = Image.new("L", (200, 300), 255)
    page.paste(Image.fromarray(255 - digit).resize((140, 140), Image.Resampling.BICUBIC), (20, 130))
    return page


def on_glass(digit: Grey) -> Image.Image:
    """Dark blue ink on nothing, 90 x 90."""
    opacity = Image.fromarray(digit).resize((90, 90), Image.Resampling.BICUBIC)
    ink = Image.new("RGBA", (90, 90), (0, 0, 90, 255))
    ink.putalpha(opacity)
    return ink


@pytest.fixture
def seven(tmp_path: Path, mnist: Dataset) -> Path:
    """The first test digit, a clear 7, as a picture."""
    path = tmp_path / "seven.png"
    Image.fromarray(mnist.test.images[0].reshape(28, 28)).save(path)
    return path


# --- the answers


@pytest.mark.parametrize("draw", [as_it_is, on_paper, on_glass])
def test_most_pictures_get_the_right_class(
    tell: Tell, models: Path, mnist: Dataset, tmp_path: Path, draw: Callable[[Grey], Image.Image]
) -> None:
    paths = [tmp_path / f"{place}.png" for place in range(DIGITS)]
    for path, digit in zip(paths, mnist.test.images.reshape(-1, 28, 28), strict=False):
        draw(digit).save(path)
    told = tell(*paths, "--model", models / "softmax", "--json")
    assert told.code == 0
    answers = [prediction["predicted"] for prediction in told.predictions]
    assert len(answers) == DIGITS
    assert np.mean(answers == mnist.test.labels[:DIGITS]) >= LEAST_RIGHT


@pytest.mark.parametrize("output", ["softmax", "sigmoid", "linear"])
def test_the_scores_are_the_networks_own(tell: Tell, models: Path, mnist: Dataset, seven: Path, output: Output) -> None:
    """Held against the same network in NumPy, float64."""
    weights = load_file(models / output / MODEL_NAME)
    inputs = mnist.test.images[0] / 255
    hidden = np.maximum(weights["layers.0.weight"].astype(float) @ inputs + weights["layers.0.bias"], 0)
    logits = weights["layers.1.weight"].astype(float) @ hidden + weights["layers.1.bias"]
    expected = {
        "softmax": np.exp(logits) / np.exp(logits).sum(),
        "sigmoid": 1 / (1 + np.exp(-logits)),
        "linear": logits,
    }[output]
    [prediction] = tell(seven, "--model", models / output, "--json").predictions
    np.testing.assert_allclose(prediction["scores"], expected, atol=SUM_ERROR * max(1, np.abs(logits).max()))
    assert (abs(sum(prediction["scores"]) - 1) < SUM_ERROR) == (output == "softmax")
    assert prediction["predicted"] == int(np.argmax(expected))


def test_json_is_one_document_with_the_model_and_every_picture(tell: Tell, models: Path, seven: Path) -> None:
    told = tell(seven, "--model", models / "softmax" / MODEL_NAME, "--json")
    document = json.loads(told.out)
    assert document["model"] == {
        "file": str(models / "softmax" / MODEL_NAME),
        "network": "784-32-10",
        "output": "softmax",
        "dataset": "mnist",
        "class_names": list(DIGIT_NAMES),
        "newest_in": None,
        "of_sweep": False,
    }
    [prediction] = document["predictions"]
    assert set(prediction) == {"source", "predicted", "class_name", "scores", "notes"}
    assert (prediction["source"], prediction["predicted"], prediction["class_name"]) == (str(seven), 7, "7")
    assert prediction["notes"] == []
    assert (told.code, told.err) == (0, "")


def test_class_names_are_told(tell: Tell, seven: Path, tmp_path: Path) -> None:
    names = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
    file = save(untrained(), tmp_path, class_names=names)
    [prediction] = tell(seven, "--model", file, "--json").predictions
    assert prediction["class_name"] == names[prediction["predicted"]]
    assert "9 wo" in tell(seven, "--model", file).out


def test_idx_files_are_taken_up_to_the_limit(tell: Tell, models: Path, mnist: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "digits.gz"
    write_idx(path, mnist.test.images[:12].reshape(-1, 28, 28))
    ten = tell(path, "--model", models / "softmax", "--json").predictions
    assert [prediction["source"] for prediction in ten] == [f"{path}[{index}]" for index in range(10)]
    three = tell(path, "--model", models / "softmax", "--json", "--limit", 3).predictions
    assert [prediction["source"] for prediction in three] == [f"{path}[{index}]" for index in range(3)]
    for few, many in zip(three, ten, strict=False):
        np.testing.assert_allclose(few["scores"], many["scores"], atol=SUM_ERROR)
    assert three[2]["notes"] == ["the last of 3 taken; the file holds 12"]


@pytest.mark.parametrize(
    ("kind", "seed", "count", "least"),
    [
        pytest.param(kind, seed, count, least, marks=[pytest.mark.slow] * (seed > 1 or kind == "squares"))
        for kind, count, least in AIMS
        for seed in (1, 2)
    ],
)
def test_photographs(
    tell: Tell, wide: Path, mnist: Dataset, tmp_path: Path, kind: str, seed: int, count: int, least: int
) -> None:
    drawn = photographs(kind, seed, mnist, count=count, sources=("mnist", "strokes"))
    paths = [tmp_path / f"{number}-{digit}.png" for number, (digit, _) in enumerate(drawn)]
    for path, (_, grey) in zip(paths, drawn, strict=True):
        Image.fromarray(grey).save(path)
    answers = tell(*paths, "--model", wide, "--json").predictions
    right = sum(answer["predicted"] == digit for answer, (digit, _) in zip(answers, drawn, strict=True))
    assert right >= least


def test_what_looks_unlike_the_training_images_is_warned_of(
    tell: Tell, wide: Path, mnist: Dataset, tmp_path: Path
) -> None:
    write_idx(tmp_path / "digits", mnist.test.images.reshape(-1, 28, 28))
    write_idx(tmp_path / "negatives", 255 - mnist.test.images[:50].reshape(-1, 28, 28))
    noise = np.random.default_rng(0).integers(256, size=(50, 28, 28), dtype=np.uint8)
    write_idx(tmp_path / "noise", noise)
    shares = {}
    for name in ("digits", "negatives", "noise"):
        answers = tell(name, "--limit", 10_000, "--model", wide, "--json").predictions
        shares[name] = np.mean([STRANGE in answer["notes"] for answer in answers])
    assert 0 < shares["digits"] <= 0.01
    assert (shares["negatives"], shares["noise"]) == (1, 1)


@pytest.mark.slow
def test_a_network_of_dark_digits_reads_pictures_of_either_polarity(
    tell: Tell, mnist: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The polarity is measured by the run, told, and kept with the model."""
    (tmp_path / "paper").mkdir()
    for part, size, names in ((mnist.train, 12_000, PUBLISHED[:2]), (mnist.test, 1_000, PUBLISHED[2:])):
        write_idx(tmp_path / "paper" / names[0].name, 255 - part.images[:size].reshape(-1, 28, 28))
        write_idx(tmp_path / "paper" / names[1].name, part.labels[:size].astype(np.uint8))
    command = "run --data paper --hidden 32 --epochs 3 --device cpu --engine eager --no-reference --out dark"
    assert invoke(command.split()) in (0, 1)
    assert "test images, dark on light" in " ".join(capsys.readouterr().out.split())
    paths = [tmp_path / f"{number}.png" for number in range(40)]
    for number, path in enumerate(paths):
        (on_paper if number % 2 else as_it_is)(mnist.test.images[number].reshape(28, 28)).save(path)
    answers = tell(*paths, "--model", "dark", "--json").predictions
    assert np.mean([answer["predicted"] for answer in answers] == mnist.test.labels[:40]) >= LEAST_RIGHT
    assert not any("inverted" in note for answer in answers[1::2] for note in answer["notes"])
    assert all("as the network learned dark on light" in answer["notes"][0] for answer in answers[::2])


# --- the console


def test_the_console_shows_the_answer_the_notes_and_ten_bars(
    tell: Tell, models: Path, mnist: Dataset, tmp_path: Path
) -> None:
    path = tmp_path / "page.png"
    on_paper(mnist.test.images[0].reshape(28, 28)).save(path)
    told = tell("page.png", "--model", models / "softmax")
    assert told.code == 0
    assert "This is 7: probability" in told.out
    assert "note: light background: inverted" in told.out
    assert "note: 200x300 pixels: fitted and centred as MNIST's digits are" in told.out
    assert told.out.count(" %") == 11
    assert "█" in told.out


@pytest.mark.parametrize("output", ["sigmoid", "linear"])
def test_scores_of_other_outputs_go_by_their_own_name(tell: Tell, models: Path, seven: Path, output: Output) -> None:
    told = tell(seven, "--model", models / output)
    assert "This is 7: score" in told.out
    assert "not probabilities" in told.out
    assert "%" not in told.out
    assert told.out.replace("not probabilities", "").count("probabilit") == 0


@pytest.mark.parametrize("columns", [80, 120])
def test_lines_fit_and_a_pipe_gets_no_colour(
    tell: Tell, models: Path, seven: Path, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    told = tell(seven, "--model", models / "softmax")
    assert max(map(len, told.out.splitlines())) <= columns
    assert "\x1b" not in told.out


# --- which model


def test_the_newest_run_answers_by_its_record_not_by_its_files_age(tell: Tell, seven: Path, tmp_path: Path) -> None:
    for name, hidden, created, age_s in (
        ("older", 4, "2024-05-01T10:00:00+0000", 9),
        ("newer", 5, "2024-05-01T13:00:00+0200", 99),
    ):
        folder = tmp_path / "results" / name
        folder.mkdir(parents=True)
        file = save(MLP(ModelConfig(hidden=(hidden,)), seed=0), folder)
        save_record(RunRecord(created=created), folder)
        os.utime(file, (file.stat().st_mtime - age_s,) * 2)
    document = json.loads(tell(seven, "--json").out)
    assert document["model"]["network"] == "784-5-10"
    assert document["model"]["file"] == f"results/newer/{MODEL_NAME}"


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("results/a", "from the newest under results/: results/a"),
        ("results/b/best", "from the newest under results/: results/b/best (a sweep's best)"),
    ],
)
def test_a_network_that_was_not_named_is_told_to_be_the_newest(
    tell: Tell, seven: Path, tmp_path: Path, folder: str, said: str
) -> None:
    (tmp_path / folder).mkdir(parents=True)
    save(untrained(), tmp_path / folder)
    if folder.endswith("best"):
        (tmp_path / folder).with_name("sweep.json").write_text("{}")
    assert said in (" ".join(line.split()) for line in tell(seven).out.splitlines())
    named = tell(seven, "--model", folder).out
    assert f"{folder}/{MODEL_NAME}" in named
    assert "newest" not in named


def test_without_records_the_age_of_the_files_counts(tmp_path: Path) -> None:
    for name, time in (("b", 2_000_000_000), ("a", 1_000_000_000)):
        (tmp_path / name).mkdir()
        os.utime(save(untrained(), tmp_path / name), (time, time))
    assert newest_model(tmp_path) == tmp_path / "b" / MODEL_NAME
    with pytest.raises(CheckpointError):
        newest_model(tmp_path / "none")


def test_no_run_there(tell: Tell, seven: Path) -> None:
    told = tell(seven)
    assert (told.code, told.out) == (2, "")
    assert told.err == f"error: no trained network in results/. {HOW_TO_GET_ONE}\n"


def test_the_network_is_not_named_where_no_file_can_be_used(tell: Tell, models: Path) -> None:
    told = tell("nowhere.png", "--model", models / "softmax")
    assert (told.code, told.out) == (2, "")
    assert told.err.startswith("error: ")
    assert told.err.count("\n") == 1


def test_a_model_that_is_not_there(tell: Tell, seven: Path, tmp_path: Path) -> None:
    told = tell(seven, "--model", "nowhere")
    assert (told.code, told.out) == (2, "")
    assert told.err == f"error: --model nowhere: no such file or folder. {GIVE_SAVED}\n"
    (tmp_path / "stopped").mkdir()
    told = tell(seven, "--model", "stopped")
    assert told.err == f"error: --model stopped: holds no {MODEL_NAME}. Give the folder of a finished run\n"


def test_a_truncated_model(tell: Tell, seven: Path, tmp_path: Path) -> None:
    file = save(untrained(), tmp_path)
    whole = file.read_bytes()
    for length in (0, 5, 100, len(whole) - 1):
        file.write_bytes(whole[:length])
        told = tell(seven, "--model", MODEL_NAME)
        assert (told.code, told.out) == (2, "")
        assert told.err.startswith(f"error: {MODEL_NAME} is damaged or no safetensors file: ")
        assert told.err.count("\n") == 1


def test_a_foreign_model(tell: Tell, seven: Path, tmp_path: Path) -> None:
    save_file({"weight": np.zeros((10, 784), dtype=np.float32)}, tmp_path / "foreign.safetensors")
    told = tell(seven, "--model", "foreign.safetensors")
    assert (told.code, told.out) == (2, "")
    wanted = "is not an accelmnist model but of format 'unknown'. Give a file that a run saved"
    assert told.err == f"error: foreign.safetensors {wanted}\n"


def test_a_checkpoint_is_no_model(tell: Tell, seven: Path, tmp_path: Path) -> None:
    weights = weights_of(untrained())
    checkpoint = Checkpoint(config=RunConfig(), weights=weights, state={}, losses=torch.zeros(1), epochs=())
    save_checkpoint(checkpoint, tmp_path / "checkpoint.safetensors")
    told = tell(seven, "--model", "checkpoint.safetensors")
    assert (told.code, told.out) == (2, "")
    wanted = "is not an accelmnist model but of format 'accelmnist checkpoint 2'. Give a file that a run saved"
    assert told.err == f"error: checkpoint.safetensors {wanted}\n"


def test_a_network_that_diverged(tell: Tell, seven: Path, tmp_path: Path) -> None:
    model = untrained()
    with torch.no_grad():
        next(model.parameters())[0, 0] = torch.nan
    save(model, tmp_path)
    told = tell(seven, "--model", MODEL_NAME)
    assert told.code == 2
    assert told.err == f"error: {MODEL_NAME} gives scores that are not finite. Its training diverged: train again\n"


def test_a_model_with_a_wrong_number_of_classes(tell: Tell, seven: Path, tmp_path: Path) -> None:
    save(untrained(), tmp_path, class_names=("even", "odd"))
    told = tell(seven, "--model", MODEL_NAME)
    assert (told.code, told.out) == (2, "")
    assert told.err == f"error: {MODEL_NAME} names 2 classes, not 10. Give another file\n"


# --- bad files


@pytest.mark.parametrize("json_flag", [(), ("--json",)])
def test_one_bad_file_among_several_is_named_and_the_others_are_predicted(
    tell: Tell, models: Path, seven: Path, tmp_path: Path, json_flag: tuple[str, ...]
) -> None:
    (tmp_path / "bad.png").write_text("no picture")
    told = tell("seven.png", "bad.png", "none.png", "seven.png", "--model", models / "softmax", *json_flag)
    assert told.code == 2
    assert told.err.splitlines() == [
        f"error: bad.png: is neither a picture nor an IDX file. {FORMATS}",
        "error: none.png: no such file. Check the path",
    ]
    if json_flag:
        assert [prediction["source"] for prediction in told.predictions] == ["seven.png", "seven.png"]
    else:
        assert told.out.count("This is 7: probability") == 2


def test_labels_are_no_pictures(tell: Tell, models: Path, tmp_path: Path) -> None:
    write_idx(tmp_path / "labels", np.arange(10, dtype=np.uint8))
    told = tell("labels", "--model", models / "softmax", "--json")
    assert (told.code, told.predictions) == (2, [])
    cause = "holds uint8 values of shape 10, no images to read"
    assert told.err == f"error: labels: {cause}. Give an IDX file of 28x28 images, one byte a pixel\n"


def test_wrong_use_is_one_line(tell: Tell) -> None:
    told = tell()
    assert (told.code, told.out) == (2, "")
    assert told.err == "error: Missing argument 'FILE...'. See accelmnist predict --help\n"
    assert tell("x.png", "--limit", 0).code == 2
