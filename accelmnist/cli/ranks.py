"""A command line under several ranks: `--ranks N` has torch's launcher start them; each joins the others first.

Rank 0 alone prints and writes. Of a failure one line is told, by the rank that it happened to, or that found another
one lost, and every rank ends with the exit code of it. A command line that is wrong fails on all ranks before they have
met: they meet for that, so that one of them tells it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from accelmnist.cli.shell import StopOnInterrupt
from accelmnist.core.config import AUTO, ExecutionConfig, RunConfig
from accelmnist.core.errors import AccelmnistError, ConfigError, DeviceError, RankError, StoppedError
from accelmnist.core.files import RECORDS, remove_file, write_atomically
from accelmnist.core.text import printable
from accelmnist.device.loading import load_torch, prepare_for_torch, usable_cores
from accelmnist.device.ranks import Place, Ranks, join, place_here

if TYPE_CHECKING:
    from accelmnist.device import Device

_STOPPED = 130
_END_S = "25"  # in which ranks that the launcher ends have to end; it kills them then
_met = Event()
_FIRST_SPEAKS_S = 1.0  # a fault that all ranks find is rank 0's to tell


def with_ranks(
    work: Callable[[Ranks | None], int],
    *,
    asked: int | None,
    device: str = AUTO,
    require: Callable[[Place], None] = lambda _place: None,
) -> int:
    """The exit code of `work`, which gets its ranks: where torchrun started them, or as many as are `asked` for.

    None is given to it where it is alone. `device` is the one asked for. `require` raises an error for what so many
    ranks can't do, before any are started or work.
    """
    place = place_here()
    if place is None:
        return work(None) if (asked or 1) == 1 else _launch(asked or 1, device, require)
    if asked not in (None, place.size):
        raise ConfigError(f"--ranks {asked}: {place.size} are started already", remedy="Leave it out")
    require(place)
    if place.size == 1:
        return work(Ranks(place))
    _prepare()
    own = device_of_rank(place, device)
    _met.set()
    return _together(join(place, device=own.torch_device), work)


def _prepare() -> None:
    """Load torch, which says nothing of lost connections: what they mean is told here."""
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    prepare_for_torch()
    load_torch()


def is_told_here(line: str, *, is_over: bool) -> bool:
    """Whether this process is the one to tell of its failure: of ranks that haven't met yet, one of those that fail.

    They don't meet for that if the user stopped them: all `is_over`.
    """
    try:
        place = place_here()
        if is_over or place is None or place.size == 1 or _met.is_set():
            return place is None or place.rank == 0 or not is_over
        _met.set()
        _prepare()
        ranks = join(place)
    except AccelmnistError:
        return True
    is_mine = _is_first_to_fail(ranks, line)
    if is_mine and not ranks.is_first:
        click.echo(f"[{ranks.name}] error: {printable(line)}", err=True)
    ranks.leave()
    return is_mine and ranks.is_first


def keep_silent() -> bool:
    """Whether this is another rank than the first: from now on it prints nothing, and warns as who it is."""
    with contextlib.suppress(ConfigError):
        place = place_here()
        if place is not None and place.rank > 0:
            name = Ranks(place).name
            sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - to the end
            warnings.formatwarning = lambda message, *_, **__: f"[{name}] warning: {printable(str(message))}\n"
            return True
    return False


def _together(ranks: Ranks, work: Callable[[Ranks | None], int]) -> int:
    """The exit code of all `ranks`, of which this process is one."""
    try:
        with _ended_when_told(ranks):
            from accelmnist.training.agreement import require_same_program

            require_same_program(ranks, sys.argv[1:2])
            code = ranks.end(work(ranks))
        if ranks.is_first and (pointer := _pointer()) is not None:
            remove_file(pointer)
        return code
    except RankError as error:
        return _told(ranks, error, error.told_here)
    except (StoppedError, KeyboardInterrupt):
        if not ranks.is_first:
            return ranks.end(_STOPPED)
        ranks.end(_STOPPED)
        raise
    except AccelmnistError as error:
        return _told(ranks, error, _is_first_to_fail(ranks, str(error)))
    except BaseException as error:
        ranks.fail(f"{ranks.name} failed: {type(error).__name__}")
        raise
    finally:
        ranks.leave()


def _is_first_to_fail(ranks: Ranks, line: str) -> bool:
    until = time.monotonic() + _FIRST_SPEAKS_S
    while not ranks.is_first and not ranks.lost and time.monotonic() < until:
        time.sleep(0.02)
    return ranks.fail(line)


def _told(ranks: Ranks, error: AccelmnistError, is_mine: bool) -> int:
    """The exit code after `error`, which is told if it is this rank's to tell."""
    if is_mine and ranks.is_first:
        raise error
    if is_mine:
        click.echo(f"[{ranks.name}] error: {error}", err=True)
    return error.exit_code


@contextmanager
def _ended_when_told(ranks: Ranks) -> Iterator[None]:
    """Within: who has lost a rank ends by RankError, whatever it does, and so by SIGTERM, which launchers send."""

    def end(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise RankError(ranks.find(f"{ranks.name} was ended by SIGTERM"), told_here=ranks.told_here)

    signal.signal(signal.SIGTERM, end)
    ranks.on_lost = partial(os.kill, os.getpid(), signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _launch(count: int, device: str, require: Callable[[Place], None]) -> int:
    """Run this command line by `count` ranks of this machine, by torch's own launcher; returns their exit code."""
    place = Place(0, count, 0, count)
    require(place)
    _prepare()
    import torch.distributed as dist

    if not dist.is_available():
        raise DeviceError("this torch was built without torch.distributed", remedy="Install another build")
    device_of_rank(place, device)
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    logging.disable(logging.CRITICAL)  # what failed is told by the ranks
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", _END_S)
    arguments = ["--standalone", "--nproc-per-node", str(count), "-m", "accelmnist", *sys.argv[1:]]
    try:
        run.run(run.parse_args(arguments))  # type: ignore[no-untyped-call]
    except ChildFailedError as error:
        told = [failure.exitcode for failure in error.failures.values() if failure.exitcode > 0]
        if not told:  # it was gone before the ranks had met
            rank, failure = error.get_first_failure()
            raise RankError(f"rank {rank} of {count} was ended by signal {-failure.exitcode}") from error
        return max(told)
    except SignalException as error:
        return _STOPPED if error.sigval == signal.SIGINT else RankError.exit_code
    return 0


def device_of_rank(place: Place, name: str) -> Device:
    """The device of this rank for the one asked for; raises ConfigError or DeviceError where it has none."""
    from accelmnist.device import available, resolve

    device = resolve(name)
    if place.size == 1 or device.kind == "cpu":
        return device
    if device.kind == "mps":
        raise DeviceError(
            f"--device {name}: there is one MPS device, and {place.size} ranks", remedy="Add --device cpu"
        )
    if ":" in name:
        raise ConfigError(f"--device {name}: each rank has a GPU of its own", remedy="Give --device cuda")
    count = sum(one.startswith("cuda") for one in available())
    if place.local_size > count:
        raise DeviceError(
            f"{place.local_size} ranks here, and {count} GPU{'s' if count > 1 else ''}",
            remedy=f"Start {count}, or add --device cpu",
        )
    return resolve(f"cuda:{place.local_rank}")


def config_of_rank(config: RunConfig, ranks: Ranks, *, is_shared: bool = True) -> tuple[RunConfig, str | None]:
    """The configuration of this rank, with its device and its threads, and the reason for their number.

    All ranks share every batch, unless each does trainings of its own.
    """
    execution, why = execution_of_rank(config.execution, ranks)
    return replace(config, execution=replace(execution, ranks=ranks.size if is_shared else 1)), why


def execution_of_rank(execution: ExecutionConfig, ranks: Ranks) -> tuple[ExecutionConfig, str | None]:
    """Device and threads of this rank, which trains alone, and the reason for the number of threads."""
    place, threads, why = ranks.place, execution.threads, None
    device = device_of_rank(place, execution.device)
    if threads is None and (place.size > 1 or execution.reduction == "exact"):
        cores = usable_cores()
        threads = max(1, cores // ranks.sharers)
        why = f"its share of the {cores} cores here"
        if execution.reduction == "exact":
            threads, why = 1, "one, so that any number of ranks gives the same bits"
        if os.environ.get("TORCHELASTIC_RUN_ID") and os.environ.get("OMP_NUM_THREADS") == "1":
            why += "; OMP_NUM_THREADS=1 is torchrun's, --threads overrules"
    name = str(device) if device.kind == "cuda" else execution.device  # its reason is then as for one process
    return replace(execution, device=name, threads=threads, ranks=1), why


def require_same(ranks: Ranks, config: Any, **options: Any) -> None:
    """Raise ConfigError if a rank was started with other options than rank 0."""
    from accelmnist.training.agreement import Agreement

    if ranks.size > 1:
        Agreement(ranks).require_alike(config, {}, **options)


def do_trainings(ranks: Ranks) -> int:
    """Do, as a rank that is not the first, the trainings that rank 0 deals out; returns the exit code for success."""
    from accelmnist.device import resolve, set_threads
    from accelmnist.sweep.trials import serve_trainings

    def device_of(config: RunConfig) -> Device:
        """This rank's own of the kind that rank 0 trains on, with as many threads."""
        kind = config.execution.device.partition(":")[0]
        execution, _ = execution_of_rank(replace(config.execution, device=kind), ranks)
        set_threads(execution.threads)
        return resolve(execution.device)

    with StopOnInterrupt(until="", speaks=False):  # rank 0 says when
        serve_trainings(ranks, device_of)
    return 0


def going_on(config: RunConfig, ranks: Ranks | None) -> tuple[RunConfig, str | None]:
    """The configuration of a stopped run for the ranks that go on with it: as many as before, or others."""
    now, execution = ranks or Ranks(Place(0, 1, 0, 1)), config.execution
    if now.size == execution.ranks == 1:
        return config, None
    execution = replace(execution, device=execution.device.partition(":")[0], threads=None)
    return config_of_rank(replace(config, execution=execution), now)


def folder_before(ranks: Ranks, kind: str = "run") -> Path | None:
    """Where the run, or what `kind` says, was saved that the launcher has started again, if it was."""
    pointer = _pointer()
    if ranks.place.restarts == 0 or pointer is None or not pointer.exists():
        return None
    folder = Path(pointer.read_text(encoding="utf-8"))
    return folder if (folder / RECORDS[kind]).exists() else None


def remember(folder: Path | None) -> None:
    """Write down where the run is saved, for ranks that the launcher may start again."""
    pointer = _pointer()
    if pointer is not None and folder is not None:
        write_atomically(pointer, str(folder.absolute()).encode())


def _pointer() -> Path | None:
    """A file that belongs to the launcher, which outlives its ranks; None where torchrun's own hasn't started them."""
    run = os.environ.get("TORCHELASTIC_RUN_ID")
    return Path(tempfile.gettempdir()) / f"accelmnist-{run}-{os.getppid()}" if run else None
