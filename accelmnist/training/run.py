"""What is chosen before a run, what is wanted of it, who is told what happens in it, and its images and its record.

A run is train, then prove: `execute` trains once, `sweep/trials` many times at once, and both prove by `proof`. Nothing
is printed: an `Observer` is told what happens. Nothing that was measured is lost: whatever ends a run early, the record
is saved with its status first.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelmnist.core.config import AUDIT_WINDOWS, RECIPES, SHARDS, ExecutionConfig, RunConfig, changes
from accelmnist.core.errors import AccelmnistError, DeviceError, DivergedError, OutputError, StoppedError
from accelmnist.core.files import make_folder
from accelmnist.core.records import Choice, EpochFigures, RunRecord, Status, TrialFigures, save_record
from accelmnist.data.split import RunImages, load_images
from accelmnist.data.types import Dataset, ImageSet
from accelmnist.device import (
    Device,
    memory_errors,
    peak_memory_again,
    peak_memory_bytes,
    require_precision,
    resolve,
    set_threads,
)
from accelmnist.device.environment import describe_environment, with_clocks
from accelmnist.device.loading import load_torch
from accelmnist.engines.choose import EngineChoice, choose_engine
from accelmnist.engines.own.faults import engine_errors
from accelmnist.training.loop import Stopwatch
from accelmnist.training.reference.scores import Oracle, score_here

if TYPE_CHECKING:
    from accelmnist.device.ranks import Ranks
    from accelmnist.engines.model import MLP
    from accelmnist.training.checkpoint import Checkpoint

_REMEDY = "Try a smaller --batch-size or --hidden, or another --device"


@dataclass(frozen=True)
class Setup:
    """All that is chosen before a run starts."""

    config: RunConfig
    device: Device
    engine: EngineChoice
    choices: tuple[Choice, ...]


def choose_setup(config: RunConfig, *, resumed_after: int | None = None, why_threads: str | None = None) -> Setup:
    """Resolve device, engine, precision and threads; raises DeviceError or ConfigError for what is not there.

    `resumed_after` is the number of epochs that a run to go on with has behind it; its choices were made when it began.
    `why_threads` is the reason for their number, if it was chosen already. torch is loaded only if one of the choices
    needs it.
    """
    device = resolve(config.execution.device)
    precision = require_precision(device, config.execution.precision)
    # Before the engine is chosen: a speed holds for as many.
    threads = set_threads(config.execution.threads)
    engine = choose_engine(config, device)
    execution = replace(config.execution, device=str(device), engine=engine.name, threads=threads)
    _require_shared(execution, engine, device)
    asked = why_threads or ("asked for" if config.execution.threads else "the cores that it may use")
    choices: tuple[Choice, ...] = (
        *_recipe_choice(config),
        Choice(what="device", value=f"{device} ({device.hardware})", reason=device.reason),
        Choice(what="engine", value=engine.label, reason=engine.reason),
        Choice(what="precision", value=config.execution.precision, reason=precision.reason),
        Choice(what="threads", value=str(threads), reason=asked),
        *_ranks_choice(config),
    )
    if resumed_after is not None:
        start = Choice(what="start", value=f"after epoch {resumed_after}", reason="the stopped run goes on")
        choices = (*(replace(choice, reason="as the stopped run") for choice in choices), start)
    return Setup(replace(config, execution=execution), device, engine, choices)


def _require_shared(execution: ExecutionConfig, choice: EngineChoice, device: Device) -> None:
    """Raise DeviceError if several ranks are to share batches by an engine that can't."""
    alone = choice.engine.why_alone(device)
    if alone is not None and (execution.ranks > 1 or execution.reduction == "exact"):
        raise DeviceError(
            f"--engine {choice.label} with {execution.ranks} ranks: {alone}", remedy="Choose another engine"
        )


def _ranks_choice(config: RunConfig) -> tuple[Choice, ...]:
    """The ranks, where there are several, or where one computes as many would."""
    count, size, exact = config.execution.ranks, config.training.batch_size, config.execution.reduction == "exact"
    if count == 1 and not exact:
        return ()
    how = f"each computes {size // count} of a batch's {size} images; one sum a step"
    parts = f"; gradients of {SHARDS} parts are added in a fixed tree, whoever computed them" if exact else ""
    return (Choice(what="ranks", value=str(count), reason=how + parts),)


def _recipe_choice(config: RunConfig) -> tuple[Choice, ...]:
    """The recipe, where there is one, with what options changed in it."""
    recipe = RECIPES.get(config.recipe or "")
    if recipe is None:
        return ()
    changed = ", ".join(changes(config, recipe))
    reason = f"asked for, but changed: {changed}" if changed else f"asked for: {recipe.purpose}"
    return (Choice(what="recipe", value=recipe.name, reason=reason),)


class Observer:
    """Who is told what happens in a run; as it is, nobody."""

    def planned(self, record: RunRecord) -> None:
        """All choices are made; training is about to begin, or was quick and is over."""

    def stage(self, what: str) -> None:
        """The run goes on to `what`, before or after the epochs."""

    def training_begins(self) -> None:
        """The first epoch is about to begin."""

    def epoch_done(self, figures: EpochFigures) -> None:
        """An epoch is over; of many seeds, every one's."""

    def trial_done(self, figures: TrialFigures) -> None:
        """Of many seeds one's training is over, and it has met the test set."""


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """What is wanted of a run. `folder` None saves nothing; `checkpoint` is where a stopped run goes on.
    `audit_windows` is the number of steps to draw for the audit. `ranks` share every batch; None trains alone.

    `import_s` is what importing torch took, if that came before the run; `load` gives the data set, which may be on its
    way already; None loads it when it is needed. `since_start` tells the age of the process in seconds.

    `on_loading` is told before torch is loaded, `on_answer` the accuracy on the test set where it is known before that,
    `on_trained` when the last epoch is over; `on_stopped` gets the record of a run that ends without a result. `oracle`
    begins to score (labels, predictions) and returns the function that gives the result; `on_evaluated` is told the
    record with its metrics, the network and the test images, before the verdict. `finish` writes what belongs to the
    result besides its record and weights, and returns the names of all its files: only then the run is done. `profile`
    has some steps profiled when all figures are taken, so that it changes none.
    """

    config: RunConfig
    folder: Path | None = None
    save_every: int = 1
    repeat_on_reference: bool = True
    audit_windows: int = AUDIT_WINDOWS
    profile: bool = False
    checkpoint: Checkpoint | None = None
    ranks: Ranks | None = None
    import_s: float | None = None
    load: Callable[[], Dataset] | None = None
    since_start: Callable[[], float | None] = lambda: None
    should_stop: Callable[[], bool] = lambda: False
    on_loading: Callable[[], None] = lambda: None
    on_answer: Callable[[float], None] = lambda _accuracy: None
    on_trained: Callable[[], None] = lambda: None
    on_stopped: Callable[[RunRecord], None] = lambda _record: None
    oracle: Oracle = score_here
    on_evaluated: Callable[[RunRecord, MLP, ImageSet], None] = lambda *_: None
    finish: Callable[[RunRecord], tuple[str, ...]] = lambda _record: ()


@contextmanager
def record_early_exit(end: Callable[[Status, str], None], *, interrupted: str = "stopped at once") -> Iterator[None]:
    """Within: an exception of any kind goes on its way when `end` has been told the status and the cause in a line.

    `interrupted` is that line if the user stopped it by Ctrl-C; a bug of our own is `failed`, and keeps its traceback.
    """
    try:
        yield
    except DivergedError as error:
        end("diverged", str(error))
        raise
    except StoppedError as error:
        end("interrupted", error.message)
        raise
    except AccelmnistError as error:
        end("failed", str(error))
        raise
    except (KeyboardInterrupt, BrokenPipeError) as error:
        end("interrupted", "its output was closed" if isinstance(error, OSError) else interrupted)
        raise
    except Exception as error:
        end("failed", f"{type(error).__name__}: {error}")
        raise


@dataclass(frozen=True)
class RunOutcome:
    """A run's record, and what the pictures are made of."""

    record: RunRecord
    model: MLP
    test: ImageSet


class Run:
    """What every run has: its `images`, and its `record` as it grows, of which a file holds the last complete state.

    `observe` makes the observer when the run opens, which is when it first shows and saves itself. A run that `waits`
    opens late: until then neither torch nor what shows it is loaded, and nothing is saved: `folder` is None, so that a
    mistake leaves none.
    """

    images: RunImages
    observer: Observer

    def __init__(
        self, request: RunRequest, setup: Setup, observe: Callable[[], Observer], *, waits: bool = False
    ) -> None:
        self.request, self.setup, self.config = request, setup, setup.config
        self.waits, self.is_open = waits, False
        self.folder: Path | None = None
        self.seen_peak_bytes: tuple[int, int] | None = None  # the least and the most of its peak by another reading
        self.seen_s: dict[str, tuple[float, float]] = {}  # by another clock, the least and the most of its timing
        self._observe = observe
        self.record = RunRecord(
            created=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            config=self.config,
            choices=setup.choices,
            parameters=self.config.model.parameters,
        )
        self.time(import_s=request.import_s)

    @property
    def is_first(self) -> bool:
        """Whether this process proves and saves the run: alone, or as the first of its ranks."""
        return self.request.ranks is None or self.request.ranks.is_first

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Within: whatever ends the run early, the record is saved with its status first."""
        own_file = self.setup.engine.engine.own_file
        with record_early_exit(self._end_early), memory_errors(self.setup.device, _REMEDY), engine_errors(own_file):
            yield

    def _end_early(self, status: Status, message: str) -> None:
        if status == "diverged" and not self.is_open:
            self.open()
        if self.record.environment is None:
            self.change(environment=describe_environment(self.setup.device))
        self.stop(status, message)

    def load(self) -> None:
        """Load the images, and meanwhile torch, unless the run waits."""
        from accelmnist.data.mnist import load_in_background

        config = self.config
        load = self.request.load or load_in_background(config.data, seed=config.training.seed)
        if not self.waits:
            self.load_torch()
        with self.timed("load_s"):
            self.images = load_images(config, load)
        self.change(data=self.images.summary)

    def load_torch(self) -> None:
        """Load torch, unless it is there, and give it the run's threads."""
        if "torch" not in sys.modules:
            self.request.on_loading()
            with self.timed("import_s"):
                load_torch()
        set_threads(self.config.execution.threads)

    def open(self) -> None:
        """Show the run and save its record, from now on after every change; raises OutputError."""
        self.load_torch()
        self.is_open = True
        self.change(environment=describe_environment(self.setup.device))
        self.folder = None if self.request.folder is None else make_folder(self.request.folder)
        self.observer = self._observe()
        self.observer.planned(self.record)
        self.save()

    def change(self, **fields: Any) -> None:
        """Change fields of the record."""
        self.record = replace(self.record, **fields)

    def time(self, **seconds: Any) -> None:
        """Change fields of its timing."""
        self.change(timing=replace(self.record.timing, **seconds))

    @contextmanager
    def timed(self, name: str, device: Device | None = None) -> Iterator[None]:
        """Within: what passes is the field `name` of its timing; a `device` is synchronized at both ends."""
        clock = Stopwatch(device)
        with clock:
            yield
        self.time(**{name: clock.seconds})
        self.seen_s[name] = clock.least_s, clock.most_s

    def keep_peak_memory(self) -> None:
        """The most memory that was used so far."""
        before = peak_memory_again(self.setup.device)
        self.change(peak_memory_bytes=peak_memory_bytes(self.setup.device))
        after = peak_memory_again(self.setup.device)
        self.seen_peak_bytes = None if before is None or after is None else (before, after)

    def keep_clocks(self) -> None:
        """The clocks as they are now, when the device has just worked."""
        self.change(environment=with_clocks(self.record.environment, self.setup.device))

    def keep_epochs(self, epochs: tuple[EpochFigures, ...]) -> None:
        """These are the epochs so far: their figures, and what the training took."""
        train_s = sum(figures.train_s for figures in epochs)
        images = sum(figures.train_s * figures.images_per_s for figures in epochs)
        self.change(epochs=epochs)
        self.time(train_s=train_s, images_per_s=images / train_s if train_s else None)

    def stop(self, status: Status, message: str) -> None:
        """It ends without a result: save what there is; if even that fails, what was saved last stays."""
        self.change(status=status, message=message)
        with suppress(OutputError):
            self.save()
        self.request.on_stopped(self.record)

    def save(self) -> None:
        """Replace the file; raises OutputError."""
        if self.folder is not None:
            save_record(self.record, self.folder)
