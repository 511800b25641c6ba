"""The import of torch, as short as possible and not before it is needed, and the threads that it brings.

Python searches all objects for garbage whenever enough new ones were made. An import of torch makes a million that all
stay, and is interrupted for that again and again: with the collector paused it took 2.60 s instead of 2.83 (medians of
5 on two Zen cores). Afterwards all objects are set aside, so that no later collection searches them again.

torch's CPU kernels run on OpenMP threads that synchronize at the end of every operation, some fifteen times in a step
of a millisecond. GNU's libgomp lets a thread that waits spin for 300,000 rounds, about a millisecond, before it sleeps.
On processors that are shared, with another program or another virtual machine, the waiting thread then takes the time
of the working one: a hundred steps of the default network took 0.3 s or 14 s on two virtual cores, as luck had it. At
2,000 rounds they took 0.3 to 0.8 s; with no spinning at all 0.4 to 1.0 s, since a thread must then be woken every time.

Sources: docs.python.org/3/library/gc.html (`gc.freeze`); libgomp's manual, GOMP_SPINCOUNT. Other OpenMP libraries
ignore that, and a setting of the user's stands.
"""

from __future__ import annotations

import gc
import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from accelmnist.core.errors import DeviceError

_SPIN_ROUNDS = "2000"
_ADDRESSES = 4_000_000_000  # bytes: torch for CUDA failed at 3 GiB, and ran at 3.8
_SETTINGS = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


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


def usable_threads() -> int:
    """The number of threads that torch takes: the physical cores that this process may use, or fewer if asked for.

    MKL, which torch asks on x86-64, counts them so: MKL_NUM_THREADS goes before OMP_NUM_THREADS, and neither goes
    beyond the cores.
    """
    cores = usable_cores()
    asked = os.environ.get("MKL_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS", "")
    first = asked.partition(",")[0].strip()
    return min(int(first), cores) if first.isdecimal() and int(first) > 0 else cores


def usable_cores() -> int:
    """The physical cores that this process may use."""
    import psutil  # here: most modules that import this one need no threads

    from accelmnist.device.cgroups import cores_within_quota

    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores_within_quota(min(psutil.cpu_count(logical=False) or allowed, allowed))


def pin_to_core(core: int) -> None:
    """Have this process run on one processor alone, by its number; raises DeviceError if that can't be."""
    try:
        os.sched_setaffinity(0, {core})
    except (AttributeError, OSError) as error:
        raise DeviceError(f"core {core} can't be worked on: {error}", remedy="Choose one that is here") from error


def prepare_for_torch() -> None:
    """Set in this process's environment what torch reads when it is loaded; without effect after that.

    That is how long threads spin, unless the user has set it, and their number if a container's CPU quota allows fewer
    than there are cores, which torch doesn't see: at half a processor, two threads take 1.5 times as long as one.
    Raises DeviceError if torch can't be loaded because `ulimit -v` is too small.
    """
    if "torch" in sys.modules:
        return
    allowed, _ = resource.getrlimit(resource.RLIMIT_AS)
    if 0 <= allowed < _ADDRESSES:  # its libraries can't be mapped then, and MKL ends the process without a word to us
        raise DeviceError(
            f"ulimit -v leaves {allowed / 1e9:.1f} GB of addresses, and torch takes about {_ADDRESSES / 1e9:.0f} GB",
            remedy="Raise it: ulimit -v unlimited",
        )
    if not any(name in os.environ for name in _SETTINGS):
        os.environ["GOMP_SPINCOUNT"] = _SPIN_ROUNDS
    from accelmnist.device.cgroups import cpu_quota

    if cpu_quota() < (os.cpu_count() or 1) and "MKL_NUM_THREADS" not in os.environ:
        os.environ.setdefault("OMP_NUM_THREADS", str(usable_threads()))


@cache
def idle_threads_sleep() -> bool:
    """Whether an OpenMP thread that has nothing to do is known to sleep: the processor's time then tells who works.

    So it is with libgomp and the rounds that `prepare_for_torch` sets. Intel's and LLVM's threads spin for 0.2 s.
    """
    try:
        mapped = Path("/proc/self/maps").read_text()
    except OSError:
        return False
    others = "libiomp" in mapped or "libomp" in mapped
    return "libgomp" in mapped and not others and os.environ.get("GOMP_SPINCOUNT") == _SPIN_ROUNDS
