"""The statistics of `accelmnist bench` on a real machine, where the noise is what it is and the truth is known.

    python -m bench.real_statistics --out results/statistics-real.md

Three cases run in the same rounds: eager training, eager training once more (A/A: there is no difference), and eager
training that runs 5 % more steps than it is credited with (A/B: it is truly 5 % slower). Beside them runs the limit
that `accelmnist compare` divides by. The rounds are cut into blocks, each as long as a benchmark of the default budget;
each block gives one paired comparison of each kind, and each pair of blocks two records that were taken at different
times. Counted is how often a difference is claimed where there is none, and found where there is one. The samples are
kept beside the report, and `--from` makes it anew of them.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import permutations
from pathlib import Path
from random import Random

from accelmnist.openmp import limit_spinning

limit_spinning()  # before torch is loaded, as the command line does it

import numpy as np

from accelmnist.data.mnist import load_dataset
from accelmnist.data.on_device import upload
from accelmnist.device import cpu_instructions, processor, resolve
from accelmnist.measure.limits.probes import probes_for
from accelmnist.measure.plan import BenchConfig, Case, run_config
from accelmnist.measure.sampling import Sampler, sample_round
from accelmnist.measure.statistics.comparison import Comparison, compare
from accelmnist.measure.subject import TrainingSubject
from accelmnist.storage import write_atomically

_SLOWDOWN = 0.05
_SMALL_SLOWDOWN = 0.02
_NUMBERS = (*range(6, 40, 2), *range(40, 100, 5), *range(100, 501, 20))  # of rounds that are tried
_STEPS = 20  # a slice; 5 % more is a whole step
_CASE = Case(
    mode="training", device="cpu", engine="eager", precision="fp32", batch_size=128, hidden=(128,), optimizer="sgd"
)
Samples = dict[str, list[float]]

_REPORT = """# The statistics of `accelmnist bench` on a real machine

Made by `{command}` on {machine}: {rounds} rounds of {case}, in blocks of {block}.

The same case twice is A/A; A/B is the case against itself with {slowdown:.0%} more steps than it is credited with.
"Claimed" is a verdict of faster or slower where there is no difference (the bar: at most 5 %), "found" a verdict of
slower where there is one (the bar: at least 95 %).

| comparison | trials | A/A: claimed | A/A: same | A/B: found |
| --- | ---: | ---: | ---: | ---: |
{rows}

Spread of the samples: half of them lie {spread:.1%} apart over all rounds, {within:.1%} in the median block. The tests
take rounds as independent; from one to the next the speeds correlate by {own_lag:.2f}, their shares of the limit by
{share_lag:.2f}.

What it takes here to find a true slowdown in 95 % of the trials, by the rounds of this run drawn anew:

| slowdown | threshold | paired, in the same rounds | two records, over the limit |
| --- | --- | ---: | ---: |
{needed}
"""


def take_samples(rounds: int) -> Samples:
    """Speeds of the three cases and the rate of the limit, one a round."""
    device = resolve("cpu")
    data = upload(load_dataset().train, device)
    config = run_config(_CASE, BenchConfig())
    subjects = {name: TrainingSubject(_CASE, device, config, data) for name in ("a", "again", "slowed")}
    for subject in subjects.values():
        subject.warm_up()
    limit = next(probe for probe in probes_for([_CASE], {"cpu": device}) if probe.limit.kind == "workload")
    limit.prepare()
    slowed = round(_STEPS * (1 + _SLOWDOWN))
    samplers = {
        "a": Sampler(lambda: 1 / subjects["a"].time(_STEPS)),
        "again": Sampler(lambda: 1 / subjects["again"].time(_STEPS)),
        "slowed": Sampler(lambda: 1 / subjects["slowed"].time(slowed)),
        "limit": Sampler(limit.sample),
    }
    taken: Samples = {name: [] for name in samplers}
    chance = Random(0)
    for _ in range(rounds):
        for name, speed in sample_round(samplers, chance).items():
            assert isinstance(speed, float), speed
            taken[name].append(speed)
    return taken


def blocks_of(samples: Samples, size: int) -> list[Samples]:
    """The rounds in blocks of `size`, what is left over dropped."""
    whole = len(samples["a"]) // size
    return [{name: taken[at * size : (at + 1) * size] for name, taken in samples.items()} for at in range(whole)]


def paired(blocks: Sequence[Samples], name: str) -> Iterator[Comparison]:
    """Each block's case `name` against its `a`, round by round."""
    return (compare(block["a"], block[name], paired=True) for block in blocks)


def across(blocks: Sequence[Samples], name: str, *, divided: bool) -> Iterator[Comparison]:
    """One block's case `name` against another's `a`: two records of different times."""
    for base, new in permutations(blocks, 2):
        limits = (base["limit"], new["limit"]) if divided else None
        yield compare(base["a"], new[name], paired=False, limits=limits)


def row(title: str, same: Iterator[Comparison], slower: Iterator[Comparison]) -> str:
    """Counts of verdicts as shares."""
    verdicts = Counter(comparison.verdict for comparison in same)
    found = Counter(comparison.verdict for comparison in slower)
    trials = sum(verdicts.values())
    shares = (
        (verdicts["faster"] + verdicts["slower"]) / trials,
        verdicts["same"] / trials,
        found["slower"] / sum(found.values()),
    )
    return f"| {title} | {trials} | {' | '.join(f'{100 * share:.1f} %' for share in shares)} |"


def rounds_needed(samples: Samples, slowdown: float, *, threshold: float, paired: bool, trials: int = 200) -> str:
    """The least number of rounds that finds `slowdown`: this run's, drawn anew, with one side slowed on paper."""
    chance = np.random.default_rng(0)
    a, again, limit = (np.array(samples[name]) for name in ("a", "again", "limit"))

    def found(rounds: int) -> bool:
        first, second = chance.integers(len(a), size=(2, rounds))
        if paired:
            base, new = a[first], again[first]
        else:
            base, new = a[first] / limit[first], again[second] / limit[second]
        new = new / (1 + slowdown)
        return compare(base.tolist(), new.tolist(), paired=paired, threshold=threshold).verdict == "slower"

    for rounds in _NUMBERS:
        if np.mean([found(rounds) for _ in range(trials)]) >= 0.95:
            return str(rounds)
    return f"more than {_NUMBERS[-1]}"


def needed_row(samples: Samples, slowdown: float, threshold: float) -> str:
    """The rounds that it takes to find `slowdown`, in both ways of comparing."""
    pairs, records = (rounds_needed(samples, slowdown, threshold=threshold, paired=paired) for paired in (True, False))
    return f"| {slowdown:.0%} | {threshold:.0%} | {pairs} | {records} |"


def lag_correlation(values: Sequence[float]) -> float:
    """Correlation of the logarithms of each value and the next."""
    logs = np.log(values)
    return float(np.corrcoef(logs[:-1], logs[1:])[0, 1])


def _relative_iqr(values: Sequence[float]) -> float:
    q1, median, q3 = np.quantile(values, [0.25, 0.5, 0.75]).tolist()
    return (q3 - q1) / median


def main() -> None:
    """Sample, count, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=480)
    parser.add_argument("--block", type=int, default=30)
    parser.add_argument("--out", type=Path, required=True, help="the report; its samples are kept beside it as JSON")
    parser.add_argument("--from", dest="source", type=Path, help="samples of an earlier run, in place of new ones")
    options = parser.parse_args()
    if options.source:
        samples = json.loads(options.source.read_text())
    else:
        samples = take_samples(options.rounds)
        write_atomically(options.out.with_suffix(".json"), json.dumps(samples).encode())
    blocks = blocks_of(samples, options.block)
    rows = [
        row("paired, in the same rounds", paired(blocks, "again"), paired(blocks, "slowed")),
        row(
            "two records, over the limit of their rounds",
            across(blocks, "again", divided=True),
            across(blocks, "slowed", divided=True),
        ),
        row(
            "two records, as they are",
            across(blocks, "again", divided=False),
            across(blocks, "slowed", divided=False),
        ),
    ]
    text = _REPORT.format(
        command=f"python -m bench.real_statistics --rounds {len(samples['a'])} --block {options.block}",
        machine=f"{processor()} ({cpu_instructions()})",
        rounds=len(samples["a"]),
        block=options.block,
        case=_CASE.key,
        slowdown=_SLOWDOWN,
        rows="\n".join(rows),
        spread=_relative_iqr(samples["a"]),
        within=float(np.median([_relative_iqr(block["a"]) for block in blocks])),
        own_lag=lag_correlation(samples["a"]),
        share_lag=lag_correlation(np.array(samples["a"]) / np.array(samples["limit"])),
        needed="\n".join(needed_row(samples, *pair) for pair in ((_SLOWDOWN, 0.02), (_SMALL_SLOWDOWN, 0.01))),
    )
    write_atomically(options.out, text.encode())


if __name__ == "__main__":
    main()
