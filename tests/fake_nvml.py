"""A stand-in for NVML's bindings, and what puts it in place of the real ones."""

from __future__ import annotations

from itertools import cycle
from typing import Any

import pytest

from accelmnist.device import nvml


class FakeNvml:
    """NVML by script: `answers` maps a function's name to its answers, call by call; an exception is raised.

    `always` are answers that don't change.
    """

    class NVMLError(Exception):
        pass

    def __init__(self, *, always: dict[str, Any] | None = None, **answers: Any) -> None:
        self.asked: list[Any] = []
        self._answers = {name: iter(values) for name, values in answers.items()}
        self._answers |= {name: cycle([value]) for name, value in (always or {}).items()}

    def nvmlDeviceGetHandleByUUID(self, uuid: Any) -> Any:  # noqa: N802 - NVML's name
        self.asked.append(uuid)
        return f"handle of {uuid}"

    def __getattr__(self, name: str) -> Any:
        if name not in self._answers:
            raise AttributeError(name)

        def answer(*arguments: Any) -> Any:
            value = next(self._answers[name])
            value = value(*arguments) if callable(value) else value
            if isinstance(value, Exception):
                raise value
            return value

        return answer


def replace_nvml(monkeypatch: pytest.MonkeyPatch, fake: Any) -> Any:
    """Put `fake` in place of NVML, or None for an installation without it."""
    monkeypatch.setattr(nvml, "load_nvml", lambda: (fake, "" if fake else "nvidia-ml-py is not installed"))
    monkeypatch.setattr(nvml, "nvml_uuid", lambda device: f"GPU-{device.torch_device.index}")
    return fake
