"""What came of a sweep: one page, one line, and how far it has come.

The table of candidates is the same while it runs and at its end. Only the parts of a candidate that differ have a
column, and only the columns that fit on the console are shown: of those that can be spared the first goes first. A
figure that isn't known yet is a dash.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from accelmnist.show import document as doc
from accelmnist.show.units import UNKNOWN, count, percent, plural, seconds
from accelmnist.sweep.record import RECORD_NAME, CandidateResult, SweepRecord, label_of, parts_of
from accelmnist.sweep.schedule import seconds_left, trainings_done, trainings_planned

CandidateColumn = tuple[doc.Column, Callable[[CandidateResult], str]]  # and its cell of a candidate

_MOST_ROWS = 25
_PARTS = ("hidden", "activation", "output", "optimizer", "lr")
_LEARNING_RATE = _PARTS.index("lr")
_FRONTS = {(): "", ("parameters",): "size", ("time",): "time", ("parameters", "time"): "both"}
# On which fronts a candidate lies: no other one is both more accurate and smaller, or quicker.
_FRONT: CandidateColumn = (doc.Column("front", spare=3), lambda result: _FRONTS[result.on_front])


def sweep_page(record: SweepRecord, folder: Path | None = None) -> doc.Document:
    """The whole page; a part that the record has nothing for is left out. `folder` is where the files lie."""
    failed = tuple(
        doc.Text(text=f"{name_of(result)}: {result.error}", tone="bad") for result in record.candidates if result.error
    )
    sections = doc.sections_of(
        ("Result", (_headline(record),)),
        ("Validation accuracy", (_ranks(record),) if record.ranked else ()),
        ("What the differences are worth", (doc.Points(items=record.findings),) if record.findings else ()),
        ("Not compared", failed),
    )
    if folder is not None:
        winner = [f"{record.winner.folder}/ (the winner's run)"] if record.winner and record.winner.folder else []
        sections.append(doc.files_section(folder, record.files or (RECORD_NAME,), *winner))
    return doc.Document(tuple(sections))


def _headline(record: SweepRecord) -> doc.Headline:
    word = _outcome(record)
    tones: dict[str, doc.Tone] = {"PASS": "good", "FAIL": "bad", "FAILED": "bad"}
    lines: list[tuple[str, doc.Tone]] = []
    if record.message:
        lines.append((record.message, "bad" if record.status == "failed" else "unsure"))
    if record.winner is not None and record.ranked:
        lines.append((f"{_first(record)[0]}: {_winner_text(record)}", "strong"))
    return doc.Headline(word=word, tone=tones.get(word, "unsure"), text=_extent(record), lines=tuple(lines))


def _outcome(record: SweepRecord) -> str:
    """PASS or FAIL of the winner's verdict; before that, how the sweep ended."""
    verdict = record.winner.verdict if record.winner else None
    if record.status != "done" or verdict is None:
        return record.status.upper()
    return "PASS" if verdict.passed else "FAIL"


def _extent(record: SweepRecord) -> str:
    """How much was done: "24 candidates, 72 trainings, 1 min 12 s"."""
    trainings = plural(trainings_done(record), "training")
    return f"{plural(len(record.candidates), 'candidate')}, {trainings}, {seconds(record.elapsed_s)}"


def _winner_text(record: SweepRecord) -> str:
    """The one figure of the test set."""
    winner = record.winner
    if winner is None or winner.metrics is None:
        return ""
    interval = f" ({percent(winner.low)} to {percent(winner.high)})"
    return f"{percent(winner.metrics.accuracy)}{interval} of the test set, trained on all {winner.training_images:,}"


def _first(record: SweepRecord) -> tuple[str, str]:
    """The name and the mean accuracy of the first of the ranks, as they are now."""
    best = record.ranked[0]
    return label_of(best, record), percent(best.accuracy.mean if best.accuracy else None)


def _ranks(record: SweepRecord) -> doc.Table:
    """The most accurate candidates, and those on a front whatever their rank."""
    shown = [result for result in record.ranked if (result.rank or 0) <= _MOST_ROWS or result.on_front]
    left_out = len(record.ranked) - len(shown)
    note = f"{plural(left_out, 'more candidate')} in {RECORD_NAME}" if left_out else ""
    return candidates_table(record, shown, _tone, last=_FRONT, legend=_legend(record), note=note)


def _tone(result: CandidateResult) -> doc.Tone:
    if result.rank == 1:
        return "strong"
    return "faint" if result.standing is not None and result.standing.verdict == "worse" else ""


def _legend(record: SweepRecord) -> tuple[tuple[str, str], ...]:
    """How to read the figures, by the headings that they stand under."""
    noise = []
    if record.noise is not None:
        together = plural(record.noise.comparisons, "comparison")
        behind = "Behind: points behind the best one, with ≈ if that may be the luck of the seeds"
        noise = [
            ("accuracy", "±: half of the 95 % interval of the mean over the seeds."),
            ("behind", f"{behind} (at 5 % for all {together} together)."),
        ]
    front = "Front: no other candidate is both more accurate and smaller (size), or quicker to train (time)."
    return (*noise, ("time", "Time: of one training, the median."), ("front", front))


# --- the candidates


def candidates_table(
    record: SweepRecord,
    results: Sequence[CandidateResult],
    tone_of: Callable[[CandidateResult], doc.Tone],
    *,
    last: CandidateColumn,
    legend: tuple[tuple[str, str], ...] = (),
    note: str = "",
) -> doc.Table:
    """A row for each of `results`: rank, what differs, accuracy with its interval, distance, costs, and `last`."""
    behind: list[CandidateColumn] = [(doc.Column("behind", True), _behind)]
    columns: tuple[CandidateColumn, ...] = (
        (doc.Column("#", True), lambda result: str(result.rank or "")),
        (doc.Column("hidden"), lambda result: "-".join(map(str, result.hidden)) or "none"),
        *(_part(index, record) for index, several in _parts(record) if several),
        (doc.Column("accuracy", True), _accuracy),
        *(behind if any(result.standing for result in record.candidates) else []),
        (doc.Column("parameters", True, spare=1), lambda result: count(result.parameters)),
        (doc.Column("time", True, spare=2), lambda result: seconds(result.train_s)),
        last,
    )
    return doc.Table(
        ident="candidates",
        caption="The candidates.",
        columns=tuple(column for column, _ in columns),
        rows=tuple(tuple(doc.Cell(text(result), tone=tone_of(result)) for _, text in columns) for result in results),
        has_names=False,
        shared=shared_text(record) if legend else "",
        legend=legend,
        note=note,
        fit="drop",
    )


def _parts(record: SweepRecord) -> list[tuple[int, bool]]:
    """Every part of a candidate but its hidden layers, by its index, and whether it has several values."""
    values = list(zip(*map(parts_of, record.candidates), strict=True))
    return [(index, len(set(values[index])) > 1) for index in range(1, len(_PARTS))]


def _part(index: int, record: SweepRecord) -> CandidateColumn:
    is_rate = index == _LEARNING_RATE
    column = doc.Column(_PARTS[index], is_rate, spare=4 if is_rate and record.config.tune_rates else 0)
    return column, lambda result: parts_of(result)[index]


def shared_text(record: SweepRecord) -> str:
    """What all candidates have in common, in words."""
    first, training = parts_of(record.candidates[0]), record.config.training
    common = [index for index, several in _parts(record) if not several]
    same = [first[index] for index in common if index != _LEARNING_RATE]
    if record.config.tune_rates:
        same.append("learning rates tuned")
    elif _LEARNING_RATE in common:
        same.append(f"learning rate {first[_LEARNING_RATE]}")
    return ", ".join([*same, f"{training.epochs} epochs", f"batches of {training.batch_size}"])


def _accuracy(result: CandidateResult) -> str:
    """The mean with half of its interval, both in percent: "98.45 ±0.07 %"."""
    accuracy = result.accuracy
    if accuracy is None:
        return UNKNOWN
    if accuracy.low is None:
        return percent(accuracy.mean)
    return f"{100 * accuracy.mean:.2f} ±{100 * (accuracy.mean - accuracy.low):.2f} %"


def _behind(result: CandidateResult) -> str:
    """Points behind the best one, after ≈ if that may be the luck of the seeds."""
    standing = result.standing
    if standing is None or standing.verdict == "best":
        return "" if standing is None else "best"
    return f"{'≈ ' if standing.verdict == 'within noise' else ''}{100 * standing.gap:.2f}"


def name_of(result: CandidateResult) -> str:
    """A candidate by all of its parts."""
    *parts, rate = parts_of(result)
    return f"{' '.join(parts)} lr {rate}"


# --- in one line


def format_line(record: SweepRecord) -> str:
    """The outcome, the best by validation, and what the test set says of the winner."""
    best = record.message or ""
    if record.ranked:
        name, accuracy = _first(record)
        best = f"best {name}, {accuracy} of the validation images"
    return "; ".join(filter(None, (f"{_outcome(record)} {_extent(record)}", best, _winner_text(record))))


def format_progress(record: SweepRecord, *, spent_s: float) -> str:
    """Trainings behind and ahead, the time left, and the best so far."""
    best = [f"best so far {' '.join(_first(record))}"] if record.ranked else []
    return ", ".join([how_far(record, spent_s), *best])


def how_far(record: SweepRecord, spent_s: float) -> str:
    """How many of how many trainings are done, and the time left by what those took in `spent_s`.

    Before the first and after the last there is no time to tell.
    """
    trainings = f"{trainings_done(record):,} of {plural(trainings_planned(record), 'training')}"
    left_s = seconds_left(record, spent_s)
    if not left_s:
        return trainings
    return f"{trainings}, about {f'{round(left_s)} s' if left_s < 60 else seconds(round(left_s))} left"
