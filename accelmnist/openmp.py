"""How long OpenMP's threads wait for each other awake, set before torch loads the library that reads it.

torch's CPU kernels run on OpenMP threads that meet at the end of every operation, some fifteen times in a step of a
millisecond. GNU's libgomp lets a thread that waits spin for 300,000 rounds, about a millisecond, before it sleeps. On
processors that are shared, with another program or another virtual machine, the one that waits then takes the time of
the one that works: a hundred steps of the default network took 0.3 s or 14 s on two virtual cores, as luck had it. At
2,000 rounds they took 0.3 to 0.8 s; with no spinning at all 0.4 to 1.0 s, since a thread must then be woken every time.

Source: libgomp's manual, GOMP_SPINCOUNT. Other OpenMP libraries ignore it, and a setting of the user's stands.
"""

from __future__ import annotations

import os
import sys

_SPIN_ROUNDS = "2000"
_SETTINGS = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def limit_spinning() -> None:
    """Set the rounds in this process's environment, unless the user has; without effect once torch is loaded."""
    if "torch" not in sys.modules and not any(name in os.environ for name in _SETTINGS):
        os.environ["GOMP_SPINCOUNT"] = _SPIN_ROUNDS
