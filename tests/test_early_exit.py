"""How what takes long ends early: in which status, in which words, and that the exception goes on its way."""

from __future__ import annotations

from typing import Any

import pytest

from accelmnist.core.errors import DeviceError, DivergedError, StoppedError
from accelmnist.training.run import record_early_exit


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (DivergedError("the loss is nan", step=3, remedy="Lower --lr"), "diverged", "the loss is nan. Lower --lr"),
        (StoppedError("stopped after 2 of 4", remedy="Go on"), "interrupted", "stopped after 2 of 4"),
        (DeviceError("no such device", remedy="See doctor"), "failed", "no such device. See doctor"),
        (KeyboardInterrupt(), "interrupted", "stopped at once"),
        (BrokenPipeError(), "interrupted", "its output was closed"),
        (ZeroDivisionError("division by zero"), "failed", "ZeroDivisionError: division by zero"),
    ],
)
def test_every_early_end_is_told_and_goes_on(error: Any, status: str, message: str) -> None:
    told = []
    with pytest.raises(type(error)) as raised, record_early_exit(lambda *ended: told.append(ended)):
        raise error
    assert raised.value is error
    assert told == [(status, message)]


def test_an_end_in_good_time_is_not_told() -> None:
    told = []
    with record_early_exit(lambda *ended: told.append(ended)):
        pass
    assert told == []


def test_ctrl_c_has_the_words_that_were_given() -> None:
    told = []
    with pytest.raises(KeyboardInterrupt), record_early_exit(lambda *ended: told.append(ended), interrupted="by hand"):
        raise KeyboardInterrupt
    assert told == [("interrupted", "by hand")]
