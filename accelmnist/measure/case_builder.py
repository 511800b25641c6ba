"""Cases made ready: the data on every device, the references, and the subjects that are built of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from accelmnist.core.config import AUTO, check_fits
from accelmnist.core.errors import AccelmnistError, DeviceError
from accelmnist.core.records import Verdict
from accelmnist.data.mnist import load_dataset
from accelmnist.data.on_device import DeviceSet, upload
from accelmnist.device import Device, available, precision_capability, resolve
from accelmnist.engines.choose import engine_class
from accelmnist.engines.model import MLP
from accelmnist.engines.step.memory import require_memory
from accelmnist.measure.plan import BenchConfig, Case, run_config
from accelmnist.measure.timed_case import TimedCase, TimedInference, TimedTraining
from accelmnist.measure.verification import References, verify_inference, verify_training
from accelmnist.training.reference.scores import Oracle

Devices = Mapping[str, Device | DeviceError]


def resolve_devices(names: tuple[str, ...]) -> dict[str, Device | DeviceError]:
    """The devices by their full names, in order; in place of one that isn't here, the error that says why.

    `auto` is one of each kind that is here. Raises ConfigError for a name that means nothing.
    """
    found: dict[str, Device | DeviceError] = {}
    for name in names:
        for one in _one_of_each_kind() if name == AUTO else (name,):
            try:
                device = resolve(one)
                found[str(device)] = device
            except DeviceError as error:
                found[one] = error
    return found


def _one_of_each_kind() -> tuple[str, ...]:
    kinds: dict[str, str] = {}
    for name in available():
        kinds.setdefault(name.partition(":")[0], name)
    return tuple(kinds.values())


class CaseBuilder:
    """Makes subjects of cases and judges them; what several cases share is made once."""

    def __init__(self, config: BenchConfig, devices: Devices, oracle: Oracle) -> None:
        self.config, self.devices, self._oracle = config, devices, oracle
        folder = Path(config.data.folder) if config.data.folder is not None else None
        self.dataset = load_dataset(config.data.dataset, folder=folder, seed=0)
        self.references = References(self.dataset)
        self._sets: dict[tuple[str, str], DeviceSet] = {}
        self._networks: dict[str, MLP] = {}

    def device(self, case: Case) -> Device:
        """The case's device; raises the DeviceError that says why it isn't here."""
        device = self.devices[case.device]
        if isinstance(device, DeviceError):
            raise device
        return device

    def refusal(self, case: Case) -> str | None:
        """Why `case` can't run here, or None: what is known before anything is made."""
        try:
            device = self.device(case)
            config = run_config(case, self.config)
            check_fits(config, training_images=len(self.dataset.train))
            require_memory(config, device)
        except AccelmnistError as error:
            return error.message
        capability = precision_capability(device, case.precision)
        if not capability.available:
            return f"{case.precision} is not available on {device}: {capability.reason}"
        return engine_class(case.engine).unsupported(config, device)

    def timed(self, case: Case) -> TimedCase:
        """The case, prepared; raises DeviceError where that fails."""
        device = self.device(case)
        config = run_config(case, self.config)
        if case.mode == "training":
            return TimedTraining(case, device, config, self._set("train", device))
        name = "test" if case.batch_size <= len(self.dataset.test) else "train"
        return TimedInference(case, device, self._network(case), self._set(name, device).images)

    def verify(self, timed: TimedCase) -> tuple[float | None, Verdict]:
        """The accuracy on the test set, and the verdict."""
        test = self._set("test", timed.device)
        if isinstance(timed, TimedTraining):
            return verify_training(timed, test, self.references, self._oracle)
        assert isinstance(timed, TimedInference)
        return verify_inference(timed, self._network(timed.case), test, self.references, self._oracle)

    def _set(self, name: str, device: Device) -> DeviceSet:
        key = (name, str(device))
        if key not in self._sets:
            self._sets[key] = upload(self.dataset.train if name == "train" else self.dataset.test, device)
        return self._sets[key]

    def _network(self, case: Case) -> MLP:
        """The reference's trained network on the case's device."""
        key = f"{case.network} {case.device}"
        if key not in self._networks:
            network = self.references.network(run_config(case, self.config))
            self._networks[key] = network.to(torch.device(case.device))
        return self._networks[key]
