"""The console: exact lines at 80 columns, nothing too wide at any width, and no colour codes through a pipe."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console, RenderableType

from accelmnist.analysis.prediction import ModelSummary, Prediction
from accelmnist.core.records import Check, RunRecord, Verdict
from accelmnist.data.picture import Picture
from accelmnist.show import units
from accelmnist.show.analysis import answer_page
from accelmnist.show.document import Block, Document, Section
from accelmnist.show.observer import TrainingProgress
from accelmnist.show.render.console import Digit, as_renderable, as_text, print_document
from accelmnist.show.run_tables import checks_table, confusion_matrix, pairs_table, plan_page
from accelmnist.show.summary import run_page
from tests.samples import DIGITS, FASHION, sample_epoch, sample_images, sample_metrics, sample_record

PROBABILITIES = (0.0, 0.001, 0.002, 0.003, 0.95, 0.0, 0.0, 0.004, 0.0, 0.04)


def sample_answer(names: tuple[str, ...]) -> tuple[Picture, Prediction, ModelSummary]:
    picture = Picture(pixels=sample_images(1)[0].reshape(784), source="digit.png", notes=())
    prediction = Prediction(source="digit.png", predicted=4, class_name=names[4], scores=PROBABILITIES)
    model = ModelSummary(file="model", network="784-10", output="softmax", dataset="mnist", class_names=names)
    return picture, prediction, model


def plain_console(width: int = 80) -> Console:
    return Console(width=width, file=io.StringIO(), force_terminal=False, no_color=True)


def lines(page: Document | RenderableType, width: int = 80) -> list[str]:
    console = plain_console(width)
    console.print(as_renderable(page) if isinstance(page, Document) else page)
    return written(console)


def alone(block: Block) -> Document:
    """A page of one block."""
    return Document((Section(title="", blocks=(block,)),))


def written(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_plan_gives_every_choice_with_its_reason() -> None:
    assert lines(plan_page(sample_record()))[:6] == [
        "How it will run ────────────────────────────────────────────────────────────────",
        "device     cpu    no CUDA and no MPS device was found",
        "engine     fused  the fastest on a CPU for one hidden layer: a native kernel",
        "                  that skips the zero pixels, which are 81 % of the input",
        "precision  fp32   asked for",
        "threads    2      one for each of the 2 physical cores",
    ]


def test_plan_describes_the_training() -> None:
    said = lines(plan_page(sample_record(validation=10_000)), 120)
    assert any(line.endswith("784-256-10, relu, softmax output, 203,530 parameters") for line in said)
    assert any("50,000 training, 10,000 validation and 10,000 test images" in line for line in said)
    assert any(line.endswith("5 epochs of 97 steps in batches of 512") for line in said)


def test_key_figures_stand_side_by_side() -> None:
    said = lines(run_page(sample_record(), None))
    start = said.index("PASS  784-256-10 on cpu, engine fused, fp32")
    assert said[start + 2 : start + 7] == [
        "test accuracy      98.06 %     training, 5 epochs            768 ms",
        "macro F1            0.9806     compile                       4.10 s",
        "test loss           0.0633     speed               390,000 images/s",
        "wrong test images      194     evaluation                   21.3 ms",
        "parameters         203,530     peak memory                   612 MB",
    ]


def test_checks_at_80_columns() -> None:
    verdict = sample_record(passed=False).verdict
    assert verdict is not None
    assert lines(alone(checks_table(verdict))) == [
        "      check                 value   limit  what it is",
        "─────────────────────────────────────────────────────────────────────────",
        "FAIL  accuracy             0.9412    0.97  share of the test images right",
        "PASS  accuracy difference  0.0008   0.005  to the reference",
        "PASS  finite losses             –       –  no NaN",
        "PASS  below perfect        0.9812  0.9999  below 100 %",
        "held against the same training on the CPU in eager float32",
    ]


def test_of_many_checks_the_passed_ones_of_a_group_share_a_row() -> None:
    """A failed one stands first, with all that is known of it; the report has room for every row."""

    def check(name: str, group: str, *, passed: bool = True) -> Check:
        return Check(name=name, passed=passed, value=2.0, limit=3.0, detail="what", reason="", group=group)

    evaluated = [check(f"part {number}", "evaluation") for number in range(8)]
    compared = [check("accuracy, reference", "reference"), check("cells, reference", "reference", passed=False)]
    checks = (*evaluated, *compared, check("alone", ""), check("macro F1, reference", "reference"), check("one", "it"))
    verdict = Verdict(passed=False, reference="float64", checks=checks)
    assert lines(alone(checks_table(verdict, brief=True))) == [
        "      check                value  limit  what it is",
        "────────────────────────────────────────────────────────────────────────────────",
        "FAIL  cells, reference         2      3  what",
        "PASS  evaluation        8 checks         part 0, part 1, part 2, part 3, part 4,",
        "                                         part 5, part 6, part 7",
        "PASS  reference         2 checks         accuracy, macro F1",
        "PASS  alone                    2      3  what",
        "PASS  one                      2      3  what",
        "held against float64",
    ]
    assert len(checks_table(verdict).rows) == len(checks)
    assert len(checks_table(replace(verdict, checks=checks[:12]), brief=True).rows) == 12


def test_a_doubt_is_no_failure_and_is_told() -> None:
    """A right run that drifted from the reference: it passes, with a line and a mark of its own."""
    record = sample_record()
    drift = Check(name="worst step", passed=False, value=0.3, limit=0.2, detail="drift", reason="", condemns=False)
    verdict = Verdict.of("float64", (*record.verdict.checks, drift))
    said = lines(run_page(replace(record, verdict=verdict), None))
    assert "doubt: worst step is 0.3, limit 0.2" in said
    assert any(line.startswith("DOUBT  worst step") for line in said)
    assert not any(line.startswith(("FAIL", "failed")) for line in said)


def test_a_failed_check_is_named_with_its_value_and_limit() -> None:
    said = lines(run_page(sample_record(passed=False), None))
    assert "FAIL  784-256-10 on cpu, engine fused, fp32" in said
    assert "failed: accuracy is 0.9412, limit 0.97" in said


def test_confusion_at_80_columns() -> None:
    assert lines(alone(confusion_matrix(sample_metrics(), DIGITS))) == [
        "A row for each predicted digit, a column for each actual digit.",
        "",
        "             0    1    2    3    4    5    6    7    8    9  precision",
        "0          988    4    ·    1    ·    1    2    1    ·    1    99.00 %",
        "1            5  979    7    ·    5    2   10    5    1    1    96.45 %",
        "2            1    6  987    2    ·    3   10    1    1    ·    97.63 %",
        "3            1    ·    1  980    1    ·    3    1    2    ·    99.09 %",
        "4            1    4    2    4  989    5    3    ·    ·    ·    98.12 %",
        "5            3    1    ·    ·    2  977    2    8    1    4    97.90 %",
        "6            ·    2    1    2    1    7  970    3   14    7    96.33 %",
        "7            ·    1    ·    3    ·    ·    ·  972    ·    ·    99.59 %",
        "8            ·    3    1    1    ·    2    ·    4  980    3    98.59 %",
        "9            1    ·    1    7    2    3    ·    5    1  984    98.01 %",
        "recall %  98.8 97.9 98.7 98.0 98.9 97.7 97.0 97.2 98.0 98.4",
    ]


def test_most_confused_pairs() -> None:
    metrics = sample_metrics()
    assert lines(alone(pairs_table(metrics.confused_pairs[:2], metrics, FASHION))) == [
        "actual   taken for  images  share of the actual",
        "───────────────────────────────────────────────",
        "8 Bag    6 Shirt        14               1.40 %",
        "6 Shirt  1 Trouser      10               1.00 %",
    ]


def test_the_reference_stands_beside_the_run() -> None:
    said = lines(run_page(sample_record(), None))
    assert "accuracy                98.06 %           98.67 %  -0.61 points" in said
    assert "speed          390,000 images/s  112,000 images/s    3.49 times" in said
    assert "0                99.00 %  98.80 %  0.9890               0.9840   1,000" in said


def test_files_are_told_with_their_folder() -> None:
    record = replace(sample_record(), files=("run.json", "weights/neuron-000.png", "weights/neuron-001.png"))
    assert lines(run_page(record, Path("results/run")))[-3:] == [
        "results/run",
        "run.json, weights/ (2 files)",
        "",
    ]


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("fashion", [False, True])
@pytest.mark.parametrize("passed", [False, True])
def test_no_line_is_wider_than_the_console(width: int, fashion: bool, passed: bool) -> None:
    record = sample_record(fashion=fashion, passed=passed, validation=10_000)
    names = FASHION if fashion else DIGITS
    console = plain_console(width)
    print_document(plan_page(record), console)
    print_document(run_page(record, Path("results/2025-03-01")), console)
    print_document(answer_page(*sample_answer(names)), console)
    said = written(console)
    assert max(map(len, said)) <= width
    assert not any("…" in line for line in said)
    assert not any("\x1b" in line for line in said)


@pytest.mark.parametrize("status", ["running", "interrupted", "diverged", "failed"])
def test_a_run_that_did_not_finish_says_so(status: str) -> None:
    record = RunRecord(status=status, message="the loss is not finite")
    said = lines(run_page(record, None))
    assert any(line.startswith(status.upper()) for line in said)
    assert "the loss is not finite" in said


def test_the_matrix_carries_its_colours_to_a_terminal() -> None:
    console = Console(width=80, file=io.StringIO(), force_terminal=True, color_system="truecolor", no_color=False)
    print_document(alone(confusion_matrix(sample_metrics(), DIGITS)), console)
    assert isinstance(console.file, io.StringIO)
    assert "48;2;214;226;240" in console.file.getvalue()  # the background of the diagonal


def test_progress_prints_one_plain_line_an_epoch_through_a_pipe() -> None:
    console = plain_console()
    with TrainingProgress(2, console) as progress:
        progress.update(sample_epoch(1))
        progress.update(replace(sample_epoch(2), train_loss=None, accuracy=None))
    assert written(console) == [
        "epoch 1/2: loss 0.3300, training accuracy 94.00 %, 154 ms, 390,000 images/s",
        "epoch 2/2: loss –, training accuracy –, 154 ms, 390,000 images/s",
    ]


def test_progress_on_a_terminal_shows_the_time_left() -> None:
    console = Console(width=80, file=io.StringIO(), force_terminal=True, color_system=None)
    now = iter((0.0, 2.0, 4.0))
    with TrainingProgress(8, console, clock=lambda: next(now)) as progress:
        progress.update(sample_epoch(3))  # a resumed run: the first two epochs are an earlier one's
        progress.update(sample_epoch(4))
    assert isinstance(console.file, io.StringIO)
    said = console.file.getvalue()
    assert "epoch 3/8" in said
    assert "loss 0.0635  390,000 images/s  10.0 s left" in said
    assert "8.00 s left" in said


def test_a_digit_takes_28_columns_and_14_lines() -> None:
    image = np.zeros(784, dtype=np.uint8)
    image[:28] = 255  # the first row of pixels: half of the first line of characters
    said = lines(Digit(image.tobytes()))
    assert len(said) == 14
    assert said[0] == "▒" * 28
    assert said[1] == ""


def test_a_digit_in_colour_is_made_of_half_blocks() -> None:
    console = Console(width=80, file=io.StringIO(), force_terminal=True, color_system="truecolor", no_color=False)
    image = np.zeros(784, dtype=np.uint8)
    image[0] = 200
    console.print(Digit(image.tobytes()))
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().startswith("\x1b[38;2;200;200;200;48;2;0;0;0m▀")


def test_a_prediction_names_the_answer_and_every_class() -> None:
    said = lines(answer_page(*sample_answer(DIGITS)))
    assert "This is 4: probability 95.00 %" in said
    assert any(line.endswith("4 ━━━━━━━━━━━━━━━━━  95.00 %") for line in said)
    assert any(line.endswith("9 ━                   4.00 %") for line in said)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (8.4e-4, "840 µs"),
        (0.0352, "35.2 ms"),
        (0.77, "770 ms"),
        (1.234, "1.23 s"),
        (35.61, "35.6 s"),
        (59.97, "1 min 00 s"),
        (125.0, "2 min 05 s"),
        (3840.0, "1 h 04 min"),
        (None, "–"),
        (float("nan"), "nan"),
    ],
)
def test_seconds(value: float | None, said: str) -> None:
    assert units.seconds(value) == said


@pytest.mark.parametrize(
    ("value", "said"), [(612_400_000, "612 MB"), (999_700, "1 MB"), (8.2e9, "8.2 GB"), (12, "12 bytes")]
)
def test_size(value: float, said: str) -> None:
    assert units.size(value) == said


@pytest.mark.parametrize(
    ("value", "said"), [(117_846.0, "118,000 images/s"), (87.4, "87 images/s"), (1.2e7, "12,000,000 images/s")]
)
def test_rate(value: float, said: str) -> None:
    assert units.rate(value) == said


def test_plural() -> None:
    assert [units.plural(1, "epoch"), units.plural(8, "epoch"), units.plural(2, "class")] == [
        "1 epoch",
        "8 epochs",
        "2 classes",
    ]


@pytest.mark.parametrize("width", [30, 40, 50, 60, 70, 80])
def test_no_verdict_and_no_figure_is_cut_in_a_narrow_terminal(width: int) -> None:
    text = as_text(run_page(sample_record()), width=width)
    assert "…" not in text
    wide = " ".join(as_text(run_page(sample_record()), width=200).split())
    for whole in ("PASS", "98.06 %", "98.67 %", "203,530", "0.9890", "0.9999", "1,000"):
        assert whole in wide
        assert whole in text
