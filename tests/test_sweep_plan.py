"""What a sweep tries: lists and ranges, combinations, samples, limits, presets."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from accelmnist.cli import invoke
from accelmnist.core.config import DataConfig, TrainingConfig
from accelmnist.core.errors import ConfigError
from accelmnist.sweep.plan import MOST_TRAININGS, candidates, check_size, parse_counts, parse_rates, parse_sizes
from accelmnist.sweep.record import SweepRecord
from accelmnist.sweep.schedule import comparison_left, seconds_left, trainings_planned, tuning_left
from tests.sweep_samples import blank, data_summary, sweep_config, trial


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("16", (16,)),
        ("16,64, 256", (16, 64, 256)),
        ("8:1024:8", (8, 16, 32, 64, 128, 256, 512, 1024)),
        ("1:5:3,100", (1, 2, 5, 100)),
        ("1:3:5", (1, 2, 3)),  # rounding makes some of them the same
        ("7:7:2", (7,)),
    ],
)
def test_sizes(text: str, values: tuple[int, ...]) -> None:
    assert parse_sizes(text, "--sizes") == values


def test_rates_are_apart_by_one_factor() -> None:
    rates = parse_rates("1e-3:1e-1:5", "--lr")
    assert rates == pytest.approx(np.geomspace(1e-3, 1e-1, 5), rel=5e-3)
    assert rates == (0.001, 0.00316, 0.01, 0.0316, 0.1)


def test_counts_are_every_whole_number() -> None:
    assert parse_counts("1:3", "--layers") == (1, 2, 3)
    assert parse_counts("1,3", "--layers") == (1, 3)


@pytest.mark.parametrize(
    ("parse", "text", "line"),
    [
        (parse_rates, "1e-1:1e-3:5", "--x: the range 1e-1:1e-3:5 runs backwards. Give its smaller end first"),
        (parse_sizes, "64:8:3", "--x: the range 64:8:3 runs backwards. Give its smaller end first"),
        (parse_counts, "3:1", "--x: the range 3:1 runs backwards. Give its smaller end first"),
        (parse_sizes, "8:64:1", "--x: the range 8:64:1 has 1 values. Give 2 to 1000"),
        (parse_sizes, "8:64", None),
        (parse_sizes, "8,,16", None),
        (parse_sizes, "0", None),
        (parse_sizes, "1.5", None),
        (parse_sizes, "x", None),
        (parse_rates, "0", None),
        (parse_rates, "-0.1", None),
        (parse_rates, "nan", None),
        (parse_rates, "inf:inf:3", None),
        (parse_rates, "1:2:3:4", None),
        (parse_rates, "1:2:x", None),
        (parse_counts, "1:2:3", None),
    ],
)
def test_what_is_no_list(parse: Callable[..., Any], text: str, line: str | None) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "--x")
    assert str(caught.value) == line or (line is None and "is no positive number and no range" in str(caught.value))


def test_every_combination_is_a_candidate_once() -> None:
    config = sweep_config(optimizers=("sgd", "adam"), learning_rates=(0.1, 0.2))
    made = candidates(config)
    assert len(set(made)) == len(made) == 4 * 3 * 2 * 2 * 2
    assert config.trainings == len(made) * 3


def test_without_rates_each_optimizer_has_its_own() -> None:
    made = candidates(sweep_config(optimizers=("sgd", "adamw")))
    assert {(candidate.optimizer, candidate.learning_rate) for candidate in made} == {("sgd", 0.5), ("adamw", 0.016)}


def test_a_sample_is_a_part_and_the_same_for_the_same_seed() -> None:
    config = sweep_config(sample=7)
    everything = candidates(sweep_config())
    chosen = candidates(config)
    assert len(chosen) == 7
    assert [candidate for candidate in everything if candidate in chosen] == list(chosen)
    assert chosen == candidates(sweep_config(sample=7))
    others = [candidates(sweep_config(sample=7, training=TrainingConfig(seed=seed))) for seed in range(1, 6)]
    assert any(other != chosen for other in others)
    assert candidates(sweep_config(sample=1000)) == everything


def test_tuning_takes_a_seed_of_its_own() -> None:
    config = sweep_config(learning_rates=(0.01, 0.1), tune_rates=True, training=TrainingConfig(seed=5))
    assert config.seed_numbers == (5, 6, 7)
    assert config.tuning_seed not in config.seed_numbers
    assert {candidate.learning_rate for candidate in candidates(config)} == {None}
    assert config.trainings == 24 * (3 + 2)


def test_the_largest_networks_come_first_and_seeds_in_turn() -> None:
    config = sweep_config(hidden=((8,), (64,)), activations=("relu",), outputs=("softmax",))
    small, large = candidates(config)
    record = SweepRecord(config=config, data=data_summary(), candidates=(blank(small), blank(large)))
    left = [(trial.candidate, trial.seed) for trial in comparison_left(record)]
    assert left == [(1, 0), (0, 0), (1, 1), (0, 1), (1, 2), (0, 2)]
    begun = SweepRecord(
        config=config, data=data_summary(), candidates=(blank(small, [trial(0, 0.9)]), blank(large, [trial(0, 0.9)]))
    )
    left = [(trial.candidate, trial.seed) for trial in comparison_left(begun)]
    assert left == [(1, 1), (0, 1), (1, 2), (0, 2)]
    assert tuning_left(record) == []


def test_the_time_left_follows_from_what_the_same_candidates_took() -> None:
    config = sweep_config(hidden=((8,), (64,)), activations=("relu",), outputs=("softmax",))
    small, large = candidates(config)
    made = (blank(small, [trial(0, 0.9, train_s=1.0)]), blank(large, [trial(0, 0.9, train_s=4.0)]))
    record = SweepRecord(config=config, data=data_summary(), candidates=made)
    # Two cores: 5 s of work took 2.5 s; two seeds of each are left.
    assert seconds_left(record, 2.5) == pytest.approx(5.0)
    assert seconds_left(SweepRecord(config=config, candidates=(blank(small),)), 1.0) is None


def test_a_candidate_without_a_rate_has_no_trainings_ahead() -> None:
    config = sweep_config(learning_rates=(1.0, 2.0), tune_rates=True, hidden=((8,), (64,)), outputs=("softmax",))
    made = [blank(candidate) for candidate in candidates(config)]
    failed = [trial(3, None, rate=rate, purpose="tuning", error="it diverged") for rate in (1.0, 2.0)]
    made[0] = blank(made[0].candidate, failed)
    record = SweepRecord(config=config, data=data_summary(), candidates=tuple(made))
    assert made[0].error == "it diverged"
    assert trainings_planned(record) == config.trainings - 3
    assert {training.candidate for training in tuning_left(record)} == set(range(1, 6))


def test_too_many_trainings_need_a_yes() -> None:
    config = sweep_config(seeds=MOST_TRAININGS)
    with pytest.raises(ConfigError, match=r"this sweep has 7,200 trainings, more than 300. Add --yes"):
        check_size(config, allowed=False)
    check_size(config, allowed=True)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"hidden": ((8,),), "activations": ("relu",), "outputs": ("softmax",)}, "sweep: it is empty"),
        ({"hidden": ()}, "--hidden: the list is empty"),
        ({"activations": ("swish",)}, "--activations: 'swish' is not known"),
        ({"outputs": ("softmax", "softmax")}, "--outputs: a value is given twice"),
        ({"seeds": 0}, "--seeds: 0 is out of range"),
        ({"sample": 0}, "--sample: 0 is too few"),
        ({"tune_rates": True}, "--tune-lr: there is no choice of rates"),
        ({"hidden": ((0,), (8,))}, "--hidden: a size is not between"),
        ({"training": TrainingConfig(seed=2**63 - 1)}, "--seed: the last seed is too large"),
        ({"data": DataConfig(validation=0), "dropout": 1.0}, "--dropout: 1.0 is out of range"),
    ],
)
def test_a_sweep_that_can_not_be(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        sweep_config(**changes)
    assert str(caught.value).startswith(problem)


# --- the options


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The configuration that a command line makes; nothing is run."""
    made = []
    command = import_module("accelmnist.cli.sweep")

    def planned(_shell: Any, _options: Any, request: Any) -> Any:
        return SimpleNamespace(run=lambda: made.append(request.config))

    monkeypatch.setattr(command, "_Sweep", planned)
    monkeypatch.setattr(command, "_exit_code", lambda _record: 0)
    monkeypatch.setattr("os.cpu_count", lambda: 1)

    def config_of(*arguments: str) -> Any:
        assert invoke(["sweep", *arguments]) == 0
        return made[-1]

    return config_of


def test_sizes_times_layers_and_single_architectures(planned: Any) -> None:
    config = planned("--sizes", "8,16", "--layers", "1:2", "--hidden", "512,256", "--hidden", "none")
    assert config.hidden == ((512, 256), (), (8,), (16,), (8, 8), (16, 16))


def test_the_lab_asks_its_whole_question(planned: Any) -> None:
    config = planned("--preset", "lab")
    assert {len(hidden) for hidden in config.hidden} == {1, 2, 3}
    assert {hidden[0] for hidden in config.hidden if len(hidden) == 1} == {8, 16, 32, 64, 128, 256, 512, 1024}
    assert set(config.activations) == {"sigmoid", "tanh", "relu"}
    assert set(config.outputs) == {"softmax", "sigmoid", "linear"}
    assert config.tune_rates
    assert config.seeds >= 3


def test_an_option_replaces_what_the_preset_has(planned: Any) -> None:
    config = planned("--preset", "lab", "--sizes", "8,16", "--epochs", "1", "--outputs", "softmax")
    assert (config.hidden, config.training.epochs, config.outputs) == (((8,), (16,)), 1, ("softmax",))
    assert config.activations == ("sigmoid", "tanh", "relu")


def test_a_preset_that_was_made_larger_needs_a_yes(planned: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["sweep", "--preset", "lab", "--seeds", "9"]) == 2
    assert "trainings, more than 300. Add --yes" in capsys.readouterr().err
    assert planned("--preset", "lab", "--seeds", "9", "--yes").seeds == 9
    assert planned("--preset", "lab", "--engine", "eager").execution.engine == "eager"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("", "sweep: it is empty: there is one combination, and nothing to compare it with"),
        ("--sizes 64:8:3", "--sizes: the range 64:8:3 runs backwards. Give its smaller end first"),
        ("--lr 0.1:0.01:3", "--lr: the range 0.1:0.01:3 runs backwards. Give its smaller end first"),
        ("--sizes 8:2000:400", "this sweep has 915 trainings, more than 300. Add --yes to go on"),
        ("--layers 1:3", "--layers: it needs sizes to repeat"),
        ("--activations relu,swish", "--activations: 'swish' is not known"),
        ("--optimizers sgd,lion", "--optimizers: 'lion' is not known"),
        ("--activations relu,", "Invalid value for '--activations': 'relu,' has an empty place"),
        ("--sizes 8,16 --sample 0", "--sample: 0 is too few. Give 1 or more"),
        ("--sizes 8,16 --validation 0", "--validation: a sweep needs images to judge by. Give 1 or more"),
        ("--sizes 8,16 --momentum 0.5", "--momentum has no effect without sgd-momentum"),
        ("--sizes 8,16 --synthetic --validation 9999", "--validation: 9999 of 4096 training images leave nothing"),
        ("--sizes 8,16 --no-save --out x", "--no-save contradicts --out. Give one of them"),
        ("--resume nowhere", "cannot read nowhere"),
        ("--resume nowhere --sizes 8,16", "--resume goes on with the stopped sweep's own configuration, so --sizes"),
        ("--preset huge", "Invalid value for '--preset'"),
    ],
)
def test_bad_input_is_one_line(
    arguments: str, line: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    assert invoke(["sweep", *arguments.split()]) == 2
    captured = capsys.readouterr()
    (said,) = captured.err.splitlines()
    assert said.startswith(f"error: {line}")
    assert captured.out == ""
    assert list(tmp_path.iterdir()) == []
