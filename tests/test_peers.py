"""The comparison with peers: contenders are right, rounds are pairs, nobody's failure is another's, tables say it."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from accelmnist.data.types import Dataset
from bench.peers import process, session, table
from bench.peers.__main__ import parse
from bench.peers.catalogue import CATALOGUE, EAGER
from bench.peers.contenders.numpy_hand import Network, Update
from bench.peers.judgement import accuracy_limit, boards
from bench.peers.limit_words import limit_lines
from bench.peers.process import ContenderLostError, ContenderProcess, environment
from bench.peers.record import CaseRecord, WorkloadRecord, load_record, new_record, save_record, workload_record
from bench.peers.rounds import Race
from bench.peers.worker import Worker, fitting_steps, greeting, read_weights, save_weights
from bench.peers.workloads import WORKLOADS, Job, Shuffle, Slices, start_weights
from tests.rounding import SUM_ERROR, Followed, leave

A, D = WORKLOADS["a"], WORKLOADS["d"]
IN_EVERY_VENV = {"torch", "numpy", "scikit-learn"}
OURS, PEER = CATALOGUE[EAGER], CATALOGUE["numpy"]


# --- the work


def test_an_epoch_shows_every_image_once_in_a_new_order() -> None:
    shuffle = Shuffle(1000, 64)
    first = np.concatenate([shuffle.take(5).ravel() for _ in range(3)])
    second = shuffle.take(15).ravel()
    assert len(set(first.tolist())) == len(first) == 15 * 64
    assert len(set(second.tolist())) == len(second)
    assert (first != second).any()
    shuffle.restart()
    assert (shuffle.take(15).ravel() == first).all()


def test_slices_go_through_the_epoch_and_begin_again() -> None:
    slices = Slices(A)
    assert [slices.take(234) for _ in range(3)] == [slice(0, 29952), slice(29952, 59904), slice(0, 29952)]
    assert slices.take(468) == slice(0, 59904)


def test_regions_divide_the_epoch() -> None:
    assert A.epoch_steps == 468
    assert A.regions(13) == [13, 26, 39, 52, 78, 117, 156, 234, 468]
    assert WORKLOADS["b"].regions(13) == [13, 39, 117]


def test_a_region_is_as_long_as_it_may_be() -> None:
    assert fitting_steps(A, 0.0) == 468
    assert fitting_steps(A, 0.3 / 120) == 117
    assert fitting_steps(A, 10.0) == 1
    assert fitting_steps(A, 10.0, unit=13) == 13


# --- NumPy by hand, against torch


def torch_layers(weights: Any) -> Any:
    layers = [nn.Linear(*weight.shape, dtype=torch.float64) for weight, _ in weights]
    for layer, (weight, bias) in zip(layers, weights, strict=True):
        layer.weight.data = torch.from_numpy(weight.T.astype(np.float64).copy())
        layer.bias.data = torch.from_numpy(bias.astype(np.float64))
    return nn.Sequential(*[part for layer in layers for part in (layer, nn.ReLU())][:-1])


def parameters_as_numpy(network: Any, *, gradients: Any) -> Any:
    values = [p.grad if gradients else p.detach() for p in network.parameters()]
    return [value.numpy().T if value.ndim == 2 else value.numpy() for value in values]


@pytest.fixture
def batch() -> Any:
    source = np.random.default_rng(3)
    return source.random((32, 784)), source.integers(0, 10, 32)


def case_of(hidden: Any) -> Any:
    weights = start_weights((784, *hidden, 10), seed=1)
    return [(weight, np.linspace(-0.1, 0.1, bias.size, dtype=np.float32)) for weight, bias in weights]


@pytest.mark.parametrize("hidden", [(), (16,), (24, 12)])
def test_gradient_by_hand_is_autograds(batch: Any, hidden: tuple[int, ...]) -> None:
    inputs, labels = batch
    weights = case_of(hidden)
    by_hand, network = Network(weights, len(labels), np.float64), torch_layers(weights)
    loss = nn.functional.cross_entropy(network(torch.from_numpy(inputs)), torch.from_numpy(labels))
    loss.backward()
    assert by_hand.gradient(inputs, labels) == pytest.approx(loss.item(), rel=1e-12)
    for ours, theirs in zip(by_hand.gradients, parameters_as_numpy(network, gradients=True), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("key", ["a", "b", "c"])
def test_updates_by_hand_are_torchs(batch: Any, key: str) -> None:
    workload, weights = WORKLOADS[key], case_of((16,))
    by_hand, network = Network(weights, 32, np.float64), torch_layers(weights)
    update, rate = Update(workload, by_hand), workload.learning_rate
    sgd = torch.optim.SGD(network.parameters(), lr=rate, momentum=workload.momentum)
    optimizer = torch.optim.Adam(network.parameters(), lr=rate) if workload.rule == "adam" else sgd
    for _ in range(4):
        by_hand.gradient(*batch)
        update.step()
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(torch.from_numpy(batch[0])), torch.from_numpy(batch[1])).backward()
        optimizer.step()
    for ours, theirs in zip(by_hand.parameters, parameters_as_numpy(network, gradients=False), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-10)


# --- the contract


def made(key: Any, mnist: Dataset, workload: str = "a", nudge: Any = leave) -> Any:
    entry, task = CATALOGUE[key], WORKLOADS[workload]
    contender, _ = greeting(entry)
    weights = start_weights(task.sizes)
    nudge(torch.from_numpy(array) for pair in weights for array in pair)
    job = Job(task, "fp32", mnist, weights)
    assert contender.unsupported(job, entry.variant) is None
    return contender(job, entry.variant)


@pytest.mark.parametrize("key", [EAGER, "numpy", "sklearn", "torch-preloaded"])
def test_a_contender_learns_and_starts_again(mnist: Dataset, key: str) -> None:
    contender = made(key, mnist)
    untrained = contender.classify()
    first, later = contender.train(13).mean(), contender.train(13).mean()
    assert untrained.shape == (10_000,)
    assert later < 0.8 * first
    assert (contender.classify() == mnist.test.labels).mean() > 0.6
    contender.reset()
    assert (contender.classify() == untrained).all()
    # scikit-learn keeps the momentum of one step and shuffles on by its own generator
    assert contender.train(13).mean() == pytest.approx(first, rel=0.1 if key == "sklearn" else SUM_ERROR)


def test_the_data_loader_learns_and_starts_again(mnist: Dataset) -> None:
    contender = made("torch-loader", mnist)
    losses = [contender.train(6).mean() for _ in range(2)]
    contender.reset()
    assert losses[1] < 0.95 * losses[0]
    assert contender.train(6).mean() == pytest.approx(losses[0], rel=SUM_ERROR)


@pytest.mark.parametrize("workload", ["a", "b", "c"])
def test_two_peers_take_the_same_steps(mnist: Dataset, workload: str) -> None:
    def losses(key: Any, nudge: Any = leave) -> Any:
        return torch.from_numpy(made(key, mnist, workload, nudge).train(9))

    Followed.by(lambda nudge: [losses("torch-preloaded", nudge)]).hold(losses("numpy"))


def test_the_worker_measures_and_tells_accuracies(mnist: Dataset) -> None:
    contender, reply = greeting(PEER)
    assert reply["version"].startswith("numpy ")
    worker = Worker(contender, "", mnist)
    opened = worker.answer({"do": "open", "case": "x", "workload": "a", "precision": "fp32", "weights": None})
    assert 468 % opened["steps"] == 0
    assert worker.answer({"do": "region", "case": "x", "steps": 2})["seconds"] > 0
    ask = {"do": "accuracy", "case": "x", "epochs": 3}
    worker.step_s["x"] = 1.0
    assert [steps for steps, _ in worker.answer({**ask, "longest_s": 0.0, "every": False})["accuracies"]] == [52]
    told = worker.answer({**ask, "longest_s": 200.0, "every": True})["accuracies"]
    assert [steps for steps, _ in told] == [52, 156]
    assert 0.7 < told[0][1] < told[1][1]
    refused = worker.answer({"do": "open", "case": "y", "workload": "a", "precision": "bf16", "weights": None})
    assert refused == {"unsupported": "it has no bfloat16"}


def test_weights_go_through_a_file(tmp_path: Path) -> None:
    weights = case_of((16,))
    save_weights(str(tmp_path / "w.npz"), weights)
    for (weight, bias), (read_weight, read_bias) in zip(weights, read_weights(str(tmp_path / "w.npz")), strict=True):
        assert (weight == read_weight).all()
        assert (bias == read_bias).all()


def test_a_missing_peer_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jax", None)
    monkeypatch.delitem(sys.modules, "bench.peers.contenders.jax_scan", raising=False)
    assert greeting(CATALOGUE["jax"]) == (None, {"missing": "jax is not installed: pip install '.[peers]'"})


# --- processes


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Any]:
    contender = ContenderProcess(PEER, threads=1, scratch=tmp_path)
    contender.greet()
    yield contender
    contender.stop()


def test_a_process_answers_and_its_death_is_told(running: Any) -> None:
    assert running.greeting["version"].startswith("numpy ")
    assert os.getsid(running.process.pid) != os.getsid(0), "a Ctrl-C would reach it"
    assert "KeyError" in running.ask(do="region", case="never opened", steps=1)["error"]
    opened = running.ask(do="open", case="x", workload="a", precision="fp32", weights=None)
    assert running.ask(do="region", case="x", steps=opened["steps"])["seconds"] > 0
    os.kill(running.process.pid, signal.SIGKILL)
    with pytest.raises(ContenderLostError, match="its process died \\(signal 9\\)"):
        running.ask(do="region", case="x", steps=1)


def test_a_process_that_hangs_is_given_up(running: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "LONGEST_WAIT_S", 0.1)
    os.kill(running.process.pid, signal.SIGSTOP)
    with pytest.raises(ContenderLostError, match="did not answer"):
        running.ask(do="region", case="x", steps=1)


@pytest.mark.parametrize("key", [key for key, entry in CATALOGUE.items() if entry.packages[0] not in IN_EVERY_VENV])
def test_every_other_peer_trains_in_its_process(key: str, tmp_path: Path) -> None:
    entry = CATALOGUE[key]
    name = entry.packages[0]
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed: pip install '.[peers]'")
    contender = ContenderProcess(entry, threads=1, scratch=tmp_path)
    contender.greet()
    opened = contender.ask(do="open", case="x", workload="a", precision="fp32", weights=None)
    contender.stop()
    if "unsupported" in opened:
        pytest.skip(opened["unsupported"])
    assert opened["steps"] > 0, opened


def test_everyone_gets_the_same_threads_and_empty_caches(tmp_path: Path) -> None:
    one, other = (environment(CATALOGUE[key], threads=3, scratch=tmp_path) for key in ("jax", "torch-compiled"))
    assert one["OMP_NUM_THREADS"] == other["OMP_NUM_THREADS"] == one["NPROC"] == "3"
    assert one["JAX_PLATFORMS"] == "cpu"
    assert one["XDG_CACHE_HOME"] != other["XDG_CACHE_HOME"]


# --- rounds


class Fake:
    """A contender that takes `seconds` a region, and from its region `dies_at` on is no more."""

    log: list[str]

    def __init__(
        self,
        seconds: float = 1.0,
        *,
        dies_at: Any = None,
        greeting: Any = None,
        accuracies: Any = ((468, 0.9),),
        log: Any = None,
    ) -> None:
        self.seconds, self.dies_at, self.accuracies = seconds, dies_at, accuracies
        self.greeting = greeting or {"version": "fake 1.0"}
        self.log, self.regions, self.stopped = [] if log is None else log, 0, False

    def greet(self) -> None:
        pass

    def stop(self) -> None:
        self.stopped = True

    def ask(self, **request: Any) -> Any:
        if request["do"] == "region":
            self.regions += 1
            if self.regions == self.dies_at:
                raise ContenderLostError("its process died (signal 11)")
            self.log.append(request["case"])
            return {"seconds": self.seconds}
        answers = {"open": {"steps": 117, "first_s": 0.5}, "accuracy": {"accuracies": list(self.accuracies)}}
        return answers.get(request["do"], {})


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.peers.rounds.PAUSE_S", 0.0)


def race_of(channels: Any, precisions: Any = ("fp32",), seed: int = 0) -> Any:
    race = Race(A, [CATALOGUE[key] for key in channels], channels, precisions, seed=seed)
    race.open()
    return race


def test_every_round_has_each_case_once_in_an_order_of_its_own() -> None:
    log: list[str] = []
    race = race_of({key: Fake(log=log) for key in ("numpy", "jax", "sklearn", "mlx")}, ("fp32", "bf16"))
    for _ in range(6):
        race.round()
    rounds = [tuple(log[start : start + 8]) for start in range(0, 48, 8)]
    assert len(log) == 48
    assert all(set(one) == {case.key for case in race.cases} for one in rounds)
    assert len(set(rounds)) == 6


def test_a_crash_is_a_row_and_the_others_go_on() -> None:
    fakes = {"numpy": Fake(), "jax": Fake(dies_at=4), EAGER: Fake()}
    race = race_of(dict(fakes), ("fp32", "bf16"))
    for _ in range(5):
        race.round()
    race.measure_accuracy(epochs=1, longest_s=1.0)
    reasons = {case.key: case.reason for case in race.cases if not case.runs}
    assert reasons == dict.fromkeys(("jax fp32", "jax bf16"), "its process died (signal 11)")
    assert fakes["jax"].stopped
    assert all(len(case.seconds) == 5 and case.accuracies == [(468, 0.9)] for case in race.running)
    assert len(race.running) == 4
    race.close()


def test_a_missing_peer_and_one_that_refuses_are_rows() -> None:
    class Refusing(Fake):
        def ask(self, **request: Any) -> Any:
            return {"unsupported": "it has no bfloat16"} if request["do"] == "open" else super().ask(**request)

    missing = Fake(greeting={"missing": "jax is not installed: pip install '.[peers]'"})
    race = race_of({"jax": missing, "mlx": Refusing(), "numpy": Fake()})
    race.round()
    assert [case.reason for case in race.cases] == [
        "jax is not installed: pip install '.[peers]'",
        "it has no bfloat16",
        None,
    ]
    text = "\n".join(table.board_lines(boards(workload_record("a", race.cases))[0]))
    assert "| JAX, lax.scan |  | | | | | | jax is not installed: pip install '.[peers]' |" in text


def test_a_round_that_was_broken_off_counts_for_nobody() -> None:
    race = race_of({"numpy": Fake(), EAGER: Fake()})
    race.round()
    race.round()
    race.cases[0].seconds.append(1.0)
    assert [len(case.seconds) for case in workload_record("a", race.cases).cases] == [2, 2]


def options(path: Any, **changes: Any) -> Any:
    chosen = {"workloads": ["a"], "precisions": ["fp32"], "contenders": ["numpy", EAGER], "rounds": 8, "epochs": 1}
    return session.Options(**{**chosen, "accuracy_s": 1.0, "threads": 1, "out": path, **changes})


def test_an_interrupt_keeps_the_rounds_that_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fakes = []

    def start(entry: Any, **_: Any) -> Any:
        fakes.append(Fake())
        return fakes[-1]

    def say(text: str) -> None:
        if "round 3 of 8" in text:
            raise KeyboardInterrupt

    monkeypatch.setattr(session, "ContenderProcess", start)
    session.Session(options(tmp_path / "p.json"), command="test", say=say).run()
    saved = load_record(tmp_path / "p.json")
    assert [len(case.seconds) for case in saved.workloads[0].cases] == [3, 3]
    assert all(fake.stopped for fake in fakes)


# --- what follows from the samples


def sampled(entry: Any, speeds: Any, accuracy: float = 0.92, **changes: Any) -> Any:
    case = CaseRecord(
        key=entry.key,
        title=entry.title,
        ours=entry.ours,
        version="one 1.0",
        precision="fp32",
        reason=None,
        steps=117,
        first_s=1.25,
        seconds=tuple(117 * 128 / float(speed) for speed in speeds),
        accuracies=((468, accuracy),),
    )
    return replace(case, **changes)


SPEEDS = np.array([100_000, 102_000, 98_000, 101_000, 99_000, 100_500, 99_500, 100_000])


def test_ratios_are_paired_and_ranked() -> None:
    cases = (sampled(PEER, SPEEDS / 2), sampled(CATALOGUE["ours-compiled"], SPEEDS * 1.5), sampled(OURS, SPEEDS))
    board = boards(WorkloadRecord(workload="a", cases=cases))[0]
    assert [row.case.key for row in board.rows] == ["ours-compiled", EAGER, "numpy"]
    peer = board.rows[-1]
    assert board.best_peer is peer
    assert peer.speed.median == pytest.approx(50_000)
    assert peer.epoch_ms == pytest.approx(1e3 * 468 * 128 / 50_000)
    # the samples scatter by 1 %, their ratios by nothing at all: pairs
    assert (peer.to_best_of_ours.low, peer.to_best_of_ours.high) == pytest.approx((1 / 3, 1 / 3))
    assert peer.to_best_of_ours.verdict == "slower"
    assert peer.to_our_eager.ratio == pytest.approx(0.5)
    assert board.rows[0].to_best_peer.ratio == pytest.approx(3)
    assert board.rows[0].to_best_of_ours is None


def test_who_is_less_accurate_is_wrong_and_not_ranked() -> None:
    limit = accuracy_limit(A, "fp32", 468, 0.92)
    assert 0.01 < limit < 0.02
    cases = [sampled(OURS, SPEEDS), sampled(PEER, SPEEDS * 3, accuracy=0.92 - 1.1 * limit)]
    board = boards(WorkloadRecord(workload="a", cases=tuple(cases)))[0]
    assert [row.case.key for row in board.rows] == [EAGER, "numpy"]
    assert board.rows[1].wrong.startswith("accuracy 90.")
    assert board.best_peer is None
    cases[1] = sampled(PEER, SPEEDS * 3, accuracy=0.92 - 0.9 * limit)
    assert boards(WorkloadRecord(workload="a", cases=tuple(cases)))[0].rows[0].wrong is None


def test_accuracies_are_compared_after_as_many_steps() -> None:
    ours = sampled(OURS, SPEEDS, accuracies=((52, 0.84), (468, 0.92), (936, 0.95)))
    peers = [sampled(PEER, SPEEDS / 2, accuracies=(last,)) for last in ((52, 0.85), (52, 0.92), (936, 0.92))]
    judged = [boards(WorkloadRecord(workload="a", cases=(ours, peer)))[0].rows[1] for peer in peers]
    assert [row.ranked for row in judged] == [True, False, False]


def test_the_limit_is_wider_the_earlier() -> None:
    limits = [accuracy_limit(A, "fp32", steps, 0.9) for steps in (52, 156, 468, 1404)]
    assert limits == pytest.approx(np.array([2.6, 1.5, 1.1, 1.1]) * 4 * 2**0.5 * 0.003)
    assert accuracy_limit(D, "fp32", 0, 0.95) == 5 / 10_000


# --- the limit of dense products

LIMIT = CATALOGUE["dense-products"]


def limit_sampled(speeds: Any, **changes: Any) -> Any:
    return sampled(LIMIT, speeds, accuracies=(), limit=True, **changes)


def test_the_products_alone_have_the_arithmetic_of_a_step(mnist: Dataset) -> None:
    for key, flops in (
        ("a", 2 * 128 * (2 * (784 * 128 + 128 * 10) + 128 * 10)),  # all layers twice, the last one's inputs too
        ("b", 2 * 512 * (2 * (784 * 512 + 512 * 512 + 512 * 10) + 512 * 512 + 512 * 10)),
        ("d", 2 * 10_000 * (784 * 128 + 128 * 10)),
    ):
        assert made("dense-products", mnist, key).flops == flops


@pytest.mark.parametrize("key", ["a", "b"])
def test_the_products_alone_are_those_that_a_step_of_torch_makes(mnist: Dataset, key: str) -> None:
    """Counted by torch's own counter of flops, over a forward and a backward pass of the same network."""
    contender, workload = made("dense-products", mnist, key), WORKLOADS[key]
    network = torch_layers(start_weights(workload.sizes)).double()
    inputs = torch.zeros(workload.batch_size, 784, dtype=torch.float64)
    with FlopCounterMode(display=False) as of_a_step:
        network(inputs).sum().backward()
    with FlopCounterMode(display=False) as of_the_products:
        contender.train(3)
    assert of_the_products.get_total_flops() == 3 * of_a_step.get_total_flops()


def test_the_products_alone_are_measured_and_not_asked_for_an_accuracy(mnist: Dataset) -> None:
    contender, _ = greeting(LIMIT)
    worker = Worker(contender, "", mnist)
    opened = worker.answer({"do": "open", "case": "x", "workload": "a", "precision": "fp32", "weights": None})
    assert worker.answer({"do": "region", "case": "x", "steps": opened["steps"]})["seconds"] > 0
    ask = {"do": "accuracy", "case": "x", "epochs": 1, "longest_s": 1.0, "every": False}
    assert worker.answer(ask) == {"accuracies": []}


def test_the_limit_is_nobodys_peer_and_nobodys_best() -> None:
    cases = (limit_sampled(SPEEDS * 2), sampled(PEER, SPEEDS / 2), sampled(OURS, SPEEDS))
    board = boards(WorkloadRecord(workload="a", cases=cases))[0]
    assert [row.case.key for row in board.rows] == [EAGER, "numpy", "dense-products"]
    assert board.best_of_ours.case.key == EAGER
    assert board.best_peer.case.key == "numpy"
    assert board.rows[0].to_best_peer.ratio == pytest.approx(2)
    assert [row.to_limit and row.to_limit.ratio for row in board.rows] == [
        pytest.approx(0.5),
        pytest.approx(0.25),
        None,
    ]
    row = table.board_lines(board)[-1]
    assert row.startswith(
        "| *the matrix products alone* | one 1.0 | 200,000 (197,642 to 202,358) | 299.5 | 2.00 (2.00 "
    )
    assert row.endswith(" | 1.2 |  | limit of dense products |")
    alone = boards(WorkloadRecord(workload="a", cases=(limit_sampled(SPEEDS),)))[0]
    assert (alone.best_peer, alone.best_of_ours) == (None, None)
    assert limit_lines(alone) == []


def test_a_sentence_says_how_near_the_dense_engines_come() -> None:
    jax, compiled = sampled(CATALOGUE["jax"], SPEEDS * 0.5), sampled(CATALOGUE["ours-compiled"], SPEEDS * 0.625)
    cases = (limit_sampled(SPEEDS), jax, compiled, sampled(OURS, SPEEDS / 4))
    assert limit_lines(boards(WorkloadRecord(workload="a", cases=cases))[0]) == [
        "",
        "JAX reaches 50 % (50 to 50 %) of the speed of the matrix products alone, "
        "accelmnist compiled reaches 62 % (62 to 62 %); 1.4 times JAX would be 70 % (70 to 70 %) of it, "
        "3 times JAX would be 150 % (150 to 150 %) of it, out of reach of whoever multiplies every pixel.",
    ]
    without = boards(WorkloadRecord(workload="a", cases=cases[1:]))[0]
    assert limit_lines(without) == []


def test_a_goal_is_out_of_reach_only_where_all_of_its_interval_is() -> None:
    noisy = SPEEDS * np.array([0.5, 0.8, 0.55, 0.9, 0.66, 0.7, 0.6, 0.75])
    cases = (limit_sampled(SPEEDS), sampled(PEER, noisy))
    board = boards(WorkloadRecord(workload="b", cases=cases))[0]
    assert board.best_peer.to_limit.low < 1 / 1.6 < board.best_peer.to_limit.ratio
    assert "1.6 times NumPy by hand would be 10" in limit_lines(board)[1]
    assert "out of reach" not in limit_lines(board)[1]


def test_a_limit_that_did_not_hold_says_nothing_of_goals() -> None:
    cases = (limit_sampled(SPEEDS / 20), sampled(PEER, SPEEDS))
    board = boards(WorkloadRecord(workload="a", cases=cases))[0]
    assert limit_lines(board) == [
        "",
        "The matrix products alone were slower than an engine that makes them: they are no limit here.",
    ]


def test_a_record_from_before_the_limit_still_loads(tmp_path: Path) -> None:
    record = new_record("a test", threads=2, workloads=(WorkloadRecord(workload="a", cases=(sampled(OURS, SPEEDS),)),))
    save_record(record, tmp_path / "p.json")
    text = (tmp_path / "p.json").read_text()
    assert text.count('"limit": false') == 1
    (tmp_path / "p.json").write_text(re.sub(r',\s*"limit": false', "", text))
    assert load_record(tmp_path / "p.json") == record


# --- tables, the record, the command line


def test_a_table_says_it_all() -> None:
    peer = sampled(PEER, SPEEDS / 2)
    dead = replace(peer, key="jax", title="JAX", seconds=(), reason="its process\ndied | signal 9")
    board = boards(WorkloadRecord(workload="a", cases=(sampled(OURS, SPEEDS), peer, dead)))[0]
    lines = table.board_lines(board)
    ours = "| **accelmnist eager** | one 1.0 | 100,000 (98,821 to 101,179) | 599.0 | 1 | 1.2 | 92.00 % (1 epoch) "
    assert lines[2] == ours + "| our best |"
    assert lines[3].startswith(
        "| NumPy by hand | one 1.0 | 50,000 (49,411 to 50,589) | 1,198.1 | 0.50 (0.50 to 0.50) |"
    )
    assert lines[3].endswith("| slower |")
    assert lines[4] == "| JAX | one 1.0 | | | | | | its process died / signal 9 |"
    assert {line.count("|") for line in lines} == {9}


def test_the_record_comes_back_and_makes_both_tables(tmp_path: Path) -> None:
    wrong = sampled(CATALOGUE["mlx"], SPEEDS, accuracy=0.5)
    cases = (sampled(OURS, SPEEDS), sampled(PEER, SPEEDS / 2), wrong)
    record = new_record("a test", threads=2, workloads=(WorkloadRecord(workload="a", cases=cases),))
    save_record(record, tmp_path / "p.json")
    assert load_record(tmp_path / "p.json") == record
    assert "## Training 784-128-10, batch 128, SGD, float32\n" in table.document(record)
    rows = table.readme_part(record).splitlines()[2:]
    assert rows == [
        "| who | (a) float32 |",
        "| --- | ---: |",
        "| **accelmnist eager** | **100,000** |",
        "| NumPy by hand | 50,000 (2.00) |",
        "| MLX, mx.compile | wrong |",
    ]


@pytest.mark.parametrize("wrong", [["--workloads", "a,z"], ["--only", ""], ["--rounds", "0"], ["--threads", "x"]])
def test_wrong_use_is_one_line(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(wrong)
    assert ended.value.code == 2
    assert "error: argument" in capsys.readouterr().err


def test_the_extra_names_every_peers_library() -> None:
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    extra = " ".join(tomllib.loads(text)["project"]["optional-dependencies"]["peers"])
    needed = {entry.packages[0] for entry in CATALOGUE.values()} - IN_EVERY_VENV
    assert needed == {name for name in needed if name in extra}
