"""The examples of `bench/examples/`: right ones pass the whole proof, wrong ones are named."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import harmonic_mean

import pytest

from accelmnist.core.errors import UnsupportedError
from accelmnist.data.types import Dataset
from accelmnist.device import resolve
from accelmnist.measure.beside.other_process import environment_of
from accelmnist.measure.beside.sides import OpenCase, Sides
from accelmnist.measure.beside.timed_remote import Remote, RemoteInference, RemoteTraining
from accelmnist.measure.case_builder import CaseBuilder
from accelmnist.measure.plan import BenchConfig, Case, Side, run_config
from accelmnist.measure.timed_case import WarmCase
from accelmnist.training.reference.scores import score_here

EXAMPLES = Path(__file__).parents[1] / "bench" / "examples"
CPU = resolve("cpu")
KINDS = {
    "right": "numpy_trainer.py",
    "no bias": "wrong_trainer.py bias",
    "fewer steps": "wrong_trainer.py steps",
    "less time": "wrong_trainer.py seconds",
}
TRAINING = Case(
    mode="training",
    device="cpu",
    engine="mine",
    precision="fp32",
    batch_size=64,
    hidden=(24,),
    optimizer="adamw",
    side="mine",
)


@pytest.fixture(scope="module")
def workers() -> Iterator[dict[str, Sides]]:
    """A running worker of each kind."""
    started: dict[str, Sides] = {}
    try:
        for kind, words in KINDS.items():
            file, *rest = words.split()
            command = shlex.join([sys.executable, str(EXAMPLES / file), *rest])
            started[kind] = Sides((Side(name="mine", command=command),), threads=1).__enter__()
            started[kind].start("mine")
            assert started[kind].failures == {}
        yield started
    finally:
        for sides in started.values():
            sides.__exit__(None, None, None)


@pytest.fixture(scope="module")
def builder(synthetic: Dataset) -> CaseBuilder:
    made = CaseBuilder(BenchConfig(), {"cpu": CPU}, score_here)
    made.dataset = synthetic
    return made


def opened(case: Case, sides: Sides, builder: CaseBuilder) -> Remote:
    """As a benchmark beside makes it ready, but that no clock says how many steps a slice has."""
    config, data = run_config(case, builder.config), builder.dataset
    timed: Remote
    if case.mode == "training":
        other = OpenCase(sides, case, config, data)
        timed = RemoteTraining(case, CPU, config, builder.images("train", CPU), other)
    else:
        config = replace(config, training=replace(config.training, batch_size=case.batch_size))
        other = OpenCase(sides, case, config, data, start=builder.network(case).arrays())
        timed = RemoteInference(case, CPU, builder.images("test", CPU).images, other)
    timed.slices, timed.slice_steps = 2, 9
    return timed


def failures(timed: Remote, builder: CaseBuilder) -> set[str]:
    """The names of the checks that fail: of the verdict, and of what was timed."""
    _, verdict = builder.verify(timed)
    config = run_config(timed.case, builder.config)
    timed.anchor = builder.anchor(timed, config)
    warm = WarmCase(timed, timed.threads)
    samples = [harmonic_mean([warm.sample() for _ in range(timed.slices)]) for _ in range(6)]
    return {check.name for check in (*verdict.checks, *warm.audit(timed.case, samples)) if not check.passed}


@pytest.mark.parametrize(
    "case",
    [
        TRAINING,
        replace(TRAINING, optimizer="sgd", hidden=()),
        replace(TRAINING, optimizer="sgd-momentum", hidden=(32, 16)),
        replace(TRAINING, mode="inference", optimizer=None),
    ],
    ids=["adamw", "sgd, no hidden layer", "momentum, two hidden layers", "inference"],
)
def test_the_numpy_trainer_passes_the_whole_proof(case: Case, workers: dict[str, Sides], builder: CaseBuilder) -> None:
    by_time = {
        "error of the clock",
        "share of work outside of the clock",
    }  # regions are too short here for a busy machine
    assert failures(opened(case, workers["right"], builder), builder) - by_time == set()


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("no bias", "audited optimizer state"),
        ("fewer steps", "calls of many steps"),
        ("less time", "error of the clock"),
    ],
)
def test_a_wrong_trainer_is_named_wrong(kind: str, found: str, workers: dict[str, Sides], builder: CaseBuilder) -> None:
    timed = opened(TRAINING, workers[kind], builder)
    timed.slice_steps = 60
    assert found in failures(timed, builder)


def test_what_the_numpy_trainer_lacks_it_says(workers: dict[str, Sides], builder: CaseBuilder) -> None:
    case = replace(TRAINING, optimizer="adam", precision="bf16")
    with pytest.raises(UnsupportedError, match=r"NumPy's trainer has no precision bf16, no optimizer adam"):
        opened(case, workers["right"], builder)


def test_a_number_of_threads_that_a_command_sets_holds_for_every_library() -> None:
    """Torch takes MKL's over OpenMP's, and NumPy OpenBLAS's."""
    variables = environment_of(Side(name="one-thread", command="OMP_NUM_THREADS=1 python"), threads=2)
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    assert [variables[name] for name in names] == ["1", "1", "1"]
    both = environment_of(Side(name="two", command="OMP_NUM_THREADS=1 MKL_NUM_THREADS=3 python"), threads=2)
    assert [both[name] for name in names] == ["1", "3", "1"]
    assert [environment_of(Side(name="as-we", command="python"), threads=2)[name] for name in names] == ["2", "2", "2"]
