"""The Triton kernels of `fused`: their numbers by Triton's interpreter, their code by its compiler, no GPU needed.

Where there is a GPU, test_engines.py holds the engine itself to the contract that all share.
"""

from __future__ import annotations

import dataclasses
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from accelmnist.core.config import ACTIVATIONS, OPTIMIZERS, OUTPUTS
from accelmnist.core.errors import DeviceError
from accelmnist.data.types import Dataset, DeviceSet
from accelmnist.device import Device, resolve
from accelmnist.engines.contract import Job
from accelmnist.engines.eager import EagerEngine
from accelmnist.engines.fused import FusedEngine
from accelmnist.engines.model import MLP, logits_of
from accelmnist.engines.plan import TrainingPlan
from accelmnist.engines.step import replay
from accelmnist.engines.step.device_runner import upload_epoch
from accelmnist.engines.triton.chunk import TritonChunk, why_too_large
from accelmnist.engines.triton.kernels.constants import Tile, tile
from accelmnist.training.loop import prepare
from accelmnist.training.profile import profile_training
from accelmnist.training.reference.tolerances import tolerances
from tests.interpreted import classify, run_steps
from tests.rounding import Followed, leave, replayed
from tests.training_helpers import ends_of, make_job, run_epoch, small_config, train_with

pytestmark = pytest.mark.numeric

pytest.importorskip("triton", reason="Triton comes with torch for CUDA")

CPU = resolve("cpu")
CARD = Device("cuda:0", "a card", "asked for")
ODD = {"hidden": (50, 30)}
STEPS = 2


@pytest.fixture
def interpreted(interpreting: ProcessPoolExecutor) -> Any:
    return lambda *arguments, **options: interpreting.submit(partial(run_steps, *arguments, **options)).result()


def by_torch(config: Any, data: Any, *, steps: int, state: Any = None, nudge: Any = leave) -> Any:
    """The same steps by the eager engine: losses, weights, state."""
    job = make_job(config, data, CPU)
    nudge(job.model.parameters())
    plan, runner = TrainingPlan(config, len(data.train)).epoch(0), prepare(EagerEngine, job)
    if state is not None:
        runner.load_state(state)
    losses = run_epoch(runner, plan[:steps])
    return {"losses": losses, "weights": [one.detach() for one in job.model.parameters()], "state": runner.state()}


def assert_follows(found: Any, config: Any, data: Any, *, steps: int, state: Any = None) -> None:
    """Losses, weights and state, which has all that torch's has, against the eager engine's."""
    names = list(by_torch(config, data, steps=1)["state"])

    def ends(run: Any) -> Any:
        return [run["losses"], *run["weights"], *(run["state"][name] for name in names)]

    eager = Followed.by(lambda nudge: ends(by_torch(config, data, steps=steps, state=state, nudge=nudge)))
    eager.hold(*ends(found))


# --- numbers, by the interpreter


NETWORKS = {
    **{name: {"training": {"optimizer": name, "learning_rate": 0.01}, "model": ODD} for name in OPTIMIZERS},
    "nesterov and decay": {"training": {"nesterov": True, "weight_decay": 0.05}},
    "adamw with much decay": {"training": {"optimizer": "adamw", "weight_decay": 0.5, "schedule": "constant"}},
    "adam with decay in the gradient": {"training": {"optimizer": "adam", "weight_decay": 0.05, "learning_rate": 0.01}},
    "no decay, no smoothing": {"training": {"weight_decay": 0.0, "label_smoothing": 0.0}},
    **{f"{name} activation": {"model": {"activation": name, "hidden": (20,)}} for name in ACTIVATIONS},
    **{f"{name} output": {"model": {"output": name}} for name in OUTPUTS},
    "three layers": {"model": {"hidden": (33, 20, 17)}},
    "no hidden layer": {"model": {"hidden": ()}},
    "one unit": {"model": {"hidden": (1,)}},
    "more units than a block": {"model": {"hidden": (140,)}},
    "dropout in two layers": {"model": {"hidden": (24, 17), "dropout": 0.4}},
    "one image": {"training": {"batch_size": 1}},
}


SLOW = ("adam", "no decay, no smoothing", "tanh activation", "silu activation", "linear output", "one unit")


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in NETWORKS])
def test_every_network_follows_float64_and_eager(name: str, synthetic: Dataset, interpreted: Any) -> None:
    """A batch of 37 divides nothing, and two chunks: what the first leaves is what the second starts from."""
    parts = NETWORKS[name]
    config = small_config(**parts | {"training": {"batch_size": 37} | parts.get("training", {})})
    found = interpreted(config, synthetic.train.images, synthetic.train.labels, steps=(1, 1))
    assert_follows(found, config, synthetic, steps=STEPS)
    replayed(config, synthetic.train, steps=STEPS).hold(found["losses"])


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("hidden", [(40,), (24, 17)])
def test_sixteen_bits_follow_float64(
    hidden: tuple[int, ...], precision: str, synthetic: Dataset, interpreted: Any
) -> None:
    config = small_config(model={"hidden": hidden}, execution={"precision": precision})
    found = interpreted(config, synthetic.train.images, synthetic.train.labels, steps=(STEPS,))
    expected = replayed(config, synthetic.train, steps=STEPS)
    expected.hold(found["losses"])
    assert (found["losses"] != expected.exact[0].float()).any()
    assert all(tensor.dtype == torch.float32 for tensor in (*found["weights"], *found["state"].values()))


@pytest.mark.parametrize("optimizer", ["sgd-momentum", "adamw"])
def test_it_goes_on_from_the_state_of_another_engine(optimizer: str, synthetic: Dataset, interpreted: Any) -> None:
    """Adam's corrections depend on the number of updates before."""
    config = small_config(training={"optimizer": optimizer, "learning_rate": 0.01})
    state = by_torch(config, synthetic, steps=4)["state"]
    found = interpreted(config, synthetic.train.images, synthetic.train.labels, steps=(2,), state=state)
    assert_follows(found, config, synthetic, steps=2, state=state)


def test_a_step_of_one_hidden_layer_is_three_launches(synthetic: Dataset, interpreted: Any) -> None:
    for hidden, expected in (
        ((), ["head", "update"]),
        ((8,), ["forward", "head", "update_two"]),
        ((8, 9), ["forward", "forward", "head", "backward", "update", "update_two"]),
    ):
        config = small_config(model={"hidden": hidden}, training={"batch_size": 16})
        found = interpreted(config, synthetic.train.images, synthetic.train.labels, steps=(1,))
        assert found["kernels"] == expected


def test_a_loss_that_is_no_number_is_not_hidden(synthetic: Dataset, interpreted: Any) -> None:
    """A rectifier that turned it into 0 would let a training that diverged pass."""
    config = small_config(training={"learning_rate": 1e30, "schedule": "constant"})
    losses = interpreted(config, synthetic.train.images, synthetic.train.labels, steps=(4,))["losses"]
    assert losses[0].isfinite()
    assert not losses[-1].isfinite()


@pytest.mark.parametrize("hidden", [(), (50, 30)])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_it_classifies_as_the_model_does(
    precision: str, hidden: tuple[int, ...], synthetic: Dataset, interpreting: ProcessPoolExecutor
) -> None:
    config = small_config(model={"hidden": hidden, "dropout": 0.3}, execution={"precision": precision})
    images = synthetic.test.images[:37]
    found = interpreting.submit(classify, config, images).result()
    expected = MLP(config.model, seed=0)(torch.from_numpy(images) / 255).detach()
    assert found.dtype == torch.float32
    error = (found - expected).abs().max() / expected.abs().max()
    cut = 2 if precision == "bf16" else 1  # the interpreter cuts off the bits that a GPU rounds by
    assert error <= cut * tolerances(precision).logits.limit


# --- code, by the compiler


TYPES = {
    torch.float32: "*fp32",
    torch.bfloat16: "*bf16",
    torch.float16: "*fp16",
    torch.uint8: "*u8",
    torch.int64: "*i64",
}
SHARED_BYTES = 99 << 10  # of a block at most, on the cards of compute capability 8.6 and 8.9, which have least


def type_of(argument: Any) -> Any:
    """Triton's name for a tensor; of a group of them, the same group of names."""
    return type(argument)(*map(type_of, argument)) if isinstance(argument, tuple) else TYPES[argument.dtype]


def compiled(launch: Any, capability: Any) -> Any:
    """What Triton makes of a launch for a GPU that need not be here."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    signature = {
        name: type_of(launch.arguments[name]) if name in launch.arguments else "constexpr"
        for name in launch.kernel.arg_names
    }
    if launch.takes_step:
        signature["step"] = "i32"
    source = ASTSource(launch.kernel, signature, dict(launch.constants))
    return triton.compile(source, target=GPUTarget("cuda", capability, 32))


COMPILED = {
    "two wide layers of Adam, Hopper": (
        90,
        {"model": {"hidden": (512, 512)}, "training": {"batch_size": 512, "optimizer": "adamw"}},
    ),
    "tf32, dropout": (
        80,
        {"model": {"hidden": (256,), "dropout": 0.2, "activation": "gelu"}, "execution": {"precision": "tf32"}},
    ),
    "bf16, no hidden layer": (90, {"model": {"hidden": ()}, "execution": {"precision": "bf16"}}),
}


@pytest.mark.slow  # each compiles every kernel of a step
@pytest.mark.parametrize("name", COMPILED)
def test_the_kernels_compile_and_fit(
    name: str, synthetic: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interpreter takes what the compiler refuses, such as a variable that changes its shape in a loop."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    capability, parts = COMPILED[name]
    config = small_config(**parts)
    plan = upload_epoch(TrainingPlan(config, len(synthetic.train)).epoch(0), CPU)
    for launch in TritonChunk(make_job(config, synthetic, CPU), plan).launches:
        code = compiled(launch, capability)
        assert code.metadata.shared <= SHARED_BYTES
        tensor_cores = "mma" in code.asm["ptx"]
        assert tensor_cores == (config.execution.precision != "fp32")


# --- blocks


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((128, 128, 784), Tile(16, 16, 128)),
        ((37, 10, 30), Tile(16, 16, 32)),
        ((8192, 512, 784), Tile(64, 64, 32)),
        ((512, 512, 512), Tile(32, 64, 32)),
        ((1, 1, 1), Tile(16, 16, 16)),
    ],
)
def test_blocks_are_as_large_as_a_full_gpu_allows(shape: tuple[int, ...], expected: Tile) -> None:
    assert tile(*shape) == expected


def test_a_grid_covers_the_result() -> None:
    assert Tile(16, 64, 32).grid(37, 784) == (3, 13)
    assert Tile(16, 16, 16).grid(16, 10) == (1, 1)


# --- the engine


def test_it_captures_its_kernels_and_replays_them(synthetic: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which form runs where: on CUDA the chunks of Triton's kernels, captured; nothing is started here."""
    started, captured = [], []
    monkeypatch.setattr(TritonChunk, "__call__", lambda self, steps: started.append(steps))

    def capture(device: Any, works: Any) -> Any:
        captured.append(str(device))
        return works

    monkeypatch.setattr(replay, "capture_graphs", capture)
    config = small_config()
    data = DeviceSet(torch.from_numpy(synthetic.train.images), torch.from_numpy(synthetic.train.labels))
    card = FakeCard("cpu", "a card", "asked for")
    job = Job(config, card, data)
    plan = TrainingPlan(config, len(data)).epoch(0)
    runner = FusedEngine.prepare(job, plan)
    assert run_epoch(runner, plan[:21]).shape == (21,)
    assert started == [16, 4, 1]
    assert captured == ["cpu"]
    assert set(runner.state()) >= {"momentum_buffer/layers.0.weight", "scalar/count"}


class FakeCard(Device):
    """The CPU's memory under the name of a CUDA device."""

    @property
    def kind(self) -> str:
        return "cuda"


def test_what_triton_refuses_is_told(synthetic: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    from triton.errors import TritonError

    def fail(self: Any, steps: int) -> None:
        raise TritonError("out of resource: shared memory\nmore of it")

    monkeypatch.setattr(TritonChunk, "__call__", fail)
    monkeypatch.setattr(replay, "capture_graphs", lambda device, works: [work() for work in works])
    data = DeviceSet(torch.from_numpy(synthetic.train.images), torch.from_numpy(synthetic.train.labels))
    card = FakeCard("cpu", "a card", "asked for")
    job = Job(small_config(), card, data)
    with pytest.raises(DeviceError, match=r"Triton failed: out of resource: shared memory\. Run with --engine"):
        FusedEngine.prepare(job, TrainingPlan(small_config(), len(data)).epoch(0))


def test_it_says_what_it_cannot_do_on_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    from accelmnist.device import capabilities

    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    assert FusedEngine.unsupported(small_config(execution={"precision": "bf16"}), CARD) is None
    huge = small_config(model={"hidden": (65_536, 65_536)})
    assert FusedEngine.unsupported(huge, CARD) == "its kernels take matrices of fewer than 2^31 numbers"
    monkeypatch.setattr(capabilities, "find_spec", lambda name: None)
    assert "pip install triton" in (FusedEngine.unsupported(small_config(), CARD) or "")


def test_matrices_that_32_bits_can_count() -> None:
    config = small_config(model={"hidden": (32_767, 65_536)})
    assert why_too_large(config) is None
    batch = dataclasses.replace(config, training=dataclasses.replace(config.training, batch_size=40_000))
    assert why_too_large(batch) is not None


def test_it_compiles_on_cuda_alone() -> None:
    assert "cuda" in FusedEngine.compiles_on
    assert "cpu" not in FusedEngine.compiles_on
    assert "cuda" not in EagerEngine.compiles_on


# --- on a GPU


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "fp16"])
def test_a_gpu_trains_as_the_reference_does(precision: str, device: Device, synthetic: Dataset) -> None:
    if device.kind != "cuda":
        pytest.skip("it takes CUDA")
    config = small_config(model={"hidden": (50, 30), "dropout": 0.1}, training={"batch_size": 37})

    def run(nudge: Any, engine: str = "eager") -> Any:
        where = CPU if engine == "eager" else device
        return ends_of(
            train_with(engine, config, synthetic, where, nudge=nudge, precision="fp32" if where is CPU else precision)
        )

    Followed.by(run, precision).hold(*run(leave, "fused"))


def test_the_driver_counts_replays_and_no_wait(device: Device, synthetic: Dataset) -> None:
    if device.kind != "cuda":
        pytest.skip("it takes CUDA")
    job = make_job(small_config(), synthetic, device)
    launches = profile_training(prepare(FusedEngine, job), job, steps=16).launches
    assert launches.graph_replays == 1 / 16
    assert launches.host_syncs == 0


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_gpu_classifies_as_the_model_does(precision: str, device: Device, synthetic: Dataset) -> None:
    if device.kind != "cuda":
        pytest.skip("it takes CUDA")
    model = MLP(small_config(model=ODD).model, seed=0).to(device.torch_device)
    classifier = FusedEngine.classifier(model, device, precision)
    images = torch.from_numpy(synthetic.test.images).to(device.torch_device)
    for part in (images[:1], images[1:2], images[:100]):
        expected = logits_of(model, part, device=device, precision="fp32")
        error = (classifier(part) - expected).abs().max() / expected.abs().max()
        assert error <= tolerances(precision).logits.limit
