"""A data set that is read in the background, while this thread imports torch: a quarter of a second less to wait.

Unpacking and hashing need no lock of Python's, and importing keeps one core busy at most.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from accelmnist.config import DataConfig
from accelmnist.data.mnist import load_dataset
from accelmnist.data.types import Dataset


def begin_loading(config: DataConfig, *, seed: int) -> Callable[[], Dataset]:
    """Begin to load the set of `config`; calling what returns gives it, or raises what loading raised.

    A set that has to be downloaded or made is loaded by that call: a download imports torch itself.
    """
    folder = Path(config.folder) if config.folder is not None else None
    load = partial(load_dataset, config.dataset, folder=folder, seed=seed)
    if folder is None and config.dataset != "mnist":
        return load
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="data").submit(load).result
