"""The samples: two cases alike, one that is slower by a known share, and the limits, in the same rounds."""

from __future__ import annotations

from random import Random

from accelmnist.data.mnist import load_dataset
from accelmnist.data.types import upload
from accelmnist.device import resolve
from accelmnist.measure.limits.probes import probes_for
from accelmnist.measure.plan import BenchConfig, Case, run_config
from accelmnist.measure.statistics.controls import Rates
from accelmnist.measure.timed_case import Sampler, TimedTraining, sample_round

SLOWDOWN = 0.05
CASE = Case(
    mode="training", device="cpu", engine="eager", precision="fp32", batch_size=128, hidden=(128,), optimizer="sgd"
)
Samples = dict[str, list[float]]  # of the cases and, by their names, of the limits

_CASES = ("a", "again", "slowed")
_STEPS = 20  # a slice; 5 % more is a whole step


def take_samples(rounds: int) -> Samples:
    """Speeds of the three cases and the rates of the limits, one a round."""
    device = resolve("cpu")
    data = upload(load_dataset().train, device)
    config = run_config(CASE, BenchConfig())
    subjects = {name: TimedTraining(CASE, device, config, data) for name in _CASES}
    for timed in subjects.values():
        timed.warm_up()
    probes = probes_for([CASE], {"cpu": device})
    for probe in probes:
        probe.prepare()
    slowed = round(_STEPS * (1 + SLOWDOWN))
    samplers = {
        "a": Sampler(lambda: 1 / subjects["a"].time(_STEPS)),
        "again": Sampler(lambda: 1 / subjects["again"].time(_STEPS)),
        "slowed": Sampler(lambda: 1 / subjects["slowed"].time(slowed)),
    } | {probe.limit.name: Sampler(probe.sample) for probe in probes}
    taken: Samples = {name: [] for name in samplers}
    rng = Random(0)
    for _ in range(rounds):
        for name, speed in sample_round(samplers, rng).items():
            assert isinstance(speed, float), speed
            taken[name].append(speed)
    return taken


def limits_of(samples: Samples) -> Rates:
    """The limits among the samples."""
    return {key: taken for key, taken in samples.items() if key not in _CASES}


def blocks_of(samples: Samples, size: int) -> list[Samples]:
    """The rounds in blocks of `size`, what is left over dropped."""
    whole = len(samples["a"]) // size
    return [{name: taken[at * size : (at + 1) * size] for name, taken in samples.items()} for at in range(whole)]
