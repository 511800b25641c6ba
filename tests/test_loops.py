"""Closed loops: of shapes whose answer is known, of digits against a flood from the edge, and over all of MNIST."""

from __future__ import annotations

import numpy as np
import pytest

from accelmnist.analysis.neurons.shape import has_loop, shapes_of
from accelmnist.data.types import Dataset


def drawn(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    """An image with the outlines of rectangles (top, left, bottom, right)."""
    image = np.zeros((28, 28), dtype=np.uint8)
    for top, left, bottom, right in boxes:
        image[top, left : right + 1] = image[bottom, left : right + 1] = 255
        image[top : bottom + 1, left] = image[top : bottom + 1, right] = 255
    return image


def test_loops_of_known_shapes() -> None:
    ring, two, opened, stroke = (
        drawn((5, 5, 20, 15)),
        drawn((3, 8, 12, 18), (12, 8, 22, 18)),
        drawn((5, 5, 20, 15)),
        drawn(),
    )
    opened[10:12, 5] = 0
    stroke[4:24, 14] = 255
    pin = drawn((10, 10, 12, 12))  # a hole of one pixel
    at_the_edge = drawn((0, 0, 27, 27))
    images = np.stack([ring, two, opened, stroke, pin, at_the_edge]).reshape(-1, 784)
    assert has_loop(images).tolist() == [True, True, False, False, False, True]


def test_a_diagonal_line_of_ink_holds() -> None:
    image = np.zeros((28, 28), dtype=np.uint8)
    for step in range(8):
        for row, column in (
            (6 + step, 14 - step),
            (6 + step, 14 + step),
            (20 - step, 14 - step),
            (20 - step, 14 + step),
        ):
            image[row, column] = 255
    assert has_loop(image.reshape(1, 784)).all()


def hole_pixels(image: np.ndarray) -> int:
    """Pixels of paper that a flood from outside the image does not reach, from neighbour to neighbour."""
    paper = np.pad(image.reshape(28, 28) < 85, 1, constant_values=True)
    wet, edge = {(0, 0)}, [(0, 0)]
    while edge:
        row, column = edge.pop()
        for near in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
            if min(near) >= 0 and max(near) < 30 and paper[near] and near not in wet:
                wet.add(near)
                edge.append(near)
    return int(paper.sum()) - len(wet)


def test_loops_of_real_digits_are_what_a_flood_leaves_dry(mnist: Dataset) -> None:
    images = mnist.test.images[:300]
    assert has_loop(images).tolist() == [hole_pixels(image) >= 3 for image in images]
    assert (shapes_of(images)[:, 0] == has_loop(images)).all()


def test_digits_with_a_loop_are_told_from_those_without(mnist: Dataset) -> None:
    """The shares that the module states, over all 10,000 test images."""
    loops = has_loop(mnist.test.images)
    with_one, without = (loops[np.isin(mnist.test.labels, digits)].mean() for digits in ([0, 6, 8, 9], [1, 3, 5, 7]))
    assert (with_one, without) == (pytest.approx(0.854, abs=5e-4), pytest.approx(0.011, abs=5e-4))
    assert loops[mnist.test.labels == 0].mean() > 0.85
    assert loops[mnist.test.labels == 1].mean() < 0.05
