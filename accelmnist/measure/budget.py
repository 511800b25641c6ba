"""The time that a benchmark may take: how much is left, and whether a piece of work still fits.

What a piece of work takes isn't known before it is done, but what was done before tells: the longest of its kind so
far, and before the first a cautious guess. Work that doesn't fit is cut, and the reader is told.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable

FINISH_S = 2.5  # kept back for the conclusion and the figures
_FIRST_GUESSES = {True: 12.0, False: 1.5}  # seconds to prepare and verify a case, by whether its engine compiles


class Budget:
    """`ends_after_s` seconds (None for no end) of which `spent_s` were gone when it was made."""

    def __init__(
        self, ends_after_s: float | None, *, spent_s: float = 0.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._started = clock() - spent_s
        self._ends_after_s = math.inf if ends_after_s is None else ends_after_s
        self._longest: dict[Hashable, float] = {}

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start of the command."""
        return self._clock() - self._started

    @property
    def left_s(self) -> float:
        """Seconds left for work, those for the finish kept back; infinite without an end."""
        return self._ends_after_s - self.elapsed_s - min(FINISH_S, 0.1 * self._ends_after_s)

    def expect_s(self, kind: Hashable, *, compiles: bool) -> float:
        """What a piece of work of this kind will take: the longest so far, or a guess."""
        return self._longest.get(kind, _FIRST_GUESSES[compiles])

    def learn(self, kind: Hashable, seconds: float) -> None:
        """Remember what a piece of work took."""
        self._longest[kind] = max(seconds, self._longest.get(kind, 0.0))
