"""The sources: the embedded files against their published digests, folders good and bad, downloads that fail."""

import gzip
import hashlib
import shutil
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from http.client import IncompleteRead
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

import numpy as np
import numpy.typing as npt
import pytest

from accelmnist.core.config import DATASETS, DataConfig, DatasetName
from accelmnist.core.errors import ConfigError, DataError
from accelmnist.core.files import cache_folder
from accelmnist.data import mnist
from accelmnist.data.idx import write_idx
from accelmnist.data.mnist import PUBLISHED, load_dataset, load_in_background, verify_embedded
from accelmnist.data.origins import ORIGINS
from accelmnist.data.types import Dataset

EMBEDDED = Path(mnist.__file__).parent / "files"
NAMES = tuple(published.name for published in PUBLISHED)
TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = NAMES

Array = npt.NDArray[Any]


@pytest.fixture(scope="module")
def embedded() -> Dataset:
    return load_dataset()


def digits(count: int = 12) -> tuple[Array, Array]:
    rng = np.random.default_rng(count)
    return rng.integers(256, size=(count, 28, 28), dtype=np.uint8), (np.arange(count) % 10).astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A good folder: 12 training and 5 test images."""
    path = tmp_path / "digits"
    path.mkdir()
    for name, array in zip(NAMES, (*digits(12), *digits(5)), strict=True):
        write_idx(path / name, array)
    return path


def failure(load: Callable[[], object]) -> DataError:
    with pytest.raises(DataError) as caught:
        load()
    assert caught.value.remedy
    assert "\n" not in str(caught.value)
    return caught.value


# --- the embedded files


@pytest.mark.parametrize(
    ("published", "md5", "size_bytes"),
    [
        (mnist.TRAIN_IMAGES, "6bbc9ace898e44ae57da46a324031adb", 47_040_016),
        (mnist.TRAIN_LABELS, "a25bea736e30d166cdddb491f175f624", 60_008),
        (mnist.TEST_IMAGES, "2646ac647ad5339dbf082846283269ea", 7_840_016),
        (mnist.TEST_LABELS, "27ae3e4e09519cfbb04c329615203637", 10_008),
    ],
)
def test_embedded_files_are_the_published_ones(published: mnist.Published, md5: str, size_bytes: int) -> None:
    """MD5 as torchvision knows it: a second witness beside the SHA-256."""
    content = gzip.decompress((EMBEDDED / f"{published.name}.gz").read_bytes())
    assert hashlib.sha256(content).hexdigest() == published.sha256
    assert hashlib.md5(content, usedforsecurity=False).hexdigest() == md5
    assert len(content) == size_bytes


def test_embedded_mnist(embedded: Dataset) -> None:
    assert (embedded.name, embedded.source) == ("mnist", "embedded")
    assert embedded.class_names == tuple("0123456789")
    for split, count in ((embedded.train, 60_000), (embedded.test, 10_000)):
        assert len(split) == count
        assert split.images.shape == (count, 784)
        assert split.images.dtype == np.uint8
        assert split.images.flags.c_contiguous
        assert split.labels.shape == (count,)
        assert split.labels.dtype == np.int64


def test_known_facts(embedded: Dataset) -> None:
    nonzero = embedded.train.images > 0
    assert float(nonzero.mean()) == pytest.approx(0.1912, abs=5e-5)
    assert int((~nonzero.any(axis=0)).sum()) == 67
    assert embedded.train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert embedded.test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert np.bincount(embedded.train.labels).tolist() == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949,
    ]  # fmt: skip


def test_verify_embedded() -> None:
    checks = verify_embedded()
    assert [check.name for check in checks] == list(NAMES)
    assert [check.sha256 for check in checks] == [published.sha256 for published in PUBLISHED]
    assert all(check.intact and check.problem is None for check in checks)


def read_from(monkeypatch: pytest.MonkeyPatch, package: Path) -> None:
    """Let the package look for its files below another folder."""
    monkeypatch.setattr(resources, "files", lambda _: package)


def test_damaged_embedded_files_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "files").mkdir()
    for name in NAMES[1:]:
        shutil.copy(EMBEDDED / f"{name}.gz", tmp_path / "files")
    write_idx(tmp_path / "files" / f"{TRAIN_LABELS}.gz", np.zeros(60_000, dtype=np.uint8))
    read_from(monkeypatch, tmp_path)
    images, labels, *others = verify_embedded()
    assert (images.intact, images.sha256) == (False, None)
    assert images.problem == f"{tmp_path / 'files' / TRAIN_IMAGES}.gz: no such file"
    assert (labels.intact, labels.problem) == (False, "not the published content")
    assert labels.sha256 == hashlib.sha256(b"\0\0\x08\x01\0\0\xea\x60" + bytes(60_000)).hexdigest()
    assert all(check.intact for check in others)
    error = failure(load_dataset)
    assert error.message.endswith(f"{TRAIN_IMAGES}.gz: no such file")
    assert "Reinstall the package" in error.remedy


def test_loading_refuses_a_changed_embedded_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "files").mkdir()
    images, labels = digits()
    write_idx(tmp_path / "files" / f"{TRAIN_IMAGES}.gz", images)
    write_idx(tmp_path / "files" / f"{TRAIN_LABELS}.gz", labels)
    read_from(monkeypatch, tmp_path)
    error = failure(load_dataset)
    assert error.message.startswith(f"embedded file {TRAIN_IMAGES}.gz is not the published one (SHA-256 ")
    assert "Reinstall the package" in error.remedy


def test_reading_data_imports_no_torch() -> None:
    script = (
        "import sys; from accelmnist.data.mnist import load_dataset; "
        "load_dataset('synthetic'); assert not {'torch', 'torchvision'} & set(sys.modules), 'imported'"
    )
    root = Path(mnist.__file__).parents[2]
    subprocess.run([sys.executable, "-c", script], check=True, cwd=root)


# --- a folder


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("separator", ["-", "."])
def test_folder_variants(folder: Path, suffix: str, separator: str) -> None:
    for name in NAMES:
        content = (folder / name).read_bytes()
        (folder / name).unlink()
        renamed = folder / (name.replace("-idx", f"{separator}idx") + suffix)
        renamed.write_bytes(gzip.compress(content) if suffix else content)
    data = load_dataset("mnist", folder=folder)
    images, labels = digits(12)
    assert data.train.images.tobytes() == images.tobytes()
    assert data.train.labels.tolist() == labels.tolist()
    assert data.test.images.tobytes() == digits(5)[0].tobytes()
    assert (data.name, data.source) == ("mnist", f"folder {folder}/")


@pytest.mark.parametrize(("given", "source"), [("digits", "folder digits/"), ("digits/", "folder digits/")])
def test_source_is_the_folder_as_given(folder: Path, monkeypatch: pytest.MonkeyPatch, given: str, source: str) -> None:
    monkeypatch.chdir(folder.parent)
    assert load_dataset(folder=Path(given)).source == source


def test_folder_with_class_names_of_its_data_set(folder: Path) -> None:
    assert load_dataset("fashion-mnist", folder=folder).class_names[9] == "Ankle boot"
    assert load_dataset("kmnist", folder=folder).class_names[1] == "ki"


def test_folder_of_qmnist_as_published(tmp_path: Path) -> None:
    labels = np.zeros((12, 8), dtype=np.int32)
    labels[:, 0] = np.arange(12) % 10
    labels[:, 1:] = 70_000  # writers and places do not fit into a byte
    for split in ("train", "test"):
        write_idx(tmp_path / f"qmnist-{split}-images-idx3-ubyte.gz", digits(12)[0])
        write_idx(tmp_path / f"qmnist-{split}-labels-idx2-int.gz", labels)
    assert load_dataset("qmnist", folder=tmp_path).test.labels.tolist() == labels[:, 0].tolist()
    labels[3, 0] = 259  # as a byte it would be a 3
    write_idx(tmp_path / "qmnist-train-labels-idx2-int.gz", labels)
    error = failure(lambda: load_dataset("qmnist", folder=tmp_path))
    assert "qmnist-train-labels-idx2-int.gz: labels need elements of type uint8" in error.message


@pytest.mark.parametrize("prefix", ["", "emnist-digits-"])
def test_folder_of_emnist_is_turned_upright(folder: Path, prefix: str) -> None:
    if prefix:
        for name in NAMES:
            (folder / name).rename(folder / (prefix + name.replace("t10k", "test")))
    images = load_dataset("emnist-digits", folder=folder).train.images.reshape(-1, 28, 28)
    assert np.array_equal(images, digits(12)[0].transpose(0, 2, 1))


def test_missing_folder_and_file_as_folder(folder: Path) -> None:
    missing = folder / "missing"
    assert failure(lambda: load_dataset(folder=missing)).message == f"{missing}: no such folder"
    file = folder / TRAIN_IMAGES
    assert failure(lambda: load_dataset(folder=file)).message == f"{file}: is not a folder"


def test_unreadable_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_dir", refuse)
    error = failure(lambda: load_dataset(folder=folder))
    assert error.message == f"{folder}: cannot be read (Permission denied)"


@pytest.mark.parametrize("name", NAMES)
def test_lacking_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    error = failure(lambda: load_dataset(folder=folder))
    assert error.message == f"{folder}: lacks the file {name}"
    assert all(other in error.remedy for other in NAMES)


@pytest.mark.parametrize("name", [name for name in DATASETS if name != "synthetic"])
@pytest.mark.parametrize("below", ["{}/raw", "raw", "."])
def test_torchvisions_folders_are_found_or_the_right_data_set_is_named(
    folder: Path, name: DatasetName, below: str, tmp_path: Path
) -> None:
    origin = ORIGINS[name]
    place = tmp_path / "data" / below.format(origin.loader)
    place.mkdir(parents=True)
    for ours, theirs in zip(NAMES, origin.file_names or NAMES, strict=True):
        shutil.copy(folder / ours, place / theirs)
    data = tmp_path / "data"
    assert load_dataset(name, folder=data).source == f"folder {place.as_posix()}/"
    if origin.file_names or (origin.loader in below.format(origin.loader) and name != "mnist"):
        assert (
            failure(lambda: load_dataset(folder=data)).remedy == f"It holds the files of {name}: add --dataset {name}"
        )


def test_the_names_that_lack_are_those_of_the_data_set(tmp_path: Path) -> None:
    error = failure(lambda: load_dataset("qmnist", folder=tmp_path))
    assert error.message == f"{tmp_path}: lacks the file {ORIGINS['qmnist'].file_names[0]}"
    assert all(name in error.remedy for name in ORIGINS["qmnist"].file_names)


IMAGES, LABELS = digits(12)


@pytest.mark.parametrize(
    ("name", "array", "cause"),
    [
        (TRAIN_IMAGES, LABELS, "images need 3 dimensions, found 1"),
        (TRAIN_LABELS, IMAGES, "labels need 1 dimension, found 3"),
        (TRAIN_IMAGES, IMAGES.astype(np.float32), "images need elements of type uint8, found float32"),
        (TRAIN_LABELS, LABELS.astype(np.int32), "labels need elements of type uint8, found int32"),
        (TRAIN_IMAGES, IMAGES[:, :, 1:], "images are 28x27 pixels, not 28x28"),
        (TEST_IMAGES, np.zeros((5, 32, 32), dtype=np.uint8), "images are 32x32 pixels, not 28x28"),
        (TEST_LABELS, np.array([0, 1, 2, 10, 11], dtype=np.uint8), "label 10 at index 3 is above 9"),
        (TRAIN_IMAGES, IMAGES[:0], "no images inside"),
        (TRAIN_LABELS, LABELS[:0], "no labels inside"),
    ],
)
def test_wrong_content_is_named(folder: Path, name: str, array: Array, cause: str) -> None:
    write_idx(folder / name, array)
    assert failure(lambda: load_dataset(folder=folder)).message == f"{folder / name}: {cause}"


def test_counts_must_agree(folder: Path) -> None:
    write_idx(folder / TRAIN_LABELS, LABELS[:11])
    assert failure(lambda: load_dataset(folder=folder)).message == (
        f"{folder / TRAIN_LABELS}: 11 labels for the 12 images of {folder / TRAIN_IMAGES}"
    )


def test_damaged_file_in_a_folder_is_named(folder: Path) -> None:
    (folder / TEST_IMAGES).write_bytes(b"<html>")
    error = failure(lambda: load_dataset(folder=folder))
    assert error.message.startswith(f"{folder / TEST_IMAGES}: is not an IDX file")


# --- downloads: torchvision is replaced, so that no test touches the network


class Tensor:
    """As much of a tensor as the loader asks for."""

    def __init__(self, array: Array) -> None:
        self.array = array

    def numpy(self) -> Array:
        return self.array


class FakeTorchvision:
    """Stands in for every data set class; remembers how it was called."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.images, labels = digits(12)
        self.labels: Array = labels.astype(np.int64)
        self.failure: BaseException | None = None

    def __call__(self, **arguments: Any) -> Any:
        self.calls.append(arguments)
        self.timeout_s = socket.getdefaulttimeout()
        print("Downloading")
        print("100%", file=sys.stderr)
        warnings.warn("noise", stacklevel=1)
        if self.failure is not None:
            raise self.failure
        self.data, self.targets = Tensor(self.images), Tensor(self.labels)
        return self


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeTorchvision:
    torchvision = pytest.importorskip("torchvision")
    fake = FakeTorchvision()
    for name in ("MNIST", "FashionMNIST", "KMNIST", "QMNIST", "EMNIST"):
        monkeypatch.setattr(torchvision.datasets, name, fake)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return fake


@pytest.mark.parametrize("name", ["fashion-mnist", "kmnist", "qmnist", "emnist-digits"])
def test_download(fake: FakeTorchvision, tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str) -> None:
    if name == "qmnist":
        fake.labels = np.column_stack([fake.labels, *[np.full(12, 70_000)] * 7])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = load_dataset(name)
    assert capfd.readouterr() == ("", "")
    assert (data.name, data.source) == (name, "torchvision")  # records are shared: no path of this machine
    assert len(data.class_names) == 10
    assert data.train.images.shape == (12, 784)
    assert data.train.labels.tolist() == LABELS.tolist()
    assert data.train.labels.dtype == np.int64
    assert all(call["root"] == str(tmp_path / "accelmnist") and call["download"] for call in fake.calls)


def test_download_asks_for_both_splits(fake: FakeTorchvision) -> None:
    load_dataset("kmnist")
    assert [call["train"] for call in fake.calls] == [True, False]
    fake.calls.clear()
    load_dataset("emnist-digits")
    assert [(call["split"], call["train"]) for call in fake.calls] == [("digits", True), ("digits", False)]
    fake.calls.clear()
    fake.labels = np.column_stack([fake.labels] * 8)
    load_dataset("qmnist")
    assert [call["what"] for call in fake.calls] == ["train", "test"]


def test_download_of_emnist_is_turned_upright(fake: FakeTorchvision) -> None:
    upright = np.zeros((12, 28, 28), dtype=np.uint8)
    upright[:, 4:24, 6] = 200  # a vertical stroke, left of the middle
    fake.images = upright.transpose(0, 2, 1)
    assert np.array_equal(load_dataset("emnist-digits").test.images.reshape(-1, 28, 28), upright)
    assert np.array_equal(load_dataset("kmnist").test.images.reshape(-1, 28, 28), fake.images)  # and no other


@pytest.mark.parametrize(
    "cause",
    [
        URLError("no route to host"),
        HTTPError("http://localhost", 403, "Forbidden", None, None),
        RuntimeError("Error downloading x:\nTried y, got:\n<urlopen error>\n"),
        OSError(28, "No space left on device"),
        TimeoutError("timed out"),
        IncompleteRead(b""),
        AssertionError(),
        EOFError("Compressed file ended early"),
    ],
    ids=lambda cause: type(cause).__name__,
)
@pytest.mark.parametrize("name", ["fashion-mnist", "qmnist"])
def test_failed_download_is_one_clear_error(
    fake: FakeTorchvision, tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, cause: BaseException
) -> None:
    fake.failure = cause
    error = failure(lambda: load_dataset(name))
    assert error.message.startswith(f"cannot get {name} into {tmp_path / 'accelmnist'} ({type(cause).__name__}")
    assert "pass --data DIR" in error.remedy
    assert not error.message.endswith(":)")
    assert error.__cause__ is cause
    assert capfd.readouterr() == ("", "")


def test_broken_torchvision_is_the_same_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision/__init__.py").write_text("raise ImportError('torchvision is of another torch')")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    error = failure(lambda: load_dataset("kmnist"))
    assert "cannot get kmnist into" in error.message
    assert "torchvision" in error.message


def test_interrupt_is_not_swallowed(fake: FakeTorchvision) -> None:
    fake.failure = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        load_dataset("kmnist")


def test_network_waits_are_bounded_and_the_limit_is_put_back(fake: FakeTorchvision) -> None:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(777)
    try:
        fake.failure = OSError()
        failure(lambda: load_dataset("kmnist"))
        assert socket.getdefaulttimeout() == 777
    finally:
        socket.setdefaulttimeout(before)
    assert fake.timeout_s is not None
    assert 0 < fake.timeout_s <= 60


def test_wrong_download_is_named(fake: FakeTorchvision) -> None:
    fake.labels = fake.labels + 1
    assert failure(lambda: load_dataset("kmnist")).message == "kmnist: train labels: label 10 at index 9 is above 9"


def test_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "accelmnist"
    for value in ("", "relative/path"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert cache_folder() == Path.home() / ".cache" / "accelmnist"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "accelmnist"


def test_no_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert failure(cache_folder).remedy == "Set XDG_CACHE_HOME"


# --- names


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="unknown data set 'cifar'") as caught:
        load_dataset("cifar")
    assert all(name in caught.value.remedy for name in DATASETS)


def test_synthetic_uses_the_seed_and_no_folder(folder: Path) -> None:
    first, again, other = (load_dataset("synthetic", seed=seed) for seed in (1, 1, 2))
    assert first.train.images.tobytes() == again.train.images.tobytes() != other.train.images.tobytes()
    with pytest.raises(ConfigError, match="synthetic data is not read from"):
        load_dataset("synthetic", folder=folder)


def test_every_name_has_an_origin() -> None:
    assert {*ORIGINS, "synthetic"} == set(DATASETS)
    assert all(len(set(origin.class_names)) == 10 for origin in ORIGINS.values())
    assert all(len(origin.file_names) in (0, 4) for origin in ORIGINS.values())


# --- in the background: the same set, the same errors, and nothing is read twice


def test_the_set_loaded_in_the_background_is_the_one_that_would_be_loaded(embedded: Dataset) -> None:
    found = load_in_background(DataConfig(), seed=0)()
    assert (found.name, found.source) == (embedded.name, embedded.source)
    assert np.array_equal(found.train.images, embedded.train.images)
    assert np.array_equal(found.test.labels, embedded.test.labels)


def test_an_error_waits_for_whoever_asks(tmp_path: Path) -> None:
    load = load_in_background(DataConfig(folder=str(tmp_path / "nowhere")), seed=0)
    with pytest.raises(DataError, match="no such folder"):
        load()


@pytest.mark.parametrize(("dataset", "ahead_of_time"), [("mnist", True), ("synthetic", False), ("kmnist", False)])
def test_only_what_is_on_the_disk_is_read_in_the_background(
    dataset: DatasetName, ahead_of_time: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []

    def record_thread(name: str, **_settings: object) -> str:
        threads.append(threading.current_thread())
        return name

    monkeypatch.setattr(mnist, "load_dataset", record_thread)
    load = load_in_background(DataConfig(dataset=dataset), seed=0)
    assert load() == dataset
    assert len(threads) == 1
    assert (threads[0] is not threading.main_thread()) == ahead_of_time


def test_reading_data_loads_no_torch() -> None:
    program = "import sys, accelmnist.data.mnist; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
