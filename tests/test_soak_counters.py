"""The counters of a soak, by stand-ins for the kernel's files and for NVML; what can't be read has its reason."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from accelmnist.device import Device, clocks, nvml
from accelmnist.measure.soak import counters
from accelmnist.measure.soak.counters import Counters
from accelmnist.measure.soak.plan import Target
from accelmnist.measure.soak.record import Counter

CORE = Target("cpu:1", "cpu", "a processor", 1, 1)
WHOLE = Target("cpu", "cpu", "a processor", 2)
CARD = Target("cuda:0", "cuda:0", "a card")


def named(read: tuple[Counter, ...]) -> dict[str, Counter]:
    return {counter.name: counter for counter in read}


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of a kernel with two processors, of which the second is sick."""
    files_in(tmp_path, monkeypatch)
    (tmp_path / "stat").write_text(
        "cpu  1 2 3 4 5 6 7 500 0 0\ncpu0 1 2 3 4 5 6 7 100 0 0\ncpu1 1 2 3 4 5 6 7 400 0 0\n"
    )
    (tmp_path / "interrupts").write_text(
        "            CPU0       CPU1\n MCE:          0          2   Machine check exceptions\n"
    )
    for core, khz in enumerate((3_000_000, 1_000_000)):
        folder = tmp_path / "cpu" / f"cpu{core}"
        (folder / "cpufreq").mkdir(parents=True)
        (folder / "thermal_throttle").mkdir()
        (folder / "cpufreq" / "scaling_cur_freq").write_text(f"{khz}\n")
        (folder / "thermal_throttle" / "core_throttle_count").write_text("7\n")
        (folder / "thermal_throttle" / "package_throttle_count").write_text("2\n")
    memory = tmp_path / "edac" / "mc0"
    memory.mkdir(parents=True)
    (memory / "ce_count").write_text("3\n")
    (memory / "ue_count").write_text("0\n")
    return tmp_path


def files_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the kernel's files in `folder`."""
    monkeypatch.setattr(clocks, "_CPUS", folder / "cpu")
    monkeypatch.setattr(clocks, "_STAT", folder / "stat")
    monkeypatch.setattr(counters, "_INTERRUPTS", folder / "interrupts")
    monkeypatch.setattr(counters, "_MEMORY", folder / "edac")
    monkeypatch.setattr(counters.os, "cpu_count", lambda: 2)


def test_a_core_has_its_own_counters_and_the_processor_all(kernel: Path) -> None:
    core, whole = named(Counters(CORE).read()), named(Counters(WHOLE).read())
    assert (core["clock"].last, whole["clock"].last) == (1e9, 2e9)
    assert (core["steal"].last, whole["steal"].last) == (4.0, 5.0)
    assert (core["machine checks"].last, whole["machine checks"].last) == (2.0, 2.0)
    assert (core["heat events"].last, whole["heat events"].last) == (9, 16)
    assert (core["memory errors, corrected"].last, core["memory errors, uncorrected"].last) == (3.0, 0.0)


def test_counters_grow_from_their_first_reading_on_also_over_a_stop(kernel: Path) -> None:
    before = Counters(CORE).read()
    after = Counters(CORE, before)
    for checks, khz in ((3, 500_000), (4, 1_500_000)):
        (kernel / "interrupts").write_text(f"   CPU0  CPU1\n MCE:  0  {checks}   Machine check exceptions\n")
        (kernel / "cpu" / "cpu1" / "cpufreq" / "scaling_cur_freq").write_text(str(khz))
        read = named(after.read())
    assert read["machine checks"].grew == 2.0
    clock = read["clock"]
    assert (clock.low, clock.high, clock.mean, clock.readings) == (0.5e9, 1.5e9, pytest.approx(1e9), 3)


def test_what_cant_be_read_has_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files_in(tmp_path / "none", monkeypatch)
    monkeypatch.setattr(counters.psutil, "sensors_temperatures", dict, raising=False)
    for counter in Counters(CORE).read():
        assert (counter.readings, counter.last) == (0, None)
        assert counter.reason


class StandIn:
    """NVML with one card that answers by name; two Xid events wait."""

    class NVMLError(Exception):
        pass

    def __init__(self, **answers: Any) -> None:
        self.answers, self.waiting = answers, 2

    def nvmlInit(self) -> None:  # noqa: N802
        pass

    def nvmlEventSetCreate(self) -> str:  # noqa: N802
        return "set"

    def nvmlEventSetWait_v2(self, events: str, timeout: int) -> SimpleNamespace:  # noqa: N802
        assert (events, timeout) == ("set", 0)
        if not self.waiting:
            raise self.NVMLError("Timeout")
        self.waiting -= 1
        return SimpleNamespace(eventData=79)

    def __getattr__(self, name: str) -> Any:
        if name not in self.answers:
            raise AttributeError(name)

        def answer(*_: Any) -> Any:
            if isinstance(self.answers[name], Exception):
                raise self.answers[name]
            return self.answers[name]

        return answer


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    stand_in = StandIn(
        nvmlDeviceGetHandleByUUID="card",
        nvmlDeviceGetClockInfo=1500,
        nvmlDeviceGetTemperature=71,
        nvmlDeviceGetPowerUsage=350_000,
        nvmlDeviceGetCurrentClocksEventReasons=0x20 | 0x04,
        nvmlDeviceGetTotalEccErrors=StandIn.NVMLError("Not Supported"),
        nvmlDeviceRegisterEvents=None,
    )
    monkeypatch.setitem(sys.modules, "pynvml", stand_in)
    monkeypatch.setattr(nvml, "nvml_uuid", lambda _device: "GPU-1")
    monkeypatch.setattr(counters, "resolve", lambda name: Device(name, "a card", ""))
    return stand_in


def test_a_card_is_read_by_nvml(card: StandIn) -> None:
    both = Counters(CARD)
    both.read()
    card.answers["nvmlDeviceGetCurrentClocksEventReasons"] = 0x04
    read = named(both.read())
    assert read["clock"].last == 1.5e9
    assert read["clock"].held_by == {"heat": 0.5, "power cap": 1.0}
    assert (read["temperature"].last, read["power"].last) == (71.0, 350.0)
    assert read["ECC errors, uncorrected"].reason == "NVML says: Not Supported"
    assert (read["Xid errors"].last, read["Xid errors"].grew) == (2.0, 2.0)
    card.waiting = 1
    assert named(Counters(CARD, tuple(read.values())).read())["Xid errors"].grew == 3.0


def test_a_card_that_registers_no_events_says_so(card: StandIn) -> None:
    card.answers["nvmlDeviceRegisterEvents"] = StandIn.NVMLError("Insufficient Permissions")
    assert named(Counters(CARD).read())["Xid errors"].reason == "NVML says: Insufficient Permissions"
