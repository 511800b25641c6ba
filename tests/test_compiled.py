"""The compiled engine: many side by side, compiled once, the loop and the single step alike, freed when dropped.

What concerns torch's tracer alone runs its graphs without generating code, since that takes seconds a graph. Where code
is generated the test is slow, and the configurations are those of test_engines.py: torch keeps what it has compiled.
"""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from accelmnist.core.config import Precision
from accelmnist.core.errors import DeviceError
from accelmnist.data.types import Dataset, upload
from accelmnist.device import Device, resolve
from accelmnist.engines.compilation import Compilations, CompileWatch
from accelmnist.engines.compiled import CompiledEngine
from accelmnist.engines.model import MLP
from accelmnist.engines.plan import TrainingPlan
from accelmnist.engines.step import compiled_steps
from accelmnist.engines.step.compiled_steps import StepLoop, epoch_by_loop, epoch_by_steps
from accelmnist.engines.step.device_runner import DeviceEpoch, upload_epoch
from accelmnist.engines.step.functional import FunctionalStep
from accelmnist.training.loop import prepare
from tests.rounding import Followed, assert_logits, leave, replayed
from tests.test_engines import ADAM, CONFIGURATIONS, DROPOUT, NESTEROV, runs_here
from tests.training_helpers import make_job, small_config, train_with

pytestmark = pytest.mark.numeric

CPU = resolve("cpu")
ADAMW = {"optimizer": "adamw", "learning_rate": 0.01}


@pytest.fixture
def no_code_generation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trace and guard as always, and run the graph as it is."""
    real = torch.compile

    def compile_to_the_graph_itself(function: Any, *, options: Any = None, **others: Any) -> Any:
        return real(function, backend="eager", **others)

    monkeypatch.setattr(torch, "compile", compile_to_the_graph_itself)


def planned(config: Any, data: Any, number: float = 0, device: Any = CPU) -> DeviceEpoch:
    """The plan of an epoch, on the device."""
    return upload_epoch(TrainingPlan(config, len(data.train)).epoch(number), device)


def prepared(config: Any, data: Any, device: Any = CPU) -> Any:
    """A runner, with its job and the plan of its first epoch."""
    job = make_job(config, data, device)
    return prepare(CompiledEngine, job), job, planned(config, data, device=device)


def weights_of(job: Any) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in job.model.parameters()]


NINE = [
    small_config(
        model={"hidden": (8 + number,) * (number % 3), "dropout": 0.1 * (number % 2)},
        training={"batch_size": 16 + number, "optimizer": ("sgd", "sgd-momentum", "adam", "adamw")[number % 4]},
    )
    for number in range(9)
]


@pytest.mark.slow
def test_nine_engines_run_in_turn_without_a_compilation_and_as_if_alone(
    synthetic: Dataset, no_code_generation: Any
) -> None:
    """Nine share one code in the source, and torch stops compiling a code object after eight."""
    alone = []
    for config in NINE:
        job = make_job(config, synthetic, CPU)
        run = as_it_is(FunctionalStep(job))
        plan = planned(config, synthetic)
        losses = torch.cat([run(plan[:steps]) for steps in (3, 2, 4)])
        alone.append((losses, weights_of(job)))
    together = [prepared(config, synthetic) for config in NINE]
    losses = [[] for _ in NINE]
    with CompileWatch() as watch:
        for steps in (3, 2, 4):
            for found, (runner, _, epoch) in zip(losses, together, strict=True):
                found.append(runner.train_epoch(epoch[:steps]))
    assert watch.seen == Compilations()
    for (expected, weights), found, (_, job, _) in zip(alone, losses, together, strict=True):
        assert torch.equal(torch.cat(found), expected)
        assert all(torch.equal(mine, theirs) for mine, theirs in zip(weights_of(job), weights, strict=True))


@pytest.mark.slow
def test_preparing_one_leaves_the_compiled_code_of_another(synthetic: Dataset, device: Device) -> None:
    """With the code that is generated for the device."""
    runs_here("compiled", device)
    first, _, epoch = prepared(small_config(**CONFIGURATIONS[NESTEROV]), synthetic, device)
    prepared(small_config(**CONFIGURATIONS[ADAM]), synthetic, device)
    with CompileWatch() as watch:
        assert first.train_epoch(epoch).isfinite().all()
    assert watch.seen == Compilations()


@pytest.mark.slow
def test_three_epochs_and_a_resume_compile_nothing(synthetic: Dataset, device: Device) -> None:
    runs_here("compiled", device)
    config = small_config(**CONFIGURATIONS[DROPOUT], training={"epochs": 3})
    runner, _, _ = prepared(config, synthetic, device)
    with CompileWatch() as watch, torch.compiler.set_stance("fail_on_recompile"):
        for number in range(3):
            runner.train_epoch(planned(config, synthetic, number, device))
            runner.load_state(runner.state())
    assert watch.seen == Compilations()


@pytest.mark.parametrize("size", [1, 32])
def test_a_batch_of_another_size_is_refused(size: int, synthetic: Dataset, no_code_generation: Any) -> None:
    """The shapes of a job never change; were one to, it must not pass in silence, as a broadcast would."""
    runner, _, epoch = prepared(small_config(), synthetic)
    with pytest.raises(AssertionError, match="the batch of an epoch is the sample's"):
        runner.train_epoch(replace(epoch, order=epoch.order[:, :size]))


@pytest.mark.slow
def test_a_resumed_training_ends_with_the_same_weights_to_the_bit(synthetic: Dataset) -> None:
    runs_here("compiled", CPU)
    config = small_config(**CONFIGURATIONS[ADAM])
    first, second = (planned(config, synthetic, number) for number in (0, 1))
    whole, job, _ = prepared(config, synthetic)
    whole.train_epoch(first)
    state, weights = whole.state(), weights_of(job)
    whole.train_epoch(second)

    resumed, again, _ = prepared(config, synthetic)
    torch._foreach_copy_([parameter.detach() for parameter in again.model.parameters()], weights)
    resumed.load_state(state)
    resumed.train_epoch(second)
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(weights_of(again), weights_of(job), strict=True))


def test_an_engine_that_is_dropped_frees_its_model_and_its_state(
    synthetic: Dataset, no_code_generation: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    monkeypatch.setattr(compiled_steps, "FunctionalStep", lambda job: steps.append(FunctionalStep(job)) or steps[-1])
    runner, job, epoch = prepared(small_config(training=ADAMW), synthetic)
    runner.train_epoch(epoch)
    step = steps.pop()
    remains = [weakref.ref(thing) for thing in (runner, job.model, step, step.kept.scalars["count"][0])]
    del runner, job, step
    gc.collect()
    assert [reference() for reference in remains] == [None] * len(remains)


@pytest.mark.parametrize(("steps", "precision"), [(1, "fp32"), (31, "fp16"), (70, "fp32")])
def test_the_loop_takes_the_steps_that_single_calls_take(
    steps: int, precision: str, synthetic: Dataset, no_code_generation: Any
) -> None:
    """Fewer than a call holds, and more; each against the pure function run as it is."""
    config = small_config(training={**ADAMW, "batch_size": 24}, execution={"precision": precision})
    plan = planned(config, synthetic)
    assert StepLoop(FunctionalStep(make_job(config, synthetic, CPU)), plan).capacity == 64

    def ends(way: Any, nudge: Any = leave) -> Any:
        job = make_job(config, synthetic, CPU)
        nudge(job.model.parameters())
        step = FunctionalStep(job)
        losses = way(step)(plan[:steps])
        assert losses.shape == (steps,)
        return [losses, *(tensor.clone() for tensor in step.tensors())]

    expected = Followed.by(partial(ends, as_it_is), precision)
    expected.hold(*ends(lambda step: epoch_by_loop(step, plan, CPU)))
    expected.hold(*ends(lambda step: epoch_by_steps(step, CPU)))


def as_it_is(step: Any) -> Any:
    def run(epoch: DeviceEpoch) -> torch.Tensor:
        return torch.stack(
            [step(*one) for one in zip(epoch.order, epoch.learning_rates, epoch.dropout_seeds, strict=True)]
        )

    return run


@pytest.mark.parametrize("steps", [1, 2, 64])
def test_a_call_of_the_loop_has_room_for_about_a_second(
    steps: int, synthetic: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config(model={"hidden": ()}, training={"batch_size": 16})
    monkeypatch.setattr(compiled_steps, "_MOST_OPERATIONS", steps * 6 * 16 * 785 * 10 + 1)
    plan = planned(config, synthetic)
    assert StepLoop(FunctionalStep(make_job(config, synthetic, CPU)), plan).capacity == steps
    assert StepLoop(FunctionalStep(make_job(config, synthetic, CPU)), plan[:1]).capacity == 1


@pytest.mark.slow  # three compilations that no other test shares
def test_loops_that_differ_inside_alone_share_no_code_on_the_disk(
    synthetic: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch keeps compiled graphs by a key; ours tell it to keep loops as well, so the key must hold their bodies."""
    runs_here("compiled", CPU)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    for model, training in ({}, {}), ({"activation": "tanh"}, {}), ({}, {"momentum": 0.5}), ({}, {}):
        config = small_config(model=model, training=training)
        runner, _, plan = prepared(config, synthetic)
        replayed(config, synthetic.train, steps=16).hold(runner.train_epoch(plan[:16]))
    found = torch._dynamo.utils.counters["inductor"]
    assert found["fxgraph_cache_hit"] >= 1  # the last one's, which is the first's again
    assert found["fxgraph_cache_bypass"] == 0


@pytest.mark.slow  # a compilation that no other test shares
def test_single_compiled_steps_follow_float64(synthetic: Dataset) -> None:
    """What other devices than the CPU run, with generated code."""
    runs_here("compiled", CPU)
    config = small_config(training={**ADAMW, "weight_decay": 0.05})
    run = epoch_by_steps(FunctionalStep(make_job(config, synthetic, CPU)), CPU)
    losses = run(planned(config, synthetic)[:16])
    replayed(config, synthetic.train, steps=16).hold(losses)


@pytest.mark.slow  # a compilation that no other test shares
def test_bf16_follows_float64(synthetic: Dataset, device: Device) -> None:
    runs_here("compiled", device)
    config = small_config(training={"epochs": 1})
    done = train_with("compiled", config, synthetic, device, precision="bf16")
    replayed(done.config, synthetic.train, steps=16).hold(done.losses[:16])


def test_an_overflow_leaves_a_step_out_within_the_loop(synthetic: Dataset, no_code_generation: Any) -> None:
    """The scale starts at 2^13: weights a hundredfold as large overflow fp16's gradients, and nothing may change."""
    config = small_config(execution={"precision": "fp16"}, training=ADAMW)
    runner, job, epoch = prepared(config, synthetic)
    with torch.no_grad():
        for parameter in job.model.parameters():
            parameter.mul_(100)
    before, state = weights_of(job), runner.state()
    runner.train_epoch(epoch[:2])
    after = runner.state()
    assert after["scalar/scale"] == state["scalar/scale"] / 4
    assert after["scalar/count"] == 0
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(weights_of(job), before, strict=True))


def test_a_step_that_cannot_be_one_graph_is_an_error_with_a_remedy(
    synthetic: Dataset, monkeypatch: pytest.MonkeyPatch, no_code_generation: Any
) -> None:
    original = FunctionalStep.advance

    def with_break(self: Any, *arguments: Any) -> Any:
        torch._dynamo.graph_break()
        return original(self, *arguments)

    monkeypatch.setattr(FunctionalStep, "advance", with_break)
    with pytest.raises(DeviceError, match=r"torch\.compile failed: .*--engine eager"):
        prepared(small_config(), synthetic)


@pytest.mark.parametrize(
    ("precision", "model", "counts"),
    [("fp32", {"hidden": (24, 16), "activation": "gelu", "dropout": 0.3}, (1, 1007)), ("bf16", {}, (7, 2007))],
)
@pytest.mark.slow
def test_the_classifier_says_what_evaluation_says(
    precision: str, model: dict[str, Any], counts: tuple[int, ...], device: Device, synthetic: Dataset
) -> None:
    """One image, and more than one part; dropout takes no part."""
    runs_here("compiled", device)
    network = MLP(small_config(model=model).model, seed=3).to(device.torch_device)
    images = upload(synthetic.train, device).images
    classify = CompiledEngine.classifier(network, device, precision)
    for count in counts:
        logits = classify(images[:count])
        assert logits.dtype == torch.float32
        assert not logits.requires_grad
        assert_logits(logits, network, images[:count], precision=precision)


def test_the_classifier_compiles_once_for_every_number_of_images(synthetic: Dataset, no_code_generation: Any) -> None:
    network = MLP(small_config().model, seed=3)
    images = upload(synthetic.train, CPU).images
    classify = CompiledEngine.classifier(network, CPU, "fp32")
    sizes = list(range(1, 13))  # more than torch compiles for one code object
    with CompileWatch() as watch:
        for size in sizes:
            classify(images[:size])
    assert watch.seen == Compilations(("classify was compiled for the first time",) * len(sizes), ())
    with CompileWatch() as watch:
        first = classify(images[:5])
        kept = first.clone()
        for size in sizes:
            classify(images[size : 2 * size])
    assert watch.seen == Compilations()
    assert torch.equal(first, kept)  # a result is the caller's own


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_classifier_reads_the_weights_at_the_call(
    precision: Precision, synthetic: Dataset, no_code_generation: Any
) -> None:
    network = MLP(small_config().model, seed=3)
    images = upload(synthetic.train, CPU).images[:9]
    classify = CompiledEngine.classifier(network, CPU, precision)
    before = classify(images)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(0.5)
    after = classify(images)
    assert not torch.equal(before, after)
    assert_logits(after, network, images, precision=precision)


def test_a_classifier_that_is_dropped_frees_its_model(synthetic: Dataset, no_code_generation: Any) -> None:
    network = MLP(small_config().model, seed=3)
    classify = CompiledEngine.classifier(network, CPU, "fp32")
    classify(upload(synthetic.train, CPU).images[:9])
    remains = [weakref.ref(classify), weakref.ref(classify._parameters[0]), weakref.ref(network)]
    del network, classify
    gc.collect()
    assert [reference() for reference in remains] == [None] * len(remains)
