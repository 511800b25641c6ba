"""The second process: it answers as this one would, passes errors on, and its absence or death changes nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from accelmnist.cli.helper_process import HelperProcess
from accelmnist.core.errors import DataError
from accelmnist.training.reference.scores import oracle_scores

ORACLE = "accelmnist.training.reference.scores:oracle_scores"


@pytest.fixture
def labels() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 10, 500), rng.integers(0, 10, 500)


def test_it_answers_as_this_process_would(
    labels: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    with HelperProcess(("sklearn.metrics",)) as helper:
        helper.wait_until_ready()
        found, again = helper.start(ORACLE, *labels), helper.start("os:getpid")
        expected = oracle_scores(*labels)
        assert (found().confusion == expected.confusion).all()
        assert again() != os.getpid()


def test_it_can_begin_with_its_first_call(
    labels: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    with HelperProcess(("sklearn.metrics",), at_once=False) as helper:
        helper.wait_until_ready()
        assert helper._process is None
        found, again = helper.start(ORACLE, *labels), helper.start("os:getpid")
        assert (found().confusion == oracle_scores(*labels).confusion).all()
        assert again() == helper._process.pid != os.getpid()


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1)])
def test_answers_come_right_in_whichever_order_they_are_asked_for(
    order: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    with HelperProcess(()) as helper:
        asked = [helper.start("operator:mul", number, 10) for number in range(3)]
        assert [asked[index]() for index in order] == [10 * index for index in order]
        assert [result() for result in asked] == [0, 10, 20]  # and once more


def test_an_error_is_raised_for_its_own_request_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    with HelperProcess(()) as helper:
        fails, works = helper.start("operator:truediv", 1, 0), helper.start("operator:truediv", 1, 2)
        assert works() == 0.5
        with pytest.raises(ZeroDivisionError):
            fails()


def test_an_error_over_there_is_raised_here_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    with HelperProcess(()) as helper:
        helper.wait_until_ready()
        pending = helper.start("accelmnist.data.idx:read_idx", tmp_path / "nothing")
        with pytest.raises(DataError) as caught:
            pending()
    assert caught.value.remedy
    assert "nothing" in caught.value.message


def test_without_a_second_core_the_work_is_done_here(
    labels: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    with HelperProcess(()) as helper:
        helper.wait_until_ready()
        assert helper.start("os:getpid")() == os.getpid()


@pytest.mark.parametrize("when", ["before the request", "after the request"])
def test_when_it_dies_the_work_is_done_here(when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    with HelperProcess(()) as helper:
        helper.wait_until_ready()
        process = helper._process
        assert process is not None
        pending = None
        if when == "after the request":
            os.kill(process.pid, signal.SIGSTOP)
            pending = helper.start("os:getpid")
        process.kill()
        process.wait()
        pending = pending or helper.start("os:getpid")
        assert pending() == os.getpid()


def test_it_does_not_outlive_a_killed_run() -> None:
    program = (
        "from accelmnist.cli.helper_process import HelperProcess; c = HelperProcess(()); c.wait_until_ready(); "
        "print(c._process.pid, flush=True); import time; time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        line = run.stdout.readline()
        run.kill()
    deadline = time.monotonic() + 20
    while psutil.pid_exists(int(line)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not psutil.pid_exists(int(line)) or psutil.Process(int(line)).status() == psutil.STATUS_ZOMBIE


@pytest.mark.slow
def test_it_loads_no_torch() -> None:
    program = (
        "import sys; from accelmnist.cli.run import _AT_THE_END; import importlib; "
        "[importlib.import_module(name) for name in _AT_THE_END]; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
