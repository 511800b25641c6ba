"""The chapters on a sweep and on a benchmark: what was tried, what came first, and what the differences are worth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from accelmnist.analysis.neurons.sentences import listed
from accelmnist.measure.record import BenchRecord
from accelmnist.show import document as doc
from accelmnist.show.bench.cases import cases_table, limits_table
from accelmnist.show.bench.headline import extent, failures_text, leaders, message_of, outcome_of
from accelmnist.show.bench.page import bounds, doubts, legend_of
from accelmnist.show.bench.view import BenchView
from accelmnist.show.figures.case_rows import target_figure, throughput_figure
from accelmnist.show.figures.roofline import roofline_figure
from accelmnist.show.figures.scaling import scaling_figure
from accelmnist.show.figures.sweep import fronts_figure, groups_figure, sizes_figure
from accelmnist.show.render.pictures import drawn
from accelmnist.show.report.sentences import sentence
from accelmnist.show.run_tables import number
from accelmnist.show.units import UNKNOWN, count, percent, plural, seconds
from accelmnist.sweep.record import CandidateResult, Effect, SweepRecord, Winner

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

_SWEEP_FIGURES: tuple[tuple[str, Callable[[SweepRecord], Drawing | None], str], ...] = (
    ("by-size", sizes_figure, "Validation accuracy by size: the mean over the seeds, with its 95 % interval."),
    ("by-group", groups_figure, "Validation accuracy by activation and output, every network a dot."),
    ("fronts", fronts_figure, "What accuracy costs: parameters and time, with the candidates that nothing beats."),
)
_BENCH_FIGURES: tuple[tuple[str, Callable[[BenchRecord], Drawing | None], str], ...] = (
    ("throughput", throughput_figure, "Images a second of every case, with its 95 % interval and all samples."),
    ("scaling", scaling_figure, "Images a second by size, with the limit drawn in."),
    ("roofline", roofline_figure, "What every case reaches of what this machine can do."),
    ("time-to-accuracy", target_figure, "Seconds to the target accuracy, over the seeds."),
)
_MOST_SEEN = 4  # cases in which a doubt was seen
_TONES: dict[str, doc.Tone] = {"best": "good", "within noise": "", "worse": "faint"}


# --- a sweep


def search_chapter(record: SweepRecord) -> doc.Section:
    """Which networks were compared, and by what."""
    blocks: list[doc.Block] = []
    if record.status != "done":
        blocks.append(
            doc.Missing(text=f"The sweep is {record.status}; what follows is as far as it came. {record.message or ''}")
        )
    blocks += [doc.Text(text=_tried(record), lead=True), doc.Text(text=_how_chosen(record))]
    if record.findings:
        blocks.append(doc.Points(title="Observed", items=tuple(map(sentence, record.findings))))
    if record.winner is not None:
        blocks.append(doc.Facts(rows=_winner(record.winner)))
    blocks += [
        *drawn(_SWEEP_FIGURES, record, alt=" ".join(map(sentence, record.findings))),
        _candidates(record),
        *map(_effect, record.effects),
    ]
    if record.notes:
        blocks.append(doc.Points(title="To be known", items=tuple(map(sentence, record.notes))))
    return doc.Section(ident="search", title="What was tried", blocks=tuple(blocks))


def winner_sentence(record: SweepRecord) -> str:
    """The chosen network and what the test set says of it, or nothing if there is none."""
    winner = record.winner
    if winner is None:
        return ""
    chosen = f"Of {plural(len(record.candidates), 'candidate')}, {_named(winner)} was chosen on validation images"
    if winner.metrics is None:
        return f"{chosen}."
    of_test = f"; trained on all, it gets {percent(winner.metrics.accuracy)} of the test images right"
    interval = _interval(winner.low, winner.high, unknown="")
    return f"{chosen}{of_test}{f' ({interval})' if interval else ''}."


def _named(winner: Winner) -> str:
    candidate = winner.candidate
    return f"{candidate.network} ({candidate.activation}, {candidate.output}, {candidate.optimizer})"


def _interval(low: float | None, high: float | None, unit: str = "%", *, unknown: str = UNKNOWN) -> str:
    """An interval of a share: "96.29 to 96.99 %"."""
    return unknown if low is None or high is None else f"{100 * low:.2f} to {100 * high:.2f} {unit}"


def _tried(record: SweepRecord) -> str:
    config = record.config
    factors = {"activation": config.activations, "output": config.outputs, "optimizer": config.optimizers}
    tried = [plural(len(config.hidden), "architecture")]
    tried += [f"the {noun}{'s' if len(values) > 1 else ''} {listed(values)}" for noun, values in factors.items()]
    sample = "" if config.sample is None else ", a random sample of all combinations"
    trainings = sum(len(result.trials) for result in record.candidates)
    return (
        f"{plural(len(record.candidates), 'candidate')} were compared{sample}: {listed(tried)}. Each was trained from "
        f"{plural(config.seeds, 'seed')}, {plural(trainings, 'training')} in {seconds(record.elapsed_s)} in all."
    )


def _how_chosen(record: SweepRecord) -> str:
    held_out = "a validation split"
    if record.data is not None and record.data.validation_images:
        held_out = f"{count(record.data.validation_images)} training images, the same share of every class"
    rates = (
        " Each candidate first chose its learning rate, by a seed of its own that takes no part in the comparison."
        if record.config.tune_rates
        else ""
    )
    return (
        f"The accuracies in this chapter are on {held_out}, held out of the training set.{rates} Candidates are "
        "ranked by their mean over the seeds; only the first was trained again on all training images, and met the "
        "test images once. A difference that the luck of the seeds could make is called within noise; the chance of "
        "calling one real by mistake is corrected for the number of comparisons."
    )


def _winner(winner: Winner) -> tuple[tuple[str, str], ...]:
    verdict = "not verified" if winner.verdict is None else "PASS" if winner.verdict.passed else "FAIL"
    rate = winner.candidate.learning_rate
    return (
        ("chosen", _named(winner)),
        ("learning rate", UNKNOWN if rate is None else f"{rate:g}"),
        ("trained again on", f"{count(winner.training_images)} images, seed {winner.seed}"),
        ("test accuracy", percent(None if winner.metrics is None else winner.metrics.accuracy)),
        ("95 % interval", _interval(winner.low, winner.high)),
        ("verdict", verdict),
    )


def _candidates(record: SweepRecord) -> doc.Table:
    ordered = [*record.ranked, *(result for result in record.candidates if result.rank is None)]
    return doc.Table(
        ident="candidates",
        caption="All candidates, the most accurate first; the interval is that of the mean over the seeds.",
        columns=(
            doc.Column("#", True),
            *map(doc.Column, ("network", "activation", "output", "optimizer")),
            *(doc.Column(heading, True) for heading in ("learning rate", "parameters")),
            *(doc.Column(heading, True) for heading in ("accuracy", "95 % interval", "training")),
            doc.Column("against the best"),
        ),
        rows=tuple(map(_candidate, ordered)),
        has_names=False,
    )


def _candidate(result: CandidateResult) -> tuple[doc.Cell, ...]:
    accuracy, standing, rate = result.accuracy, result.standing, result.learning_rate
    mean, low, high = (accuracy.mean, accuracy.low, accuracy.high) if accuracy else (None, None, None)
    against = result.error or UNKNOWN
    if standing is not None and result.error is None:
        points = "" if standing.verdict == "best" else f", {100 * standing.gap:.2f} points less"
        against = f"{standing.verdict}{points}"
    return (
        number(result.rank, "" if result.rank is None else str(result.rank)),
        doc.Cell(result.network, result.parameters),
        *map(doc.Cell, (result.activation, result.output, result.optimizer)),
        number(rate, UNKNOWN if rate is None else f"{rate:.3g}"),
        doc.Cell(count(result.parameters), result.parameters),
        number(mean, percent(mean)),
        number(low, _interval(low, high)),
        number(result.train_s, seconds(result.train_s)),
        doc.Cell(against, standing.gap if standing else None, _TONES[standing.verdict] if standing else ""),
    )


def _effect(effect: Effect) -> doc.Table:
    """What one factor does, a row for each of its values."""
    headings = ("accuracy", "less than the best", "95 % interval", "times the mistakes", "best in")
    return doc.Table(
        ident=f"effect-{effect.factor}",
        caption=f"By {effect.factor}, all else held: mean accuracy over the settings that all of them have in common.",
        columns=(doc.Column(effect.factor), *(doc.Column(heading, True) for heading in headings)),
        rows=tuple(
            (
                doc.Cell(level.value),
                number(level.mean, percent(level.mean)),
                number(level.gap, f"{100 * level.gap:.2f} points"),
                number(level.low, _interval(level.low, level.high, "points")),
                number(level.error_ratio, UNKNOWN if level.error_ratio is None else f"{level.error_ratio:.2f}"),
                doc.Cell(f"{level.wins} of {level.settings}", level.wins / max(level.settings, 1)),
            )
            for level in effect.levels
        ),
    )


# --- a benchmark


def speed_chapter(record: BenchRecord) -> doc.Section:
    """How fast, how sure, how far from the limit, and what to doubt."""
    view = BenchView(record)
    legend, crossovers = legend_of(view), tuple(crossover.sentence for crossover in record.crossovers)
    wrong = tuple(f"{view.label(result)}: {failures_text(result)}" for result in view.wrong)
    blocks: list[doc.Block] = [
        doc.Text(text=speed_sentences(view), lead=True),
        *([doc.Points(title="Wrong", items=wrong)] if wrong else []),
    ]
    for part in view.parts:
        table = cases_table(part, view)
        shared = f" ({table.shared})" if table.shared else ""
        blocks.append(replace(table, caption=f"{part.title}{shared}."))
    blocks += [doc.Text(text=legend)] if legend else []
    blocks += drawn(_BENCH_FIGURES, record, alt=" ".join(leaders(view)))
    for remarks in bounds(view):
        blocks.append(replace(remarks, title=f"What holds it back: {remarks.title}".removesuffix(": ")))
    blocks += [doc.Points(title="Crossovers", items=crossovers)] if crossovers else []
    for block in doubts(view):
        if not isinstance(block, doc.Remarks):
            blocks.append(block)
            continue
        items = []
        for remark in block.items:
            seen, more = remark.details[:_MOST_SEEN], len(remark.details) - _MOST_SEEN
            items.append(replace(remark, details=(*seen, f"and {more} more") if more > 0 else seen))
        blocks.append(replace(block, title="Doubts", items=tuple(items)))
    blocks += [limits_table(record.limits)] if record.limits else []
    return doc.Section(ident="speed", title="The speed", blocks=tuple(blocks))


def speed_sentences(view: BenchView) -> str:
    """The outcome, how much was measured, and what is fastest."""
    sentences = (f"{outcome_of(view)[0]}: {extent(view)}", message_of(view), *leaders(view))
    return ". ".join(filter(None, sentences)) + "."
