"""The spinning of OpenMP's threads is limited before torch loads, and a user's own setting stands."""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest

from accelmnist.device.loading import prepare_for_torch


@pytest.fixture
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """As at the start of the program: torch not loaded, nothing set."""
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.delitem(sys.modules, "torch", raising=False)


def test_it_is_set_where_nobody_has(without_torch: Any) -> None:
    prepare_for_torch()
    assert os.environ["GOMP_SPINCOUNT"] == "2000"


@pytest.mark.parametrize(("name", "value"), [("GOMP_SPINCOUNT", "5"), ("OMP_WAIT_POLICY", "ACTIVE")])
def test_a_setting_of_the_users_stands(
    name: str, value: str, without_torch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    prepare_for_torch()
    assert os.environ[name] == value
    assert (name == "GOMP_SPINCOUNT") == ("GOMP_SPINCOUNT" in os.environ)


def test_it_comes_too_late_once_torch_is_loaded(without_torch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", object())
    prepare_for_torch()
    assert "GOMP_SPINCOUNT" not in os.environ
