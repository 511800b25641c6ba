"""The synthetic set: reproducible, shaped like MNIST, learnable, and never perfectly so."""

import math
import time
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from accelmnist.core.errors import ConfigError
from accelmnist.data.synthetic import LABEL_NOISE, make_synthetic


def test_shapes_types_and_names() -> None:
    data = make_synthetic(seed=3, train=100, test=30)
    assert (data.name, data.source) == ("synthetic", "synthetic, seed 3")
    assert data.class_names == tuple("0123456789")
    for split, count in ((data.train, 100), (data.test, 30)):
        assert len(split) == count
        assert split.images.shape == (count, 784)
        assert split.images.dtype == np.uint8
        assert split.labels.shape == (count,)
        assert split.labels.dtype == np.int64
        assert split.labels.min() >= 0
        assert split.labels.max() <= 9


def test_default_sizes_in_time() -> None:
    started_s = time.perf_counter()
    data = make_synthetic(seed=0)
    assert time.perf_counter() - started_s < 1.0  # 0.06 s alone on a core; the margin is for a busy machine
    assert (len(data.train), len(data.test)) == (4096, 1024)


def test_same_seed_same_bytes_and_another_seed_others() -> None:
    first, again, other = (make_synthetic(seed=seed, train=50, test=50) for seed in (1, 1, 2))
    assert first.train.images.tobytes() == again.train.images.tobytes()
    assert first.test.labels.tobytes() == again.test.labels.tobytes()
    assert first.train.images.tobytes() != other.train.images.tobytes()


def test_the_size_of_one_split_leaves_the_other_alone() -> None:
    small, large = make_synthetic(seed=1, train=10, test=50), make_synthetic(seed=1, train=500, test=50)
    assert small.test.images.tobytes() == large.test.images.tobytes()
    assert small.test.labels.tobytes() == large.test.labels.tobytes()


def test_splits_share_no_image() -> None:
    data = make_synthetic(seed=0)
    seen = {image.tobytes() for image in data.train.images}
    assert not any(image.tobytes() in seen for image in data.test.images)


@pytest.mark.parametrize("seed", range(4))
def test_pixels_and_classes_are_spread_as_in_mnist(seed: int) -> None:
    train = make_synthetic(seed=seed).train
    nonzero = float((train.images > 0).mean())
    assert 0.12 < nonzero < 0.25  # MNIST: 0.1912
    assert train.images.max() == 255
    assert np.bincount(train.labels, minlength=10).min() > 300  # of 4096, about 410 each


@pytest.mark.parametrize("seed", range(3))
def test_a_small_mlp_learns_it_in_few_epochs_and_not_perfectly(seed: int) -> None:
    data = make_synthetic(seed=seed)
    model = MLPClassifier((64,), batch_size=128, max_iter=5, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(data.train.images / 255, data.train.labels)
    predictions = model.predict(data.test.images / 255)
    accuracy = float((predictions == data.test.labels).mean())
    # Above: the labels that were replaced, and by chance a few that a wrong prediction happens to meet.
    assert 0.90 <= accuracy <= 1 - LABEL_NOISE + 0.005


def test_an_exact_share_of_labels_is_wrong() -> None:
    # The class that an image was drawn from is the first thing its split's own stream gives.
    count = 1000
    split = make_synthetic(seed=5, train=count, test=1).train
    drawn = np.random.default_rng(np.random.SeedSequence(5).spawn(3)[1]).integers(10, size=count)
    assert int((split.labels != drawn).sum()) == math.ceil(count * LABEL_NOISE) == 30


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"seed": 0, "train": 0}, {"seed": 0, "test": 0}])
def test_impossible_requests(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="no synthetic data with seed"):
        make_synthetic(**wrong)
