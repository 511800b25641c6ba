"""Several ranks measured: planted laws are found, predictions owe nothing to what they predict, faults are named."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from accelmnist.cli import invoke
from accelmnist.core.errors import ConfigError, RecordError
from accelmnist.core.files import encode
from accelmnist.core.records import Check, RankFigures, Verdict
from accelmnist.device.ranks import Place, Ranks
from accelmnist.measure.plan import RANK_BATCH_SIZES, BenchConfig, Case
from accelmnist.measure.record import BenchRecord, Round, save_bench
from accelmnist.measure.recount import load_bench
from accelmnist.measure.scaling import SUM_BYTES, SilentRanks, _Point, _Probe, _Slice, steps_between
from accelmnist.measure.scaling_record import ExchangeProbe, Scaling, ScalingRow, SumProbe, rows_of
from accelmnist.measure.step_model import conclude_scaling, predicted_start
from accelmnist.show.bench.headline import format_line
from accelmnist.show.bench.page import bench_note, bench_page
from accelmnist.show.render.console import as_text
from accelmnist.show.render.markdown import render_markdown
from tests.test_recount import bent, leaves

ROUNDS, STEPS = 12, 10
LATENCY_S, BYTES_PER_S = 5e-4, 1e9
CASES = tuple(
    Case(
        mode="training",
        device="cpu",
        engine="fused",
        precision="fp32",
        batch_size=size,
        hidden=(256,),
        optimizer="adamw",
        threads=1,
    )
    for size in RANK_BATCH_SIZES
)
RANKS = tuple(RankFigures(rank=rank, host=f"node{rank}", device="cpu", threads=1) for rank in range(2))
PASSED = Verdict.of("float64", [Check.at_most("one", 0, 1, detail="", reason="")])


def computes_s(rows: int) -> float:
    """What a step on so many rows takes by the law that is planted."""
    return 2e-4 + 4e-6 * rows


def step_s(row: ScalingRow) -> float:
    """What a step of the row takes by that law."""
    sums = LATENCY_S + row.sum_bytes / BYTES_PER_S
    rows = row.batch_size / (row.ranks if row.form in ("strong", "compute") else 1)
    return computes_s(int(rows)) + (sums if row.form in ("strong", "weak") else 0.0)


def planted(
    *, slower: float = 1.0, noise: float = 0.01, lost_s: float = 0.0, also_lost_s: dict[int, float] | None = None
) -> BenchRecord:
    """A record by that law; rank 1 computes `slower` alone, and strong steps lose `lost_s`, at some sizes more."""
    rng = np.random.default_rng(0)
    rounds = tuple(range(1, ROUNDS + 1))
    rows = []
    for row in rows_of(CASES, (1, 2)):
        seconds = np.exp(rng.normal(0, noise, (ROUNDS, 1))) * np.exp(rng.normal(0, noise / 4, (ROUNDS, row.ranks)))
        lost = (lost_s + (also_lost_s or {}).get(row.batch_size, 0.0)) if row.form == "strong" else 0.0
        seconds *= STEPS * (step_s(row) + lost)
        if row.form in ("independent", "compute"):
            seconds[:, 1] *= slower
        taken = tuple(map(tuple, seconds.tolist()))
        by_step = tuple(max(one) / STEPS for one in taken) if row.form == "compute" else ()
        verdict = None if row.form == "compute" else PASSED
        rows.append(
            replace(row, rounds=rounds, rank_s=taken, steps_per_region=STEPS, step_s_by_round=by_step, verdict=verdict)
        )
    sizes = sorted({*SUM_BYTES, rows[1].sum_bytes})
    times = {size: (LATENCY_S + size / BYTES_PER_S) * np.exp(rng.normal(0, noise, ROUNDS)) for size in sizes}
    sums = tuple(
        SumProbe(
            ranks=2,
            bytes=size,
            is_step=size == rows[1].sum_bytes,
            calls=3,
            rounds=rounds,
            call_s=tuple(times[size].tolist()),
            values=ROUNDS * 3 * 2 * max(size // 4, 1),
        )
        for size in sizes
    )
    exchange = ExchangeProbe(ranks=2, bytes=1 << 22, rounds=rounds, rank_s=((0.004, 0.005),) * ROUNDS, values=1)
    record = BenchRecord(
        status="done",
        config=BenchConfig(ranks=(1, 2), devices=("cpu",)),
        rounds=tuple(Round(number=number, process=0) for number in rounds),
        ranks=RANKS,
        backend="gloo",
        scaling=Scaling(rows=tuple(rows), sums=sums, exchanges=(exchange,)),
    )
    return concluded(record)


def concluded(record: BenchRecord) -> BenchRecord:
    assert record.scaling is not None
    return replace(record, scaling=conclude_scaling(record.scaling, record.ranks))


def found(record: BenchRecord) -> Scaling:
    assert record.scaling is not None
    return record.scaling


def strong_rows(record: BenchRecord) -> list[ScalingRow]:
    return [row for row in found(record).rows if row.form == "strong"]


# --- what follows from the samples


def test_latency_bandwidth_step_and_crossover_are_those_that_were_planted() -> None:
    record = planted()
    (model,) = found(record).models
    assert model.latency_s == pytest.approx(LATENCY_S, rel=0.05)
    assert model.bytes_per_s == pytest.approx(BYTES_PER_S, rel=0.05)
    assert set(SUM_BYTES) > set(model.fitted) - {model.bytes} == {1 << 16, 1 << 18, 1 << 20, 1 << 22}
    for row in strong_rows(record):
        assert row.prediction is not None
        assert row.prediction.holds
        assert row.prediction.step_s == pytest.approx(step_s(row), rel=0.02)
    # 4 µs a row saved on half of them have to pay 0.5 ms and 814 kB: from 657 images on.
    (pays,) = found(record).pays
    assert (pays.start, pays.predicted) == (1024, 1024)
    assert "one step of batch 64 computes 0.45" in pays.sentence
    assert "2 ranks pay from batch 1,024 on" in pays.sentence


def test_what_is_lost_between_computing_and_summing_is_that_of_the_other_batch_sizes() -> None:
    lost_s = 1e-3
    for row in strong_rows(planted(noise=0.003, lost_s=lost_s)):
        assert row.prediction is not None
        assert row.prediction.holds
        assert row.prediction.lost_s == pytest.approx(lost_s, rel=0.1)
        assert row.prediction.step_s == pytest.approx(step_s(row) + lost_s, rel=0.02)


@pytest.mark.parametrize("size", RANK_BATCH_SIZES)
def test_no_measured_step_takes_part_in_its_prediction(size: int) -> None:
    right, longer = planted(noise=0.003), planted(noise=0.003, also_lost_s={size: 2e-3})
    one, other = (next(row for row in strong_rows(made) if row.batch_size == size) for made in (right, longer))
    assert one.prediction is not None
    assert other.prediction is not None
    assert one.prediction.step_s == other.prediction.step_s
    assert (one.prediction.holds, other.prediction.holds) == (True, False)


def test_a_single_batch_size_is_predicted_as_if_nothing_were_lost() -> None:
    record = planted(lost_s=1e-3)
    scaling = found(record)
    (row,) = (one for one in strong_rows(record) if one.batch_size == 64)
    alone = conclude_scaling(replace(scaling, rows=tuple(one for one in scaling.rows if one.batch_size == 64)))
    (predicted,) = (one.prediction for one in alone.rows if one.form == "strong")
    assert predicted is not None
    assert row.prediction is not None
    assert predicted.lost_s == 0
    assert predicted.step_s == row.prediction.compute_s + row.prediction.sum_s


def test_speed_ups_are_over_one_rank_alone_and_below_one_where_sums_cost_more_than_they_save() -> None:
    rows = {(row.form, row.batch_size): row for row in found(planted(noise=0.002)).rows}
    for size in RANK_BATCH_SIZES:
        for form in ("strong", "weak", "independent"):
            row = rows[form, size]
            assert row.speedup is not None
            speed = row.step_images / step_s(row) / (size / computes_s(size))
            assert row.speedup.ratio == pytest.approx(speed, rel=0.01)
    assert rows["strong", 64].speedup.verdict == "slower"
    assert rows["strong", 4096].speedup.verdict == "faster"
    assert rows["independent", 64].speedup.ratio == pytest.approx(2, rel=0.01)


def test_a_sample_is_that_of_the_slowest_rank() -> None:
    row = next(row for row in found(planted(slower=2.0)).rows if row.form == "independent")
    assert row.images_per_s is not None
    slowest = [row.images / seconds[1] for seconds in row.rank_s]
    assert row.images_per_s.samples == pytest.approx(slowest)
    assert row.spread == pytest.approx(0.5, rel=0.02)


def test_a_slow_rank_is_named_with_its_host_and_device_and_none_where_all_are_alike() -> None:
    assert found(planted()).slow == ()
    (slow,) = found(planted(slower=1.1)).slow
    assert (slow.rank, slow.host, slow.device) == (1, "node1", "cpu")
    assert slow.sentence.startswith("rank 1 (node1, cpu) computes at 90.")
    assert slow.sentence in format_line(planted(slower=1.1))


@pytest.mark.parametrize(
    ("shared_s", "start"), [([3, 4, 6], 256), ([1, 1, 1], 64), ([9, 9, 9], None), ([1, 9, 8], 1024)]
)
def test_ranks_pay_from_a_size_on_if_they_do_at_every_larger_one(shared_s: list[float], start: int | None) -> None:
    assert predicted_start([64, 256, 1024], [2, 5, 8.1], shared_s) == start


def test_sizes_between_the_measured_ones_are_tried() -> None:
    assert predicted_start([64, 1024], [1, 16], [5, 11]) == 512


def test_seconds_between_sums_are_those_of_steps_and_add_up() -> None:
    assert steps_between([0.0, 1.0, 3.0, 6.0], 6.5, 3) == (1.5, 2.0, 3.0)
    assert steps_between([0.0], 6.0, 3) == (2.0, 2.0, 2.0)  # a captured graph


# --- what is measured


def test_silent_ranks_leave_what_they_computed_and_the_marks_of_all() -> None:
    numbers = torch.tensor([1.0, 2.0, 0.0, 7.0, 0.0])
    silent = SilentRanks(1, 3)
    silent.add(numbers)
    assert numbers.tolist() == [1, 2, 7, 7, 7]
    assert (silent.bytes, len(silent.moments)) == (20, 1)


class _Others(Ranks):
    """One rank whose neighbour tells what `answer` makes of its own."""

    def __init__(self, answer: Callable[[Any], Any]) -> None:
        super().__init__(Place(0, 2, 0, 2))
        self.answer = answer

    def tell(self, value: Any) -> list[Any]:
        return [value, self.answer(value)]

    def add(self, numbers: torch.Tensor) -> None:
        numbers *= 1 if len(numbers) == 1 else 2


def test_ranks_with_other_weights_after_a_region_are_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    row = rows_of(CASES, (1, 2))[1]
    for theirs, fault in (("as mine", []), ("others", ["rank 1 has other weights than rank 0 after a timed region"])):
        point = _Point(row, _Others(lambda own, theirs=theirs: replace(own, seconds=2.0, weights=theirs)))
        point.warm = object()
        monkeypatch.setattr(point, "_slice", lambda _: _Slice(1.0, weights="as mine"), raising=False)
        assert point.take() == 64 / 2.0
        assert point.faults == fault


def test_values_that_are_not_the_sum_are_counted() -> None:
    others = _Others(lambda own: own)
    from accelmnist.device import resolve

    probe = _Probe(SumProbe(ranks=2, bytes=4000), others, others, resolve("cpu"))
    probe.take()  # the neighbour sends the same numbers, and should send one more
    probe.end_round(1)
    assert isinstance(probe.probe, SumProbe)
    assert (probe.probe.wrong, probe.probe.values) == (2 * 1000, 2 * 1000)


# --- the record


def test_every_figure_that_follows_from_others_is_held_to_them(tmp_path: Path) -> None:
    document = json.loads(encode(planted()))
    file = tmp_path / "bench.json"
    file.write_text(json.dumps(document))
    load_bench(file)
    raw = {
        "rank_s",
        "call_s",
        "step_s_by_round",
        "checks",
        "threads",
        "batch_size",
        "hidden",
        "ranks",
        "wrong",
        "config",
    }
    figures = [(path, value) for path, value in leaves(document["scaling"]) if not raw & set(path)]
    figures = [one for one in figures if one[0][0] != "exchanges" or one[0][-1] != "values"]
    assert len(figures) > 500
    for path, value in figures[::23]:
        file.write_text(json.dumps(bent(document, ("scaling", *path), value)))
        with pytest.raises(RecordError, match=r"bench\.json"):
            load_bench(file)


@pytest.mark.parametrize("width", [80, 120])
def test_the_page_says_what_was_found_at_any_width(width: int, tmp_path: Path) -> None:
    record = planted()
    text = as_text(bench_page(record, tmp_path), width=width)
    assert max(map(len, text.splitlines())) <= width
    words = " ".join(text.split())
    for said in (
        "PASS 2 ranks over gloo, 16 of 16 rows measured in 12 rounds",
        "2 ranks pay from batch 1,024 on",
        "The predicted step lies in the interval of the measured one in",
        "Strong scaling: the ranks share every batch",
        "All-to-all of 4.19 MB over 2 ranks: rank 0 4 ms, rank 1 5 ms",
        "0 of 72",
        "node1",
    ):
        assert said in words
    assert "node1" in render_markdown(bench_note(record))


def test_a_wrong_sum_and_wrong_weights_fail_the_benchmark() -> None:
    record = planted()
    scaling = found(record)
    sums = (replace(scaling.sums[3], wrong=2), *scaling.sums[4:])
    failed = Verdict.of("float64", [Check.without("equal ranks", ["rank 1 has others"], finds="", reason="")])
    rows = (scaling.rows[0], replace(scaling.rows[1], verdict=failed), *scaling.rows[2:])
    for wrong in (replace(scaling, sums=sums), replace(scaling, rows=rows)):
        line = format_line(replace(record, scaling=wrong))
        assert line.startswith("FAIL")
        assert "wrong: " in line


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"processes": 2}, "--processes"),
        ({"target_accuracy": 0.9}, "--target-accuracy"),
        ({"modes": ("inference",)}, "--mode"),
        ({"ranks": (0, 2)}, "out of range"),
        ({"ranks": (2, 2)}, "given twice"),
    ],
)
def test_what_ranks_cannot_be_measured_with_is_refused(other: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        BenchConfig(**{"ranks": (1, 2), **other})


# --- two processes


@pytest.fixture(scope="session")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a benchmark of two ranks over gloo, with few rounds."""
    folder = tmp_path_factory.mktemp("ranks") / "bench"
    command = f"--ranks 1,2 --dataset synthetic --hidden 32 --batch-sizes 64,65 --engines eager --out {folder}"
    command += " --time-limit 500"
    process = subprocess.run(
        [sys.executable, "-m", "accelmnist", "bench", *command.split(), "--precision-target", "0.9"],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    assert "PASS" in process.stdout
    return folder


@pytest.mark.slow
def test_two_processes_are_measured_and_proven(two_ranks: Path) -> None:
    record = load_bench(two_ranks)
    scaling = found(record)
    measured = {(row.form, row.ranks, row.batch_size): row for row in scaling.rows if row.rounds}
    assert {form for form, _, _ in measured} == {"single", "strong", "weak", "independent", "compute"}
    assert all(
        row.verdict is not None and row.verdict.passed for row in scaling.rows if row.rounds and row.form != "compute"
    )
    names = {check.name for check in measured["strong", 2, 64].verdict.checks}
    assert {"equal ranks", "images miscounted", "audited weights, timed", "deviation of a timed result"} <= names
    assert all(len(seconds) == row.ranks for row in scaling.rows for seconds in row.rank_s)
    odd = next(row for row in scaling.rows if row.form == "strong" and row.batch_size == 65)
    assert "65 images can't be shared equally by 2 ranks" in (odd.skipped or "")
    assert {probe.bytes for probe in scaling.sums} >= {1, 1 << 26, 4 * (784 * 32 + 32 + 32 * 10 + 10 + 1 + 2)}
    assert all(probe.values > 0 == probe.wrong for probe in (*scaling.sums, *scaling.exchanges))
    assert [one.rank for one in record.ranks] == [0, 1]
    assert record.backend is not None
    assert record.backend.startswith("gloo")
    assert measured["strong", 2, 64].prediction is not None


@pytest.mark.slow  # loads the command line and torch
def test_a_benchmark_of_ranks_that_was_stopped_does_not_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_bench(replace(planted(), status="interrupted"), tmp_path)
    assert invoke(["bench", "--resume", str(tmp_path), "--quiet"]) == 2
    assert "a benchmark of ranks can't go on" in capsys.readouterr().err
