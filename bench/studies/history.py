"""How surely a history finds a step, how often it sees one that isn't there, and how long a thousand records take.

    python -m bench.studies.history --out results/history.md

The rates are of series of twenty figures whose truth is known: noise of some shapes, without a step and with one of
5 % at four places. A step counts as found at its place only if it is the one that is found. The time is of whole
commands on a thousand copies of a record in `results/`, each with a date of its own and other samples.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from accelmnist.core.files import write_atomically
from accelmnist.measure.statistics.change import find_changes

SERIES, FIGURES, STEP = 2000, 20, 1.05
PLACES = (4, 7, 10, 15)
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
    """False changes at the threshold of 2 % and at none; at each place, how often the step is found there."""
    false = [
        np.mean([bool(find_changes(np.exp(noise(random)).tolist(), threshold=share)) for _ in range(SERIES)])
        for share in (0.02, 1e-9)
    ]
    found = []
    for place in PLACES:
        logs = [noise(random) - np.where(np.arange(FIGURES) < place, 0.0, np.log(STEP)) for _ in range(SERIES // 4)]
        found.append(np.mean([[one.place for one in find_changes(np.exp(log).tolist())] == [place] for log in logs]))
    return [*(f"{100 * share:.1f} %" for share in false), *(f"{100 * share:.0f} %" for share in found)]


def seconds_of_records(folder: Path) -> tuple[str, str]:
    """Seconds of `accelmnist history` on a thousand records in `folder`, without the picture and with it."""
    document = json.loads(SOURCE.read_text(encoding="utf-8"))
    random = np.random.default_rng(0)
    samples = [np.array(case["images_per_s"]["samples"]) for case in document["cases"]]
    for index in range(RECORDS):
        document["created"] = f"2026-{1 + index // 84:02d}-{1 + index % 84 // 3:02d}T{8 * (index % 3):02d}:00:00+00:00"
        for case, speeds in zip(document["cases"], samples, strict=True):
            case["images_per_s"]["samples"] = (speeds * random.lognormal(0, 0.01)).tolist()
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
    heads = ["noise of a figure", "false, from 2 % on", "false, of any size", *(f"found, at {at}" for at in PLACES)]
    rows = [[name, *rates_of(noise, random)] for name, noise in NOISES.items()]
    lines = [" | ".join(row) for row in (heads, ["---", *["---:"] * (len(heads) - 1)], *rows)]
    with tempfile.TemporaryDirectory() as folder:
        plain, drawn = seconds_of_records(Path(folder))
    cases = len(json.loads(SOURCE.read_text(encoding="utf-8"))["cases"])
    return "\n".join(
        (
            "# What a history finds",
            "",
            f"Series of {FIGURES} figures: {SERIES} without a step, {SERIES // 4} with one of 5 % at each place. "
            "The rate of false changes that is asked for is 5 %; only those of 2 % and more are shown.",
            "",
            *(f"| {line} |" for line in lines),
            "",
            f"{RECORDS:,} records of {cases} cases, {SOURCE.stat().st_size / 1000:.0f} kB each: {plain} for the "
            f"whole command, {drawn} with the picture.",
            "",
            "Made by `python -m bench.studies.history --out results/history.md`.",
            "",
        )
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="the page in Markdown")
    write_atomically(parser.parse_args().out, report().encode())
