"""The process of a peer: `python -m bench.peers.serve jax`. A benchmark starts it by `accelmnist bench --beside jax`.

Most libraries read their settings once, when they are loaded; one that is set already stays. Some count the processors
that they may use and read no setting, so the process binds itself to as many as it is given threads.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

from accelmnist.device.loading import prepare_for_torch
from accelmnist.measure.beside.serving import serve, take_output
from bench.peers.contract import Contender
from bench.peers.worker import PeerWorker

SETTINGS = {
    "JAX_PLATFORMS": "cpu",
    "KERAS_BACKEND": "jax",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "",
    "DEV": "CPU",  # tinygrad's
    "PARALLEL": "0",  # tinygrad's: no processes of its own, which only a search for kernels needs
}


def load_contender(name: str) -> type[Contender]:
    """The contender's class; loads its library."""
    for setting, value in SETTINGS.items():
        os.environ.setdefault(setting, value)
    prepare_for_torch()
    kind: type[Contender] = import_module(f"bench.peers.contenders.{name.replace('-', '_')}").CONTENDER
    return kind


def bind() -> int | None:
    """Bind this process to as many processors as it is given threads, where the system can; returns the threads."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if not asked.isdecimal() or not hasattr(os, "sched_setaffinity"):
        return int(asked) if asked.isdecimal() else None
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(asked)])
    return int(asked)


def main() -> None:
    """Load, greet, serve."""
    answers, name = take_output(), sys.argv[1]
    threads = bind()
    try:
        kind = load_contender(name)
    except ModuleNotFoundError as error:
        sys.exit(f"{error.name} is not installed: pip install '.[peers]'")
    serve(PeerWorker(kind, threads=threads), answers)


if __name__ == "__main__":
    main()
