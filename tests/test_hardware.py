"""Facts of clocks, links and quotas, by stand-ins of NVML and of the kernel's files, each with a reason if unknown."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from accelmnist.analysis.doctor import hindrances
from accelmnist.core.hardware import CpuFacts, GpuFacts
from accelmnist.device import Device, cgroups, clocks, nvml
from accelmnist.device.clocks import cpu_facts
from accelmnist.device.nvml import gpu_facts
from accelmnist.measure import machine
from accelmnist.measure.machine import MachineWatch
from accelmnist.show.hardware import cpu_rows, gpu_rows
from tests.fake_nvml import FakeNvml, replace_nvml
from tests.samples import sample_environment

CUDA = Device("cuda:0", "a card", "asked for")
CARD = {
    "nvmlDeviceGetClockInfo": lambda _handle, kind: {1: 1410, 2: 2619}[kind],
    "nvmlDeviceGetMaxClockInfo": lambda _handle, kind: {1: 1980, 2: 2619}[kind],
    "nvmlDeviceGetTemperature": 61,
    "nvmlDeviceGetPowerUsage": 512_000,
    "nvmlDeviceGetEnforcedPowerLimit": 500_000,
    "nvmlDeviceGetPowerManagementDefaultLimit": 700_000,
    "nvmlDeviceGetCurrPcieLinkGeneration": 4,
    "nvmlDeviceGetMaxPcieLinkGeneration": 5,
    "nvmlDeviceGetCurrPcieLinkWidth": 8,
    "nvmlDeviceGetMaxPcieLinkWidth": 16,
    "nvmlDeviceGetEccMode": [1, 0],
    "nvmlDeviceGetTotalEccErrors": lambda _handle, kind, _since: {0: 12, 1: 1}[kind],
    "nvmlDeviceGetMigMode": [0, 1],
    "nvmlDeviceGetPersistenceMode": 1,
    "nvmlDeviceGetCurrentClocksEventReasons": 0x04 | 0x40 | 0x20,
}


def names_of(kind: type[Any]) -> set[str]:
    return {part.name for part in fields(kind)} - {"unknown", "device"}


# --- a card


def test_a_card_tells_each_fact_beside_its_most(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_nvml(monkeypatch, FakeNvml(always=CARD))
    assert gpu_facts(CUDA) == GpuFacts(
        device="cuda:0",
        clock_hz=1.41e9,
        clock_max_hz=1.98e9,
        held_by=("power cap", "heat"),
        temperature_c=61.0,
        power_w=512.0,
        power_cap_w=500.0,
        power_default_w=700.0,
        link_generation=4,
        link_generation_max=5,
        link_width=8,
        link_width_max=16,
        ecc=True,
        ecc_corrected=12,
        ecc_uncorrected=1,
        mig=False,
        persistence=True,
    )
    assert gpu_facts(CUDA).clock_share == pytest.approx(1410 / 1980)


@pytest.mark.parametrize("function", sorted(CARD))
def test_a_question_without_an_answer_has_its_reason_and_the_rest_is_known(
    function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_nvml(monkeypatch, FakeNvml(always=CARD | {function: FakeNvml.NVMLError("Not Supported")}))
    facts = gpu_facts(CUDA)
    assert set(facts.unknown.values()) == {"NVML says: Not Supported"}
    assert facts.unknown.keys() == {name for name in names_of(GpuFacts) if getattr(facts, name) is None}
    assert len(facts.unknown) <= 2  # the counts of ECC are one function
    replace_nvml(monkeypatch, FakeNvml(always={name: CARD[name] for name in CARD if name != function}))
    assert set(gpu_facts(CUDA).unknown.values()) == {f"the installed nvidia-ml-py has no {function}"}


def test_without_nvml_every_fact_of_a_card_has_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_nvml(monkeypatch, None)
    facts = gpu_facts(CUDA)
    assert facts.unknown == dict.fromkeys(names_of(GpuFacts), "nvidia-ml-py is not installed")


def test_a_part_of_a_card_has_the_facts_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a part that MIG made, NVML tells no clock."""
    card = CARD | {
        "nvmlDeviceGetMigMode": [1, 1],
        "nvmlDeviceGetPersistenceMode": lambda handle: handle == "the whole card",
        "nvmlDeviceGetDeviceHandleFromMigDeviceHandle": lambda part: f"the whole card{'' if part == 'part' else '?'}",
    }

    class WithParts(FakeNvml):
        def nvmlDeviceGetHandleByUUID(self, uuid: Any) -> Any:  # noqa: N802 - NVML's name
            if uuid.startswith("GPU-"):
                raise self.NVMLError("Not Found")
            return "part"

    replace_nvml(monkeypatch, WithParts(always=card))
    facts = gpu_facts(CUDA)
    assert (facts.mig, facts.persistence, facts.clock_hz) == (True, True, 1.41e9)
    replace_nvml(monkeypatch, WithParts(always=CARD))
    assert set(gpu_facts(CUDA).unknown.values()) == {"NVML says: Not Found"}


def test_the_functions_and_bits_are_nvmls_own() -> None:
    pynvml = pytest.importorskip("pynvml")
    asked = {function for function, _, _ in nvml.QUESTIONS.values()}
    assert all(hasattr(pynvml, name) for name in (*asked, "nvmlDeviceGetDeviceHandleFromMigDeviceHandle"))
    assert (pynvml.NVML_CLOCK_SM, pynvml.NVML_TEMPERATURE_GPU) == (nvml.SM_CLOCK, nvml._CORE_SENSOR)
    assert pynvml.NVML_VOLATILE_ECC == nvml._VOLATILE
    assert nvml.QUESTIONS["ecc_uncorrected"][1][0] == pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED
    assert pynvml.nvmlClocksThrottleReasonGpuIdle == nvml.IDLE
    assert pynvml.nvmlClocksThrottleReasonSwPowerCap == 0x04


# --- the processor


def cpu_files(monkeypatch: pytest.MonkeyPatch, folder: Path, cpu: int = 3, **files: str) -> None:
    """Stand-ins of the kernel's files for the processor that this thread runs on: a name has __ for each slash."""
    own = folder / f"cpu{cpu}"
    own.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        file = own / name.replace("__", "/")
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    stat = folder / "stat"
    stat.write_text(f"12 (a (strange) name) R {' '.join(map(str, range(35)))} {cpu} 0 0 0\n")
    monkeypatch.setattr(clocks, "_CPUS", folder)
    monkeypatch.setattr(clocks, "_THREAD", stat)


GOVERNED = {
    "cpufreq__scaling_cur_freq": "1800000\n",
    "cpufreq__cpuinfo_max_freq": "3600000\n",
    "cpufreq__scaling_governor": "powersave\n",
    "thermal_throttle__core_throttle_count": "2\n",
    "thermal_throttle__package_throttle_count": "5\n",
}
Times = namedtuple("Times", "user nice system idle iowait irq softirq steal guest guest_nice", defaults=(0.0,) * 10)


def test_the_processor_of_this_thread_tells_its_clock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cpu_files(monkeypatch, tmp_path, cpu=0, cpufreq__scaling_cur_freq="1000\n")  # another one, which rests
    cpu_files(monkeypatch, tmp_path, cpu=3, **GOVERNED)
    monkeypatch.setattr(clocks, "cpu_quota", lambda: 1.5)
    monkeypatch.setattr(clocks, "quota_held_s", lambda: 2.0)
    (tmp_path / "statistics").write_text("cpu  50 0 0 45 0 0 0 5 30 0\ncpu0 1 0 0 1 0 0 0 2 0 0\n")
    monkeypatch.setattr(clocks, "_STAT", tmp_path / "statistics")
    assert cpu_facts() == CpuFacts(
        clock_hz=1.8e9,
        clock_max_hz=3.6e9,
        governor="powersave",
        quota=1.5,
        quota_held_s=2.0,
        steal_share=0.05,
        heat_events=7,
    )
    assert cpu_facts().clock_share == 0.5


def test_a_virtual_machine_says_what_it_does_not_show(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cpu_files(monkeypatch, tmp_path)
    facts = cpu_facts()
    assert (facts.clock_hz, facts.clock_max_hz, facts.governor, facts.heat_events) == (None,) * 4
    assert facts.unknown["clock_hz"] == "no cpufreq here, as in most virtual machines"
    assert "nothing counts it here" in facts.unknown["heat_events"]


@pytest.mark.parametrize("text", ["<unknown>", "0", "", "-5"])
def test_a_clock_that_is_no_number_is_unknown(text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cpu_files(monkeypatch, tmp_path, **(GOVERNED | {"cpufreq__scaling_cur_freq": text}))
    facts = cpu_facts()
    assert (facts.clock_hz, facts.clock_max_hz) == (None, 3.6e9)
    assert facts.unknown["clock_hz"] == "cpufreq's scaling_cur_freq is no number"


def test_files_that_cannot_be_read_and_other_systems_have_their_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cpu_files(monkeypatch, tmp_path, **GOVERNED)
    (tmp_path / "cpu3/cpufreq/scaling_governor").unlink()
    assert cpu_facts().unknown == {"governor": "scaling_governor: no such file or directory"}
    monkeypatch.setattr(clocks, "_CPUS", tmp_path / "nowhere")
    monkeypatch.setattr(clocks, "_STAT", tmp_path / "nowhere")
    unknown = cpu_facts().unknown
    assert unknown["clock_hz"] == unknown["steal_share"] == "only Linux tells it"


@pytest.mark.parametrize(
    ("own", "files", "held_s"),
    [
        (
            "0::/box\n",
            {"box/cpu.stat": "usage_usec 9\nthrottled_usec 2500000", "cpu.stat": "throttled_usec 0\n"},
            2.5,
        ),
        ("4:cpu,cpuacct:/\n", {"cpu/cpu.stat": "nr_throttled 3\nthrottled_time 1500000000\n"}, 1.5),
        ("0::/box\n", {"box/cpu.stat": "usage_usec 9\n"}, None),
        ("", {}, None),
    ],
)
def test_a_group_counts_how_long_its_quota_held(
    own: str, files: dict[str, str], held_s: float | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "own").write_text(own)
    monkeypatch.setattr(cgroups, "_ROOT", tmp_path)
    monkeypatch.setattr(cgroups, "_OWN", tmp_path / "own")
    assert cgroups.quota_held_s() == held_s


def test_this_machine_tells_each_fact_or_its_reason() -> None:
    facts = cpu_facts()
    may_be_none = {"quota", "quota_held_s"}  # no quota
    assert facts.unknown.keys() == {name for name in names_of(CpuFacts) - may_be_none if getattr(facts, name) is None}
    assert all(facts.unknown.values())


# --- as rows, and as warnings


def test_a_card_is_shown_with_its_most_and_what_holds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_nvml(monkeypatch, FakeNvml(always=CARD))
    assert dict(gpu_rows(gpu_facts(CUDA))) == {
        "clock": "1.41 of 1.98 GHz, held down by power cap and heat",
        "power": "512 of 500 W; 700 W is the usual cap, 61 °C",
        "link": "PCIe 4 of 5, 8 of 16 lanes",
        "memory": "ECC on: 12 corrected, 1 not corrected",
        "modes": "MIG off, persistence on",
    }
    refuse = FakeNvml.NVMLError("Not Supported")
    lame = dict.fromkeys(("nvmlDeviceGetClockInfo", "nvmlDeviceGetEnforcedPowerLimit", "nvmlDeviceGetMigMode"), refuse)
    replace_nvml(monkeypatch, FakeNvml(always=CARD | lame))
    rows = dict(gpu_rows(gpu_facts(CUDA)))
    assert rows["clock"].startswith("unknown (NVML says: Not Supported), 1.98 GHz at most")
    assert rows["power"].startswith("512 W (its most: NVML says: Not Supported)")
    assert rows["modes"] == "MIG unknown (NVML says: Not Supported), persistence on"
    replace_nvml(monkeypatch, None)
    assert gpu_rows(gpu_facts(CUDA)) == (("clock, link", "unknown: nvidia-ml-py is not installed"),)


def test_the_processor_is_shown_or_the_reason() -> None:
    facts = CpuFacts(clock_hz=1.8e9, clock_max_hz=3.6e9, governor="powersave", steal_share=0.05, heat_events=7)
    assert dict(cpu_rows(replace(facts, quota=0.5, quota_held_s=2.0))) == {
        "clock": "1.8 of 3.6 GHz, governor powersave",
        "heat": "held the clock down 7 times",
        "stolen": "5.00 % of the processors' time, by other guests",
        "quota": "0.50 processors, which has held threads back for 2.00 s",
    }
    names = ("clock_hz", "clock_max_hz", "governor", "heat_events", "steal_share")
    rows = dict(cpu_rows(CpuFacts(unknown=dict.fromkeys(names, "only Linux tells it"))))
    assert rows == dict.fromkeys(("clock", "heat", "stolen"), "unknown: only Linux tells it") | {"quota": "none"}


def test_doctor_warns_of_what_holds_a_machine_back(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_nvml(monkeypatch, FakeNvml(always=CARD))
    held = replace(sample_environment(), gpus=(gpu_facts(CUDA),), cpu=CpuFacts(quota=0.5))
    assert list(hindrances(held)) == [
        "cuda:0: its clock is held down by heat",
        "cuda:0: its power is capped at 500 of 700 W",
        "cuda:0: 8 of 16 PCIe lanes are in use",
        "cuda:0: 1 memory errors were not corrected",
        "cpu: a quota allows 0.5 processors",
    ]
    assert list(hindrances(sample_environment())) == []


# --- while something is measured


def test_a_round_tells_clocks_and_what_held_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cpu_files(monkeypatch, tmp_path, **GOVERNED)
    held_s = iter([10.0, 13.0])
    now_s = iter([0.0, 100.0])
    monkeypatch.setattr(machine, "quota_held_s", lambda: next(held_s))
    monkeypatch.setattr(machine.time, "monotonic", lambda: next(now_s))
    times = iter([Times(idle=10.0), Times(idle=18.0, steal=2.0)])
    monkeypatch.setattr(psutil, "cpu_times", lambda: next(times))
    replace_nvml(monkeypatch, FakeNvml(always=CARD))
    watch = MachineWatch([CUDA])
    watch.begin()
    cpu_files(monkeypatch, tmp_path, thermal_throttle__core_throttle_count="3\n")
    load = watch.end()
    assert load.clocks == {"cpu": 0.5, "cuda:0": pytest.approx(1410 / 1980)}
    assert load.held == {"cpu": ("heat", "quota"), "cuda:0": ("power cap", "heat")}
    assert (load.steal, load.throttled) == (pytest.approx(0.2), True)


def test_a_card_at_rest_and_a_quota_that_hardly_held_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    held_s, now_s = iter([10.0, 10.9]), iter([0.0, 100.0])
    monkeypatch.setattr(machine, "quota_held_s", lambda: next(held_s))
    monkeypatch.setattr(machine, "heat_events", lambda: (None, "no counter"))
    monkeypatch.setattr(machine.time, "monotonic", lambda: next(now_s))
    replace_nvml(monkeypatch, FakeNvml(always=CARD | {"nvmlDeviceGetCurrentClocksEventReasons": 0x01}))
    watch = MachineWatch([CUDA])
    watch.begin()
    load = watch.end()
    assert load.held == {}
    assert "cuda:0" not in load.clocks
