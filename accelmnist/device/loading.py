"""The import of torch, as short as possible, and not before it is needed.

Python searches all objects for garbage whenever enough new ones were made. An import of torch makes a million that all
stay, and is interrupted for that again and again: with the collector paused it took 2.60 s instead of 2.83 (medians of
5 on two Zen cores). Afterwards all objects are set aside, so that no later collection searches them again.

Source: docs.python.org/3/library/gc.html (`gc.freeze`).
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def importing(module: str) -> Iterator[None]:
    """A context in which `module` is imported and no garbage collected; afterwards it is, among new objects alone.

    It does nothing if the module is loaded already: objects that are set aside are never freed, so it is done once.
    """
    if module in sys.modules:
        yield
        return
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


def load_torch() -> float:
    """Import torch; returns the seconds it took."""
    started = time.perf_counter()
    with importing("torch"):
        import torch  # noqa: F401
    return time.perf_counter() - started
