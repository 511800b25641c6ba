"""What came out of a sweep, in sentences: each says no more than the statistics do."""

from __future__ import annotations

from collections.abc import Sequence

from accelmnist.sweep.record import CandidateResult, Effect, Level, SweepRecord, label_of

_MOST_NAMED = 3
_CLEARLY_SMALLER = 0.9
_NOUNS = {
    "activation": "activations",
    "output": "outputs",
    "optimizer": "optimizers",
    "layers": "depths at equal width",
}


def findings_of(record: SweepRecord) -> tuple[str, ...]:
    """The best, what isn't known to be worse, the smallest of those, the factors, and what the luck of a seed is."""
    ranked = [result for result in record.ranked if result.standing is not None]
    if not ranked:
        return ()
    best, *others = ranked
    level = [result for result in others if result.standing and result.standing.verdict == "within noise"]
    sentences = [_best(best, record), _level(level, len(others), record), _smallest(best, level, record)]
    sentences += [_effect(effect) for effect in record.effects]
    return tuple(filter(None, [*sentences, _noise(record), _edges(record)]))


def _best(best: CandidateResult, record: SweepRecord) -> str:
    assert best.accuracy is not None
    estimate = best.accuracy
    between = f" ({_percent(estimate.low)} to {_percent(estimate.high)})" if estimate.low is not None else ""
    return (
        f"{label_of(best, record)} has the best mean over {estimate.seeds} seeds: {_percent(estimate.mean)}{between} "
        f"of the validation images"
    )


def _level(level: Sequence[CandidateResult], others: int, record: SweepRecord) -> str:
    """Those of the `others` that may be the best one."""
    if not level:
        them = "the other one is" if others == 1 else f"all {others} others are"
        return f"{them[0].upper()}{them[1:]} worse by more than the noise of the seeds"
    named = ", ".join(label_of(result, record) for result in level[:_MOST_NAMED])
    more = f" and {len(level) - _MOST_NAMED} more" if len(level) > _MOST_NAMED else ""
    return f"Within the noise of the seeds lie {len(level)} of the {others} others: {named}{more}"


def _smallest(best: CandidateResult, level: Sequence[CandidateResult], record: SweepRecord) -> str:
    """The smallest network that may be the best, if it is clearly smaller."""
    smallest = min(level, key=lambda result: result.parameters, default=best)
    if smallest.parameters > _CLEARLY_SMALLER * best.parameters:
        return ""
    return (
        f"The smallest of these is {label_of(smallest, record)}: {smallest.parameters:,} parameters, "
        f"{_share(smallest.parameters / best.parameters)} of the best one's {best.parameters:,}"
    )


def _effect(effect: Effect) -> str:
    first, *others = effect.levels
    over = f"over {first.settings} settings" if first.settings > 1 else "in the one setting they share"
    behind = ", ".join(_behind(effect, level) for level in others)
    return (
        f"Of the {_NOUNS[effect.factor]} {_value(effect, first.value)} makes the fewest mistakes {over}, by the mean "
        f"ratio of the errors with all else alike: {behind}"
    )


def _value(effect: Effect, value: str) -> str:
    if effect.factor != "layers":
        return value
    return f"{value} hidden layer{'' if value == '1' else 's'}"


def _behind(effect: Effect, level: Level) -> str:
    """How many times the mistakes of the best value, with the interval; if that holds 1, they may be no more."""
    assert level.error_ratio is not None, "it was just computed"
    more = f"{_value(effect, level.value)} {level.error_ratio:.2f} times as many"
    if level.ratio_low is None or level.ratio_high is None:
        return more
    doubt = ", which may be chance" if level.ratio_low <= 1 else ""
    return f"{more} ({level.ratio_low:.2f} to {level.ratio_high:.2f}{doubt})"


def _noise(record: SweepRecord) -> str:
    noise = record.noise
    if noise is None or noise.least_gap is None:
        return ""
    return (
        f"Another seed alone makes about {100 * noise.log_error_sd:.0f} % more or fewer mistakes: next to the best, "
        f"differences below {100 * noise.least_gap:.2f} points are within the noise"
    )


def _edges(record: SweepRecord) -> str:
    """Tuned rates at an end of what was tried: there the search was too narrow."""
    if not record.config.tune_rates:
        return ""
    rates = record.config.learning_rates
    chosen = [result.learning_rate for result in record.candidates if result.learning_rate is not None]
    low, high = min(rates), max(rates)
    return (
        f"Of {len(chosen)} tuned learning rates {chosen.count(low)} are the smallest and {chosen.count(high)} the "
        f"largest that was tried ({low:g} to {high:g})"
    )


def _share(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.095 else f"{100 * share:.1f} %"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f} %"
