"""How often a benchmark beside finds a difference that is there, and claims one that is not.

    python -m bench.studies.beside_rates --runs 20 --out results/beside.md

Runs `accelmnist bench --beside --fail-on 2%` of eager, by turns against itself and with steps that wait for 2 % of
their own time, each run in at most so many seconds. The record beside the report keeps the ratio of every pair of
processes; benchmarks made of pairs that are drawn from all of them give the rates to more digits than the runs can.
`--from` makes the report anew, and a run that is broken off keeps those that were done; it goes on from there.
`--cost` measures what a benchmark of both programs takes beside one of each.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Container, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from accelmnist.core.files import write_atomically
from accelmnist.device import processor
from accelmnist.measure.beside.rounds import measure_beside
from accelmnist.measure.beside.verdict import pairs_of, regressions
from accelmnist.measure.conclusion import over_side
from accelmnist.measure.plan import OURS, BenchConfig, Side
from accelmnist.measure.record import BenchObserver, BenchRecord, CaseResult
from accelmnist.measure.recount import load_bench
from accelmnist.measure.session import BenchRequest, Session, new_record
from accelmnist.measure.statistics.comparison import compare
from accelmnist.measure.statistics.summary import summarize
from accelmnist.show.units import percent
from bench.studies.faults.fault import fault
from bench.studies.faults.planting import ROOT, planted

_SLOWER = 0.02
_SIMULATED = 1000
_STEPS = "        return torch.stack([self.step(*step) for step in epoch.steps()])\n"
_WAITS = f"""        import time

        began = time.perf_counter()
        losses = torch.stack([self.step(*step) for step in epoch.steps()])
        now = time.perf_counter()
        ends = now + {_SLOWER} * (now - began)
        while time.perf_counter() < ends:
            pass
        return losses
"""
SLOWER = fault("slower", "every step takes 2 % longer", "engines/step/torch_steps.py", _STEPS, _WAITS)
_OPTIONS = ("--engines", "eager", "--mode", "training", "--batch-sizes", "256", "--fail-on", f"{_SLOWER:.0%}")

_REPORT = """# A benchmark beside: what it finds, and what it claims

Made by `python -m bench.studies.beside_rates` on {machine}, {day}: {runs}, each of `accelmnist bench --beside`
in at most {seconds:.0f} s, of 784-256-10 by eager in batches of 256 on the CPU. A planted slowdown waits for 2 % of a
step's own time; the other side is the same program without it.

| | runs | this program is said to be slower | drawn from all pairs |
| --- | ---: | ---: | ---: |
| 2 % slower | {slower_runs} | {slower_found} | {slower_rate} |
| the same | {same_runs} | {same_found} | {same_rate} |

A run had {parts:.0f} pairs of processes and {rounds:.0f} rounds in the median. The ratios of pairs of processes of one
program have a standard deviation of {spread}, and the furthest is {furthest} from 1. The ratio that a run says
was off by at most {half} in half of the runs, and by {most} in all; of the same program it was {bias} in
the mean.
"""
_COST_REPORT = """
What a benchmark of both takes, with {rounds} rounds in {parts} parts, beside one of each side alone with as many:

| | until the first round, s | a further part, s | a round, ms | in all, s | requests, of a region |
| --- | ---: | ---: | ---: | ---: | ---: |
{rows}

Both take {ratio:.2f} times the sum of each alone (the bar is 1.10). Medians of {runs} runs of each, by turns.
"""


def measure(kind: str, seconds: float) -> dict[str, Any]:
    """One benchmark: of the program with steps that are "slower" against the one without, or of "same" ones."""
    with planted(SLOWER) as folder, tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "bench"
        command = [sys.executable, "-m", "accelmnist", "bench", "--beside", f"base=PYTHONPATH={ROOT} python"]
        command += [*_OPTIONS, "--time-limit", str(seconds), "--quiet", "--out", str(out)]
        environment = os.environ | {"PYTHONPATH": str(folder if kind == "slower" else ROOT)}
        subprocess.run(command, env=environment, cwd=scratch, check=False, stdout=subprocess.DEVNULL)
        record = load_bench(out)
    wrong = [check.name for one in record.cases if one.verdict for check in one.verdict.failures]
    if wrong or not pairs_of(record):
        raise SystemExit(f"{kind}: {record.status}, {record.message}; wrong: {', '.join(wrong)}")
    ((ours, _, over),) = pairs_of(record)
    by_process = _by_process(record)
    return {
        "kind": kind,
        "found": bool(regressions(record)),
        "ratio": over.ratio,
        "interval": [over.low, over.high],
        "rounds": len(ours.rounds),
        "processes": by_process,
        "seconds": record.elapsed_s,
    }


@dataclass(frozen=True)
class Taken:
    """Seconds of a benchmark: until its first round is over, of every further part's start, and of a round."""

    first_s: float
    part_s: float
    round_s: float
    rounds: int
    parts: int
    protocol_share: float

    def of(self, rounds: int, parts: int) -> float:
        """What so many rounds in so many parts take."""
        return self.first_s + (parts - 1) * self.part_s + (rounds - 1) * self.round_s


class _Clock(BenchObserver):
    """Notes when a round is over, and of which part it is."""

    def __init__(self) -> None:
        self.rounds: list[tuple[float, int]] = []

    def round_done(self, record: BenchRecord) -> None:
        """A round is over."""
        self.rounds.append((time.perf_counter(), record.rounds[-1].process))


def taken(names: Container[str], seconds: float) -> Taken:
    """A benchmark of some sides, as `accelmnist bench --beside` makes it; once a process, which keeps what it knows."""
    side = Side(name="base", command=f"PYTHONPATH={ROOT} python")
    config = BenchConfig(
        engines=("eager",), modes=("training",), batch_sizes=(256,), beside=(side,), time_limit_s=seconds
    )
    began, clock = time.perf_counter(), _Clock()
    session = Session(BenchRequest(record=new_record(config)), clock)
    measure_beside(session, [case for case in session.runnable() if (case.side or OURS) in names])
    gaps = [(later - earlier, part != before) for (earlier, before), (later, part) in pairwise(clock.rounds)]
    round_s = float(np.mean([gap for gap, is_start in gaps if not is_start]))  # what is done every few rounds counts
    return Taken(
        first_s=clock.rounds[0][0] - began,
        part_s=float(np.median([gap for gap, is_start in gaps if is_start])) - round_s,
        round_s=round_s,
        rounds=len(clock.rounds),
        parts=1 + sum(is_start for _, is_start in gaps),
        protocol_share=max(facts.protocol_share or 0.0 for facts in session.writer.record.sides),
    )


def _by_process(record: BenchRecord) -> list[float]:
    """The ratio of every pair of processes."""
    ((ours, theirs, _),) = pairs_of(record)
    processes = sorted({round_.process for round_ in record.rounds})
    rounds = {round_.number: round_ for round_ in record.rounds}
    ratios = []
    for process in processes:
        own = {number: one for number, one in rounds.items() if one.process == process}
        over = over_side(_of(ours, own), _of(theirs, own), rounds, _SLOWER / 2)
        ratios += [] if over is None else [over.ratio]
    return ratios


def _of(result: CaseResult, rounds: Container[int]) -> CaseResult:
    assert result.images_per_s is not None
    kept = [(n, s) for n, s in zip(result.rounds, result.images_per_s.samples, strict=True) if n in rounds]
    numbers, samples = zip(*kept, strict=True)
    return replace(result, rounds=numbers, images_per_s=summarize(samples))


def simulated(ratios: Sequence[float], parts: int, slowdown: float, rng: np.random.Generator) -> float:
    """The share of benchmarks of so many pairs, drawn from `ratios` of equal programs, that call this one slower."""
    logs = np.abs(np.log(ratios))
    found = 0
    for _ in range(_SIMULATED):
        drawn = rng.choice(logs, parts) * rng.choice((-1, 1), parts) - np.log1p(slowdown)
        over = compare([1.0] * parts, np.exp(drawn).tolist(), paired=True, threshold=_SLOWER / 2)
        found += over.verdict == "slower"
    return found / _SIMULATED


_COST_RUNS = {"both": (OURS, "base"), "this program alone": (OURS,), "the other side alone": ("base",)}


def cost_report(cost: dict[str, list[dict[str, Any]]]) -> str:
    """What both take beside the sum of each alone, as Markdown."""
    known = {name: [Taken(**one) for one in ones] for name, ones in cost.items()}
    rounds, parts = (int(np.median([getattr(one, of) for one in known["both"]])) for of in ("rounds", "parts"))
    in_all = {name: float(np.median([one.of(rounds, parts) for one in ones])) for name, ones in known.items()}
    rows = []
    for name, ones in known.items():
        first_s, part_s, round_s, share = (
            float(np.median([getattr(one, of) for one in ones]))
            for of in ("first_s", "part_s", "round_s", "protocol_share")
        )
        cells = [f"{first_s:.1f}", f"{part_s:.2f}", f"{1e3 * round_s:.1f}", f"{in_all[name]:.1f}"]
        rows.append(f"| {' | '.join([name, *cells, percent(share, digits=2)])} |")
    alone = sum(seconds for name, seconds in in_all.items() if name != "both")
    ratio, runs = in_all["both"] / alone, len(known["both"])
    return _COST_REPORT.format(rounds=rounds, parts=parts, rows="\n".join(rows), ratio=ratio, runs=runs)


def report(document: dict[str, Any]) -> str:
    """The report as Markdown."""
    runs = document["runs"]
    by_kind = {kind: [run for run in runs if run["kind"] == kind] for kind in ("slower", "same")}
    same = [ratio for run in by_kind["same"] for ratio in run["processes"]]
    parts = int(np.median([len(run["processes"]) for run in runs]))
    off = [abs(np.log(run["ratio"]) + (np.log1p(_SLOWER) if run["kind"] == "slower" else 0)) for run in runs]
    rng = np.random.default_rng(0)
    found = {kind: sum(run["found"] for run in ones) for kind, ones in by_kind.items()}
    rates = _REPORT.format(
        machine=document["machine"],
        day=document["day"],
        seconds=document["seconds"],
        runs=f"{len(runs)} runs by turns",
        slower_runs=len(by_kind["slower"]),
        same_runs=len(by_kind["same"]),
        slower_found=found["slower"],
        same_found=found["same"],
        slower_rate=percent(simulated(same, parts, _SLOWER, rng), digits=1),
        same_rate=percent(simulated(same, parts, 0.0, rng), digits=1),
        parts=parts,
        rounds=np.median([run["rounds"] for run in runs]),
        spread=percent(float(np.std(np.log(same))), digits=1),
        furthest=percent(float(np.abs(np.log(same)).max()), digits=1),
        half=percent(float(np.median(off)), digits=1),
        most=percent(max(off), digits=1),
        bias=f"{np.exp(np.mean(np.log([run['ratio'] for run in by_kind['same']]))):.4f}",
    )
    return rates + (cost_report(document["cost"]) if "cost" in document else "")


def main() -> None:
    """Measure, unless a saved record's report is wanted, and write both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20, help="of each kind (default 20)")
    parser.add_argument("--seconds", type=float, default=170.0, help="of a run at most (default 170)")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "beside.md")
    parser.add_argument("--cost", type=int, default=0, help="runs of both sides, and of each alone, to add")
    parser.add_argument("--from", dest="saved", action="store_true", help="make the report of what is there anew")
    arguments = parser.parse_args()
    file = arguments.out.with_suffix(".json")
    document: dict[str, Any] = {"machine": processor(), "seconds": arguments.seconds, "runs": []}
    if file.exists():
        document = json.loads(file.read_text(encoding="utf-8"))
    for _ in range(arguments.cost):
        for name, sides in _COST_RUNS.items():
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                one = pool.submit(taken, sides, document["seconds"] / 2).result()
            print(f"{name}: {one}", file=sys.stderr)
            document.setdefault("cost", {}).setdefault(name, []).append(asdict(one))
        write_atomically(file, (json.dumps(document, indent=1) + "\n").encode())
    while not arguments.saved and len(document["runs"]) < 2 * arguments.runs:
        kind = ("same", "slower")[len(document["runs"]) % 2]
        run = measure(kind, document["seconds"])
        print(f"{len(document['runs']) + 1}: {kind}: {run['ratio']:.4f}, found: {run['found']}", file=sys.stderr)
        document["runs"].append(run)
        document["day"] = datetime.now(UTC).date().isoformat()
        write_atomically(file, (json.dumps(document, indent=1) + "\n").encode())
    write_atomically(arguments.out, report(document).encode())


if __name__ == "__main__":
    main()
