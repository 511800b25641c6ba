"""`accelmnist history`: a planted step is found at its place, none where there is none, and bad files are told."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from accelmnist.cli import invoke
from accelmnist.measure.compare.case_comparison import Rules
from accelmnist.measure.history import found as found_module
from accelmnist.measure.history.found import find_records
from accelmnist.measure.history.lines import History, Line, history_of
from accelmnist.measure.record import BenchRecord
from accelmnist.measure.statistics.change import FEWEST, SHORTEST, find_changes
from accelmnist.measure.statistics.summary import Summary
from accelmnist.show.figures.history import history_figure
from accelmnist.show.figures.sheet import png_bytes
from accelmnist.show.history import course, history_note, history_page
from accelmnist.show.render.console import as_text
from accelmnist.show.render.markdown import render_markdown
from tests.history_samples import on_other_hardware, sample_series, save_series
from tests.samples import sample_verdict
from tests.test_compare import COMPILED, EAGER, with_case, without_limits

PLACE = 13
SLOWER = 1 / 1.05


@pytest.fixture(scope="module")
def stepped() -> list[BenchRecord]:
    """Twenty records in which eager is 5 % slower from the fourteenth on, on a machine that differs by a fifth."""
    return sample_series(20, step=SLOWER, place=PLACE)


def read(folder: Path, **rules: float | bool) -> History:
    return history_of(*find_records([folder]), Rules(**rules))


def line_of(history: History, case: str) -> Line:
    (line,) = (line for line in history.lines if line.case == case)
    return line


# --- where a series changed


def test_a_step_is_found_at_its_place_with_its_interval() -> None:
    random = np.random.default_rng(0)
    values = 1e5 * random.lognormal(0, 0.008, 20) * np.where(np.arange(20) < 7, 1.0, 0.95)
    (change,) = find_changes(values.tolist())
    assert change.place == 7
    assert change.comparison.low < 0.95 < change.comparison.high
    assert change.comparison.verdict == "slower"
    assert change.p_value < 0.005


def test_two_steps_are_two_and_a_stray_figure_is_none() -> None:
    random = np.random.default_rng(1)
    levels = np.repeat([1.0, 0.9, 1.05], 8)
    values = random.lognormal(0, 0.005, 24) * levels
    assert [change.place for change in find_changes(values.tolist())] == [8, 16]
    flat = random.lognormal(0, 0.005, 24)
    flat[11] = 0.5
    assert find_changes(flat.tolist()) == ()


def test_a_dip_is_found_where_it_begins_and_where_it_ends() -> None:
    """Of a hundred series by noise of 1 % nine in ten and more; both intervals hold the 5 % as often as they say."""
    random, dip = np.random.default_rng(3), np.where((np.arange(20) >= 8) & (np.arange(20) < 13), 0.95, 1.0)
    found = [find_changes((random.lognormal(0, 0.01, 20) * dip).tolist()) for _ in range(100)]
    pairs = [changes for changes in found if [change.place for change in changes] == [8, 13]]
    assert len(pairs) >= 90
    for turn, ratio in enumerate((0.95, 1 / 0.95)):
        over = [changes[turn].comparison for changes in pairs]
        assert sum(one.low < ratio < one.high for one in over) >= stats.binom.ppf(1e-3, len(pairs), 0.9)
        assert all(one.high < 1 if ratio < 1 else one.low > 1 for one in over)


def test_a_dip_of_a_long_series_is_found_to_the_figure() -> None:
    values = np.random.default_rng(4).lognormal(0, 0.005, 1000)
    values[401:467] *= 0.95
    values[700:] *= 1.03
    assert [change.place for change in find_changes(values.tolist(), series=15)] == [401, 467, 700]


def test_false_changes_are_as_rare_as_said() -> None:
    """At 5 %, with no threshold to help: of 400 series without a change, no more than chance allows at one in 10^4."""
    random = np.random.default_rng(2)
    shapes = (
        lambda: random.lognormal(0, 0.01, 20),
        lambda: np.exp(-0.01 * random.exponential(size=20)),
        lambda: np.exp(0.01 * random.standard_t(2, 20)),
        lambda: random.lognormal(0, 0.01, 20) * np.where(random.random(20) < 0.1, 0.7, 1.0),
    )
    false = sum(bool(find_changes(shape().tolist(), threshold=1e-9)) for shape in shapes for _ in range(100))
    assert false <= stats.binom.ppf(1 - 1e-4, 400, 0.05)


def test_with_many_series_each_has_to_stand_out_more() -> None:
    random = np.random.default_rng(0)
    values = (random.lognormal(0, 0.03, 12) * np.where(np.arange(12) < 6, 1.0, 0.95)).tolist()
    (alone,) = find_changes(values)
    assert 0.002 < alone.p_value < 0.02  # of 200,000 orders it is 0.005
    assert find_changes(values, series=200) == ()


def test_what_no_order_changes_is_no_step() -> None:
    assert find_changes([1.0] * 20) == ()
    assert find_changes([1.0, 1.0, 1.0, 2.0, 2.0]) == ()  # too few
    assert FEWEST == 2 * SHORTEST
    assert [change.place for change in find_changes([1.0] * 10 + [0.9] * 10)] == [10]


# --- records


def test_the_planted_step_and_no_other(tmp_path: Path, stepped: list[BenchRecord]) -> None:
    history = read(save_series(stepped, tmp_path))
    (change,) = line_of(history, EAGER).changes
    assert change.place == PLACE
    assert change.comparison.low < SLOWER < change.comparison.high
    assert all(line.changes == () for line in history.lines if line.case != EAGER)
    assert len(line_of(history, EAGER).divided_by) == 4
    raw = read(tmp_path, raw=True)
    assert line_of(raw, EAGER).changes == ()  # the machine's own differences hide it
    assert line_of(raw, EAGER).divided_by == ()


def test_none_in_equal_records(tmp_path: Path) -> None:
    history = read(save_series(sample_series(20, seed=3), tmp_path))
    assert [line.changes for line in history.lines] == [(), (), ()]
    assert history.passed


def test_a_level_is_the_speed_over_the_machines(tmp_path: Path) -> None:
    """With a machine of half the speed from the third record on, and nothing else, all levels are 1."""
    whole, *_ = sample_series(1)
    half = replace(
        whole,
        created="2026-10-01T00:00:00+00:00",
        cases=tuple(replace(one, images_per_s=scaled(one.images_per_s, 0.5)) for one in whole.cases),
        rounds=tuple(replace(one, limits={key: rate / 2 for key, rate in one.limits.items()}) for one in whole.rounds),
    )
    line = line_of(read(save_series([whole, half], tmp_path)), EAGER)
    assert line.levels == pytest.approx([1.0, 1.0], rel=1e-12)
    assert line.figures[1].images_per_s == pytest.approx(line.figures[0].images_per_s / 2)


def scaled(summary: Summary, factor: float) -> Summary:
    return replace(summary, samples=tuple(factor * one for one in summary.samples))


def test_a_bent_median_moves_nothing(tmp_path: Path) -> None:
    series = sample_series(2)
    before = line_of(read(save_series(series, tmp_path / "a")), EAGER)
    bent = [with_case(one, EAGER, images_per_s=replace(one.cases[0].images_per_s, median=9e9)) for one in series]
    after = line_of(read(save_series(bent, tmp_path / "b")), EAGER)
    assert after.levels == before.levels


def test_other_hardware_and_other_work_are_other_lines(tmp_path: Path) -> None:
    one, two, three, four = sample_series(4)
    plain = replace(four, config=replace(four.config, plain=True))
    history = read(save_series([one, on_other_hardware(two), three, plain], tmp_path))
    lines = [(len(line.figures), line.hardware, line.work) for line in history.lines if line.case == EAGER]
    assert lines == [(2, "AMD EPYC 9B14, 2 threads", ""), (1, "Apple M4, 2 threads", ""), (1, lines[0][1], "plain")]


def test_a_wrong_result_has_no_speed_and_fails_if_it_is_the_newest(tmp_path: Path) -> None:
    series = sample_series(4)
    wrong = sample_verdict(passed=False)
    series[1] = with_case(series[1], EAGER, verdict=wrong)
    history = read(save_series(series, tmp_path / "a"))
    assert [one.wrong for one in line_of(history, EAGER).figures] == [False, True, False, False]
    assert len(line_of(history, EAGER).levels) == 3
    assert history.passed
    series[3] = with_case(series[3], EAGER, verdict=wrong)
    history = read(save_series(series, tmp_path / "b"))
    assert [line.case for line in history.lines if line.fails] == [EAGER]
    assert not history.passed


def test_a_record_without_limits_has_no_level_and_a_line_without_any_is_raw(tmp_path: Path) -> None:
    series = sample_series(4)
    series[2] = without_limits(series[2])
    line = line_of(read(save_series(series, tmp_path / "a")), EAGER)
    assert [one.level is None for one in line.figures] == [False, False, True, False]
    line = line_of(read(save_series([*map(without_limits, series)], tmp_path / "b")), EAGER)
    assert line.divided_by == ()
    assert len(line.levels) == 4


# --- the command


Tell = Callable[..., tuple[int, str, str]]


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Tell:
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments: object) -> tuple[int, str, str]:
        code = invoke(["history", *map(str, arguments)])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_the_page_says_where_it_changed_and_what_else_did(
    tmp_path: Path, stepped: list[BenchRecord], tell: Tell
) -> None:
    folder = save_series(stepped, tmp_path)
    code, out, err = tell(folder, "--fail-on", "3%")
    assert (code, err) == (1, "")
    said = " ".join(out.split())
    assert "2026-09-14 08:00 eager: slower, −5." in said
    assert "the record before is of 2026-09-13 08:00" in said
    assert "commit a0000000000c → b0000000000d, torch 2.14.0 → 2.14.1" in said
    assert "20 records, 3 lines, 1 change FAIL 1 line eager: slower than it was: −5." in said
    assert out.rstrip().endswith(str(folder / "history.png"))
    with Image.open(folder / "history.png") as picture:
        assert picture.width > 1000
    assert tell(folder, "--fail-on", "9%", "--no-save")[0] == 0
    assert tell(folder, "--no-save")[0] == 0


def test_an_improvement_fails_nothing(tmp_path: Path, tell: Tell) -> None:
    folder = save_series(sample_series(16, step=1.06, place=8), tmp_path)
    code, out, _ = tell(folder, "--fail-on", "2%", "--no-save")
    assert code == 0
    assert "PASS  no line is slower than it was by 2 % or more" in out
    assert re.search(r"eager: faster, \+[56]\.\d %", " ".join(out.split()))


def test_every_record_of_a_case_that_is_asked_for(tmp_path: Path, stepped: list[BenchRecord], tell: Tell) -> None:
    code, out, _ = tell(save_series(stepped, tmp_path), "--case", "training EAGER", "--no-save")
    rows = [line for line in out.splitlines() if line.startswith("2026-09-") and "2.14." in line]
    assert (code, len(rows)) == (0, 20)
    assert ["−5." in row for row in rows] == [place == PLACE for place in range(20)]
    code, _, err = tell(tmp_path, "--case", "nobody", "--no-save")
    assert (code, err) == (2, "error: no case of 3 is called nobody. Give folders in which benchmarks lie\n")


def test_json_and_markdown_stand_alone(tmp_path: Path, stepped: list[BenchRecord], tell: Tell) -> None:
    folder = save_series(stepped[:8], tmp_path)
    code, out, err = tell(folder, "--json")
    document = json.loads(out)
    assert (code, err) == (0, f"{folder / 'history.png'}\n")
    assert (document["kind"], document["records"], len(document["lines"])) == ("history", 8, 3)
    code, out, _ = tell(folder, "--markdown", "--no-save")
    assert out.startswith("**8 records, 3 lines, 0 changes**\n")


def test_broken_foreign_newer_and_huge_files_are_named_and_left_out(
    tmp_path: Path, stepped: list[BenchRecord], tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_series(stepped[:3], tmp_path / "records")
    whole = (folder / "0000" / "bench.json").read_bytes()
    document = json.loads(whole)
    monkeypatch.setattr(found_module, "LARGEST", 2 * len(whole))
    bad = {
        "cut": (whole[: len(whole) // 2], "is not whole JSON"),
        "newer": (json.dumps({**document, "schema_version": 9}).encode(), "has schema version 9, newer than the 1"),
        "huge": (b" " * (2 * len(whole) + 1), "is larger than"),
        "foreign": (b'{"benchmarks": []}', "no benchmark's record"),
        "list": (b"[1, 2]", "no benchmark's record"),
        "binary": (b"\x00\xff\xfe", "is not whole JSON"),
        "typed": (json.dumps({**document, "cases": "many"}).encode(), "is damaged: Expected `array`, got `str`"),
        "layerless": (re.sub(rb'("hidden": \[\s*)\d+', rb"\g<1>0", whole), "is damaged: --hidden"),
        "a-run": (b'{"schema_version": 1, "kind": "run"}', "is a record of kind 'run'"),
        "twice": (whole, f"is the same as {folder / '0000' / 'bench.json'}"),
        "negative": (whole.replace(b'"samples": [', b'"samples": [-1.0,', 1), "is damaged"),
    }
    for name, (content, _) in bad.items():
        (folder / f"x-{name}").mkdir()
        (folder / f"x-{name}" / "bench.json").write_bytes(content)
    (folder / "run.json").write_text('{"schema_version": 1, "kind": "run"}')  # of another command: not a word
    (folder / "x-pipe").mkdir()
    found_module.Path(folder / "x-pipe" / "bench.json").symlink_to(folder / "nowhere")
    code, out, err = tell(folder, "--no-save")
    said = out.replace("\n", " ")
    assert (code, err) == (0, "")
    assert "3 records, 3 lines, 0 changes" in said
    _, found = find_records([folder])
    left_out = {name: one.reason for one in [*found, *read(folder).skipped] for name in one.names}
    for name, (_, reason) in bad.items():
        assert left_out[str(folder / f"x-{name}" / "bench.json")].startswith(reason)
    assert left_out[str(folder / "x-pipe" / "bench.json")] == "no such file or directory"
    assert len(left_out) == len(bad) + 1


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nowhere"], "there is no nowhere. Give folders in which benchmarks lie"),
        (["."], "no benchmark was found. Give folders in which benchmarks lie"),
        ([".", "--json", "--markdown"], "--json contradicts --markdown. Give one of them"),
        ([".", "--out", "a.png", "--no-save"], "--out contradicts --no-save. Give one of them"),
        ([".", "--out", "picture"], "--out picture is no name of a picture. Give one that ends in .png"),
        ([".", "--fail-on", "much"], "--fail-on: 'much' is not a share. Give one such as 5% or 0.05"),
        ([".", "--fail-on", "1%"], "--fail-on: 1 % is below the threshold of 2 %"),
        ([".", "--threshold", "0"], "--threshold: 0 % is out of range"),
    ],
)
def test_wrong_use_is_one_line(
    arguments: list[str], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tell: Tell
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = tell(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: {line}")


def test_a_picture_that_cannot_be_written_takes_nothing_back(
    tmp_path: Path, stepped: list[BenchRecord], tell: Tell
) -> None:
    folder = save_series(stepped[:3], tmp_path / "records")
    (tmp_path / "file").write_text("")
    code, out, err = tell(folder, "--out", tmp_path / "file" / "h.png")
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("error: cannot write ")
    assert "3 records, 3 lines, 0 changes" in out


# --- how it looks


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_page_fits_the_line(width: int, tmp_path: Path, stepped: list[BenchRecord]) -> None:
    series = [*stepped, *map(on_other_hardware, stepped)]
    history = read(save_series(series, tmp_path), fail_on=0.03)
    text = as_text(history_page(history), width=width)
    assert max(map(len, text.splitlines())) <= width
    assert "eager on Apple M4" in text
    if width == 80:
        assert "case: eager" not in text  # a table, no list of cells
    assert render_markdown(history_note(history)).startswith("**40 records, 6 lines, 2 changes**")


def test_a_course_goes_from_the_lowest_to_the_highest() -> None:
    assert course([1.0, 2.0, 1.5]) == "▁█▅"
    assert course([1.0, 1.0]) == "▁▁"
    assert course([]) == ""
    assert len(course(list(range(1, 1000)))) == 16


def test_the_picture_has_a_panel_a_case_and_a_mark_a_change(tmp_path: Path, stepped: list[BenchRecord]) -> None:
    figure = history_figure(read(save_series(stepped, tmp_path / "a")))
    assert figure is not None
    labels = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert len(figure.axes) == 3
    assert [label[:3] for label in labels] == ["−5."]
    assert Image.open(io.BytesIO(png_bytes(figure))).size[0] > 1500
    alone = history_figure(read(save_series(stepped[:1], tmp_path / "b")))
    assert alone is None
    series = [one if place else with_case(one, COMPILED, verdict=sample_verdict(passed=False)) for place, one in
              enumerate(stepped[:2])]  # fmt: skip
    assert history_figure(read(save_series(series, tmp_path / "c"))) is not None
