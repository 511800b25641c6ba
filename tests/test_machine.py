"""The machine observer: other load, throttling and energy, by stand-ins for the kernel's files and for NVML."""

from __future__ import annotations

import subprocess
import sys
from collections import namedtuple
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch

from accelmnist import device as devices
from accelmnist.device import Device, nvml, nvml_uuid, resolve
from accelmnist.measure import machine
from accelmnist.measure.machine import EnergyMeter, MachineWatch
from tests.fake_nvml import FakeNvml, replace_nvml

CPU = resolve("cpu")
CUDA = Device("cuda:0", "a card", "asked for")
SECOND = Device("cuda:1", "a card", "asked for")
MPS = Device("mps", "a chip", "asked for")

Times = namedtuple("Times", "user nice system idle iowait irq softirq steal guest guest_nice", defaults=(0.0,) * 10)


# --- other load


def watched(monkeypatch: pytest.MonkeyPatch, before: Any, after: Any, *, own: Any = (0.0, 0.0)) -> float | None:
    """`other_cpu` where the kernel gives these two readings and this process used `own` seconds until each."""
    readings, owns = iter([before, after]), iter(own)
    monkeypatch.setattr(psutil, "cpu_times", lambda: next(readings))
    monkeypatch.setattr(machine, "_own_cpu_s", lambda: next(owns))
    watch = MachineWatch()
    watch.begin()
    return watch.end().other_cpu


def test_others_are_what_is_busy_without_us(monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = Times(user=100.0, system=10.0, idle=1000.0), Times(user=105.0, system=11.0, idle=1004.0)
    assert watched(monkeypatch, before, after, own=(50.0, 54.0)) == pytest.approx((5 + 1 - 4) / 10)


def test_every_kind_of_busy_time_counts_and_waiting_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    after = Times(user=1.0, nice=2.0, system=3.0, idle=60.0, iowait=20.0, irq=4.0, softirq=4.0, steal=6.0)
    assert watched(monkeypatch, Times(), after) == pytest.approx(20 / 100)


def test_a_guest_is_not_counted_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel has a virtual machine's time in `guest` and once more in `user`."""
    assert watched(monkeypatch, Times(), Times(user=4.0, nice=1.0, idle=5.0, guest=4.0, guest_nice=1.0)) == 0.5


def test_it_is_never_negative_nor_above_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ticks are 10 ms and our own time is exact, so the difference may come out below nothing."""
    assert watched(monkeypatch, Times(), Times(user=4.9, idle=5.1), own=(0.0, 5.0)) == 0
    assert watched(monkeypatch, Times(), Times(user=5.0), own=(1.0, 0.0)) == 1


def test_a_stretch_of_few_ticks_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert watched(monkeypatch, Times(), Times(user=0.2, idle=0.2)) is None
    assert watched(monkeypatch, Times(), Times(user=0.3, idle=0.3)) == 0.5


@pytest.mark.parametrize("error", [PermissionError(), FileNotFoundError(), psutil.AccessDenied(), ValueError()])
def test_what_cannot_be_read_is_unknown(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise error

    monkeypatch.setattr(psutil, "cpu_times", refuse)
    watch = MachineWatch()
    watch.begin()
    assert watch.end().other_cpu is None


def test_an_end_without_a_beginning_is_unknown() -> None:
    assert MachineWatch().end().other_cpu is None


def test_this_machine_gives_a_share_or_nothing() -> None:
    watch = MachineWatch(tuple(resolve(name) for name in devices.available()))
    watch.begin()
    share = watch.end().other_cpu
    assert share is None or 0 <= share <= 1


BURN = """
import subprocess, sys, time
if len(sys.argv) > 1:
    sys.exit(subprocess.run([sys.executable, "-c", sys.argv[1]], check=True).returncode)
while time.process_time() < 0.3:
    pass
print("burnt", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="only Linux lists a process's children")
@pytest.mark.parametrize("through", [[], [BURN]], ids=["child", "grandchild"])
def test_children_are_ours_while_they_live_and_after(through: list[Any]) -> None:
    """A child that has used 0.3 s of its own clock is in our time, and stays in it when it has ended."""
    before = machine._own_cpu_s()
    program = [sys.executable, "-c", BURN, *through]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "burnt\n"
        living = machine._own_cpu_s()
        child.communicate()
    assert living - before > 0.25  # ticks of 10 ms, of two processes
    assert machine._own_cpu_s() >= living - 0.05


def test_a_child_that_is_gone_by_the_time_it_is_asked_counts_nothing() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert machine._process_cpu_s(child.pid) == 0
    assert machine._descendants(child.pid) == []


# --- NVML


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put a fake NVML in place of the real one."""
    return partial(replace_nvml, monkeypatch)


def held(nanoseconds: Any) -> Any:
    return SimpleNamespace(violationTime=nanoseconds)


def throttled(*used: Device) -> bool | None:
    watch = MachineWatch(used)
    watch.begin()
    return watch.end().throttled


REASONS = "nvmlDeviceGetCurrentClocksEventReasons"
OLD_REASONS = "nvmlDeviceGetCurrentClocksThrottleReasons"
HELD = "nvmlDeviceGetViolationStatus"


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        (0x000, False),
        (0x001, False),  # idle
        (0x002, False),  # clocks that somebody has chosen
        (0x004, False),  # software power cap
        (0x008, True),  # hardware slowdown
        (0x010, False),  # sync boost
        (0x020, True),  # software thermal slowdown
        (0x040, True),  # hardware thermal slowdown
        (0x080, True),  # power brake
        (0x100, False),  # display clocks
        (0x045, True),
    ],
)
def test_heat_and_the_power_brake_are_throttling_and_nothing_else(bits: int, expected: bool, install: Any) -> None:
    install(FakeNvml(**{REASONS: [0, bits]}))
    assert throttled(CUDA) is expected


def test_the_bits_are_nvmls_own() -> None:
    pynvml = pytest.importorskip("pynvml")
    names = ("HwSlowdown", "HwThermalSlowdown", "HwPowerBrakeSlowdown", "SwThermalSlowdown")
    bits = [getattr(pynvml, f"nvmlClocksThrottleReason{name}") for name in names]
    assert sum(bits) == nvml.HELD_DOWN
    assert pynvml.NVML_PERF_POLICY_THERMAL == machine._THERMAL_POLICY
    functions = (REASONS, OLD_REASONS, HELD, "nvmlDeviceGetTotalEnergyConsumption", "nvmlDeviceGetHandleByUUID")
    assert all(hasattr(pynvml, name) for name in functions)


def test_a_card_that_was_held_down_at_the_start_was_throttled(install: Any) -> None:
    install(FakeNvml(**{REASONS: [0x40, 0]}))
    assert throttled(CUDA) is True


def test_a_counter_tells_of_what_was_between(install: Any) -> None:
    install(FakeNvml(**{REASONS: [0, 0], HELD: [held(5_000), held(9_000)]}))
    assert throttled(CUDA) is True
    install(FakeNvml(**{REASONS: [0, 0], HELD: [held(5_000), held(5_000)]}))
    assert throttled(CUDA) is False


def test_old_drivers_are_asked_by_the_old_name(install: Any) -> None:
    missing = FakeNvml.NVMLError("function not found")
    install(FakeNvml(**{REASONS: [missing, missing], OLD_REASONS: [0, 0x20]}))
    assert throttled(CUDA) is True


def test_a_card_that_refuses_is_unknown(install: Any) -> None:
    refused = FakeNvml.NVMLError("no permission")
    install(FakeNvml(**{REASONS: [0, refused], HELD: [refused, refused]}))
    assert throttled(CUDA) is None


def test_one_hot_card_is_enough_and_coolness_takes_all_of_them(install: Any) -> None:
    refused = FakeNvml.NVMLError("no permission")
    install(FakeNvml(**{REASONS: [0, 0, 0x40, 0]}))  # both begin, then both end
    assert throttled(CUDA, SECOND) is True
    install(FakeNvml(**{REASONS: [0, 0, 0, 0]}))
    assert throttled(CUDA, SECOND) is False
    install(FakeNvml(**{REASONS: [0, refused, 0, refused]}))
    assert throttled(CUDA, SECOND) is None
    install(FakeNvml(**{REASONS: [0x40, refused, 0, refused]}))
    assert throttled(CUDA, SECOND) is True


def test_cards_are_found_by_their_uuid(install: Any) -> None:
    fake = install(FakeNvml(**{REASONS: [0] * 4}))
    assert throttled(CPU, SECOND) is False
    assert fake.asked == ["GPU-1"]


def test_without_a_card_in_use_nobody_is_asked(install: Any) -> None:
    fake = install(FakeNvml())
    assert throttled(CPU, MPS) is None
    assert fake.asked == []


def test_without_nvml_all_is_unknown(install: Any) -> None:
    install(None)
    assert throttled(CUDA) is None
    assert EnergyMeter(CUDA).end() is None


def test_nvml_that_is_not_installed_or_has_no_driver_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert nvml.load_nvml() == (None, "nvidia-ml-py is not installed")

    def no_driver() -> None:
        raise FakeNvml.NVMLError("Driver Not Loaded")

    monkeypatch.setitem(sys.modules, "pynvml", SimpleNamespace(nvmlInit=no_driver))
    assert nvml.load_nvml() == (None, "NVML says: Driver Not Loaded")
    ready = SimpleNamespace(nvmlInit=lambda: None)
    monkeypatch.setitem(sys.modules, "pynvml", ready)
    assert nvml.load_nvml() == (ready, "")


def test_the_uuid_is_written_as_nvml_writes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="1-2"))
    assert nvml_uuid(CUDA) == "GPU-1-2"
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace())
    assert nvml_uuid(CUDA) is None
    assert nvml_uuid(CPU) is None


# --- energy


def add_zone(powercap: Path, folder: str, name: str, *, energy: int = 0, wraps_at: int = 1_000_000) -> Path:
    """A zone of the kernel's powercap tree."""
    zone = powercap / folder
    zone.mkdir(parents=True)
    (zone / "name").write_text(f"{name}\n")
    (zone / "max_energy_range_uj").write_text(f"{wraps_at}\n")
    (zone / "energy_uj").write_text(f"{energy}\n")
    return zone


def advance(zone: Path, energy: int) -> None:
    (zone / "energy_uj").write_text(f"{energy}\n")


def begun(powercap: Path, device: Device = CPU) -> EnergyMeter:
    meter = EnergyMeter(device, powercap=powercap)
    meter.begin()
    return meter


def test_joules_are_the_packages_together(tmp_path: Path) -> None:
    zones = [add_zone(tmp_path, f"intel-rapl:{number}", f"package-{number}", energy=100) for number in range(2)]
    meter = begun(tmp_path)
    advance(zones[0], 250_100)
    advance(zones[1], 500_100)
    assert meter.end() == pytest.approx(0.75)


def test_a_counter_that_starts_again_is_followed(tmp_path: Path) -> None:
    zone = add_zone(tmp_path, "intel-rapl:0", "package-0", energy=900_000, wraps_at=1_000_000)
    meter = begun(tmp_path)
    advance(zone, 50_000)
    assert meter.end() == pytest.approx(0.15)


def test_parts_of_a_package_and_the_platform_are_not_counted_again(tmp_path: Path) -> None:
    names = {"intel-rapl:0": "package-0", "intel-rapl:0:0": "core", "intel-rapl:0:1": "dram", "intel-rapl:1": "psys"}
    names["intel-rapl-mmio:0"] = "package-0"  # the same package by another door
    zones = [add_zone(tmp_path, folder, name) for folder, name in names.items()]
    meter = begun(tmp_path)
    for zone in zones:
        advance(zone, 100_000)
    assert meter.end() == pytest.approx(0.1)


def test_a_meter_can_be_used_again(tmp_path: Path) -> None:
    zone = add_zone(tmp_path, "intel-rapl:0", "package-0")
    meter = begun(tmp_path)
    advance(zone, 100_000)
    assert meter.end() == pytest.approx(0.1)
    meter.begin()
    advance(zone, 300_000)
    assert meter.end() == pytest.approx(0.2)


def test_a_counter_that_may_not_be_read_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Since 2020 only root reads `energy_uj`; a sum without one of the packages would be wrong, not less."""
    for number in range(2):
        add_zone(tmp_path, f"intel-rapl:{number}", f"package-{number}")
    read_text = Path.read_text

    def guarded(self: Any, *arguments: Any, **settings: Any) -> Any:
        if self == tmp_path / "intel-rapl:1" / "energy_uj":
            raise PermissionError(13, "Permission denied")
        return read_text(self, *arguments, **settings)

    monkeypatch.setattr(Path, "read_text", guarded)
    meter = begun(tmp_path)
    advance(tmp_path / "intel-rapl:0", 100_000)
    assert meter.end() is None


def test_no_counter_no_joules(tmp_path: Path) -> None:
    assert begun(tmp_path / "nowhere").end() is None
    assert begun(tmp_path).end() is None
    assert begun(tmp_path, MPS).end() is None


def test_a_counter_that_stands_still_or_makes_no_sense_is_none(tmp_path: Path) -> None:
    zone = add_zone(tmp_path, "intel-rapl:0", "package-0", energy=7)
    assert begun(tmp_path).end() is None
    meter = begun(tmp_path)
    (zone / "energy_uj").write_text("many\n")
    assert meter.end() is None


def test_an_end_without_a_beginning_has_no_joules(tmp_path: Path) -> None:
    add_zone(tmp_path, "intel-rapl:0", "package-0", energy=7)
    assert EnergyMeter(CPU, powercap=tmp_path).end() is None


ENERGY = "nvmlDeviceGetTotalEnergyConsumption"


def test_a_cards_joules_are_nvmls_millijoules(install: Any, tmp_path: Path) -> None:
    add_zone(tmp_path, "intel-rapl:0", "package-0")
    install(FakeNvml(**{ENERGY: [10_000, 12_500]}))
    assert begun(tmp_path, CUDA).end() == pytest.approx(2.5)


def test_a_card_that_counts_no_energy_is_none(install: Any) -> None:
    refused = FakeNvml.NVMLError("not supported")
    install(FakeNvml(**{ENERGY: [refused, refused]}))
    assert begun(Path("unused"), CUDA).end() is None
    install(FakeNvml(**{ENERGY: [12_500, 10_000]}))  # the driver was loaded anew
    assert begun(Path("unused"), CUDA).end() is None
