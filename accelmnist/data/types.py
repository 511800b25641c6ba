"""A data set as it is in memory, the checks that every file and download passes on its way there, and its upload.

Images are uint8, shape (n, 784): 28 rows of 28 pixels, row by row from the top left, 0 for the background. Labels are
int64, shape (n,), in 0 to 9, the type that torch's losses take. Both stay raw, on the device too, where there is one
copy, uploaded once: bytes are a quarter of the float32 size (47 MB for the training set) and a gather of them costs a
quarter of the traffic. A batch is an index into it, and a step scales its batch itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from accelmnist.core.config import CLASSES, IMAGE_SIDE, INPUTS
from accelmnist.core.errors import DataError
from accelmnist.device import Device, memory_errors

if TYPE_CHECKING:
    from torch import Tensor

DIGIT_NAMES = tuple(str(digit) for digit in range(CLASSES))


@dataclass(frozen=True, eq=False)
class ImageSet:
    """One split: images uint8 (n, 784) and labels int64 (n,), both on the host.

    Sets are compared by identity: a comparison of two arrays has no single truth value.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, indices: npt.NDArray[np.int64]) -> ImageSet:
        """A copy of the images and labels at `indices`."""
        return ImageSet(images=self.images[indices], labels=self.labels[indices])


@dataclass(frozen=True, eq=False)
class Dataset:
    """A training and a test split, with the name of each of the ten classes.

    `source` is one printable phrase, the origin of the data, for the record and the console; `files` are the four that
    were read, in MNIST's order, but for the embedded ones.
    """

    name: str
    source: str
    train: ImageSet
    test: ImageSet
    class_names: tuple[str, ...]
    files: tuple[Path, ...] = ()


@dataclass(frozen=True)
class DeviceSet:
    """Images (n, 784) uint8 and labels (n,) int64 on one device."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


def upload(images: ImageSet, device: Device) -> DeviceSet:
    """Copy a host set to `device`; raises DeviceError when it doesn't fit. On the CPU they share the host's memory."""
    import torch

    with memory_errors(device, "Free memory there, or choose another device"):
        return DeviceSet(
            images=torch.from_numpy(images.images).to(device.torch_device),
            labels=torch.from_numpy(images.labels).to(device.torch_device),
        )


# --- checks


def checked_set(images: npt.NDArray[Any], labels: npt.NDArray[Any], *, images_from: str, labels_from: str) -> ImageSet:
    """An `ImageSet` of images (n, 28, 28) and labels (n,), both uint8.

    Raises DataError, which names the file, if the two cannot be a split of ten classes.
    """
    _check_images(images, images_from)
    _check_labels(labels, labels_from)
    if len(images) != len(labels):
        raise DataError(
            f"{labels_from}: {len(labels)} labels for the {len(images)} images of {images_from}",
            remedy="Take both files from the same split of the same data set",
        )
    flat = np.ascontiguousarray(images).reshape(len(images), INPUTS)
    return ImageSet(images=flat, labels=labels.astype(np.int64))


def _check_images(images: npt.NDArray[Any], source: str) -> None:
    remedy = f"Pass grey images of {IMAGE_SIDE}x{IMAGE_SIDE} pixels, one byte a pixel"
    # Before the size: an empty file often has no meaningful rows and columns either.
    _check_array(images, f"{source}: images need", "3 dimensions", 3, remedy, empty=f"{source}: no images inside")
    if images.shape[1:] != (IMAGE_SIDE, IMAGE_SIDE):
        rows, columns = images.shape[1:]
        raise DataError(f"{source}: images are {rows}x{columns} pixels, not {IMAGE_SIDE}x{IMAGE_SIDE}", remedy=remedy)


def _check_labels(labels: npt.NDArray[Any], source: str) -> None:
    remedy = f"Pass one byte a label, with the classes 0 to {CLASSES - 1}"
    _check_array(labels, f"{source}: labels need", "1 dimension", 1, remedy, empty=f"{source}: no labels inside")
    if labels.max() >= CLASSES:
        at = int(np.argmax(labels >= CLASSES))
        raise DataError(f"{source}: label {labels[at]} at index {at} is above {CLASSES - 1}", remedy=remedy)


def _check_array(array: npt.NDArray[Any], need: str, dimensions: str, ndim: int, remedy: str, *, empty: str) -> None:
    if array.ndim != ndim:
        raise DataError(f"{need} {dimensions}, found {array.ndim}", remedy=remedy)
    if array.dtype != np.uint8:
        raise DataError(f"{need} elements of type uint8, found {array.dtype}", remedy=remedy)
    if len(array) == 0:
        raise DataError(empty, remedy="Fetch the file again")
