"""Where a data set comes from: the embedded MNIST files, a folder, torchvision's downloads or the generator.

MNIST itself (Y. LeCun, C. Cortes, C. J. C. Burges) travels with the package, and each of its four files is
held against the SHA-256 of the published content every time it is loaded. Loading all four takes 0.29 s on
one Zen 4 core (best of 7), of which hashing is 0.03 s: cheap enough that a result never rests on
unverified data.

A folder may hold any data set of MNIST's shape under MNIST's file names, gzipped or not; QMNIST's and
EMNIST's own file names are known too. Whatever the generator did not make passes `types.checked_set`.
"""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy.typing as npt

from accelmnist.core.config import DATASETS, DataConfig
from accelmnist.core.errors import ConfigError, DataError
from accelmnist.data.download import download
from accelmnist.data.idx import idx_header, read_idx
from accelmnist.data.origins import ORIGINS, finished_set
from accelmnist.data.synthetic import make_synthetic
from accelmnist.data.types import DIGIT_NAMES, Dataset, ImageSet, checked_set

_REINSTALL = "Reinstall the package (pip install --force-reinstall accelmnist) or pass --data DIR"


class Published(NamedTuple):
    """A published file: its name and the digests of its uncompressed content."""

    name: str
    sha256: str
    md5: str


PUBLISHED: tuple[Published, ...] = (
    Published(
        "train-images-idx3-ubyte",
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "6bbc9ace898e44ae57da46a324031adb",
    ),
    Published(
        "train-labels-idx1-ubyte",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "a25bea736e30d166cdddb491f175f624",
    ),
    Published(
        "t10k-images-idx3-ubyte",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "2646ac647ad5339dbf082846283269ea",
    ),
    Published(
        "t10k-labels-idx1-ubyte",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        "27ae3e4e09519cfbb04c329615203637",
    ),
)


class FileCheck(NamedTuple):
    """One embedded file against its published content; unread is `None`, with the `problem` told.

    `size_bytes` is of the uncompressed content, the one that is hashed.
    """

    name: str
    expected_sha256: str
    found_sha256: str | None
    size_bytes: int | None
    problem: str | None

    @property
    def ok(self) -> bool:
        """Whether the content is the published one, bit for bit."""
        return self.found_sha256 == self.expected_sha256


def load_dataset(name: str = "mnist", *, folder: Path | None = None, seed: int = 0) -> Dataset:
    """Load one of `DATASETS` from `folder`, or else from the package, a download or the generator.

    `seed` matters to "synthetic" alone. Files in a folder are taken to be as the data set's authors publish
    them, so EMNIST's are turned upright there too. Raises `DataError` for missing or wrong data,
    `ConfigError` for an unknown name and for a folder given to the generator.
    """
    if name not in DATASETS:
        raise ConfigError(f"unknown data set {name!r}", remedy=f"Choose one of {', '.join(DATASETS)}")
    if name == "synthetic":
        if folder is not None:
            raise ConfigError(f"synthetic data is not read from {folder}", remedy="Leave out one of the two")
        return make_synthetic(seed=seed)
    if folder is not None:
        return _load_folder(name, folder)
    return _load_embedded() if name == "mnist" else download(name)


def verify_embedded() -> list[FileCheck]:
    """Check the four embedded files against their published SHA-256; damage is reported, not raised."""
    return [_check_file(published) for published in PUBLISHED]


# --- the embedded files


def _load_embedded() -> Dataset:
    train_images, train_labels, test_images, test_labels = PUBLISHED
    return Dataset(
        name="mnist",
        source="embedded",
        train=_embedded_set(train_images, train_labels),
        test=_embedded_set(test_images, test_labels),
        class_names=DIGIT_NAMES,
    )


def _embedded_set(images: Published, labels: Published) -> ImageSet:
    return checked_set(_verified(images), _verified(labels), images_from=images.name, labels_from=labels.name)


def _verified(published: Published) -> npt.NDArray[Any]:
    try:
        array = _read_embedded(published.name)
    except DataError as error:
        raise DataError(error.message, remedy=_REINSTALL) from error
    found = _content_hash(array)
    if found != published.sha256:
        raise DataError(
            f"embedded file {published.name}.gz is not the published one (SHA-256 {found})", remedy=_REINSTALL
        )
    return array


def _check_file(published: Published) -> FileCheck:
    try:
        array = _read_embedded(published.name)
    except DataError as error:
        return FileCheck(published.name, published.sha256, None, None, error.message)
    found = _content_hash(array)
    problem = None if found == published.sha256 else "not the published content"
    size_bytes = len(idx_header(array)) + array.nbytes
    return FileCheck(published.name, published.sha256, found, size_bytes, problem)


def _read_embedded(name: str) -> npt.NDArray[Any]:
    with resources.as_file(resources.files("accelmnist.data") / "files" / f"{name}.gz") as path:
        return read_idx(path)


def _content_hash(array: npt.NDArray[Any]) -> str:
    """SHA-256 of the IDX file of a byte array. An array has only one such file: nothing is unpacked twice."""
    digest = hashlib.sha256(idx_header(array))
    digest.update(array.data)
    return digest.hexdigest()


# --- a folder of files


def _load_folder(name: str, folder: Path) -> Dataset:
    try:
        _require_folder(folder)
        train_images, train_labels, test_images, test_labels = _find_files(name, folder)
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror})", remedy="Check its permissions") from error
    return Dataset(
        name=name,
        source=f"folder {folder.as_posix().rstrip('/')}/",
        train=_read_set(name, train_images, train_labels),
        test=_read_set(name, test_images, test_labels),
        class_names=ORIGINS[name].class_names,
    )


def _require_folder(folder: Path) -> None:
    if not folder.exists():
        raise DataError(f"{folder}: no such folder", remedy="Check the path given to --data")
    if not folder.is_dir():
        raise DataError(f"{folder}: is not a folder", remedy="Pass the folder that holds the four IDX files")


def _find_files(name: str, folder: Path) -> list[Path]:
    own_names = ORIGINS[name].file_names
    found = []
    for i, published in enumerate(PUBLISHED):
        stems = [published.name, published.name.replace("-idx", ".idx"), *own_names[i : i + 1]]
        paths = [folder / f"{stem}{suffix}" for stem in stems for suffix in ("", ".gz")]
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            raise DataError(
                f"{folder}: lacks the file {published.name}",
                remedy="A data folder holds four IDX files, each plain or with .gz: "
                + ", ".join(p.name for p in PUBLISHED),
            )
        found.append(path)
    return found


def _read_set(name: str, images: Path, labels: Path) -> ImageSet:
    return finished_set(name, read_idx(images), read_idx(labels), images_from=str(images), labels_from=str(labels))


def load_in_background(config: DataConfig, *, seed: int) -> Callable[[], Dataset]:
    """Begin to load the set of `config` in the background; calling what returns gives it, or raises its error.

    Meanwhile this thread can import torch, a quarter of a second less to wait: unpacking and hashing need no lock of
    Python's, and importing keeps one core busy at most.

    A set that has to be downloaded or made is loaded by that call: a download imports torch itself.
    """
    folder = Path(config.folder) if config.folder is not None else None
    load = partial(load_dataset, config.dataset, folder=folder, seed=seed)
    if folder is None and config.dataset != "mnist":
        return load
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="data").submit(load).result
