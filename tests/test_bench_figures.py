"""The figures of a benchmark: what they draw is what the record holds, and nothing of it is cut or covered."""

from __future__ import annotations

import io
import itertools
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from matplotlib.artist import Artist
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from PIL import Image

from accelmnist.core.errors import OutputError
from accelmnist.core.records import Check, Verdict
from accelmnist.measure.limit_keys import Limit
from accelmnist.measure.plan import BenchConfig
from accelmnist.measure.record import BenchRecord, CaseResult, DeviceInfo, Target, TimeToAccuracy
from accelmnist.measure.statistics.summary import Summary, summarize
from accelmnist.measure.statistics.symptoms import Symptom
from accelmnist.show.figures.case_rows import target_figure, throughput_figure
from accelmnist.show.figures.chart import CLEAR, box_around, log_ticks, place_around, spread, tick_name
from accelmnist.show.figures.roofline import roofline_figure
from accelmnist.show.figures.scaling import scaling_figure
from accelmnist.show.figures.sheet import PALETTE, figure_style, png_bytes, series_mark, text_width, wrap
from accelmnist.show.pictures import write_bench_pictures
from tests.bench_samples import Spec, measured, ranked, sample_bench, sample_targets, with_speedups

FIGURES = {
    "throughput": throughput_figure,
    "scaling": scaling_figure,
    "roofline": roofline_figure,
    "target": target_figure,
}
FAILED = Verdict(
    passed=False,
    reference="the reference",
    checks=(Check(name="losses of the first steps", passed=False, value=1.0, limit=0.1, detail="d", reason="r"),),
)


def texts(figure: Figure | None) -> list[str]:
    assert figure is not None
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def title(figure: Figure | None) -> str:
    """The title, which is drawn first, in one line."""
    assert figure is not None
    large = [text.get_text() for text in figure.texts if text.get_fontsize() > 12]
    return " ".join(large)


def named(figure: Figure | None, name: str) -> list[Artist]:
    """What is drawn under a `gid`."""
    assert figure is not None
    return figure.findobj(lambda artist: artist.get_gid() == name)


def line(figure: Figure | None, name: str, place: int = 0) -> tuple[list[float], list[float]]:
    found = named(figure, name)[place]
    assert isinstance(found, Line2D)
    return np.asarray(found.get_xdata()).tolist(), np.asarray(found.get_ydata()).tolist()


def dots(figure: Figure | None, name: str) -> list[float]:
    (found,) = named(figure, name)
    assert isinstance(found, PathCollection)
    return np.asarray(found.get_offsets())[:, 0].tolist()


def speed_of(result: CaseResult) -> Summary:
    assert result.images_per_s is not None
    return result.images_per_s


def measured_of(record: BenchRecord) -> list[CaseResult]:
    return [result for result in record.cases if result.images_per_s]


def grid(
    *,
    devices: Sequence[str] = ("cpu", "cuda:0"),
    engines: Sequence[str] = ("eager", "compiled"),
    batches: Sequence[int] = (64, 256),
    hidden: Sequence[tuple[int, ...]] = ((256,),),
    threads: Sequence[int | None] = (None,),
    modes: Sequence[str] = ("training",),
) -> BenchRecord:
    """A record of all combinations, with plausible speeds, from the samples' own machine."""
    random = np.random.default_rng(3)
    machine = np.exp(random.normal(0.0, 0.006, 24))
    cases = []
    for mode, device, engine, layers, count, batch in itertools.product(
        modes, devices, engines, hidden, threads, batches
    ):
        way = (
            (10 if mode == "inference" else 1)
            * (1 + engines.index(engine))
            * (9 if device != "cpu" else 1)
            * (count or 1) ** 0.8
        )
        rate = 2e5 * way * batch / (batch + 64) / (1 + sum(layers) / 100) * random.uniform(0.9, 1.1)
        jitter = float(random.choice([0.01, 0.03, 0.09]))
        fields = {"device": device, "engine": engine, "batch": batch, "hidden": layers, "threads": count}
        cases.append(measured(Spec(mode=mode, rate=rate, jitter=jitter, **fields), machine, random))
    return replace(sample_bench(), cases=tuple(ranked(with_speedups(cases))), crossovers=())


def long_names() -> BenchRecord:
    """Every part of a case differs, each name is as long as it gets, and so are the machine's."""
    record = grid(
        engines=("eager", "cuda_graph"),
        batches=(1, 65_536),
        hidden=((256,), (2048, 2048, 2048, 2048)),
        threads=(1, 128),
        modes=("training", "inference"),
    )
    symptoms = tuple(Symptom(code, "") for code in ("unstable", "slow first", "machine busy", "GPU throttled"))
    cases = [replace(case, symptoms=symptoms if place % 3 else ()) for place, case in enumerate(record.cases)]
    cases[5] = replace(cases[5], verdict=FAILED, speedup=None, rank=None)
    cases = [replace(case, device=case.device.replace("cuda:0", "cuda:15")) for case in cases]
    devices = (
        DeviceInfo(name="cpu", hardware="Intel(R) Xeon(R) Platinum 8592+ CPU @ 1.90GHz", memory_bytes=None),
        DeviceInfo(name="cuda:15", hardware="NVIDIA RTX PRO 6000 Blackwell Max-Q Edition", memory_bytes=None),
    )
    limits = [replace(limit, device=limit.device.replace("cuda:0", "cuda:15")) for limit in record.limits]
    return replace(record, cases=tuple(cases), devices=devices, limits=tuple(limits), status="interrupted")


def timed(*, cases: int) -> BenchRecord:
    """A record of times to accuracy with as many cases, of which some miss on some seeds."""
    record = sample_targets()
    sizes = itertools.product(record.cases, (16, 64, 256, 1024, 4096, 16_384, 32_768, 65_536, 99, 999))
    made = [replace(case, batch_size=size, rank=None, speedup=None) for case, size in itertools.islice(sizes, cases)]
    return replace(record, cases=tuple(made))


RECORDS: dict[str, Callable[[], BenchRecord]] = {
    "sample": sample_bench,
    "targets": sample_targets,
    "one": lambda: replace(sample_bench(), cases=sample_bench().cases[1:2]),
    "two": lambda: grid(devices=("cpu",), batches=(256,)),
    "twelve": lambda: grid(batches=(64, 256, 1024)),
    "forty": lambda: grid(engines=("eager", "compiled", "fused", "cuda_graph"), batches=(16, 64, 256, 1024, 4096)),
    "seventy": lambda: grid(hidden=((32,), (128,), (512,)), threads=(1, 2, 4), modes=("training", "inference")),
    "sizes close by": lambda: grid(batches=(1, 2, 3, 900, 1000, 1024, 1100, 1200, 65_536)),
    "long names": long_names,
    "one target": lambda: timed(cases=1),
    "forty targets": lambda: timed(cases=40),
}
TARGETS = ("targets", "one target", "forty targets")
NOTHING = {
    *(("target", name) for name in RECORDS if name not in TARGETS),
    *((kind, name) for kind in ("throughput", "scaling", "roofline") for name in TARGETS),
    ("scaling", "one"),
    ("scaling", "two"),
}


@cache
def record_of(name: str) -> BenchRecord:
    return RECORDS[name]()


@cache
def drawn(kind: str) -> Figure:
    """The figure of the sample record that has it."""
    figure = FIGURES[kind](record_of("targets" if kind == "target" else "sample"))
    assert figure is not None
    return figure


def boxes(figure: Figure) -> list[tuple[str, Bbox]]:
    """Every text that is seen, and where it stands without a line that leads to it, in pixels from the bottom left."""
    with figure_style():
        figure.draw_without_rendering()
    found = [text for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()]
    return [(text.get_text(), Text.get_window_extent(text)) for text in found]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        pytest.param(name, kind, marks=[pytest.mark.slow] * (name in ("forty", "seventy", "sizes close by")))
        for name, kind in itertools.product(RECORDS, FIGURES)
    ],
)
def test_no_text_is_cut_or_covers_another(name: str, kind: str) -> None:
    figure = FIGURES[kind](record_of(name))
    assert (figure is None) == ((kind, name) in NOTHING)
    if figure is None:
        return
    found = boxes(figure)
    width, height = figure.bbox.size
    cut = [text for text, box in found if not (20 <= box.x0 <= box.x1 <= width - 20 and box.y0 >= 10)]
    assert cut == []
    assert [text for text, box in found if box.y1 > height - 10] == []
    # A pixel on every side: the box of a text holds the room of letters that it may not have.
    pairs = itertools.combinations([(text, box.padded(-1)) for text, box in found], 2)
    assert [(text, other) for (text, box), (other, rest) in pairs if box.overlaps(rest)] == []


@pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES)
def test_an_empty_record_draws_nothing(draw: Callable[[BenchRecord], Figure | None]) -> None:
    skipped = tuple(result for result in sample_bench().cases if result.images_per_s is None)
    assert skipped
    assert draw(BenchRecord()) is None
    assert draw(replace(sample_bench(), cases=skipped)) is None


@pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES)
def test_the_setting_is_said(draw: Callable[[BenchRecord], Figure | None]) -> None:
    record = sample_targets() if draw is target_figure else sample_bench()
    said = " ".join(texts(draw(record)))
    assert "AMD EPYC 9B14 (2 cores)" in said
    assert "torch 2.14.1" in said
    assert "2026-11-24" in said
    assert "784-256-10" in said
    assert "the figures so far" not in said
    assert "interrupted: the figures so far" in " ".join(texts(draw(replace(record, status="interrupted"))))
    assert draw(replace(record, environment=None, devices=())) is not None


# Throughput


def test_throughput_draws_every_median_interval_and_sample() -> None:
    record = record_of("sample")
    figure = drawn("throughput")
    for result in measured_of(record):
        key, speed = result.case.label, speed_of(result)
        assert line(figure, f"median of {key}")[0] == [speed.median]
        assert set(line(figure, f"interval of {key}")[0]) == {speed.low, speed.high}
        assert dots(figure, f"samples of {key}") == list(speed.samples)


def order_in(figure: Figure | None, record: BenchRecord, mode: str) -> list[CaseResult]:
    """The cases of a mode from the top down, by the height of their medians."""
    own = [result for result in measured_of(record) if result.mode == mode]
    return sorted(own, key=lambda result: line(figure, f"median of {result.case.label}")[1][0])


def test_rows_are_ranked_and_wrong_ones_stand_below() -> None:
    record = record_of("sample")
    figure = drawn("throughput")
    training = order_in(figure, record, "training")
    assert [result.rank for result in training] == [*range(1, 11), None]
    medians = [speed_of(result).median for result in training[:-1]]
    assert medians == sorted(medians, reverse=True)
    assert speed_of(training[-1]).median > medians[-1]  # it is last for being wrong


def test_a_wrong_case_is_hatched_grey_and_named() -> None:
    record = record_of("sample")
    figure = drawn("throughput")
    assert figure is not None
    (wrong,) = [result for result in record.cases if result.is_wrong]
    (band,) = named(figure, wrong.case.label)
    assert band.get_hatch()
    for result in measured_of(record):
        (mark,) = named(figure, f"median of {result.case.label}")
        assert isinstance(mark, Line2D)
        red, green, blue = to_rgb(mark.get_color())
        assert (red == green == blue) == result.is_wrong
    assert texts(figure).count("wrong") == 1
    assert {"losses of the", "first steps"} <= set(texts(figure))


def test_speedups_are_numbers_only_where_the_comparison_claims_one() -> None:
    record = record_of("sample")
    said = texts(drawn("throughput"))
    verdicts = [result.speedup.verdict for result in measured_of(record) if result.speedup]
    assert len([text for text in said if text.endswith(" ×")]) == sum(v in ("faster", "slower") for v in verdicts)
    assert (said.count("ambiguous"), said.count("same")) == (verdicts.count("ambiguous"), verdicts.count("same"))
    assert said.count("baseline") == 5
    assert {"1.75 ×", "19.3 ×"} <= set(said)


def test_a_doubtful_case_is_hollow_with_its_reason() -> None:
    record = record_of("sample")
    figure = drawn("throughput")
    for result in measured_of(record):
        (mark,) = named(figure, f"median of {result.case.label}")
        assert isinstance(mark, Line2D)
        assert (mark.get_markerfacecolor() == "white") == (bool(result.symptoms) and not result.is_wrong)
    assert texts(figure).count("unstable") == 1


def test_what_makes_every_case_doubtful_is_said_once() -> None:
    record = record_of("two")
    busy, drifting = Symptom("machine busy", ""), Symptom("drifting", "")
    cases = [replace(record.cases[0], symptoms=(busy, drifting)), replace(record.cases[1], symptoms=(busy,))]
    said = texts(throughput_figure(replace(record, cases=tuple(cases))))
    assert said.count("drifting") == 1
    assert "Hollow: doubtful, all cases are marked machine busy." in " ".join(said)
    assert "machine busy" not in said


def test_the_title_claims_only_what_the_comparison_found() -> None:
    record = record_of("sample")
    assert title(drawn("throughput")) == "cuda:0 eager is 19.3 times cpu eager in training at batch 1,024"
    first = next(result for result in record.cases if result.mode == "training" and result.rank == 1)
    assert first.speedup is not None
    unsure = replace(first, speedup=replace(first.speedup, verdict="ambiguous"))
    cases = tuple(unsure if result is first else result for result in record.cases)
    assert title(throughput_figure(replace(record, cases=cases))) == "Throughput of 17 cases"


def test_a_claim_names_all_that_differs() -> None:
    record = grid(devices=("cpu",), hidden=((32,), (512,)))
    assert " times eager at batch 256, 784-32-10" in title(throughput_figure(record))


def test_one_case_says_its_speed() -> None:
    assert title(throughput_figure(record_of("one"))) == "eager: 98,900 images/s in training"


def test_more_than_forty_cases_are_the_fastest_of_each_mode() -> None:
    record = grid(hidden=((32,), (128,), (512,)), batches=(64, 256, 512), modes=("training", "inference"))
    assert len(record.cases) == 72
    figure = throughput_figure(record)
    shown = [result for result in record.cases if named(figure, f"median of {result.case.label}")]
    assert len(shown) == 40
    for mode in ("training", "inference"):
        speeds = sorted((speed_of(result).median for result in record.cases if result.mode == mode), reverse=True)
        assert sorted((speed_of(r).median for r in shown if r.mode == mode), reverse=True) == speeds[:20]
    assert any("Shown are 40 of 72 measured cases" in text for text in texts(figure))
    slowest = min(record.cases, key=lambda result: speed_of(result).median)
    cases = [replace(result, verdict=FAILED) if result is slowest else result for result in record.cases]
    said = texts(throughput_figure(replace(record, cases=tuple(cases))))
    assert any("Wrong among the others: 1 case." in text for text in said)


@pytest.mark.parametrize(("fast", "scale"), [(29, "linear"), (31, "log")])
def test_the_axis_is_logarithmic_from_a_range_of_thirty(fast: int, scale: str) -> None:
    one, two = grid(devices=("cpu",), batches=(256,)).cases
    speeds = summarize([1000.0] * 8), summarize([1000.0 * fast] * 8)
    cases = [replace(case, images_per_s=speed) for case, speed in zip((one, two), speeds, strict=True)]
    figure = throughput_figure(replace(record_of("sample"), cases=tuple(cases)))
    assert figure is not None
    assert figure.axes[0].get_xscale() == scale
    assert (figure.axes[0].get_xlim()[0] == 0) == (scale == "linear")


# Scaling


def test_scaling_draws_the_medians_and_intervals_by_size() -> None:
    record = record_of("sample")
    figure = drawn("scaling")
    own = [r for r in record.cases if (r.mode, r.device, r.engine) == ("training", "cuda:0", "eager")]
    assert line(figure, "cuda:0 eager") == ([64, 256, 1024], [speed_of(result).median for result in own])
    for result in own:
        speed = speed_of(result)
        assert line(figure, f"interval of {result.case.label}") == ([result.batch_size] * 2, [speed.low, speed.high])


def test_the_limit_is_the_batch_over_the_bound() -> None:
    record = record_of("sample")
    own = [r for r in record.cases if (r.mode, r.device, r.engine) == ("training", "cpu", "eager")]
    limits = [result.batch_size / result.bound.bound_s for result in own if result.bound]
    assert line(drawn("scaling"), "limit cpu") == ([64, 256, 1024], limits)
    unbound = replace(record, cases=tuple(replace(result, bound=None) for result in record.cases))
    assert named(scaling_figure(unbound), "limit cpu") == []


def test_a_wrong_case_is_on_no_line() -> None:
    record = record_of("sample")
    figure = drawn("scaling")
    (wrong,) = [result for result in record.cases if result.is_wrong]
    assert line(figure, f"wrong {wrong.case.label}") == ([256], [speed_of(wrong).median])
    assert "cuda:0 compiled: wrong" in texts(figure)
    assert named(figure, "cuda:0 compiled") == []


def test_scaling_takes_two_sizes() -> None:
    assert scaling_figure(record_of("one")) is None
    assert scaling_figure(record_of("two")) is None
    two = grid(devices=("cpu",), engines=("eager",))
    assert scaling_figure(two) is not None
    wrong = tuple(replace(result, verdict=FAILED) if place else result for place, result in enumerate(two.cases))
    assert scaling_figure(replace(two, cases=wrong)) is None


def test_widths_and_threads_have_their_own_panels() -> None:
    record = grid(devices=("cpu",), hidden=((32,), (128,), (512,), (512, 512)), threads=(1, 2, 4))
    figure = scaling_figure(record)
    assert figure is not None
    said = texts(figure)
    assert "Training: images/s by batch size, 784-32-10, 4 threads" in said
    assert "Training: images/s by width of the hidden layer, 4 threads, batch 256" in said
    assert "Training: images/s by threads, 784-32-10, batch 256" in said
    expected = [
        speed_of(result).median
        for result in record.cases
        if (result.engine, result.batch_size, result.threads) == ("eager", 256, 4) and len(result.hidden) == 1
    ]
    assert line(figure, "eager", 1) == ([32, 128, 512], expected)
    assert line(figure, "eager", 2)[0] == [1, 2, 4]


def test_a_gpu_stays_beside_the_cpu_whose_threads_vary() -> None:
    cpu, gpu = grid(devices=("cpu",), threads=(1, 2)), grid(devices=("cuda:0",))
    figure = scaling_figure(replace(cpu, cases=cpu.cases + gpu.cases))
    assert line(figure, "cuda:0 eager")[0] == [64, 256]


def test_a_way_looks_the_same_in_every_panel() -> None:
    figure = drawn("scaling")
    for name in ("cpu eager", "cpu compiled", "cuda:0 eager"):
        marks = [(mark.get_color(), mark.get_marker()) for mark in named(figure, name) if isinstance(mark, Line2D)]
        assert len(marks) == 2
        assert len(set(marks)) == 1


def test_the_title_of_scaling_is_a_crossover_that_was_found() -> None:
    record = record_of("sample")
    assert title(drawn("scaling")) == record.crossovers[0].sentence
    never = tuple(replace(crossover, start=None) for crossover in record.crossovers)
    assert title(scaling_figure(replace(record, crossovers=never))) == "Throughput by batch size"


# Roofline


def test_roofline_draws_the_counted_work_over_the_measured_time() -> None:
    record = record_of("sample")
    figure = drawn("roofline")
    points = [line(figure, f"point {place}") for place in range(1, 18)]
    found = sorted((*across, *down) for across, down in points)
    costs = [(result.cost, speed_of(result).median / result.batch_size) for result in measured_of(record)]
    expected = sorted((cost.flops / cost.bytes, cost.flops * steps_per_s) for cost, steps_per_s in costs if cost)
    assert len(found) == 17
    assert found == [pytest.approx(place) for place in expected]


def limit_of(record: BenchRecord, key: str) -> float:
    (found,) = [limit for limit in record.limits if limit.key == key]
    assert found.rate is not None
    return found.rate.median


def test_roofs_are_the_measured_limits() -> None:
    record = record_of("sample")
    figure = drawn("roofline")
    matmul, memory = limit_of(record, "cpu fp32 matmul"), limit_of(record, "cpu memory")
    (first, ridge, _), (low, *flat) = line(figure, "roof cpu fp32 matmul")
    assert flat == [matmul, matmul]
    assert ridge == pytest.approx(matmul / memory)
    assert low == pytest.approx(memory * first)
    cache = limit_of(record, "cpu working set 256")
    (first, corner, _), (low, *_) = line(figure, "cache cpu fp32 matmul")
    assert (low / first, matmul / corner) == (pytest.approx(cache), pytest.approx(cache))
    assert named(figure, "cache cuda:0 fp32 matmul") == []


def test_a_roof_is_the_fastest_of_several_products_and_says_what_it_was_computed_in() -> None:
    record = record_of("sample")
    (matmul,) = [limit for limit in record.limits if limit.key == "cpu fp32 matmul"]
    rate = summarize([2 * limit_of(record, matmul.key)])
    faster = replace(matmul, key="faster", detail="2048 x 2048 x 2048", shape=(2048,), rate=rate, computed_in="bf16")
    slower = replace(matmul, key="slower", detail="512 x 512 x 512", shape=(512,))
    figure = roofline_figure(replace(record, limits=(*record.limits, faster, slower)))
    assert figure is not None
    assert line(figure, "roof faster")[1][1] == rate.median
    assert named(figure, "roof cpu fp32 matmul") == named(figure, "roof slower") == []
    assert any(text.startswith("cpu fp32, in bf16") for text in texts(figure))


def test_a_working_set_as_fast_as_memory_is_no_second_roof() -> None:
    record = record_of("sample")

    def slowed(limit: Limit) -> Limit:
        return replace(limit, rate=summarize([22e9] * 8)) if limit.kind == "working set" else limit

    figure = roofline_figure(replace(record, limits=tuple(map(slowed, record.limits))))
    assert named(figure, "cache cpu fp32 matmul") == []


def test_ticks_are_the_products_alone() -> None:
    record = record_of("sample")
    found = named(drawn("roofline"), "products alone")
    rates = {float(np.asarray(tick.get_ydata())[0]) for tick in found if isinstance(tick, Line2D)}
    known = [(r.cost.flops, r.bound.workload_s) for r in measured_of(record) if r.cost and r.bound]
    assert rates == {flops / alone_s for flops, alone_s in known if alone_s}


def test_each_point_has_its_number_and_its_row() -> None:
    said = texts(drawn("roofline"))
    assert all(said.count(str(place)) >= 2 for place in range(1, 18))  # beside the point and in the list
    assert {"170 GFLOP/s", "21.0 GB/s", "63.9 GB/s", "141 GFLOP/s", "83 %", "wrong", "overhead"} <= set(said)


def test_the_title_of_the_roofline_is_the_best_share_of_each_mode() -> None:
    record = record_of("sample")
    shares = {
        mode: max(r.bound.share for r in record.cases if r.bound and r.mode == mode and r.bound.share <= 1.05)
        for mode in ("training", "inference")
    }
    said = f"Up to {shares['training']:.0%} of the limit in training, {shares['inference']:.0%} in inference"
    assert title(drawn("roofline")) == said.replace("%", " %")
    assert any("2 cases lie above" in text for text in texts(drawn("roofline")))


def test_no_roofline_without_limits_or_counted_work() -> None:
    record = record_of("sample")
    assert roofline_figure(replace(record, limits=())) is None
    assert roofline_figure(replace(record, cases=tuple(replace(case, cost=None) for case in record.cases))) is None
    without_memory = tuple(limit for limit in record.limits if limit.kind == "matmul")
    assert roofline_figure(replace(record, limits=without_memory)) is not None


# Time to accuracy


def times_of(result: CaseResult) -> TimeToAccuracy:
    assert result.time_to_accuracy is not None
    return result.time_to_accuracy


def test_target_draws_seeds_medians_and_intervals() -> None:
    record = record_of("targets")
    figure = drawn("target")
    for result in record.cases:
        made = times_of(result)
        targets = {"with": made.with_compile}
        if made.with_compile != made.without_compile:
            targets["without"] = made.without_compile
        for which, target in targets.items():
            name = f"{result.case.label}, {which} compiling"
            assert dots(figure, f"samples of {name}") == [value for value in target.seconds if value is not None]
            assert [line(figure, f"median of {name}")[0]] == [[target.median_s]] if target.median_s else True
            assert bool(named(figure, f"median of {name}")) == (target.median_s is not None)
            low, high = line(figure, f"interval of {name}")[0][0], line(figure, f"interval of {name}")[0][-1]
            assert low == target.low_s
            assert (high == target.high_s) == (target.high_s is not None)


def test_misses_are_counted_at_the_right_edge() -> None:
    record = record_of("targets")
    figure = drawn("target")
    assert figure is not None
    notes = {text.get_text(): text for text in figure.axes[0].texts}
    assert set(notes) == {"1 missed", "7 missed"}
    reached = [value for r in record.cases for value in times_of(r).with_compile.seconds if value is not None]
    right_of_all = figure.axes[0].transData.transform((max(reached), 0))[0]
    png_bytes(figure)
    assert all(note.get_window_extent().x0 > right_of_all for note in notes.values())
    infinite = next(r for r in record.cases if times_of(r).with_compile.high_s is None)
    end = line(figure, f"interval of {infinite.case.label}, with compiling")[0][-1]
    assert end > max(reached)


def test_without_a_miss_the_axis_ends_with_the_times() -> None:
    record = record_of("targets")
    figure = target_figure(replace(record, cases=record.cases[:1]))
    assert figure is not None
    assert list(figure.axes[0].texts) == []
    longest = max(value for value in times_of(record.cases[0]).with_compile.seconds if value)
    assert figure.axes[0].get_xlim()[1] < 1.05 * longest


def test_the_quickest_is_named_only_where_its_interval_stands_alone() -> None:
    record = record_of("targets")
    fused, compiled = record.cases[2], record.cases[1]
    assert times_of(fused).with_compile.high_s < times_of(compiled).with_compile.low_s
    two = replace(record, cases=(fused, compiled))
    assert title(target_figure(two)) == "fused reaches 98 % accuracy first: in 3.96 s, compiling included"
    assert title(drawn("target")) == "Time to 98 % accuracy"
    assert title(target_figure(replace(record, cases=record.cases[3:]))).startswith("No case reaches 98 %")


def test_where_every_seed_missed_nothing_is_drawn_but_that() -> None:
    record = record_of("targets")
    none = Target(seconds=(None,) * 3, median_s=None, low_s=None, high_s=None)
    made = replace(times_of(record.cases[0]), with_compile=none, without_compile=none, epochs=(None,) * 3)
    figure = target_figure(replace(record, cases=(replace(record.cases[0], time_to_accuracy=made),)))
    assert figure is not None
    assert [text.get_text() for text in figure.axes[0].texts] == ["3 missed"]
    assert texts(figure).count("∞") == 2


def test_a_wrong_case_is_never_the_quickest() -> None:
    record = record_of("targets")
    cases = (replace(record.cases[2], verdict=FAILED), record.cases[1])
    figure = target_figure(replace(record, cases=cases))
    assert title(figure).startswith("compiled reaches")
    assert "wrong" in texts(figure)
    heights = [line(figure, f"median of {result.case.label}, with compiling")[1][0] for result in cases]
    assert heights[0] > heights[1]  # lower on the page


# The look


def lightness(colour: str) -> float:
    """CIE 1976 L*, from sRGB."""
    channels = np.array(to_rgb(colour))
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ (0.2126, 0.7152, 0.0722))
    return 116 * luminance ** (1 / 3) - 16


def test_six_series_are_told_apart_by_lightness_and_by_marker() -> None:
    levels = sorted(lightness(mark.colour) for mark in PALETTE)
    assert len(PALETTE) == 6
    assert min(after - before for before, after in itertools.pairwise(levels)) >= 7
    assert levels[-1] < 80  # still seen on white
    assert len({mark.marker for mark in PALETTE}) == 6
    assert len({series_mark(place) for place in range(12)}) == 12


def test_a_text_is_as_wide_as_it_is_drawn() -> None:
    figure = drawn("throughput")
    assert figure is not None
    found = dict(boxes(figure))
    for text, bold in (("compiled", False), ("cuda:0", False), ("Training, adamw", True)):
        assert text_width(text, bold=bold) == pytest.approx(found[text].width, abs=1)
    assert text_width("one\nthree") == text_width("three")


def test_wrapped_lines_fit_and_lose_nothing() -> None:
    said = "No program that does all the counted work can rise above its roof"
    lines = wrap(said, 200).split("\n")
    assert all(text_width(line) <= 200 for line in lines)
    assert " ".join(lines) == said
    assert wrap("784-2048-2048-2048-10", 50) == "784-2048-2048-2048-10"


def test_places_along_a_side_keep_their_order_and_distance() -> None:
    random = np.random.default_rng(1)
    for count in range(1, 12):
        wanted = random.uniform(0, 300, count).tolist()
        placed = spread(wanted, gap=25, low=10, high=290)
        ordered = [place for _, place in sorted(zip(wanted, placed, strict=True))]
        assert all(after - before >= 25 - 1e-9 for before, after in itertools.pairwise(ordered))
        assert min(placed) >= 10
        assert max(placed) <= 290 + 1e-9
    assert spread([50, 150], gap=25, low=0, high=200) == [50, 150]
    assert spread([100, 100], gap=20, low=0, high=200) == [90, 110]


def test_labels_around_points_meet_neither_each_other_nor_the_points() -> None:
    random = np.random.default_rng(2)
    points = [(float(x), float(y)) for x, y in random.uniform(200, 320, (40, 2))]
    wall, page = Bbox.from_extents(240, 0, 260, 600), Bbox.from_extents(0, 0, 600, 600)
    placed = [box for box in place_around(points, [(26.0, 20.0)] * 40, within=page, obstacles=[wall]) if box]
    assert len(placed) == 40
    taken = [*placed, wall, *(box_around(point, 2 * CLEAR, 2 * CLEAR) for point in points)]
    assert not any(
        one.padded(-1e-9).overlaps(other) for one, other in itertools.product(placed, taken) if one is not other
    )
    assert Bbox.union([*placed, page]).extents.tolist() == [0, 0, 600, 600]


def test_a_label_without_room_is_left_out() -> None:
    assert place_around([(5.0, 5.0)], [(26.0, 20.0)], within=Bbox.from_extents(0, 0, 10, 10)) == [None]


@pytest.mark.parametrize(
    ("value", "name"), [(0.25, "0.25"), (0, "0"), (20, "20"), (1000, "1 k"), (2.5e6, "2.5 M"), (3e13, "30 T")]
)
def test_ticks_have_prefixes(value: float, name: str) -> None:
    assert tick_name(value) == name


@pytest.mark.parametrize(("limits", "ticks"), [((90, 1100), [100, 200, 500, 1000]), ((0.9, 1.1e8), None)])
def test_ticks_are_round_and_as_many_as_fit(limits: tuple[float, float], ticks: list[float] | None) -> None:
    found = log_ticks(*limits, pixels=400, apart=80)
    assert ticks is None or found == pytest.approx(ticks)
    assert 2 <= len(found) <= 8


# The files


def test_pictures_are_those_that_the_record_has_figures_for(tmp_path: Path) -> None:
    assert write_bench_pictures(record_of("sample"), tmp_path) == ("throughput.png", "scaling.png", "roofline.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["roofline.png", "scaling.png", "throughput.png"]
    image = Image.open(tmp_path / "throughput.png")
    assert image.info["dpi"] == pytest.approx((150, 150), abs=0.1)
    figure = drawn("throughput")
    assert figure is not None
    assert image.size == tuple(round(150 * inches) for inches in figure.get_size_inches())


def test_stale_pictures_are_removed_and_foreign_files_spared(tmp_path: Path) -> None:
    for name in ("throughput.png", "scaling.png", "roofline.png", "time-to-accuracy.png", "notes.txt"):
        (tmp_path / name).write_bytes(b"of an earlier benchmark")
    assert write_bench_pictures(BenchRecord(config=BenchConfig()), tmp_path) == ()
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("kind", FIGURES)
def test_the_same_record_gives_the_same_bytes(kind: str) -> None:
    record = record_of("targets" if kind == "target" else "twelve")
    contents = [png_bytes(figure) for _ in range(2) if (figure := FIGURES[kind](record))]
    assert len(contents) == 2
    assert contents[0] == contents[1]
    assert Image.open(io.BytesIO(contents[0])).mode == "RGB"


def test_a_picture_that_cannot_be_removed_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "scaling.png").mkdir()
    with pytest.raises(OutputError, match=r"scaling\.png"):
        write_bench_pictures(BenchRecord(), tmp_path)


def test_bench_figures_need_neither_torch_nor_pyplot() -> None:
    loaded = "[m for m in ('torch', 'matplotlib.pyplot') if m in sys.modules]"
    check = f"import sys, accelmnist.show.pictures; print({loaded})"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
