"""The cases of a benchmark, and the configurations that are refused."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from accelmnist.core.config import ENGINES, OPTIMIZERS, TrainingConfig
from accelmnist.core.errors import ConfigError
from accelmnist.measure.plan import EFFORTS, BenchConfig, Side, expand, run_config
from accelmnist.measure.record import BenchRecord, CaseResult, save_bench
from accelmnist.measure.recount import load_bench


def test_every_combination_is_a_case_with_a_name_of_its_own() -> None:
    config = BenchConfig(
        engines=("eager", "compiled"),
        precisions=("fp32", "bf16"),
        batch_sizes=(64, 128),
        hidden=((32,), (64, 32)),
        optimizers=("sgd", "adamw"),
        threads=(1, 2),
    )
    cases = expand(config, ("cpu", "cuda:0"))
    # Training: 2 networks x 2 optimizers x 2 sizes x 2 precisions x 2 engines on each device, twice on the CPU.
    assert sum(case.mode == "training" for case in cases) == 32 * 3
    assert sum(case.mode == "inference" for case in cases) == 16 * 3
    assert len({case.label for case in cases}) == len(cases)


def test_threads_are_the_cpus_own() -> None:
    cases = expand(BenchConfig(threads=(1, 2)), ("cpu", "cuda:0"))
    assert {case.threads for case in cases if case.device == "cpu"} == {1, 2}
    assert {case.threads for case in cases if case.device == "cuda:0"} == {None}


def test_inference_has_no_optimizer_and_its_own_batch_sizes() -> None:
    inference = [case for case in expand(BenchConfig(), ("cpu",)) if case.mode == "inference"]
    assert {case.optimizer for case in inference} == {None}
    assert {case.batch_size for case in inference} == {1, 10_000}


@pytest.mark.parametrize("effort", EFFORTS)
def test_every_effort_measures_every_engine_in_both_modes(effort: str) -> None:
    cases = expand(BenchConfig(effort=effort), ("cpu",))
    assert {(case.mode, case.engine) for case in cases} == {
        (mode, engine) for mode in ("training", "inference") for engine in ENGINES
    }


def test_the_default_list_leaves_out_what_never_runs_on_a_device_and_a_named_engine_stays() -> None:
    from accelmnist.measure.session import new_record

    listed = {result.engine for result in new_record(BenchConfig(devices=("cpu",))).cases}
    assert listed == {"eager", "compiled", "fused"}
    named = new_record(BenchConfig(devices=("cpu",), engines=("eager", "cuda_graph"))).cases
    assert {result.engine for result in named} == {"eager", "cuda_graph"}
    absent = {result.engine for result in new_record(BenchConfig(devices=("cuda:7",))).cases}
    assert absent == set(ENGINES)


def test_a_case_is_a_run_with_the_defaults_of_run() -> None:
    case = expand(BenchConfig(optimizers=("sgd",), batch_sizes=(64,)), ("cpu",))[0]
    training = run_config(case, BenchConfig()).training
    assert training == TrainingConfig(epochs=1, batch_size=64, optimizer="sgd")


def test_a_plain_training_has_a_constant_rate_of_its_optimizer_and_no_more() -> None:
    config = BenchConfig(plain=True, optimizers=OPTIMIZERS, batch_sizes=(64,), engines=("eager",))
    rates = {}
    for case in expand(config, ("cpu",)):
        training = run_config(case, config).training
        assert (training.schedule, training.weight_decay, training.label_smoothing) == ("constant", 0.0, 0.0)
        rates[case.optimizer] = training.learning_rate
    assert rates == {"sgd": 0.1, "sgd-momentum": 0.05, "adam": 0.001, "adamw": 0.001, None: 0.001}


def test_a_target_takes_the_epochs_of_run_and_trains_only() -> None:
    config = BenchConfig(target_accuracy=0.98)
    assert config.training_epochs == TrainingConfig().epochs
    assert {case.mode for case in expand(config, ("cpu",))} == {"training"}


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"engines": ("turbo",)}, "--engines: 'turbo' is not known"),
        ({"precisions": ("fp8",)}, "--precisions: 'fp8' is not known"),
        ({"modes": ("dreaming",)}, "--mode: 'dreaming' is not known"),
        ({"optimizers": ("lion",)}, "--optimizers: 'lion' is not known"),
        ({"devices": ()}, "--devices: the list is empty"),
        ({"batch_sizes": (64, 64)}, "--batch-sizes: 64 is given twice"),
        ({"batch_sizes": (0,)}, "--batch-sizes: a size is below 1"),
        ({"threads": (0,)}, "--threads: a number is out of range"),
        ({"hidden": ((32,), (32,))}, r"--hidden: \(32,\) is given twice"),
        ({"precision_target": 0.0}, "--precision-target: it is not between 0 and 1"),
        ({"processes": 0}, "--processes: 0 is too few"),
        ({"epochs": 0}, "--epochs: 0 is too few"),
        ({"seeds": 0}, "--seeds: 0 is too few"),
        ({"time_limit_s": float("nan")}, "--time-limit: nan is not a positive number"),
        ({"target_accuracy": 1.2}, "--target-accuracy: 1.2 is not between 0 and 1"),
        ({"plain": True, "recipe": "mnist-98"}, "--plain: a recipe has a training of its own"),
        ({"target_accuracy": 0.9, "modes": ("inference",)}, "--target-accuracy: there is nothing to train"),
        ({"beside": (Side(name="a", command="x"), Side(name="a", command="y"))}, "--beside: the name a is given twice"),
    ],
)
def test_what_can_not_be_is_refused_by_name(fields: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        BenchConfig(**fields)


def test_a_record_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    config = BenchConfig(effort="quick", hidden=((), (64, 32)))
    cases = tuple(CaseResult.of(case) for case in expand(config, ("cpu",)))
    record = BenchRecord(config=config, cases=cases)
    save_bench(record, tmp_path)
    assert load_bench(tmp_path) == record
    assert [result.case for result in record.cases] == list(expand(config, ("cpu",)))


def test_reading_records_takes_no_torch() -> None:
    program = "import sys, accelmnist.measure.record; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "command", "line"),
    [
        ("mine", "python 'open", "--beside: the command of mine can't be read: no closing quotation"),
        ("mine", "", "--beside: mine has no command"),
        ("mine", "OMP_NUM_THREADS=1", "--beside: mine has no command"),
        ("eager", "python", "--beside: 'eager' is no name for it"),
        ("auto", "python", "--beside: 'auto' is no name for it"),
        ("", "python", "--beside: '' is no name for it"),
        ("two words", "python", "--beside: 'two words' is no name for it"),
    ],
)
def test_a_side_that_can_not_be_is_refused(name: str, command: str, line: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(line)}"):
        Side(name=name, command=command)
