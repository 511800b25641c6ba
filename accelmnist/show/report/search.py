"""The chapter on a sweep: what was tried, how the network was chosen, and what the differences are worth."""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.figure import Figure as Drawing

from accelmnist.analysis.neurons.words import listed
from accelmnist.show import document as doc
from accelmnist.show.figures.sweep import fronts_figure, groups_figure, sizes_figure
from accelmnist.show.render.pictures import drawn
from accelmnist.show.report.words import sentence
from accelmnist.show.run_tables import number
from accelmnist.show.units import UNKNOWN, count, percent, plural, seconds
from accelmnist.sweep.record import CandidateResult, Effect, Estimate, Level, SweepRecord, Winner

_FIGURES: tuple[tuple[str, Callable[[SweepRecord], Drawing | None], str], ...] = (
    ("by-size", sizes_figure, "Validation accuracy by size: the mean over the seeds, with its 95 % interval."),
    ("by-group", groups_figure, "Validation accuracy by activation and output, every network a dot."),
    ("fronts", fronts_figure, "What accuracy costs: parameters and time, with the candidates that nothing beats."),
)


def search_chapter(record: SweepRecord) -> doc.Section:
    """Which networks were compared, and by what."""
    blocks: list[doc.Block] = []
    if record.status != "done":
        blocks.append(
            doc.Missing(text=f"The sweep is {record.status}; what follows is as far as it came. {record.message or ''}")
        )
    blocks += [doc.Text(text=_tried(record), lead=True), doc.Text(text=_chosen(record))]
    if record.findings:
        blocks.append(doc.Points(title="Observed", items=tuple(map(sentence, record.findings))))
    if record.winner is not None:
        blocks.append(doc.Facts(rows=_winner(record.winner)))
    blocks += [
        *drawn(_FIGURES, record, alt=" ".join(map(sentence, record.findings))),
        candidates_table(record),
        *map(effect_table, record.effects),
    ]
    if record.notes:
        blocks.append(doc.Points(title="To be known", items=tuple(map(sentence, record.notes))))
    return doc.Section(ident="search", title="What was tried", blocks=tuple(blocks))


def winner_sentence(record: SweepRecord) -> str:
    """The chosen network and what the test set says of it, or nothing if there is none."""
    winner = record.winner
    if winner is None:
        return ""
    candidate = winner.candidate
    chosen = f"Of {plural(len(record.candidates), 'candidate')}, {_named(winner)} was chosen on validation images"
    if winner.metrics is None:
        return f"{chosen}."
    of_test = f"; trained on all, it gets {percent(winner.metrics.accuracy)} of the test images right"
    interval = "" if winner.low is None or winner.high is None else f" ({range_text(winner.low, winner.high)})"
    assert candidate is not None
    return f"{chosen}{of_test}{interval}."


def _named(winner: Winner) -> str:
    candidate = winner.candidate
    return f"{candidate.network} ({candidate.activation}, {candidate.output}, {candidate.optimizer})"


def _tried(record: SweepRecord) -> str:
    config = record.config
    sizes = len(config.hidden)
    tried = [
        plural(sizes, "architecture"),
        f"the {_noun(config.activations, 'activation')} {listed(config.activations)}",
        f"the {_noun(config.outputs, 'output')} {listed(config.outputs)}",
        f"the {_noun(config.optimizers, 'optimizer')} {listed(config.optimizers)}",
    ]
    sample = "" if config.sample is None else ", a random sample of all combinations"
    trainings = sum(len(result.trials) for result in record.candidates)
    return (
        f"{plural(len(record.candidates), 'candidate')} were compared{sample}: {listed(tried)}. Each was trained from "
        f"{plural(config.seeds, 'seed')}, {plural(trainings, 'training')} in {seconds(record.elapsed_s)} in all."
    )


def _noun(values: tuple[str, ...], noun: str) -> str:
    return noun if len(values) == 1 else f"{noun}s"


def _chosen(record: SweepRecord) -> str:
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
    accuracy = UNKNOWN if winner.metrics is None else percent(winner.metrics.accuracy)
    interval = UNKNOWN if winner.low is None or winner.high is None else range_text(winner.low, winner.high)
    verdict = "not verified" if winner.verdict is None else "PASS" if winner.verdict.passed else "FAIL"
    rate = winner.candidate.learning_rate
    return (
        ("chosen", _named(winner)),
        ("learning rate", UNKNOWN if rate is None else f"{rate:g}"),
        ("trained again on", f"{count(winner.training_images)} images, seed {winner.seed}"),
        ("test accuracy", accuracy),
        ("95 % interval", interval),
        ("verdict", verdict),
    )


# --- tables

_TONES: dict[str, doc.Tone] = {"best": "good", "within noise": "", "worse": "faint"}


def range_text(low: float, high: float) -> str:
    """An interval of a share: "96.29 to 96.99 %"."""
    return f"{100 * low:.2f} to {100 * high:.2f} %"


def candidates_table(record: SweepRecord) -> doc.Table:
    """A row for each candidate."""
    ordered = [*record.ranked, *(result for result in record.candidates if result.rank is None)]
    return doc.Table(
        ident="candidates",
        caption="All candidates, the most accurate first; the interval is that of the mean over the seeds.",
        columns=(
            doc.Column("#", True),
            doc.Column("network"),
            doc.Column("activation"),
            doc.Column("output"),
            doc.Column("optimizer"),
            doc.Column("learning rate", True),
            doc.Column("parameters", True),
            doc.Column("accuracy", True),
            doc.Column("95 % interval", True),
            doc.Column("training", True),
            doc.Column("against the best"),
        ),
        rows=tuple(map(_candidate, ordered)),
        has_names=False,
    )


def _candidate(result: CandidateResult) -> tuple[doc.Cell, ...]:
    estimate = result.accuracy
    tone = "" if result.standing is None else _TONES[result.standing.verdict]
    return (
        number(result.rank, "" if result.rank is None else str(result.rank)),
        doc.Cell(result.network, result.parameters),
        doc.Cell(result.activation),
        doc.Cell(result.output),
        doc.Cell(result.optimizer),
        number(result.learning_rate, UNKNOWN if result.learning_rate is None else f"{result.learning_rate:.3g}"),
        doc.Cell(count(result.parameters), result.parameters),
        number(estimate.mean if estimate else None, percent(estimate.mean if estimate else None)),
        number(estimate.low if estimate else None, _interval(estimate)),
        number(result.train_s, seconds(result.train_s)),
        doc.Cell(_standing(result), None if result.standing is None else result.standing.gap, tone),
    )


def _interval(estimate: Estimate | None) -> str:
    if estimate is None or estimate.low is None or estimate.high is None:
        return UNKNOWN
    return range_text(estimate.low, estimate.high)


def _standing(result: CandidateResult) -> str:
    if result.error is not None:
        return result.error
    if result.standing is None:
        return UNKNOWN
    if result.standing.verdict == "best":
        return "best"
    return f"{result.standing.verdict}, {100 * result.standing.gap:.2f} points less"


def effect_table(effect: Effect) -> doc.Table:
    """What one factor does, a row for each of its values."""
    return doc.Table(
        ident=f"effect-{effect.factor}",
        caption=f"By {effect.factor}, all else held: mean accuracy over the settings that all of them have in common.",
        columns=(
            doc.Column(effect.factor),
            doc.Column("accuracy", True),
            doc.Column("less than the best", True),
            doc.Column("95 % interval", True),
            doc.Column("times the mistakes", True),
            doc.Column("best in", True),
        ),
        rows=tuple(map(_level, effect.levels)),
    )


def _level(level: Level) -> tuple[doc.Cell, ...]:
    interval = UNKNOWN
    if level.low is not None and level.high is not None:
        interval = f"{100 * level.low:.2f} to {100 * level.high:.2f} points"
    return (
        doc.Cell(level.value),
        number(level.mean, percent(level.mean)),
        number(level.gap, f"{100 * level.gap:.2f} points"),
        number(level.low, interval),
        number(level.error_ratio, UNKNOWN if level.error_ratio is None else f"{level.error_ratio:.2f}"),
        doc.Cell(f"{level.wins} of {level.settings}", level.wins / max(level.settings, 1)),
    )
