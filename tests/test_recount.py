"""A record holds only what follows from it: any figure that is bent is refused, and so are statistics that err."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accelmnist.core.errors import RecordError
from accelmnist.core.files import encode
from accelmnist.core.records import load_record
from accelmnist.core.recount import recounted, require_figure
from accelmnist.measure import conclusion, record, time_to_accuracy
from accelmnist.measure.limits import bound
from accelmnist.measure.record import Latency, RecordWriter, kept_ranks
from accelmnist.measure.recount import load_bench, recount_bench
from accelmnist.measure.statistics import summary
from accelmnist.measure.statistics.summary import summarize
from accelmnist.measure.statistics.symptoms import RoundLoad
from accelmnist.sweep.recount import load_sweep
from accelmnist.sweep.trials.run import spread_of
from bench.studies.tables import ROOT
from tests.bench_samples import Spec
from tests.bench_samples import time_to_accuracy as sample_times

RESULTS = ROOT / "results"
Document = dict[str, Any]
Patch = pytest.MonkeyPatch


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every number in a document, and the keys that lead to it."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from leaves(inner, (*path, key))
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield path, value


def bent(document: Document, path: tuple[Any, ...], value: float) -> Document:
    copy: Any = json.loads(json.dumps(document))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value + 1 if isinstance(value, int) else value * 1.001 + 1e-5 * (value == 0)
    return copy


# What a bench record measured, and nothing else in it tells; of the rest, every figure follows.
MEASURED = {
    *("region_s", "steps_per_region", "compile_s", "peak_memory_bytes", "joules_per_image", "accuracy", "launches"),
    *(
        "schema_version",
        "cost",
        "verdict",
        "calls",
        "other_cpu",
        "process",
        "batch_size",
        "hidden",
        "threads",
        "number",
    ),
    *("shape", "memory_bytes", "threads"),
}


def refusal(load: Callable[[Path], object], file: Path) -> str:
    """Why the record isn't loaded; empty if it is."""
    try:
        load(file)
    except RecordError as error:
        return str(error)
    return ""


ALL = [pytest.param(1, marks=pytest.mark.slow), 37]


@pytest.mark.parametrize("every", ALL)
def test_every_figure_of_a_benchmark_that_follows_from_others_is_held_to_them(every: int, tmp_path: Path) -> None:
    """One after the other is moved by a thousandth: no such record loads, and a line names what is wrong."""
    whole = load_bench(RESULTS / "bench-cpu")
    small = replace(whole, cases=tuple(one for one in whole.cases if one.batch_size == 256), crossovers=())
    document: Document = json.loads(encode(conclusion.conclude(small)))
    file = tmp_path / "bench.json"
    file.write_text(json.dumps(document))
    load_bench(file)
    figures = [
        (path, value)
        for path, value in leaves({part: document[part] for part in ("cases", "limits", "rounds")})
        if not MEASURED & set(path) and (path[-2] != "samples" or path[-1] < 2)
    ]
    assert len(figures) > 100
    for path, value in figures[::every]:
        file.write_text(json.dumps(bent(document, path, value)))
        line = refusal(load_bench, file)
        assert "bench.json" in line, f"{path} may be other than {value}"
        assert "\n" not in line


@pytest.mark.parametrize("every", ALL)
def test_every_score_of_a_run_is_held_to_its_matrix_and_every_speed_to_its_seconds(every: int, tmp_path: Path) -> None:
    document: Document = json.loads((RESULTS / "lab" / "best" / "run.json").read_text())
    file = tmp_path / "run.json"
    for path, value in [*leaves({part: document[part] for part in ("metrics", "epochs", "reference")})][::every]:
        if {"loss", "train_loss", "learning_rate"} & set(path) or (path[0] == "epochs" and path[-1] == "accuracy"):
            continue
        if path[0] == "reference" and path[1] != "metrics":
            continue
        file.write_text(json.dumps(bent(document, path, value)))
        assert refusal(load_record, file), f"{path} may be other than {value}"
    for change, fault in RUNS.items():
        file.write_text(json.dumps(fault(json.loads(json.dumps(document)))))
        with pytest.raises(RecordError, match=change):
            load_record(file)


def changed(document: Document, *path: Any, value: Any) -> Document:
    inner: Any = document
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return document


RUNS: dict[str, Callable[[Document], Document]] = {
    "images_per_s is 1.0, but by its images and seconds": lambda d: changed(d, "timing", "images_per_s", value=1.0),
    "train_s is 9.0, but by its epochs": lambda d: changed(d, "timing", "train_s", value=9.0),
    "has logits passed, but 1.0 is above the limit": lambda d: changed(d, "verdict", "checks", 0, "value", value=1.0),
    "passed: False, but by its checks it is True": lambda d: changed(d, "verdict", "passed", value=False),
    "but not so its confusion matrix": lambda d: changed(
        d, "mistakes", 0, "predicted", value=d["mistakes"][0]["actual"]
    ),
    "parameters is 7, but by its layers": lambda d: changed(d, "parameters", value=7),
    "images is 10000, but by its data it is 9999": lambda d: changed(d, "data", "test_images", value=9999),
    "it has 4 epochs of 5": lambda d: changed(d, "epochs", value=d["epochs"][:-1]),
    "the reference's images_per_s is 1.0": lambda d: changed(d, "reference", "images_per_s", value=1.0),
    "of_steps of the audit is 9": lambda d: changed(
        d, "audit", value={"steps": 2, "of_steps": 9, "lasting_share": 0.5, "replay_s": 0.1}
    ),
    "its mistakes are not in order": lambda d: changed(d, "mistakes", value=d["mistakes"][::-1]),
    "is passed by no check": lambda d: changed(d, "verdict", "checks", value=[]),
    "has accuracy, reference passed": lambda d: changed(d, "verdict", "checks", 9, "limit", value=1e-9),
    "plausible accuracy is 0.5": lambda d: changed(d, "verdict", "checks", 4, "value", value=0.5),
}


def test_a_sweep_that_does_not_follow_from_its_trainings_is_refused(tmp_path: Path) -> None:
    document: Document = json.loads((RESULTS / "lab" / "sweep.json").read_text())
    file = tmp_path / "sweep.json"
    first = document["candidates"][0]
    faults: list[tuple[tuple[Any, ...], Any]] = [
        (("candidates", 0, "accuracy", "mean"), first["accuracy"]["mean"] - 1e-4),
        (("candidates", 0, "accuracy", "low"), first["accuracy"]["low"] - 1e-4),
        (("candidates", 0, "rank"), first["rank"] + 1),
        (("candidates", 0, "train_s"), first["train_s"] * 0.99),
        (("candidates", 0, "standing", "p_value"), first["standing"]["p_value"] / 2 + 1e-3),
        (("noise", "df"), document["noise"]["df"] + 1),
        (("effects", 0, "levels", 0, "wins"), document["effects"][0]["levels"][0]["wins"] + 1),
        (("winner", "low"), document["winner"]["low"] - 1e-4),
    ]
    for path, value in faults:
        file.write_text(json.dumps(changed(json.loads(json.dumps(document)), *path, value=value)))
        with pytest.raises(RecordError):
            load_sweep(file)


def test_an_older_sweep_puts_the_best_mean_first(tmp_path: Path) -> None:
    document: Document = json.loads((RESULTS / "lab" / "sweep.json").read_text())
    for effect in document["effects"]:
        effect["levels"].sort(key=lambda level: -level["mean"])
        for level in effect["levels"]:
            level.update(gap=effect["levels"][0]["mean"] - level["mean"], low=None, high=None)
            level.update(error_ratio=None, ratio_low=None, ratio_high=None)
    file = tmp_path / "sweep.json"
    file.write_text(json.dumps(document))
    load_sweep(file)
    file.write_text(json.dumps(changed(document, "effects", 0, "levels", 0, "mean", value=0.5)))
    assert "mean of" in refusal(load_sweep, file)


# --- statistics that err: what they conclude is refused where they conclude it


@pytest.fixture(scope="module")
def old() -> record.BenchRecord:
    return load_bench(RESULTS / "bench-cpu")


def concluded(old: record.BenchRecord) -> record.BenchRecord:
    """A benchmark's record as it is made: two processes of rounds, then its conclusions."""
    cases = [replace(one, images_per_s=None, rounds=()) for one in old.cases if one.batch_size == 256]
    limits = tuple(replace(one, rate=None) for one in old.limits)
    writer = RecordWriter(replace(old, cases=tuple(cases), limits=limits, rounds=(), crossovers=()), None)
    taken = {one.case: one.images_per_s.samples for one in old.cases if one.images_per_s}
    for place, round_ in enumerate(old.rounds[:24]):
        rates = {limit.what: round_.limits[limit.key] for limit in limits if limit.what is not None}
        outcomes: dict[Any, Any] = {one.case: taken[one.case][place] for one in cases} | rates
        writer.add_round(outcomes, RoundLoad(0.0, None), process=place % 2)
    times = sample_times(Spec(rate=1e5), (), np.random.default_rng(1))
    seconds = times.with_compile.seconds
    writer.update(
        cases[0].case,
        latency=Latency.of(np.random.default_rng(0).lognormal(-8, 0.2, 900).tolist()),
        time_to_accuracy=replace(
            times,
            with_compile=time_to_accuracy.summarize_seconds(seconds),
            without_compile=time_to_accuracy.summarize_seconds(seconds),
        ),
    )
    return conclusion.conclude(writer.record)


def wrong_summary(**wrong: Callable[[summary.Summary], float]) -> Callable[[Patch], None]:
    def summarized(samples: Any, **settings: Any) -> summary.Summary:
        right = summarize(samples, **settings)
        return replace(right, **{name: change(right) for name, change in wrong.items()})

    def plant(patch: Patch) -> None:
        patch.setattr(record, "summarize", summarized)
        patch.setattr(conclusion, "summarize", summarized)

    return plant


def wrong(module: Any, name: str, change: Callable[[Any], Any]) -> Callable[[Patch], None]:
    right = getattr(module, name)
    return lambda patch: patch.setattr(module, name, lambda *a, **s: change(right(*a, **s)))


def slowest_first(results: dict[Any, Any]) -> dict[Any, Any]:
    return {case: replace(result, rank=5 - (result.rank or 0)) for case, result in results.items()}


def third_for_low(target: Any) -> Any:
    return replace(target, low_s=sorted(target.seconds)[2])


STATISTICS: dict[str, Callable[[Patch], None]] = {
    "the best sample for the median": wrong_summary(median=lambda s: max(s.samples)),
    "the mean for the median": wrong_summary(median=lambda s: statistics.fmean(s.samples)),
    "half an interval": wrong_summary(low=lambda s: (s.low + s.median) / 2, high=lambda s: (s.high + s.median) / 2),
    "quartiles for an interval": wrong_summary(low=lambda s: s.q1, high=lambda s: s.q3),
    "an interval of 80 %": lambda patch: patch.setattr(summary, "_median_interval", interval_of(0.8)),
    "p99 that is p90": lambda patch: patch.setattr(record, "QUANTILES", (0.5, 0.9, 0.9)),
    "p90 that is p99": lambda patch: patch.setattr(record, "QUANTILES", (0.5, 0.99, 0.99)),
    "a ratio turned over": wrong(conclusion, "compare", lambda c: replace(c, ratio=1 / c.ratio)),
    "an interval of a ratio too narrow": wrong(conclusion, "compare", lambda c: replace(c, low=(c.low + c.ratio) / 2)),
    "p halved": wrong(conclusion, "compare", lambda c: replace(c, p_value=c.p_value / 2)),
    "same for ambiguous": wrong(conclusion, "compare", lambda c: replace(c, verdict="same")),
    "unpaired ratio of medians": wrong(conclusion, "compare", lambda c: replace(c, ratio=c.ratio * 1.003)),
    "the slowest first": wrong(conclusion, "with_ranks", slowest_first),
    "another case's processes": wrong(conclusion, "medians_by_process", lambda m: m[::-1]),
    "break-even by seconds": wrong(conclusion, "break_even_epochs", lambda e: e and e * 1.01),
    "the share of another limit": wrong(conclusion, "explain", lambda r: replace(r, bound=replace(r.bound, share=0.9))),
    "the products counted twice": wrong(bound, "product_flops", lambda flops: 2 * flops),
    "a target's mean": wrong(time_to_accuracy, "summarize_seconds", lambda t: replace(t, median_s=t.median_s * 1.01)),
    "a target's quartiles": wrong(time_to_accuracy, "summarize_seconds", third_for_low),
}  # fmt: skip


def interval_of(confidence: float) -> Callable[..., tuple[float, float]]:
    right = summary._median_interval
    return lambda ordered, _: right(ordered, confidence)


def test_right_statistics_pass(old: record.BenchRecord) -> None:
    recount_bench(replace(concluded(old), status="done"))


@pytest.mark.parametrize("fault", STATISTICS)
def test_statistics_that_err_are_found_where_they_conclude(
    fault: str, old: record.BenchRecord, monkeypatch: Patch
) -> None:
    """The recount concludes by the same functions, which err alike: it is the other means that find it."""
    STATISTICS[fault](monkeypatch)
    made = concluded(old)
    with pytest.raises(RecordError):
        recount_bench(replace(made, status="done"))


@pytest.mark.parametrize("count", [6, 7, 9, 12, 15, 30, 37, 100, 240])
@pytest.mark.parametrize("spread", [0.0, 0.01, 0.5])
def test_intervals_of_right_medians_are_within_what_a_plain_bootstrap_allows(count: int, spread: float) -> None:
    from accelmnist.measure.recount import _recount_summary

    for seed in range(4):
        _recount_summary(summarize(np.random.default_rng(seed).lognormal(3, spread, count).tolist()), "a case")


def test_the_quantiles_of_many_calls_are_found_again_in_those_kept() -> None:
    for count in (1, 2, 16, 399, 400, 401, 4608, 12345):
        calls = np.random.default_rng(count).lognormal(-8, 0.3, count)
        made, ranks = Latency.of(calls.tolist()), kept_ranks(count)
        assert len(made.order) == len(ranks) <= 410
        assert made.p99_s == pytest.approx(np.quantile(calls, 0.99), rel=1e-12)
        assert np.interp(0.99 * (count - 1), ranks, made.order) == pytest.approx(made.p99_s, rel=1e-12)


def test_a_spread_over_seeds_is_that_of_its_seeds() -> None:
    from accelmnist.core.records import require_spread

    values = [0.981, 0.9823, 0.98, 0.9795]
    spread = spread_of(values)
    assert spread is not None
    require_spread("accuracy", spread, values)
    for field in ("mean", "deviation", "low", "high"):
        with pytest.raises(RecordError, match=field):
            require_spread("accuracy", replace(spread, **{field: getattr(spread, field) + 1e-4}), values)
    assert math.isclose(spread.mean, statistics.fmean(values))


def test_what_is_no_number_is_told_as_it_follows() -> None:
    """A check whose value isn't finite keeps that: a wrong case must not cost the record of the right ones."""
    require_figure("value", math.nan, math.nan, of="by its samples")
    with pytest.raises(RecordError, match="value is nan, but by its samples it is 1"):
        require_figure("value", math.nan, 1.0, of="by its samples")


def test_a_figure_that_divides_by_zero_is_a_fault_of_its_record() -> None:
    with pytest.raises(RecordError, match=": a figure can't follow"), recounted("bench.json"):
        1 / 0  # noqa: B018 - it raises
