"""The conclusions of a sweep's record, drawn once more from its trainings: see `core.recount`.

By `conclude`, and by other means: means, medians, ranks, fronts and tuned rates by counting, the interval of the test
accuracy by its definition, the two shares from which the count lies as far as the quantile says.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from accelmnist.core.files import load, record_file
from accelmnist.core.records import recount_verdict
from accelmnist.core.recount import recount_metrics, recounted, require, require_figure, require_same
from accelmnist.sweep.conclusion import conclude
from accelmnist.sweep.record import CandidateResult, SweepRecord, Winner, label_of

_ROUNDING = 1e-6  # moderated variances are found by iteration, and logarithms differ between processors


def load_sweep(path: Path) -> SweepRecord:
    """Read, validate and recount a sweep's record, given the file or its folder; raises RecordError."""
    file = record_file(path, "sweep")
    record = load(file, SweepRecord, kind="sweep", noun="a sweep")
    with recounted(str(file)):
        recount_sweep(record)
    return record


def recount_sweep(record: SweepRecord) -> None:
    """Raise RecordError for the first figure of a sweep that doesn't follow from its trainings."""
    ranked = [result for result in record.candidates if result.rank is not None]
    for result in record.candidates:
        _recount_candidate(result, ranked, label_of(result, record), tuned=record.config.tune_rates)
    if record.winner is not None:
        _recount_winner(record.winner, record)
    said, follows = (msgspec.to_builtins(one) for one in (record, conclude(record)))
    of = "by its trainings"
    for part in ("candidates", "noise"):
        require_same(part, said[part], follows[part], of=of, rounding=_ROUNDING)
    is_older = any(level.error_ratio is None for effect in record.effects for level in effect.levels)
    if is_older:  # the best value was that of the best mean
        said, follows = ({"effects": _by_value(one["effects"])} for one in (said, follows))
    require_same("effects", said["effects"], follows["effects"], of=of, rounding=_ROUNDING)


def _by_value(effects: Iterable[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    """What of the effects doesn't depend on which value is called the best."""
    kept = ("mean", "wins", "settings")
    return tuple(
        {"factor": one["factor"]} | {level["value"]: {name: level[name] for name in kept} for level in one["levels"]}
        for one in effects
    )


def _recount_candidate(result: CandidateResult, ranked: list[CandidateResult], name: str, *, tuned: bool) -> None:
    of = "by its trainings"
    for trial in result.trials:
        if trial.accuracy is not None and trial.accuracy_by_epoch:
            require_figure(f"accuracy of {name}", trial.accuracy, trial.accuracy_by_epoch[-1], of="by its last epoch")
    tried = [one for one in result.trials if one.purpose == "tuning" and one.accuracy is not None]
    if tuned and tried and result.compared:
        best = max(one.accuracy or 0.0 for one in tried)
        rate = min(one.learning_rate for one in tried if one.accuracy == best)
        require_figure(f"learning_rate of {name}", result.learning_rate, rate, of=of)
    if result.accuracy is None:
        return
    scores = [one.accuracy for one in result.compared if one.accuracy is not None]
    require(bool(scores), f"{name} has a mean of no training")
    require_figure(f"mean of {name}", result.accuracy.mean, math.fsum(scores) / len(scores), of=of)
    require_figure(f"seeds of {name}", result.accuracy.seeds, len(scores), of=of)
    require_figure(
        f"train_s of {name}", result.train_s, statistics.median(one.train_s for one in result.compared), of=of
    )
    above = sum((-other.mean, other.parameters) < (-result.mean, result.parameters) for other in ranked)
    level = sum((other.mean, other.parameters) == (result.mean, result.parameters) for other in ranked)
    holds = result.rank is None or above < result.rank <= above + level
    require(holds, f"rank of {name} is {result.rank}, but by the means it is {above + 1}")
    if result.standing is not None:
        gap = max(other.mean for other in ranked) - result.mean
        require(abs(result.standing.gap - gap) < 1e-9, f"gap of {name} is {result.standing.gap}, but {of} it is {gap}")
        holds = (result.standing.verdict == "worse") == (result.standing.p_value < 0.05)
        require(holds, f"{name} is {result.standing.verdict}, but its p value is {result.standing.p_value}")


def _recount_winner(winner: Winner, record: SweepRecord) -> None:
    first = next((result for result in record.ranked if len(result.compared) == record.config.seeds), None)
    holds = first is not None and first.candidate == winner.candidate
    require(holds, "its winner is not the candidate with the best mean")
    recount_verdict(winner.verdict, "the winner's verdict")
    holds = not record.faults or winner.verdict is None or not winner.verdict.passed
    require(holds, f"the winner's verdict is passed, and of the trainings {len(record.faults)} are not right")
    if winner.metrics is None:
        return
    recount_metrics(winner.metrics, "the winner's ")
    images, share = winner.metrics.images, winner.metrics.right / max(winner.metrics.images, 1)
    z = statistics.NormalDist().inv_cdf(0.975)
    for end, said in (("low", winner.low), ("high", winner.high)):
        if said is not None and images and 0 < said < 1:
            apart = abs(share - said) / math.sqrt(said * (1 - said) / images)
            side = share >= said if end == "low" else share <= said
            holds = side and math.isclose(apart, z, rel_tol=_ROUNDING)
            require(holds, f"the {end} end of the winner's accuracy is {said}: {apart} deviations off, not {z}")
