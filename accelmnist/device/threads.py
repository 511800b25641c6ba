"""The time that OpenMP's threads wait for each other awake, set before torch loads the library that reads it.

torch's CPU kernels run on OpenMP threads that synchronize at the end of every operation, some fifteen times in a step
of a millisecond. GNU's libgomp lets a thread that waits spin for 300,000 rounds, about a millisecond, before it sleeps.
On processors that are shared, with another program or another virtual machine, the waiting thread then takes the time
of the working one: a hundred steps of the default network took 0.3 s or 14 s on two virtual cores, as luck had it. At
2,000 rounds they took 0.3 to 0.8 s; with no spinning at all 0.4 to 1.0 s, since a thread must then be woken every time.

Source: libgomp's manual, GOMP_SPINCOUNT. Other OpenMP libraries ignore it, and a setting of the user's stands.

torch chooses the number of threads; work that starts before torch takes as many, by the same rule.
"""

from __future__ import annotations

import os
import sys

_SPIN_ROUNDS = "2000"
_SETTINGS = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def usable_threads() -> int:
    """The number of threads that torch takes by itself: the physical cores of this process, or fewer if asked for.

    MKL, which torch asks on x86-64, counts them so: MKL_NUM_THREADS goes before OMP_NUM_THREADS, and neither goes
    beyond the cores.
    """
    import psutil  # here: most modules that import this one need no threads

    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    cores = max(1, min(psutil.cpu_count(logical=False) or allowed, allowed))
    asked = os.environ.get("MKL_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS", "")
    first = asked.partition(",")[0].strip()
    return min(int(first), cores) if first.isdecimal() and int(first) > 0 else cores


def limit_spinning() -> None:
    """Set the rounds in this process's environment, unless the user has; without effect once torch is loaded."""
    if "torch" not in sys.modules and not any(name in os.environ for name in _SETTINGS):
        os.environ["GOMP_SPINCOUNT"] = _SPIN_ROUNDS
