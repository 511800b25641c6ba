"""Whether the strokes of a digit close a loop: paper inside it that can't be reached from the edge of the image.

Ink is what is darker than a third of full: thinner lines would leave gaps that the eye closes. Paper joins by edges, so
that a diagonal line of ink holds. A hole of one or two pixels is a flaw of the scan and no loop.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from accelmnist.core.config import IMAGE_SIDE

_INK = 85  # of 255
_LEAST_HOLE = 3  # pixels


def has_loop(images: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """For each of `images`, uint8 (n, 784), whether a loop is closed; bool (n,)."""
    grid = images.reshape(-1, IMAGE_SIDE, IMAGE_SIDE)
    paper = np.pad(grid < _INK, ((0, 0), (1, 1), (1, 1)), constant_values=True)
    outside = np.zeros_like(paper)
    outside[:, 0, :] = outside[:, -1, :] = outside[:, :, 0] = outside[:, :, -1] = True
    reached = 0
    while (now := int(outside.sum())) != reached:
        reached = now
        outside = _spread(outside) & paper
    return np.asarray((paper & ~outside).sum(axis=(1, 2)) >= _LEAST_HOLE)


def _spread(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask and its neighbours to all four sides."""
    wider = mask.copy()
    wider[:, 1:] |= mask[:, :-1]
    wider[:, :-1] |= mask[:, 1:]
    wider[:, :, 1:] |= mask[:, :, :-1]
    wider[:, :, :-1] |= mask[:, :, 1:]
    return wider
