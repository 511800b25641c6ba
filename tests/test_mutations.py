"""Files that lie: 2,000 seeded mutations of what the program reads, and none ends in a traceback or takes the memory.

Records are mutated as JSON, at a place and by a value, all others as bytes; what is still accepted is shown in every
way. All of it happens in this process.
"""

from __future__ import annotations

import copy
import io
import json
import random
import resource
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accelmnist.analysis.evidence import MissingEvidence
from accelmnist.analysis.neurons.analysis import describe_neurons
from accelmnist.analysis.neurons.record import load_neurons, save_neurons
from accelmnist.cli import invoke
from accelmnist.core.config import ModelConfig, RunConfig, TrainingConfig
from accelmnist.core.errors import AccelmnistError
from accelmnist.core.records import load_record, save_record
from accelmnist.data.idx import read_idx, write_idx
from accelmnist.data.types import DIGIT_NAMES
from accelmnist.engines.model import MLP
from accelmnist.measure.conclusion import conclude as conclude_bench
from accelmnist.measure.record import save_bench
from accelmnist.measure.recount import load_bench
from accelmnist.show.analysis import neurons_page
from accelmnist.show.bench.page import bench_note, bench_page
from accelmnist.show.pictures import write_bench_pictures, write_neuron_pictures, write_pictures, write_sweep_pictures
from accelmnist.show.render.console import as_text
from accelmnist.show.render.markdown import render_markdown
from accelmnist.show.render.report import render_html
from accelmnist.show.report.compose import ReportOptions, compose
from accelmnist.show.report.sources import load_sources
from accelmnist.show.summary import format_line, run_page
from accelmnist.show.sweep.page import sweep_page
from accelmnist.sweep.conclusion import conclude
from accelmnist.sweep.record import save_sweep
from accelmnist.sweep.recount import load_sweep
from accelmnist.training.checkpoint import (
    Checkpoint,
    load_checkpoint,
    load_model,
    save_checkpoint,
    save_model,
    weights_of,
)
from tests.bench_samples import sample_bench
from tests.neuron_samples import planted
from tests.samples import sample_epoch, sample_images, sample_record, sample_weights
from tests.sweep_samples import sweep_config, sweep_record, with_winner

MUTATIONS = 2000
MOST_BYTES = 500_000_000
DEEP: Any = []
for _ in range(300):
    DEEP = [DEEP]
NUMBERS = (0, -1, 1, 2, 11, 12, 0.5, -0.5, 1e308, -1e308, 5e-324, 1e-9, 1e18, 2**31, 2**53, 2**63 - 1, 2**63, 10**30)
TEXTS = ("", "x" * 100_000, "\x1b[2J\x1b]0;x\x07", "‮evil", "\ud800", "../outside", "/etc", "a\nb\0c", "nan", "é" * 300)
VALUES: tuple[Any, ...] = (None, True, False, [], {}, [[]], [0.0, 1.0], {"a": {"b": []}}, DEEP, *NUMBERS, *TEXTS)

Reader = Callable[[Path, bool], None]


def show_run(file: Path, thoroughly: bool) -> None:
    record = load_record(file)
    as_text(run_page(record, file.parent), width=80)
    render_markdown(run_page(record))
    format_line(record)
    if thoroughly:
        report(file)
        mistakes = sample_images(len(record.mistakes))
        write_pictures(record, file.parent / "drawn", weights=sample_weights(4), mistake_images=mistakes)


def show_bench(file: Path, thoroughly: bool) -> None:
    record = load_bench(file)
    as_text(bench_page(record, file.parent), width=80)
    render_markdown(bench_note(record))
    if thoroughly:
        report(file)
        write_bench_pictures(record, file.parent / "drawn")
        say(["compare", str(file), str(file.parent.parent / "whole" / "bench.json")])


def show_sweep(file: Path, thoroughly: bool) -> None:
    record = load_sweep(file)
    as_text(sweep_page(record, file.parent), width=80)
    render_markdown(sweep_page(record))
    conclude(record)
    if thoroughly:
        report(file)
        write_sweep_pictures(record, file.parent / "drawn")


def show_neurons(file: Path, thoroughly: bool) -> None:
    record = load_neurons(file)
    as_text(neurons_page(record, top=12, folder=file.parent), width=80)
    if thoroughly:
        report(file.parent / "run.json")
        images, weights = sample_images(record.test_images), sample_weights(len(record.neurons))
        inked = np.ones(784, dtype=bool)
        write_neuron_pictures(record, file.parent / "drawn", weights=weights, images=images, inked=inked)


def report(file: Path) -> None:
    render_html(compose(load_sources([file]), MissingEvidence("none"), ReportOptions()))


def predict(file: Path, _thoroughly: bool) -> None:
    load_model(file)
    say(["predict", str(file.parent.parent / "whole" / "images.idx"), "--model", str(file), "--limit", "1"])


def go_on(file: Path, _thoroughly: bool) -> None:
    checkpoint = load_checkpoint(file)
    checkpoint.losses.numpy().reshape(max(len(checkpoint.epochs), 1), -1)


def read_images(file: Path, thoroughly: bool) -> None:
    read_idx(file)
    if thoroughly:
        say(["predict", str(file), "--model", str(file.parent.parent / "whole"), "--limit", "2"])


def compare(file: Path, _thoroughly: bool) -> None:
    say(["compare", str(file.parent.parent / "whole" / "peers.json"), str(file)])


def say(arguments: list[str]) -> None:
    """A command line, whose failure is one short line."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = invoke(arguments)
    lines = err.getvalue().splitlines()
    assert code in (0, 1, 2)
    assert len(lines) <= 1
    assert all(len(line) < 1500 and line.isprintable() for line in lines), lines


READERS: dict[str, tuple[str, Reader]] = {
    "run.json": ("json", show_run),
    "bench.json": ("json", show_bench),
    "sweep.json": ("json", show_sweep),
    "neurons.json": ("json", show_neurons),
    "peers.json": ("json", compare),
    "model.safetensors": ("header", predict),
    "checkpoint.safetensors": ("header", go_on),
    "images.idx": ("bytes", read_images),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one good file of each kind."""
    folder = tmp_path_factory.mktemp("files") / "whole"
    folder.mkdir()
    config = RunConfig(model=ModelConfig(hidden=(16,)), training=TrainingConfig(epochs=5, batch_size=512))
    record = sample_record(hidden=(16,))
    save_record(record, folder)
    bench = sample_bench()
    save_bench(conclude_bench(replace(bench, cases=bench.cases[:6])), folder)
    save_sweep(with_winner(sweep_record(sweep_config(hidden=((8,), (64,)), outputs=("softmax",)))), folder)
    made = planted(500)
    save_neurons(describe_neurons(made.model, made.data), folder)
    model = MLP(config.model, seed=1)
    save_model(model, folder / "model.safetensors", class_names=DIGIT_NAMES, dataset="mnist")
    weights = weights_of(model)
    state = {f"{slot}/{name}": value.clone() for slot in ("exp_avg", "exp_avg_sq") for name, value in weights.items()}
    import torch

    epochs = (sample_epoch(1), sample_epoch(2))
    kept = Checkpoint(config=config, weights=weights, state=state, losses=torch.ones(20), epochs=epochs)
    save_checkpoint(kept, folder / "checkpoint.safetensors")
    write_idx(folder / "images.idx", sample_images(4).reshape(4, 28, 28))
    stats = {"data": [0.001 + 1e-5 * number for number in range(12)]}
    benchmark = {"fullname": "test.py::test_one", "stats": stats, "options": {"timer": "perf_counter"}}
    document = {"benchmarks": [benchmark], "machine_info": {"cpu": {"count": 2}}, "commit_info": {}, "version": "5"}
    (folder / "peers.json").write_text(json.dumps(document))
    return folder


def mutated_json(content: Any, rng: random.Random) -> Any:
    """The document with one place changed, at any depth; long lists are no likelier than short ones."""
    document = copy.deepcopy(content)
    holder, depth = document, rng.randint(0, 6)
    while True:
        key = rng.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        inner = holder[key]
        if depth == 0 or not isinstance(inner, dict | list) or not inner:
            break
        holder, depth = inner, depth - 1
    kind = rng.randint(0, 9)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, list):
        holder.append(copy.deepcopy(inner))
    elif kind == 2 and isinstance(inner, int | float):
        holder[key] = -inner if rng.random() < 0.5 else inner * 1000 + 1
    elif kind == 3 and isinstance(holder, dict):
        holder[rng.choice(TEXTS)] = inner
    elif isinstance(inner, int | float) and kind < 7:
        holder[key] = rng.choice(NUMBERS)
    elif isinstance(inner, str) and kind < 7:
        holder[key] = rng.choice(TEXTS)
    else:
        holder[key] = copy.deepcopy(rng.choice(VALUES))
    return document


def mutated_bytes(content: bytes, rng: random.Random) -> bytes:
    """Some bytes of the first hundred, or of any, flipped, cut off, doubled or put in."""
    at = rng.randrange(min(len(content), rng.choice((16, 200, len(content)))))
    some = bytes(rng.randrange(256) for _ in range(rng.randint(1, 8)))
    kinds = (content[:at], content[:at] + some + content[at + len(some) :], content[:at] + some + content[at:])
    return rng.choice((*kinds, content + content[at:]))


def mutated(content: bytes, kind: str, rng: random.Random) -> bytes:
    """The bytes of a mutated file; of safetensors, its header is mutated as JSON, and what is JSON in that."""
    if kind == "bytes" or rng.random() < 0.1:
        return mutated_bytes(content, rng)
    if kind == "json":
        return json.dumps(mutated_json(json.loads(content), rng)).encode()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    if rng.random() < 0.5:
        own = mutated_json(json.loads(header["__metadata__"]["accelmnist"]), rng)
        header["__metadata__"]["accelmnist"] = json.dumps(own)
    else:
        header = mutated_json(header, rng)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


@pytest.mark.slow
def test_no_mutation_ends_in_a_traceback_or_takes_the_memory(whole: Path) -> None:
    rng = random.Random(13)
    folder = whole.parent / "mutated"
    folder.mkdir()
    contents = {name: (whole / name).read_bytes() for name in READERS}
    for name, (_, read) in READERS.items():
        (folder / name).write_bytes(contents[name])
        read(folder / name, True)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    faults: list[str] = []
    for number in range(MUTATIONS):
        name = rng.choice(list(READERS))
        kind, read = READERS[name]
        (folder / name).write_bytes(mutated(contents[name], kind, rng))
        try:
            read(folder / name, number % 40 == 0)
        except AccelmnistError as error:
            if len(str(error)) >= 1500 or not str(error).isprintable():
                faults.append(f"{number} {name}: no line: {error}")
        except Exception as error:  # all of them are wanted, not the first one
            faults.append(f"{number} {name}: {type(error).__name__}: {error}"[:300])
        (folder / name).write_bytes(contents[name])
    assert not faults, "\n".join(faults)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MOST_BYTES
