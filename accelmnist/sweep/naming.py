"""What candidates are called: by what tells them apart, in the order of the options."""

from __future__ import annotations

from accelmnist.sweep.record import CandidateResult, SweepRecord


def parts_of(result: CandidateResult) -> tuple[str, str, str, str, str]:
    """Network, activation, output, optimizer and learning rate, as they are written."""
    rate = "–" if result.learning_rate is None else f"{result.learning_rate:g}"
    return result.network, result.activation, result.output, result.optimizer, rate


def labels_of(record: SweepRecord) -> dict[int, str]:
    """The name of each candidate by its rank, such as "784-128-10 relu softmax", of the parts that differ."""
    rows = [parts_of(result) for result in record.candidates]
    shown = [place for place in range(5) if place == 0 or len({row[place] for row in rows}) > 1]
    if record.config.tune_rates:
        shown = [place for place in shown if place != 4]  # it follows from the rest
    return {
        result.rank: " ".join(_word(place, row[place]) for place in shown)
        for result, row in zip(record.candidates, rows, strict=True)
        if result.rank is not None
    }


def label(result: CandidateResult, names: dict[int, str]) -> str:
    """The name of a ranked candidate."""
    assert result.rank is not None
    return names[result.rank]


def _word(place: int, value: str) -> str:
    return f"lr {value}" if place == 4 else value
