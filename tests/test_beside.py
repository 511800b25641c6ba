"""Other sides that misbehave: one clear line names each and its cause, the rest goes on, and no process stays.

`fake_worker.py` is the side; the seconds of its answers are few, and nothing here is measured.
"""

from __future__ import annotations

import re
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from accelmnist.core.errors import DeviceError
from accelmnist.data.types import Dataset, DeviceSet, upload
from accelmnist.device import resolve
from accelmnist.measure.beside import other_process
from accelmnist.measure.beside.other_process import Guard, OtherProcess
from accelmnist.measure.beside.protocol import Answer
from accelmnist.measure.beside.sides import OpenCase, Sides, UnsupportedError
from accelmnist.measure.beside.timed_remote import RemoteTraining
from accelmnist.measure.plan import BenchConfig, Case, Side, run_config

FAKE = Path(__file__).with_name("fake_worker.py")
CONFIG = BenchConfig(hidden=((8,),), threads=(1,))
CASE = Case(
    mode="training",
    device="cpu",
    engine="mine",
    precision="fp32",
    batch_size=64,
    hidden=(8,),
    optimizer="sgd",
    side="mine",
)


def side(mode: str, name: str = "mine") -> Side:
    return Side(name=name, command=shlex.join([sys.executable, str(FAKE), mode]))


@pytest.fixture(scope="module")
def guard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guard]:
    with Guard(tmp_path_factory.mktemp("guarded")) as one:
        yield one


@pytest.fixture(autouse=True)
def no_process_is_left(guard: Guard) -> Iterator[None]:
    """Every process that a test started ends with it, and what that one started."""
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    yield
    left = [process for process in psutil.Process().children(recursive=True) if process.pid not in before]
    assert [process.cmdline() for process in left] == []
    assert not [process for process in psutil.process_iter() if str(FAKE) in _command(process)]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(other_process, "LEAST_WAIT_S", 1.0)
    monkeypatch.setattr(other_process, "TO_END_S", 0.5)
    monkeypatch.setattr(other_process, "MOST_BYTES", 1 << 21)


def greeted(mode: str, guard: Guard) -> OtherProcess:
    """A side that said its hello, and answered once."""
    process = OtherProcess(side(mode), threads=1, watch=guard, left_s=lambda: 0.0)
    process.greet()
    time.sleep(0.05)
    process.ask(Answer, "ping")
    return process


HELLOS = {
    "banner": "it said 'Welcome to a library 1.0' before its hello. Let it print to standard error alone",
    "no-fields": "it said '{}' before its hello",
    "list": "it said '[1, 2]' before its hello",
    "other-hello": "before its hello",
    "other-version": "it speaks version 7 of the protocol, and this accelmnist version 1. Use versions that agree",
    "no-threads": "Expected `int` >= 1 - at `$.threads`",
    "hello-twice": "unasked",
    "hangs": "its hello did not come within 1 s",
    "half-hangs": "its hello did not come within 1 s",
    "hangs-hard": "its hello did not come within 1 s",
    "is-stopped": "its hello did not come within 1 s",
    "exits": "it ended with exit code 3: ValueError: out of luck",
    "ends": "it ended with exit code 0",
    "is-killed": "it ended with signal SIGKILL",
    "closes": "it closed its output",
    "never-ends": "its hello is longer than",
}


@pytest.mark.parametrize("mode", HELLOS)
def test_a_side_whose_hello_is_wrong_says_so_in_a_line(mode: str, guard: Guard) -> None:
    with pytest.raises(DeviceError, match=re.escape(HELLOS[mode])) as failure:
        greeted(mode, guard)
    assert "\n" not in str(failure.value)


ANSWERS = {
    "rubbish@run": "'what?' is no answer to run",
    "empty@run": "'' is no answer to run",
    "list@run": "'[1, 2]' is no answer to run",
    "deep@run": "is no answer to run",
    "not-utf-8@run": "is no answer to run",
    "half@run": "is no answer to run",
    "text-seconds@run": "Expected `float`, got `str`",
    "null-losses@losses": "is no answer to losses",
    "error@run": "run failed: no such thing",
    "error@prepare": "prepare failed: no such thing",
    "unsupported@prepare": "this is not for me",
    "twice@run": "it said '{}' unasked",
    "talks@run": "it said 'one more step done' unasked",
    "exits@run": "it ended with exit code 3: ValueError: out of luck",
    "exits@prepare": "it ended with exit code 3: ValueError: out of luck",
    "is-killed@losses": "it ended with signal SIGKILL",
    "ends@save": "it ended with exit code 0",
    "closes@run": "it closed its output",
    "hangs@prepare": "the answer to prepare did not come within 1 s",
    "hangs@run": "the answer to run did not come within 1 s",
    "hangs-hard@run": "the answer to run did not come within 1 s",
    "half-hangs@run": "the answer to run did not come within 1 s",
    "is-stopped@losses": "the answer to losses did not come within 1 s",
    "never-ends@losses": "the answer to losses is longer than",
    "zero-seconds": "steps took it 0.0 s",
    "negative-seconds": "steps took it -0.0001 s",
    "nan-seconds@run": "steps took it nan s",
    "huge-seconds@run": "steps took it inf s",
    "no-seconds@run": "steps took it 0.0 s",
    "given-few-losses": "it gave 4 losses of 5 steps",
    "given-other-shape": "layers.0.weight has shape (784, 8), and not (8, 784)",
    "given-no-weight": "layers.0.bias has shape none, and not (8,)",
    "given-more": "layers.7.weight has shape (8, 784), and not any: it is no weight",
    "given-other-state": "exp_avg/layers.0.weight has shape (784, 8), and not (8, 784)",
    "given-text": "save left no file of arrays: it has something else than numbers",
    "given-complex": "save left no file of arrays: it has something else than numbers",
    "no-file": "save left no file of arrays: there is none",
    "folder": "save left no file of arrays: there is none",
    "pipe": "save left no file of arrays: there is none",
    "no-array": "save left no file of arrays",
    "cut": "save left no file of arrays",
    "pickled": "save left no file of arrays: Object arrays cannot be loaded",
    "one-array": "layers.0.weight has shape none",
    "short-answer": "classify gave an array of shape (511,), and not (512, 10)",
    "cubic-answer": "classify gave an array of shape (512, 2, 5), and not (512, 10)",
}


@pytest.mark.parametrize("mode", ANSWERS)
def test_a_side_whose_answer_is_wrong_says_so_in_a_line(mode: str, synthetic: Dataset) -> None:
    device, config = resolve("cpu"), run_config(CASE, CONFIG)
    with Sides((side(mode),), threads=1, left_s=lambda: 0.0) as sides:
        sides.start("mine")
        with pytest.raises(DeviceError, match=re.escape(ANSWERS[mode])) as failure:
            trained(
                RemoteTraining(
                    CASE, device, config, upload(synthetic.train, device), OpenCase(sides, CASE, config, synthetic)
                ),
                upload(synthetic.test, device),
            )
        folder = sides.folder
    assert "\n" not in str(failure.value)
    assert isinstance(failure.value, UnsupportedError) == (mode == "unsupported@prepare")
    assert not folder.exists()


def trained(timed: RemoteTraining, test: DeviceSet) -> None:
    """Everything that is asked of a training."""
    timed.run(5)
    assert len(timed.losses)
    timed.look()
    timed.evaluated(test)
    timed.restore()
    timed.run(5)
