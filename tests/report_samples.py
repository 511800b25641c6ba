"""A small finished run with its weights, and made-up evidence, for the tests of reports."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from accelmnist.analysis.evidence import RecomputedAnswers
from accelmnist.cli import invoke
from tests.samples import sample_weights

RUN = ["run", "--synthetic", "--hidden", "16", "--epochs", "1", "--batch-size", "64", "--device", "cpu", "--quiet"]


def make_run(folder: Path, *options: str) -> Path:
    """A run of the smallest kind, whose network still errs."""
    assert invoke([*RUN, "--no-reference", *options, "--out", str(folder)]) == 0
    return folder


def sample_evidence(*, images: int = 400, wrong: float = 0.1, seed: int = 0) -> RecomputedAnswers:
    """Strokes whose place follows from the label, and a network that is wrong about some of them."""
    random = np.random.default_rng(seed)
    labels = np.arange(images) % 10
    pixels = np.zeros((images, 28, 28), dtype=np.uint8)
    for place, label in enumerate(labels):
        pixels[place, 5:23, 2 + 2 * label : 5 + 2 * label] = 220
    predictions = np.where(random.random(images) < wrong, random.integers(0, 10, images), labels)
    scores = random.uniform(0.0, 0.3, (images, 10)).astype(np.float32)
    scores[np.arange(images), predictions] = random.uniform(0.4, 1.0, images)
    return RecomputedAnswers(
        images=pixels.reshape(images, 784),
        labels=labels,
        predictions=predictions,
        scores=scores,
        weights=sample_weights(16),
        moved=0,
    )


REQUIRED = "ACCELMNIST_REQUIRE_TOOLS"


def tool(*names: str) -> str:
    """The path of the first of `names` that is installed; without one the test is skipped, or fails where CI asks."""
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        lack(" or ".join(names))
    return str(found)


def module(name: str) -> Path:
    """Where a package that only the tests need is installed; without it the test is skipped, or fails where CI asks."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        lack(name)
    return Path(str(spec.origin)).parent


def lack(name: str) -> None:
    """Skip the test, or let it fail where everything has to be there."""
    if os.environ.get(REQUIRED):
        pytest.fail(f"{name} is not installed, and {REQUIRED} is set")
    pytest.skip(f"{name} is not installed")
