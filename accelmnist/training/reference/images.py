"""The images and labels of a run, as they lie on its device, held against the bytes of their files.

The files are read anew by the witness. Of the embedded MNIST the images' digest is known, as LeCun, Cortes and Burges
published them, which spares unpacking them: 40 ms instead of 0.3 s. The split into training and validation images is
made once more: of every class in its turn, `choice` of its indexes without replacement from stream 3 of the seed, as
many as largest remainders give. So no image can be in two sets, in another's place, or under another's label.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from accelmnist.core.records import Check, DataSummary
from accelmnist.training.reference.witness import generator, read_file

if TYPE_CHECKING:
    from accelmnist.data.types import ImageSet

Indexes = NDArray[np.int64]

# The SHA-256 of the whole unpacked files.
_EMBEDDED = {
    "train": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "t10k": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
}
_KINDS = ("images-idx3", "labels-idx1")
_PROBE_IMAGES = 5000  # of the first training images, where none is held out
_SPLIT = 3  # the stream of random numbers


class Source:
    """Where the images came from: the package, four files, or `made` once more, as training and test images."""

    def __init__(self, dataset: str, files: Sequence[Path] = (), made: tuple[ImageSet, ImageSet] | None = None) -> None:
        self.dataset, self.made, self.is_embedded = dataset, made, not files and made is None
        folder = Path(str(resources.files("accelmnist.data"))) / "files"
        self._files = files or [folder / f"{part}-{kind}-ubyte.gz" for part in _EMBEDDED for kind in _KINDS]

    def labels(self, split: int) -> Indexes:
        """The labels of the training (0) or the test (1) images."""
        if self.made is not None:
            return self.made[split].labels
        labels = read_file(self._files[2 * split + 1])
        # Of QMNIST's eight columns the first one is the class.
        return (labels if labels.ndim == 1 else labels[:, 0]).astype(np.int64)

    def images(self, split: int) -> NDArray[np.uint8]:
        """The images of a split."""
        if self.made is not None:
            return self.made[split].images
        images = read_file(self._files[2 * split])
        # EMNIST's are stored column by column.
        upright = images.transpose(0, 2, 1) if self.dataset.startswith("emnist") else images
        return upright.reshape(len(images), -1).astype(np.uint8, copy=False)

    def faults(self, found: ImageSet, split: int, chosen: Indexes | None, *, name: str) -> Iterator[str]:
        """What of `found` is not what the source holds at the indexes `chosen`, or of None in all of the split."""
        if not self.is_embedded or chosen is not None or _digest(found.images) != [*_EMBEDDED.values()][split]:
            images = self.images(split)
            yield from _unlike(found.images, images if chosen is None else images[chosen], name=f"{name} images")
        labels = self.labels(split)
        yield from _unlike(found.labels, labels if chosen is None else labels[chosen], name=f"{name} labels")

    def copies(self) -> int:
        """The number of test images which are among the training images: MNIST as it is published has none."""
        if self.is_embedded:
            return 0
        known = {image.tobytes() for image in self.images(0)}
        return sum(image.tobytes() in known for image in self.images(1))


def _digest(images: NDArray[np.uint8]) -> str:
    header = bytes([0, 0, 8, 3]) + np.array([len(images), 28, 28], dtype=">u4").tobytes()
    digest = hashlib.sha256(header)
    digest.update(np.ascontiguousarray(images).data)
    return digest.hexdigest()


def _unlike(found: NDArray[np.generic], expected: NDArray[np.generic], *, name: str) -> Iterator[str]:
    if found.shape != expected.shape:
        yield f"{len(found):,} {name} and not {len(expected):,}"
    elif count := int((found != expected).reshape(len(found), -1).any(axis=1).sum()):
        yield f"{count:,} {name} are others"


def split_indexes(labels: Indexes, held_out: int, *, seed: int) -> tuple[Indexes, Indexes]:
    """The indexes to train on and those to validate on, both ascending, by the specification above."""
    rng, counts = generator(seed, _SPLIT), np.bincount(labels)
    present = np.flatnonzero(counts)
    exact = counts[present] * (held_out / len(labels))
    shares = np.floor(exact).astype(np.int64)
    largest = sorted(range(len(present)), key=lambda place: (shares[place] - exact[place], place))
    for place in largest[: held_out - int(shares.sum())]:
        shares[place] += 1
    is_held_out = np.zeros(len(labels), dtype=bool)
    for label, share in zip(present, shares, strict=True):
        is_held_out[rng.choice(np.flatnonzero(labels == label), share, replace=False)] = True
    return np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)


def check_images(
    source: Source, training: ImageSet, probe: ImageSet, test: ImageSet, summary: DataSummary, *, seed: int
) -> list[Check]:
    """Hold the images and labels that a run used, and what it says of their number, against their `source`.

    `training` is what lies on the device in the end, `probe` what gives the accuracy by epoch.
    """
    held_out, kept = summary.validation_images, None
    if held_out:
        kept, chosen = split_indexes(source.labels(0), held_out, seed=seed)
        probed = [*source.faults(probe, 0, chosen, name="validation")]
    else:  # the first of the training images, which are known by now
        first = slice(min(_PROBE_IMAGES, len(training)))
        probed = [*_unlike(probe.images, training.images[first], name="images")]
        probed += _unlike(probe.labels, training.labels[first], name="labels")
    trained = [*source.faults(training, 0, kept, name="training")]
    tested = [*source.faults(test, 1, None, name="test")]
    if (said := (summary.training_images, summary.test_images)) != (len(training), len(test)):
        tested.append(f"{len(training):,} and {len(test):,} images, not {said[0]:,} and {said[1]:,}")
    if (copies := source.copies()) != summary.test_in_training:
        tested.append(f"{copies:,} are among the training images, and not {summary.test_in_training:,}")
    return [
        _images_check("training images", trained, "changed, missing or in another's place"),
        _images_check("validation images" if held_out else "probe images", probed, "in another set, or mixed up"),
        _images_check("test images", tested, "changed, missing, or among the training images"),
    ]


def _images_check(name: str, faults: Sequence[str], finds: str) -> Check:
    reason = "byte by byte, in their order, those of the files, which are read anew; the split is made anew"
    return Check.without(name, faults, group="images", finds=finds, reason=reason)
