"""The scaling study: planted exponents are found with their intervals, drift or not, and the words say what is so."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accelmnist.core.records import Check, Verdict
from accelmnist.engines import native
from accelmnist.measure import timed_case
from accelmnist.measure.limits.cost import cost_of
from accelmnist.measure.plan import Case
from accelmnist.measure.record import BenchRecord, CaseResult
from accelmnist.measure.recount import load_bench
from accelmnist.measure.statistics.summary import summarize
from accelmnist.show.figures.scaling import scaling_figure
from bench.studies.scaling import __main__ as command
from bench.studies.scaling import measuring
from bench.studies.scaling.cases import Axes, cases_of, threads_up_to
from bench.studies.scaling.growth import growths_of, speedups_of
from bench.studies.scaling.words import document, growth_text, short_texts, title_of

AXES = Axes(threads=(1, 2))
ROUNDS = 20
Law = Callable[[Case, float], float]  # a case and the operations of its step -> seconds


def planted(law: Law, *, noise: float = 0.02, drift: float = 0.0, axes: Axes = AXES) -> BenchRecord:
    """A record whose steps take what `law` says, times noise, on a machine that drifts from round to round."""
    random = np.random.default_rng(1)
    machine = np.exp(random.normal(0, drift, ROUNDS)) if drift else np.ones(ROUNDS)
    results = []
    for case in cases_of(axes):
        cost = cost_of(case)
        seconds = law(case, cost.flops) * machine * np.exp(random.normal(0, noise, ROUNDS))
        speeds = summarize((case.batch_size / seconds).tolist())
        rounds = tuple(range(1, ROUNDS + 1))
        results.append(CaseResult.of(case, status="done", images_per_s=speeds, rounds=rounds, cost=cost))
    return BenchRecord(status="done", cases=tuple(results))


def power(exponent: float) -> Law:
    return lambda case, operations: 1e-9 * operations**exponent / (case.threads or 1)


# --- what is measured


def test_the_axes_cross_in_one_case() -> None:
    cases = cases_of(AXES)
    assert len(cases) == 2 * (8 + 10 - 1 + 1)
    assert len({case.label for case in cases}) == len(cases)
    eager = [case for case in cases if case.engine == "eager" and case.threads == 2]
    assert {case.hidden[0] for case in eager if case.batch_size == 128} == {32 << power for power in range(8)}
    assert {case.batch_size for case in eager if case.hidden == (128,)} == {16 << power for power in range(10)}


@pytest.mark.parametrize(("most", "expected"), [(1, (1,)), (2, (1, 2)), (6, (1, 2, 4, 6)), (8, (1, 2, 4, 8))])
def test_threads_double(most: int, expected: tuple[int, ...]) -> None:
    assert threads_up_to(most) == expected


# --- exponents


@pytest.mark.parametrize("exponent", [0.6, 1.0, 1.2])
@pytest.mark.parametrize("drift", [0.0, 0.5])
def test_a_planted_exponent_is_found_whatever_the_drift(exponent: float, drift: float) -> None:
    growths = growths_of(planted(power(exponent), drift=drift))
    assert [(growth.engine, growth.axis) for growth in growths] == [
        ("eager", "width"),
        ("eager", "batch size"),
        ("fused", "width"),
        ("fused", "batch size"),
    ]
    for growth in growths:
        assert growth.exponent.median == pytest.approx(exponent, abs=0.01)
        assert growth.exponent.low <= growth.exponent.median <= growth.exponent.high
        assert growth.exponent.high - growth.exponent.low < 0.03
        if exponent != 1.0:
            assert growth.outcome == ("slower than" if exponent < 1 else "faster than")


def test_the_exponent_is_the_least_squares_slope() -> None:
    """Of a law that is no power, against numpy's fit in one round without noise."""
    record = planted(lambda _, operations: 1e-4 + 1e-10 * operations, noise=0.0)
    growth = growths_of(record)[0]
    widths = [result for result in record.cases if result.engine == "eager" and result.batch_size == 128]
    widths = [result for result in widths if result.threads == 2]
    operations = [result.cost.flops for result in widths]
    seconds = [result.step_s for result in widths]
    assert growth.exponent.median == pytest.approx(np.polyfit(np.log(operations), np.log(seconds), 1)[0], abs=1e-9)


def test_a_step_in_the_curve_is_the_steepest_piece_and_the_best_size_is_named() -> None:
    def law(case: Any, operations: Any) -> Any:
        return 1e-10 * operations * (1.5 if case.hidden[0] > 1024 else 1.0 if case.hidden[0] == 1024 else 1.2)

    growth = growths_of(planted(law, noise=0.001))[0]
    assert (growth.steepest.start, growth.steepest.end) == (1024, 2048)
    assert growth.steepest.exponent.median == pytest.approx(1 + np.log2(1.5), abs=0.02)
    assert growth.best == 1024
    assert growth.last_over_best.median == pytest.approx(1.5, abs=0.01)


def test_wrong_and_unmeasured_cases_take_no_part() -> None:
    record = planted(power(0.8))
    fault = Check(name="first steps", passed=False, value=1.0, limit=0.1, detail="", reason="")
    wrong = Verdict(passed=False, reference="float64", checks=(fault,))
    cases = [
        replace(case, verdict=wrong)
        if case.engine == "fused" and case.hidden == (64,)
        else replace(case, images_per_s=None, rounds=(), skipped="no kernels")
        if case.engine == "eager"
        else case
        for case in record.cases
    ]
    growths = growths_of(replace(record, cases=tuple(cases)))
    assert {growth.engine for growth in growths} == {"fused"}
    assert 64 not in growths[0].sizes
    text = document(replace(record, cases=tuple(cases)), growths, [], command="x")
    assert "no kernels" in text
    assert "**wrong**" in text


def test_the_gain_by_threads_is_paired() -> None:
    """Rounds that drift by half leave the ratio at two."""
    found = speedups_of(planted(power(1.0), drift=0.5))
    assert [(gain.engine, gain.threads) for gain in found] == [("eager", 2), ("fused", 2)]
    for gain in found:
        assert gain.ratio.median == pytest.approx(2.0, rel=0.02)
        assert gain.ratio.low < gain.ratio.median < gain.ratio.high < 2.1


# --- words and figure


def test_the_title_claims_only_what_holds() -> None:
    assert title_of(growths_of(planted(power(0.9)))).endswith("grows no faster than its arithmetic")
    said = title_of(growths_of(planted(power(1.1))))
    assert said.startswith("A step's time grows faster than its arithmetic: eager by width, eager by batch size, fused")


def test_sentences() -> None:
    growth = growths_of(planted(power(0.9), noise=0.0))[0]
    assert growth_text(growth) == (
        "eager, width 32 to 4,096: a step's time grows as its arithmetic to the power of 0.90 (0.90 to 0.90), "
        "slower than the arithmetic; steepest "
        f"from {growth.steepest.start:,} to {growth.steepest.end:,}, 0.90 (0.90 to 0.90); "
        "an operation is cheapest at 4,096"
    )
    lines = short_texts(growths_of(planted(power(0.9), noise=0.0)), speedups_of(planted(power(0.9), noise=0.0)))
    assert lines[1] == (
        "fused: exponent of a step's time over its arithmetic by width 0.90 (0.90 to 0.90), "
        "by batch size 0.90 (0.90 to 0.90); 2 threads over one 2.00 (2.00 to 2.00)."
    )


def test_the_figure_takes_a_title_and_notes() -> None:
    figure = scaling_figure(planted(power(0.9)), title="A title of its own", notes=["What was found."])
    texts = [text.get_text() for text in figure.texts]
    assert "A title of its own" in texts
    assert "What was found." in texts
    titles = [text for text in texts if text.startswith("Training: images/s by ")]
    assert [title.split(" by ")[1].split(",")[0] for title in titles] == [
        "batch size",
        "width of the hidden layer",
        "threads",
    ]


# --- the command


@pytest.mark.slow
def test_the_command_measures_and_writes_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "scaling"
    arguments = ["scaling", "--out", str(out), "--seconds", "0", "--widths", "4,8,16", "--batch-sizes", "128"]
    monkeypatch.setattr(measuring, "FEWEST_ROUNDS", 2)
    monkeypatch.setattr(timed_case.TimedCase, "least_s", 0.01)
    monkeypatch.setattr("sys.argv", [*arguments, "--threads", "1"])
    monkeypatch.setattr(command, "cases_of", lambda axes: cases_of(replace(axes, engines=("fused",))))
    command.main()
    record = load_bench(out)
    assert len(record.rounds) == 2
    assert record.status == "done"
    if native.why_missing() is None:
        assert all(case.verdict.passed and case.share_of_limit for case in record.cases)
    assert {file.name for file in out.iterdir()} >= {"bench.json", "growth.json", "scaling.md"}
    text = Path(out / "scaling.md").read_text()
    assert text.strip() == capsys.readouterr().out.strip()
    assert text.count("| fused | 4 | 128 | 1 |") == 1
    monkeypatch.setattr("sys.argv", [*arguments, "--from"])
    command.main()
    assert Path(out / "scaling.md").read_text() == text
    assert json.loads(Path(out / "growth.json").read_text())["kind"] == "scaling"


def test_an_engine_that_lacks_is_a_row_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "why_missing", lambda: "the native kernels are not built")
    monkeypatch.setattr("sys.argv", ["scaling", "--out", str(tmp_path), "--seconds", "0", "--threads", "1"])
    monkeypatch.setattr(command, "cases_of", lambda axes: cases_of(Axes((8,), (128,), (1,), ("fused",))))
    command.main()
    assert "the native kernels are not built" in Path(tmp_path / "scaling.md").read_text()


@pytest.mark.parametrize("widths", ["0,4", "x", "70000"])
def test_sizes_that_cannot_be_are_refused(widths: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.parse(["--out", "x", "--widths", widths])
    assert "--widths" in capsys.readouterr().err
