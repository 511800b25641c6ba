"""Memory for copies of a network, in pieces of large arrays: the system gives these in large pages, far more quickly.

On a virtual machine memory that is touched for the first time can cost two milliseconds a megabyte (measured: 0.8 s for
the 430 MB of a default audit). So it is made ahead, by a thread, while the images are loaded on another processor.
"""

from __future__ import annotations

import threading

import numpy as np

from accelmnist.engines.plan import Floats

_ARRAY_BYTES = 32 << 20
_PAGE_NUMBERS = 1024


class Room:
    """Pieces of `size` numbers each; some are made `ahead` at once, and others when they are taken."""

    def __init__(self, size: int, *, ahead: int = 0) -> None:
        self.size, self._pieces = size, list[Floats]()
        self._each = max(1, _ARRAY_BYTES // (4 * size))
        if arrays := ahead // self._each:
            threading.Thread(target=self._make, args=(arrays,), daemon=True).start()

    def _make(self, arrays: int) -> None:
        for _ in range(arrays):
            array = self._array()
            array.reshape(-1)[::_PAGE_NUMBERS] = 0  # a number of every page, without the interpreter's lock
            self._pieces.extend(array)

    def _array(self) -> Floats:
        return np.empty((self._each, self.size), dtype=np.float32)

    def take(self) -> Floats:
        """A piece (size,) that nobody else has."""
        if not self._pieces:
            self._pieces.extend(self._array())
        return self._pieces.pop()
