"""Made-up but plausible records, weights and images, for the tests of everything that shows or reads a run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from accelmnist.core.config import DataConfig, DatasetName, ExecutionConfig, ModelConfig, RunConfig, TrainingConfig
from accelmnist.core.metrics import Metrics, compute_metrics
from accelmnist.core.records import (
    Check,
    Choice,
    DataSummary,
    Environment,
    EpochFigures,
    Mistake,
    ReferenceRun,
    RunRecord,
    Timing,
    Verdict,
)
from accelmnist.data.origins import ORIGINS

DIGITS = tuple("0123456789")
FASHION = ORIGINS["fashion-mnist"].class_names


def sample_record(
    *,
    epochs: int = 5,
    hidden: tuple[int, ...] = (256,),
    passed: bool = True,
    validation: int = 0,
    fashion: bool = False,
    mistakes: int = 25,
    reference: bool = True,
) -> RunRecord:
    """A finished run whose every field is filled; the same arguments give the same record."""
    dataset: DatasetName = "fashion-mnist" if fashion else "mnist"
    config = RunConfig(
        data=DataConfig(dataset=dataset, validation=validation),
        model=ModelConfig(hidden=hidden),
        training=TrainingConfig(epochs=epochs, batch_size=512),
        execution=ExecutionConfig(device="cpu", engine="auto"),
    )
    metrics, images = sample_metrics(seed=0), (60_000 - validation) // 512 * 512
    return RunRecord(
        status="done",
        created="2025-03-01T12:00:00+00:00",
        environment=sample_environment(),
        config=config,
        choices=sample_choices(),
        data=DataSummary(
            dataset=dataset,
            source="embedded files, SHA-256 verified",
            training_images=60_000 - validation,
            validation_images=validation,
            test_images=10_000,
            class_names=FASHION if fashion else DIGITS,
        ),
        parameters=config.model.parameters,
        epochs=tuple(sample_epoch(epoch, images=images) for epoch in range(1, epochs + 1)),
        timing=sample_timing(epochs, images=images),
        peak_memory_bytes=612_400_000,
        metrics=metrics,
        mistakes=sample_mistakes(mistakes, metrics),
        reference=ReferenceRun(
            metrics=sample_metrics(seed=1), train_s=epochs * images / 111_700.0, images_per_s=111_700.0
        )
        if reference
        else None,
        verdict=sample_verdict(passed=passed),
        files=("run.json", "model.safetensors", "weights.png", "confusion.png"),
    )


def sample_metrics(*, seed: int = 0, images: int = 1000, error: float = 0.019) -> Metrics:
    """Scores of a network that takes about `error` of `images` images a class for another one."""
    return replace(compute_metrics(sample_confusion(seed=seed, images=images, error=error)), loss=0.0633)


def sample_confusion(*, seed: int = 0, images: int = 1000, error: float = 0.019) -> NDArray[np.int64]:
    """A confusion matrix, rows predicted and columns actual, with some pairs confused more than others."""
    random = np.random.default_rng(seed)
    odds = random.dirichlet(np.full(10, 0.6), size=10).T * error
    odds[np.diag_indices(10)] = 0.0
    wrong = random.poisson(odds * images)
    return (wrong + np.diag(images - wrong.sum(axis=0))).astype(np.int64)


def sample_epoch(epoch: int, *, images: int = 59_904) -> EpochFigures:
    """The figures after `epoch` epochs of a run that learns, of so many images."""
    return EpochFigures(
        epoch=epoch,
        train_loss=0.33 / epoch**1.5,
        accuracy=1 - 0.06 / epoch,
        learning_rate=0.004,
        train_s=images / 390_000.0,
        images_per_s=390_000.0,
    )


def sample_timing(epochs: int, *, images: int = 59_904) -> Timing:
    """Where the time of a run of `epochs` epochs went."""
    return Timing(
        import_s=1.71,
        load_s=0.264,
        upload_s=0.0121,
        compile_s=4.1,
        train_s=epochs * images / 390_000.0,
        evaluate_s=0.0213,
        verify_s=2.9,
        images_per_s=390_000.0,
    )


def sample_choices() -> tuple[Choice, ...]:
    """What `auto` came to, with reasons of the length that real ones have."""
    return (
        Choice(what="device", value="cpu", reason="no CUDA and no MPS device was found"),
        Choice(
            what="engine",
            value="fused",
            reason="the fastest on a CPU for one hidden layer: a native kernel that skips the zero pixels, "
            "which are 81 % of the input",
        ),
        Choice(what="precision", value="fp32", reason="asked for"),
        Choice(what="threads", value="2", reason="one for each of the 2 physical cores"),
    )


def sample_verdict(*, passed: bool = True) -> Verdict:
    """A verdict of four checks, the accuracy one failing unless `passed`."""
    return Verdict(
        passed=passed,
        reference="the same training on the CPU in eager float32",
        checks=(
            Check(
                name="accuracy",
                passed=passed,
                value=0.9812 if passed else 0.9412,
                limit=0.99 if passed else 0.97,
                detail="share of the test images right",
                reason="a network of this size reaches it with any seed",
            ),
            Check(
                name="accuracy difference",
                passed=True,
                value=0.0008,
                limit=0.005,
                detail="to the reference",
                reason="three standard deviations of the reference over 20 seeds",
            ),
            Check(
                name="finite losses", passed=True, value=None, limit=None, detail="no NaN", reason="no infinity either"
            ),
            Check(
                name="below perfect",
                passed=True,
                value=0.9812,
                limit=0.9999,
                detail="below 100 %",
                reason="more is a leak",
            ),
        ),
    )


def sample_mistakes(number: int, metrics: Metrics) -> tuple[Mistake, ...]:
    """`number` of the mistakes that the scores are of, the most confident first."""
    matrix = metrics.confusion_matrix
    cells = [
        (row, column) for row in range(10) for column in range(10) if row != column for _ in range(matrix[row][column])
    ]
    return tuple(
        Mistake(
            index=37 * place + 8,
            actual=actual,
            predicted=predicted,
            score=round(0.998 - 0.012 * place, 3),
            actual_score=0.002,
        )
        for place, (predicted, actual) in enumerate(cells[:: max(len(cells) // number, 1)][:number] if number else ())
    )


def sample_weights(neurons: int, *, seed: int = 0) -> NDArray[np.float32]:
    """Weights (neurons, 784) with a soft blob each."""
    random = np.random.default_rng(seed)
    row, column = np.mgrid[0:28, 0:28]
    centre = random.uniform(6, 22, size=(neurons, 2, 1, 1))
    distance = (row - centre[:, 0]) ** 2 + (column - centre[:, 1]) ** 2
    noise = random.normal(0, 0.02, size=(neurons, 28, 28))
    blobs = 0.2 * np.exp(-distance / 24) + noise
    return np.asarray(blobs.reshape(neurons, 784), dtype=np.float32)


def sample_images(number: int, *, seed: int = 0) -> NDArray[np.uint8]:
    """Images uint8 (number, 784): one bright stroke each on black."""
    images = np.zeros((number, 28, 28), dtype=np.uint8)
    for place, column in enumerate(np.random.default_rng(seed).integers(6, 20, size=number)):
        images[place, 5:23, column : column + 3] = 220
    return images.reshape(number, 784)


def sample_environment() -> Environment:
    """A small machine without an accelerator."""
    return Environment(
        processor="AMD EPYC 9B14",
        cores=2,
        logical_cores=2,
        threads=2,
        memory_bytes=8_200_000_000,
        device="cpu",
        hardware="AMD EPYC 9B14",
        device_memory_bytes=None,
        driver=None,
        cuda=None,
        cpu_capability="AVX512",
        torch="2.14.1",
        numpy="2.4.6",
        python="3.11.7",
        os="Linux 6.1",
        accelmnist="0.1.0",
        commit=None,
        command="accelmnist train",
    )
