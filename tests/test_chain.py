"""A run's chain from file to figure: faults are planted in the program, which is then run and judged as always."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from accelmnist.core.config import DataConfig, RunConfig
from accelmnist.core.records import Check, RunRecord
from accelmnist.data import mnist as mnist_module
from accelmnist.data import split
from accelmnist.data.idx import write_idx
from accelmnist.data.mnist import load_dataset
from accelmnist.data.split import RunImages
from accelmnist.data.synthetic import make_synthetic
from accelmnist.data.types import Dataset, ImageSet
from accelmnist.engines.eager import EagerEngine
from accelmnist.engines.model import MLP
from accelmnist.engines.plan import TrainingPlan
from accelmnist.show.observer import SilentObserver
from accelmnist.training import checkpoint, evaluation, loop, proof
from accelmnist.training import execute as execute_module
from accelmnist.training import run as run_module
from accelmnist.training.execute import execute
from accelmnist.training.reference.images import Source, check_images
from accelmnist.training.run import Run, RunRequest, choose_setup
from tests.training_helpers import small_config

pytestmark = pytest.mark.numeric
Patch = pytest.MonkeyPatch
CONFIG = replace(
    small_config(model={"hidden": (16,)}, execution={"engine": "eager", "device": "cpu"}),
    data=DataConfig(dataset="synthetic"),
)
WITH_VALIDATION = replace(CONFIG, data=DataConfig(dataset="synthetic", validation=100))
IN_BF16 = replace(CONFIG, execution=replace(CONFIG.execution, precision="bf16"))  # the reference is another training


@pytest.fixture(autouse=True)
def few_images(monkeypatch: Patch) -> None:
    """The synthetic set is small, and made once for all runs."""
    made = functools.cache(functools.partial(make_synthetic, train=640, test=256))
    for module in (mnist_module, proof):
        monkeypatch.setattr(module, "make_synthetic", made)


def judged(folder: Path, config: RunConfig = CONFIG) -> RunRecord:
    """A small run from its images to its verdict; one in float32 is itself the reference."""
    request = RunRequest(config=config, folder=folder)
    return execute(request, choose_setup(config), SilentObserver).record


def failures(record: RunRecord) -> tuple[Check, ...]:
    assert record.verdict is not None
    return record.verdict.failures


def wrap(patch: Patch, owner: Any, name: str, change: Callable[..., Any]) -> None:
    """Let what a function of the program returns go through `change`."""
    right = getattr(owner, name)
    patch.setattr(owner, name, lambda *arguments, **settings: change(right(*arguments, **settings)))


def save_in_bf16(patch: Patch) -> None:
    wrap(patch, checkpoint, "weights_of", lambda state: {name: w.bfloat16().float() for name, w in state.items()})


def save_weights_swapped(patch: Patch) -> None:
    wrap(patch, checkpoint, "weights_of", lambda state: state | {"layers.0.bias": state["layers.0.bias"].flip(0)})


def load_without_bias(patch: Patch) -> None:
    def broken(*arguments: Any, **settings: Any) -> Any:
        model = right(*arguments, **settings)
        torch.nn.init.zeros_(model.layers[1].bias)
        return model

    right = checkpoint.MLP
    patch.setattr(checkpoint, "MLP", broken)


def save_other_names(patch: Patch) -> None:
    right = proof.save_model
    swapped = tuple("0123456798")
    patch.setattr(proof, "save_model", lambda *a, **s: right(*a, **(s | {"class_names": swapped})))


def round_what_is_saved(patch: Patch) -> None:
    right = run_module.save_record

    def broken(record: Any, folder: Path) -> Path:
        metrics = record.metrics and replace(record.metrics, macro_f1=round(record.metrics.macro_f1, 2))
        return right(replace(record, metrics=metrics), folder)

    patch.setattr(run_module, "save_record", broken)


def figures(**wrong: Callable[[Any], Any]) -> Callable[[Patch], None]:
    """Figures of the second epoch, each changed by its function."""

    def change(figures: Any) -> Any:
        second = figures.epoch == 2
        return replace(figures, **{k: f(getattr(figures, k)) for k, f in wrong.items() if second})

    return lambda patch: wrap(patch, TrainingPlan, "figures", change)


def sum_without_last(patch: Patch) -> None:
    right = Run.keep_epochs
    patch.setattr(Run, "keep_epochs", lambda run, epochs: (right(run, epochs[:-1]), run.change(epochs=epochs)))


def slow_clock(patch: Patch) -> None:
    right = time.perf_counter
    patch.setattr(time, "perf_counter", lambda: 0.98 * right())


def late_clock(patch: Patch) -> None:
    """It starts anew in the middle of an epoch."""
    right = loop.Stopwatch.__exit__

    def broken(watch: Any, *error: Any) -> None:
        watch._started = (watch._started + time.perf_counter()) / 2
        right(watch, *error)

    patch.setattr(loop.Stopwatch, "__exit__", broken)


def half_to_compile(patch: Patch) -> None:
    patch.setattr(EagerEngine, "compiles_on", ("cpu",))
    wrap(patch, execute_module, "prepare", lambda runner: replace(runner, prepare_s=runner.prepare_s / 2))


def timing(name: str, share: float) -> Callable[[Patch], None]:
    """A field of the timing is told as a share of what it was."""

    def plant(patch: Patch) -> None:
        right = Run.time
        patch.setattr(Run, "time", lambda run, **s: right(run, **(s | {name: share * s[name]} if name in s else s)))

    return plant


def likeness(**wrong: Callable[[Any], Any]) -> Callable[[Patch], None]:
    """What is saved of the images' looks, each part changed by its function."""
    return lambda patch: wrap(
        patch, proof, "measure_likeness", lambda one: replace(one, **{k: f(getattr(one, k)) for k, f in wrong.items()})
    )


def load_inverted(patch: Patch) -> None:
    wrap(patch, checkpoint, "Likeness", lambda one: replace(one, samples=255 - one.samples))


def one_thread_more(patch: Patch) -> None:
    wrap(patch, loop, "threads_in_force", lambda threads: threads + 1)


# --- the images


def images(change: Callable[[RunImages], dict[str, Any]]) -> Callable[[Patch], None]:
    """The images of the run with some of their sets changed."""
    return lambda patch: wrap(patch, run_module, "load_images", lambda found: replace(found, **change(found)))


def without_lowest_bit(found: RunImages) -> dict[str, Any]:
    return {"training": replace(found.training, images=found.training.images & 0xFE)}


def with_test_images(found: RunImages) -> dict[str, Any]:
    images, labels = found.training.images.copy(), found.training.labels.copy()
    images[:20], labels[:20] = found.test.images[:20], found.test.labels[:20]
    return {"training": ImageSet(images, labels)}


def labels_of_the_next(found: RunImages) -> dict[str, Any]:
    return {"training": replace(found.training, labels=np.roll(found.training.labels, 1))}


def shorter_test(found: RunImages) -> dict[str, Any]:
    return {"test": found.test.part(np.arange(250))}


def a_test_image_twice(found: RunImages) -> dict[str, Any]:
    return {"test": found.test.part(np.maximum(np.arange(256), 1))}


def hold_out_what_trains(patch: Patch) -> None:
    wrap(patch, split, "split_validation", lambda parts: (np.sort(np.r_[parts[0][1:], parts[1][0]]), parts[1]))


def hold_out_the_first(patch: Patch) -> None:
    """A split that isn't stratified."""
    wrap(patch, split, "split_validation", lambda parts: (np.arange(100, 640), np.arange(100)))


# --- the answers


def evaluate_without_bias(patch: Patch) -> None:
    def broken(model: Any, *arguments: Any, **settings: Any) -> Any:
        bias = model.layers[1].bias
        return right(model, *arguments, **settings) - bias

    right = evaluation.logits_of
    patch.setattr(evaluation, "logits_of", broken)


def evaluate_in_another_order(patch: Patch) -> None:
    wrap(patch, evaluation, "logits_of", lambda logits: logits.roll(1, dims=0))


def smoothed_loss(patch: Patch) -> None:
    right = evaluation.target_table
    patch.setattr(evaluation, "target_table", lambda _smoothing, device: right(0.1, device))


def mean_over_one_more(patch: Patch) -> None:
    wrap(patch, evaluation, "image_losses", lambda losses: torch.cat([losses, losses.new_zeros(1)]))


def rows_actual(patch: Patch) -> None:
    right = evaluation.compute_metrics
    patch.setattr(evaluation, "compute_metrics", lambda confusion, **settings: right(confusion.T, **settings))


def mistakes(change: Callable[[Any], Any]) -> Callable[[Patch], None]:
    return lambda patch: wrap(patch, proof, "confident_mistakes", change)


def next_image(found: Any) -> Any:
    return tuple(replace(mistake, index=mistake.index + 1) for mistake in found)


def labels_swapped(found: Any) -> Any:
    return tuple(replace(mistake, actual=mistake.predicted, predicted=mistake.actual) for mistake in found)


FAULTS: dict[str, tuple[Callable[[Patch], None], str, str]] = {
    "a model saved in bf16": (save_in_bf16, "saved model", "numbers of layers"),
    "a bias saved upside down": (save_weights_swapped, "saved model", "16 numbers of layers.0.bias"),
    "a bias lost on loading": (load_without_bias, "saved model", "loaded, 10 numbers of layers.1.bias"),
    "two names of classes swapped": (save_other_names, "saved model", "its class names is another"),
    "a record with a rounded figure": (round_what_is_saved, "saved record", "its metrics is another"),
    "a loss of all but one step": (figures(train_loss=lambda x: 0.98 * x), "figures by epoch", "epoch 2: its loss"),
    "half of the images counted": (figures(images_per_s=lambda x: x / 2), "figures by epoch", "epoch 2: its speed"),
    "a clock that is 2 % slow": (slow_clock, "figures by epoch", "by another clock"),
    "a clock that stands still for a part": (late_clock, "figures by epoch", "by another clock"),
    "the rate of the first step": (figures(learning_rate=lambda x: x * 1.001), "figures by epoch", "epoch 2: its last"),
    "the accuracy of the epoch before": (
        figures(accuracy=lambda x: x - 0.01),
        "accuracy by epoch",
        "are right, and not",
    ),
    "training images without their lowest bit": (images(without_lowest_bit), "training images", "training images are"),
    "test images among the training images": (images(with_test_images), "training images", "20 training images are"),
    "every label the neighbour's": (images(labels_of_the_next), "training images", "training labels are others"),
    "the last test images left out": (images(shorter_test), "test images", "250 test images and not 256"),
    "a test image in another's place": (images(a_test_image_twice), "test images", "1 test images are others"),
    "an image that trains and validates": (hold_out_what_trains, "training images", "training images are others"),
    "the first images held out": (hold_out_the_first, "validation images", "validation images are others"),
    "evaluated without a bias": (evaluate_without_bias, "logits", "over the largest"),
    "evaluated in another order": (evaluate_in_another_order, "logits", "over the largest"),
    "a test loss that is smoothed": (smoothed_loss, "test loss", "difference"),
    "a test loss over an image too many": (mean_over_one_more, "test loss", "difference"),
    "a matrix turned around": (rows_actual, "confusion matrix", "counts unlike"),
    "mistakes that show the next image": (mistakes(next_image), "mistakes", "is no"),
    "mistakes with their labels swapped": (mistakes(labels_swapped), "mistakes", "is no"),
    "the surest mistake left out": (mistakes(lambda found: found[1:]), "mistakes", "there are"),
    "the last epoch not in the sum": (sum_without_last, "figures by epoch", "all epochs took"),
    "half of the time to compile": (half_to_compile, "figures recounted", "compile_s: it took"),
    "half of the time to load": (timing("load_s", 0.5), "figures recounted", "load_s: it took"),
    "half of the time to upload": (timing("upload_s", 0.5), "figures recounted", "upload_s: it took"),
    "twice the time to evaluate": (timing("evaluate_s", 2.0), "figures recounted", "evaluate_s: it took"),
    "milliseconds to verify": (timing("verify_s", 1000.0), "figures recounted", "verify_s: it took"),
    "peak memory in units of 1000": (
        lambda patch: wrap(patch, run_module, "peak_memory_bytes", lambda peak: peak * 1000 // 1024),
        "figures recounted",
        "the peak of memory is",
    ),
    "a likeness of inverted images": (
        likeness(samples=lambda pixels: 255 - pixels),
        "saved model",
        "its samples are not of its images",
    ),
    "a likeness that nothing is beyond": (likeness(limit=lambda limit: 2 * limit), "saved model", "its limit"),
    "a likeness inverted on loading": (load_inverted, "saved model", "its samples are not of its images"),
    "a data set taken for dark on light": (
        lambda patch: wrap(patch, split, "is_light", lambda light: not light),
        "saved model",
        "its images are dark on light, or not",
    ),
    "another number of threads": (one_thread_more, "figures by epoch", "threads, and not"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_by_its_check(fault: str, tmp_path: Path, monkeypatch: Patch) -> None:
    plant, name, said = FAULTS[fault]
    plant(monkeypatch)
    found = {check.name: check.detail for check in failures(judged(tmp_path / "run", WITH_VALIDATION))}
    assert said in found[name]


@pytest.mark.parametrize("config", [CONFIG, WITH_VALIDATION, IN_BF16])
def test_a_right_run_passes(config: RunConfig, tmp_path: Path) -> None:
    assert failures(judged(tmp_path / "run", config)) == ()


# --- files of every kind


def holds(data: Dataset, source: Source, **wrong: ImageSet) -> list[str]:
    """What is found of the data set itself, taken for what a run used, but for the sets that are `wrong`."""
    summary = replace(split.summary_of(data, validation_images=0), test_in_training=split.copies_in_training(data))
    sets = {"training": data.train, "test": data.test} | wrong
    probe = sets["training"].part(np.arange(min(5000, len(data.train))))
    checks = check_images(source, sets["training"], probe, sets["test"], summary, seed=0)
    return [check.detail for check in checks if not check.passed]


def test_the_embedded_files_are_known_by_their_digests(mnist: Dataset) -> None:
    changed = mnist.train.images.copy()
    changed[59_999, 783] ^= 1
    assert holds(mnist, Source("mnist")) == []
    assert holds(mnist, Source("mnist"), training=replace(mnist.train, images=changed)) == [
        "1 training images are others"
    ]


@pytest.mark.parametrize("name", ["kmnist", "emnist-digits", "qmnist"])
def test_files_of_a_folder_are_read_anew(name: str, tmp_path: Path) -> None:
    """Gzipped and plain, EMNIST's columns first, QMNIST's labels in the first of eight columns of integers."""
    rng, suffix = np.random.default_rng(0), ".gz" if name == "kmnist" else ""
    for part, count in (("train", 30), ("t10k", 20)):
        labels = rng.integers(10, size=(count, 8), dtype=np.int32)
        write_idx(
            tmp_path / f"{part}-images-idx3-ubyte{suffix}", rng.integers(256, size=(count, 28, 28), dtype=np.uint8)
        )
        kept = labels if name == "qmnist" else labels[:, 0].astype(np.uint8)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte{suffix}", kept)
    data = load_dataset(name, folder=tmp_path)
    assert holds(data, Source(name, data.files)) == []
    turned = data.test.images.reshape(-1, 28, 28).transpose(0, 2, 1).reshape(-1, 784)
    wrong = replace(data.test, images=turned)
    assert holds(data, Source(name, data.files), test=wrong) == ["20 test images are others"]


def test_copies_in_the_files_themselves_are_counted_and_no_fault(synthetic: Dataset) -> None:
    """Three test images are training images in the files; a run that says so is right, and one that says none isn't."""
    train = synthetic.train.images.copy()
    train[:3] = synthetic.test.images[:3]
    data = replace(synthetic, train=replace(synthetic.train, images=train))
    source = Source("synthetic", made=(data.train, data.test))
    assert holds(data, source) == []
    assert holds(replace(data, train=synthetic.train), source, training=data.train) == [
        "3 are among the training images, and not 0"
    ]


# --- a run that goes on


def forget_state(patch: Patch) -> None:
    wrap(patch, execute_module, "prepare", lambda runner: replace(runner, load_state=lambda _state: None))


def load_in_bf16(part: str) -> Callable[[Patch], None]:
    def rounded(found: Any) -> Any:
        return replace(found, **{part: {name: each.bfloat16().float() for name, each in getattr(found, part).items()}})

    return lambda patch: wrap(patch, checkpoint, "load_checkpoint", rounded)


AVERAGED = replace(CONFIG, training=replace(CONFIG.training, averaging=0.5))


@pytest.mark.parametrize(
    ("config", "plant"),
    [
        (CONFIG, None),
        (CONFIG, forget_state),
        (CONFIG, load_in_bf16("weights")),
        (CONFIG, load_in_bf16("state")),
        (AVERAGED, None),
        (AVERAGED, load_in_bf16("weights")),
    ],
)
def test_a_run_goes_on_from_what_it_ended_with(
    config: RunConfig, plant: Any, tmp_path: Path, monkeypatch: Patch
) -> None:
    setup = choose_setup(config)
    execute(RunRequest(config=config, folder=tmp_path, should_stop=lambda: True), setup, SilentObserver)
    if plant is not None:
        plant(monkeypatch)
    kept = checkpoint.load_checkpoint(tmp_path / checkpoint.CHECKPOINT_NAME)
    record = execute(RunRequest(config=config, folder=tmp_path, checkpoint=kept), setup, SilentObserver).record
    names = {check.name for check in failures(record)}
    assert names == set() if plant is None else "unbroken training" in names


# --- the reference


def the_runs_scores(patch: Patch) -> None:
    """The evaluation of the run stands in for the reference's."""
    kept: list[Any] = []
    wrap(patch, proof, "evaluate", lambda found: (kept.append(found), found)[1])
    wrap(patch, proof, "train_reference", lambda found: replace(found, evaluation=kept[0]))


def other_weights(patch: Patch) -> None:
    wrap(patch, proof, "train_reference", lambda found: replace(found, model=MLP(found.model.config, seed=5)))


REFERENCE_FAULTS = {
    "the run's scores": (the_runs_scores, "its weights or scores are the run's own"),
    "scores of another network": (other_weights, "its answers are not those of its weights"),
}


@pytest.mark.parametrize("fault", REFERENCE_FAULTS)
def test_a_reference_that_is_none_is_found(fault: str, tmp_path: Path, monkeypatch: Patch) -> None:
    plant, said = REFERENCE_FAULTS[fault]
    plant(monkeypatch)
    found = {check.name: check.detail for check in failures(judged(tmp_path / "run", IN_BF16))}
    assert said in found["reference itself"]
