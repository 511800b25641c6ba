"""The chapter of a report on a sweep, and which run a sweep brings along."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from accelmnist.analysis.evidence import MissingEvidence
from accelmnist.cli import invoke
from accelmnist.core.records import save_record
from accelmnist.show.document import Figure, Missing, Points, Report, Table
from accelmnist.show.render.report import render_html, render_pdf
from accelmnist.show.report.compose import ReportOptions, compose
from accelmnist.show.report.sources import Sources, load_sources
from accelmnist.sweep.record import WINNER_FOLDER, SweepRecord, save_sweep
from tests.samples import sample_record
from tests.sweep_samples import blank, sweep_config, sweep_record, trial, with_winner

NO_RUN = MissingEvidence("there is no run")


def report_of(record: SweepRecord, **more: Any) -> Report:
    return compose(Sources(folder=Path(), sweep=record, **more), NO_RUN, ReportOptions())


def blocks(report: Report, kind: type) -> list[Any]:
    (chapter,) = [found for found in report.chapters if found.ident == "search"]
    return [block for block in chapter.blocks if isinstance(block, kind)]


def table(report: Report, ident: str) -> Table:
    return next(made for made in blocks(report, Table) if made.ident == ident)


def test_candidates_stand_by_rank_with_their_intervals() -> None:
    record = sweep_record()
    rows = table(report_of(record), "candidates").rows
    assert [row[0].text for row in rows] == [str(rank) for rank in range(1, 25)]
    for row, result in zip(rows, record.ranked, strict=True):
        assert [cell.text for cell in row[1:5]] == [result.network, result.activation, result.output, result.optimizer]
        assert row[7].text == f"{100 * result.accuracy.mean:.2f} %"
        assert row[8].text == f"{100 * result.accuracy.low:.2f} to {100 * result.accuracy.high:.2f} %"
        assert row[10].text.startswith(result.standing.verdict)
    assert rows[0][10].text == "best"
    gap = 100 * (record.ranked[0].accuracy.mean - record.ranked[-1].accuracy.mean)
    assert rows[-1][10].text == f"worse, {gap:.2f} points less"


def test_findings_figures_and_effects_are_the_records() -> None:
    record = sweep_record()
    report = report_of(record)
    (observed,) = [block for block in blocks(report, Points) if block.title == "Observed"]
    assert [item.removesuffix(".").lower() for item in observed.items] == [text.lower() for text in record.findings]
    assert [block.ident for block in blocks(report, Figure)] == ["by-size", "by-group", "fronts"]
    for effect in record.effects:
        assert [row[0].text for row in table(report, f"effect-{effect.factor}").rows] == [
            level.value for level in effect.levels
        ]


def test_the_winner_leads_the_summary() -> None:
    record = with_winner(sweep_record())
    first = report_of(record).summary[0]
    assert first.startswith(f"Of 24 candidates, {record.winner.candidate.network} (")
    assert f"{100 * record.winner.metrics.accuracy:.2f} % of the test images" in first


@pytest.mark.parametrize("status", ["interrupted", "running"])
def test_a_sweep_that_has_not_ended(status: str) -> None:
    config = sweep_config()
    record = SweepRecord(config=config, status=status)
    report = report_of(record)
    assert status in blocks(report, Missing)[0].text
    assert render_html(report)
    assert render_pdf(report)


def test_a_candidate_that_diverged_stands_last_with_its_reason() -> None:
    record = sweep_record()
    bad = blank(record.candidates[0].candidate, trials=(trial(0, None, error="diverged in step 7"),))
    report = report_of(replace(record, candidates=(bad, *record.candidates[1:])))
    rows = table(report, "candidates").rows
    assert rows[-1][10].text == "diverged in step 7"
    assert rows[-1][7].text == "–"
    assert render_html(report)


# --- which run comes along


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sweep with its winner's run below it, and another run beside it."""
    record = with_winner(sweep_record())
    for name in ("sweep", f"sweep/{WINNER_FOLDER}", "other"):
        (tmp_path / name).mkdir()
    save_sweep(replace(record, winner=replace(record.winner, folder=WINNER_FOLDER)), tmp_path / "sweep")
    save_record(sample_record(hidden=(64,)), tmp_path / "sweep" / WINNER_FOLDER)
    save_record(sample_record(hidden=(32,)), tmp_path / "other")
    return tmp_path


def test_the_winners_run_comes_with_its_sweep(folder: Path) -> None:
    for path in (folder / "sweep", folder / "sweep" / "sweep.json"):
        sources = load_sources([path])
        assert sources.run.config.model.hidden == (64,)
        assert sources.run_folder == folder / "sweep" / WINNER_FOLDER
        assert sources.folder == folder / "sweep"


def test_a_run_that_is_given_goes_before_the_winners(folder: Path) -> None:
    for paths in ([folder / "sweep", folder / "other"], [folder / "other", folder / "sweep"]):
        assert load_sources(paths).run.config.model.hidden == (32,)


def test_without_the_winners_run_the_sweep_is_reported_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "sweep" / WINNER_FOLDER / "run.json").unlink()
    assert invoke(["report", str(folder / "sweep")]) == 0
    assert capsys.readouterr().out == f"{folder / 'sweep' / 'report.html'}\n"
