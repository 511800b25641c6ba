"""A sweep as people see it: the page, the live table, plain lines, and the figures, from a record alone."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.text import Text as FigureText
from rich.console import Console

from accelmnist.show.figures.chart import error_of
from accelmnist.show.figures.sheet import png_bytes
from accelmnist.show.figures.sweep import fronts_figure, groups_figure, sizes_figure
from accelmnist.show.pictures import SWEEP_FIGURES, write_sweep_pictures
from accelmnist.show.render.console import print_document
from accelmnist.show.sweep.live import ConsoleSweepObserver, format_live
from accelmnist.show.sweep.page import format_line, sweep_page
from accelmnist.sweep.conclusion import conclude
from tests.samples import sample_verdict
from tests.sweep_samples import sweep_config, sweep_record, trial, with_winner

FIGURES = (sizes_figure, groups_figure, fronts_figure)


def said(record: Any, *, width: int = 120, folder: Path | None = None) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_document(sweep_page(record, folder), console)
    return console.file.getvalue()


def one_line(text: str) -> str:
    return " ".join(text.split())


def unfinished(record: Any, *, trainings: int = 1) -> Any:
    """The same sweep when so many seeds of each candidate were done."""
    made = tuple(replace(result, trials=result.trials[:trainings]) for result in record.candidates)
    return conclude(replace(record, candidates=made, status="running"))


def failed(record: Any, place: int = 0, error: str = "the loss is nan at step 3 of epoch 1") -> Any:
    made = list(record.candidates)
    made[place] = replace(made[place], trials=(trial(0, None, error=error), *made[place].trials[1:]))
    return conclude(replace(record, candidates=tuple(made)))


def test_the_page_has_every_figure_of_the_first_rows() -> None:
    record = sweep_record()
    page = said(record)
    rows = [line.split() for line in page.splitlines() if line.strip() and line.split()[0].isdigit()]
    for result, row in zip(record.ranked, rows, strict=False):
        hidden = "-".join(map(str, result.hidden))
        assert row[:4] == [str(result.rank), hidden, result.activation, result.output]
        assert row[4] == f"{100 * result.accuracy.mean:.2f}"
        assert f"±{100 * (result.accuracy.mean - result.accuracy.low):.2f}" == row[5]
        assert f"{result.parameters:,}" in row
    assert all(sentence in one_line(page) for sentence in record.findings)


def test_the_page_marks_noise_and_only_noise() -> None:
    record = sweep_record(errors=np.linspace(0.020, 0.035, 24))
    page = said(record)
    for result in record.ranked[1:]:
        mark = "≈ " if result.standing.verdict == "within noise" else "  "
        assert f"{mark}{100 * result.standing.gap:.2f} " in page


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_no_line_is_wider_than_the_console_and_no_cell_is_cut(width: int) -> None:
    config = sweep_config(hidden=((8,), (256, 256, 256), (1024,)), learning_rates=(0.01, 0.1), tune_rates=True)
    record = with_winner(sweep_record(sweep_config(hidden=((8,), (256, 256, 256), (1024,)))))
    page = said(replace(record, config=config), width=width, folder=Path("results/x"))
    assert max(map(len, page.splitlines())) <= width
    assert "…" not in page or width < 80


def test_what_has_no_room_is_left_out_and_not_explained() -> None:
    record = sweep_record(sweep_config(hidden=((8,), (256, 256, 256))))
    assert "Front:" in said(record, width=120)
    assert "front" not in said(record, width=64)


def test_the_headline_is_the_winners_test_accuracy() -> None:
    record = with_winner(sweep_record())
    record = replace(record, winner=replace(record.winner, verdict=sample_verdict()))
    accuracy, low, high = (
        f"{100 * share:.2f} %" for share in (record.winner.metrics.accuracy, record.winner.low, record.winner.high)
    )
    text = one_line(said(record))
    assert text.partition("PASS")[2].strip().startswith("24 candidates, 72 trainings, 8 min 32 s")
    assert f"{accuracy} ({low} to {high}) of the test set, trained on all 60,000" in text
    assert format_line(record).startswith("PASS 24 candidates, 72 trainings, 8 min 32 s; best 784-")
    wrong = replace(record, winner=replace(record.winner, verdict=sample_verdict(passed=False)))
    assert format_line(wrong).startswith("FAIL ")


def test_a_failed_candidate_is_named_with_its_reason() -> None:
    record = failed(sweep_record())
    page = one_line(said(record))
    assert "Not compared" in page
    assert "784-8-10 sigmoid softmax adamw lr 0.016: the loss is nan at step 3 of epoch 1" in page
    assert record.noise.comparisons == 22


def test_a_stopped_sweep_says_so_and_claims_nothing() -> None:
    record = replace(unfinished(sweep_record()), status="interrupted", message="stopped after 24 of 72 trainings")
    page = one_line(said(record))
    assert "INTERRUPTED" in page
    assert "stopped after 24 of 72 trainings" in page
    assert "±" not in page
    assert "What the differences are worth" not in page


# --- while it runs


def live(record: Any, *, height: int = 30, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(format_live(record, stage="training", spent_s=10.0, height=height))
    return console.file.getvalue()


def test_the_live_table_is_sorted_by_accuracy_and_fits() -> None:
    record = unfinished(sweep_record())
    page = live(record, height=20)
    assert len(page.splitlines()) <= 20
    shown = [line.split()[1] for line in page.splitlines() if line.split() and line.split()[0].isdigit()]
    assert shown == ["-".join(map(str, result.hidden)) for result in record.ranked[: len(shown)]]
    assert len(shown) >= 10
    assert f"and {24 - len(shown)} more candidates" in page
    assert "24 of 72 trainings, about 20 s left" in page
    assert "1/3" in page


def test_before_the_first_training_there_is_only_the_plan() -> None:
    page = live(unfinished(sweep_record(), trainings=0))
    assert "0 of 72 trainings" in page
    assert "24 candidates" in page
    assert "left" not in page


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_through_a_pipe_there_are_plain_lines_and_not_too_many() -> None:
    clock, console = Clock(), Console(file=io.StringIO(), width=80)
    whole = sweep_record()
    record = replace(unfinished(whole, trainings=0), elapsed_s=0.0)
    with ConsoleSweepObserver(console, clock=clock) as observer:
        observer.planned(record)
        observer.stage("training every network from every seed")
        for _ in range(8):
            clock.now += 1.0
            observer.epoch_done()
            observer.trial_done(unfinished(whole))
        observer.trial_done(failed(unfinished(whole)))
        observer.trial_done(failed(unfinished(whole)))
        observer.trial_done(whole)
    lines = console.file.getvalue().splitlines()
    assert lines[0].startswith("24 candidates, 3 seeds, 72 trainings to do (adamw, learning rate 0.016, 5 epochs")
    assert lines[0].endswith("50,000 images to train, 10,000 to judge")
    assert lines[1] == "… training every network from every seed"
    assert lines[2].startswith("24 of 72 trainings, about 10 s left, best so far 784-")
    assert lines[3].startswith("784-8-10 sigmoid softmax adamw lr 0.016: the loss is nan")
    assert lines[4].startswith("72 of 72 trainings, best so far 784-")
    assert len(lines) == 5
    assert "\x1b" not in console.file.getvalue()


def test_on_a_terminal_the_table_is_drawn_and_goes() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=20)
    clock = Clock()
    with ConsoleSweepObserver(console, clock=clock) as observer:
        observer.planned(unfinished(sweep_record(), trainings=0))
        clock.now += 1
        observer.trial_done(unfinished(sweep_record()))
        drawn = console.file.getvalue()
    assert "24 of 72 trainings" in drawn
    assert "\x1b[2K" in console.file.getvalue()[len(drawn) - 10 :]


# --- figures


def texts(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.findobj(FigureText) if text.get_text()]


@pytest.mark.parametrize("draw", FIGURES)
def test_every_text_lies_on_the_figure(draw: Callable[..., Any]) -> None:
    figure = draw(sweep_record())
    png_bytes(figure)
    box = figure.bbox
    renderer = figure.canvas.get_renderer()
    for text in figure.findobj(FigureText):
        if text.get_text() and text.get_visible():
            extent = text.get_window_extent(renderer)
            assert box.x0 <= extent.x0, text.get_text()
            assert extent.x1 <= box.x1, text.get_text()
            assert box.y0 <= extent.y0, text.get_text()
            assert extent.y1 <= box.y1, text.get_text()


def test_sizes_are_drawn_where_they_are() -> None:
    record = sweep_record()
    figure = sizes_figure(record)
    titles = [text for text in texts(figure) if "hidden layer" in text]
    panels = dict(zip(titles, figure.axes, strict=True))
    depths = ("1 hidden layer", "2 hidden layers")
    assert set(panels) == {f"{depth}, {output}" for depth in depths for output in ("softmax", "linear")}
    (line,) = [line for line in panels["1 hidden layer, linear"].lines if line.get_gid() == "tanh"]
    own = [r for r in record.candidates if (len(r.hidden), r.activation, r.output) == (1, "tanh", "linear")]
    assert list(line.get_xdata()) == [result.hidden[0] for result in own]
    assert list(line.get_ydata()) == pytest.approx([error_of(result.accuracy.mean) for result in own])
    bars = [bar for bar in panels["1 hidden layer, linear"].lines if bar.get_gid() == "interval of tanh"]
    assert sorted(tuple(bar.get_ydata()) for bar in bars) == sorted(
        (error_of(result.accuracy.high), error_of(result.accuracy.low)) for result in own
    )


def test_groups_name_the_best_network_of_each() -> None:
    record = sweep_record()
    written = texts(groups_figure(record))
    for activation in record.config.activations:
        for output in record.config.outputs:
            own = [r for r in record.ranked if (r.activation, r.output) == (activation, output)]
            assert f"{100 * own[0].accuracy.mean:.2f} %" in written
    assert "best" in written


def test_fronts_are_stairs_through_the_records_fronts() -> None:
    record = sweep_record(errors=np.random.default_rng(4).uniform(0.02, 0.1, 24))
    figure = fronts_figure(record)
    for axes, cost in zip(figure.axes, ("parameters", "time"), strict=True):
        (stair,) = [line for line in axes.lines if line.get_gid() == f"front by {cost}"]
        front = [result for result in record.candidates if cost in result.on_front]
        prices = [result.parameters if cost == "parameters" else result.train_s for result in front]
        assert sorted(stair.get_xdata()) == pytest.approx(sorted(prices))
        assert sorted(stair.get_ydata()) == pytest.approx(sorted(error_of(r.accuracy.mean) for r in front))


@pytest.mark.parametrize(
    "record",
    [
        failed(sweep_record()),
        sweep_record(sweep_config(seeds=1)),
        sweep_record(sweep_config(hidden=((), (16,), (512, 256)), activations=("relu",), outputs=("softmax",))),
        sweep_record(sweep_config(hidden=((16,),), activations=("gelu", "silu"), optimizers=("sgd", "adam", "adamw"))),
        sweep_record(sweep_config(hidden=((16,), (32,)), learning_rates=(0.01, 0.02)), errors=[0.0] * 24),
        unfinished(sweep_record(), trainings=0),
    ],
    ids=["failed", "one seed", "shapes", "optimizers", "perfect", "nothing"],
)
def test_any_record_is_shown_and_drawn(record: Any, tmp_path: Path) -> None:
    assert said(record, width=80)
    assert live(record)
    assert format_line(record)
    names = write_sweep_pictures(record, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    assert (not record.ranked) == (names == ())


def test_pictures_of_an_earlier_sweep_go(tmp_path: Path) -> None:
    for name in SWEEP_FIGURES:
        (tmp_path / name).write_bytes(b"old")
    assert write_sweep_pictures(unfinished(sweep_record(), trainings=0), tmp_path) == ()
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_is_shown_without_torch() -> None:
    import subprocess

    parts = "page", "live"
    imports = "".join(f"import accelmnist.show.sweep.{part};" for part in parts)
    code = f"import sys; {imports} import accelmnist.show.pictures; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
