"""Recipes: what a name stands for, what options change in it, what is told of it, and the benchmark that times it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest

from accelmnist.cli import commands, invoke
from accelmnist.cli.bench import bench_config_from
from accelmnist.cli.options import CommandLine
from accelmnist.cli.run_options import config_from, with_recipe
from accelmnist.core.config import RECIPES, DataConfig, RunConfig, changes
from accelmnist.core.files import encode
from accelmnist.core.records import load_record
from accelmnist.measure.plan import BenchConfig, expand, run_config
from accelmnist.show.summary import run_page
from bench.studies import recipe_search, recipe_study
from bench.studies.choose_defaults import Search
from tests.samples import sample_metrics, sample_record
from tests.test_console import lines


def command_of(name: str) -> click.Command:
    """The command, which is loaded by its name alone."""
    command = commands.get_command(click.Context(commands), name)
    assert command is not None
    return command


RUN, BENCH = command_of("run"), command_of("bench")


def line_of(command: click.Command, *arguments: str) -> CommandLine:
    """What was typed, as the command reads it."""
    return CommandLine.of(command.make_context(command.name, list(arguments)))


def configured(*arguments: str) -> RunConfig:
    return config_from(with_recipe(line_of(RUN, *arguments)))


@pytest.fixture
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.cpu_count", lambda: 1)  # all is loaded here already: a helper would only be waited for


@pytest.mark.parametrize("name", RECIPES)
def test_a_name_is_the_accuracy_that_it_promises(name: str) -> None:
    recipe = RECIPES[name]
    assert f"mnist-{100 * recipe.accuracy:g}" == name
    assert configured("--recipe", name) == recipe.config
    assert configured("--recipe", name, "--seed", "7").training.seed == 7
    assert list(changes(recipe.config, recipe)) == []


def test_without_a_recipe_nothing_is_different() -> None:
    assert configured() == RunConfig()
    assert configured("--hidden", "32").recipe is None


def test_given_options_change_a_recipe_even_where_they_name_a_default() -> None:
    recipe = RECIPES["mnist-99"]
    changed = configured("--recipe", "mnist-99", "--epochs", "4", "--hidden", "256", "--augment", "none")
    assert (changed.training.epochs, changed.model.hidden, changed.training.augment) == (4, (256,), "none")
    assert changed.training.learning_rate == recipe.training.learning_rate
    assert changed.recipe == "mnist-99"


def test_another_optimizer_brings_its_own_learning_rate() -> None:
    assert configured("--recipe", "mnist-98", "--optimizer", "sgd").training.learning_rate == 0.5
    given = configured("--recipe", "mnist-98", "--optimizer", "sgd", "--lr", "0.25")
    assert given.training.learning_rate == 0.25


def test_changes_are_said_by_name() -> None:
    recipe = RECIPES["mnist-98"]
    changed = configured("--recipe", "mnist-98", "--epochs", "9", "--hidden", "64,32", "--lr", "0.5", "--seed", "3")
    assert list(changes(changed, recipe)) == ["hidden 64,32", "epochs 9", "learning rate 0.5"]
    elsewhere = dataclasses.replace(recipe.config, data=DataConfig(dataset="kmnist"))
    assert list(changes(elsewhere, recipe)) == ["dataset kmnist"]


def test_help_names_the_recipes(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("run", "bench"):
        assert invoke([command, "--help"]) == 0
        assert "--recipe [mnist-98|mnist-98.5|mnist-99]" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["run", "bench"])
def test_an_unknown_recipe_is_one_line(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke([command, "--recipe", "mnist-100"]) == 2
    line = capsys.readouterr().err
    assert line.startswith("error: Invalid value for '--recipe': 'mnist-100' is not one of 'mnist-98', ")
    assert line.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["--averaging", "1"],
            "error: --averaging: 1.0 is out of range. Give a number from 0 up to, not including, 1\n",
        ),
        (["--augment", "flip"], None),
        (
            ["--recipe", "mnist-98", "--momentum", "0.5"],
            "error: --momentum has no effect with --optimizer adamw. Add --optimizer sgd-momentum, or leave it out\n",
        ),
        (
            ["--resume", "x", "--recipe", "mnist-98"],
            "error: --resume goes on with the saved run's own configuration, so --recipe has no place."
            " Leave out --recipe\n",
        ),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], line: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["run", *arguments]) == 2
    said = capsys.readouterr().err
    assert said == (line or said)
    assert said.count("\n") == 1


QUICK = ["--recipe", "mnist-98", "--synthetic", "--device", "cpu", "--batch-size", "64", "--hidden", "16"]


def test_a_run_by_recipe_says_what_it_changes_and_how_long_it_took(
    in_empty_folder: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["run", *QUICK, "--out", "run"]) in (0, 1)
    record = load_record(Path("run"))
    choice = next(choice for choice in record.choices if choice.what == "recipe")
    assert choice.value == "mnist-98"
    assert choice.reason == "asked for, but changed: dataset synthetic, hidden 16, batch size 64"
    assert record.timing.to_accuracy_s > record.timing.train_s + record.timing.evaluate_s
    assert record.config.recipe == "mnist-98"
    assert "for training and evaluation alone" in capsys.readouterr().out


def said_of(config: RunConfig, accuracy: float, **timing: Any) -> list[str]:
    record = sample_record(reference=False)
    record = dataclasses.replace(
        record,
        config=config,
        metrics=dataclasses.replace(sample_metrics(), accuracy=accuracy),
        timing=dataclasses.replace(record.timing, train_s=0.4, evaluate_s=0.02, **timing),
    )
    return lines(run_page(record, None))[2:4]


def test_the_summary_tells_the_time_to_accuracy() -> None:
    config = RECIPES["mnist-98"].config
    assert said_of(config, 0.9803, to_accuracy_s=2.5) == [
        "mnist-98: 98.0 % reached, with 98.03 %",
        "2.50 s from the start, 420 ms for training and evaluation alone",
    ]
    assert said_of(config, 0.9797) == [
        "mnist-98: 98.0 % missed, with 97.97 %; the mean over seeds reaches it",
        "420 ms for training and evaluation alone",
    ]
    changed = dataclasses.replace(config, training=dataclasses.replace(config.training, epochs=1))
    assert said_of(changed, 0.9797)[0] == "mnist-98, changed: 98.0 % missed, with 97.97 %"


def test_an_older_record_still_loads_and_means_the_same(tmp_path: Path) -> None:
    """One that knows nothing of recipes, augmentation and averages."""
    record = sample_record()
    document = json.loads(encode(record))
    del document["config"]["recipe"], document["timing"]["to_accuracy_s"]
    del document["config"]["training"]["augment"], document["config"]["training"]["averaging"]
    (tmp_path / "run.json").write_text(json.dumps(document))
    assert load_record(tmp_path) == record


def test_a_record_of_an_unknown_recipe_is_shown_without_it() -> None:
    record = sample_record()
    record = dataclasses.replace(record, config=dataclasses.replace(record.config, recipe="mnist-99.9"))
    assert "mnist-99.9" not in "\n".join(lines(run_page(record, None)))


# --- what they rest on


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_every_recipe_is_the_one_that_the_search_chose(recipe: Any) -> None:
    found = msgspec.json.decode(recipe_search.TRIALS.read_bytes(), type=Search)
    best = recipe_search.chosen(recipe, recipe_search.rows(recipe, 5, found), 5)
    assert best is not None
    assert (best.config.model, best.config.training) == (recipe.model, recipe.training)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_twenty_seeds_reached_the_name_on_average(recipe: Any) -> None:
    study = recipe_study.load_study()
    assert study is not None
    processes = study.of(recipe)
    assert {process.seed for process in processes} == set(recipe_study.SEEDS)
    assert recipe_study.holds(recipe, processes)


def test_the_interval_of_a_mean_by_hand() -> None:
    """Student's t with three degrees of freedom is 3.182 at 97.5 %; the deviation of 1, 2, 3 and 4 is 1.291."""
    mean, half = recipe_study.mean_interval([1, 2, 3, 4])
    assert (mean, half) == (2.5, pytest.approx(3.182 * 1.291 / 2, rel=1e-3))


# --- the benchmark


def bench_configured(*arguments: str) -> BenchConfig:
    return bench_config_from(line_of(BENCH, *arguments))


@pytest.mark.parametrize("name", RECIPES)
def test_a_benchmark_trains_the_recipe_to_its_accuracy(name: str) -> None:
    config = bench_configured("--recipe", name, "--engines", "eager")
    (case,) = expand(config, ("cpu",))
    recipe = RECIPES[name]
    assert config.target_accuracy == recipe.accuracy
    expected = dataclasses.replace(recipe.config, execution=run_config(case, config).execution)
    assert run_config(case, config) == expected
    assert run_config(case, config, seed=4).training.seed == 4


def test_given_lists_change_a_recipe_in_the_benchmark() -> None:
    config = bench_configured("--recipe", "mnist-98", "--batch-sizes", "64", "--epochs", "3", "--optimizers", "sgd")
    case = expand(config, ("cpu",))[0]
    training = run_config(case, config).training
    assert (training.batch_size, training.epochs, training.optimizer, training.learning_rate) == (64, 3, "sgd", 0.5)
    assert bench_configured("--recipe", "mnist-98", "--target-accuracy", "0.9").target_accuracy == 0.9
