"""How each data set is published, downloaded by torchvision, and made to look like MNIST.

The rest of the layer knows one shape of data; what is peculiar to a data set stands in its `Origin`. Sources:
Fashion-MNIST (Xiao, Rasul, Vollgraf 2017), Kuzushiji-MNIST (Clanuwat and others 2018), QMNIST (Yadav, Bottou 2019),
EMNIST (Cohen, Afshar, Tapson, van Schaik 2017).
"""

from __future__ import annotations

import contextlib
import io
import socket
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from accelmnist.core.errors import DataError, require_packages
from accelmnist.core.files import cache_folder
from accelmnist.data.types import DIGIT_NAMES, Dataset, ImageSet, checked_set

_NETWORK_TIMEOUT_S = 20.0  # of one wait for the network, not of a whole download


@dataclass(frozen=True)
class Origin:
    """How one data set is published: torchvision's class, how to ask for a split, and its peculiarities."""

    loader: str
    class_names: tuple[str, ...] = DIGIT_NAMES
    train: dict[str, object] = field(default_factory=lambda: {"train": True})
    test: dict[str, object] = field(default_factory=lambda: {"train": False})
    file_names: tuple[str, ...] = ()  # the four, in the order of MNIST's, if the authors chose others
    transposed: bool = False


_FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
_KUZUSHIJI = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")

ORIGINS: dict[str, Origin] = {
    "mnist": Origin("MNIST"),
    "fashion-mnist": Origin("FashionMNIST", class_names=_FASHION),
    "kmnist": Origin("KMNIST", class_names=_KUZUSHIJI),
    # The whole test set of 60,000, not "test10k": its first 10,000 are MNIST's own test digits, and with those alone
    # QMNIST would be MNIST over again. The other 50,000 make the standard error of an accuracy 2.4 times smaller.
    "qmnist": Origin(
        "QMNIST",
        train={"what": "train"},
        test={"what": "test"},
        file_names=(
            "qmnist-train-images-idx3-ubyte",
            "qmnist-train-labels-idx2-int",
            "qmnist-test-images-idx3-ubyte",
            "qmnist-test-labels-idx2-int",
        ),
    ),
    # EMNIST stores its images column by column: each arrives as its own transpose.
    "emnist-digits": Origin(
        "EMNIST",
        train={"split": "digits", "train": True},
        test={"split": "digits", "train": False},
        file_names=(
            "emnist-digits-train-images-idx3-ubyte",
            "emnist-digits-train-labels-idx1-ubyte",
            "emnist-digits-test-images-idx3-ubyte",
            "emnist-digits-test-labels-idx1-ubyte",
        ),
        transposed=True,
    ),
}


def finished_set(
    name: str, images: npt.NDArray[Any], labels: npt.NDArray[Any], *, images_from: str, labels_from: str
) -> ImageSet:
    """An image set from the arrays as they are published, its peculiarities undone; raises as `checked_set` does."""
    if ORIGINS[name].transposed and images.ndim == 3:
        images = images.transpose(0, 2, 1)
    if name == "qmnist" and labels.ndim == 2 and labels.shape[1] > 0:
        # Eight columns: the class, then the writer and the position in NIST's files.
        labels = narrowed(labels[:, 0])
    return checked_set(images, labels, images_from=images_from, labels_from=labels_from)


def narrowed(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Integer labels as bytes if that loses nothing; else as they are, for the checks to refuse."""
    if labels.dtype.kind not in "iu" or not np.array_equal(labels, labels.astype(np.uint8)):
        return labels
    return labels.astype(np.uint8)


def download(name: str) -> Dataset:
    """Load a data set through torchvision, which downloads it into `cache_folder` the first time.

    torchvision knows the mirrors and verifies the MD5 of what it downloads. It also draws progress bars, waits for ever
    on a dead connection and fails in a dozen ways; here it is kept quiet, given a time limit, and every failure, or
    wrong data, becomes one DataError.
    """
    require_packages(f"--dataset {name}", "datasets", torchvision="torchvision")
    origin, cache = ORIGINS[name], cache_folder()
    try:
        with _quiet_and_impatient():
            arrays = [_torchvision_split(origin.loader, cache, split) for split in (origin.train, origin.test)]
    # Anything: the network, the disk, a damaged archive (assertions, zlib and zipfile errors) and an installation of
    # torchvision that does not match torch all end here, and to the user they are the same.
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
