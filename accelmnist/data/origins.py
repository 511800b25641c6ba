"""How each data set is published, and what has to be undone to make it look like MNIST.

The rest of the layer knows one shape of data; what is peculiar to a data set stands in its `Origin`. Sources:
Fashion-MNIST (Xiao, Rasul, Vollgraf 2017), Kuzushiji-MNIST (Clanuwat and others 2018), QMNIST (Yadav, Bottou 2019),
EMNIST (Cohen, Afshar, Tapson, van Schaik 2017).
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from accelmnist.data.types import DIGIT_NAMES, ImageSet, checked_set


@dataclass(frozen=True)
class Origin:
    """How one data set is published: torchvision's class, how to ask for a split, and its peculiarities."""

    loader: str
    class_names: tuple[str, ...] = DIGIT_NAMES
    train: dict[str, object] = field(default_factory=lambda: {"train": True})
    test: dict[str, object] = field(default_factory=lambda: {"train": False})
    file_names: tuple[str, ...] = ()  # the four, in the order of MNIST's, where the authors chose others
    transposed: bool = False


_FASHION = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_KUZUSHIJI = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")

ORIGINS: dict[str, Origin] = {
    "mnist": Origin("MNIST"),
    "fashion-mnist": Origin("FashionMNIST", class_names=_FASHION),
    "kmnist": Origin("KMNIST", class_names=_KUZUSHIJI),
    # The whole test set of 60,000, not "test10k": its first 10,000 are MNIST's own test digits, and with
    # those alone QMNIST would be MNIST over again. The other 50,000 make the standard error of an accuracy
    # 2.4 times smaller.
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
    """Undo the peculiarities of one data set, of which these are the arrays as published, and check the result.

    Raises `DataError`, see `types.checked_set`.
    """
    if ORIGINS[name].transposed and images.ndim == 3:
        images = images.transpose(0, 2, 1)
    if name == "qmnist" and labels.ndim == 2 and labels.shape[1] > 0:
        # Eight columns: the class, then the writer and the place in NIST's files.
        labels = narrowed(labels[:, 0])
    return checked_set(images, labels, images_from=images_from, labels_from=labels_from)


def narrowed(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Integer labels as bytes where that loses nothing; else as they are, for the checks to refuse."""
    if labels.dtype.kind not in "iu" or not np.array_equal(labels, labels.astype(np.uint8)):
        return labels
    return labels.astype(np.uint8)
