"""The pages of results/ and the generated parts of the READMEs: each is what its command writes from its record."""

from __future__ import annotations

import itertools
import json
import re
import shlex
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from accelmnist.core.config import RECIPES, RunConfig
from accelmnist.core.records import load_record
from accelmnist.core.recount import require_same
from accelmnist.measure.compare.compared_record import compared_bench
from accelmnist.measure.recount import load_bench
from accelmnist.show.bench.page import bench_note
from accelmnist.show.render.markdown import render_markdown
from accelmnist.training.reference.tolerances import CELLS_OF_ERROR, SEED_SPREAD
from bench.peers import __main__ as peers
from bench.starts import __main__ as starts
from bench.starts.record import StartsRecord
from bench.starts.record import load_record as load_starts
from bench.studies import (
    agreement,
    beside_rates,
    bf16_accuracy,
    choose_defaults,
    default_run,
    processes,
    recipe_search,
    recipe_study,
    right_runs,
    soak_cost,
    sweep_ranks,
    tables,
)
from bench.studies import simulate_statistics as simulation
from bench.studies.faults import __main__ as faults
from bench.studies.real_statistics import __main__ as real_statistics
from bench.studies.scaling import __main__ as scaling
from bench.studies.simulate_statistics import Simulator

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"
MARK = re.compile(r"<!-- (written by `([^`]+)`|end) -->")
NOT_KEPT = "The record of these was not kept"


def part(document: Path, command: str) -> str:
    """What stands in `document` between the marks of `command`."""
    text = document.read_text(encoding="utf-8")
    return text.partition(f"<!-- written by `{command}` -->\n")[2].partition("\n<!-- end -->")[0]


def kept(name: str) -> Any:
    return json.loads((RESULTS / name).read_text(encoding="utf-8"))


def command_of(page: str) -> list[str]:
    """The command line that `page` of results/ names."""
    found = re.search(
        r"(?:Made by `|^    )(python -m [^`\n]+)", (RESULTS / page).read_text(encoding="utf-8"), re.MULTILINE
    )
    assert found is not None
    return shlex.split(found[1])


def option(page: str, name: str) -> int:
    command = command_of(page)
    return int(command[command.index(name) + 1])


def study() -> str:
    saved = recipe_study.load_study()
    assert saved is not None
    return recipe_study.table(saved)


def defaults() -> str:
    command = command_of("defaults.md")
    options = choose_defaults._options(command[3:])
    found = msgspec.json.decode((RESULTS / "defaults.json").read_bytes(), type=choose_defaults.Search)
    rows = choose_defaults.rows(choose_defaults.candidates(options), options.seeds, found)
    return choose_defaults.markdown(rows, found, shlex.join(command))


def searched() -> str:
    found = msgspec.json.decode((RESULTS / "recipe-search.json").read_bytes(), type=choose_defaults.Search)
    return recipe_search.markdown(found, option("recipe-search.md", "--seeds"))


def agreed() -> str:
    *folders, _, out = map(Path, command_of("agreement.md")[3:])
    return agreement.report([compared_bench(load_bench(ROOT / one), str(one)) for one in folders], folders, out)


def real() -> str:
    record = kept("statistics-real.json")
    return real_statistics.report(record["samples"], record["machine"], option("statistics-real.md", "--block"))


def scaled(folder: Path) -> str:
    record = load_bench(folder)
    growths, speedups = scaling.growths_of(record), scaling.speedups_of(record)
    conclusions = scaling.Conclusions(growths=tuple(growths), speedups=tuple(speedups))
    written = msgspec.json.decode((folder / "growth.json").read_bytes(), type=scaling.Conclusions)
    said, follows = map(msgspec.to_builtins, (written, conclusions))
    require_same("growth.json", said, follows, of="by its samples")
    return scaling.document(record, growths, speedups, command=scaling.COMMAND)


def planted() -> str:
    outcomes = msgspec.convert(kept("faults.json"), faults.Outcomes).outcomes
    return faults.document(outcomes, command=faults.COMMAND)


def default() -> str:
    document = kept("default-run.json")
    return default_run.markdown([default_run.Process(**one) for one in document["processes"]], document["machine"])


def started() -> StartsRecord:
    return load_starts(RESULTS / "starts.json")


# What a page of results/ is made from, by its own command's means, and what a part between two marks is.
PAGES: dict[str, Callable[[], str]] = {
    "agreement.md": agreed,
    "beside.md": lambda: beside_rates.report(kept("beside.json")),
    "bench-cpu/bench.md": lambda: render_markdown(bench_note(load_bench(RESULTS / "bench-cpu"))),
    "benchmarks.md": lambda: tables.benchmarks_parts(kept("benchmarks.json"))[1],
    "defaults.md": defaults,
    "faults.md": planted,
    "processes.md": lambda: processes.report(kept("processes.json")),
    "ranks/ranks.md": lambda: render_markdown(bench_note(load_bench(RESULTS / "ranks"))),
    "ranks/sweep.md": lambda: sweep_ranks.report(kept("ranks/sweep.json")),
    "recipe-search.md": searched,
    "recipes.md": lambda: f"# What the recipes reach\n\n{study()}\n",
    "right-runs.md": lambda: right_runs.table(kept("right-runs.json")),
    "soak.md": lambda: soak_cost.report(kept("soak.json")),
    "starts.md": lambda: starts.document(started()),
    "statistics-real.md": real,
}
# Of each processor.
PAGES |= {
    f"peers/{folder.name}/{peers.PAGE}": partial(lambda one: peers.document(peers.records(one)), folder)
    for folder in peers.FOLDER.iterdir()
}
PAGES |= {f"scaling/{folder.name}/{scaling.PAGE}": partial(scaled, folder) for folder in scaling.FOLDER.iterdir()}
PARTS: dict[tuple[Path, str], Callable[[], str]] = {
    (tables.README, f"{tables.COMMAND} bench results/bench-cpu"): lambda: tables.training_part(
        load_bench(RESULTS / "bench-cpu")
    ),
    (tables.RESULTS_README, f"{tables.COMMAND} verdict results/readme"): lambda: tables.verdict_part(
        load_record(RESULTS / "readme")
    ),
    (tables.README, peers.COMMAND): lambda: peers.short_part(peers.measured()),
    (tables.RESULTS_README, peers.COMMAND): lambda: peers.part(peers.measured()),
    (tables.RESULTS_README, scaling.COMMAND): scaling.part,
    (tables.RESULTS_README, starts.COMMAND): lambda: starts.start_sentence(started().starts),
    (tables.RESULTS_README, f"{tables.COMMAND} bench results/bench-cpu"): lambda: tables.bench_part(
        RESULTS / "bench-cpu"
    ),
    (tables.RESULTS_README, f"{tables.COMMAND} ranks results/ranks"): lambda: tables.ranks_part(
        load_bench(RESULTS / "ranks")
    ),
    (tables.RESULTS_README, tables.BENCHMARKS_COMMAND): lambda: tables.benchmarks_parts(kept("benchmarks.json"))[0],
    (tables.RESULTS_README, default_run.COMMAND): default,
    (tables.RESULTS_README, recipe_study.COMMAND): study,
    (tables.RESULTS_README, bf16_accuracy.COMMAND): lambda: bf16_accuracy.part(kept("bf16-accuracy.json")),
}
SIMULATED = "statistics.md"  # made from its seed alone, in minutes
WITHOUT_RECORD = {SIMULATED, "history.md"}
SLOW = {"statistics-real.md"}


def pages() -> list[str]:
    """The pages of results/ that are committed."""
    listed = subprocess.run(["git", "ls-files", "results/*.md"], cwd=ROOT, capture_output=True, text=True, check=False)
    return [line.removeprefix("results/") for line in listed.stdout.splitlines() if line != "results/README.md"]


def parts() -> list[tuple[Path, str]]:
    """The parts between two marks."""
    documents = (tables.README, tables.RESULTS_README)
    return [(one, found[2]) for one in documents for found in MARK.finditer(one.read_text("utf-8")) if found[2]]


def hold(written: str, made: Callable[[], str]) -> None:
    if NOT_KEPT in written:
        with pytest.raises(FileNotFoundError):
            made()
    else:
        assert written == made()


@pytest.mark.parametrize("page", [pytest.param(one, marks=pytest.mark.slow if one in SLOW else ()) for one in PAGES])
def test_a_page_is_what_its_command_makes_of_its_record(page: str) -> None:
    """One of a study that has not run yet isn't there."""
    if not (RESULTS / page).exists():
        pytest.skip(f"{page} has not been made")
    hold((RESULTS / page).read_text(encoding="utf-8"), PAGES[page])


@pytest.mark.parametrize("document_and_command", PARTS, ids=lambda key: f"{key[0].parent.name}: {key[1]}")
def test_a_part_is_what_its_command_makes_of_its_record(document_and_command: tuple[Path, str]) -> None:
    hold(part(*document_and_command), PARTS[document_and_command])


def test_no_page_and_no_part_is_held_to_nothing() -> None:
    assert {*pages()} - WITHOUT_RECORD <= PAGES.keys()
    assert parts() == sorted(parts(), key=lambda one: one[0] != tables.README)
    assert {*parts()} == PARTS.keys()
    for document in (tables.README, tables.RESULTS_README):
        marks = [found[1] for found in MARK.finditer(document.read_text(encoding="utf-8"))]
        assert marks[1::2] == ["end"] * (len(marks) // 2)
        assert all(mark.startswith("written by") for mark in marks[::2])


def test_a_row_of_the_simulations_follows_from_their_seed() -> None:
    trials, seed = (option(SIMULATED, name) for name in ("--trials", "--seed"))
    lines = simulation.markdown(itertools.islice(simulation.table_of_coverage(Simulator(trials // 2, seed)), 2))
    assert lines in (RESULTS / SIMULATED).read_text(encoding="utf-8")


def test_what_the_text_says_of_the_pages_is_there() -> None:
    text = " ".join(tables.RESULTS_README.read_text(encoding="utf-8").split())
    inside = re.search(r"\*\*(\d+ of \d+ ratios lie within their intervals)", agreed())
    assert inside is not None
    assert inside[1] in text


def test_defaults_recipes_and_limits_are_those_that_their_records_chose() -> None:
    found = msgspec.json.decode((RESULTS / "defaults.json").read_bytes(), type=choose_defaults.Search)
    options = choose_defaults._options(command_of("defaults.md")[3:])
    rows = choose_defaults.rows(choose_defaults.candidates(options), options.seeds, found)
    config = choose_defaults.choose(rows).candidate.config(RunConfig().training.seed)
    assert (config.model, config.training) == (RunConfig().model, RunConfig().training)
    found = msgspec.json.decode((RESULTS / "recipe-search.json").read_bytes(), type=choose_defaults.Search)
    seeds = option("recipe-search.md", "--seeds")
    for recipe in RECIPES.values():
        best = recipe_search.chosen(recipe, recipe_search.rows(recipe, seeds, found), seeds)
        assert best is not None
        assert (best.config.model, best.config.training) == (recipe.model, recipe.training)
    spreads = [one["spread"] for one in kept("seed-spread.json")["configurations"]]
    limits = {f"{score.replace(' ', '_').lower()}_in_binomial_sd": limit for score, limit in SEED_SPREAD.items()}
    for name, limit in (limits | {"cells_max_of_error": CELLS_OF_ERROR}).items():
        assert limit - 0.02 < max(spread[name] for spread in spreads) <= limit


def test_bf16_moves_the_accuracy_by_less_than_another_seed() -> None:
    accuracies = kept("bf16-accuracy.json")["accuracies"]
    reference, other = (np.array(accuracies[name]) for name in ("fp32", "bf16"))
    assert len(reference) == len(other) >= 20
    assert abs((other - reference).mean()) < reference.std(ddof=1)
    assert other.std(ddof=1) < 2 * reference.std(ddof=1)


def test_the_tables_say_what_a_reader_has_to_know() -> None:
    training = tables.training_part(load_bench(RESULTS / "bench-cpu"))
    assert training.count("**Training**") == 1
    assert "Inference" not in training
    assert "skips pixels that are zero" in training  # a share of the limit lies above 100 %
    record = load_record(RESULTS / "readme")
    assert record.verdict is not None
    assert all(f"| {check.name} |" in tables.verdict_part(record) for check in record.verdict.checks)


def test_a_part_is_written_between_its_marks_alone(tmp_path: Path) -> None:
    document = tmp_path / "README.md"
    document.write_text("before\n<!-- written by `it` -->\nold\n<!-- end -->\nafter\n", encoding="utf-8")
    tables.write_part("it", "new", document)
    assert document.read_text(encoding="utf-8") == "before\n<!-- written by `it` -->\nnew\n<!-- end -->\nafter\n"
    with pytest.raises(AssertionError, match="lacks"):
        tables.write_part("another", "new", document)


def test_benchmarks_are_pairs_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spread = {"median": 2.0, "first_quartile": 1.5, "third_quartile": 2.5}
    ways = {name: {"images_per_s": {"median": speed}} for name, speed in (("eager on cpu", 200.0), ("by hand", 100.0))}
    benchmarks = [
        {"extra_info": {}, "name": "test_upload[cpu]", "stats": {"median": 2e-3, "iqr": 1e-6, "rounds": 7}},
        {"extra_info": {"ratio": spread} | ways},
    ]
    assert tables.pair_rows(benchmarks)[2:] == ["| eager on cpu | by hand | 200 | 100 | **2.00** | 1.50 to 2.50 |"]
    assert tables.single_rows(benchmarks)[2:] == ["| upload (cpu) | 2 ms | 1 µs | 7 |"]
