"""The history of many benchmarks: a row for each case with its course, every change with what else changed there.

A line is drawn as it goes, the newest at the right, in eight heights from its lowest level to its highest. If few lines
are asked for, every record of each has a row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from accelmnist.measure.history.found import VERSIONS
from accelmnist.measure.history.lines import Figure, History, Line
from accelmnist.measure.statistics.change import FEWEST, Change
from accelmnist.show import document as doc
from accelmnist.show.units import UNKNOWN, p_text, percent, plural, rate

_BARS = "▁▂▃▄▅▆▇█"
_MOST_BARS = 16
_DETAILED = 2  # lines of which every record is shown
_MOST_NAMES = 4
_MOST_CHANGES = 40


def history_page(history: History) -> doc.Document:
    """The page for a console: it ends with the answer, where it stays on the screen."""
    return doc.Document(tuple(doc.sections_of(*_parts(history), ("Answer", _answer(history)))))


def history_note(history: History) -> doc.Document:
    """The same for a page of Markdown, with the answer first."""
    return doc.Document(tuple(doc.sections_of(("", _answer(history)), *_parts(history))))


def _parts(history: History) -> Iterator[tuple[str, Sequence[doc.Block]]]:
    lines = compared(history)
    yield "Lines", _lines(lines, history) if lines else ()
    if len(lines) <= _DETAILED:
        for line in lines:
            yield " ".join(filter(None, (line.case, line.hardware, line.work))), (_records(line),)
    yield "Changes", _changes(lines)
    yield "Left out", _left_out(history)


def compared(history: History) -> list[Line]:
    """The lines that are lines: of two records or more."""
    return [line for line in history.lines if len(line.figures) > 1]


def names_of(lines: Sequence[Line]) -> list[str]:
    """A name for each line, of what varies between them."""
    axes = [{**line.axes, "hardware": f"on {line.hardware}", "work": line.work} for line in lines]
    varying = [part for part in (axes[0] if axes else {}) if len({own[part] for own in axes}) > 1]
    names = [" ".join(filter(None, (own[part] for part in varying))) for own in axes]
    return [name or line.case for name, line in zip(names, lines, strict=True)]


def _lines(lines: Sequence[Line], history: History) -> tuple[doc.Block, ...]:
    columns = (
        doc.Column("case", role="name"),
        doc.Column("records", True, spare=3),
        doc.Column("images/s", True, spare=2),
        doc.Column("level", True),
        doc.Column("course", spare=1),
        doc.Column("last change"),
    )
    rows = tuple(_row(name, line) for name, line in zip(names_of(lines), lines, strict=True))
    shared = ", ".join(_shared(lines))
    caption = "Every case over its records."
    table = doc.Table(ident="lines", columns=columns, rows=rows, shared=shared, caption=caption, fit="drop")
    return (table, doc.Points(items=tuple(_explanations(lines, history)), tone="faint"))


def _shared(lines: Sequence[Line]) -> list[str]:
    """What all lines have in common, if there are several."""
    if len(lines) < 2:
        return [lines[0].hardware]
    axes = [{**line.axes, "hardware": line.hardware, "work": line.work} for line in lines]
    return [text for part, text in axes[0].items() if text and len({own[part] for own in axes}) == 1]


def _row(name: str, line: Line) -> tuple[doc.Cell, ...]:
    last, levels = line.figures[-1], line.levels
    speed = UNKNOWN if last.images_per_s is None else rate(last.images_per_s).removesuffix(" images/s")
    change = _last_change(line)
    return (
        doc.Cell(name),
        doc.Cell(str(len(line.figures))),
        doc.Cell("wrong" if last.wrong else speed, tone="bad" if last.wrong else ""),
        doc.Cell(percent(levels[-1], digits=1) if levels else UNKNOWN),
        doc.Cell(course(levels)),
        change,
    )


def course(levels: Sequence[float]) -> str:
    """The levels as bars, as many of the newest as there is room for."""
    shown = levels[-_MOST_BARS:]
    if not shown:
        return ""
    low, high = min(shown), max(shown)
    step = (high - low) / (len(_BARS) - 1) or 1.0
    return "".join(_BARS[round((one - low) / step)] for one in shown)


def _last_change(line: Line) -> doc.Cell:
    if not line.changes:
        return doc.Cell("too few" if len(line.levels) < FEWEST else "none", tone="faint")
    change = line.changes[-1]
    return doc.Cell(f"{signed(change.comparison.ratio)}, {line.leveled[change.place].created[:10]}", tone=_tone(change))


def _tone(change: Change) -> doc.Tone:
    return "good" if change.comparison.ratio > 1 else "bad"


def signed(ratio: float) -> str:
    """A ratio as a difference: "−4.8 %"."""
    return f"{100 * (ratio - 1):+.1f} %".replace("-", "−")


def _explanations(lines: Sequence[Line], history: History) -> Iterator[str]:
    if any(line.divided_by for line in lines):
        yield (
            "Level: the speed over that of the first record, each divided by the machine's limits in the same rounds; "
            "--raw leaves that out."
        )
    if plain := [line for line in lines if not line.divided_by]:
        where = "" if len(plain) == len(lines) else f" of {plural(len(plain), 'line')}"
        yield f"The machine's drift is not divided out{where}: {'--raw' if history.rules.raw else 'no common limit'}."
    tested = sum(len(line.levels) >= FEWEST for line in lines)
    if tested:
        yield (
            f"A change is of {percent(history.rules.threshold, digits=0)} and more, and stands out with every line of "
            f"{FEWEST} records or more counted ({tested}): a false one in 5 % of such pages at most."
        )
    if alone := sum(len(line.figures) == 1 for line in history.lines):
        yield f"In one record alone: {plural(alone, 'case')}."


def _records(line: Line) -> doc.Table:
    """Every record of a line."""
    names = ("date", "commit", "torch", "driver")
    columns = (
        *(doc.Column(name, role="name" if name == "date" else "figure") for name in names),
        doc.Column("images/s", True),
        doc.Column("level", True),
        doc.Column("change"),
    )
    at = {id(line.leveled[change.place]): change for change in line.changes}
    rows = tuple(_record_row(one, at.get(id(one))) for one in line.figures)
    return doc.Table(columns=columns, rows=rows, caption="Every record.", most_on_screen=60)


def _record_row(one: Figure, change: Change | None) -> tuple[doc.Cell, ...]:
    speed = UNKNOWN if one.images_per_s is None else rate(one.images_per_s).removesuffix(" images/s")
    level = UNKNOWN if one.level is None else percent(one.level, digits=1)
    mark = doc.Cell("") if change is None else doc.Cell(signed(change.comparison.ratio), tone=_tone(change))
    return (
        doc.Cell(one.created[:16].replace("T", " ") or UNKNOWN),
        doc.Cell((one.commit or UNKNOWN)[:12]),
        doc.Cell(one.torch or UNKNOWN),
        doc.Cell(one.driver or UNKNOWN),
        doc.Cell("wrong" if one.wrong else speed, tone="bad" if one.wrong else ""),
        doc.Cell(level),
        mark,
    )


def _changes(lines: Sequence[Line]) -> tuple[doc.Block, ...]:
    """Every change, the newest first: its place, its interval, and what else is another there."""
    named = zip(names_of(lines), lines, strict=True)
    every = [(name, line, change) for name, line in named for change in line.changes]
    every.sort(key=lambda one: one[1].leveled[one[2].place].created, reverse=True)
    items = tuple(_remark(*one) for one in every[:_MOST_CHANGES])
    more = len(every) - len(items)
    return (doc.Remarks(items=items), *([doc.Text(text=f"And {more} earlier.")] if more else [])) if items else ()


def _remark(name: str, line: Line, change: Change) -> doc.Remark:
    before, after = line.leveled[change.place - 1], line.leveled[change.place]
    over = change.comparison
    what = "faster" if over.ratio > 1 else "slower"
    interval = f"{signed(over.low)} to {signed(over.high)}"
    text = f"{name}: {what}, {signed(over.ratio)} ({interval}), p {p_text(change.p_value)}"
    place = f"the record before is of {before.created[:16].replace('T', ' ')}"
    others = [
        f"{fact} {getattr(before, fact) or UNKNOWN} → {getattr(after, fact) or UNKNOWN}"
        for fact in VERSIONS
        if getattr(before, fact) != getattr(after, fact)
    ]
    details = (place, ", ".join(others) or "the versions are the same")
    return doc.Remark(name=after.created[:16].replace("T", " "), text=text, details=details)


def _left_out(history: History) -> tuple[doc.Block, ...]:
    items = []
    for one in history.skipped:
        more = f" and {len(one.names) - _MOST_NAMES} more" if len(one.names) > _MOST_NAMES else ""
        items.append(f"{', '.join(one.names[:_MOST_NAMES])}{more}: {one.reason}")
    return (doc.Points(items=tuple(items), tone="unsure"),) if items else ()


def _answer(history: History) -> tuple[doc.Block, ...]:
    lines = compared(history)
    changes = sum(len(line.changes) for line in lines)
    found = f"{plural(history.records, 'record')}, {plural(len(lines), 'line')}, {plural(changes, 'change')}"
    summary = doc.Text(text=found, tone="strong")
    if history.rules.fail_on is None and history.passed:
        return (summary,)
    share = "" if history.rules.fail_on is None else f"{100 * history.rules.fail_on:g} %"
    named = dict(zip(map(id, lines), names_of(lines), strict=True))
    failed = [line for line in history.lines if line.fails]
    text = f"no line is slower than it was by {share} or more" if history.passed else plural(len(failed), "line")
    findings: tuple[tuple[str, doc.Tone], ...] = tuple(
        (f"{named.get(id(line), line.case)}: {_failure(line)}", "bad") for line in failed
    )
    return (summary, doc.Headline.of_check(passed=history.passed, text=text, lines=findings))


def _failure(line: Line) -> str:
    if line.figures[-1].wrong:
        return "wrong that was right"
    assert line.slower is not None
    return f"slower than it was: {signed(line.slower)}"
