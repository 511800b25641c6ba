"""The native kernels at their border: what they refuse, that no input crashes them, and that they can be missing.

The numbers of random jobs are held against float64 by `tests/native/fuzz.cpp`, under the sanitizers.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import os
import platform
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accelmnist.analysis import doctor
from accelmnist.engines import native
from tests.native import build as driver

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(native.why_missing() is not None, reason=str(native.why_missing()))

IMAGES, STEPS, BATCH, HIDDEN = 30, 3, 8, 12
RULES = {"sgd": 0, "sgd-momentum": 1, "adam": 2, "adamw": 2}


def listed(images: Any, *, threads: int = 2) -> Any:
    return native.extension().list_pixels(images, threads=threads, level=native.levels()[-1])


def arguments(rule: str = "adam", *, hidden: int = HIDDEN, images: int = IMAGES, steps: int = STEPS) -> dict[str, Any]:
    """A job that is right, by the names of `train`'s arguments; the first eight go in by place."""
    chance = np.random.default_rng(0)
    shapes = [(hidden, 784), (hidden,), (10, hidden), (10,)]
    parameters = tuple(chance.normal(0, 0.05, shape).astype(np.float32) for shape in shapes)
    return {
        "parameters": parameters,
        "slots": tuple(tuple(np.zeros_like(array) for array in parameters) for _ in range(RULES[rule])),
        "pixels": listed(chance.integers(0, 256, (images, 784)).astype(np.uint8)),
        "labels": chance.integers(0, 10, images),
        "order": chance.integers(0, images, (steps, BATCH)),
        "rates": np.full(steps, 0.01, np.float32),
        "seeds": np.zeros(steps, np.int64),
        "losses": np.zeros(steps, np.float32),
        "activation": "relu",
        "output": "softmax",
        "rule": rule,
        "nesterov": False,
        "momentum": 0.9,
        "weight_decay": 0.0,
        "label_smoothing": 0.1,
        "dropout": 0.0,
        "beta1": 0.9,
        "beta2": 0.999,
        "epsilon": 1e-8,
        "count": 0.0,
        "first": 0,
        "threads": 2,
        "precision": "fp32",
        "level": native.levels()[-1],
    }


PLACED = 8


def train(job: dict[str, Any]) -> None:
    values = list(job.values())
    native.extension().train(*values[:PLACED], **dict(list(job.items())[PLACED:]))


def changed(array: np.ndarray, place: Any, value: float) -> np.ndarray:
    copy = array.copy()
    copy[place] = value
    return copy


def misaligned(array: np.ndarray) -> np.ndarray:
    room = np.zeros(array.nbytes + 1, np.uint8)
    return room[1:].view(array.dtype).reshape(array.shape)


def read_only(array: np.ndarray) -> np.ndarray:
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def with_parameter(job: dict[str, Any], place: int, array: Any) -> tuple[Any, ...]:
    return (*job["parameters"][:place], array, *job["parameters"][place + 1 :])


BAD = {
    "an image that is not there": ("order", lambda job: changed(job["order"], (1, 2), IMAGES), ValueError),
    "an image before the first": ("order", lambda job: changed(job["order"], (0, 0), -1), ValueError),
    "a label above 9": ("labels", lambda job: changed(job["labels"], 4, 10), ValueError),
    "a label below 0": ("labels", lambda job: changed(job["labels"], 0, -(2**63)), ValueError),
    "fewer labels": ("labels", lambda job: job["labels"][:-1].copy(), ValueError),
    "labels of 32 bits": ("labels", lambda job: job["labels"].astype(np.int32), TypeError),
    "an image more": ("pixels", lambda job: listed(np.zeros((IMAGES + 1, 784), np.uint8)), ValueError),
    "an image less": ("pixels", lambda job: listed(np.zeros((IMAGES - 1, 784), np.uint8)), ValueError),
    "no images": ("pixels", lambda job: listed(np.zeros((0, 784), np.uint8)), ValueError),
    "an image more, not listed": ("pixels", lambda job: np.zeros((IMAGES + 1, 784), np.uint8), ValueError),
    "images of floats": ("pixels", lambda job: np.zeros((IMAGES, 784), np.float32), TypeError),
    "another library's capsule": ("pixels", lambda job: datetime.datetime_CAPI, TypeError),
    "an order in one row": ("order", lambda job: job["order"].ravel(), ValueError),
    "an empty batch": ("order", lambda job: job["order"][:, :0].copy(), ValueError),
    "fewer rates": ("rates", lambda job: job["rates"][:-1].copy(), ValueError),
    "rates of 64 bits": ("rates", lambda job: job["rates"].astype(np.float64), TypeError),
    "more seeds": ("seeds", lambda job: np.zeros(STEPS + 1, np.int64), ValueError),
    "losses that can't be written": ("losses", lambda job: read_only(job["losses"]), ValueError),
    "losses too short": ("losses", lambda job: job["losses"][:-1].copy(), ValueError),
    "losses out of line": ("losses", lambda job: misaligned(job["losses"]), ValueError),
    "a list for an array": ("rates", lambda job: [0.1] * STEPS, TypeError),
    "None for an array": ("rates", lambda job: None, TypeError),
    "parameters in a list": ("parameters", lambda job: list(job["parameters"]), TypeError),
    "no parameters": ("parameters", lambda job: (), ValueError),
    "an odd number of parameters": ("parameters", lambda job: job["parameters"][:-1], ValueError),
    "a bias too short": ("parameters", lambda job: with_parameter(job, 1, np.zeros(3, np.float32)), ValueError),
    "a weight turned": ("parameters", lambda job: with_parameter(job, 0, job["parameters"][0].T), ValueError),
    "another layer's weight": (
        "parameters",
        lambda job: with_parameter(job, 2, np.zeros((10, 5), np.float32)),
        ValueError,
    ),
    "eleven outputs": (
        "parameters",
        lambda job: (*job["parameters"][:2], np.zeros((11, HIDDEN), np.float32), np.zeros(11, np.float32)),
        ValueError,
    ),
    "a slot too few": ("slots", lambda job: job["slots"][:1], ValueError),
    "a slot of another shape": ("slots", lambda job: (job["slots"][0], job["slots"][1][:-1]), ValueError),
    "an unknown activation": ("activation", lambda job: "step", ValueError),
    "an unknown output": ("output", lambda job: "", ValueError),
    "an unknown rule": ("rule", lambda job: "lion", ValueError),
    "an unknown level": ("level", lambda job: "mmx", ValueError),
    "an unknown precision": ("precision", lambda job: "fp16", ValueError),
    "listed pixels in bf16": ("precision", lambda job: "bf16", TypeError),
    "no threads": ("threads", lambda job: 0, ValueError),
    "too many threads": ("threads", lambda job: 10**6, ValueError),
    "a dropout of one": ("dropout", lambda job: 1.0, ValueError),
    "a momentum that is no number": ("momentum", lambda job: float("nan"), ValueError),
    "an endless weight decay": ("weight_decay", lambda job: float("inf"), ValueError),
    "a count below 0": ("count", lambda job: -1.0, ValueError),
}


@pytest.mark.parametrize("case", BAD)
def test_a_wrong_argument_is_refused_and_changes_nothing(case: str) -> None:
    name, make, expected = BAD[case]
    job = arguments()
    before = [array.copy() for array in job["parameters"]]
    with pytest.raises(expected):
        train(job | {name: make(job)})
    assert all(np.array_equal(old, new) for old, new in zip(before, job["parameters"], strict=True))


def test_the_right_arguments_are_taken() -> None:
    job = arguments()
    train(job)
    assert np.isfinite(job["losses"]).all()
    assert (job["losses"] > 0).all()


@pytest.mark.parametrize(
    ("images", "threads", "expected"),
    [
        (np.zeros((3, 783), np.uint8), 1, ValueError),
        (np.zeros((784, 3), np.uint8), 1, ValueError),  # as many bytes as three images
        (np.zeros(784, np.uint8), 1, ValueError),
        (np.zeros((3, 784), np.float32), 1, TypeError),
        (np.zeros((3, 1568), np.uint8)[:, ::2], 1, ValueError),
        (np.zeros((3, 784), np.uint8), 0, ValueError),
        ([[0] * 784], 1, TypeError),
    ],
)
def test_wrong_images_are_not_listed(
    images: list[list[int]] | np.ndarray, threads: int, expected: type[Exception]
) -> None:
    with pytest.raises(expected):
        listed(images, threads=threads)


def test_listed_pixels_outlive_their_images_and_know_nothing_of_later_writes() -> None:
    images = np.random.default_rng(1).integers(0, 256, (IMAGES, 784)).astype(np.uint8)
    first, second = arguments() | {"pixels": listed(images)}, arguments() | {"pixels": listed(images, threads=7)}
    train(first)
    images[:] = 0
    del images
    train(second)
    assert np.array_equal(first["parameters"][0], second["parameters"][0])
    assert not np.array_equal(first["parameters"][0], trained_on_black()["parameters"][0])


def trained_on_black() -> dict[str, Any]:
    job = arguments() | {"pixels": listed(np.zeros((IMAGES, 784), np.uint8))}
    train(job)
    return job


ARRAYS = st.builds(
    lambda shape, kind, fill: np.full(shape, fill).astype(kind),
    st.sampled_from([(), (3,), (12,), (30,), (3, 8), (30, 784), (10, 12), (0, 784), (3, 0), (2, 2, 2)]),
    st.sampled_from([np.uint8, np.int32, np.int64, np.float32, np.float64]),
    st.integers(-2, 100),
)
VALUES = ARRAYS | st.tuples(ARRAYS, ARRAYS) | st.integers(-3, 70) | st.floats() | st.text(max_size=5) | st.none()


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(st.sampled_from(list(arguments())), VALUES, min_size=1, max_size=3))
def test_no_argument_crashes(replaced: Any) -> None:
    """A job with random values in places of its own: it runs, or an exception says what is wrong."""
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        train(arguments("sgd-momentum") | replaced)


def test_the_interpreter_runs_on_while_the_kernels_work() -> None:
    job = arguments(hidden=512, images=2000, steps=400)
    worker = threading.Thread(target=train, args=(job,))
    worker.start()
    turns = 0
    while worker.is_alive():
        turns += 1
        worker.join(0.001)
    assert turns > 5  # with the lock held there would be one


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_trains_on() -> None:
    """Threads live within a call, so a child of a process that has trained finds nothing half alive."""
    train(arguments())
    child = os.fork()
    if child == 0:
        job = arguments()
        train(job)
        os._exit(0 if np.isfinite(job["losses"]).all() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# --- levels, and a package without kernels


def test_levels_are_named_from_the_narrowest(monkeypatch: pytest.MonkeyPatch) -> None:
    levels = native.levels()
    assert list(native.why_not()) == list(native.LEVELS)
    assert levels == tuple(level for level, reason in native.why_not().items() if reason is None)
    assert levels[0] == "plain"
    monkeypatch.delenv(native.LEVEL_VARIABLE, raising=False)
    assert native.chosen_level() == native.levels()[-1]
    monkeypatch.setenv(native.LEVEL_VARIABLE, "plain")
    assert native.chosen_level() == "plain"
    assert native.why_missing() is None


@pytest.mark.parametrize(
    ("level", "instructions"),
    [
        ("avx512bf16", {"vdpbf16ps", "vcvtne2ps2bf16", "vcvtneps2bf16"}),
        ("amx", {"ldtilecfg", "tilezero", "tileloadd", "tdpbf16ps", "tilestored", "tilerelease"}),
    ],
)
def test_a_level_holds_the_instructions_that_it_is_for(level: str, instructions: set[str]) -> None:
    """Where the processor lacks them nothing else could tell; what is computed by them, the sanitizers' build shows."""
    if shutil.which("objdump") is None or "compiler" in str(native.why_not()[level]):
        pytest.skip("no objdump, or the compiler knew no such instructions")
    command = ["objdump", "--disassemble", "--no-show-raw-insn", str(native.extension().__file__)]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = {line.split("\t")[1].split()[0] for line in listing.splitlines() if line.count("\t") == 1}
    assert instructions <= found


@pytest.fixture(scope="module")
def levels_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What stands in for a processor that announces tiles and for its system; it is built in a second."""
    return driver.build_levels(tmp_path_factory.mktemp("levels"))


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64" or driver.compiler() is None,
    reason="tiles are asked for on Linux on x86-64, and the test takes a C++ compiler",
)
@pytest.mark.parametrize(
    ("refusal", "level"),
    [(0, "amx"), (errno.EPERM, "avx512bf16"), (errno.EINVAL, "avx512bf16")],  # a seccomp filter; gVisor
)
def test_where_the_system_refuses_its_tiles_the_next_level_is_taken_and_doctor_says_why(
    refusal: int, level: str, levels_program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = subprocess.run([levels_program, str(refusal)], capture_output=True, text=True, check=True)
    lines = (line.partition(": ") for line in done.stdout.splitlines())
    reasons = {name: reason or None for name, _, reason in lines}
    extension = SimpleNamespace(INTERFACE=native.INTERFACE, levels=lambda: reasons)
    monkeypatch.setattr(native, "extension", lambda: extension)
    monkeypatch.delenv(native.LEVEL_VARIABLE, raising=False)
    assert native.chosen_level() == level
    tiles = {finding.name: finding for finding in doctor._kernel_findings()}["amx"]
    assert tiles.works == (refusal == 0)
    if refusal:
        because = f"this processor has tiles, but the system refuses their use: {os.strerror(refusal)}"
        assert tiles.reason == because
        monkeypatch.setenv(native.LEVEL_VARIABLE, "amx")
        assert native.why_missing() == "ACCELMNIST_LEVEL names amx; here run plain, avx2, avx512, avx512bf16"


def test_a_level_that_is_not_here_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(native.LEVEL_VARIABLE, "mmx")
    assert native.why_missing() == f"ACCELMNIST_LEVEL names mmx; here run {', '.join(native.levels())}"


REMEDY = (
    ": rebuild them by `pip install -e .` in the project's folder, "
    "with a C++ compiler (g++ or clang++) and Python's headers (python3-dev)"
)


def test_missing_kernels_are_reported_in_one_line_with_the_command_that_builds_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As after an update of sources that moved: the build in the old place is no longer found.
    monkeypatch.setitem(sys.modules, "accelmnist.engines.native._kernels", None)
    monkeypatch.delattr(native, "_kernels", raising=False)
    assert native.why_missing() == f"the native kernels are not built{REMEDY}"


def test_kernels_of_other_sources_are_reported_in_one_line_with_the_command_that_rebuilds_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(native, "extension", lambda: ModuleType("_kernels"))
    assert native.why_missing() == f"the native kernels were built from other sources{REMEDY}"


def test_kernels_that_do_not_load_are_reported_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> ModuleType:
        raise ImportError("undefined symbol:\n  PyNothing", name="other")

    monkeypatch.setattr(native, "extension", broken)
    assert native.why_missing() == f"the native kernels can't be loaded (undefined symbol: PyNothing){REMEDY}"


def test_without_a_compiler_the_package_is_built_without_the_kernels(tmp_path: Path) -> None:
    without_built = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(
        ROOT / "accelmnist" / "engines" / "native", tmp_path / "accelmnist" / "engines" / "native", ignore=without_built
    )
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "accelmnist" / "__init__.py").write_text('__version__ = "0"\n')
    environment = os.environ | {"CC": "no-such-compiler", "CXX": "no-such-compiler"}
    command = [sys.executable, "setup.py", "build_ext", "--inplace"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "no-such-compiler" in done.stderr
    assert list(tmp_path.rglob("*.so")) == []


# --- the sanitizers


@pytest.mark.slow  # the kernels are compiled anew
@pytest.mark.parametrize(("sanitizer", "wide", "jobs", "threads"), [("address", True, 60, 3), ("thread", False, 25, 3)])
def test_random_jobs_are_clean_and_right(sanitizer: str, wide: bool, jobs: int, threads: int, tmp_path: Path) -> None:
    reason = driver.why_unusable(sanitizer, tmp_path)
    if reason is not None:
        pytest.skip(reason)
    program = driver.build(sanitizer, tmp_path, wide=wide)
    done = driver.fuzz(program, seed=1, jobs=jobs, threads=threads)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert done.stdout == f"{jobs} jobs\n"
