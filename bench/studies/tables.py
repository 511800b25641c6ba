"""The generated parts of README.md and results/README.md, each between two marks, so that no figure is typed by hand.

    accelmnist bench --out results/bench-cpu
    python -m bench.studies.tables bench results/bench-cpu

    accelmnist bench --ranks 1,2 --engines fused,eager --out results/ranks
    python -m bench.studies.tables ranks results/ranks

    python -m bench.studies.tables verdict results/readme

    pytest --benchmark-only --benchmark-json=benchmarks.json
    python -m bench.studies.tables benchmarks benchmarks.json

`bench` writes the whole benchmark into `bench.md` beside its record, all tables and pictures into results/README.md,
and the table of training into README.md. `ranks` writes one of several ranks into `ranks.md`, its answer and the table
of strong scaling into results/README.md, and so does `verdict` the checks of a finished run. `benchmarks`
writes the pairs into results/README.md and everything into results/benchmarks.md; the pairs come first, since a ratio
taken in turn in one run says more than two medians. pytest's JSON names the machine that made it, so only what the
tables are made from is kept of it, beside them.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from accelmnist.core.files import write_atomically
from accelmnist.core.records import RunRecord, load_record
from accelmnist.measure.record import BenchRecord
from accelmnist.measure.recount import load_bench
from accelmnist.show.bench.page import bench_note
from accelmnist.show.render.markdown import render_markdown

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
RESULTS_README = ROOT / "results" / "README.md"
COMMAND = "python -m bench.studies.tables"
BENCHMARKS_COMMAND = f"{COMMAND} benchmarks benchmarks.json"
_END = "<!-- end -->"
_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
_FIGURES = {
    "throughput.png": "Images a second of every case, with intervals and samples",
    "scaling.png": "Images a second by batch size, with the limit drawn in",
    "roofline.png": "What every case reaches of what this machine can do",
    "time-to-accuracy.png": "Seconds to the target accuracy, seed by seed",
}


def write_part(command: str, text: str, document: Path = RESULTS_README) -> None:
    """Put `text` into `document` between the mark that names `command` and the end mark that follows it."""
    begin = f"<!-- written by `{command}` -->"
    before, begun, rest = document.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(_END)
    assert begun, f"{document} lacks {begin}"
    assert closed, f"{document} lacks {_END} after {begin}"
    write_atomically(document, f"{before}{begin}\n{text}\n{_END}{after}".encode())


# --- a benchmark of `accelmnist bench`


def bench_part(folder: Path) -> str:
    """The part of results/README.md on the benchmark in `folder`: every table, and the pictures."""
    inside = os.path.relpath(folder, RESULTS_README.parent)
    pictures = [f"![{words}]({inside}/{name})" for name, words in _FIGURES.items() if (folder / name).exists()]
    more = f"[What holds each case back, what begins to pay and when, the doubts and the limits]({inside}/bench.md)."
    return "\n\n".join([render_markdown(bench_note(load_bench(folder), brief=True)).strip(), more, *pictures])


def training_part(record: BenchRecord) -> str:
    """The part of README.md on a benchmark: what was measured, the answer, the table of training, how to read it."""
    blocks = render_markdown(bench_note(record, brief=True)).strip().split("\n\n")
    titles = [index for index, block in enumerate(blocks) if block.startswith("**Training**")]
    last_table = max(index for index, block in enumerate(blocks) if block.startswith("| "))
    return "\n\n".join([*blocks[:2], *blocks[titles[0] : titles[0] + 2], *blocks[last_table + 1 :]])


def write_bench(folder: Path) -> None:
    """Write `bench.md` and both parts on the benchmark in `folder`."""
    record = load_bench(folder)
    command = f"{COMMAND} bench {folder.resolve().relative_to(ROOT)}"
    write_atomically(folder / "bench.md", render_markdown(bench_note(record)).encode())
    write_part(command, bench_part(folder))
    write_part(command, training_part(record), README)


def ranks_part(record: BenchRecord) -> str:
    """The part of results/README.md on several ranks: what was measured, the answer, strong scaling, how to read it."""
    blocks = render_markdown(bench_note(record)).strip().split("\n\n")
    weak = next(index for index, block in enumerate(blocks) if block.startswith("**Weak scaling"))
    return "\n\n".join(blocks[:weak])


def write_ranks(folder: Path) -> None:
    """Write `ranks.md` and the part on the benchmark of ranks in `folder`."""
    record = load_bench(folder)
    command = f"{COMMAND} ranks {folder.resolve().relative_to(ROOT)}"
    write_atomically(folder / "ranks.md", render_markdown(bench_note(record)).encode())
    write_part(command, ranks_part(record))


# --- the verdict of a run


def verdict_part(record: RunRecord) -> str:
    """The part of results/README.md on the verdict: every check of a run with its value, its limit and the reason."""
    assert record.verdict is not None
    verdict = record.verdict
    heads = "| check | found | allowed | what it is, and why so much is allowed |\n| --- | ---: | ---: | --- |"
    rows = [
        f"| {check.name} | {_figure(check.value)} | {_figure(check.limit)} | {check.detail}; {check.reason} |"
        for check in verdict.checks
    ]
    return "\n".join([f"**{'PASS' if verdict.passed else 'FAIL'}**, {_setting(record)}:", "", heads, *rows])


def _setting(record: RunRecord) -> str:
    environment, training = record.environment, record.config.training
    assert environment is not None
    network = "-".join(map(str, (784, *record.config.model.hidden, 10)))
    return (
        f"{network}, {training.optimizer}, {training.epochs} epochs, by {record.config.execution.engine} on "
        f"{environment.processor}, torch {environment.torch.partition('+')[0]}, {record.created[:10]}"
    )


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def write_verdict(folder: Path) -> None:
    """Write the part on the verdict of the run in `folder`."""
    command = f"{COMMAND} verdict {folder.resolve().relative_to(ROOT)}"
    write_part(command, verdict_part(load_record(folder)))


# --- the suite of pytest-benchmark


def pair_rows(benchmarks: list[dict[str, Any]]) -> list[str]:
    """A row a pair: the two ways, their images/s, and the median ratio with its quartiles."""
    rows = ["| ours | theirs | ours, images/s | theirs, images/s | ratio | quartiles |"]
    rows.append("| --- | --- | ---: | ---: | ---: | ---: |")
    for benchmark in benchmarks:
        if "ratio" not in benchmark["extra_info"]:
            continue
        ratio = benchmark["extra_info"]["ratio"]
        ways = {
            name: info["images_per_s"]["median"] for name, info in benchmark["extra_info"].items() if name != "ratio"
        }
        (ours, fast), (theirs, slow) = ways.items()
        quartiles = f"{ratio['first_quartile']:.2f} to {ratio['third_quartile']:.2f}"
        rows.append(f"| {ours} | {theirs} | {fast:,.0f} | {slow:,.0f} | **{ratio['median']:.2f}** | {quartiles} |")
    return rows


def single_rows(benchmarks: list[dict[str, Any]]) -> list[str]:
    """A row a benchmark: what, median, interquartile range, rounds."""
    rows = ["| benchmark | median | interquartile range | rounds |", "| --- | ---: | ---: | ---: |"]
    for benchmark in benchmarks:
        if "ratio" in benchmark["extra_info"]:
            continue
        stats = benchmark["stats"]
        name = benchmark["name"].removeprefix("test_").replace("_", " ").replace("[", " (").replace("]", ")")
        rows.append(f"| {name} | {_time(stats['median'])} | {_time(stats['iqr'])} | {stats['rounds']} |")
    return rows


def _time(value_s: float) -> str:
    scale, unit = next((pair for pair in _UNITS if value_s >= pair[0]), _UNITS[-1])
    return f"{value_s / scale:.3g} {unit}"


def benchmarks_parts(record: dict[str, Any]) -> tuple[str, str]:
    """The part of results/README.md on the suite's pairs, and results/benchmarks.md."""
    machine, benchmarks = record["machine_info"], record["benchmarks"]
    head = (
        f"784-128-10, batch 128, SGD, float32, on {machine['processor_name']} ({machine['threads']} threads, "
        f"{machine['instructions']}), torch {machine['torch'].partition('+')[0]}, {record['datetime'][:10]}:"
    )
    pairs = "\n".join([head, "", *pair_rows(benchmarks)])
    whole = ["# Benchmarks", "", f"Made by `pytest --benchmark-only` and `{BENCHMARKS_COMMAND}`.", "", pairs, ""]
    return pairs, "\n".join([*whole, *single_rows(benchmarks), ""])


def kept_benchmarks(document: dict[str, Any]) -> dict[str, Any]:
    """What `benchmarks_parts` needs of pytest-benchmark's JSON."""
    parts: dict[str, tuple[str, ...]] = {
        "machine_info": ("processor_name", "threads", "instructions", "torch"),
        "stats": ("median", "iqr", "rounds"),
    }

    def kept(inner: dict[str, Any], part: str) -> dict[str, Any]:
        return {name: inner[part][name] for name in parts[part]}

    benchmarks = [
        {"name": one["name"], "extra_info": one["extra_info"], "stats": kept(one, "stats")}
        for one in document["benchmarks"]
    ]
    return {"machine_info": kept(document, "machine_info"), "datetime": document["datetime"], "benchmarks": benchmarks}


def write_benchmarks(path: Path) -> None:
    """Write both tables of pytest-benchmark's JSON at `path`, and what they are made from."""
    record = kept_benchmarks(json.loads(path.read_text(encoding="utf-8")))
    pairs, page = benchmarks_parts(record)
    write_part(BENCHMARKS_COMMAND, pairs)
    write_atomically(ROOT / "results" / "benchmarks.md", page.encode())
    write_atomically(ROOT / "results" / "benchmarks.json", json.dumps(record).encode() + b"\n")


def main() -> None:
    """Write the parts that the command line names."""
    parser = argparse.ArgumentParser(
        prog=COMMAND, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    writers = {"bench": write_bench, "ranks": write_ranks, "verdict": write_verdict, "benchmarks": write_benchmarks}
    parser.add_argument("part", choices=tuple(writers))
    parser.add_argument("source", type=Path, help="the folder of a record, or the JSON of pytest-benchmark")
    arguments = parser.parse_args()
    writers[arguments.part](arguments.source)


if __name__ == "__main__":
    main()
