"""Peers from a cold start: the same training for all, the clock around a process, rounds, and what the table says."""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from accelmnist.data.types import Dataset
from accelmnist.engines.plan import learning_rates as package_rates
from bench.peers.catalogue import CATALOGUE
from bench.peers.process import ContenderLostError
from bench.peers.record import StartCase, load_record, new_record, save_record
from bench.peers.start import process, rounds, table
from bench.peers.start.process import Start, timed
from bench.peers.start.programs.numpy_loop import Smoothed
from bench.peers.start.task import PROGRAMS, STEPS, TRAINING, Task, Watch, learning_rates
from bench.peers.workloads import start_weights


def test_everyones_rates_are_the_packages() -> None:
    np.testing.assert_allclose(learning_rates(), package_rates(TRAINING, STEPS), rtol=1e-6)


def test_smoothed_gradient_by_hand_is_autograds() -> None:
    source = np.random.default_rng(1)
    inputs, labels = source.random((32, 784)), source.integers(0, 10, 32)
    by_hand = Smoothed(start_weights((784, 12, 10)), 32, np.float64)
    tensors = [torch.tensor(values, requires_grad=True) for values in by_hand.parameters]
    hidden = torch.relu(torch.from_numpy(inputs) @ tensors[0] + tensors[1])
    logits = hidden @ tensors[2] + tensors[3]
    smoothing = TRAINING.label_smoothing
    torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels), label_smoothing=smoothing).backward()
    by_hand.gradient(inputs, labels)
    for ours, tensor in zip(by_hand.gradients, tensors, strict=True):
        np.testing.assert_allclose(ours, tensor.grad.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("key", ["numpy", "torch-preloaded"])
def test_a_program_trains_the_recipe(mnist: Dataset, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(f"bench.peers.start.programs.{PROGRAMS[key]}")
    monkeypatch.setattr(module, "learning_rates", lambda: learning_rates()[:120])
    order = np.random.default_rng(0).permutation(60_000)[:15_360].reshape(120, 128)
    monkeypatch.setattr(Task, "order", lambda _self: order)
    watch, task = Watch(), Task(mnist, 0)
    assert task.accuracy(module.train(task, watch)) > 0.85
    assert set(watch.parts) == {"data", "first"}


# --- the clock


def shell(text: str) -> Any:
    return [sys.executable, "-c", text]


def test_the_clock_stops_at_the_line_and_the_end_is_awaited() -> None:
    text = "import time; print('x'); print('here', flush=True); time.sleep(0.4)"
    seconds, line = timed(shell(text), dict(os.environ), lambda text: "here" in text)
    assert line == "here\n"
    assert seconds > 0


@pytest.mark.parametrize(
    ("text", "said"), [("raise ValueError('no')", "exit code 1.*no"), ("print('x')", "exit code 0")]
)
def test_a_process_without_an_answer_is_lost(text: str, said: str) -> None:
    with pytest.raises(ContenderLostError, match=said):
        timed(shell(text), dict(os.environ), lambda text: "here" in text)


def test_a_process_that_is_late_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "LONGEST_S", 0.3)
    with pytest.raises(ContenderLostError, match="not there after"):
        timed(shell("import time; time.sleep(60)"), dict(os.environ), lambda _: True)


# --- rounds and what follows


def test_rounds_count_no_first_process_and_repeat_no_slow_one() -> None:
    seen: list[tuple[str, int]] = []

    def start(entry: Any, seed: int) -> Any:
        seen.append((entry.key, seed))
        if entry.key == "torch-compiled":
            raise ContenderLostError("not there after 40 s")
        return Start(20.0 if entry.key == "sklearn" else 1.0, 0.981, {"training": 0.5})

    entries = rounds.entries_of(["ours-fused", "numpy", "sklearn", "torch-compiled", "torch-loader"])
    *_, cases = rounds.measure(entries, start, rounds=3, say=lambda _: None)
    assert {case.key: len(case.seconds) for case in cases} == {"ours": 3, "numpy": 3, "sklearn": 1, "torch-compiled": 0}
    assert cases[-1].reason == "not there after 40 s"
    assert [seed for key, seed in seen if key == "numpy"] == [0, 0, 1, 2]


def case(key: Any, seconds: Any, accuracy: float = 0.981, **changes: Any) -> Any:
    whole = tuple(seconds)
    parts = tuple({"data": 0.1, "training": 0.4} for _ in whole)
    entry = rounds.OURS if key == "ours" else CATALOGUE[key]
    fields = {"key": key, "title": entry.title, "ours": entry.ours, "version": "x 1", "reason": None, "seconds": whole}
    return StartCase(**{**fields, "accuracies": (accuracy,) * len(whole), "parts": parts, **changes})


def test_the_table_ranks_and_says_who_misses() -> None:
    low, gone = case("numpy", [1.0] * 6, 0.9785), case("mlx", (), reason="gone")
    cases = (case("ours", [2.0] * 6), low, case("jax", [2.5] * 6), gone)
    assert [one.key for one in table.ranked(cases)] == ["ours", "jax", "numpy", "mlx"]
    text = "\n".join(table.chapter(cases))
    assert "97.85 %, **misses** |  |" in text
    assert "takes 0.80 (0.80 to 0.80) the time of the best peer's process, JAX" in text
    assert "| 2.50 (2.50 to 2.50) | 2.00 | 0.10 |  | 0.40 | 98.10 % | 0.80 (0.80 to 0.80) |" in text
    assert "| MLX, mx.compile | x 1 | gone |" in text


def test_chance_alone_is_no_miss() -> None:
    assert table.reached(case("numpy", [1.0] * 5, 0.9796))
    assert not table.reached(case("numpy", [1.0] * 5, 0.9790))


def test_starts_are_saved_beside_the_workloads(tmp_path: Path) -> None:
    record = replace(new_record("x", threads=2), starts=(case("ours", [2.0]),))
    save_record(record, tmp_path / "p.json")
    assert load_record(tmp_path / "p.json") == record
