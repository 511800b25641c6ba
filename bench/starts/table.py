"""What the processes say, as Markdown: the median of the whole with its parts, and what ours takes of each one's time.

A recipe promises the mean over seeds; single seeds deviate from it by 0.07 points (`results/recipes.md`). Whoever's
mean accuracy over its processes is below the target by more than twice what chance gives misses it: it keeps its
figures and is not ranked. With fewer than six processes the interval is all that was seen.
"""

from __future__ import annotations

import statistics

from accelmnist.core.config import RECIPES
from accelmnist.measure.statistics.comparison import Comparison, compare
from accelmnist.measure.statistics.summary import summarize
from bench.starts.record import StartCase, StartsRecord

_RECIPE = RECIPES["mnist-98"]
_TRAINING = _RECIPE.training
_SEED_DEVIATION = 0.0007  # of the accuracy of mnist-98, over 20 seeds
_PARTS = ("data", "first", "training")


def reached(case: StartCase) -> bool:
    """Whether its mean accuracy is the target's or better, as far as so many seeds can tell."""
    count = len(case.accuracies)
    return count > 0 and statistics.fmean(case.accuracies) >= _RECIPE.accuracy - 2 * _SEED_DEVIATION / count**0.5


def ranked(cases: tuple[StartCase, ...]) -> list[StartCase]:
    """The quickest first, then who misses the target, then who has no figures."""
    return sorted(cases, key=lambda case: (not case.seconds, not reached(case), _middle(case.seconds)))


def best_peer(cases: tuple[StartCase, ...]) -> StartCase | None:
    """The quickest peer that reaches the target."""
    return next((case for case in ranked(cases) if not case.ours and reached(case)), None)


def ours_of(cases: tuple[StartCase, ...]) -> StartCase | None:
    """This package's command."""
    return next((case for case in cases if case.ours and case.seconds), None)


def share(ours: StartCase, other: StartCase) -> Comparison | None:
    """The time of ours over that of the other, by round, with its interval; below 1, ours is quicker."""
    pairs = list(zip(ours.seconds, other.seconds, strict=False))
    if not pairs or other is ours:
        return None
    return compare([1 / mine for mine, _ in pairs], [1 / its for _, its in pairs], paired=True)


def document(record: StartsRecord) -> str:
    """All of results/starts.md."""
    cases, machine = record.starts, f"{record.processor} ({record.threads} threads, {record.instructions})"
    head = (
        "| who | version | s in all | start and import | data | first call | training, evaluation | accuracy | ours |"
    )
    made = f"Made by `{record.command}` on {machine}, Python {record.python}, {record.date}."
    lines = ["# From the start of a process to 98.0 % on the test set", "", made, "", _EXPLANATION, "", head]
    ours = ours_of(cases)
    rows = [_row(case, ours) for case in ranked(cases)]
    return "\n".join([*lines, "| --- | --- |" + " ---: |" * 7, *rows, "", conclusion(cases), ""])


def conclusion(cases: tuple[StartCase, ...]) -> str:
    """Ours against the best peer, in a sentence, with what each spends on starting."""
    ours, peer = ours_of(cases), best_peer(cases)
    compared = share(ours, peer) if ours and peer else None
    if ours is None or peer is None or compared is None:
        return "No peer was there to compare with."
    mine, its = _part(ours, "training"), _part(peer, "training")
    assert mine is not None
    assert its is not None
    return (
        f"{ours.title} takes {_times(compared)} the time of the best peer's process, {peer.title}: training and "
        f"evaluation {mine / its:.2f} times, start and import {_start(ours) / _start(peer):.2f} times."
    )


_EXPLANATION = (
    f"The recipe {_RECIPE.name}: {_RECIPE.model}, {_TRAINING.epochs} epochs, batch {_TRAINING.batch_size}, "
    f"AdamW with a peak of {_TRAINING.learning_rate:g} on a one-cycle schedule, weight decay "
    f"{_TRAINING.weight_decay:g}, label smoothing {_TRAINING.label_smoothing:g}. scikit-learn has no such "
    "schedule, decay or smoothing: it trains the same network by Adam at 0.001 until it is there. The clock is"
    " the parent's: it starts before the interpreter, and stops when the accuracy on the test set is printed. "
    "Whose mean over the seeds is below 98.0 % by more than chance misses it. Everyone reads the same packed "
    "files while its library is imported. A process that is not counted went before, so the files are in the "
    "system's cache and compiled code in the library's own, where it has one. Ours is a user's command, which "
    "trains before it imports torch; its check against the reference, which takes torch, and its pictures come"
    " after the accuracy and off the clock. Medians; with fewer than six processes the range is all that was "
    "seen. The last column is our time over the row's, round by round: below 1, ours is quicker."
)


def _row(case: StartCase, ours: StartCase | None) -> str:
    title = f"**{case.title}**" if case.ours else case.title
    if not case.seconds:
        reason = " ".join((case.reason or "not measured").split()).replace("|", "/")
        return f"| {title} | {case.version} | {reason} | | | | | | |"
    whole = summarize(case.seconds)
    many = len(case.seconds) > 1
    interval = f" ({whole.low:.2f} to {whole.high:.2f})" if many else " (one process)"
    parts = [_seconds(_part(case, name)) for name in _PARTS]
    accuracy = f"{100 * statistics.fmean(case.accuracies):.2f} %" + ("" if reached(case) else ", **misses**")
    compared = share(ours, case) if ours and reached(case) else None
    cells = [title, case.version, f"{whole.median:.2f}{interval}", f"{_start(case):.2f}", *parts, accuracy]
    return f"| {' | '.join([*cells, _times(compared) if compared else ''])} |"


def _times(compared: Comparison) -> str:
    return f"{compared.ratio:.2f} ({compared.low:.2f} to {compared.high:.2f})"


def _middle(values: tuple[float, ...]) -> float:
    return statistics.median(values) if values else 0.0


def _part(case: StartCase, name: str) -> float | None:
    values = [parts[name] for parts in case.parts if name in parts]
    return statistics.median(values) if values else None


def _start(case: StartCase) -> float:
    """What no other part accounts for: the interpreter, imports, and the choice of what to run."""
    rest = [whole - sum(parts.values()) for whole, parts in zip(case.seconds, case.parts, strict=True)]
    return statistics.median(rest)


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def start_sentence(cases: tuple[StartCase, ...]) -> str:
    """The conclusion for a README, or nothing if ours or every peer is missing."""
    if ours_of(cases) is None or best_peer(cases) is None:
        return ""
    return f"From the start of a process to 98.0 % on the test set: {conclusion(cases)}"
