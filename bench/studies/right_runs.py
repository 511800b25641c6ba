"""Does the audit find fault with right trainings? Many of them, drawn by chance from all that can be asked for.

    python -m bench.studies.right_runs                       # some 20 minutes on two cores
    python -m bench.studies.right_runs --engines "compiled;trials of one graph" --trainings 5 --processors default

Nothing is wrong in any of them, so no step may be further from the witness than rounding can explain: the largest
distance over its bound is kept, of losses, weights, optimizer state, gradients in 16 bits, calls of many steps and the
weights' average. The engines of a GPU run by what stands in for it in the tests. A processor is what torch, oneDNN and
the native kernels are told to round as, each in a process of its own. Learning rates reach far into chaos; a training
that diverges is audited as far as it got.

The record, `results/right-runs.json`, has every training's largest distances, and keeps those that are not asked for;
`results/right-runs.md` is made from it. It exits with 1 if one is beyond its bound.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

from accelmnist.core.config import (
    ACTIVATIONS,
    AUGMENTS,
    LEARNING_RATES,
    OPTIMIZERS,
    OUTPUTS,
    SCHEDULES,
    ExecutionConfig,
    ModelConfig,
    Optimizer,
    Precision,
    RunConfig,
    TrainingConfig,
)
from accelmnist.core.errors import DivergedError
from accelmnist.core.files import write_atomically
from accelmnist.engines.native import LEVEL_VARIABLE

ROOT = Path(__file__).parents[2]
RECORD = ROOT / "results" / "right-runs.json"

# What runs an engine, and how many trainings of it are drawn.
ENGINES: dict[str, tuple[str, str, int]] = {  # by name: the engine, its stand-in or precision, trainings
    "eager": ("eager", "", 80),
    "fused": ("fused", "", 80),
    "fused in bf16": ("fused", "bf16", 80),
    "eager in 16 bits": ("eager", "16 bits", 80),
    "compiled in 16 bits": ("compiled", "16 bits", 8),
    "compiled": ("compiled", "", 16),
    "cuda_graph, stand-in": ("cuda_graph", "graphs", 30),
    "fused on CUDA, interpreted": ("fused", "triton", 16),
    "persistent, interpreted": ("persistent", "persistent", 16),
    "trials of one graph": ("eager", "trials", 16),  # three networks each
}
PROCESSORS: dict[str, dict[str, str]] = {
    "as it is": {},
    "default": {
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_CBWR": "COMPATIBLE",
        LEVEL_VARIABLE: "plain",
    },
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_CBWR": "AVX2",
        LEVEL_VARIABLE: "avx2",
    },
}
KINDS = ("loss", "weights", "state", "gradients", "calls", "average")
_KEYS = ("engine", "processor", "number")  # of a row of the record
_WINDOWS = 32
_INTERPRETED_STEPS = 12

_REPORT = """# The audit of right trainings

Made by `python -m bench.studies.right_runs`. Nothing is wrong in any of these {trainings} trainings, drawn
by chance from all optimizers, networks, outputs, batch sizes, augmentations, precisions and learning rates up to
divergence. Told is the largest distance of a step from the independent witness over what rounding may make of it: with
more than 1 a run would be said to be wrong.

**{beyond} of {trainings} are beyond.**

| engine | precision | processor | trainings | steps replayed | losses | weights | state | gradients | calls | average |
| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
{rows}
"""


# --- what is drawn


def draw(number: int, engine: str) -> tuple[RunConfig, int]:
    """The configuration of training `number` by `engine`, a key of ENGINES, and how many images it has."""
    name, stand_in, _ = ENGINES[engine]
    rng = np.random.default_rng([number, *engine.encode()])

    def one_of(choices: Sequence[Any]) -> Any:
        return choices[int(rng.integers(len(choices)))]

    is_slow = stand_in in ("triton", "persistent")
    hidden = one_of([(), (1,), (3,), (17,), (64,), (512,), (256,), (40, 30), (20, 20, 20, 20, 20)])
    if is_slow:
        hidden = one_of([(), (1,), (3,), (17,), (40,), (20, 12)])
    if stand_in == "persistent":
        hidden = hidden[:1] or (24,)
    batch = one_of([1, 2, 8, 16] if is_slow and rng.random() < 0.7 else [1, 2, 8, 16, 32, 128, 333, 1000, 4100])
    steps = int(rng.integers(3, _INTERPRETED_STEPS if is_slow else 200 if batch < 1000 else 12))
    epochs = int(rng.integers(1, 6))
    images = min(batch * max(1, steps // epochs) + int(rng.integers(batch)), 60_000)
    optimizer: Optimizer = one_of(OPTIMIZERS)
    activation, output = one_of(ACTIVATIONS), one_of(OUTPUTS)
    alone = ["none", *AUGMENTS] if stand_in != "trials" else ["none"]
    own = {"fused": ["fp32"], "fused in bf16": ["bf16"]}
    precisions = own.get(engine, ["bf16", "fp16"] if stand_in == "16 bits" else ["fp32", "bf16", "fp16"])
    model = ModelConfig(hidden=hidden, activation=activation, output=output, dropout=one_of([0.0, 0.0, 0.1, 0.5, 0.9]))
    training = TrainingConfig(
        epochs=epochs,
        batch_size=batch,
        optimizer=optimizer,
        learning_rate=LEARNING_RATES[optimizer] * 10 ** float(rng.uniform(-4, 1.5)),
        momentum=one_of([0.0, 0.5, 0.9, 0.99]),
        nesterov=optimizer == "sgd-momentum" and rng.random() < 0.5,
        weight_decay=one_of([0.0, 1e-4, 0.01, 0.5]),
        label_smoothing=one_of([0.0, 0.0, 0.1, 0.9]),
        schedule=one_of(SCHEDULES),
        warmup=one_of([0.0, 0.01, 0.25, 0.99]),
        augment=one_of(alone),
        averaging=one_of([0.0, 0.0, 0.5, 0.9] if stand_in != "trials" else [0.0]),
        seed=int(rng.integers(2**63 - 1)) if rng.random() < 0.5 else number,
    )
    execution = ExecutionConfig(
        device="cpu" if stand_in in ("", "bf16", "16 bits") else "cuda",  # whatever stands in for it
        engine=name,
        precision=one_of(precisions),
        threads=int(rng.integers(1, 3)),
    )
    return RunConfig(model=model, training=training, execution=execution), images


def images_of(number: int, count: int) -> Any:
    """So many training images: of MNIST, dark on light, grey in every pixel, or synthetic."""
    from accelmnist.data.mnist import load_dataset
    from accelmnist.data.synthetic import make_synthetic
    from accelmnist.data.types import ImageSet

    kind = number % 5
    if kind == 4:
        return make_synthetic(seed=number, train=count, test=1).train
    start = number % 7 * (60_000 - count) // 7
    whole = load_dataset().train
    images, labels = whole.images[start : start + count], whole.labels[start : start + count]
    if kind == 3:
        images = 255 - images
    if kind == 2 and number % 2:
        images = np.maximum(images, 7)
    return ImageSet(np.ascontiguousarray(images), np.ascontiguousarray(labels))


# --- a training


def audited(number: int, engine: str) -> dict[str, Any]:
    """What the audit finds in training `number` of `engine`: the largest distances by kind, and where."""
    from accelmnist.device import set_threads

    config, count = draw(number, engine)
    images = images_of(number, count)
    set_threads(config.execution.threads)
    steps, breaks, worst = 0, list[str](), dict[str, Any]()
    audits = (_as_one_graph if ENGINES[engine][1] == "trials" else _alone)(config, images)
    for audit, diverged in audits:
        if diverged:
            audit._waiting = [
                each for each in audit._waiting if is_finite(each.before | each.after | {"loss": np.array(each.loss)})
            ]
        audit.replay()
        steps += audit.replayed
        breaks += [] if diverged else audit.breaks  # what is no number equals nothing
        for kind in KINDS:
            found = getattr(audit._found, kind)
            worst[kind] = max(worst.get(kind, found), found, key=lambda one: one.ratio)
    return {
        "number": number,
        "precision": config.execution.precision,
        "steps": steps,
        "diverged": any(diverged for _, diverged in audits),
        "breaks": breaks,
        "ratios": {kind: float(f"{one.ratio:.3g}") for kind, one in worst.items()},
        "place": max(worst.values(), key=lambda one: one.ratio).place,
    }


def _alone(config: RunConfig, images: Any) -> list[tuple[Any, bool]]:
    """The audit of one training by its engine, and whether that diverged."""
    from accelmnist.device import resolve
    from accelmnist.engines.choose import engine_class
    from accelmnist.engines.contract import Job
    from accelmnist.training.loop import prepare, train
    from accelmnist.training.reference.audit import Audit

    job = Job(config, resolve("cpu"), images)
    runner = prepare(engine_class(config.execution.engine), job)
    audit = Audit(config, images, _WINDOWS)
    try:
        list(train(runner, job, probe=None, audit=audit))
    except DivergedError:
        return [(audit, True)]
    return [(audit, False)]


def _as_one_graph(config: RunConfig, images: Any) -> list[tuple[Any, bool]]:
    """The same of three trainings in one graph of a GPU, here on the CPU; the next has half of the learning rate."""
    from accelmnist.data.types import upload
    from accelmnist.device import resolve
    from accelmnist.sweep.trials.batched import train_in_batches
    from accelmnist.sweep.trials.trial import Shared, Trial
    from accelmnist.training.reference.audit import Audit

    def trial(place: int) -> Trial:
        training, rate = config.training, config.training.peak_rate / 2**place
        own = replace(training, seed=max(training.seed - place, 0), learning_rate=rate, weight_decay=0.01 * place)
        return Trial(key=str(place), config=replace(config, training=own))

    def audit_of(trial: Trial) -> Audit:
        return Audit(trial.config, images, _WINDOWS)

    shared = Shared(device=resolve("cpu"), training=upload(images, resolve("cpu")), probe=None, audit=audit_of)
    results = train_in_batches([trial(place) for place in range(3)], shared)
    return [(result.audit, isinstance(result.cause, DivergedError)) for result in results]


def is_finite(snapshot: dict[str, Any]) -> bool:
    """Whether all of its numbers are."""
    return all(np.isfinite(part).all() for part in snapshot.values())


def run_here(engine: str, numbers: Sequence[int]) -> None:
    """Write what was found in each training, a line of JSON each."""
    from bench.studies.faults.probe import STAND_INS

    if (stand_in := ENGINES[engine][1]) in STAND_INS:
        STAND_INS[stand_in]()
    for number in numbers:
        print(json.dumps(audited(number, engine)), flush=True)


# --- all of them


def run_in_process(engine: str, processor: str, numbers: Sequence[int]) -> Iterator[dict[str, Any]]:
    """The same in a process that rounds as `processor` does."""
    is_interpreted = ENGINES[engine][1] in ("triton", "persistent")
    environment = os.environ | PROCESSORS[processor] | ({"TRITON_INTERPRET": "1"} if is_interpreted else {})
    command = [sys.executable, "-m", "bench.studies.right_runs", "--here", engine, *map(str, numbers)]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            yield {"engine": engine, "processor": processor} | json.loads(line)


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The report on all trainings, which several machines may have done."""
    lines = []
    for engine in ENGINES:
        for precision in get_args(Precision):
            for processor in PROCESSORS:
                keys = {"engine": engine, "precision": precision, "processor": processor}
                own = [row for row in rows if keys.items() <= row.items()]
                if own:
                    worst = (_largest(kind, own) for kind in KINDS)
                    steps = sum(row["steps"] for row in own)
                    lines.append(f"| {' | '.join([*keys.values(), str(len(own)), f'{steps:,}', *worst])} |")
    beyond = sum(is_beyond(row) for row in rows)
    return _REPORT.format(
        trainings=len(rows),
        beyond=beyond,
        rows="\n".join(lines),
    )


def _largest(kind: str, rows: Sequence[dict[str, Any]]) -> str:
    """Of a kind of check; one that is older than the kind has none."""
    found = [row["ratios"][kind] for row in rows if kind in row["ratios"]]
    return f"{max(found):.2g}" if found else "–"


def is_beyond(row: dict[str, Any]) -> bool:
    """Whether the audit would say of a training that it is wrong."""
    return bool(row["breaks"]) or not max(row["ratios"].values()) <= 1


def main() -> int:
    """Train, tell, save."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.studies.right_runs",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--engines", default=";".join(ENGINES), help="separated by semicolons")
    parser.add_argument("--processors", default=";".join(PROCESSORS), help="likewise")
    parser.add_argument("--trainings", type=int, help="of each engine; as many as are fit, if not given")
    parser.add_argument("--first", type=int, default=0, help="the number of the first")
    parser.add_argument("--out", type=Path, default=RECORD)
    parser.add_argument("--here", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        run_here(options.here[0], [int(number) for number in options.here[1:]])
        return 0
    rows: list[dict[str, Any]] = json.loads(options.out.read_bytes()) if options.out.exists() else []
    for engine in options.engines.split(";"):
        for processor in options.processors.split(";"):
            count = options.trainings or ENGINES[engine][2]
            for row in run_in_process(engine, processor, range(options.first, options.first + count)):
                rows = [one for one in rows if any(one[key] != row[key] for key in _KEYS)] + [row]
                if is_beyond(row):
                    print(f"beyond: {row}", flush=True)
                write_atomically(options.out, (json.dumps(rows, separators=(",", ":")) + "\n").encode())
                write_atomically(options.out.with_suffix(".md"), table(rows).encode())
    return int(any(is_beyond(row) for row in rows))


if __name__ == "__main__":
    sys.exit(main())
