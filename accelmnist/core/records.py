"""The record of a run: what is known of the machine, the choices, the training and its result.

Unknown is null, fractions are 0 to 1, and a quantity's name ends in its unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from accelmnist.core.config import CLASSES, RunConfig
from accelmnist.core.errors import RecordError
from accelmnist.core.files import RECORDS, SCHEMA_VERSION, is_whole, load, record_file, save
from accelmnist.core.metrics import MOST, Metrics
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

    Raises RecordError for one that is missing, truncated, foreign, of another kind or of a newer schema.
    """
    return load(record_file(path, "run"), RunRecord, kind="run", noun="a run")
