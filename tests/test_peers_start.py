"""Peers from a cold start: the same training for all, the clock around a process, rounds, and what the table says."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from accelmnist.core.config import RECIPES
from accelmnist.data.types import Dataset, ImageSet
from bench.peers.serve import load_contender
from bench.starts import process, rounds, table
from bench.starts.process import ProgramLostError, Start, timed
from bench.starts.program import Watch, recipe, trained
from bench.starts.record import StartCase, load_record, new_record, save_record


@pytest.mark.parametrize("name", ["numpy", "sklearn"])
def test_a_program_trains_to_its_accuracy(mnist: Dataset, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the recipe, or until it is there if it can't do that."""
    short = replace(mnist, train=ImageSet(mnist.train.images[:15_360], mnist.train.labels[:15_360]))
    monkeypatch.setattr("bench.starts.program.RECIPE", replace(RECIPES["mnist-98"], accuracy=0.9))
    watch = Watch()
    assert trained(load_contender(name), recipe(1), short, watch) > 0.9
    assert set(watch.parts) == {"data", "first", "training"}


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
    with pytest.raises(ProgramLostError, match=said):
        timed(shell(text), dict(os.environ), lambda text: "here" in text)


def test_a_process_that_is_late_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "LONGEST_S", 0.3)
    with pytest.raises(ProgramLostError, match="not there after"):
        timed(shell("import time; time.sleep(60)"), dict(os.environ), lambda _: True)


# --- rounds and what follows


def test_rounds_count_no_first_process_and_repeat_no_slow_one() -> None:
    seen: list[tuple[str, int]] = []

    def start(name: str, seed: int) -> Any:
        seen.append((name, seed))
        if name == "torch-compiled":
            raise ProgramLostError("not there after 40 s")
        return Start(20.0 if name == "sklearn" else 1.0, 0.981, {"training": 0.5})

    names = [rounds.OURS, "numpy", "sklearn", "torch-compiled"]
    *_, cases = rounds.measure(names, start, rounds=3, say=lambda _: None)
    assert {case.title: len(case.seconds) for case in cases} == dict(zip(names, (3, 3, 1, 0), strict=True))
    assert cases[-1].reason == "not there after 40 s"
    assert cases[1].version.startswith("numpy ")
    assert [seed for name, seed in seen if name == "numpy"] == [0, 0, 1, 2]


def case(title: Any, seconds: Any, accuracy: float = 0.981, **changes: Any) -> Any:
    whole = tuple(seconds)
    parts = tuple({"data": 0.1, "training": 0.4} for _ in whole)
    fields = {"title": title, "ours": title == "ours", "version": "x 1", "reason": None, "seconds": whole}
    return StartCase(**{**fields, "accuracies": (accuracy,) * len(whole), "parts": parts, **changes})


def test_the_table_ranks_and_says_who_misses() -> None:
    low, gone = case("numpy", [1.0] * 6, 0.9785), case("mlx", (), reason="gone")
    cases = (case("ours", [2.0] * 6), low, case("jax", [2.5] * 6), gone)
    assert [one.title for one in table.ranked(cases)] == ["ours", "jax", "numpy", "mlx"]
    text = table.document(replace(new_record("x", threads=2), starts=cases))
    assert "97.85 %, **misses** |  |" in text
    assert "takes 0.80 (0.80 to 0.80) the time of the best peer's process, jax" in text
    assert "| 2.50 (2.50 to 2.50) | 2.00 | 0.10 |  | 0.40 | 98.10 % | 0.80 (0.80 to 0.80) |" in text
    assert "| mlx | x 1 | gone |" in text


def test_chance_alone_is_no_miss() -> None:
    assert table.reached(case("numpy", [1.0] * 5, 0.9796))
    assert not table.reached(case("numpy", [1.0] * 5, 0.9790))


def test_a_record_comes_back(tmp_path: Path) -> None:
    record = replace(new_record("x", threads=2), starts=(case("ours", [2.0]),))
    save_record(record, tmp_path / "p.json")
    assert load_record(tmp_path / "p.json") == record
