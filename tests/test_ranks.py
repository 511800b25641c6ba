"""Ranks: N processes learn what one does, by every engine, and a fault in one of them is named."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from accelmnist.core.config import ExecutionConfig, RunConfig, check_shares
from accelmnist.core.errors import ConfigError
from accelmnist.core.records import load_record
from accelmnist.data.types import Dataset
from accelmnist.device import Device, resolve
from accelmnist.device.ranks import Place, Ranks, place_here, unlike
from accelmnist.engines.choose import engine_class
from accelmnist.engines.contract import Job
from accelmnist.engines.plan import Share, TrainingPlan
from accelmnist.engines.step import replay
from accelmnist.training.evaluation import part_of
from accelmnist.training.loop import losses_of, prepare, train
from accelmnist.training.reference.audit import digests_of
from tests.graph_stand_in import FakeGraphs
from tests.interpreted import gradients_of_rank
from tests.rank_worker import BASE, FAULTS, SLOW_TRAININGS, TRAININGS, changed, trained

pytestmark = pytest.mark.xdist_group("ranks")  # pairs of processes, one after the other

ALONE = Ranks(Place(0, 1, 0, 1))
ROOT = Path(__file__).parents[1]


def variables(rank: int, size: int, port: int) -> dict[str, str]:
    return os.environ | {
        "RANK": str(rank),
        "WORLD_SIZE": str(size),
        "LOCAL_RANK": str(rank),
        "LOCAL_WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def by_two(file: Path, *arguments: str) -> dict[str, list[dict[str, Any]]]:
    """What two processes found together."""
    port = free_port()
    command = [sys.executable, "-m", "tests.rank_worker", str(file), *arguments]
    ranks = [
        subprocess.Popen(command, env=variables(rank, 2, port), stderr=subprocess.PIPE, text=True) for rank in range(2)
    ]
    said = [rank.communicate(timeout=400)[1] for rank in ranks]
    assert file.exists(), said
    found: dict[str, list[dict[str, Any]]] = json.loads(file.read_text())
    return found


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    return by_two(tmp_path_factory.mktemp("ranks") / "found.json")


def alone(name: str, data: Dataset) -> dict[str, Any]:
    config = (TRAININGS | SLOW_TRAININGS)[name]
    return trained(changed_ranks(config, 1), data, ALONE)


def changed_ranks(config: RunConfig, ranks: int) -> RunConfig:
    return replace(config, execution=replace(config.execution, ranks=ranks))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in TRAININGS if "sum" not in name])
def test_the_exact_reduction_gives_one_and_two_ranks_the_same_bits(
    name: str, together: dict[str, list[dict[str, Any]]], synthetic: Dataset
) -> None:
    first, second = together[name]
    assert first == second
    assert first == alone(name, synthetic)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW_TRAININGS)
def test_compiled_gradients_give_one_and_two_ranks_the_same_bits(
    name: str, tmp_path_factory: pytest.TempPathFactory, synthetic: Dataset
) -> None:
    file = Path(tmp_path_factory.getbasetemp()) / "slow.json"
    found = json.loads(file.read_text()) if file.exists() else by_two(file, "slow")
    assert found[name][0] == found[name][1] == alone(name, synthetic)


@pytest.mark.slow
def test_the_same_ranks_twice_give_the_same_bits(together: dict[str, list[dict[str, Any]]]) -> None:
    assert together["sum"] == together["sum again"]
    assert together["sum"][0] == together["sum"][1]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sum", "fused sum"])
def test_the_losses_are_those_of_one_process(
    name: str, together: dict[str, list[dict[str, Any]]], synthetic: Dataset
) -> None:
    plain = trained(changed_ranks(TRAININGS[name], 1), synthetic, ALONE)["losses"]
    assert together[name][0]["losses"][:8] == pytest.approx(plain[:8], rel=1e-5)


@pytest.mark.slow
def test_the_script_for_slurm_starts_two_hosts_of_a_rank_each(tmp_path: Path) -> None:
    """That of results/README.md, with the variables that Slurm sets for each task."""
    page = (ROOT / "results" / "README.md").read_text(encoding="utf-8")
    script = "#!/bin/sh\n#SBATCH" + page.partition("#!/bin/sh\n#SBATCH")[2].partition("```")[0]
    small = (
        "run --synthetic --hidden 8 --epochs 1 --device cpu --engine eager --no-reference --audit 2 --quiet --out out"
    )
    assert "accelmnist run'" in script
    assert "MASTER_PORT=29500" in script
    script = script.replace("accelmnist run", f"accelmnist {small}").replace("29500", str(free_port()))
    task = "SLURM_PROCID=$rank SLURM_LOCALID=0 SLURM_NTASKS=2 SLURM_NTASKS_PER_NODE=1"
    for name, text in {
        "scontrol": '[ "$*" = "show hostnames localhost,second" ] && printf "localhost\\nsecond\\n"',
        "srun": f'for rank in 0 1; do {task} "$@" & done; wait',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    path = os.pathsep.join([str(tmp_path), str(Path(sys.executable).parent), os.environ["PATH"]])
    own = {"PATH": path, "PYTHONPATH": str(ROOT), "SLURM_JOB_NODELIST": "localhost,second"}
    said = subprocess.run(["sh", "-c", script], cwd=tmp_path, env=os.environ | own, capture_output=True, text=True)
    assert said.stderr == ""
    assert said.stdout.startswith("PASS")
    assert [rank.rank for rank in load_record(tmp_path / "out").ranks] == [0, 1]


@pytest.mark.slow
def test_two_ranks_that_are_right_pass_the_whole_verdict(together: dict[str, list[dict[str, Any]]]) -> None:
    first, second = together["none"]
    assert first["failures"] == {}
    assert first["ranks"] == 2
    assert second == {}


SAID = {
    "mean for sum": "their mean",
    "mean of gradients": "of epoch",
    "stale order": "of epoch",
    "same mask": "of epoch",
    "other weights": "rank 1: layers.0.bias",
    "repeated row": "rank 1 counted",
    "other images": "the hash of the test images is",
    "other option": "--weight-decay is 0.01 on rank 0 and 0.5 on rank 1",
    "left out sum": "rank 1 left out the all-reduce of its step 5",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SAID)
def test_a_fault_in_one_rank_is_found_and_named(name: str, together: dict[str, list[dict[str, Any]]]) -> None:
    first = together[name][0]
    told = [first["error"]] if "error" in first else list(first["failures"].values())
    assert any(SAID[name] in line for line in told), told


def test_every_fault_has_its_words() -> None:
    assert {*SAID, "none"} == {*FAULTS}


# --- alone


def test_one_rank_runs_the_plain_engine(synthetic: Dataset) -> None:
    config = changed_ranks(BASE, 1)
    job = Job(config, resolve("cpu"), synthetic.train, ranks=ALONE)
    assert job.share is None
    assert trained(config, synthetic, ALONE) == trained(config, synthetic, ALONE)


@pytest.mark.parametrize("engine", ["eager", "fused"])
def test_gradients_of_parts_add_up_to_those_of_the_batch(engine: str, synthetic: Dataset) -> None:
    """The masks of dropout are those of the whole batch, whoever computes which rows."""
    config = changed(execution={"engine": engine, "ranks": 4}, model={"dropout": 0.4})
    whole = changed(execution={"engine": engine, "ranks": 1}, model={"dropout": 0.4})
    plain = trained(whole, synthetic, ALONE)["losses"][0]
    epoch = TrainingPlan(config, len(synthetic.train)).epoch(0)
    losses = []
    for rank in range(4):
        job = Job(config, resolve("cpu"), synthetic.train, ranks=ALONE)
        job.share = Share.of_rank(rank, config)
        runner = engine_class(engine).prepare_shared(job, job.share.cut(epoch))
        losses.append(float(runner.download(runner.train_epoch(runner.upload(job.share.cut(epoch[:1]))))[0]))
    assert sum(losses) == pytest.approx(plain, rel=1e-5)


def test_shares_are_the_batch_cut_in_order() -> None:
    order = np.arange(2 * 64).reshape(2, 64)
    epoch = TrainingPlan(BASE, 128).epoch(0)
    for reduction in ("sum", "exact"):
        config = changed(execution={"ranks": 4, "reduction": reduction})
        parts = [
            Share.of_rank(rank, config).cut(type(epoch)(order, epoch.learning_rates, epoch.dropout_seeds)).order
            for rank in range(4)
        ]
        assert np.array_equal(np.concatenate(parts, axis=1), order)


def test_parts_of_an_evaluation_are_the_whole_once() -> None:
    assert [number for rank in range(3) for number in part_of(10_000, rank, 3)] == list(range(10_000))


@pytest.mark.parametrize(
    ("size", "ranks", "reduction", "near"),
    [(100, 3, "sum", "99 or 102"), (2, 3, "sum", "Give 3"), (100, 2, "exact", "96 or 104")],
)
def test_a_batch_that_cannot_be_shared_is_refused_with_the_nearest(
    size: int, ranks: int, reduction: Any, near: str
) -> None:
    with pytest.raises(ConfigError, match=near):
        check_shares(size, ranks=ranks, reduction=reduction)


def test_the_exact_reduction_takes_ranks_that_share_eight_parts() -> None:
    with pytest.raises(ConfigError, match="Take 1, 2, 4, 8 ranks"):
        ExecutionConfig(ranks=3, reduction="exact")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"RANK": "0", "WORLD_SIZE": "2"}, "MASTER_ADDR and MASTER_PORT are not set"),
        ({"WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, "RANK is not set"),
        ({"RANK": "x", "WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, "RANK=x is no number"),
        ({"RANK": "2", "WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, "can't all be right"),
    ],
)
def test_half_of_an_environment_is_refused(given: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        place_here(given)


def test_a_place_is_what_torchrun_says() -> None:
    assert place_here({}) is None
    assert place_here(variables(1, 2, 1234) | {"LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}) == Place(1, 2, 0, 1)


def test_what_is_unlike_is_told_with_both_values() -> None:
    assert unlike([{"a": 1}, {"a": 1}]) is None
    assert unlike([{"a": 1, "b": 2}, {"a": 1, "b": 3}]) == "b is 2 on rank 0 and 3 on rank 1"


@pytest.mark.numeric
def test_triton_gradients_are_those_of_autograd(interpreting: ProcessPoolExecutor, synthetic: Dataset) -> None:
    """Also of rows in the middle of a batch, whose dropout counts from there."""
    from accelmnist.engines.step.torch_steps import EagerSteps

    config = changed(execution={"ranks": 4}, model={"dropout": 0.4})
    data = synthetic.train
    loss, gradients = interpreting.submit(gradients_of_rank, config, data.images, data.labels, rank=2).result()
    job = Job(config, resolve("cpu"), data)
    share = Share.of_rank(2, config)
    wanted, right = EagerSteps(job).gradients(torch.arange(share.rows), torch.tensor(5), share.first)
    assert float(loss) == pytest.approx(float(wanted), rel=1e-5)
    for one, other in zip(gradients, right, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


class SumsAlone(Ranks):
    """One rank whose sums go through torch.distributed all the same."""

    def add(self, numbers: torch.Tensor) -> None:
        torch.distributed.all_reduce(numbers, group=self._sums)


@pytest.fixture
def summing(device: Device) -> Iterator[Ranks]:
    """Gloo on the CPU; NCCL on a GPU, where the sum is captured with its step."""
    if device.kind == "mps":
        pytest.skip("it has no ranks")
    ranks = SumsAlone(Place(0, 1, 0, 1), device=device.torch_device, store=torch.distributed.HashStore())
    yield ranks
    ranks.leave()
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("engine", ["eager", "cuda_graph"])
def test_a_sum_over_one_rank_changes_no_bit(
    engine: str,
    precision: str,
    summing: Ranks,
    device: Device,
    monkeypatch: pytest.MonkeyPatch,
    synthetic: Dataset,
) -> None:
    if device.kind == "cpu":
        monkeypatch.setattr(replay, "capture_graphs", FakeGraphs())
    config = changed(execution={"ranks": 1, "engine": engine, "precision": precision}, model={"dropout": 0.2})
    ends = []
    for share in (None, Share(first=0, rows=64, shards=1, of=64)):
        job = Job(config, device, synthetic.train, ranks=summing)
        job.share = share
        losses = losses_of(list(train(prepare(engine_class(engine), job), job, probe=None)))
        ends.append(digests_of(job.model.arrays()) | {"losses": losses.tolist() if engine == "eager" else []})
    assert ends[0] == ends[1]
