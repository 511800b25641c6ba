"""The record of a sweep: what was tried, every training, what the differences are worth, and the winner.

Accuracies are on the validation images, but for those of `Winner`: a fraction of 1. Unknown is null.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import compress
from pathlib import Path
from typing import Literal

from accelmnist.core.files import RECORDS, SCHEMA_VERSION, save
from accelmnist.core.metrics import MOST, Metrics
from accelmnist.core.records import Choice, DataSummary, Environment, RankFigures, Status, Verdict
from accelmnist.core.text import is_plain_name, require_of_record, require_shares
from accelmnist.sweep.plan import Candidate, SweepConfig

RECORD_NAME = RECORDS["sweep"]
WINNER_FOLDER = "best"  # a folder of a run within that of the sweep


Purpose = Literal["tuning", "comparison"]
Standings = Literal["best", "within noise", "worse"]
Cost = Literal["parameters", "time"]
Factor = Literal["activation", "output", "layers", "optimizer"]


@dataclass(frozen=True, kw_only=True)
class SweepTrial:
    """One training: `tuning` ones choose a learning rate, and only those for `comparison` are compared.

    `accuracy` is that after the last epoch; None if the training came to no end, for the reason in `error`.
    """

    purpose: Purpose
    seed: int
    learning_rate: float
    accuracy: float | None
    accuracy_by_epoch: tuple[float, ...] = ()
    train_loss: float | None = None  # mean of the last epoch
    train_s: float = 0.0
    error: str | None = None

    def __post_init__(self) -> None:
        require_shares(self.accuracy, *self.accuracy_by_epoch)
        require_of_record(self.learning_rate > 0 and self.train_s >= 0, "a training has no such rate or time")


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over seeds with its 95 % interval; without an interval if there is one seed alone."""

    mean: float
    low: float | None
    high: float | None
    seeds: int

    def __post_init__(self) -> None:
        require_shares(self.mean, self.low, self.high)
        require_of_record(self.seeds >= 1, "a mean is over no seed")


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A candidate against the best one: `gap` is what it has less, `p_value` is corrected for all comparisons.

    `error_ratio` is how many times as many mistakes it makes (geometric mean over the seeds).
    """

    verdict: Standings
    gap: float
    error_ratio: float
    p_value: float


@dataclass(frozen=True, kw_only=True)
class CandidateResult(Candidate):
    """A candidate and its trainings; what follows from them is None until it is known.

    `learning_rate` is the one that is compared. `engine` was chosen when the sweep began, and stays. `train_s` is the
    median over the seeds. `rank` counts from 1, by mean accuracy; a candidate with a seed that came to no end has none.
    `on_front` names the costs for which no other candidate is both cheaper and more accurate.
    """

    parameters: int
    engine: str
    trials: tuple[SweepTrial, ...] = ()
    accuracy: Estimate | None = None
    train_s: float | None = None
    rank: int | None = None
    standing: Standing | None = None
    on_front: tuple[Cost, ...] = ()

    def __post_init__(self) -> None:
        require_of_record(0 < self.parameters <= MOST, f"a network of {self.parameters} parameters can't be")
        known = (self.learning_rate, self.train_s, self.rank)
        holds = all(value is None or value > 0 for value in known)
        require_of_record(holds, "a candidate's rate, time or rank can't be")
        require_of_record(not self.rank or self.accuracy is not None, "a candidate without accuracy has a rank")

    @property
    def candidate(self) -> Candidate:
        """The candidate itself."""
        return Candidate(**{part.name: getattr(self, part.name) for part in fields(Candidate)})

    @property
    def mean(self) -> float:
        """The mean accuracy of a candidate that has one."""
        assert self.accuracy is not None
        return self.accuracy.mean

    @property
    def compared(self) -> tuple[SweepTrial, ...]:
        """The trainings that count, those of the tuning left out."""
        return tuple(trial for trial in self.trials if trial.purpose == "comparison")

    @property
    def error(self) -> str | None:
        """Why it can't be compared: what ended one of its trainings, or of those that tried rates the first of all."""
        ended = next((trial.error for trial in self.compared if trial.error is not None), None)
        tuned = [trial for trial in self.trials if trial.purpose == "tuning"]
        all_failed = bool(tuned) and all(trial.error is not None for trial in tuned)
        return tuned[0].error if ended is None and all_failed and self.learning_rate is None else ended


@dataclass(frozen=True, kw_only=True)
class Level:
    """One value of a factor, such as relu of the activations, over the settings that all its values have in common.

    `mean` is the mean accuracy over them, `low` to `high` the 95 % interval of its difference `gap` to the best value,
    paired by setting; `wins` counts the settings in which it is the best one. `error_ratio` is the geometric mean of
    how many times the best value's mistakes it makes, `ratio_low` to `ratio_high` its 95 % interval; older records
    have none.
    """

    value: str
    mean: float
    gap: float
    low: float | None
    high: float | None
    wins: int
    settings: int
    error_ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What one factor does while all others are held: its values, the one with the fewest mistakes first."""

    factor: Factor
    levels: tuple[Level, ...]


@dataclass(frozen=True, kw_only=True)
class Noise:
    """What the seeds alone do: the standard deviation of the logarithm of the error rate, pooled over the candidates.

    0.05 means that another seed makes about 5 % more or fewer mistakes. `df` are the degrees of freedom of each
    candidate's noise, those that the pool lends it included; `least_gap` is the smallest distance to the best that
    counts as one.
    """

    log_error_sd: float
    df: float
    comparisons: int
    least_gap: float | None


@dataclass(frozen=True, kw_only=True)
class Winner:
    """The candidate with the best mean, trained once more on all training images, and what the test set says of it.

    `folder` is that of its run, within the sweep's; `low` to `high` is Wilson's 95 % interval of the test accuracy.
    """

    candidate: Candidate
    seed: int
    training_images: int
    train_s: float
    folder: str | None = None
    metrics: Metrics | None = None
    low: float | None = None
    high: float | None = None
    verdict: Verdict | None = None

    def __post_init__(self) -> None:
        require_of_record(self.folder is None or is_plain_name(self.folder), "the winner's folder is not a plain name")
        require_shares(self.low, self.high)


@dataclass(frozen=True, kw_only=True)
class SweepRecord:
    """Everything that is known of one sweep."""

    schema_version: int = SCHEMA_VERSION
    kind: Literal["sweep"] = "sweep"
    status: Status = "running"
    message: str | None = None
    created: str = ""
    environment: Environment | None = None
    config: SweepConfig
    choices: tuple[Choice, ...] = ()
    data: DataSummary | None = None
    candidates: tuple[CandidateResult, ...] = ()
    elapsed_s: float = 0.0  # of all processes that took part
    noise: Noise | None = None
    effects: tuple[Effect, ...] = ()
    findings: tuple[str, ...] = ()  # what came out, a sentence each
    faults: tuple[str, ...] = ()  # what is wrong with its trainings, of all processes that took part
    winner: Winner | None = None
    ranks: tuple[RankFigures, ...] = ()  # that did the trainings of this process, where there were several
    files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ranked(self) -> tuple[CandidateResult, ...]:
        """The candidates that have a rank, the most accurate first."""
        return tuple(sorted((one for one in self.candidates if one.rank), key=lambda one: one.rank or 0))


# --- names of candidates


def parts_of(result: CandidateResult) -> tuple[str, str, str, str, str]:
    """Network, activation, output, optimizer and learning rate, as they are written."""
    rate = "–" if result.learning_rate is None else f"{result.learning_rate:g}"
    return result.network, result.activation, result.output, result.optimizer, rate


def label_of(result: CandidateResult, record: SweepRecord) -> str:
    """The name of a candidate, such as "784-128-10 relu softmax", of the parts that differ within the sweep."""
    *names, rate = parts_of(result)
    differing = [len(set(column)) > 1 for column in zip(*map(parts_of, record.candidates), strict=True)]
    differing[0] = True
    if record.config.tune_rates:
        differing[-1] = False  # it follows from the rest
    return " ".join(compress([*names, f"lr {rate}"], differing))


# --- the file


def save_sweep(record: SweepRecord, folder: Path) -> Path:
    """Write `sweep.json` into `folder` in one step; raises OutputError."""
    return save(record, folder / RECORD_NAME)
