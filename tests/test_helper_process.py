"""The second process: it answers as this one would, passes errors on, and its absence or death changes nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from accelmnist.cli.helper_process import HelperProcess
from accelmnist.core.errors import DataError
from accelmnist.training.reference.scores import oracle_scores

ORACLE = "accelmnist.training.reference.scores:oracle_scores"


@pytest.fixture
def labels() -> tuple[np.ndarray, np.ndarray]:
    chance = np.random.default_rng(0)
    return chance.integers(0, 10, 500), chance.integers(0, 10, 500)


def test_it_answers_as_this_process_would(labels, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    with HelperProcess(("sklearn.metrics",)) as helper:
        helper.wait_until_ready()
        found, again = helper.start(ORACLE, *labels), helper.start("os:getpid")
        expected = oracle_scores(*labels)
        assert (found().confusion == expected.confusion).all()
        assert again() != os.getpid()


def test_it_can_begin_with_its_first_call(labels, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    with HelperProcess(("sklearn.metrics",), at_once=False) as helper:
        helper.wait_until_ready()
        assert helper._process is None
        found, again = helper.start(ORACLE, *labels), helper.start("os:getpid")
        assert (found().confusion == oracle_scores(*labels).confusion).all()
        assert again() == helper._process.pid != os.getpid()


def test_an_error_over_there_is_raised_here_whole(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    with HelperProcess(()) as helper:
        helper.wait_until_ready()
        pending = helper.start("accelmnist.data.idx:read_idx", tmp_path / "nothing")
        with pytest.raises(DataError) as caught:
            pending()
    assert caught.value.remedy
    assert "nothing" in caught.value.message


def test_without_a_second_core_the_work_is_done_here(labels, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    with HelperProcess(()) as helper:
        helper.wait_until_ready()
        assert helper.start("os:getpid")() == os.getpid()


@pytest.mark.parametrize("when", ["before the request", "after the request"])
def test_when_it_dies_the_work_is_done_here(when, monkeypatch):
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


def test_it_does_not_outlive_a_killed_run():
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


def test_it_loads_no_torch():
    program = (
        "import sys; from accelmnist.cli.run import _AT_THE_END; import importlib; "
        "[importlib.import_module(name) for name in _AT_THE_END]; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
