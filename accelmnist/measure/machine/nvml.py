"""NVML, NVIDIA's management library, where there is one: asked for what torch doesn't tell, and never an error.

The bindings are `nvidia-ml-py`; the library itself comes with the driver. Source: NVIDIA's NVML API reference.
"""

from __future__ import annotations

from typing import Any

from accelmnist.device import Device, nvml_uuid


class NvmlDevice:
    """One CUDA device to NVML; it is found by its UUID, since NVML's numbers ignore CUDA_VISIBLE_DEVICES."""

    def __init__(self, device: Device) -> None:
        self._nvml, uuid = load_nvml(), nvml_uuid(device)
        self._handle = None if uuid is None else self._call("nvmlDeviceGetHandleByUUID", uuid)

    def ask(self, name: str, *arguments: Any) -> Any:
        """What NVML's function `name` says of the device; None where it can't: not supported, or in no such driver."""
        return None if self._handle is None else self._call(name, self._handle, *arguments)

    def _call(self, name: str, *arguments: Any) -> Any:
        if self._nvml is None:
            return None
        try:
            return getattr(self._nvml, name)(*arguments)
        except (AttributeError, self._nvml.NVMLError):
            return None


def load_nvml() -> Any:
    """NVML's bindings, ready to be asked; None without the package, the driver or a device."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # whatever an installation lacks, it only means that there is nobody to ask
        return None
    return pynvml
