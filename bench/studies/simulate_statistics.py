"""Simulates what `accelmnist bench` concludes from noise whose truth is known: false alarms, power, coverage.

    python -m bench.studies.simulate_statistics --out results/statistics.md

A quiet benchmark machine has a jitter of 1 %, a shared one of 3 %; on top of it come what such machines do: they slow
down as they warm, neighbours stall them for a whole round or for one sample, and the clock jumps between two states.
Each is simulated sample by sample in the order of the measurement, two cases a round in random order, and judged by
`accelmnist.measure` itself. What must hold: no more than 5 % of A/A pairs are called faster or slower, and 95 % of the
pairs with a true slowdown of 5 % are called slower. A bar that is missed is in the table as it is.

The last column of the first table is the least number of rounds which finds a true 2 % in 95 % of the runs. It takes a
threshold below 2 %, here 1 %: where an effect just equals the threshold, half of all estimates fall short of it.

Speeds are relative to the quiet machine's. Every figure comes from `--trials` simulations; 5 % of 2,000 has a standard
error of 0.5 points.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from accelmnist.core.files import write_atomically
from accelmnist.measure.statistics.comparison import THRESHOLD, compare
from accelmnist.measure.statistics.controls import against_controls, machine_speeds, spread_of_controls
from accelmnist.measure.statistics.summary import minimum_samples, relative_half_width, summarize
from accelmnist.measure.statistics.symptoms import Code, RoundLoad, find_symptoms

Speeds = NDArray[np.float64]
Draw = Callable[[Generator, int], Speeds]

ROUNDS = 30
FALSE_ALARMS, POWER = 0.05, 0.95
COVERED = "covered"
CODES: tuple[Code, ...] = get_args(Code)
_EFFECT, _SMALL_EFFECT, _FINE_THRESHOLD = 0.05, 0.02, 0.01
_MOST_ROUNDS = 100
_PRECISION = 0.01
_COUNTS = (6, 10, 30)
_FIRST_LOOKS = (10, 20)
_LIMITS = 12  # that a benchmark of the default list measures beside its cases
_MACHINES = (  # what it is, how its level moves, and how its parts do by themselves
    ("stays as it is", 0.0, 0.0),
    ("moves by 3 %", 0.03, 0.0),
    ("moves by 3 %, its parts by 0.5 % each", 0.03, 0.005),
    ("moves by 3 %, its parts by 3 % each", 0.03, 0.03),
)
_RECORD_NOISES = ("jitter 2 %", "jitter 3 %", "jitter 2 %, 10 % of the rounds at half speed")

_REPORT = """# The statistics of `accelmnist bench`, put to the test

Simulated noise, whose truth is known, judged by the package's own functions. Made by

    {command}

Every figure comes from {trials} simulations in the first two tables, from half as many in the others and behind the
numbers of rounds, from a quarter where sampling stops by itself. Two bars must hold: at most 5 % of A/A pairs (the same
thing twice) are called faster or slower, and at least 95 % of true slowdowns of 5 % are found. **Bold** is a bar that
was missed.

## Two cases in the same rounds

{rounds} rounds, both cases in random order in each. A difference takes p < 5 % and 2 %. The last column has the least
number of rounds that finds a true slowdown of 2 % in 95 % of the runs; it needs a threshold below the effect, here 1 %.

{pairs}

## Two records

{rounds} rounds each, taken at different times. No test can tell a change of the machine from one of the program, so the
samples as they are miss both bars as soon as the machine's level moves. By the limits that were measured in the same
rounds, {limits} of them, it cancels. Where the machine's parts move by themselves, so may a case: then the limits tell
how much is to be allowed, false alarms stay rare, and a slowdown that is no larger than that can't be told from it.

{records}

## The 95 % interval of a median

How often it holds the true median, by the shape of the noise and the number of samples:

{coverage}

How often, where sampling stops as soon as the interval is within 1 %, after 100 samples at the latest. An interval that
is narrow by chance ends the sampling and stays, which costs a few points where the samples are noisy:

{stopping}

## Symptoms

How often each is reported: on clean noise, where every report is a false alarm (at most 5 % is the bar), and on what it
is there to report. On clean noise other processes use 1 % of the processors on average.

{symptoms}
"""

# --- noise: functions of the generator and the number of samples, in the order of time ---


def jitter(random: Generator, count: int, *, sigma: float) -> Speeds:
    """Independent lognormal noise."""
    noise: Speeds = np.exp(sigma * random.standard_normal(count))
    return noise


def drift(count: int, *, total: float) -> Speeds:
    """A steady change from 1 to `1 + total`."""
    return np.linspace(1, 1 + total, count)


def stalls(random: Generator, count: int, *, share: float, length: int) -> Speeds:
    """Half the speed for `length` samples at a time; `share` of all of them."""
    hit = random.random(math.ceil(count / length)) < share
    speeds: Speeds = np.where(np.repeat(hit, length)[:count], 0.5, 1.0)
    return speeds


def clock_states(random: Generator, count: int, *, distance: float, switching: float) -> Speeds:
    """Two states of the clock `distance` apart; it jumps with probability `switching` a sample."""
    jumps = random.random(count) < switching
    state = (np.cumsum(jumps) + random.integers(2)) % 2
    speeds: Speeds = 1.0 - distance * state.astype(np.float64)
    return speeds


NOISES: dict[str, Draw] = {
    "jitter 1 %": lambda random, count: jitter(random, count, sigma=0.01),
    "jitter 2 %": lambda random, count: jitter(random, count, sigma=0.02),
    "jitter 3 %": lambda random, count: jitter(random, count, sigma=0.03),
    "jitter 2 %, 10 % slower by the end": lambda random, count: (
        jitter(random, count, sigma=0.02) * drift(count, total=-0.10)
    ),
    "jitter 2 %, 10 % of the rounds at half speed": lambda random, count: (
        jitter(random, count, sigma=0.02) * stalls(random, count, share=0.10, length=2)
    ),
    "jitter 2 %, 5 % of the samples at half speed": lambda random, count: (
        jitter(random, count, sigma=0.02) * stalls(random, count, share=0.05, length=1)
    ),
    "jitter 2 %, two clock states 8 % apart, a jump every 10 samples": lambda random, count: (
        jitter(random, count, sigma=0.02) * clock_states(random, count, distance=0.08, switching=0.10)
    ),
    "all of these at once": lambda random, count: (
        jitter(random, count, sigma=0.02)
        * drift(count, total=-0.10)
        * stalls(random, count, share=0.10, length=2)
        * stalls(random, count, share=0.05, length=1)
        * clock_states(random, count, distance=0.08, switching=0.10)
    ),
}


FAULTS: dict[str, Draw] = {
    "jitter 2 %, the first sample at half speed": lambda random, count: (
        jitter(random, count, sigma=0.02) * np.where(np.arange(count) == 0, 0.5, 1.0)
    ),
    "jitter 2 %, 10 % slower by the end": NOISES["jitter 2 %, 10 % slower by the end"],
    "jitter 1 %, two clock states 8 % apart, a jump every 3 samples": lambda random, count: (
        jitter(random, count, sigma=0.01) * clock_states(random, count, distance=0.08, switching=0.33)
    ),
    "jitter 2 %, 5 % of the samples at half speed": NOISES["jitter 2 %, 5 % of the samples at half speed"],
    "jitter 12 %": lambda random, count: jitter(random, count, sigma=0.12),
}

# The shapes of noise for the interval of the median, each with the true one.
SHAPES: dict[str, tuple[Draw, float]] = {
    "normal, 3 %": (lambda random, count: 1 + 0.03 * random.standard_normal(count), 1.0),
    "lognormal, sigma 0.5": (lambda random, count: jitter(random, count, sigma=0.5), 1.0),
    "uniform": (lambda random, count: random.random(count) + 0.5, 1.0),
    "normal, 2 %; a tenth at half speed, a tenth at double": (
        lambda random, count: (
            (1 + 0.02 * random.standard_normal(count)) * random.choice([0.5, 1, 2], count, p=[0.1, 0.8, 0.1])
        ),
        1.0,
    ),
}

# --- experiments: each gives the labels of one trial ---

Trial = Callable[[Generator], Iterable[str]]


@dataclass(frozen=True)
class Simulator:
    """Runs a trial `trials` times, always from the same seed, and counts the labels that it gives."""

    trials: int
    seed: int

    def shares(self, trial: Trial) -> dict[str, float]:
        """In which share of the trials each label was given; 0 for all others."""
        random = np.random.default_rng(self.seed)
        counts = Counter(label for _ in range(self.trials) for label in trial(random))
        return defaultdict(float, {label: count / self.trials for label, count in counts.items()})


def interleaved(
    random: Generator, *, draw: Draw, rounds: int, slowdown: float = 0.0, threshold: float = THRESHOLD
) -> Iterable[str]:
    """The verdict on two cases in the same rounds, in random order within each; new takes `slowdown` longer."""
    speeds = random.permuted(draw(random, 2 * rounds).reshape(rounds, 2), axis=1)
    base, new = speeds[:, 0], speeds[:, 1] / (1 + slowdown)
    return [compare(base.tolist(), new.tolist(), paired=True, threshold=threshold).verdict]


def from_records(
    random: Generator,
    *,
    draw: Draw,
    rounds: int,
    level: float,
    apart: float,
    by_limits: bool,
    slowdown: float = 0.0,
) -> Iterable[str]:
    """The verdict on two records of a machine whose level moves by `level` (sigma) from one record to the next.

    A round is a sample of the case and one of each limit, each with its own noise; stalls hit two beside each other.
    From record to record each of them moves by `apart` (sigma) by itself too.
    """
    records = []
    for _ in range(2):
        levels = math.exp(level * random.standard_normal()) * np.exp(apart * random.standard_normal(1 + _LIMITS))
        records.append(levels * draw(random, rounds * (1 + _LIMITS)).reshape(rounds, 1 + _LIMITS))
    before, after = records
    base, new = before[:, 0].tolist(), (after[:, 0] / (1 + slowdown)).tolist()
    if not by_limits:
        return [compare(base, new, paired=False).verdict]
    sides = [{str(number): record[:, number].tolist() for number in range(1, 1 + _LIMITS)} for record in records]
    found = compare(base, new, paired=False, limits=machine_speeds(*sides))
    spread = spread_of_controls(*sides)
    assert spread is not None
    return [against_controls(found, spread, _LIMITS, threshold=THRESHOLD).verdict]


def coverage(random: Generator, *, draw: Draw, count: int, median: float) -> Iterable[str]:
    """Whether the interval of `count` samples holds the true `median`."""
    summary = summarize(draw(random, count).tolist())
    return [COVERED] if summary.low <= median <= summary.high else []


def coverage_when_stopped(random: Generator, *, draw: Draw, count: int) -> Iterable[str]:
    """The same for a median of 1, where sampling stops once the interval is within 1 %, after `count` samples or more.

    The figure that stops it is the interval itself: one that is narrow by chance ends the sampling and stays.
    """
    samples = draw(random, _MOST_ROUNDS).tolist()
    looks = (summarize(samples[:end]) for end in range(count, _MOST_ROUNDS + 1))
    summary = next(
        look for look in looks if relative_half_width(look) <= _PRECISION or len(look.samples) == len(samples)
    )
    return [COVERED] if summary.low <= 1 <= summary.high else []


def symptoms(random: Generator, *, draw: Draw, count: int) -> Iterable[str]:
    """The codes of the symptoms of one case; the machine's idle services use 1 % of it on average."""
    load = [RoundLoad(idle, throttled=False) for idle in random.exponential(0.01, count).tolist()]
    return [symptom.code for symptom in find_symptoms(draw(random, count).tolist(), load=load)]


def rounds_for_a_small_effect(simulator: Simulator, draw: Draw) -> str:
    """The least number of rounds that finds a slowdown of 2 % in 95 % of the trials."""
    fewest, enough = minimum_samples(), _MOST_ROUNDS + 1
    while fewest < enough:
        rounds = (fewest + enough) // 2
        trial = partial(interleaved, draw=draw, rounds=rounds, slowdown=_SMALL_EFFECT, threshold=_FINE_THRESHOLD)
        if simulator.shares(trial)["slower"] >= POWER:
            enough = rounds
        else:
            fewest = rounds + 1
    return str(enough) if enough <= _MOST_ROUNDS else f"more than {_MOST_ROUNDS}"


# --- tables ---

Row = Sequence[str]


def table_of_pairs(simulator: Simulator, rounds: int) -> Iterator[Row]:
    """Two cases in the same rounds, under each noise."""
    yield "noise", "A/A: a difference is claimed", "A/A: same", "true 5 % found", "rounds that find 2 %"
    for name, draw in NOISES.items():
        alike = simulator.shares(partial(interleaved, draw=draw, rounds=rounds))
        slower = simulator.shares(partial(interleaved, draw=draw, rounds=rounds, slowdown=_EFFECT))
        needed = rounds_for_a_small_effect(Simulator(simulator.trials // 2, simulator.seed), draw)
        yield name, _false_alarms(alike), _percent(alike["same"]), _power(slower), needed


def table_of_records(simulator: Simulator, rounds: int) -> Iterator[Row]:
    """Two records, with and without their limits, of a machine that stays as it is or doesn't."""
    yield "machine", "noise", "samples", "A/A: a difference is claimed", "true 5 % found"
    for (machine, level, apart), name, by_limits in product(_MACHINES, _RECORD_NOISES, (False, True)):
        trial = partial(from_records, draw=NOISES[name], rounds=rounds, level=level, apart=apart, by_limits=by_limits)
        alike, slower = simulator.shares(trial), simulator.shares(partial(trial, slowdown=_EFFECT))
        samples = "against the limits" if by_limits else "as they are"
        yield machine, name, samples, _false_alarms(alike), _power(slower)


def table_of_coverage(simulator: Simulator) -> Iterator[Row]:
    """How often the 95 % interval of the median holds the true one, by the shape of the noise."""
    yield "noise", *(f"{count} samples" for count in _COUNTS)
    for name, (draw, median) in SHAPES.items():
        trials = (partial(coverage, draw=draw, count=count, median=median) for count in _COUNTS)
        yield name, *(_percent(simulator.shares(trial)[COVERED]) for trial in trials)


def table_of_stopping(simulator: Simulator) -> Iterator[Row]:
    """The same, where sampling stops by itself."""
    yield "noise", *(f"first look after {count}" for count in _FIRST_LOOKS)
    for name in ("jitter 1 %", "jitter 2 %", "jitter 3 %"):
        trials = (partial(coverage_when_stopped, draw=NOISES[name], count=count) for count in _FIRST_LOOKS)
        yield name, *(_percent(simulator.shares(trial)[COVERED]) for trial in trials)


def table_of_symptoms(simulator: Simulator, rounds: int) -> Iterator[Row]:
    """How often each symptom is reported, on clean noise and on what it is there to report."""
    yield "noise", "samples", *CODES
    clean = product(("jitter 1 %", "jitter 3 %"), _COUNTS)
    for name, count in (*clean, *((name, rounds) for name in FAULTS)):
        shares = simulator.shares(partial(symptoms, draw=(NOISES | FAULTS)[name], count=count))
        yield name, str(count), *(_percent(shares[code]) for code in CODES)


def _false_alarms(shares: dict[str, float]) -> str:
    return _marked(shares["faster"] + shares["slower"], holds=shares["faster"] + shares["slower"] <= FALSE_ALARMS)


def _power(shares: dict[str, float]) -> str:
    return _marked(shares["slower"], holds=shares["slower"] >= POWER)


def _marked(share: float, *, holds: bool) -> str:
    return _percent(share) if holds else f"**{_percent(share)}**"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def markdown(rows: Iterable[Row]) -> str:
    """A Markdown table; the first row is its head."""
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    rule = "|" + " --- |" * (head.count(" | ") + 1)
    return "\n".join((head, rule, *body))


def report(simulator: Simulator, rounds: int) -> str:
    """All tables with what they mean; bold is a bar that was missed."""
    few = Simulator(simulator.trials // 2, simulator.seed)
    return _REPORT.format(
        command=f"python -m bench.studies.simulate_statistics --out results/statistics.md --rounds {rounds}"
        f" --trials {simulator.trials} --seed {simulator.seed}",
        rounds=rounds,
        trials=f"{simulator.trials:,}",
        pairs=markdown(table_of_pairs(simulator, rounds)),
        limits=_LIMITS,
        records=markdown(table_of_records(simulator, rounds)),
        coverage=markdown(table_of_coverage(few)),
        stopping=markdown(table_of_stopping(Simulator(simulator.trials // 4, simulator.seed))),
        symptoms=markdown(table_of_symptoms(few, rounds)),
    )


def main() -> None:
    """Run all simulations and write the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.studies.simulate_statistics",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, help="Markdown file to write")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"rounds of a comparison [{ROUNDS}]")
    parser.add_argument("--trials", type=int, default=2000, help="simulations behind a figure [2000]")
    parser.add_argument("--seed", type=int, default=0, help="of all random numbers [0]")
    options = parser.parse_args()
    text = report(Simulator(options.trials, options.seed), options.rounds)
    write_atomically(options.out, text.encode())


if __name__ == "__main__":
    main()
