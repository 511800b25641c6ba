"""Data that is read in the background: the same set, the same errors, and nothing is read twice."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest

from accelmnist.core.config import DataConfig
from accelmnist.core.errors import DataError
from accelmnist.data import mnist
from accelmnist.data.mnist import load_in_background


def test_it_is_the_set_that_would_be_loaded(mnist):
    found = load_in_background(DataConfig(), seed=0)()
    assert (found.name, found.source) == (mnist.name, mnist.source)
    assert np.array_equal(found.train.images, mnist.train.images)
    assert np.array_equal(found.test.labels, mnist.test.labels)


def test_an_error_waits_for_whoever_asks(tmp_path):
    load = load_in_background(DataConfig(folder=str(tmp_path / "nowhere")), seed=0)
    with pytest.raises(DataError, match="no such folder"):
        load()


@pytest.mark.parametrize(("dataset", "ahead_of_time"), [("mnist", True), ("synthetic", False), ("kmnist", False)])
def test_only_what_is_on_the_disk_is_read_in_the_background(dataset, ahead_of_time, monkeypatch):
    threads = []

    def load_dataset(name, **_settings):
        threads.append(threading.current_thread())
        return name

    monkeypatch.setattr(mnist, "load_dataset", load_dataset)
    load = load_in_background(DataConfig(dataset=dataset), seed=0)
    assert load() == dataset
    assert len(threads) == 1
    assert (threads[0] is not threading.main_thread()) == ahead_of_time


def test_it_loads_no_torch():
    program = "import sys, accelmnist.data.mnist; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
