"""Names of candidates: the parts in which they differ, in the order of the options."""

from __future__ import annotations

from accelmnist.sweep.record import CandidateResult, SweepRecord

_RATE = 4  # which of the parts


def parts_of(result: CandidateResult) -> tuple[str, str, str, str, str]:
    """Network, activation, output, optimizer and learning rate, as they are written."""
    rate = "–" if result.learning_rate is None else f"{result.learning_rate:g}"
    return result.network, result.activation, result.output, result.optimizer, rate


def labels_of(record: SweepRecord) -> dict[int, str]:
    """The name of each candidate by its rank, such as "784-128-10 relu softmax", of the parts that differ."""
    rows = [parts_of(result) for result in record.candidates]
    differing = [part for part in range(5) if part == 0 or len({row[part] for row in rows}) > 1]
    if record.config.tune_rates:
        differing = [part for part in differing if part != _RATE]  # it follows from the rest
    return {
        result.rank: " ".join(f"lr {row[part]}" if part == _RATE else row[part] for part in differing)
        for result, row in zip(record.candidates, rows, strict=True)
        if result.rank is not None
    }


def label(result: CandidateResult, names: dict[int, str]) -> str:
    """The name of a ranked candidate."""
    assert result.rank is not None
    return names[result.rank]
