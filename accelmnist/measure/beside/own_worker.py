"""`python -m accelmnist worker`: this package as a side of a benchmark, by the very cases that a benchmark times."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import torch

import accelmnist
from accelmnist.core.config import RunConfig
from accelmnist.core.errors import ConfigError
from accelmnist.device import matmul_precision, resolve, set_threads
from accelmnist.device.environment import describe_environment
from accelmnist.engines.model import MLP, logits_of
from accelmnist.measure.beside.protocol import Request
from accelmnist.measure.beside.serving import Worker
from accelmnist.measure.case_builder import CaseBuilder, refusal_of, resolve_devices
from accelmnist.measure.plan import BenchConfig, Case
from accelmnist.measure.timed_case import TimedCase, TimedInference, TimedTraining, seconds_of
from accelmnist.training.checkpoint import load_weights
from accelmnist.training.loop import EpochSteps, Stopwatch
from accelmnist.training.reference.scores import score_here


@dataclass(frozen=True)
class _OpenCase:
    timed: TimedCase
    config: RunConfig
    model: MLP
    threads: int

    def steps(self) -> EpochSteps:
        """What copies weights and state of a training, and puts them back."""
        assert isinstance(self.timed, TimedTraining)
        timed = self.timed
        return EpochSteps(timed.runner, timed.job, timed.first_steps(1), Stopwatch(None))


class OwnWorker(Worker):
    """The engines of this package."""

    def __init__(self) -> None:
        gc.disable()  # a collection would hit whichever side happens to run
        self._threads = torch.get_num_threads()
        self._open: dict[str, _OpenCase] = {}
        self._builders: dict[str, CaseBuilder] = {}

    def hello(self) -> Request:
        """Versions of all that moves a figure."""
        environment = describe_environment(resolve("cpu"))
        versions = {
            name: getattr(environment, name) for name in ("torch", "numpy", "python", "cpu_capability", "commit")
        }
        known = {name: str(version) for name, version in versions.items() if version is not None}
        return {"versions": {"accelmnist": accelmnist.__version__, **known}, "threads": self._threads}

    def prepare(self, case: str, mode: str, config: dict[str, Any], files: dict[str, str]) -> Request:
        """The case of an engine, made as a benchmark makes it: from the configuration alone."""
        run = msgspec.convert(config, RunConfig)
        device = resolve(run.execution.device)
        builder = self._builder(run, str(device))
        if reason := refusal_of(run, device, len(builder.dataset.train)):
            return {"unsupported": reason}
        threads = run.execution.threads or self._threads
        set_threads(threads)
        named = Case(
            mode="inference" if mode == "inference" else "training",
            device=str(device),
            engine=run.execution.engine,
            precision=run.execution.precision,
            batch_size=run.training.batch_size,
            hidden=run.model.hidden,
            optimizer=run.training.optimizer,
            threads=run.execution.threads,
        )
        if named.mode == "training":
            timed: TimedCase = builder.training(named, run, None, epochs=run.training.epochs)
            assert isinstance(timed, TimedTraining)
            self._open[case] = _OpenCase(timed, run, timed.job.model, threads)
            return {"compile_s": timed.compile_s}
        model = MLP(run.model, seed=run.training.seed).to(device.torch_device)
        load_weights(model, _tensors(files["start"]), source="the start")
        timed = builder.classification(named, model)
        self._open[case] = _OpenCase(timed, run, model, threads)
        return {"compile_s": timed.compile_s}

    def _builder(self, run: RunConfig, device: str) -> CaseBuilder:
        key = f"{run.data} {device}"
        if key not in self._builders:
            config = BenchConfig(devices=(device,), data=run.data)
            self._builders[key] = CaseBuilder(config, resolve_devices((device,)), score_here)
        return self._builders[key]

    def load(self, case: str, source: str | None = None) -> None:
        """What a file lacks is set to the start."""
        opened = self._open[case]
        assert isinstance(opened.timed, TimedTraining), "weights of a classification stay"
        opened.timed.restore()
        if source is not None:
            with np.load(source) as arrays:
                found = {name: arrays[name] for name in arrays.files}
            opened.steps().put_back(opened.steps().look() | found)

    def run(self, case: str, first: int, steps: int) -> Request:
        """The loop of a benchmark's region, timed as it times it."""
        opened = self._open[case]
        if torch.get_num_threads() != opened.threads:
            set_threads(opened.threads)
        opened.timed.go_to(first)
        with matmul_precision(opened.timed.device, opened.config.execution.precision):
            seconds = seconds_of(lambda: opened.timed.run(steps), opened.timed.device)
        return {"seconds": seconds, "steps": steps}

    def losses(self, case: str) -> Request:
        """Of the last run."""
        timed = self._open[case].timed
        return {"losses": timed.losses.tolist() if isinstance(timed, TimedTraining) else []}

    def save(self, case: str, to: str) -> None:
        """By the names of a saved state."""
        np.savez(to, **self._open[case].steps().look())  # type: ignore[arg-type]  # of NumPy's own options

    def classify(self, case: str, images: str, to: str) -> None:
        """A classification's own way, in batches of its size; after a training, that of every evaluation."""
        opened, timed = self._open[case], self._open[case].timed
        given = torch.from_numpy(np.load(images)).to(timed.device.torch_device)
        precision = opened.config.execution.precision
        with matmul_precision(timed.device, precision), torch.no_grad():
            if isinstance(timed, TimedInference):
                logits = torch.cat([timed.classify(part).clone() for part in torch.split(given, timed.case.batch_size)])
            else:
                logits = logits_of(opened.model, given, device=timed.device, precision=precision)
        np.save(to, logits.float().cpu().numpy())

    def last(self, case: str, to: str) -> None:
        """As they were left."""
        timed = self._open[case].timed
        assert isinstance(timed, TimedInference), "a training has no last batch"
        np.save(to, timed.answered[0].float().cpu().numpy())

    def answer(self, request: Request) -> Request:
        """As any worker; a case that nobody made ready is named."""
        if request.get("do") not in ("prepare", "ping") and request.get("case") not in self._open:
            raise ConfigError(f"case {request.get('case')} is not prepared", remedy="Prepare it first")
        return super().answer(request)


def _tensors(path: str) -> dict[str, torch.Tensor]:
    with np.load(path) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
