"""How surely a history finds a step, how often it sees one that isn't there, and how long a thousand records take.

    python -m bench.studies.history --out results/history.md

The rates are of series of twenty figures whose truth is known: noise of some shapes, without a change, with a step of
5 % at four places, and with a dip of 5 % that ends again. A change counts as found at its place only if nothing else is
found. The time is of whole commands on a thousand copies of a record in `results/`, each with a date of its own and
other samples; every second case has a dip and a step.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from accelmnist.core.files import write_atomically
from accelmnist.device import processor
from accelmnist.device.loading import usable_threads
from accelmnist.measure.statistics.change import find_changes

SERIES, FIGURES, STEP = 2000, 20, 1.05
STEPS = (4, 7, 10, 15)
DIPS = ((8, 13), (6, 14))
RECORDS = 1000
SOURCE = Path("results/bench-cpu/bench.json")
Values = NDArray[np.float64]
Noise = Callable[[np.random.Generator], Values]

NOISES: dict[str, Noise] = {
    "normal, 1 %": lambda random: random.normal(0, 0.01, FIGURES),
    "lopsided, 1 %": lambda random: -0.01 * random.exponential(size=FIGURES),
    "Student's t with 3 degrees, 0.8 %": lambda random: 0.008 * random.standard_t(3, FIGURES),
    "normal, 1 %, one in twenty 30 % slower": lambda random: (
        random.normal(0, 0.01, FIGURES) - 0.3 * (random.random(FIGURES) < 0.05)
    ),
    "normal, 3 %": lambda random: random.normal(0, 0.03, FIGURES),
}


def rates_of(noise: Noise, random: np.random.Generator) -> list[str]:
    """False changes at the threshold of 2 % and at none; of each change, how often it is found there, and at all."""
    false = [
        np.mean([bool(find_changes(np.exp(noise(random)).tolist(), threshold=share)) for _ in range(SERIES)])
        for share in (0.02, 1e-9)
    ]
    figures, cells = np.arange(FIGURES), [f"{100 * share:.1f} %" for share in false]
    for first, last in (*((place, FIGURES) for place in STEPS), *DIPS):
        wanted = [place for place in (first, last) if place < FIGURES]
        slower = np.where((figures >= first) & (figures < last), np.log(STEP), 0.0)
        found = [
            [one.place for one in find_changes(np.exp(noise(random) - slower).tolist())] for _ in range(SERIES // 4)
        ]
        there, at_all = np.mean([[places == wanted, bool(places)] for places in found], axis=0)
        cells.append(f"{100 * there:.0f} % ({100 * at_all:.0f} %)")
    return cells


def limits_at(noise: float) -> tuple[float, float]:
    """The most that any method finds of a step by normal noise: its very place, and that there is one at all.

    The place: how often the likelihood is highest there if both levels and the noise are known, in a long series
    (Hinkley, "Inference about the change-point in a sequence of random variables", Biometrika 57, 1970; by Spitzer's
    identity for the two random walks). That there is one: a t-test that knows the place, of equal parts.
    """
    apart, numbers = math.log(STEP) / noise, np.arange(1, 10_000)
    place = float(np.exp(-2 * np.sum(stats.norm.cdf(-apart * np.sqrt(numbers) / 2) / numbers)))
    degrees, strength = FIGURES - 2, apart * math.sqrt(FIGURES) / 2
    return place, float(stats.nct.sf(stats.t.ppf(0.975, degrees), degrees, strength))


def seconds_of_records(folder: Path) -> tuple[str, str]:
    """Seconds of `accelmnist history` on a thousand records in `folder`, without the picture and with it."""
    document = json.loads(SOURCE.read_text(encoding="utf-8"))
    random = np.random.default_rng(0)
    samples = [np.array(case["images_per_s"]["samples"]) for case in document["cases"]]
    numbers = np.arange(RECORDS)
    changed = np.where((numbers >= 300) & (numbers < 340), 1 / STEP, 1.0) * np.where(numbers >= 600, STEP, 1.0)
    for index in range(RECORDS):
        document["created"] = f"2026-{1 + index // 84:02d}-{1 + index % 84 // 3:02d}T{8 * (index % 3):02d}:00:00+00:00"
        for number, (case, speeds) in enumerate(zip(document["cases"], samples, strict=True)):
            factor = random.lognormal(0, 0.01) * (changed[index] if number % 2 else 1.0)
            case["images_per_s"]["samples"] = (speeds * factor).tolist()
        own = folder / f"{index:04d}"
        own.mkdir()
        (own / "bench.json").write_text(json.dumps(document, indent=2), encoding="utf-8")
    taken = []
    for words in (["--no-save"], ["--out", str(folder / "history.png")]):
        started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "accelmnist", "history", str(folder), *words]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        taken.append(f"{time.perf_counter() - started:.1f} s ({used:.1f} s of a core)")
    return taken[0], taken[1]


def report() -> str:
    """The whole page."""
    random = np.random.default_rng(1)
    heads = ["noise of a figure", "false, from 2 % on", "false, of any size", *(f"step at {at}" for at in STEPS)]
    heads += [f"dip of {first} to {last}" for first, last in DIPS]
    rows = [[name, *rates_of(noise, random)] for name, noise in NOISES.items()]
    lines = [" | ".join(row) for row in (heads, ["---", *["---:"] * (len(heads) - 1)], *rows)]
    with tempfile.TemporaryDirectory() as folder:
        plain, drawn = seconds_of_records(Path(folder))
    place, at_all = limits_at(0.03)
    cases = len(json.loads(SOURCE.read_text(encoding="utf-8"))["cases"])
    return "\n".join(
        (
            "# What a history finds",
            "",
            f"Series of {FIGURES} figures: {SERIES} without a change, {SERIES // 4} with each step or dip of 5 %. The "
            "rate of false changes that is asked for is 5 %; only those of 2 % and more are shown. A step or a dip is "
            "found if it is where it was planted and nothing else is found; in brackets, how often anything is.",
            "",
            *(f"| {line} |" for line in lines),
            "",
            f"By normal noise of 3 % no method finds the very place of a step of 5 % in more than {100 * place:.0f} % "
            "of long series, even if it knows both levels and the noise; and none sees in more than "
            f"{100 * at_all:.0f} % that there is one at 10, even if it knows the place.",
            "",
            f"{RECORDS:,} records of {cases} cases, {SOURCE.stat().st_size / 1000:.0f} kB each: {plain} for the "
            f"whole command, {drawn} with the picture, on {usable_threads()} threads of {processor()}.",
            "",
            "Made by `python -m bench.studies.history --out results/history.md`.",
            "",
        )
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="the page in Markdown")
    write_atomically(parser.parse_args().out, report().encode())
