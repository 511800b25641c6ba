"""Weight images: the greys by hand, and what has no image."""

from __future__ import annotations

import numpy as np
import pytest

from accelmnist.analysis.neurons.images import weight_images
from tests.samples import sample_weights


def test_own_scale_puts_each_row_on_its_smallest_and_largest_weight() -> None:
    weights = sample_weights(5) * np.array([[1], [10], [0.1], [3], [7]], dtype=np.float32)
    images = weight_images(weights)
    assert images.shape == (5, 28, 28)
    assert images.dtype == np.uint8
    assert images.reshape(5, -1).min(axis=1).tolist() == [0] * 5
    assert images.reshape(5, -1).max(axis=1).tolist() == [255] * 5


def test_greys_are_rounded_to_the_nearest_not_cut_off() -> None:
    weights = np.zeros((1, 784))
    weights[0, :4] = (255.0, 100.4, 100.6, 254.9)
    assert weight_images(weights).reshape(-1)[:5].tolist() == [255, 100, 101, 255, 0]


def test_pixels_follow_the_rows_of_the_image() -> None:
    weights = np.zeros((1, 784))
    weights[0, 2 * 28 + 5] = 1.0
    assert np.argwhere(weight_images(weights)[0] == 255).tolist() == [[2, 5]]


def test_shared_scale_keeps_the_sizes_of_neurons_apart() -> None:
    weights = np.zeros((2, 784))
    weights[0, 0], weights[0, 1], weights[1, 0] = -1.0, 1.0, 0.5
    images = weight_images(weights, shared_scale=True).reshape(2, -1)
    assert images[0, :3].tolist() == [0, 255, 128]
    assert images[1, :2].tolist() == [191, 128]


@pytest.mark.parametrize("shared_scale", [False, True])
def test_constant_weights_are_mid_grey(shared_scale: bool) -> None:
    images = weight_images(np.full((3, 784), -0.25), shared_scale=shared_scale)
    assert np.unique(images).tolist() == [128]


def test_only_the_constant_row_is_mid_grey_on_its_own_scale() -> None:
    weights = sample_weights(2)
    weights[0] = 0.0
    images = weight_images(weights)
    assert np.unique(images[0]).tolist() == [128]
    assert images[1].max() == 255


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_largest_numbers_of_a_type_do_not_overflow(dtype: type[np.floating]) -> None:
    weights = np.zeros((1, 784), dtype=dtype)
    weights[0, :2] = np.finfo(dtype).min, np.finfo(dtype).max
    assert weight_images(weights).reshape(-1)[:3].tolist() == [0, 255, 128]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_has_no_image(bad: float) -> None:
    weights = sample_weights(3)
    weights[1, 7] = bad
    with pytest.raises(ValueError, match="NaN or an infinity"):
        weight_images(weights)


@pytest.mark.parametrize("shape", [(784,), (3, 783), (2, 28, 28)])
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="neurons, 784"):
        weight_images(np.zeros(shape))


@pytest.mark.parametrize("shared_scale", [False, True])
def test_no_neurons_make_no_images(shared_scale: bool) -> None:
    assert weight_images(np.zeros((0, 784)), shared_scale=shared_scale).shape == (0, 28, 28)
