"""Trials as one graph: each network follows its own training alone, with its own seed, rate, decay and schedule.

The graph runs on any device; that of the tests is the CPU where no GPU is there. The reference is the eager engine: its
gradients come from autograd and its update from torch.
"""

from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from accelmnist.core.config import ACTIVATIONS, OPTIMIZERS, OUTPUTS
from accelmnist.data.types import Dataset, upload
from accelmnist.device import Device, resolve
from accelmnist.engines.plan import Epoch, TrainingPlan
from accelmnist.engines.step.device_runner import upload_epoch
from accelmnist.sweep.trials import Trial, TrialResult, train_trials
from accelmnist.sweep.trials import batched as batched_module
from accelmnist.sweep.trials import training as training_module
from accelmnist.sweep.trials.batched import BatchedEpochs, BatchedStep, batches_of, train_in_batches
from accelmnist.sweep.trials.trial import Shared
from accelmnist.training.evaluation import evaluate
from accelmnist.training.reference.audit import Audit
from tests.training_helpers import ends_of, make_job, reference, small_config, train_with

pytestmark = pytest.mark.numeric

RATES = {"sgd": 0.1, "sgd-momentum": 0.05, "adam": 0.004, "adamw": 0.004}


def trials_of(count: int, *, model: Any = None, execution: Any = None, **training: Any) -> list[Trial]:
    """Trials that differ in all that may differ within a graph: seed, rate, decay and schedule."""
    rate = RATES[training.get("optimizer", "sgd-momentum")]
    own = [
        {
            "seed": place,
            "learning_rate": rate / (1 + place),
            "weight_decay": 0.02 * place,
            "schedule": ("one-cycle", "constant", "cosine")[place % 3],
        }
        for place in range(count)
    ]
    return [
        Trial(
            key=f"trial {place}",
            config=small_config(model=model, training={"epochs": 1, **training, **own[place]}, execution=execution),
        )
        for place in range(count)
    ]


def batched(trials: Any, synthetic: Dataset, device: Any, **options: Any) -> dict[str, TrialResult]:
    training, probe = upload(synthetic.train, device), upload(synthetic.test, device)
    shared = Shared(device=device, training=training, probe=probe, **options)
    return {result.key: result for result in train_in_batches(trials, shared)}


def assert_as_alone(trials: Any, results: Any, synthetic: Dataset) -> None:
    for trial in trials:
        result = results[trial.key]
        assert result.error is None
        reference(trial.config, synthetic).hold(*ends_of(result))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_with_rates_and_decays_of_their_own(optimizer: str, synthetic: Dataset, device: Device) -> None:
    trials = trials_of(3, optimizer=optimizer, epochs=2)
    assert len(batches_of(trials, free=None)) == 1
    assert_as_alone(trials, batched(trials, synthetic, device), synthetic)


def test_nesterov(synthetic: Dataset, device: Device) -> None:
    trials = trials_of(2, optimizer="sgd-momentum", nesterov=True)
    assert_as_alone(trials, batched(trials, synthetic, device), synthetic)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.slow
def test_every_activation_with_dropout_of_its_own(activation: str, synthetic: Dataset, device: Device) -> None:
    trials = trials_of(3, model={"hidden": (24, 12), "activation": activation, "dropout": 0.3})
    assert_as_alone(trials, batched(trials, synthetic, device), synthetic)


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("hidden", [(), (32,)])
def test_every_output(output: str, hidden: tuple[int, ...], synthetic: Dataset, device: Device) -> None:
    trials = trials_of(2, model={"hidden": hidden, "output": output}, label_smoothing=0.0)
    assert_as_alone(trials, batched(trials, synthetic, device), synthetic)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_with_a_loss_scale_of_its_own(precision: str, synthetic: Dataset, device: Device) -> None:
    """8 and 11 bits of significance: the losses of 32 steps agree to a few of their roundings."""
    trials = trials_of(2, execution={"precision": precision})
    assert_as_alone(trials, batched(trials, synthetic, device), synthetic)


def test_nothing_falls_back_to_a_loop_over_the_networks(synthetic: Dataset, device: Device) -> None:
    """torch warns where an operation has no batched form; then N networks would cost N times."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        batched(trials_of(2, model={"dropout": 0.2}, optimizer="adamw"), synthetic, device)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_each_network_of_a_graph_passes_its_audit(precision: str, synthetic: Dataset, device: Device) -> None:
    """An audit cuts the epochs of all of them."""
    trials = trials_of(2, epochs=2, optimizer="adamw", execution={"precision": precision})
    results = batched(trials, synthetic, device, audit=lambda trial: Audit(trial.config, synthetic.train))
    for result in results.values():
        result.audit.finish(result.model.arrays(), result.losses.numpy())
        assert [(check.name, check.detail) for check in result.audit.checks() if not check.passed] == []


def test_figures_are_those_of_the_network_alone(synthetic: Dataset, device: Device) -> None:
    trials, told = trials_of(2, epochs=2), []
    results = batched(trials, synthetic, device, on_epoch=lambda key, figures: told.append((key, figures)))
    for trial in trials:
        result = results[trial.key]
        alone = train_with("eager", trial.config, synthetic, device)
        assert result.epochs == tuple(figures for key, figures in told if key == trial.key)
        assert result.epochs[-1].accuracy == pytest.approx(alone.evaluation.metrics.accuracy, abs=2 / 512)
        assert result.epochs[-1].train_loss == pytest.approx(result.losses[32:].double().mean().item())
        assert result.train_s == pytest.approx(sum(figures.train_s for figures in result.epochs))


def test_a_network_has_weights_of_its_own_in_the_end(synthetic: Dataset, device: Device) -> None:
    first, second = batched(trials_of(2), synthetic, device).values()
    before = evaluate_accuracy(second, synthetic, device)
    with torch.no_grad():
        for parameter in first.model.parameters():
            parameter.zero_()
    assert evaluate_accuracy(second, synthetic, device) == before
    weights = next(second.model.parameters())
    assert weights.untyped_storage().nbytes() == weights.numel() * 4


def evaluate_accuracy(result: Any, synthetic: Dataset, device: Any) -> Any:
    return evaluate(result.model, upload(synthetic.test, device), device=device, precision="fp32").metrics.accuracy


def test_one_that_diverges_leaves_the_others_alone(synthetic: Dataset, device: Device) -> None:
    wild, *good = trials_of(3, epochs=2)
    wild = Trial(key="wild", config=small_config(training={"learning_rate": 1e7, "schedule": "constant"}))
    assert len(batches_of([wild, *good], free=None)) == 1
    results = batched([wild, *good], synthetic, device)
    assert results["wild"].error.startswith("the loss is ")
    assert (results["wild"].model, results["wild"].epochs) == (None, ())
    assert_as_alone(good, results, synthetic)


def test_all_that_diverge_end_early(synthetic: Dataset, device: Device) -> None:
    training = {"learning_rate": 1e7, "schedule": "constant", "epochs": 10**6}
    (result,) = batched([Trial(key="wild", config=small_config(training=training))], synthetic, device).values()
    assert result.error.startswith("the loss is ")


def test_a_shape_that_fits_no_memory_is_a_result(synthetic: Dataset, device: Device) -> None:
    vast = trials_of(2, model={"hidden": (65536,) * 8})
    results = batched([*vast, *trials_of(1)], synthetic, device)
    assert [results[key].error is None for key in ("trial 0", "trial 1")] == [True, False]


def test_the_warm_up_of_a_captured_graph_leaves_no_trace(synthetic: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the capture: it runs the step once, as the real one does, and replays it by calling it."""
    cpu, trials = resolve("cpu"), trials_of(2, optimizer="adamw", epochs=2)
    plans = [upload_epoch(TrainingPlan(trial.config, len(synthetic.train)).epoch(0), cpu) for trial in trials]
    together = Epoch(
        torch.stack([plan.order for plan in plans], dim=1),
        torch.stack([plan.learning_rates for plan in plans], dim=1),
        torch.stack([plan.dropout_seeds for plan in plans], dim=1),
    )

    def capture(_device: Any, work: Any) -> Any:
        work()
        return work

    def losses_on(device: Any) -> torch.Tensor:
        step = BatchedStep([make_job(trial.config, synthetic, cpu) for trial in trials])
        epochs = BatchedEpochs(step, together, device)
        return torch.cat([epochs.train_epoch(together), epochs.train_epoch(together)])

    monkeypatch.setattr(batched_module, "capture_graph", capture)
    assert torch.equal(losses_on(cpu), losses_on(SimpleNamespace(kind="cuda")))


# --- which trials share a graph


def test_only_trials_of_one_shape_share_a_graph() -> None:
    plain = trials_of(4)
    others = [
        Trial(key="wider", config=small_config(model={"hidden": (33,)}, training={"epochs": 1})),
        Trial(key="longer", config=small_config(training={"epochs": 2})),
        Trial(key="batch", config=small_config(training={"epochs": 1, "batch_size": 65})),
        Trial(key="tanh", config=small_config(model={"activation": "tanh"}, training={"epochs": 1})),
        Trial(key="adam", config=small_config(training={"epochs": 1, "optimizer": "adam"})),
        Trial(key="bf16", config=small_config(training={"epochs": 1}, execution={"precision": "bf16"})),
    ]
    found = batches_of([*plain, *others], free=None)
    assert [[trial.key for trial in batch] for batch in found] == [
        [trial.key for trial in plain],
        *([trial.key] for trial in others),
    ]


def test_a_batch_takes_half_of_the_memory_at_most() -> None:
    """A network of 784-32-10 by momentum takes 0.73 MB, and a step makes it anew: two of them take 2.9 MB."""
    trials = trials_of(7)
    assert [len(batch) for batch in batches_of(trials, free=6_000_000)] == [1, 2, 2, 2]
    assert [len(batch) for batch in batches_of(trials, free=10**9)] == [7]
    assert [len(batch) for batch in batches_of(trials, free=1)] == [1] * 7
    parts = [trial for batch in batches_of(trials, free=6_000_000) for trial in batch]
    assert parts == trials


def test_a_stop_ends_after_the_batch_under_way(synthetic: Dataset, device: Device) -> None:
    trials = [*trials_of(2), Trial(key="wider", config=small_config(model={"hidden": (33,)}))]
    told: list[Any] = []
    stop = {"should_stop": lambda: bool(told), "on_epoch": lambda key, _: told.append(key)}
    assert set(batched(trials, synthetic, device, **stop)) == {"trial 0", "trial 1"}


def test_a_gpu_gets_batches(synthetic: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chosen by the device's kind, whatever the engine: here a CPU that says it is something else."""
    device = resolve("cpu")
    monkeypatch.setattr(type(device), "kind", property(lambda _: "mps"))
    monkeypatch.setattr(training_module, "train_in_batches", lambda trials, *_, **__: iter([len(trials)]))
    assert list(train_trials(trials_of(3), synthetic.train, None, device)) == [3]
