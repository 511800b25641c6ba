"""The table of a record of faults, in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.studies.faults.planting import Outcome


def document(outcomes: Sequence[Outcome], *, command: str) -> str:
    """What was found, by what and how surely; what was not, and what passed that should."""
    faults = [one for one in outcomes if not one.harmless and not one.reason]
    blind = [one for one in outcomes if not one.harmless and one.reason]
    harmless = [one for one in outcomes if one.harmless]
    found = sum(one.found > 0 for one in faults)
    always = sum(one.is_right for one in faults)
    passed = sum(one.is_right for one in harmless)
    lines = [
        "# Faults planted, and what noticed them",
        "",
        f"`{command}` plants each of these into a copy of the package and runs the program there. {found} of"
        f" {len(faults)} faults were found, {always} of them in every run; {passed} of {len(harmless)} harmless changes"
        " passed. A run's audit windows are drawn by chance, so runs differ.",
        "",
        *table(faults),
        "",
        "## Harmless changes",
        "",
        *table(harmless),
    ]
    if blind:
        reasons = [f"- {one.what} (`{one.name}`): {one.reason}." for one in blind]
        lines += ["", "## What can't be found", "", *reasons]
    return "\n".join(lines) + "\n"


def table(outcomes: Iterable[Outcome]) -> list[str]:
    """One row an outcome."""
    rows = [
        f"| {one.part} | {one.what} | {one.by.replace('|', '/') or '–'} | {one.found} of {one.runs} | {_excess(one)} |"
        for one in outcomes
    ]
    return ["| part | planted | found by | runs | over its limit |", "| --- | --- | --- | --: | --: |", *rows]


def _excess(outcome: Outcome) -> str:
    if outcome.value is None or not outcome.limit:
        return ""
    return f"{abs(outcome.value / outcome.limit):.2g} times"
