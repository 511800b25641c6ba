"""Where a data set comes from: the embedded MNIST files, a folder, torchvision's downloads or the generator.

MNIST itself (Y. LeCun, C. Cortes, C. J. C. Burges) travels with the package, and each of its four files is held against
the SHA-256 of the published content every time it is loaded. Loading all four takes 0.29 s on one Zen 4 core (best of
7), of which hashing is 0.03 s: cheap enough that a result never rests on unverified data. Unpacking and hashing need no
lock of Python's, so they can go on while another thread imports torch: `load_in_background`.

A folder may hold any data set of MNIST's shape under MNIST's file names, gzipped or not; QMNIST's and EMNIST's own file
names are known too, and where torchvision keeps its files below a folder. All that the generator did not make passes
`types.checked_set`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy.typing as npt

from accelmnist.core.config import DATASETS, DataConfig
from accelmnist.core.errors import ConfigError, DataError
from accelmnist.core.files import cache_folder
from accelmnist.data.idx import idx_header, read_idx
from accelmnist.data.origins import ORIGINS, download, finished_set
from accelmnist.data.synthetic import make_synthetic
from accelmnist.data.types import DIGIT_NAMES, Dataset, ImageSet, checked_set

_REINSTALL = "Reinstall the package (pip install --force-reinstall accelmnist) or pass --data DIR"


class Published(NamedTuple):
    """A published file: its name and the digest of its uncompressed content."""

    name: str
    sha256: str


TRAIN_IMAGES = Published("train-images-idx3-ubyte", "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db")
TRAIN_LABELS = Published("train-labels-idx1-ubyte", "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5")
TEST_IMAGES = Published("t10k-images-idx3-ubyte", "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7")
TEST_LABELS = Published("t10k-labels-idx1-ubyte", "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2")
PUBLISHED = (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)


@dataclass(frozen=True, kw_only=True)
class FileCheck:
    """One embedded file; `sha256` is of its uncompressed content, None if that can't be read."""

    name: str
    intact: bool
    sha256: str | None
    problem: str | None


def load_dataset(name: str = "mnist", *, folder: Path | None = None, seed: int = 0) -> Dataset:
    """Load one of `DATASETS` from `folder`, or else from the package, a download or the generator.

    `seed` matters to "synthetic" alone. Files in a folder are taken to be as the data set's authors publish them, so
    EMNIST's are turned upright there too. Raises DataError for missing or wrong data, ConfigError for an unknown name
    and for a folder given to the generator.
    """
    if name not in DATASETS:
        raise ConfigError(f"unknown data set {name!r}", remedy=f"Choose one of {', '.join(DATASETS)}")
    if name == "synthetic":
        if folder is not None:
            raise ConfigError(f"synthetic data is not read from {folder}", remedy="Leave out one of the two")
        return make_synthetic(seed=seed)
    if folder is not None:
        return _load_folder(name, folder)
    return _load_embedded() if name == "mnist" else _downloaded(name)


def load_in_background(config: DataConfig, *, seed: int) -> Callable[[], Dataset]:
    """A function that returns the data set of `config`, or raises its error; loading begins at once, in a thread.

    While that goes on, the caller's thread can import torch, which keeps one core busy at most: a quarter of a second
    less to wait. A set that has to be downloaded or made is loaded by the returned call, since a download imports
    torch itself.
    """
    folder = Path(config.folder) if config.folder is not None else None
    load = partial(load_dataset, config.dataset, folder=folder, seed=seed)
    if folder is None and config.dataset != "mnist":
        return load
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="data").submit(load).result


def verify_embedded() -> tuple[FileCheck, ...]:
    """The four embedded files against their published SHA-256; damage is reported, not raised."""
    return tuple(_check_file(published) for published in PUBLISHED)


# --- the embedded files


def _load_embedded() -> Dataset:
    return Dataset(
        name="mnist",
        source="embedded",
        train=_embedded_set(TRAIN_IMAGES, TRAIN_LABELS),
        test=_embedded_set(TEST_IMAGES, TEST_LABELS),
        class_names=DIGIT_NAMES,
    )


def _embedded_set(images: Published, labels: Published) -> ImageSet:
    return checked_set(_verified(images), _verified(labels), images_from=images.name, labels_from=labels.name)


def _verified(published: Published) -> npt.NDArray[Any]:
    try:
        array, sha256 = _read_embedded(published.name)
    except DataError as error:
        raise DataError(error.message, remedy=_REINSTALL) from error
    if sha256 != published.sha256:
        raise DataError(
            f"embedded file {published.name}.gz is not the published one (SHA-256 {sha256})", remedy=_REINSTALL
        )
    return array


def _check_file(published: Published) -> FileCheck:
    try:
        _, sha256 = _read_embedded(published.name)
    except DataError as error:
        return FileCheck(name=published.name, intact=False, sha256=None, problem=error.message)
    problem = None if sha256 == published.sha256 else "not the published content"
    return FileCheck(name=published.name, intact=problem is None, sha256=sha256, problem=problem)


def _read_embedded(name: str) -> tuple[npt.NDArray[Any], str]:
    """The array in an embedded file, and the SHA-256 of the unpacked file.

    A byte array has only one IDX file, so that nothing is unpacked twice.
    """
    with resources.as_file(resources.files("accelmnist.data") / "files" / f"{name}.gz") as path:
        array = read_idx(path)
    digest = hashlib.sha256(idx_header(array))
    digest.update(array.data)
    return array, digest.hexdigest()


# --- a folder of files


def _load_folder(name: str, folder: Path) -> Dataset:
    try:
        train_images, train_labels, test_images, test_labels = _find_files(name, folder)
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror})", remedy="Check its permissions") from error
    return Dataset(
        name=name,
        source=f"folder {train_images.parent.as_posix().rstrip('/')}/",
        train=_read_set(name, train_images, train_labels),
        test=_read_set(name, test_images, test_labels),
        class_names=ORIGINS[name].class_names,
        files=(train_images, train_labels, test_images, test_labels),
    )


def _downloaded(name: str) -> Dataset:
    dataset = download(name)
    return replace(dataset, files=_files_of(name, cache_folder()) or ())


def _find_files(name: str, folder: Path) -> tuple[Path, ...]:
    """The four files of the data set `name`; raises DataError, which names the data set that is there instead."""
    if not folder.exists():
        raise DataError(f"{folder}: no such folder", remedy="Check the path given to --data")
    if not folder.is_dir():
        raise DataError(f"{folder}: is not a folder", remedy="Pass the folder that holds the four IDX files")
    if (files := _files_of(name, folder)) is not None:
        return files
    own = ORIGINS[name].file_names or tuple(published.name for published in PUBLISHED)
    missing = next((stem for stem in own if _file(folder, stem) is None), own[0])
    others = [other for other in ORIGINS if other != name and _files_of(other, folder)]
    raise DataError(
        f"{folder}: lacks the file {missing}",
        remedy=f"It holds the files of {others[0]}: add --dataset {others[0]}"
        if others
        else f"A data folder holds four IDX files, each plain or with .gz: {', '.join(own)}",
    )


def _files_of(name: str, folder: Path) -> tuple[Path, ...] | None:
    """The four files in `folder`, or where torchvision keeps them below it; under MNIST's names or their own."""
    origin = ORIGINS[name]
    for place in (folder, folder / "raw", folder / origin.loader / "raw"):
        stems = zip((published.name for published in PUBLISHED), origin.file_names or (None,) * 4, strict=True)
        files = [_file(place, published) or (_file(place, own) if own else None) for published, own in stems]
        if len(found := tuple(file for file in files if file is not None)) == len(PUBLISHED):
            return found
    return None


def _file(folder: Path, stem: str) -> Path | None:
    """The file of this name, plain or compressed, also as some unpackers write it."""
    names = (f"{name}{suffix}" for name in (stem, stem.replace("-idx", ".idx")) for suffix in ("", ".gz"))
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _read_set(name: str, images: Path, labels: Path) -> ImageSet:
    return finished_set(name, read_idx(images), read_idx(labels), images_from=str(images), labels_from=str(labels))
