"""The persistent kernel: numbers by Triton's interpreter, code by the compiler, the barrier by all interleavings.

No GPU is needed, and none has run it so far. Where there is one, test_engines.py holds the engine to the contract.
"""

from __future__ import annotations

import re
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from accelmnist.core.config import ACTIVATIONS, OPTIMIZERS, OUTPUTS
from accelmnist.data.types import Dataset
from accelmnist.device import Device, resolve
from accelmnist.engines import persistent as engine_module
from accelmnist.engines.persistent import PersistentEngine
from accelmnist.engines.plan import TrainingPlan
from accelmnist.engines.step.device_runner import upload_epoch
from accelmnist.engines.triton.kernels.partition import partition, step_s
from accelmnist.engines.triton.persistent_epochs import PersistentEpochs, partition_of
from tests.interpreted import run_persistent
from tests.rounding import replayed
from tests.test_gpu_kernels import assert_follows, by_torch, type_of
from tests.training_helpers import make_job, small_config

pytestmark = pytest.mark.numeric

pytest.importorskip("triton", reason="Triton comes with torch for CUDA")

CPU = resolve("cpu")
STEPS = 2


@pytest.fixture
def interpreted(interpreting: ProcessPoolExecutor) -> Any:
    return lambda *arguments, **options: interpreting.submit(partial(run_persistent, *arguments, **options)).result()


# --- numbers, several programs one after the other, a launch a part


NETWORKS = {
    **{name: {"training": {"optimizer": name, "learning_rate": 0.01}} for name in OPTIMIZERS},
    "nesterov and decay": {"training": {"nesterov": True, "weight_decay": 0.05}},
    **{f"{name} output": {"model": {"output": name}} for name in OUTPUTS},
    **{f"{name} activation": {"model": {"activation": name}} for name in ACTIVATIONS if name != "relu"},
    "two blocks of units, dropout": {"model": {"hidden": (19,), "dropout": 0.4}},
    "batches of more than one block": {"training": {"batch_size": 70}},
}
# The functions of these are the kernels' of test_gpu_kernels.py.
SHARED = [f"{name} activation" for name in ACTIVATIONS if name != "gelu"] + ["sigmoid output", "linear output", "adam"]


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SHARED)) for name in NETWORKS])
def test_every_network_follows_float64_and_eager(name: str, synthetic: Dataset, interpreted: Any) -> None:
    """A batch of 37 and 9 units divide nothing."""
    parts = NETWORKS[name]
    config = small_config(
        training={"batch_size": 37} | parts.get("training", {}), model={"hidden": (9,)} | parts.get("model", {})
    )
    images, labels = synthetic.train.images, synthetic.train.labels
    found = interpreted(config, images, labels, steps=STEPS, multiprocessors=18)
    assert found["programs"] >= 8
    assert_follows(found, config, synthetic, steps=STEPS)
    replayed(config, synthetic.train, steps=STEPS).hold(found["losses"])


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_sixteen_bits_follow_float64(precision: str, synthetic: Dataset, interpreted: Any) -> None:
    config = small_config(model={"hidden": (9,)}, execution={"precision": precision})
    found = interpreted(config, synthetic.train.images, synthetic.train.labels, steps=STEPS, multiprocessors=18)
    expected = replayed(config, synthetic.train, steps=STEPS)
    expected.hold(found["losses"])
    assert (found["losses"] != expected.exact[0].float()).any()


def test_it_goes_on_from_the_state_of_another_engine(synthetic: Dataset, interpreted: Any) -> None:
    config = small_config(training={"optimizer": "adamw", "learning_rate": 0.01}, model={"hidden": (9,)})
    state = by_torch(config, synthetic, steps=4)["state"]
    images, labels = synthetic.train.images, synthetic.train.labels
    found = interpreted(config, images, labels, steps=2, multiprocessors=18, state=state)
    assert_follows(found, config, synthetic, steps=2, state=state)


def test_a_launch_of_no_steps_changes_nothing(synthetic: Dataset, interpreted: Any) -> None:
    """That is how the engine compiles."""
    config = small_config(training={"optimizer": "adamw"}, model={"hidden": (9,)})
    images, labels = synthetic.train.images, synthetic.train.labels
    found = interpreted(config, images, labels, steps=0, multiprocessors=18, whole=True)
    before = make_job(config, synthetic, CPU).model.parameters()
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(found["weights"], before, strict=True))
    assert (len(found["losses"]), found["arrivals"]) == (0, 0)


def test_one_program_passes_every_barrier_alone(synthetic: Dataset, interpreted: Any) -> None:
    """The real form with its atomics; alone it does its own block only, so no numbers are looked at but the count."""
    images, labels = synthetic.train.images, synthetic.train.labels
    config = small_config(model={"hidden": (9,)}, training={"batch_size": 16})
    assert interpreted(config, images, labels, steps=3, multiprocessors=18, whole=True)["arrivals"] == 6


# --- code


def compiled(config: Any, synthetic: Dataset, capability: Any) -> Any:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from accelmnist.engines.triton.kernels.persistent import persistent

    cut = partition_of(config, 132)
    epochs = PersistentEpochs(make_job(config, synthetic, CPU), cut)
    arguments = epochs.arguments(upload_epoch(TrainingPlan(config, len(synthetic.train)).epoch(0), CPU))
    signature = {name: type_of(arguments[name]) if name in arguments else "constexpr" for name in persistent.arg_names}
    signature |= {"first": "i32", "steps": "i32"}
    source = ASTSource(persistent, signature, epochs.constants | {"PART": "all"})
    options = {"num_warps": cut.warps, "num_stages": 1, "launch_cooperative_grid": True}
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)


@pytest.mark.slow  # each compiles the kernel
@pytest.mark.parametrize(("capability", "precision"), [(80, "fp32"), (90, "bf16")])
def test_the_barrier_releases_and_acquires(
    capability: int, precision: str, synthetic: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two barriers a step; and nothing is loaded ahead of one, as a pipelined loop would."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    config = small_config(model={"hidden": (32,)}, execution={"precision": precision})
    code = compiled(config, synthetic, capability)
    ptx = code.asm["ptx"]
    arriving = [match.start() for match in re.finditer(r"atom\.global\.gpu\.acq_rel\.add\.u64", ptx)]
    waiting = [match.start() for match in re.finditer(r"(?:atom|ld)\.global\.gpu\.acquire\.", ptx)]
    assert (len(arriving), len(waiting)) == (2, 2)
    for arrival in arriving:  # the threads have met since the last store
        assert "bar.sync" in ptx[ptx.rindex("st.global", 0, arrival) : arrival]
    assert "cp.async" not in ptx
    assert ("mma" in ptx) == (precision != "fp32")
    assert code.metadata.launch_cooperative_grid
    assert code.metadata.shared <= 99 << 10


# --- the barrier and the hand-over, every order in which programs can take turns


def reachable_faults(programs: Any, steps: int, *, second_barrier: bool = True) -> Any:
    """What can go wrong: a state is (position of every program, arrivals, who wrote which sums and results when).

    A program's step: write sums, wait, read all sums and write results, wait, read all results. A read of what is not
    this step's is a fault, and so is no program being able to go on before all are done.
    """
    parts = ["sums", "arrive", "wait", "head", *(["arrive", "wait"] if second_barrier else []), "update"]
    barriers = parts.count("arrive")
    start = ((0,) * programs, 0, (-1,) * programs, (-1,) * programs)
    seen, open_states, faults = {start}, [start], set()
    while open_states:
        positions, arrivals, sums, results = open_states.pop()
        moved = False
        for one, position in enumerate(positions):
            step, place = divmod(position, len(parts))
            if step == steps:
                continue
            here, after = parts[place], (arrivals, sums, results)
            if here == "wait" and arrivals < programs * (step * barriers + parts[: place + 1].count("wait")):
                continue
            if here == "sums":
                after = (arrivals, replaced(sums, one, step), results)
            elif here == "arrive":
                after = (arrivals + 1, sums, results)
            elif here == "head":
                faults |= {"sums"} if set(sums) != {step} else set()
                after = (arrivals, sums, replaced(results, one, step))
            elif here == "update" and set(results) != {step}:
                faults.add("results")
            moved, state = True, (replaced(positions, one, position + 1), *after)
            if state not in seen:
                seen.add(state)
                open_states.append(state)
        if not moved and set(positions) != {steps * len(parts)}:
            faults.add("stuck")
    return faults


def replaced(values: Any, index: Any, value: Any) -> Any:
    return (*values[:index], value, *values[index + 1 :])


@pytest.mark.parametrize("programs", [2, 3])
def test_no_order_of_programs_mixes_steps(programs: int) -> None:
    assert reachable_faults(programs, steps=3) == set()


def test_without_the_second_barrier_steps_would_mix() -> None:
    assert reachable_faults(2, steps=3, second_barrier=False) == {"sums", "results"}


# --- who owns what


@pytest.mark.parametrize("units", [1, 32, 128, 256, 1000])
@pytest.mark.parametrize("batch", [1, 128, 1024])
def test_every_weight_has_one_owner_and_the_grid_fits(batch: int, units: int) -> None:
    cut = partition(batch, 784, units, multiprocessors=132)
    assert cut is not None
    assert cut.programs <= 132
    assert cut.block_units * cut.unit_blocks >= units > cut.block_units * (cut.unit_blocks - 1)
    assert cut.block_inputs * cut.input_blocks >= 784 > cut.block_inputs * (cut.input_blocks - 1)
    assert cut.head_rows * cut.head_tiles >= batch


def test_the_inputs_are_cut_too() -> None:
    """By units alone, 128 of them would keep 8 multiprocessors busy."""
    cut = partition(128, 784, 128, multiprocessors=132)
    assert (cut.block_units, cut.block_inputs, cut.programs) == (16, 64, 112)
    few = partition(128, 784, 128, multiprocessors=16)
    assert step_s(few) > 2 * step_s(cut)


def test_what_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    card = Device("cuda:0", "a card", "asked for")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(engine_module, "multiprocessors", lambda device: 20)
    assert PersistentEngine.unsupported(small_config(), card) is None
    said = {
        hidden: PersistentEngine.unsupported(small_config(model={"hidden": hidden}), card) for hidden in ((), (8, 8))
    }
    assert said[()] == "its kernel is for one hidden layer, and this network has none"
    assert said[8, 8] == "its kernel is for one hidden layer, and this network has 2"
    wide = PersistentEngine.unsupported(small_config(model={"hidden": (512,)}), card)
    assert wide == "784-512-10 at batch 64 is too large for its 20 multiprocessors"
    assert PersistentEngine.unsupported(small_config(), CPU) == "its kernel is for CUDA, and this is cpu"
