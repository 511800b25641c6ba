"""`--engine auto`: what it takes by the table of measured speeds, by the rule, and who writes the table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from accelmnist.core.errors import RecordError
from accelmnist.device import resolve
from accelmnist.engines import choose, native
from accelmnist.engines.choose import (
    BenchmarkSetting,
    Speed,
    SpeedTable,
    choose_engine,
    fastest,
    keep_speeds,
    load_speeds,
    setting_distance,
    setting_of,
    table_path,
)
from accelmnist.measure.session import FEWEST_SAMPLES, speeds_of
from tests.bench_samples import sample_bench
from tests.training_helpers import small_config

CPU = resolve("cpu")
HERE = BenchmarkSetting(
    machine="here", device="cpu", threads=2, precision="fp32", batch_size=128, hidden=(256,), optimizer="adamw"
)


@pytest.fixture(autouse=True)
def own_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def speed(engine: Any, images_per_s: Any, *, setting: Any = HERE, compile_s: float = 0.0) -> Any:
    return Speed(setting=setting, engine=engine, images_per_s=images_per_s, compile_s=compile_s, measured="2026-11-24")


def pick(
    *known: Any,
    wanted: Any = HERE,
    images: float = 240_000,
    is_possible: Any = lambda _: True,
    most_compile_s: float = 60.0,
) -> Any:
    table = SpeedTable(speeds=known)
    return fastest(table, wanted, images=images, is_possible=is_possible, most_compile_s=most_compile_s)


# --- the fastest by a table


def test_who_would_end_soonest_is_taken_compiling_included() -> None:
    """240,000 images: 2.4 s of eager against 1.2 + 5 s; ten times as many: 24 against 12 + 5."""
    known = speed("eager", 100_000), speed("compiled", 200_000, compile_s=5.0)
    assert pick(*known).speed.engine == "eager"
    assert pick(*known, images=2_400_000).speed.engine == "compiled"
    assert pick(*known, images=2_400_000, most_compile_s=2.0) is None  # nobody is left to be compared with


def test_an_engine_that_cannot_run_the_job_does_not_count() -> None:
    known = speed("fused", 400_000), speed("eager", 100_000), speed("compiled", 150_000)
    assert pick(*known).speed.engine == "fused"
    assert pick(*known, is_possible=lambda name: name != "fused").speed.engine == "compiled"


def test_the_case_most_like_the_job_decides() -> None:
    small, large = replace(HERE, batch_size=64), replace(HERE, batch_size=1024)
    known = (
        speed("eager", 1.0, setting=small),
        speed("fused", 2.0, setting=small),
        speed("eager", 2.0, setting=large),
        speed("fused", 1.0, setting=large),
    )
    assert pick(*known, wanted=replace(HERE, batch_size=100)).speed.engine == "fused"
    assert pick(*known, wanted=replace(HERE, batch_size=700)).speed.engine == "eager"
    assert not pick(*known, wanted=replace(HERE, batch_size=700)).is_alike
    assert pick(*known, wanted=large).is_alike


@pytest.mark.parametrize(
    "other",
    [
        {"machine": "another"},
        {"threads": 1},
        {"precision": "bf16"},
        {"device": "cuda:0"},
        {"batch_size": 128 * 9},  # more than eightfold
        {"hidden": (4096, 4096)},
    ],
)
def test_what_was_measured_of_something_else_says_nothing(other: dict[str, Any]) -> None:
    known = speed("eager", 1.0), speed("fused", 2.0)
    assert pick(*known, wanted=replace(HERE, **other)) is None


def test_unlikeness_adds_up_the_factors() -> None:
    assert setting_distance(HERE, HERE) == 0
    assert setting_distance(HERE, replace(HERE, batch_size=256)) == pytest.approx(0.6931, abs=1e-4)
    assert setting_distance(HERE, replace(HERE, batch_size=64)) == setting_distance(HERE, replace(HERE, batch_size=256))
    assert 0 < setting_distance(HERE, replace(HERE, optimizer="sgd")) < 0.6931


# --- the table on the disk


def test_the_latest_measurement_replaces_the_one_before() -> None:
    keep_speeds([speed("eager", 1.0), speed("fused", 2.0)])
    keep_speeds([speed("eager", 3.0)])
    assert {one.engine: one.images_per_s for one in load_speeds().speeds} == {"eager": 3.0, "fused": 2.0}


def test_a_table_that_cannot_be_read_is_begun_anew() -> None:
    table_path().parent.mkdir(parents=True)
    table_path().write_text('{"schema_version": 1, "kind": "spe')
    with pytest.raises(RecordError):
        load_speeds()
    assert choose_engine(small_config(), CPU).reason.startswith("the rule")
    keep_speeds([speed("eager", 1.0)])
    assert len(load_speeds().speeds) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"setting": {"batch_size": 0}},
        {"setting": {"batch_size": -64}},
        {"setting": {"hidden": [0]}},
        {"setting": {"hidden": [32, -5]}},
        {"setting": {"hidden": [32] * 1000}},
        {"setting": {"hidden": "wide"}},
        {"images_per_s": 0.0},
        {"images_per_s": -1.0},
        {"compile_s": -1.0},
        {"images_per_s": None},
        {"setting": None},
    ],
)
def test_an_entry_that_cannot_be_is_skipped_and_the_others_count(change: dict[str, Any]) -> None:
    own = setting_of(small_config(), CPU)
    keep_speeds([speed("eager", 300.0, setting=own), speed("fused", 200.0, setting=own)])
    table = json.loads(table_path().read_text())
    wrong = json.loads(table_path().read_text())["speeds"][0]
    for key, value in change.items():
        wrong[key] = wrong[key] | value if isinstance(value, dict) else value
    table_path().write_text(json.dumps(table | {"speeds": [wrong, *table["speeds"]]}))
    assert choose_engine(small_config(), CPU).reason.startswith("measured here")
    assert len(load_speeds().speeds) == 2
    keep_speeds([speed("eager", 1.0)])
    assert len(load_speeds().speeds) == 3


def test_the_table_does_not_grow_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "_MOST_ENTRIES", 3)
    for batch_size in range(1, 6):
        keep_speeds([speed("eager", 1.0, setting=replace(HERE, batch_size=batch_size))])
    assert [one.setting.batch_size for one in load_speeds().speeds] == [3, 4, 5]


# --- the choice


def test_without_a_measurement_the_rule_is_the_native_kernels_on_the_cpu() -> None:
    choice = choose_engine(small_config(), CPU)
    assert choice.name == "fused"
    assert "the rule" in choice.reason


def test_where_they_cannot_run_it_is_eager_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    choice = choose_engine(small_config(execution={"precision": "fp16"}), CPU)
    assert choice.name == "eager"
    assert choice.reason.startswith("not fused: its kernels for the CPU compute in fp32 and bf16")
    monkeypatch.setattr(native, "why_missing", lambda: "they were not built")
    assert choose_engine(small_config(), CPU).reason == "not fused: they were not built"


def test_what_was_measured_here_goes_before_the_rule() -> None:
    config = small_config()
    own = setting_of(config, CPU)
    keep_speeds([speed("eager", 300.0, setting=own), speed("fused", 200.0, setting=own)])
    choice = choose_engine(config, CPU)
    assert choice.name == "eager"
    assert choice.reason == "measured here on 2026-11-24: 1.5 times fused's images/s"
    unlike = choose_engine(small_config(training={"batch_size": 128}), CPU)
    assert "at 784-32-10, batch 64: 1.5 times" in unlike.reason


def test_a_measured_engine_that_is_gone_is_passed_over() -> None:
    own = setting_of(small_config(), CPU)
    keep_speeds([speed("of the past", 900.0, setting=own), speed("fused", 200.0, setting=own)])
    assert choose_engine(small_config(), CPU).reason.startswith("the rule")


# --- what a benchmark teaches


def test_right_cases_of_training_get_in() -> None:
    record = sample_bench()
    known = speeds_of(record, {"cpu": CPU}, threads=7)
    expected = {
        result.case.label: result.images_per_s.median
        for result in record.cases
        if result.mode == "training" and result.device == "cpu" and result.images_per_s and result.verdict.passed
    }
    assert len(known) == len(expected) > 1
    assert sorted(one.images_per_s for one in known) == sorted(expected.values())
    assert {one.setting.threads for one in known} == {7}


def test_a_wrong_case_and_one_with_few_samples_teach_nothing() -> None:
    record = sample_bench()
    first = next(result for result in record.cases if result.mode == "training" and result.images_per_s)
    assert len(speeds_of(replace(record, cases=(first,)), {"cpu": CPU}, threads=1)) == 1
    wrong = replace(first, verdict=replace(first.verdict, passed=False))
    few = replace(first.images_per_s, samples=first.images_per_s.samples[: FEWEST_SAMPLES - 1])
    for result in (wrong, replace(first, images_per_s=few), replace(first, verdict=None)):
        assert speeds_of(replace(record, cases=(result,)), {"cpu": CPU}, threads=1) == []
