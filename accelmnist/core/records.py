"""The record of a run: what is known of the machine, the choices, the training and its result.

Unknown is null, fractions are 0 to 1, and a quantity's name ends in its unit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev
from typing import Literal

from accelmnist.core.config import CLASSES, RunConfig, steps_per_epoch
from accelmnist.core.errors import RecordError
from accelmnist.core.files import RECORDS, SCHEMA_VERSION, is_whole, load, record_file, save
from accelmnist.core.hardware import CpuFacts, GpuFacts
from accelmnist.core.metrics import MOST, Metrics
from accelmnist.core.recount import ROUNDING, recount_metrics, recounted, require, require_figure, t_interval
from accelmnist.core.text import require_of_record, require_shares

RECORD_NAME = RECORDS["run"]

Status = Literal["running", "done", "interrupted", "diverged", "failed"]


@dataclass(frozen=True, kw_only=True)
class Environment:
    """The machine and the software, as far as they can move a figure."""

    processor: str
    cores: int | None
    logical_cores: int | None
    threads: int
    memory_bytes: int | None
    device: str
    hardware: str
    device_memory_bytes: int | None
    driver: str | None
    cuda: str | None
    cpu_capability: str | None
    torch: str
    numpy: str
    python: str
    os: str
    accelmnist: str
    commit: str | None
    command: str
    variables: dict[str, str] = field(default_factory=dict)  # of the process, as far as they steer threads and kernels
    cpu: CpuFacts | None = None  # as it was when the work was over, as are the CUDA devices that took part
    gpus: tuple[GpuFacts, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A decision made before the run: `what` was decided, as `value`, for this `reason`."""

    what: str
    value: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class DataSummary:
    """Where the images came from, and how many serve for what; `light` says that they are dark on light.

    `test_in_training` counts the test images that are exact copies of training images.
    """

    dataset: str
    source: str
    training_images: int
    validation_images: int
    test_images: int
    class_names: tuple[str, ...]
    light: bool = False
    test_in_training: int = 0

    def __post_init__(self) -> None:
        require_of_record(len(self.class_names) == CLASSES, f"there are {len(self.class_names)} classes, not {CLASSES}")
        images = (self.training_images, self.validation_images, self.test_images, self.test_in_training)
        require_of_record(min(images) >= 0 and max(images) <= MOST, "a number of images can't be")


@dataclass(frozen=True, kw_only=True)
class Launches:
    """Counts of one step, by the profiler. `operations` are started by the host, one launch each.

    `host_syncs` are waits of the host for the device; `graph_replays` are replays of a CUDA graph.
    """

    operations: float
    host_syncs: float
    graph_replays: float = 0.0


@dataclass(frozen=True, kw_only=True)
class EpochFigures:
    """One epoch; `accuracy` is on the validation images if any are held out, else on some of the training ones."""

    epoch: int
    train_loss: float | None
    accuracy: float | None
    learning_rate: float
    train_s: float
    images_per_s: float

    def __post_init__(self) -> None:
        require_of_record(1 <= self.epoch <= MOST, f"there is no epoch {self.epoch}")
        require_shares(self.accuracy)
        figures = (self.learning_rate, self.train_s, self.images_per_s)
        require_of_record(min(figures) >= 0, "a figure of an epoch is negative")


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Where the time went, in seconds: `train_s` is the synchronized time of the epochs, `images_per_s` its rate.

    `evaluate_s` is what it took to find the accuracy on the test set, and `to_accuracy_s` all that passed from the
    start of the process until it was known; None if the run went on in another process. If training began before
    torch was there, both are of that first answer, and `import_s` came after it.
    """

    import_s: float | None = None
    load_s: float | None = None
    upload_s: float | None = None
    compile_s: float | None = None
    train_s: float = 0.0
    evaluate_s: float | None = None
    verify_s: float | None = None
    to_accuracy_s: float | None = None
    images_per_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """A test image that was classified wrongly, with the score of the wrong answer and of the right one."""

    index: int
    actual: int
    predicted: int
    score: float
    actual_score: float

    def __post_init__(self) -> None:
        holds = 0 <= self.index <= MOST and 0 <= self.actual < CLASSES > self.predicted >= 0
        require_of_record(holds, "a mistake is of no image or no class")


@dataclass(frozen=True, kw_only=True)
class Check:
    """A figure of the verdict and its limit: `detail` says what the figure is, `reason` why the limit is that one.

    Checks of one `group` stand in one line where all passed.
    If one that `condemns` fails, the result is wrong; another one that fails is a doubt.
    """

    name: str
    passed: bool
    value: float | None
    limit: float | None
    detail: str
    reason: str
    group: str = ""
    condemns: bool = True

    @classmethod
    def at_most(cls, name: str, value: float, limit: float, *, detail: str, reason: str, group: str = "") -> Check:
        """The check that `value` is `limit` or less; a NaN fails."""
        value, passed = float(value), float(value) <= limit
        return cls(name=name, passed=passed, value=value, limit=limit, detail=detail, reason=reason, group=group)

    @classmethod
    def without(cls, name: str, faults: Sequence[str], *, finds: str, reason: str, group: str = "") -> Check:
        """The check that there are no `faults`: the first is told, or else what the check `finds`, in a few words."""
        more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
        detail = f"{faults[0]}{more}" if faults else finds
        return cls.at_most(name, len(faults), 0.0, detail=detail, reason=reason, group=group)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether the result is right: `passed` only if every check is; `reference` says what it was held against."""

    passed: bool
    reference: str
    checks: tuple[Check, ...] = ()

    @classmethod
    def of(cls, reference: str, checks: Iterable[Check]) -> Verdict:
        """The verdict that follows from `checks`."""
        held = tuple(checks)
        return cls(passed=all(check.passed or not check.condemns for check in held), reference=reference, checks=held)

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that failed and condemn."""
        return tuple(check for check in self.checks if check.condemns and not check.passed)

    @property
    def doubts(self) -> tuple[Check, ...]:
        """The checks that failed and do not condemn."""
        return tuple(check for check in self.checks if not check.condemns and not check.passed)


@dataclass(frozen=True, kw_only=True)
class RankFigures:
    """One of the processes that shared a training: where it ran, and the images a second that it computed itself.

    Where each does trainings of its own, `trainings` are those that it did.
    """

    rank: int
    host: str
    device: str
    threads: int
    images_per_s: float | None = None
    trainings: int | None = None


@dataclass(frozen=True, kw_only=True)
class AuditSummary:
    """How many steps of a training were replayed in float64, in `replay_s` seconds.

    A fault that lasts for `lasting_share` of the steps is found in 95 % of trainings.
    """

    steps: int
    of_steps: int
    lasting_share: float
    replay_s: float


@dataclass(frozen=True, kw_only=True)
class ReferenceRun:
    """The same training on the CPU in eager float32: its scores beside the run's."""

    metrics: Metrics
    train_s: float
    images_per_s: float | None


@dataclass(frozen=True, kw_only=True)
class OperationFigures:
    """A row of a profile, a step: `host_s` and `device_s` are its own, without those of what it called in turn.

    `calls` is 0 for the host's time between calls. `device_s` is None if the device's time isn't seen; `share` is of
    the device's time if it is, else of the host's.
    """

    name: str
    calls: float
    host_s: float
    device_s: float | None
    share: float


@dataclass(frozen=True, kw_only=True)
class ProfileSummary(Launches):
    """The profile of some steps, a step: counts, and where the time went. Its times are no speeds.

    `notes` say it in words, with what could not be seen.
    """

    steps: int
    rows: tuple[OperationFigures, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TrialFigures:
    """One seed of a run of many: its scores on the test set, or the `error` that ended it, in a line."""

    seed: int
    accuracy: float | None
    macro_f1: float | None
    train_s: float
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class SeedSpread:
    """A score over seeds: mean, standard deviation, and the 95 % interval of the mean by Student's t.

    Deviation and interval take two seeds.
    """

    mean: float
    deviation: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class TrialsSummary:
    """`planned` seeds of one configuration trained together; `trials` are those that are over, by seed.

    `total_s` is from the start of the first training to the end of the last, `images_per_s` what all of them saw in it.
    """

    planned: int
    trials: tuple[TrialFigures, ...] = ()
    accuracy: SeedSpread | None = None
    macro_f1: SeedSpread | None = None
    total_s: float | None = None
    images_per_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """Everything that is known of one run; what is not known yet, or was not asked for, is None."""

    schema_version: int = SCHEMA_VERSION
    kind: Literal["run"] = "run"
    status: Status = "running"
    message: str | None = None
    created: str = ""
    environment: Environment | None = None
    config: RunConfig = field(default_factory=RunConfig)
    choices: tuple[Choice, ...] = ()
    data: DataSummary | None = None
    parameters: int | None = None
    epochs: tuple[EpochFigures, ...] = ()
    timing: Timing = field(default_factory=Timing)
    peak_memory_bytes: int | None = None
    metrics: Metrics | None = None
    mistakes: tuple[Mistake, ...] = ()
    reference: ReferenceRun | None = None
    audit: AuditSummary | None = None
    verdict: Verdict | None = None
    profile: ProfileSummary | None = None
    trials: TrialsSummary | None = None
    ranks: tuple[RankFigures, ...] = ()
    backend: str | None = None  # what carried the ranks' sums, with its version; gloo has torch's
    files: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for metrics in (self.metrics, self.reference.metrics if self.reference else None):
            holds = metrics is None or len(metrics.per_class) == CLASSES
            require_of_record(holds, f"its scores are not of {CLASSES} classes")


def save_record(record: RunRecord, folder: Path) -> Path:
    """Write `run.json` into `folder` in one step; raises OutputError."""
    return save(record, folder / RECORD_NAME)


def finished_run(folder: Path) -> RunRecord | None:
    """The record of the run in `folder`, if it is done and all of its files are there."""
    try:
        record = load_record(folder)
    except RecordError:
        return None
    return record if is_whole(folder, record.status, record.files) else None


def load_record(path: Path) -> RunRecord:
    """Read and validate a run's record, given the file or its folder.

    Raises RecordError for one that is missing, truncated, foreign, of another kind or of a newer schema, and for a
    figure that doesn't follow from the others.
    """
    file = record_file(path, "run")
    record = load(file, RunRecord, kind="run", noun="a run")
    with recounted(str(file)):
        recount_run(record)
    return record


# --- what a run says held to the rest of it


def recount_run(record: RunRecord) -> None:
    """Raise RecordError for the first figure of a run that doesn't follow from the others."""
    _recount_epochs(record)
    if record.parameters is not None:
        require_figure("parameters", record.parameters, record.config.model.parameters, of="by its layers")
    theirs = None if record.reference is None else record.reference.metrics
    for name, metrics in (("", record.metrics), ("the reference's ", theirs)):
        if metrics is not None:
            recount_metrics(metrics, name)
            if record.data is not None:
                require_figure(f"{name}images", metrics.images, record.data.test_images, of="by its data")
    _recount_mistakes(record)
    recount_verdict(record.verdict)
    _recount_reference(record)
    if record.trials is not None:
        _recount_trials(record.trials, record)


def _recount_epochs(record: RunRecord) -> None:
    epochs, timing, batch = record.epochs, record.timing, record.config.training.batch_size
    require([one.epoch for one in epochs] == list(range(1, len(epochs) + 1)), "its epochs are not 1, 2, 3 and so on")
    if not epochs or record.data is None:
        return
    images = steps_per_epoch(record.data.training_images, batch) * batch
    _recount_whole_training(record, images)
    for one in epochs:
        speed = images / one.train_s if one.train_s else 0.0
        require_figure(f"images_per_s of epoch {one.epoch}", one.images_per_s, speed, of="by its images and seconds")
    train_s = math.fsum(one.train_s for one in epochs)
    require_figure("train_s", timing.train_s, train_s, of="by its epochs")
    speed = images * len(epochs) / train_s if train_s else 0.0
    require_figure("images_per_s", timing.images_per_s, speed, of="by its images and seconds")


def _recount_whole_training(record: RunRecord, images: int) -> None:
    """What is of all epochs, of so many `images` each."""
    epochs, training, audit, reference = len(record.epochs), record.config.training, record.audit, record.reference
    holds = epochs == training.epochs or (epochs < training.epochs and record.status != "done")
    require(holds, f"it has {epochs} epochs of {training.epochs}")
    if audit is not None:
        steps = training.epochs * images // training.batch_size
        require_figure("of_steps of the audit", audit.of_steps, steps, of="by its images and epochs")
        require(0 <= audit.steps <= steps, f"{audit.steps} of its {steps} steps were audited")
    if reference is not None:
        speed = images * training.epochs / reference.train_s
        require_figure("the reference's images_per_s", reference.images_per_s, speed, of="by its images and seconds")


def _recount_mistakes(record: RunRecord) -> None:
    if record.metrics is None:
        return
    mistakes, matrix, seen = record.mistakes, record.metrics.confusion_matrix, set[int]()
    for one in mistakes:
        what = f"image {one.index}, {one.actual} taken for {one.predicted}"
        cell = [(other.predicted, other.actual) for other in mistakes].count((one.predicted, one.actual))
        holds = one.predicted != one.actual and cell <= matrix[one.predicted][one.actual]
        require(holds and one.index not in seen, f"its mistakes have {what}, but not so its confusion matrix")
        require(one.index < record.metrics.images and one.score >= one.actual_score, f"its mistake on {what} can't be")
        seen.add(one.index)
    scores = [one.score for one in mistakes]
    require(scores == sorted(scores, reverse=True), "its mistakes are not in order, the surest first")


def recount_verdict(verdict: Verdict | None, name: str = "its verdict") -> None:
    """It is passed if there are checks, and every one that condemns is; no check is whose value is above its limit."""
    if verdict is None:
        return
    for check in verdict.checks:
        size = abs(check.value or 0.0) if check.name.endswith(", reference") else check.value or 0.0
        holds = not check.passed or check.limit is None or size <= check.limit
        require(holds, f"{name} has {check.name} passed, but {check.value} is above the limit of {check.limit}")
    require(bool(verdict.checks) or not verdict.passed, f"{name} is passed by no check")
    passed = all(check.passed for check in verdict.checks if check.condemns)
    require(verdict.passed == passed, f"{name} is passed: {verdict.passed}, but by its checks it is {passed}")


def _recount_reference(record: RunRecord) -> None:
    """What the verdict says of this run's scores, and of the reference's."""
    metrics, reference = record.metrics, record.reference
    if metrics is None or record.verdict is None:
        return
    of = "by its scores"
    follows: dict[str, float] = {"plausible accuracy": metrics.accuracy}
    if reference is not None:
        follows["accuracy, reference"] = metrics.accuracy - reference.metrics.accuracy
        follows["macro F1, reference"] = metrics.macro_f1 - reference.metrics.macro_f1
    for check in record.verdict.checks:
        if check.name in follows:
            apart = abs((check.value or 0.0) - follows[check.name])
            require(apart <= ROUNDING, f"its check {check.name} is {check.value}, but {of} it is {follows[check.name]}")


def _recount_trials(trials: TrialsSummary, record: RunRecord) -> None:
    seeds = [one.seed for one in trials.trials]
    require(len(set(seeds)) == len(seeds) <= trials.planned, "its seeds are more than were planned, or one is twice")
    if record.data is not None and trials.total_s and not any(one.error for one in trials.trials):
        training = record.config.training
        images = steps_per_epoch(record.data.training_images, training.batch_size) * training.batch_size
        speed = len(seeds) * training.epochs * images / trials.total_s
        require_figure("images_per_s of all seeds", trials.images_per_s, speed, of="by their images and seconds")
    first = next((one for one in trials.trials if one.seed == record.config.training.seed), None)
    for score in ("accuracy", "macro_f1"):
        values = [value for one in trials.trials if (value := getattr(one, score)) is not None]
        spread = getattr(trials, score)
        if spread is not None:
            require_spread(f"{score} over seeds", spread, values)
        if first is not None and record.metrics is not None:
            of = "by the run's confusion matrix"
            require_figure(
                f"{score} of seed {first.seed}", getattr(first, score), getattr(record.metrics, score), of=of
            )


def require_spread(name: str, spread: SeedSpread, values: Sequence[float]) -> None:
    """Mean, deviation and interval by Student's t of `values`."""
    require(bool(values), f"{name} has a mean of no seed")
    require_figure(f"mean {name}", spread.mean, fmean(values), of="by its seeds")
    if len(values) < 2:
        require(spread.deviation is spread.low is spread.high is None, f"{name} has an interval of one seed")
        return
    deviation = stdev(values)
    require_figure(f"deviation of {name}", spread.deviation, deviation, of="by its seeds")
    low, high = t_interval(values)
    require_figure(f"low end of {name}", spread.low, low, of="by its seeds")
    require_figure(f"high end of {name}", spread.high, high, of="by its seeds")
