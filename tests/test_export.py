"""`accelmnist export`: each format is read back by a parser that isn't ours, and nothing wrong gets out."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft7Validator
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from accelmnist.cli import invoke
from accelmnist.core.errors import ConfigError
from accelmnist.core.files import encode, save
from accelmnist.core.records import RunRecord, SeedSpread, TrialFigures, TrialsSummary, save_record
from accelmnist.measure.limits.bound import share_by_round
from accelmnist.measure.record import BenchRecord, save_bench
from accelmnist.measure.recount import load_bench
from accelmnist.measure.soak.judgement import conclude
from accelmnist.measure.soak.record import Fault, SoakRecord
from accelmnist.measure.statistics.summary import summarize
from accelmnist.show.export import (
    Exports,
    as_bencher,
    as_github,
    as_openmetrics,
    bench_exports,
    run_exports,
    soak_exports,
)
from tests.bench_samples import OFF_BY_FAR, sample_bench, sample_beside, sample_targets
from tests.samples import sample_record, sample_verdict
from tests.soak_samples import RIGHT, noisy, record_of

RESULTS = Path(__file__).parents[1] / "results"

# github.com/benchmark-action/github-action-benchmark, README: every entry needs name, unit and value, and may have
# range and extra. Without an entry the action fails.
GITHUB = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "required": ["name", "unit", "value"],
        "properties": {
            "name": {"type": "string", "minLength": 1},
            "unit": {"type": "string", "minLength": 1},
            "value": {"type": "number"},
            "range": {"type": "string", "pattern": r"^± \d[\d.]*(e[+-]?\d+)?$"},  # what its code takes for a number
            "extra": {"type": "string"},
        },
        "additionalProperties": False,
    },
}
# bencher.dev/docs/reference/bencher-metric-format: names of up to 1,024 characters, slugs of up to 64.
BENCHER = {
    "type": "object",
    "minProperties": 1,
    "propertyNames": {"maxLength": 1024},
    "additionalProperties": {
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"maxLength": 64, "pattern": "^[a-z0-9]+(-[a-z0-9]+)*$"},
        "additionalProperties": {
            "type": "object",
            "required": ["value"],
            "properties": {name: {"type": "number"} for name in ("value", "lower_value", "upper_value")},
            "additionalProperties": False,
        },
    },
}
Made = Callable[[], Exports]


@functools.cache
def measured(name: str) -> BenchRecord:
    """A record of `results/`, which takes seconds to recount."""
    return load_bench(RESULTS / name)


def soaked() -> SoakRecord:
    """A soak of three equal devices."""
    record = conclude(record_of(noisy(np.random.default_rng(0), rounds=8, devices=3), accuracy=0.98))
    return replace(record, created=sample_record().created)


def ratios() -> Exports:
    return bench_exports(measured("bench-cpu"), ratio=True)


MADE: dict[str, Made] = {
    "run": lambda: run_exports(sample_record()),
    "cases": lambda: bench_exports(sample_bench()),
    "sides": lambda: bench_exports(sample_beside()),
    "targets": lambda: bench_exports(sample_targets()),
    "ranks": lambda: bench_exports(measured("ranks")),
    "ratios": ratios,
    "soak": lambda: soak_exports(soaked()),
}


@pytest.fixture(params=MADE, name="exports")
def made(request: pytest.FixtureRequest) -> Exports:
    return MADE[request.param]()


# --- the formats


def test_githubs_two_arrays_hold_every_figure_once(exports: Exports) -> None:
    both = {bigger: json.loads(encode(as_github(exports, bigger=bigger))) for bigger in (True, False)}
    for entries in filter(None, both.values()):
        Draft7Validator(GITHUB).validate(entries)
    entries = [*both[True], *both[False]]
    assert len({entry["name"] for entry in entries}) == len(entries) == len(exports.figures)
    assert sorted(entry["value"] for entry in entries) == sorted(one.value for one in exports.figures)
    assert {entry["unit"] for entry in both[True]} <= {"images/s", "ratio", "bytes/s"}
    assert {entry["unit"] for entry in both[False]} <= {"s", "bytes", "J"}
    ranges = [entry for entry in entries if "range" in entry]
    assert len(ranges) == sum(one.low is not None for one in exports.figures)


def test_benchers_metrics_have_our_interval(exports: Exports) -> None:
    document = json.loads(encode(as_bencher(exports)))
    Draft7Validator(BENCHER).validate(document)
    assert sum(map(len, document.values())) == len(exports.figures)
    for one in exports.figures:
        metric = document[one.subject][f"{one.measure}-{one.unit}".replace("_", "-")]
        assert (metric["value"], metric.get("lower_value"), metric.get("upper_value")) == (one.value, one.low, one.high)


def test_openmetrics_are_what_prometheus_reads(exports: Exports) -> None:
    families = {family.name: family for family in text_string_to_metric_families(as_openmetrics(exports))}
    assert all(family.type == "gauge" and family.documentation for family in families.values())
    assert all(not family.unit or family.name.endswith(f"_{family.unit}") for family in families.values())
    for one in exports.figures:
        name = f"accelmnist_{one.measure}_{one.unit}"
        labels = {name: text for name, text in one.labels.items() if text}
        (value,) = (sample.value for sample in families[name].samples if sample.labels == labels)
        assert (value, families[name].unit) == (one.value, one.unit)
    about = families["accelmnist_record"].samples[0]
    assert (about.value, about.labels["kind"]) == (1.0, exports.kind)
    assert families["accelmnist_record_time_seconds"].samples[0].value > 1.7e9


def test_the_schemas_can_fail() -> None:
    fine = {"name": "a", "unit": "s", "value": 1.0}
    wrong: list[Any] = [[], [{**fine, "range": "± 3 %"}], [{**fine, "value": "1"}], [{"name": "a", "value": 1}]]
    assert not any(Draft7Validator(GITHUB).is_valid(document) for document in wrong)
    assert not Draft7Validator(BENCHER).is_valid({"a": {"latency": {"lower_value": 1.0}}})
    assert not Draft7Validator(BENCHER).is_valid({"a": {"peak memory": {"value": 1.0}}})


def test_names_stay_as_they_are() -> None:
    """Whatever draws these figures begins a new line with a new name."""
    (case, *_) = as_bencher(bench_exports(sample_bench())).items()
    assert case == ("training cpu eager fp32 784-256-10 batch 64 adamw", case[1])
    assert list(case[1]) == ["throughput-images-per-second", "peak-memory-bytes", "accuracy-ratio"]
    first = as_github(bench_exports(sample_bench()), bigger=True)[0]
    assert first["name"] == "training cpu eager fp32 784-256-10 batch 64 adamw: throughput"
    ((subject, measures),) = as_bencher(run_exports(sample_record())).items()
    assert subject == "run cpu auto fp32 784-256-10 batch 512 adamw mnist 5 epochs"
    assert list(measures) == [
        "accuracy-ratio",
        "macro-f1-ratio",
        "throughput-images-per-second",
        "training-seconds",
        "compile-seconds",
        *(["start-to-answer-seconds"] if sample_record().timing.to_accuracy_s else []),
        "peak-memory-bytes",
    ]
    assert {measure for measures in as_bencher(ratios()).values() for measure in measures} == {"share-of-limit-ratio"}
    text = as_openmetrics(bench_exports(sample_bench()))
    assert '{mode="training",device="cpu",engine="eager",precision="fp32",network="784-256-10",batch_size="64"' in text


# --- figures


def test_a_share_is_the_records_and_its_interval_survives_another_tenant() -> None:
    """Rounds in which the machine is half as fast leave no trace in the interval of a share, but in that of a speed."""
    record = measured("bench-cpu")
    slow = {round_.number for round_ in record.rounds[::2]}
    disturbed = replace(
        record,
        rounds=tuple(
            replace(one, limits={key: rate / 2 for key, rate in one.limits.items()}) if one.number in slow else one
            for one in record.rounds
        ),
    )
    exported = {one.subject: one for one in ratios().figures}
    for result in record.cases:
        assert result.images_per_s is not None
        pairs = zip(result.rounds, result.images_per_s.samples, strict=True)
        speeds = summarize([speed / 2 if number in slow else speed for number, speed in pairs])
        before, after = share_by_round(result, record), share_by_round(replace(result, images_per_s=speeds), disturbed)
        assert before is not None
        assert after is not None
        assert after.samples == pytest.approx(before.samples, rel=1e-12)
        assert speeds.low < 0.6 * result.images_per_s.median
        one = exported[result.case.label]
        assert one.value == result.share_of_limit
        assert one.low / one.value == pytest.approx(before.low / before.median)
        assert one.high / one.value == pytest.approx(before.high / before.median)


def test_many_seeds_are_their_mean_with_its_interval() -> None:
    spread = SeedSpread(mean=0.98, deviation=0.001, low=0.979, high=0.981)
    trials = TrialsSummary(
        planned=2,
        trials=tuple(TrialFigures(seed=seed, accuracy=0.98, macro_f1=0.98, train_s=1.0) for seed in (0, 1)),
        accuracy=spread,
        total_s=2.0,
        images_per_s=1e5,
    )
    (measures,) = as_bencher(run_exports(replace(sample_record(), trials=trials))).values()
    assert measures["accuracy-ratio"] == {"value": 0.98, "lower_value": 0.979, "upper_value": 0.981}
    assert measures["throughput-images-per-second"] == {"value": 1e5}
    assert measures["training-seconds"] == {"value": 2.0}


def test_a_target_that_too_few_seeds_reached_is_told() -> None:
    exports = bench_exports(sample_targets())
    assert exports.left_out == [
        ("training cpu eager bf16 784-256-10 batch 256 adamw, time to 98 percent", "3 of 10 seeds reached 98 %")
    ]
    times = [one for one in exports.figures if one.measure == "time_to_98_percent"]
    assert len(times) == 3


# --- the command


def export(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = invoke(["export", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_wrong_and_unmeasured_cases_are_left_out_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    record = sample_bench()
    monkeypatch.setattr("accelmnist.measure.recount.recount_bench", lambda _: None)  # the sample is not recounted
    save_bench(record, tmp_path)
    code, out, err = export(capsys, str(tmp_path), "--format", "bencher")
    wrong = [result for result in record.cases if result.is_wrong]
    unmeasured = [result for result in record.cases if result.images_per_s is None]
    assert code == 0
    assert len(err.splitlines()) == len(wrong) + len(unmeasured) > len(wrong) > 0
    assert f"left out: {wrong[0].case.label}: wrong: {OFF_BY_FAR.name}\n" in err
    exported = json.loads(out).keys()
    assert exported == {result.case.label for result in record.cases} - {
        result.case.label for result in (*wrong, *unmeasured)
    }


def test_each_format_is_written_where_it_is_wanted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = str(save_record(sample_record(), tmp_path).parent)
    (tmp_path / "gh").mkdir()
    code, out, _ = export(capsys, source, "--format", "github", "--out", str(tmp_path / "gh"))
    assert (code, out.split()) == (0, [str(tmp_path / "gh" / f"{side}.json") for side in ("bigger", "smaller")])
    for side in ("bigger", "smaller"):
        Draft7Validator(GITHUB).validate(json.loads((tmp_path / "gh" / f"{side}.json").read_text()))
    code, text, _ = export(capsys, source, "--format", "openmetrics")
    assert (code, text.endswith("\n# EOF\n")) == (0, True)
    file = tmp_path / "new" / "accelmnist.prom"
    code, out, _ = export(capsys, source, "--format", "openmetrics", "--out", str(file))
    assert (code, out, file.read_text()) == (0, f"{file}\n", text)


def test_what_has_no_figure_leaves_no_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "smaller.json").write_text("of before")
    arguments = (str(RESULTS / "bench-cpu"), "--format", "github", "--ratio", "--out", str(tmp_path))
    code, out, _ = export(capsys, *arguments)
    assert (code, out) == (0, f"{tmp_path / 'bigger.json'}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["bigger.json"]


def unlike(**fields: Any) -> Callable[[Path], Path]:
    return lambda folder: save_record(replace(sample_record(), **fields), folder).parent


def text(content: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / "run.json").write_text(content)
        return folder / "run.json"

    return write


def slower_schema(folder: Path) -> Path:
    document = json.loads(encode(sample_record())) | {"schema_version": 99}
    return text(json.dumps(document))(folder)


REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "wrong": (unlike(verdict=sample_verdict(passed=False)), "has nothing to export: run cpu .*: wrong: .+"),
    "stopped": (unlike(status="interrupted"), "has nothing to export: run cpu .*: the run is interrupted"),
    "not verified": (unlike(verdict=None), "has nothing to export: run cpu .*: it was not verified"),
    "nothing there": (lambda folder: folder / "no", "cannot read .*no: no such file or directory"),
    "an empty folder": (lambda folder: folder, "holds none of run.json, .*"),
    "a sweep": (lambda _: RESULTS / "lab", "is a record of kind 'sweep', not a run, a benchmark or a soak"),
    "foreign": (text('{"benchmarks": [], "machine_info": {}}'), "is no record of accelmnist, not a run, .*"),
    "a list": (text("[1]"), "is no record of accelmnist, not a run, .*"),
    "cut": (text('{"kind": "run", "schema'), "is not whole JSON: .*"),
    "newer": (slower_schema, "has schema version 99, newer than the 1 known here"),
    "an empty benchmark": (lambda folder: save_bench(BenchRecord(status="done"), folder), "it holds no figure"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_records_are_one_line(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made, line = REFUSED[case]
    code, out, err = export(capsys, str(made(tmp_path)), "--format", "bencher", "--out", str(tmp_path / "file"))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert re.match(rf"error: .*{line}\. [A-Z]", err)
    assert not (tmp_path / "file").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--format", "github"], "--format github makes two files. Give the folder for them with --out"),
        (["--format", "bencher", "--ratio"], "--ratio: a run measures no limits of the hardware. Leave it out"),
        (["--format", "bencher", "--out", "."], "--out . is a folder. Give another name"),
        (["--format", "csv"], "Invalid value for '--format': 'csv' is not one of"),
        ([], "Missing option '--format'"),
    ],
)
def test_wrong_use_is_one_line(
    arguments: list[str], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = str(save_record(sample_record(), tmp_path))
    code, out, err = export(capsys, source, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: {line}")


def test_a_benchmark_that_was_stopped_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_bench(replace(measured("bench-cpu"), status="interrupted"), tmp_path)
    code, out, err = export(capsys, str(tmp_path), "--format", "bencher")
    assert (code, err) == (0, f"warning: {tmp_path} is of a benchmark that is interrupted\n")
    assert len(json.loads(out)) == 15


def test_an_older_record_of_a_run_without_an_environment() -> None:
    record: RunRecord = replace(sample_record(), environment=None, created="")
    families = {one.name for one in text_string_to_metric_families(as_openmetrics(run_exports(record)))}
    assert "accelmnist_record_time_seconds" not in families
    assert "accelmnist_accuracy_ratio" in families


def test_of_a_soak_the_devices_that_are_right_are_exported() -> None:
    record = soaked()
    faults = {
        "wrong": 1,
        "faults": (Fault(replay=3, epoch=1, step=4, after_step=2),),
    }
    devices = (
        replace(record.devices[0], **faults),
        replace(record.devices[1], status="lost", error="it did not answer within 60 s"),
        replace(record.devices[2], proof=RIGHT),
    )
    exports = soak_exports(conclude(replace(record, devices=devices)))
    assert {one.labels["device"] for one in exports.figures} == {"cuda:2"}
    assert [reason for _, reason in exports.left_out] == [
        "wrong: 1 of 100 replays differ from the first",
        "it did not answer within 60 s",
    ]
    with pytest.raises(ConfigError, match="--ratio: a soak measures no limits"):
        soak_exports(record, ratio=True)


def test_a_soak_of_the_command_is_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(soaked(), tmp_path / "soak.json")
    assert invoke(["export", str(tmp_path), "--format", "bencher"]) == 0
    measures = json.loads(capsys.readouterr().out)["soak cuda:0 eager 784-256-10 batch 256 adamw"]
    assert set(measures) == {"throughput-images-per-second", "over-others-ratio", "accuracy-ratio"}
