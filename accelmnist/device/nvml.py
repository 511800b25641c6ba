"""What NVIDIA's driver says of a card, by NVML: clocks, power, link, memory errors, and what holds the clock down.

Every question has an answer or the reason why there is none: no package, no driver, another driver, no permission, or
a card that doesn't support it. A question takes some 10 µs to 1 ms of the host and nothing of the card.

Source: NVIDIA's NVML API reference.
"""

from __future__ import annotations

from typing import Any

from accelmnist.core.errors import headline
from accelmnist.core.hardware import GpuFacts
from accelmnist.device.names import Device, nvml_uuid

# NVML's bits for HW slowdown, SW thermal slowdown, HW thermal slowdown and HW power brake.
HELD_DOWN = 0x08 | 0x20 | 0x40 | 0x80
IDLE = 0x01
REASONS = {
    0x02: "chosen clocks",
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x10: "sync boost",
    0x20: "heat",
    0x40: "heat",
    0x80: "power brake",
    0x100: "display clocks",
}
_MHZ, _MILLIWATT = 1e6, 1e-3
SM_CLOCK = 1  # NVML_CLOCK_SM
_CORE_SENSOR, _VOLATILE = 0, 0  # NVML_TEMPERATURE_GPU, NVML_VOLATILE_ECC

# Of each fact: NVML's function, its arguments after the card, and what turns the answer into the fact.
QUESTIONS: dict[str, tuple[str, tuple[int, ...], Any]] = {
    "clock_hz": ("nvmlDeviceGetClockInfo", (SM_CLOCK,), _MHZ.__mul__),
    "clock_max_hz": ("nvmlDeviceGetMaxClockInfo", (SM_CLOCK,), _MHZ.__mul__),
    "temperature_c": ("nvmlDeviceGetTemperature", (_CORE_SENSOR,), float),
    "power_w": ("nvmlDeviceGetPowerUsage", (), _MILLIWATT.__mul__),
    "power_cap_w": ("nvmlDeviceGetEnforcedPowerLimit", (), _MILLIWATT.__mul__),
    "power_default_w": ("nvmlDeviceGetPowerManagementDefaultLimit", (), _MILLIWATT.__mul__),
    "link_generation": ("nvmlDeviceGetCurrPcieLinkGeneration", (), int),
    "link_generation_max": ("nvmlDeviceGetMaxPcieLinkGeneration", (), int),
    "link_width": ("nvmlDeviceGetCurrPcieLinkWidth", (), int),
    "link_width_max": ("nvmlDeviceGetMaxPcieLinkWidth", (), int),
    "ecc": ("nvmlDeviceGetEccMode", (), lambda modes: bool(modes[0])),  # the present one; [1] is that after a reboot
    "ecc_corrected": ("nvmlDeviceGetTotalEccErrors", (0, _VOLATILE), int),
    "ecc_uncorrected": ("nvmlDeviceGetTotalEccErrors", (1, _VOLATILE), int),
    "mig": ("nvmlDeviceGetMigMode", (), lambda modes: bool(modes[0])),
    "persistence": ("nvmlDeviceGetPersistenceMode", (), bool),
}


def gpu_facts(device: Device) -> GpuFacts:
    """The facts of a CUDA device, as they are now: a card at rest lowers its clock and its link."""
    nvml = NvmlDevice(device)
    read = {name: nvml.read(function, *arguments) for name, (function, arguments, _) in QUESTIONS.items()}
    known = {name: QUESTIONS[name][2](answer) for name, (answer, _) in read.items() if answer is not None}
    unknown = {name: reason for name, (answer, reason) in read.items() if answer is None}
    reasons, why = nvml.clock_reasons()
    if reasons is None:
        unknown["held_by"] = why
    return GpuFacts(device=device.name, **known, held_by=names_of(reasons), unknown=unknown)


def names_of(reasons: int | None) -> tuple[str, ...] | None:
    """NVML's bits of what holds a clock down in words, each once; None stays None."""
    if reasons is None:
        return None
    return tuple(dict.fromkeys(name for bit, name in REASONS.items() if reasons & bit))


class NvmlDevice:
    """One CUDA device to NVML; it is found by its UUID, since NVML's numbers ignore CUDA_VISIBLE_DEVICES."""

    def __init__(self, device: Device) -> None:
        self._nvml, self._why = load_nvml()
        self._handle = None if self._nvml is None else self._find(nvml_uuid(device))

    def ask(self, name: str, *arguments: Any) -> Any:
        """What NVML's function `name` says of the device; None where it can't: not supported, or in no such driver."""
        return self.read(name, *arguments)[0]

    def read(self, name: str, *arguments: Any) -> tuple[Any, str]:
        """What NVML's function `name` says of the device, or None and the reason why it says nothing."""
        return (None, self._why) if self._handle is None else self._call(name, self._handle, *arguments)

    def clock_reasons(self) -> tuple[int | None, str]:
        """The bits of what holds its clock down now, or None and the reason."""
        # The name since driver 535, and the one that older drivers know.
        answer, why = self.read("nvmlDeviceGetCurrentClocksEventReasons")
        if answer is None:
            answer, older = self.read("nvmlDeviceGetCurrentClocksThrottleReasons")
            why = why or older
        return (None, why) if answer is None else (int(answer), "")

    def _find(self, uuid: str | None) -> Any:
        """The card; of a part of one (MIG) the whole card, which has the clock."""
        if uuid is None:
            self._why = "this torch doesn't tell the card's UUID"
            return None
        handle, self._why = self._call("nvmlDeviceGetHandleByUUID", uuid)
        if handle is None:
            part = self._call("nvmlDeviceGetHandleByUUID", uuid.replace("GPU-", "MIG-", 1))[0]
            handle = None if part is None else self._call("nvmlDeviceGetDeviceHandleFromMigDeviceHandle", part)[0]
        return handle

    def _call(self, name: str, *arguments: Any) -> tuple[Any, str]:
        try:
            return getattr(self._nvml, name)(*arguments), ""
        except AttributeError:
            return None, f"the installed nvidia-ml-py has no {name}"
        except self._nvml.NVMLError as error:
            return None, f"NVML says: {headline(error)}"


def load_nvml() -> tuple[Any, str]:
    """NVML's bindings, ready to be asked; or None and the reason: no package, no driver, no device."""
    try:
        import pynvml
    except Exception:  # whatever an installation lacks, it only means that there is nobody to ask
        return None, "nvidia-ml-py is not installed"
    try:
        pynvml.nvmlInit()
    except Exception as error:
        return None, f"NVML says: {headline(error)}"
    return pynvml, ""
