"""Evaluation counts every image once, the ragged last chunk too, and finds the most confident mistakes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from accelmnist.core.config import ModelConfig, Precision
from accelmnist.data.types import Dataset, ImageSet, upload
from accelmnist.device import Device, resolve
from accelmnist.engines.model import MLP
from accelmnist.training.evaluation import accuracy_of, confident_mistakes, evaluate
from accelmnist.training.reference.answers import check_answers
from accelmnist.training.reference.tolerances import tolerances
from tests.rounding import SUM_ERROR, assert_logits

pytestmark = pytest.mark.numeric


def numpy_logits(model: MLP, images: np.ndarray) -> np.ndarray:
    values = images.astype(np.float64) / 255
    layers = list(model.layers)
    for layer in layers[:-1]:
        values = np.maximum(values @ layer.weight.detach().double().numpy().T + layer.bias.detach().numpy(), 0)
    return values @ layers[-1].weight.detach().double().numpy().T + layers[-1].bias.detach().numpy()


@pytest.mark.parametrize("chunk", [1, 7, 100, 10_000])
def test_every_image_counts_whatever_the_chunk(
    chunk: int, device: Device, synthetic: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accelmnist.engines.model._CHUNK", chunk)
    test = ImageSet(synthetic.test.images[:101], synthetic.test.labels[:101])
    model = MLP(ModelConfig(hidden=(16,)), seed=3)
    expected = numpy_logits(model, test.images)
    on_device = upload(test, device)
    found = evaluate(model.to(device.torch_device), on_device, device=device, precision="fp32")
    assert_logits(found.logits, model, test.images)
    assert (found.predictions == expected.argmax(axis=1)).all()
    assert found.metrics.images == 101
    assert found.metrics.accuracy == (expected.argmax(axis=1) == test.labels).mean()
    assert accuracy_of(model, on_device, device=device, precision="fp32") == found.metrics.accuracy
    shifted = expected - expected.max(axis=1, keepdims=True)
    log_softmax = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    assert found.metrics.loss == pytest.approx(-log_softmax[np.arange(101), test.labels].mean(), rel=SUM_ERROR)


def test_mistakes_are_wrong_and_sorted(device: Device, synthetic: Dataset) -> None:
    model = MLP(ModelConfig(hidden=(16,)), seed=3).to(device.torch_device)
    found = evaluate(model, upload(synthetic.test, device), device=device, precision="fp32")
    mistakes = confident_mistakes(found, model, limit=12)
    assert len(mistakes) == 12
    assert [one.score for one in mistakes] == sorted((one.score for one in mistakes), reverse=True)
    probabilities = torch.softmax(torch.from_numpy(found.logits), dim=1).numpy()
    for one in mistakes:
        assert one.predicted != one.actual == synthetic.test.labels[one.index]
        assert one.predicted == probabilities[one.index].argmax()
        assert one.score == pytest.approx(probabilities[one.index, one.predicted])
        assert one.actual_score == pytest.approx(probabilities[one.index, one.actual])
    wrong = found.predictions != found.labels
    assert mistakes[0].score == pytest.approx(probabilities[wrong].max())


def test_the_set_stays_bytes_on_the_device(device: Device, synthetic: Dataset) -> None:
    uploaded = upload(synthetic.test, device)
    assert (uploaded.images.dtype, uploaded.labels.dtype) == (torch.uint8, torch.int64)
    assert uploaded.images.shape == (512, 784)
    assert uploaded.images.device.type == device.kind


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_sixteen_bits_that_are_float32_are_found(precision: Precision, synthetic: Dataset) -> None:
    model, device, limits = MLP(ModelConfig(hidden=(16,)), seed=3), resolve("cpu"), tolerances(precision)

    def failed(computed_in: Precision) -> list[str]:
        found = evaluate(model, upload(synthetic.test, device), device=device, precision=computed_in)
        return [check.name for check in check_answers(model, synthetic.test, found, limits) if not check.passed]

    assert (failed(precision), failed("fp32")) == ([], ["16 bits"])
