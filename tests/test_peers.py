"""The peers: each one's every step is held to the independent witness, through the protocol that a benchmark speaks."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from accelmnist.cli.bench import bench, bench_config_from
from accelmnist.cli.options import CommandLine, parse_sides
from accelmnist.core.config import ExecutionConfig, ModelConfig, RunConfig, TrainingConfig
from accelmnist.core.errors import ConfigError
from accelmnist.data.types import Dataset, ImageSet
from accelmnist.measure.beside.other_process import environment_of
from accelmnist.measure.beside.peers import peer_names
from accelmnist.measure.beside.protocol import HELLO, PROTOCOL
from accelmnist.training.reference.witness import Witness, logits
from bench.peers import __main__ as peers
from bench.peers.contract import Contender, Job, refusal
from bench.peers.serve import load_contender
from bench.peers.table import summary, table
from bench.peers.worker import PeerWorker
from tests.bench_samples import sample_beside

ROOT = Path(__file__).parents[1]
NAMES = sorted(path.stem for path in (ROOT / "bench/peers/contenders").glob("[!_]*.py"))
LIBRARIES = {"jax": "jax", "keras": "keras", "mlx": "mlx", "tinygrad": "tinygrad"}
OWN_ORDER = {"keras", "sklearn"}


def training(hidden: Any = (24,), activation: Any = "relu", output: Any = "softmax", **changes: Any) -> RunConfig:
    model = ModelConfig(hidden=hidden, activation=activation, output=output)
    return RunConfig(model=model, training=TrainingConfig(**({"epochs": 1, "batch_size": 64} | changes)))


PLAIN = {"schedule": "constant", "weight_decay": 0.0, "label_smoothing": 0.0}
CONFIGS = {
    "sgd": training(optimizer="sgd", learning_rate=0.1, **PLAIN),
    "sgd decays": training((), optimizer="sgd", learning_rate=0.1, weight_decay=0.02),
    "momentum": training((24, 12), output="sigmoid", optimizer="sgd-momentum", learning_rate=0.05, **PLAIN),
    "nesterov": training(
        activation="tanh",
        output="linear",
        optimizer="sgd-momentum",
        learning_rate=0.02,
        weight_decay=0.02,
        nesterov=True,
    ),
    "adam": training(activation="leaky-relu", optimizer="adam", learning_rate=0.003, weight_decay=0.02),
    "adamw": training((24, 12)),
    "adamw smooth": training(activation="silu"),
    "adamw steep": training(activation="sigmoid", hidden=(16,)),
    "gelu": training(activation="gelu", optimizer="adam", learning_rate=0.003, **PLAIN),
    "bf16": replace(training(), execution=ExecutionConfig(precision="bf16")),
}


def contender(name: str) -> type[Contender]:
    library = LIBRARIES.get(name, "numpy")
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed: pip install '.[peers]'")
    return load_contender(name)


@pytest.fixture(scope="module")
def small(mnist: Dataset) -> Dataset:
    train, test = mnist.train, mnist.test
    return replace(
        mnist, train=ImageSet(train.images[:640], train.labels[:640]), test=ImageSet(test.images[:96], test.labels[:96])
    )


class Asked:
    """A case over the protocol, as a benchmark asks for it."""

    def __init__(self, kind: type[Contender], job: Job, folder: Path) -> None:
        self.folder, self.worker = folder, PeerWorker(kind)
        parts = {
            "images": job.data.images,
            "labels": job.data.labels,
            "test_images": job.data.test,
            "order": job.order,
            "rates": job.rates,
        }
        for name, array in parts.items():
            np.save(folder / f"{name}.npy", array)
        np.savez(folder / "start.npz", **job.start)
        files = {name: str(folder / f"{name}.npy") for name in parts} | {"start": str(folder / "start.npz")}
        self.answer = self("prepare", mode=job.mode, config=msgspec.to_builtins(job.config), files=files)

    def __call__(self, do: str, **rest: Any) -> Any:
        return json.loads(json.dumps(self.worker.answer({"do": do, "case": "x", **rest})))

    def run(self, first: int, steps: int) -> list[float]:
        told = self("run", first=first, steps=steps)
        assert told["steps"] == steps
        assert told["seconds"] > 0
        return self("losses")["losses"]

    def state(self) -> dict[str, Any]:
        path = self.folder / "state.npz"
        self("save", to=str(path))
        with np.load(path) as arrays:
            return {name: arrays[name] for name in arrays.files}

    def said(self, do: str, **rest: Any) -> Any:
        self(do, to=str(self.folder / "said.npy"), **rest)
        return np.load(self.folder / "said.npy")


def alike(state: dict[str, Any], other: dict[str, Any]) -> bool:
    return state.keys() == other.keys() and all(np.array_equal(state[name], other[name]) for name in state)


def asked(name: str, config: RunConfig, data: Dataset, folder: Path, mode: Any = "training") -> Asked:
    case = Asked(contender(name), Job.of(config, data, mode=mode), folder)
    if reason := case.answer.get("unsupported"):
        pytest.skip(reason)
    return case


# Compilations take their time, and differ by the network and the loss alone.
COMPILED = {"torch_compiled": ["momentum", "bf16"], "torch_loader": ["adam"], "tinygrad": ["adamw", "nesterov"]}
STEPS = [
    pytest.param(name, config, marks=pytest.mark.slow if name in COMPILED and name != "torch_loader" else ())
    for name in NAMES
    if name not in OWN_ORDER
    for config in COMPILED.get(name, CONFIGS)
]


@pytest.mark.parametrize(("name", "config"), STEPS)
def test_every_step_is_the_witnesss(name: str, config: str, small: Dataset, tmp_path: Path) -> None:
    case = asked(name, CONFIGS[config], small, tmp_path)
    witness = Witness(CONFIGS[config], small.train.images, small.train.labels)
    start = case.state()
    states, losses = [start], []
    for step in range(4):
        losses += case.run(step, 1)
        states.append(case.state())
        distances = witness.distances(step, states[-2], states[-1], losses[-1])
        assert max(distances.values()) <= 1, distances
    np.savez(tmp_path / "second.npz", **states[2])
    case("load", **{"from": str(tmp_path / "second.npz")})
    assert case.run(2, 2) == losses[2:]
    assert alike(case.state(), states[4])
    said = case.said("classify", images=str(tmp_path / "test_images.npy"))
    expected = logits(CONFIGS[config].model, states[4], small.test.images)
    limit = 0.03 if config == "bf16" else 1e-5
    assert np.abs(said - expected).max() <= limit * np.abs(expected).max()
    np.savez(tmp_path / "weights.npz", **{name: start[name] for name in start if name.startswith("layers.")})
    case("load", **{"from": str(tmp_path / "weights.npz")})  # what it lacks is set to the start
    assert alike(case.state(), start)
    case("load")
    assert case.run(0, 4) == losses
    assert alike(case.state(), states[4])


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in ("torch_compiled", "tinygrad") else ()) for name in NAMES],
)
def test_a_classification_gives_the_logits_of_its_batches(name: str, small: Dataset, tmp_path: Path) -> None:
    config = training((24,), batch_size=32, **PLAIN)
    case = asked(name, config, small, tmp_path, "inference")
    expected = logits(config.model, Job.of(config, small).start, small.test.images)
    assert case("run", first=0, steps=5)["steps"] == 5  # the third batch, and round to the second
    last, said = case.said("last"), case.said("classify", images=str(tmp_path / "test_images.npy"))
    scale = np.abs(expected).max()
    assert np.abs(last - expected[32:64]).max() <= 1e-5 * scale
    assert np.abs(said - expected).max() <= 1e-5 * scale


@pytest.mark.parametrize("name", sorted(OWN_ORDER))
def test_who_shuffles_learns_and_starts_again(name: str, small: Dataset, tmp_path: Path) -> None:
    case = asked(name, training(optimizer="adam", learning_rate=0.003, epochs=4, **PLAIN), small, tmp_path)
    assert case.answer["order"] == "own"
    untrained = case.said("classify", images=str(tmp_path / "images.npy"))
    first, later = case.run(0, 10), case.run(10, 30)
    said = case.said("classify", images=str(tmp_path / "images.npy"))
    digits = said.argmax(axis=1) if said.ndim == 2 else said
    assert np.mean(later) < 0.8 * np.mean(first)
    assert (digits == small.train.labels).mean() > 0.8
    case("load")
    assert np.array_equal(case.said("classify", images=str(tmp_path / "images.npy")), untrained)
    assert case.run(0, 10) == pytest.approx(first, rel=0.1)  # it shuffles on by its own generator
    with pytest.raises(NotImplementedError, match="keeps its state to itself"):
        case("save", to=str(tmp_path / "state.npz"))


@pytest.mark.parametrize(
    ("name", "config", "reason"),
    [
        ("numpy", replace(training(), execution=ExecutionConfig(precision="bf16")), "it has no bf16"),
        ("numpy", training(activation="gelu"), "gelu is not written out here"),
        ("numpy", training(augment="shift"), "it doesn't move its images"),
        ("numpy", training(averaging=0.5), "it keeps no average of its weights"),
        ("numpy", replace(training(), model=ModelConfig(dropout=0.1)), "it has no dropout by given seeds"),
        ("numpy", replace(training(), execution=ExecutionConfig(device="cuda")), "it runs on the CPU"),
        ("torch-preloaded", replace(training(), execution=ExecutionConfig(precision="tf32")), "it has no tf32"),
        ("sklearn", training(weight_decay=0.0, schedule="constant"), "it has no label smoothing"),
        ("sklearn", training(label_smoothing=0.0, schedule="constant"), "it has no such weight decay"),
        ("sklearn", training(label_smoothing=0.0, weight_decay=0.0), "it has no schedule for the learning rate"),
        ("sklearn", training(activation="silu", **PLAIN), "it has no silu"),
        ("sklearn", training(output="linear", **PLAIN), "it has no linear outputs"),
        ("keras", training(optimizer="sgd"), "its optimizers shrink the weights themselves, as AdamW does"),
    ],
)
def test_what_a_peer_can_not_do_exactly_it_refuses(name: str, config: RunConfig, reason: str, small: Dataset) -> None:
    assert refusal(contender(name), Job.of(config, small)) == reason
    assert refusal(contender("numpy"), Job.of(training(), small)) is None


def test_steps_beyond_the_training_are_an_error(small: Dataset, tmp_path: Path) -> None:
    case = asked("numpy", training(), small, tmp_path)
    with pytest.raises(ValueError, match="no steps 8 to 11"):
        case.run(8, 3)


def test_a_peer_is_named_and_its_process_greets_from_any_folder(tmp_path: Path) -> None:
    assert [name.replace("-", "_") for name in peer_names()] == NAMES
    (tmp_path / "numpy.py").write_text("raise SystemExit('the wrong one')")
    side = parse_sides(None, None, ("numpy",))[0]
    assert (side.name, side.command) == ("numpy", "python -m bench.peers.serve numpy")
    process = subprocess.run(
        [sys.executable, *side.words[1:]],
        input=json.dumps({"do": "run", "case": "y", "first": 0, "steps": 1}),
        capture_output=True,
        env=environment_of(side, threads=1),
        cwd=tmp_path,
        text=True,
        check=True,
    )
    hello, answer = map(json.loads, process.stdout.splitlines())
    assert hello == {"hello": HELLO, "protocol": PROTOCOL, "versions": {"numpy": np.__version__}, "threads": 1}
    assert answer == {"error": "KeyError: 'y'"}
    with pytest.raises(ConfigError, match="--beside: jux has no command") as raised:
        parse_sides(None, None, ("jux",))
    assert "jax, keras" in raised.value.remedy


def test_a_missing_library_is_told_with_its_remedy(tmp_path: Path) -> None:
    code = "import sys; sys.modules['jax'] = None; sys.argv[1:] = ['jax']; from bench.peers.serve import main; main()"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=ROOT, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.splitlines()[-1] == "jax is not installed: pip install '.[peers]'"


def test_the_extra_names_every_peers_library() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extra = " ".join(tomllib.loads(text)["project"]["optional-dependencies"]["peers"])
    assert {name for name in LIBRARIES.values() if name in extra} == {*LIBRARIES.values()}


def test_a_page_of_peers_takes_a_record(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        peers.measured(tmp_path / "none")
    words = peers.command("narrow", ("jax", "numpy"), out=tmp_path)
    config = bench_config_from(CommandLine.of(bench.make_context("bench", words[2:])))
    assert [side.name for side in config.beside] == ["jax", "numpy"]
    assert (config.plain, config.hidden, config.batch_sizes) == (True, ((128,),), (128,))
    words = peers.command("narrow-bf16", ("jax", "numpy"), out=tmp_path)
    config = bench_config_from(CommandLine.of(bench.make_context("bench", words[2:])))
    assert ([side.name for side in config.beside], config.precisions) == (["jax"], ("fp32", "bf16"))


def test_the_table_has_a_row_for_every_other_and_one_of_ours_over_the_best() -> None:
    rows = [line.strip("| ").split(" | ") for line in table([sample_beside()]).splitlines() if line.startswith("| ")]
    assert len({len(row) for row in rows}) == 1
    work = "784-256-10, adamw, batch 256"
    assert [row[:2] for row in rows[2:]] == [[work, by] for by in ("**ours, eager**", "old", "old", "mine", "lost")]
    ours, eager, fused, mine, lost = rows[2:]
    assert (ours[4], ours[6], eager[6]) == (eager[4], "slower than old", "slower")
    assert [float(row[4]) for row in (eager, fused, mine)] == pytest.approx([0.95, 1.0, 253_000 / 41_300], abs=0.02)
    assert [row[3] for row in rows[2:]] == ["PASS"] * 4 + ["–"]
    assert "can't be started" in lost[2]
    assert summary([sample_beside()]).splitlines()[-1] == f"| {work} | {ours[4]} ({ours[5]}) times old |"


def test_in_several_precisions_our_fastest_stands_over_what_the_others_do_in_any() -> None:
    record = sample_beside()
    cases = [replace(one, precision="bf16") if one.engine == "fused" and not one.side else one for one in record.cases]
    record = replace(record, config=replace(record.config, precisions=("fp32", "bf16")), cases=tuple(cases))
    lines = [line.strip("| ").split(" | ") for line in table([record]).splitlines() if line.startswith("| 7")]
    names = ["**ours, fused**", "old in fp32", "old in fp32", "mine in fp32", "lost"]
    assert [row[:2] for row in lines] == [["784-256-10, adamw, batch 256, bf16", name] for name in names]
    ratios = [253_000 / speed for speed in (253_200, 253_200, 75_600, 41_300)]
    assert [float(row[4]) for row in lines[:-1]] == pytest.approx(ratios, rel=0.02)
    both = summary([sample_beside(), record]).splitlines()
    assert both[0].endswith("| ours in fp32 | ours in bf16 |")
    assert [len(row.split(" | ")) for row in both] == [3, 3, 3]
