"""The tables as Markdown: results/peers.md with every case, and the short one for results/README.md."""

from __future__ import annotations

from fractions import Fraction

from bench.peers.judgement import Board, Judged, boards
from bench.peers.limit_words import limit_lines
from bench.peers.record import CaseRecord, PeersRecord
from bench.peers.start.table import chapter as start_chapter
from bench.peers.start.table import start_sentence
from bench.peers.workloads import WORKLOADS, Workload

PRECISION_NAMES = {"fp32": "float32", "bf16": "bfloat16"}
_VERDICTS = {"faster": "faster than our best", "slower": "slower", "same": "the same", "ambiguous": "ambiguous"}


def head(record: PeersRecord) -> str:
    """Machine, versions, date: in one line."""
    count = max((len(case.seconds) for one in record.workloads for case in one.cases), default=0)
    return (
        f"{record.processor} ({record.threads} threads, {record.instructions}), Python {record.python}, {record.date}, "
        f"{count} rounds"
    )


def document(record: PeersRecord) -> str:
    """All of results/peers.md."""
    lines = ["# Peers", "", f"Made by `{record.command}` on {head(record)}.", "", _EXPLANATION]
    for workload in record.workloads:
        for board in boards(workload):
            lines += ["", f"## {board.workload.title}, {PRECISION_NAMES[board.precision]}", "", *board_lines(board)]
            lines += limit_lines(board)
    lines += ["", *start_chapter(record.starts)] if record.starts else []
    return "\n".join([*lines, ""])


_EXPLANATION = (
    "Each runs in a process of its own; a round takes one region of every contender in random order. Images/s is the "
    "median with its 95 % interval; the ratio is the speed over that of our fastest engine, of the same rounds, with "
    "its 95 % interval: below 1, ours is faster. The first call is what building and compiling take beyond a later "
    "call; what an earlier workload compiled alike is found again. Who is not as accurate as our eager float32 "
    "training after as many steps is wrong, and not ranked. The matrix products alone are no contender but a limit: "
    "the same rounds run torch.mm at the shapes of a step, with nothing before, between or after the products. Our "
    "fused engine can exceed it, since it skips the pixels that are zero."
)


def board_lines(board: Board) -> list[str]:
    """One table; who has no figures stands below it, with the reason."""
    unit = "ms an epoch" if board.workload.mode == "training" else "ms a pass"
    lines = [
        f"| who | version | images/s | {unit} | ratio to our best | first call, s | accuracy | verdict |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    best = board.best_of_ours
    return lines + [_row(row, board.workload, is_best=row is best) for row in board.rows]


def _row(row: Judged, workload: Workload, *, is_best: bool) -> str:
    case = row.case
    title = _title(case)
    if row.speed is None:
        return f"| {title} | {case.version} | | | | | | {plain(case.reason or 'not measured')} |"
    speed = f"{row.speed.median:,.0f} ({row.speed.low:,.0f} to {row.speed.high:,.0f})"
    cells = [
        title,
        case.version,
        speed,
        f"{row.epoch_ms:,.1f}",
        _ratio(row, is_best=is_best),
        "" if case.first_s is None else f"{case.first_s:.1f}",
        _accuracy(row, workload),
        plain(_verdict(row, is_best=is_best)),
    ]
    return f"| {' | '.join(cells)} |"


def _title(case: CaseRecord) -> str:
    """Ours stand out, and what is no contender does too."""
    return f"**{case.title}**" if case.ours else f"*{case.title}*" if case.limit else case.title


def _ratio(row: Judged, *, is_best: bool) -> str:
    if is_best:
        return "1"
    compared = row.to_best_of_ours
    return f"{compared.ratio:.2f} ({compared.low:.2f} to {compared.high:.2f})" if compared else ""


def _accuracy(row: Judged, workload: Workload) -> str:
    """The last accuracy, and after how much training it is."""
    if not row.case.accuracies:
        return ""
    steps, share = row.case.accuracies[-1]
    if workload.mode == "inference":
        return f"{100 * share:.2f} %"
    epochs = Fraction(steps, workload.epoch_steps)
    return f"{100 * share:.2f} % ({epochs} epoch{'s' if epochs > 1 else ''})"


def _verdict(row: Judged, *, is_best: bool) -> str:
    if row.case.limit:
        return "limit of dense products"
    if row.wrong:
        return f"**wrong**: {row.wrong}"
    word = _VERDICTS[row.to_best_of_ours.verdict] if row.to_best_of_ours else "right"
    return ("our best" if is_best else word) + ("" if row.case.accuracies else ", accuracy unknown")


def plain(text: str) -> str:
    """Text that can't break a table: one line, no bar."""
    return " ".join(text.split()).replace("|", "/")


def readme_part(record: PeersRecord) -> str:
    """Images/s of everyone at every workload, and how many times as fast our best engine is."""
    shown = [board for workload in record.workloads for board in boards(workload)]
    keys = ", ".join(f"({board.workload.key}) {_lower(board.workload.title)}" for board in _first_of_each(shown))
    lines = [f"{keys}; on {head(record)}. Images/s, and in brackets how many times as fast our best engine is:", ""]
    titles = [f"({board.workload.key}) {PRECISION_NAMES[board.precision]}" for board in shown]
    lines += [f"| who | {' | '.join(titles)} |", f"| --- |{' ---: |' * len(shown)}"]
    lines += [f"| {' | '.join(row)} |" for row in _matrix(shown)]
    sentence = start_sentence(record.starts)
    return "\n".join([*lines, *_limit_note(shown), *(["", sentence] if sentence else [])])


def _limit_note(measured: list[Board]) -> list[str]:
    """Why an engine can be faster than the matrix products alone, if they were measured."""
    if not any(row.case.limit for board in measured for row in board.rows):
        return []
    return [
        "",
        "Fused can exceed the matrix products alone: they take every pixel, and fused skips those that are zero.",
    ]


def _lower(title: str) -> str:
    return title[0].lower() + title[1:]


def _first_of_each(shown: list[Board]) -> list[Board]:
    return [next(board for board in shown if board.workload.key == key) for key in WORKLOADS if _has(shown, key)]


def _has(shown: list[Board], key: str) -> bool:
    return any(board.workload.key == key for board in shown)


def _matrix(shown: list[Board]) -> list[list[str]]:
    """A row for each contender that has a figure anywhere, in the order of the first board's ranking."""
    order = {row.case.key: row.case for board in shown for row in board.rows if row.speed is not None}
    rows = []
    for key, case in order.items():
        rows.append([_title(case), *(_cell(board, key) for board in shown)])
    return rows


def _cell(board: Board, key: str) -> str:
    row = next((row for row in board.rows if row.case.key == key), None)
    if row is None or row.speed is None:
        return ""
    if row.wrong:
        return "wrong"
    speed = f"{row.speed.median:,.0f}"
    if row is board.best_of_ours:
        return f"**{speed}**"
    return f"{speed} ({1 / row.to_best_of_ours.ratio:.2f})" if row.to_best_of_ours else speed
