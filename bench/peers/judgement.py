"""What the samples say: speeds with their intervals, paired ratios, and whether a contender is right.

Speeds and comparisons are `accelmnist.measure`'s, by round: each case against the fastest of our engines, against our
eager one, against the fastest peer, and against the matrix products alone, always of the same workload and precision.
A ratio above 1 means that the case is faster than what it is compared with. The products alone are a limit and nobody's
engine: they are compared like a case, and are neither ranked nor anybody's best.

Right means as accurate as our eager float32 training after as many steps. All start from the same weights and train
alike, so that two accuracies differ by the order of the images and by rounding, as two seeds do at most: what they may
differ by is the seed spread of `training/reference/tolerances.py`, four standard deviations of a difference. There the
spread is 0.8 binomial deviations, of trainings that end well. These stop early, at a constant learning rate: over ten
orders of the images in workloads a, b and c it was up to 2.58 binomial deviations after a ninth of an epoch, 1.50 after
a third, and 1.02 after one, two and three; hence _SPREADS. Inference has the same weights for all, and may differ in
near ties alone. A wrong case keeps its figures and is not ranked.
"""

from __future__ import annotations

from dataclasses import dataclass

from accelmnist.measure.statistics.comparison import Comparison, compare
from accelmnist.measure.statistics.summary import Summary, summarize
from accelmnist.training.reference.tolerances import SEED_SPREAD, seed_spread_limit
from bench.peers.catalogue import EAGER
from bench.peers.record import CaseRecord, WorkloadRecord
from bench.peers.workloads import PRECISIONS, TEST_IMAGES, WORKLOADS, PeerPrecision, Workload

_SPREADS = ((1 / 9, 2.6), (1 / 3, 1.5), (1.0, 1.1))  # from this share of an epoch on: binomial deviations
Reference = dict[int, float]
_NEAR_TIES: dict[PeerPrecision, float] = {"fp32": 5 / TEST_IMAGES, "bf16": 30 / TEST_IMAGES}


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A case with what follows from it; `speed` is None where it has no samples, `wrong` None where it is right."""

    case: CaseRecord
    speed: Summary | None = None  # images/s
    epoch_ms: float | None = None  # of inference, a pass over the test set
    wrong: str | None = None
    to_best_of_ours: Comparison | None = None
    to_our_eager: Comparison | None = None
    to_best_peer: Comparison | None = None
    to_limit: Comparison | None = None

    @property
    def ranked(self) -> bool:
        """Whether it was measured and is right."""
        return self.speed is not None and self.wrong is None and not self.case.limit


@dataclass(frozen=True, kw_only=True)
class Board:
    """All cases of one workload in one precision, ranked: the fastest first; then limit, wrong, no figures."""

    workload: Workload
    precision: PeerPrecision
    rows: tuple[Judged, ...]

    @property
    def best_of_ours(self) -> Judged | None:
        """Our fastest right case."""
        return next((row for row in self.rows if row.ranked and row.case.ours), None)

    @property
    def best_peer(self) -> Judged | None:
        """The fastest right peer."""
        return next((row for row in self.rows if row.ranked and not row.case.ours), None)


def boards(record: WorkloadRecord) -> list[Board]:
    """One board for each precision that was measured."""
    workload = WORKLOADS[record.workload]
    reference = _reference(record)
    ranked = []
    for precision in PRECISIONS:
        cases = [case for case in record.cases if case.precision == precision]
        if cases:
            rows = _compared([_judge(case, workload, reference) for case in cases])
            ranked.append(Board(workload=workload, precision=precision, rows=rows))
    return ranked


def _reference(record: WorkloadRecord) -> Reference:
    """The accuracies of our eager float32 training by the steps from the start."""
    accuracies = (case.accuracies for case in record.cases if case.key == EAGER and case.precision == "fp32")
    return dict(next(accuracies, ()))


def _judge(case: CaseRecord, workload: Workload, reference: Reference) -> Judged:
    if case.reason is not None or not case.seconds:
        return Judged(case=case)
    images = case.steps * workload.batch_size
    speed = summarize([images / seconds for seconds in case.seconds])
    epoch_images = (workload.epoch_steps if workload.mode == "training" else 1) * workload.batch_size
    return Judged(
        case=case,
        speed=speed,
        epoch_ms=1e3 * epoch_images / speed.median,
        wrong=_what_is_wrong(case, workload, reference),
    )


def _what_is_wrong(case: CaseRecord, workload: Workload, reference: Reference) -> str | None:
    """None where the last accuracy is right, or where there is nothing to hold it against."""
    common = [(steps, share) for steps, share in case.accuracies if steps in reference]
    if not common:
        return None
    steps, accuracy = common[-1]
    limit = accuracy_limit(workload, case.precision, steps, reference[steps])
    if abs(accuracy - reference[steps]) <= limit:
        return None
    return f"accuracy {100 * accuracy:.2f} %, {100 * reference[steps]:.2f} ± {100 * limit:.2f} % expected"


def accuracy_limit(workload: Workload, precision: PeerPrecision, steps: int, expected: float) -> float:
    """How far an accuracy after `steps` from the start may be from `expected`."""
    if workload.mode == "inference":
        return _NEAR_TIES[precision]
    epochs = steps / workload.epoch_steps
    spread = next(spread for share, spread in reversed(_SPREADS) if share <= epochs or share == _SPREADS[0][0])
    return seed_spread_limit("accuracy", 1 - expected, TEST_IMAGES) * spread / SEED_SPREAD["accuracy"]


def _compared(judged: list[Judged]) -> tuple[Judged, ...]:
    rows = sorted(judged, key=_rank)
    board = [row for row in rows if row.ranked]
    ours = next((row for row in board if row.case.ours), None)
    peer = next((row for row in board if not row.case.ours), None)
    eager = next((row for row in board if row.case.key == EAGER), None)
    limit = next((row for row in rows if row.case.limit), None)
    return tuple(
        Judged(
            case=row.case,
            speed=row.speed,
            epoch_ms=row.epoch_ms,
            wrong=row.wrong,
            to_best_of_ours=_against(row, ours),
            to_our_eager=_against(row, eager),
            to_best_peer=_against(row, peer),
            to_limit=_against(row, limit),
        )
        for row in rows
    )


def _rank(row: Judged) -> tuple[int, float]:
    group = 3 if row.speed is None else 0 if row.ranked else 1 if row.case.limit else 2
    return group, -row.speed.median if row.speed else 0.0


def _against(row: Judged, other: Judged | None) -> Comparison | None:
    if other is None or other is row or row.speed is None or other.speed is None:
        return None
    if len(row.speed.samples) != len(other.speed.samples):
        return None  # a case that fell out half-way shares no rounds that could be paired with certainty
    return compare(other.speed.samples, row.speed.samples, paired=True)
