"""The data sets that do not travel with the package: downloaded and kept by torchvision, which knows their mirrors.

torchvision verifies the MD5 of what it downloads. It also draws progress bars, waits for ever on a dead connection and
fails in a dozen ways; here it is kept quiet, given a time limit, and every failure becomes one `DataError`.
"""

import contextlib
import io
import socket
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy.typing as npt

from accelmnist.core.errors import DataError
from accelmnist.core.files import cache_folder
from accelmnist.data.origins import ORIGINS, finished_set, narrowed
from accelmnist.data.types import Dataset

_NETWORK_TIMEOUT_S = 20.0  # of one wait for the network, not of a whole download


def download(name: str) -> Dataset:
    """Load a data set through torchvision, which downloads it into `cache_folder` the first time.

    Raises `DataError` where that fails, whatever the reason, and where the data is wrong.
    """
    origin, cache = ORIGINS[name], cache_folder()
    try:
        with _quiet_and_impatient():
            arrays = [_torchvision_split(origin.loader, cache, split) for split in (origin.train, origin.test)]
    # Anything: the network, the disk, a damaged archive (assertions, zlib and zipfile errors) and an
    # installation of torchvision that does not match torch all end here, and to the user they are the same.
    except Exception as error:
        cause = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
        raise DataError(
            f"cannot get {name} into {cache} ({cause[:200]})",
            remedy="Check the network, or delete that folder if a download broke off; "
            "or fetch the four files elsewhere and pass --data DIR",
        ) from error
    train, test = (
        finished_set(name, *pair, images_from=f"{name}: {split} images", labels_from=f"{name}: {split} labels")
        for pair, split in zip(arrays, ("train", "test"), strict=True)
    )
    return Dataset(name, "torchvision", train, test, origin.class_names)


def _torchvision_split(
    loader: str, cache: Path, arguments: dict[str, object]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    from torchvision import datasets  # here: it takes a second, and imports torch

    split = getattr(datasets, loader)(root=str(cache), download=True, **arguments)
    return split.data.numpy(), narrowed(split.targets.numpy())  # torchvision widens the labels to int64


@contextlib.contextmanager
def _quiet_and_impatient() -> Iterator[None]:
    """Swallow progress bars, prints and warnings; set the time limit that urllib lacks, or a lost link hangs."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_NETWORK_TIMEOUT_S)
    sink = io.StringIO()
    try:
        with contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        socket.setdefaulttimeout(before)
