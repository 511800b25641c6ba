"""A benchmark on the console and in Markdown: exact lines, no figure lost at any width, no claim beyond the record."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from rich.console import Console, RenderableType

from accelmnist.cli.bench import _exit_code
from accelmnist.core.records import Check, OperationFigures, ProfileSummary, Verdict
from accelmnist.measure.conclusion import conclude
from accelmnist.measure.plan import BenchConfig
from accelmnist.measure.record import (
    BenchObserver,
    BenchRecord,
    CaseResult,
    Harness,
    TimeToAccuracy,
    save_bench,
)
from accelmnist.measure.recount import load_bench
from accelmnist.measure.statistics.comparison import Comparison
from accelmnist.measure.statistics.summary import summarize
from accelmnist.measure.statistics.symptoms import Symptom
from accelmnist.show import units
from accelmnist.show.bench import headline
from accelmnist.show.bench.cases import cases_table, limit_row
from accelmnist.show.bench.headline import format_line
from accelmnist.show.bench.live import ConsoleBenchObserver, format_live, format_progress
from accelmnist.show.bench.page import bench_note, bench_page
from accelmnist.show.bench.view import BenchView, Part
from accelmnist.show.document import Document
from accelmnist.show.render.console import as_renderable, print_document
from accelmnist.show.render.console_table import ConsoleTable
from accelmnist.show.render.markdown import escape, render_markdown
from tests.bench_samples import Spec, sample_bench, sample_beside, sample_targets, step_cost, target

ANSI = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
RECORDS = {"speeds": sample_bench, "targets": sample_targets}


@pytest.fixture(scope="module")
def bench() -> BenchRecord:
    return sample_bench()


@pytest.fixture(scope="module")
def targets() -> BenchRecord:
    return sample_targets()


def lines(page: Document | RenderableType, width: int = 80) -> list[str]:
    console = Console(width=width, file=io.StringIO(), force_terminal=False, no_color=True)
    console.print(as_renderable(page) if isinstance(page, Document) else page)
    return written(console)


def written(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def coloured(page: Document, width: int = 80) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=True, color_system="standard", no_color=False)
    print_document(page, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def under(title: str, said: list[str]) -> list[str]:
    """The lines of one section."""
    start = next(place for place, line in enumerate(said) if line.startswith(f"{title} ─"))
    end = next((place for place in range(start + 1, len(said)) if re.match(r"\w.* ─{3}", said[place])), len(said))
    return said[start + 1 : end]


def words(line: str) -> str:
    """A line with single spaces."""
    return " ".join(line.split())


def format_markdown(record: BenchRecord) -> str:
    return render_markdown(bench_note(record))


def leaders(record: BenchRecord) -> tuple[str, ...]:
    return headline.leaders(BenchView(record))


def nothing_text(record: BenchRecord) -> str:
    return headline.nothing_text(BenchView(record))


def outcome_of(record: BenchRecord) -> str:
    word, _ = headline.outcome_of(BenchView(record))
    return word


def only(record: BenchRecord, *places: int) -> BenchRecord:
    return replace(record, cases=tuple(record.cases[place] for place in places))


def changed(record: BenchRecord, place: int, **fields: object) -> BenchRecord:
    cases = list(record.cases)
    cases[place] = replace(cases[place], **fields)
    return replace(record, cases=tuple(cases))


def part(record: BenchRecord, kind: str) -> Part:
    return next(part for part in BenchView(record).parts if part.kind == kind)


def training_lines(record: BenchRecord, width: int = 160) -> list[str]:
    return under("Training", lines(bench_page(record), width))


# The page


def test_the_answer_comes_first(bench: BenchRecord) -> None:
    assert under("Result", lines(bench_page(bench))) == [
        "FAIL  17 of 19 cases measured in 24 rounds, 2 min 51 s",
        "cuda:0 eager batch 1,024 trains fastest, 2,270,000 images/s, 19.3 times as fast",
        "as cpu eager batch 1,024 (±4.7 %)",
        "wrong: training cuda:0 compiled batch 256: losses of the first steps is 0.0813,",
        "limit 0.002",
        "",
    ]


def test_the_training_table_at_80_columns(bench: BenchRecord) -> None:
    assert under("Training", lines(bench_page(bench)))[:18] == [
        "                                                             ms a      of",
        " #  device  engine    batch          images/s     speed-up   step   limit",
        "───────────────────────────────────────────────────────────────────────────────",
        " 1  cuda:0  eager     1,024  2,270,672 ±0.4 %  19.3 ±4.7 %  0.451   3.6 %  PASS",
        " 2  cuda:0  eager       256    589,854 ±0.5 %  5.98 ±0.8 %  0.434  0.95 %  PASS",
        " 3  cpu     fused       256    413,705 ±0.5 %  4.19 ±0.7 %  0.619   199 %  PASS",
        " 4  cpu     compiled    256    172,365 ±0.7 %  1.75 ±0.7 %   1.49    83 %  PASS",
        " 5  cuda:0  eager        64    147,937 ±0.7 %  2.43 ±0.9 %  0.433  0.63 %  PASS",
        " 6  cpu     compiled  1,024    123,714 ±0.7 %    ambiguous   8.28    60 %  PASS",
        " 7  cpu     compiled     64    118,821 ±0.8 %  1.95 ±0.7 %  0.539    62 %  PASS",
        " 8  cpu     eager     1,024    116,725 ±4.2 %     baseline   8.77    56 %  PASS",
        " 9  cpu     eager       256     98,907 ±1.0 %     baseline   2.59    48 %  PASS",
        "10  cpu     eager        64     61,055 ±0.8 %     baseline   1.05    32 %  PASS",
        "    cuda:0  compiled    256  1,369,647 ±0.8 %            –  0.187   2.2 %  FAIL",
        "    cuda:0  fused       256  skipped: the fused kernel is written for one hidden",
        "                             layer on the CPU; on CUDA it takes Triton 3",
        "    cpu     fused     1,024  cut for time: 9.1 s were left of 180 s, and",
        "                             preparing it takes about 12 s",
    ]


def test_what_does_not_fit_into_the_line_stands_in_a_table_below(bench: BenchRecord) -> None:
    narrow = under("Training", lines(bench_page(bench)))
    assert narrow[19:24] == [
        "                                      epochs           µJ an",
        " #  device  engine    batch  compile  to pay   memory  image  accuracy",
        "──────────────────────────────────────────────────────────────────────",
        " 1  cuda:0  eager     1,024        –       –  1.26 GB   68.4   97.43 %",
        " 2  cuda:0  eager       256        –       –  1.23 GB    241   97.43 %",
    ]
    wide = training_lines(bench)
    assert words(wide[3]).startswith("1 cuda:0 eager 1,024 2,270,672 ±0.4 % 19.3 ±4.7 % 0.451 3.6 % – – 1.26 GB 68.4 ")


def test_what_all_rows_share_is_said_once(bench: BenchRecord) -> None:
    said = training_lines(bench)
    assert "784-256-10, fp32, adamw" in said
    assert not any("precision" in line or "network" in line for line in said)


def test_what_differs_becomes_a_column(bench: BenchRecord) -> None:
    other = changed(only(bench, 0, 1, 3, 4), 0, precision="bf16", optimizer="sgd", threads=2)
    head = next(line.strip() for line in training_lines(other) if "images/s" in line)
    assert re.split(r"\s{2,}", head)[:7] == [
        "#",
        "device",
        "engine",
        "precision",
        "optimizer",
        "threads",
        "batch",
    ]
    assert "784-256-10" in training_lines(other)


def test_each_network_has_a_table_of_its_own(bench: BenchRecord) -> None:
    other = changed(only(bench, 1, 4), 1, hidden=(512, 256))
    assert [part.title for part in BenchView(other).parts] == ["Training, 784-256-10", "Training, 784-512-256-10"]


def test_a_legend_says_what_the_figures_mean(bench: BenchRecord) -> None:
    said = " ".join(training_lines(bench))
    assert "Speed-up is over eager fp32 on cpu doing the same work; 'same' is within 2 %." in said
    assert "epochs to pay" not in " ".join(training_lines(only(bench, 0, 1)))


def test_latency_at_80_columns(bench: BenchRecord) -> None:
    assert under("Inference, one image a call", lines(bench_page(bench)))[:5] == [
        "#  device  engine    p50 µs  p90 µs  p99 µs       images/s     speed-up",
        "─────────────────────────────────────────────────────────────────────────────",
        "1  cpu     compiled    48.1    54.0    60.0  24,331 ±0.7 %  2.45 ±0.7 %  PASS",
        "2  cuda:0  eager       80.0    89.7     100  14,631 ±1.3 %  1.48 ±0.8 %  PASS",
        "3  cpu     eager        118     133     149   9,880 ±0.9 %     baseline  PASS",
    ]


def test_batches_of_inference_are_told_as_throughput(bench: BenchRecord) -> None:
    said = under("Inference in batches", lines(bench_page(bench)))
    assert said[3:5] == [
        "1  cuda:0  eager     38,901,264 ±0.8 %  96.5 ±0.8 %  0.257   31 %  PASS",
        "2  cpu     compiled     402,393 ±0.8 %         same   24.9   96 %  PASS",
    ]
    assert "784-256-10, fp32, batch 10,000" in said


def test_time_to_accuracy_at_80_columns(targets: BenchRecord) -> None:
    said = lines(bench_page(targets))
    assert "PASS  4 of 4 cases measured, 6 min 42 s" in said
    assert under("Time to 98 % accuracy", said)[:12] == [
        "#  device  engine    precision           with compile   reached",
        "─────────────────────────────────────────────────────────────────────",
        "1  cpu     eager     fp32       3.63 s (2.29 to 4.28)  10 of 10  PASS",
        "2  cpu     fused     fp32       3.96 s (3.76 to 4.17)  10 of 10  PASS",
        "3  cpu     compiled  fp32       8.43 s (8.39 to 8.84)   9 of 10  PASS",
        "   cpu     eager     bf16               ∞ (1.86 to ∞)   3 of 10  PASS",
        "",
        "#  device  engine    precision        without compile  epochs  compile  accuracy",
        "────────────────────────────────────────────────────────────────────────────────",
        "1  cpu     eager     fp32       3.63 s (2.29 to 4.28)  3 to 6        –   97.43 %",
        "2  cpu     fused     fp32       1.09 s (0.89 to 1.30)  3 to 6   2.87 s   98.11 %",
        "3  cpu     compiled  fp32       2.30 s (2.26 to 2.71)  4 to 6   6.13 s   97.43 %",
    ]


def test_each_case_has_the_sentence_of_its_bound(bench: BenchRecord) -> None:
    said = under("What holds it back", lines(bench_page(bench), 120))
    assert said[0] == "Training"
    assert said[4] == "cpu compiled batch 256     compute-bound: 83 % of this CPU's fp32 rate"
    assert "Inference, one image a call" in said
    assert sum("-bound" in line or "above the" in line for line in said) == 17


def test_crossovers_are_told(bench: BenchRecord) -> None:
    said = under("Crossovers", lines(bench_page(bench), 120))
    assert said[0] == "• training: cuda:0 is faster than cpu in eager fp32 from batch size 64 on, the smallest measured"


def test_doubts_at_120_columns(bench: BenchRecord) -> None:
    assert under("Doubts", lines(bench_page(bench), 120)) == [
        "unstable   close other programs, take longer regions",
        "           training cpu eager batch 1,024: half of the samples lie 12 % apart",
        "ambiguous  more rounds, longer regions or a quieter machine would tell whether there is a difference",
        "           training cpu compiled batch 1,024: between 0.997 and 1.11 times its baseline",
        "Measuring costs 21.1 µs a region, at most 0.02 % of one.",
        "Other processes used 1.4 % of the processors meanwhile.",
        "Note: cut for time: fused on cpu at batch 1024 was not measured",
        "",
    ]


def test_a_symptom_of_all_cases_is_told_once(bench: BenchRecord) -> None:
    busy = Symptom("machine busy", "other processes used 9 % of the processors: stop them and measure again")
    record = replace(bench, cases=tuple(replace(case, symptoms=(busy,)) for case in bench.cases[:5]))
    said = under("Doubts", lines(bench_page(record), 120))
    assert said[0] == "machine busy  stop them and measure again"
    assert said[1] == "              all cases: other processes used 9 % of the processors"


def test_a_check_that_only_doubts_is_told(bench: BenchRecord) -> None:
    unseen = Check.at_most("clock unseen", 0.4, 0.02, detail="waiting took 40 % of a run", reason="stop what else runs")
    case = next(case for case in bench.cases if case.verdict is not None)
    assert case.verdict is not None
    verdict = Verdict.of(case.verdict.reference, [*case.verdict.checks, replace(unseen, condemns=False)])
    said = under("Doubts", lines(bench_page(replace(bench, cases=(replace(case, verdict=verdict),))), 120))
    at = said.index("clock unseen  stop what else runs")
    assert said[at + 1].endswith(": waiting took 40 % of a run")


def test_no_symptom_is_told_too(bench: BenchRecord) -> None:
    assert under("Doubts", lines(bench_page(only(bench, 0, 1))))[0] == "No figure has a symptom."


def test_limits_have_their_units(bench: BenchRecord) -> None:
    said = under("Limits", lines(bench_page(bench)))
    assert said[2:4] == [
        "cpu     matmul fp32      170 GFLOP/s  ±0.5 %  1024 x 1024 x 1024, 2 threads",
        "cpu     workload fp32    138 GFLOP/s  ±0.6 %  784-256-10 at batch 256, 2 threads",
    ]
    assert said[4].split()[2:4] == ["21.0", "GB/s"]
    assert said[6].split()[2:5] == ["3.99", "µs", "each"]
    assert said[8].split()[2:4] == ["2.60", "TB/s"]


def test_a_limit_that_was_not_measured_has_dashes(bench: BenchRecord) -> None:
    limit = replace(bench.limits[0], rate=None)
    assert limit_row(limit) == ("cpu", "matmul fp32", "–", "–", "1024 x 1024 x 1024, 2 threads")


def test_a_profiled_case_has_its_profile(bench: BenchRecord) -> None:
    row = OperationFigures(name="aten::addmm", calls=3.0, host_s=1e-4, device_s=None, share=0.6)
    profile = ProfileSummary(
        steps=20, operations=31.0, host_syncs=0.0, graph_replays=0.0, rows=(row,), notes=("31 operations a step.",)
    )
    record = changed(bench, 1, profile=profile)
    said = lines(bench_page(record))
    place = next(place for place, line in enumerate(said) if line.startswith("Profile of 20 steps"))
    assert said[place - 1] == "training cpu eager batch 256"
    assert any(line.startswith("aten::addmm ") for line in said[place:])
    assert "- training cpu eager batch 256: 31 operations a step." in format_markdown(record).splitlines()


def test_files_stand_with_their_folder(bench: BenchRecord) -> None:
    record = replace(bench, files=("bench.json", "throughput.png"))
    assert lines(bench_page(record, Path("results/now")))[-3:] == ["results/now", "bench.json, throughput.png", ""]


# Widths


@pytest.mark.parametrize("kind", RECORDS)
@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_no_line_is_too_wide_and_no_figure_is_lost(kind: str, width: int) -> None:
    record = RECORDS[kind]()
    console = Console(width=width, file=io.StringIO(), force_terminal=False, no_color=True)
    print_document(bench_page(record, Path("results/bench")), console)
    said = written(console)
    assert max(map(len, said)) <= width
    assert not any("…" in line or "\x1b" in line for line in said)
    for part in BenchView(record).parts:
        table = cases_table(part, BenchView(record))
        names = len([column for column in table.columns if column.role == "name"])
        for row in table.rows:
            start = [cell.text for cell in row[:names]]
            own = [line for line in under(part.title, said) if is_row(line, start)]
            for column, cell in zip(table.columns[names:], row[names:], strict=True):
                assert any(cell.text in line for line in own), (column.heading, cell.text)


def is_row(line: str, identity: list[str]) -> bool:
    """Whether a line of a table begins with these cells."""
    known = [cell for cell in identity if cell]
    return re.split(r"\s{2,}", line.strip())[: len(known)] == known


@pytest.mark.parametrize("width", [1, 10, 25, 40])
def test_the_narrowest_terminals_are_survived(bench: BenchRecord, targets: BenchRecord, width: int) -> None:
    for record in (bench, targets):
        assert max(map(len, lines(bench_page(record), width))) <= width


def test_every_column_stands_in_one_table_and_the_costs_together(bench: BenchRecord) -> None:
    table = cases_table(part(bench, "training"), BenchView(bench))
    roles = [column.role for column in table.columns]
    names, costs = roles.index("figure"), roles.index("cost")
    for width in range(20, 200):
        parts = ConsoleTable(table).parts(width)
        once = [column for columns in parts for column in columns if column >= names]
        assert sorted(once) == list(range(names, len(roles)))
        assert all(columns[:names] == list(range(names)) for columns in parts)
    assert ConsoleTable(table).parts(121)[0] == [*range(costs), roles.index("mark")]


def test_two_hundred_cases(bench: BenchRecord) -> None:
    cases = [replace(case, batch_size=100 + 32 * place) for place in range(20) for case in bench.cases[:10]]
    record = replace(bench, cases=tuple(cases))
    assert len([line for line in training_lines(record, 200) if line.endswith("PASS")]) == 200


# Honesty


def test_colours_only_repeat_what_the_text_says() -> None:
    for make in RECORDS.values():
        for width in (80, 120):
            page = bench_page(make(), Path("results/bench"))
            plain = ANSI.sub("", coloured(page, width))
            assert [line.rstrip() for line in plain.splitlines()] == lines(page, width)


def test_a_wrong_row_is_red_all_over_and_has_no_rank(bench: BenchRecord) -> None:
    said = [line for line in coloured(bench_page(bench), 160).splitlines() if "1,369,647" in line]
    assert len(said) == 1
    cells = re.findall(r"(\x1b\[[0-9;]*m)([^\x1b]*)", said[0])
    assert all(style == "\x1b[1;31m" for style, text in cells if text.strip())
    assert ANSI.sub("", said[0]).startswith("    cuda:0  compiled")
    right = next(line for line in coloured(bench_page(bench), 160).splitlines() if "413,705" in line)
    assert "31m" not in right


def test_wrong_rows_come_after_right_ones_even_where_they_are_faster(bench: BenchRecord) -> None:
    record = changed(bench, 9, verdict=Verdict(passed=False, reference="float64"), rank=None, speedup=None)
    rows = part(record, "training").rows
    assert [row.is_wrong for row in rows] == [False] * 9 + [True] * 2
    assert "2,270,672" in training_lines(record)[12]
    assert leaders(record)[0].startswith("cuda:0 eager batch 256 trains fastest, 590,000 images/s")


def test_a_skipped_row_is_dim_with_its_reason(bench: BenchRecord) -> None:
    said = next(line for line in coloured(bench_page(bench), 160).splitlines() if "skipped: the fused" in line)
    cells = re.findall(r"\x1b\[([0-9;]*)m([^\x1b]*)", said)
    assert all(style == "2" for style, text in cells if text.strip())


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"status": "failed", "skipped": "out of memory on cuda:0"}, "failed: out of memory on cuda:0"),
        ({"status": "cut", "skipped": "cut for time: 3 s are left"}, "cut for time: 3 s are left"),
        ({"status": "failed", "skipped": "an \x1b[31merror\nof two lines"}, "failed: an ?[31merror of two lines"),
        ({"status": "pending", "skipped": None}, "not reached"),
    ],
)
def test_a_row_without_figures_says_why(bench: BenchRecord, fields: dict[str, object], said: str) -> None:
    record = changed(bench, 11, **fields)
    assert f"    cuda:0  fused       256  {said}" in training_lines(record)


def test_a_case_that_failed_after_some_rounds_keeps_its_figures(bench: BenchRecord) -> None:
    said = training_lines(changed(bench, 6, status="failed", skipped="out of memory"))
    assert any("413,705" in line and line.endswith("PASS") for line in said)
    assert "    cpu     fused       256  failed: out of memory" in said


def test_an_ambiguous_speedup_is_not_claimed(bench: BenchRecord) -> None:
    row = bench.cases[5]
    assert row.speedup is not None
    assert row.speedup.verdict == "ambiguous"
    said = next(line for line in training_lines(bench) if "123,714" in line)
    assert "ambiguous" in said
    assert units.significant(row.speedup.ratio) not in said
    assert leaders(only(bench, 2, 5)) == (
        "cpu compiled trains fastest, 124,000 images/s, not to be told apart from cpu eager",
    )


@pytest.mark.parametrize(
    ("verdict", "cell", "words"),
    [
        ("faster", "1.50 ±4.0 %", "1.50 times as fast as cpu eager (±4.0 %)"),
        ("slower", "1.50 ±4.0 %", "1.50 times as fast as cpu eager (±4.0 %)"),
        ("same", "same", "as fast as cpu eager"),
        ("ambiguous", "ambiguous", "not to be told apart from cpu eager"),
    ],
)
def test_a_speedup_says_what_its_verdict_allows(bench: BenchRecord, verdict: str, cell: str, words: str) -> None:
    over = Comparison(ratio=1.5, low=1.44, high=1.55, verdict=verdict, p_value=0.5)
    record = changed(only(bench, 1, 4), 1, speedup=over)
    assert f" {cell} " in next(line for line in training_lines(record) if "172,365" in line)
    assert leaders(record) == (f"cpu compiled trains fastest, 172,000 images/s, {words}",)


def test_too_few_rounds_are_no_likeness(bench: BenchRecord) -> None:
    record = only(bench, 1, 4)
    few = summarize(record.cases[1].images_per_s.samples[:5])
    over = Comparison(ratio=1.5, low=1.4, high=1.6, verdict="ambiguous", p_value=0.06)
    record = changed(record, 1, speedup=over, images_per_s=few)
    (said,) = leaders(record)
    assert said.endswith("images/s, too few rounds to compare it with cpu eager")


def test_the_baseline_itself_may_be_the_fastest(bench: BenchRecord) -> None:
    assert leaders(only(bench, 1)) == ("cpu eager trains fastest, 98,900 images/s",)


def test_cases_that_may_be_as_fast_are_named(bench: BenchRecord) -> None:
    record = changed(only(bench, 16, 17, 17), 2, engine="fused")
    pace = "cpu compiled classifies batches fastest, 402,000 images/s, as fast as cpu eager"
    assert leaders(record) == (f"{pace}; not clearly slower: cpu fused",)
    assert "not clearly slower" not in leaders(only(bench, 1, 4, 6))[0]


def test_the_quickest_to_a_target_is_no_sure_winner_where_intervals_overlap(targets: BenchRecord) -> None:
    assert leaders(targets) == (
        "Time to 98 % accuracy: cpu eager fp32 is quickest, 3.63 s (2.29 to 4.28), 10 of 10 seeds; "
        "not clearly slower: cpu fused fp32",
    )
    assert "not clearly slower" not in leaders(only(targets, 0, 1))[0]


def test_unknown_is_a_dash_and_a_column_of_dashes_is_left_out(bench: BenchRecord) -> None:
    said = next(line for line in training_lines(bench) if "413,705" in line)
    assert said.endswith("   598 MB      –   97.39 %  PASS")
    cpu = training_lines(only(bench, 0, 1, 4))
    assert not any("µJ" in line for line in cpu)
    unverified = changed(only(bench, 1, 4), 1, accuracy=None, verdict=None)
    assert next(line for line in training_lines(unverified) if "172,365" in line).split()[-2:] == ["–", "–"]


def test_too_few_samples_have_no_interval(bench: BenchRecord) -> None:
    row = bench.cases[4]
    assert row.images_per_s is not None
    record = changed(bench, 4, images_per_s=summarize(row.images_per_s.samples[:5]), rounds=row.rounds[:5])
    assert any("too few" in line and "compiled" in line for line in training_lines(record))


def test_the_spread_between_processes_is_a_column_where_there_are_several(bench: BenchRecord) -> None:
    record = changed(only(bench, 1, 4), 1, process_spread=0.0234, process_medians=(1.0, 1.02))
    said = training_lines(record)
    assert "between" in said[0]
    assert any("2.3 %" in line for line in said if "172,365" in line)
    assert "between" not in training_lines(bench)[0]


# How it ended


def judged(record: BenchRecord, verdict: Verdict | None) -> BenchRecord:
    return replace(record, cases=tuple(replace(case, verdict=verdict) for case in record.cases))


def missing_all(record: BenchRecord) -> BenchRecord:
    def missed(made: TimeToAccuracy) -> TimeToAccuracy:
        none = target((None,) * 10)
        return replace(made, with_compile=none, without_compile=none, epochs=(None,) * 10)

    cases = [
        replace(case, time_to_accuracy=missed(case.time_to_accuracy)) for case in record.cases if case.time_to_accuracy
    ]
    return replace(record, cases=tuple(cases))


def planned(record: BenchRecord) -> BenchRecord:
    """The record before anything is measured."""
    return replace(record, cases=tuple(CaseResult.of(case.case) for case in record.cases), rounds=())


def test_the_outcome_is_as_the_record_says(bench: BenchRecord, targets: BenchRecord) -> None:
    right = only(bench, 0, 1, 4, 11)
    assert outcome_of(bench) == "FAIL"
    assert outcome_of(right) == "PASS"
    assert outcome_of(judged(right, None)) == "DONE, not verified"
    assert outcome_of(replace(right, status="interrupted")) == "INTERRUPTED"
    assert outcome_of(replace(bench, status="interrupted")) == "INTERRUPTED, FAIL"
    assert outcome_of(only(bench, 11, 12)) == "NOTHING MEASURED"
    assert outcome_of(targets) == "PASS"
    assert outcome_of(missing_all(targets)) == "FAIL"


def test_why_nothing_was_measured_is_said_by_the_reason_that_most_cases_share(bench: BenchRecord) -> None:
    case = only(bench, 0).cases[0]
    reasons = ("no GPU", "no driver", "no GPU")
    unmeasured = [replace(case, status="skipped", skipped=why, images_per_s=None, verdict=None) for why in reasons]
    record = replace(bench, cases=tuple(unmeasured))
    assert nothing_text(record) == "Nothing was measured: no GPU (2 of 3 cases)"
    assert nothing_text(replace(record, cases=tuple(unmeasured[:1]))) == "Nothing was measured: no GPU"
    assert nothing_text(replace(record, status="interrupted")) == ""
    assert nothing_text(only(bench, 0, 11)) == ""
    assert lines(bench_page(record))[-1].rstrip() == nothing_text(record)
    assert "Nothing was measured: no GPU" in format_markdown(record)


def test_a_target_that_nobody_reached_has_no_ranks(targets: BenchRecord) -> None:
    record = missing_all(targets)
    assert leaders(record) == ("Time to 98 % accuracy: no right case gets there with half of its seeds",)
    said = under("Time to 98 % accuracy", lines(bench_page(record)))
    assert words(said[2]).startswith("cpu eager fp32 ∞ (∞ to ∞) 0 of 10")


def test_an_interrupted_benchmark_shows_the_table_so_far(bench: BenchRecord) -> None:
    said = lines(bench_page(replace(bench, status="interrupted", message="its output was closed")), 120)
    assert said[1].startswith("INTERRUPTED, FAIL  17 of 19 cases measured in 24 rounds")
    assert "its output was closed" in said
    assert any("413,705" in line for line in said)
    again = lines(bench_page(replace(bench, status="interrupted", message="interrupted")), 120)
    assert "interrupted" not in again


def test_a_benchmark_that_has_only_begun_can_be_shown(bench: BenchRecord) -> None:
    said = lines(bench_page(replace(planned(bench), status="running")))
    assert said[1].startswith("RUNNING  0 of 19 cases measured")
    assert sum(line.endswith("not reached") for line in said) == 19
    assert lines(bench_page(BenchRecord()))[1] == "RUNNING  0 of 0 cases measured, 0 s"


def test_the_measurement_may_cost_too_much(bench: BenchRecord) -> None:
    heavy = replace(bench, harness=Harness(empty_region_s=0.002, share=0.02))
    assert "\x1b[1;33mMeasuring costs 2 ms a region, at most 2.00 % of one." in coloured(bench_page(heavy))
    assert "\x1b[2mMeasuring costs" in coloured(bench_page(bench))
    light = replace(bench, harness=Harness(empty_region_s=2e-6, share=2e-6))
    assert "Measuring costs 2 µs a region, at most 0.01 % of one." in lines(bench_page(light))
    unknown = replace(bench, harness=Harness(empty_region_s=2e-6, share=None))
    assert "Measuring costs 2 µs a region." in lines(bench_page(unknown))


# The line


def test_one_line(bench: BenchRecord, targets: BenchRecord) -> None:
    assert format_line(bench) == (
        "FAIL 17 of 19 cases measured in 24 rounds, 2 min 51 s; "
        "cuda:0 eager batch 1,024 trains fastest, 2,270,000 images/s, "
        "19.3 times as fast as cpu eager batch 1,024 (±4.7 %); "
        "wrong: training cuda:0 compiled batch 256 (losses of the first steps is 0.0813, limit 0.002)"
    )
    assert format_line(targets).startswith("PASS 4 of 4 cases measured, 6 min 42 s; Time to 98 % accuracy: cpu eager")
    nan = Check(name="finite losses", passed=False, value=None, limit=None, detail="a NaN\nin step 3", reason="")
    record = changed(bench, 10, verdict=Verdict(passed=False, reference="none", checks=(nan,)))
    said = format_line(replace(record, message="two\nlines", status="failed"))
    assert said.startswith("FAILED, FAIL 17 of 19 cases measured in 24 rounds, 2 min 51 s; two lines; ")
    assert said.endswith("wrong: training cuda:0 compiled batch 256 (finite losses (a NaN in step 3))")


# Markdown


def tables(text: str) -> list[list[list[str]]]:
    """Every table of a Markdown text as rows of cells, read by an independent parser."""
    found: list[list[list[str]]] = []
    for token in MarkdownIt().enable("table").parse(text):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type in ("th_open", "td_open"):
            found[-1][-1].append("")
        elif token.type == "inline" and found and found[-1] and token.level > 3:
            found[-1][-1][-1] = "".join(child.content for child in token.children or ())
    return found


def test_markdown_has_the_tables_of_the_console(bench: BenchRecord) -> None:
    found = tables(format_markdown(bench))
    assert [len(table) - 1 for table in found] == [11, 3, 3, 9]
    for table in found:
        assert {len(row) for row in table} == {len(table[0])}
    assert found[0][1][:6] == ["1", "cuda:0", "eager", "1,024", "2,270,672 ±0.4 %", "19.3 ±4.7 %"]
    assert found[0][0][6:8] == ["ms a step", "of limit"]
    assert found[0][11][0] == ""
    assert found[0][11][-1] == "FAIL"


def test_markdown_begins_with_what_was_measured_on_what(bench: BenchRecord, targets: BenchRecord) -> None:
    said = format_markdown(bench).splitlines()
    assert said[0] == (
        "784-256-10, fp32, on AMD EPYC 9B14 (2 cores, AVX512) and NVIDIA H100 80GB HBM3, torch 2.14.1, Python 3.11.7, "
        "2026-11-24:"
    )
    assert said[-1] == "Made by `accelmnist bench --devices cpu,cuda --batch-sizes 64,256,1024`, accelmnist 0.1.0."
    assert "- Training: cpu compiled batch 256: compute-bound: 83 % of this CPU's fp32 rate" in said
    assert "| ---: | --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |" in format_markdown(targets)


def test_markdown_escapes_what_the_record_says(bench: BenchRecord) -> None:
    assert bench.environment is not None
    nasty = "a|b `c` *d* _e_ <f> [g] \\|"
    record = changed(changed(bench, 11, skipped=nasty), 6, engine="cuda_graph|x")
    environment = replace(bench.environment, command="accelmnist bench --out 'a`b'\n# x", processor="A|B\nC")
    text = format_markdown(replace(record, environment=environment))
    found = tables(text)
    assert {len(row) for row in found[0]} == {len(found[0][0])}
    assert found[0][3][2] == "cuda_graph|x"
    assert "Made by `` accelmnist bench --out 'a`b' # x ``" in text
    inline = MarkdownIt().parseInline(escape(nasty))[0].children or []
    assert {child.type for child in inline} == {"text"} or {child.type for child in inline} == {"text", "text_special"}
    assert "".join(child.content for child in inline) == nasty
    assert "\n# x" not in text
    assert "\nC (2 cores" not in text


@pytest.mark.parametrize("record", [BenchRecord(), sample_targets()], ids=["empty", "targets"])
def test_markdown_of_any_record(record: BenchRecord) -> None:
    text = format_markdown(record)
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    for table in tables(text):
        assert {len(row) for row in table} == {len(table[0])}


# While it runs


def after(record: BenchRecord, rounds: int) -> BenchRecord:
    """The record as it was after so many rounds."""

    def so_far(case: CaseResult) -> CaseResult:
        if case.images_per_s is None:
            return case
        speed = summarize(case.images_per_s.samples[:rounds]) if rounds else None
        return replace(case, status="measuring", images_per_s=speed, rounds=case.rounds[:rounds], rank=None)

    return replace(record, status="running", cases=tuple(map(so_far, record.cases)), rounds=record.rounds[:rounds])


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class SlowClock(Clock):
    """Every look takes 10 ms: so does the drawing of a page, which lies between two looks."""

    def __call__(self) -> float:
        self.now += 0.01
        return self.now


def piped() -> Console:
    return Console(width=80, file=io.StringIO(), force_terminal=False, no_color=True)


def test_through_a_pipe_there_are_plain_lines(bench: BenchRecord) -> None:
    console, clock = piped(), Clock()
    with ConsoleBenchObserver(console, clock=clock, spent_s=2.0) as observer:
        observer.planned(planned(bench))
        observer.stage("preparing training cpu eager")
        for number in range(1, 21):
            clock.now += 0.1
            observer.round_done(after(bench, number))
    assert written(console) == [
        "19 cases on cpu, cuda:0, about 2 min 58 s left",
        "… preparing training cpu eager",
        "round 10, 6 of 17 cases settled, widest training cpu eager batch 1,024 ±9.1 %, about 2 min 57 s left",
        "round 20, 12 of 17 cases settled, widest training cpu eager batch 1,024 ±6.5 %, about 2 min 56 s left",
    ]


def test_through_a_pipe_slow_rounds_are_told_every_five_seconds(bench: BenchRecord) -> None:
    console, clock = piped(), Clock()
    observer = ConsoleBenchObserver(console, clock=clock)
    for number in range(1, 9):
        clock.now += 2.0
        observer.round_done(after(bench, number))
    assert [line.split(",")[0] for line in written(console)] == ["round 3", "round 6"]


def test_through_a_pipe_a_case_that_went_wrong_is_told_at_once(bench: BenchRecord) -> None:
    console = piped()
    observer = ConsoleBenchObserver(console)
    record = changed(bench, 4, status="failed", skipped="out of memory")
    for place in (3, 4, 10):
        observer.case_done(record, record.cases[place].case)
    assert written(console) == [
        "training cpu compiled batch 256: failed: out of memory",
        "training cuda:0 compiled batch 256: the result is wrong",
    ]


def test_before_the_sixth_round_no_interval_is_claimed(bench: BenchRecord) -> None:
    said = format_progress(after(bench, 5), spent_s=1.0)
    assert said == "round 5, 0 of 17 cases settled, about 2 min 59 s left"
    endless = replace(after(bench, 12), config=BenchConfig(effort="full"))
    assert format_progress(endless, spent_s=61.0).endswith("1 min 01 s so far")


def test_the_live_table_has_a_row_a_case(bench: BenchRecord) -> None:
    said = lines(format_live(after(bench, 14), stage="measuring", spent_s=71.2, height=40))
    assert said[1:6] == [
        "case                                          images/s  rounds",
        "─────────────────────────────────────────────────────────────────────────",
        "training cpu eager batch 64              61,288 ±1.4 %      14  measuring",
        "training cpu eager batch 256             99,189 ±1.3 %      14  measuring",
        "training cpu eager batch 1,024          119,117  ±10 %      14  measuring",
    ]
    assert "… measuring" in said
    assert "round 14, 4 of 17 cases settled, widest training cpu eager batch 1,024 ±10 %" in said
    assert said[-2].endswith("about 1 min 49 s left")


def test_the_live_table_fits_the_terminal(bench: BenchRecord, targets: BenchRecord) -> None:
    for record in (after(bench, 14), planned(bench), targets):
        for height in (14, 24, 40):
            page = format_live(record, stage="preparing training cpu eager", spent_s=3.0, height=height)
            assert len(lines(page)) <= height
            assert max(map(len, lines(page))) <= 80
    small = lines(format_live(after(bench, 14), stage="", spent_s=3.0, height=24))
    assert "and 4 more cases" in small
    assert not any(line.endswith(("skipped", "cut")) for line in small)


def test_the_live_table_counts_seeds_where_there_is_a_target(targets: BenchRecord) -> None:
    said = lines(format_live(targets, stage="training to the target", spent_s=3.0, height=40))
    assert any(line.split()[-2:] == ["10", "done"] and "(8.39 to 8.84)" in line for line in said)
    assert "seed 10 of 10" in said


class Screen:
    """As much of a terminal as the live table needs: what is on the screen after some output."""

    def __init__(self) -> None:
        self.rows, self.row, self.column, self.hidden = [""], 0, 0, False

    def feed(self, output: str) -> None:
        for code, character in re.findall(r"(\x1b\[[0-9;?]*[a-zA-Z])|(.|\n|\r)", output):
            if code:
                self._obey(code)
            elif character == "\n":
                self.row += 1
                self.rows += [""] * (self.row + 1 - len(self.rows))
            elif character == "\r":
                self.column = 0
            else:
                line = self.rows[self.row].ljust(self.column)
                self.rows[self.row] = line[: self.column] + character + line[self.column + 1 :]
                self.column += 1

    def _obey(self, code: str) -> None:
        if code == "\x1b[2K":
            self.rows[self.row] = ""
        elif code.endswith("A"):
            self.row = max(self.row - int(code[2:-1] or 1), 0)
        elif code in ("\x1b[?25l", "\x1b[?25h"):
            self.hidden = code.endswith("l")

    @property
    def text(self) -> list[str]:
        return [row.rstrip() for row in self.rows if row.strip()]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Console, int]]:
    """A console on a pseudo terminal, and the end at which its output is read."""
    pty = pytest.importorskip("pty")
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    reader, writer = pty.openpty()
    with open(writer, "w", encoding="utf-8") as file:  # noqa: PTH123 - a file descriptor
        yield Console(width=80, height=40, file=file), reader
    os.close(reader)


def arrived(reader: int) -> str:
    """What was written so far; less than the terminal holds."""
    os.set_blocking(reader, False)
    found = b""
    while True:
        try:
            found += os.read(reader, 65536)
        except BlockingIOError:
            return found.decode()


def test_in_a_terminal_the_table_is_drawn_in_place_and_goes_at_the_end(
    bench: BenchRecord, terminal: tuple[Console, int]
) -> None:
    (console, reader), clock, screen = terminal, Clock(), Screen()
    threads = threading.active_count()
    with ConsoleBenchObserver(console, clock=clock) as observer:
        observer.planned(planned(bench))
        screen.feed(arrived(reader))
        assert words(screen.text[3]) == "training cpu eager batch 64 – – waiting"
        observer.stage("preparing training cpu eager")
        screen.feed(arrived(reader))
        for number in (12, 13, 14):
            clock.now += 1.0
            observer.round_done(after(bench, number))
            screen.feed(arrived(reader))
        assert threading.active_count() == threads  # nothing draws but who is called
        assert screen.hidden
        assert screen.text[1].split() == ["case", "images/s", "rounds"]
        assert words(screen.text[3]) == "training cpu eager batch 64 61,288 ±1.4 % 14 measuring"
        assert len([line for line in screen.text if "training cpu eager batch 64 " in line]) == 1
    screen.feed(arrived(reader))
    assert screen.text == []
    assert not screen.hidden


def test_in_a_terminal_rounds_are_drawn_four_times_a_second_at_most(
    bench: BenchRecord, terminal: tuple[Console, int]
) -> None:
    (console, reader), clock = terminal, Clock()
    with ConsoleBenchObserver(console, clock=clock) as observer:
        observer.planned(planned(bench))
        arrived(reader)
        drawn = 0
        for _ in range(100):
            clock.now += 0.02
            observer.round_done(after(bench, 12))
            drawn += bool(arrived(reader))
        assert drawn == 7  # in 2 s of rounds that take 20 ms, 0.26 s apart
        observer.stage("a stage shows at once")
        assert "a stage shows at once" in arrived(reader)


def test_in_a_terminal_drawing_takes_a_fiftieth_of_the_time(bench: BenchRecord, terminal: tuple[Console, int]) -> None:
    (console, reader), clock = terminal, SlowClock()
    with ConsoleBenchObserver(console, clock=clock) as observer:
        observer.planned(planned(bench))
        arrived(reader)
        drawn = 0
        for _ in range(20):
            clock.now += 0.1
            observer.round_done(after(bench, 12))
            drawn += bool(arrived(reader))
    assert drawn == 4  # 20 rounds in 2.2 s, and 0.5 s between pages that take 10 ms


def test_a_failure_gives_the_terminal_back(bench: BenchRecord, terminal: tuple[Console, int]) -> None:
    (console, reader), screen = terminal, Screen()
    with contextlib.suppress(KeyboardInterrupt), ConsoleBenchObserver(console) as observer:
        observer.planned(planned(bench))
        raise KeyboardInterrupt
    screen.feed(arrived(reader))
    assert screen.text == []
    assert not screen.hidden


def test_a_dumb_terminal_gets_plain_lines(bench: BenchRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    console = Console(width=80, file=io.StringIO(), force_terminal=True)
    with ConsoleBenchObserver(console) as observer:
        observer.planned(planned(bench))
    assert len(written(console)) == 1


def test_the_silent_observer_says_nothing(bench: BenchRecord, capsys: pytest.CaptureFixture[str]) -> None:
    observer = BenchObserver()
    observer.planned(bench)
    observer.stage("measuring")
    observer.round_done(bench)
    observer.case_done(bench, bench.cases[0].case)
    assert capsys.readouterr() == ("", "")


# Around it


def test_the_samples_are_as_a_record_would_be(bench: BenchRecord, targets: BenchRecord, tmp_path: Path) -> None:
    concluded = conclude(bench)
    assert [(case.rank, case.speedup) for case in concluded.cases] == [
        (case.rank, case.speedup) for case in bench.cases
    ]
    for record in (bench, targets):
        save_bench(record, tmp_path)
        assert load_bench(tmp_path) == record
    assert step_cost(Spec(batch=2)).flops == 2 * 2 * (3 * 256 * 10 + 2 * 784 * 256)


def test_showing_a_benchmark_needs_no_torch() -> None:
    code = (
        "import sys; import accelmnist.show.bench.page, accelmnist.show.bench.live, accelmnist.show.bench.headline; "
        "sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.0412, "0.0412"), (6.1, "6.10"), (9.996, "10.0"), (41.24, "41.2"), (1234.4, "1,234"), (0.0, "0"), (None, "–")],
)
def test_significant(value: float | None, said: str) -> None:
    assert units.significant(value) == said


@pytest.mark.parametrize(
    ("value", "said"), [(0.0081, "±0.8 %"), (0.0002, "±0.1 %"), (0.0994, "±9.9 %"), (0.0996, "±10 %"), (None, "–")]
)
def test_spread(value: float | None, said: str) -> None:
    assert units.spread(value) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [(170e9, "170 GFLOP/s"), (2.6e12, "2.60 TFLOP/s"), (999.6e9, "1.00 TFLOP/s"), (3e18, "3,000 PFLOP/s")],
)
def test_prefixed(value: float, said: str) -> None:
    assert units.prefixed(value, "FLOP/s") == said


def test_microseconds_keep_three_digits() -> None:
    assert units.seconds(41.24e-6) == "41.2 µs"


# --- beside other programs


@pytest.mark.parametrize("width", [80, 120])
def test_sides_have_their_pairs_and_say_what_they_are(width: int) -> None:
    said = lines(bench_page(sample_beside(), None), width)
    assert max(map(len, said)) <= width
    assert "cpu eager is 5.0 % (4.6 % to 5.2 %) slower than old" in said
    rows = [line.split() for line in under("Beside", said)]
    assert ["cpu", "eager", "old", "0.950", "0.948", "to", "0.954", "0.003", "slower"] in rows
    assert ["cpu", "fused", "mine", "6.133", "6.122", "to", "6.144", "0.003", "faster"] in rows
    sides = " ".join(" ".join(under("Sides", said)).split())
    assert "ours accelmnist 0.2.0, torch 2.14.1+cu130" in sides
    assert "old torch 2.13.0+cu128, commit 1caf69dd5c53 PYTHONPATH=/home/ada/older python" in sides
    assert "mine numpy 2.4.6 python bench/examples/numpy_trainer.py" in sides
    assert "lost not measured: /no/such/python can't be started" in sides
    assert "Requests between the processes take 0.6 % of a region's time, and are in no figure." in sides
    assert "cpu eager 1.000 ±0.7 %. So their presence costs nothing." in sides


def test_pairs_of_both_modes_are_told_apart() -> None:
    record = sample_beside()
    classifies = [
        replace(case, mode="inference", optimizer=None) if case.engine == "fused" else case for case in record.cases
    ]
    said = under("Beside", lines(bench_page(replace(record, cases=tuple(classifies)), None), 120))
    assert [line.split()[:3] for line in said if " old " in line] == [
        ["training", "cpu", "eager"],
        ["inference", "cpu", "fused"],
    ]


def test_a_side_that_breaks_off_is_told_and_fails_what_it_is_to_be_held_against() -> None:
    record = sample_beside()
    cases = tuple(case for case in record.cases if case.side in (None, "mine"))
    config = replace(record.config, beside=record.config.beside[1:2])
    record = replace(record, config=config, cases=cases)
    assert _exit_code(record, strict=False) == 0
    broken = replace(cases[-1], status="failed", skipped="it ended with signal SIGKILL")
    record = replace(record, cases=(*cases[:-1], broken))
    assert _exit_code(record, strict=False) == 1
    assert "broke off: cpu mine: it ended with signal SIGKILL" in lines(bench_page(record, None), 80)


def test_the_table_says_by_whom_a_case_was_measured() -> None:
    [training, beside, *_] = tables(format_markdown(sample_beside()))
    assert [row[training[0].index("by")] for row in training[1:]] == ["ours", "old", "old", "ours", "mine"]
    assert beside[0] == ["case", "over", "ratio", "95 % interval", "p", "verdict"]
