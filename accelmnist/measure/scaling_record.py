"""What is measured of several ranks: speeds by form and number of ranks, probes of what carries their sums, findings.

Four forms of training, each beside one rank alone in the same rounds:

strong        the ranks share every batch of one training: the same training, sooner
weak          so does each, with a batch as large as that of one rank alone: another training
independent   every rank trains alone, and nothing is summed
compute       the steps of strong without their sum, on all ranks at once: no training, what a prediction starts from

Raw samples are seconds, by round and rank; all else follows from them by `measure.step_model`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Literal, Protocol

from accelmnist.core.config import ModelConfig
from accelmnist.core.records import Verdict
from accelmnist.core.text import require_of_record
from accelmnist.measure.plan import Case
from accelmnist.measure.statistics.comparison import Comparison
from accelmnist.measure.statistics.summary import Summary

Form = Literal["single", "strong", "weak", "independent", "compute"]


class HasSamples(Protocol):
    """What has speeds by round."""

    @property
    def images_per_s(self) -> Summary | None:
        """The speeds, with their samples in the order of `rounds`."""

    @property
    def rounds(self) -> tuple[int, ...]:
        """The numbers of the rounds."""


def _require_times(rounds: Sequence[int], times: Sequence[Sequence[float]], ranks: int) -> None:
    holds = len(rounds) == len(times) and all(len(one) == ranks and min(one) > 0 for one in times)
    require_of_record(holds, f"a round has no time above 0 of each of {ranks} ranks")


@dataclass(frozen=True, kw_only=True)
class StepPrediction:
    """Seconds of one strong step: what it computes, what its sum takes, what is lost between, and all together.

    It `holds` if `step_s` lies in the 95 % interval of the measured step, `low_s` to `high_s`. What is lost follows
    from the other batch sizes; with none, it is 0.
    """

    compute_s: float
    sum_s: float
    lost_s: float = 0.0
    step_s: float
    low_s: float
    high_s: float
    holds: bool


@dataclass(frozen=True, kw_only=True)
class ScalingRow(Case):
    """One case on the first `ranks` ranks, in one `form`; `batch_size` is what the case asks for.

    `skipped` is the reason of a row that was not measured. `rank_s` are each rank's seconds of a region by round: a
    sample is all images over the slowest one's. `spread` is how far the ranks are apart, over the slowest one: the
    median over the rounds. `speedup` is over one rank alone. Of compute, `step_s_by_round` is the mean over the steps
    of the rank that was slowest in each.
    """

    form: Form
    ranks: int
    skipped: str | None = None
    steps_per_region: int | None = None
    rounds: tuple[int, ...] = ()
    rank_s: tuple[tuple[float, ...], ...] = ()
    step_s_by_round: tuple[float, ...] = ()
    images_per_s: Summary | None = None
    speedup: Comparison | None = None
    spread: float | None = None
    prediction: StepPrediction | None = None
    verdict: Verdict | None = None

    def __post_init__(self) -> None:
        require_of_record(
            self.batch_size >= 1 and (self.threads or 1) >= 1, "a batch size or number of threads is below 1"
        )
        require_of_record(self.ranks >= 1 and (self.ranks == 1) == (self.form == "single"), "a row has no such ranks")
        _require_times(self.rounds, self.rank_s, self.ranks)

    @cached_property
    def case(self) -> Case:
        """The case itself, as it trains on one rank."""
        return Case(**{part.name: getattr(self, part.name) for part in fields(Case)})

    @property
    def is_alone(self) -> bool:
        """Whether a rank trains without the others."""
        return self.form in ("single", "independent")

    @property
    def trained(self) -> Case:
        """The case that is trained: in weak, the ranks' batch is as many times as large."""
        return replace(self.case, batch_size=self.batch_size * (self.ranks if self.form == "weak" else 1))

    @property
    def sum_bytes(self) -> int:
        """What a shared step sums: float32 gradients, the loss, and a mark of every rank."""
        return 4 * (ModelConfig(hidden=self.hidden).parameters + 1 + self.ranks)

    @property
    def is_wrong(self) -> bool:
        """Whether a check of the result failed."""
        return self.verdict is not None and not self.verdict.passed

    @property
    def step_images(self) -> int:
        """Images that all ranks together see in a step of each."""
        return self.batch_size * (self.ranks if self.form in ("weak", "independent") else 1)

    @property
    def images(self) -> int:
        """Images of a region, all ranks together."""
        return self.step_images * (self.steps_per_region or 0)

    @property
    def step_s(self) -> float | None:
        """Seconds of one step of a rank, by the median."""
        return self.step_images / self.images_per_s.median if self.images_per_s else None

    @property
    def title(self) -> str:
        """The row in words, for messages."""
        return f"{self.case.label}, {'one rank' if self.form == 'single' else f'{self.form} on {self.ranks} ranks'}"


def rows_of(cases: Sequence[Case], counts: Sequence[int]) -> tuple[ScalingRow, ...]:
    """Every row of the `cases` on these numbers of ranks."""
    several: tuple[Form, ...] = ("strong", "weak", "independent", "compute")
    return tuple(
        ScalingRow(**vars(case), form=form, ranks=count)
        for case in cases
        for count in counts
        for form in (("single",) if count == 1 else several)
    )


@dataclass(frozen=True, kw_only=True)
class SumProbe:
    """One all-reduce of `bytes` over `ranks`; `is_step` if steps sum just that.

    `call_s` are seconds by round: the mean over `calls` of the rank that was slowest in each, from a barrier on. What
    was summed are known numbers: of `values`, so many are `wrong`. Bus bandwidth is what every rank has to send and
    receive at least, 2 (n - 1) / n of the bytes, over the median.
    """

    ranks: int
    bytes: int
    is_step: bool = False
    calls: int = 0
    rounds: tuple[int, ...] = ()
    call_s: tuple[float, ...] = ()
    values: int = 0
    wrong: int = 0
    seconds: Summary | None = None
    bus_bytes_per_s: float | None = None

    def __post_init__(self) -> None:
        require_of_record(self.ranks > 1 and self.bytes >= 1 and self.values >= self.wrong >= 0, "there is no such sum")
        _require_times(self.rounds, [(one,) for one in self.call_s], 1)


@dataclass(frozen=True, kw_only=True)
class ExchangeProbe:
    """Every rank sends each other one its part of `bytes`: the seconds of each, by round, and their medians.

    `fairness` is the quickest rank's median over the slowest one's.
    """

    ranks: int
    bytes: int
    rounds: tuple[int, ...] = ()
    rank_s: tuple[tuple[float, ...], ...] = ()
    values: int = 0
    wrong: int = 0
    medians_s: tuple[float, ...] = ()
    fairness: float | None = None

    def __post_init__(self) -> None:
        require_of_record(self.ranks > 1 and self.values >= self.wrong >= 0, "there is no such exchange")
        _require_times(self.rounds, self.rank_s, self.ranks)


@dataclass(frozen=True, kw_only=True)
class SumModel:
    """The seconds of a sum as a latency and a bandwidth, for about the `bytes` of a step.

    They are fitted to the medians of the probes of `fitted` bytes, so that the relative errors are least.
    """

    ranks: int
    bytes: int
    latency_s: float
    bytes_per_s: float | None  # None: the probes take no longer with more bytes
    sum_s: float
    fitted: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class SlowRank:
    """A rank that computes slower than the others, significantly; `speed` is its own over theirs."""

    rank: int
    host: str
    device: str
    speed: Comparison
    sentence: str


@dataclass(frozen=True, kw_only=True)
class RanksPay:
    """From which batch size on `ranks` that share a batch are faster than one of them alone; None for never.

    `start` is by the samples, among the sizes that were measured; `predicted` by the model, between them too.
    """

    ranks: int
    what: str  # the case but for its batch size
    start: int | None
    predicted: int | None
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """What a benchmark of several ranks measured and found."""

    rows: tuple[ScalingRow, ...] = ()
    sums: tuple[SumProbe, ...] = ()
    exchanges: tuple[ExchangeProbe, ...] = ()
    models: tuple[SumModel, ...] = ()
    slow: tuple[SlowRank, ...] = ()
    pays: tuple[RanksPay, ...] = ()

    @property
    def is_wrong(self) -> bool:
        """Whether a result or a sum was."""
        wrong = (*(one.wrong for one in self.sums), *(one.wrong for one in self.exchanges))
        return any(wrong) or any(row.is_wrong for row in self.rows)
