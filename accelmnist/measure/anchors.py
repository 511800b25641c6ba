"""What the regions of a case must end with, found once a case by another way than the one that is timed.

A training's steps are run untimed from weights made anew from the seed, in two ways that cut the plan differently.
The first steps and the last are held against float64 on the host's own images, and all losses against the training that
was judged. If both ways agree to the bit, every region must. If rounding differs from one run to the next, a region may
be off by a quarter of the length of its last step, or by four times what the two ways are apart, up to a whole step: a
step more or less, or one on other images, is further away. Ways that are a step apart don't do the same steps.

A classification's logits are held against the reference's network in float32 on the CPU, on the host's images.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch

from accelmnist.core.config import AUTO, CLASSES, INPUTS, RunConfig
from accelmnist.core.engine_file import label_of
from accelmnist.core.records import Check
from accelmnist.data.types import ImageSet
from accelmnist.device import matmul_precision
from accelmnist.engines.plan import Floats, HostEpoch, TrainingPlan, initial_parameters
from accelmnist.measure.audit import Anchor
from accelmnist.measure.plan import Case
from accelmnist.measure.timed_case import TimedCase, TimedInference, TimedTraining
from accelmnist.training.loop import EpochSteps, Stopwatch
from accelmnist.training.reference.audit import Audit
from accelmnist.training.reference.chain import clock_faults
from accelmnist.training.reference.tolerances import tolerances

Weights = list[torch.Tensor]

_SHARE_OF_STEP = 0.25
_TIMES_APART = 4
_HELD_STEPS = 64


def anchor_training(timed: TimedTraining, config: RunConfig, images: ImageSet, judged: Floats | None) -> Anchor:
    """The anchor of a training case that is warm: `config` is its run's, `images` are the host's.

    `judged` are the losses (steps,) of the training that its verdict is of, if that was in this process.
    """
    is_own = _check_case(timed, timed.weights, timed.job.config == config and _is_of(config, timed.case))
    if not is_own.passed:
        return Anchor(deviation=lambda: float("inf"), limit=0.0, reason=is_own.reason, checks=(is_own,))
    plan = timed.job.own_rows(TrainingPlan(config, len(images)).epoch(0))
    warm_ups = int(timed.warms_up(timed.slice_steps))
    total = warm_ups + timed.slice_steps
    before, after, losses = _train(timed, config, plan, total)
    audited, again, losses_again = _audit(timed, config, images, plan, total)
    timed.restore()
    step = max(_distance(after, before), 1e-30)

    def apart(weights: Weights, found: Floats, expected: Floats) -> float:
        """In lengths of the last step, or of the mean loss; 0 only for the same bits."""
        if found.shape != expected.shape:
            return float("inf")
        if np.array_equal(found, expected) and all(map(torch.equal, weights, after)):
            return 0.0
        return float(np.max([_distance(weights, after) / step, _relative(found, expected)]))

    difference = apart(again, losses_again, losses)
    limit = float(np.clip(_TIMES_APART * difference, _SHARE_OF_STEP, 1.0))  # ways that part allow for no other step
    checks = [is_own, *audited, _check_ways(difference)]
    if timed.compile_s is not None:
        checks.append(_check_compile(timed.compile_s, timed.runner.prepare_seen_s))
    if judged is not None:
        checks.append(_check_judged(losses, judged, 0.0 if difference == 0 else limit))
    return Anchor(
        deviation=lambda: apart(timed.weights, timed.losses, losses[warm_ups:]),
        limit=limit,
        reason="in lengths of a step, or of the mean loss: the same steps, untimed, from the seed's own weights",
        is_exact=difference == 0,
        checks=tuple(checks),
    )


def _audit(
    timed: TimedTraining, config: RunConfig, images: ImageSet, plan: HostEpoch, steps: int
) -> tuple[list[Check], Weights, Floats]:
    """The first `steps` once more, the first two and the last replayed by the independent witness in float64.

    A call in their middle, as long as a timed one or of 64 steps, is held against its steps one by one: two ways that
    leave out steps of long calls would have no right end, and the limit follows from what they are apart. With its
    checks come the weights at the end and all losses.
    """
    _begin(timed, config)
    audit, runner, whole, losses = Audit(config, images, 1, brief=True), timed.runner, len(plan), []
    last = (steps - 1) % whole
    held = min(steps, whole, _HELD_STEPS)
    start = (min(steps, whole) - held) // 2  # the same for all ranks
    audit.steps, audit.calls = frozenset([0, 1, last]), [range(start, start + held)] if held > 1 else []
    with matmul_precision(timed.device, config.execution.precision):
        for begin in range(0, steps, whole):
            part = runner.upload(plan[: steps - begin])
            losses.append(audit.watch(0, EpochSteps(runner, timed.job, part, Stopwatch(timed.device))))
            audit.steps, audit.calls = frozenset([last]), []  # when it goes round
    checks = [replace(check, name=f"{check.name}, timed") for check in audit.step_checks()]
    return checks, [weight.clone() for weight in timed.weights], np.concatenate(losses)


def _begin(timed: TimedTraining, config: RunConfig) -> None:
    """Set the weights to those of the seed, the state to its start, and the images to those of the first epoch."""
    start = initial_parameters(config.model, seed=config.training.seed)
    timed.begin_from([torch.from_numpy(weight).to(timed.device.torch_device) for weight in start])
    if timed.job.augmentation is not None:
        timed.job.augmentation.write(0)


def _train(timed: TimedTraining, config: RunConfig, plan: HostEpoch, steps: int) -> tuple[Weights, Weights, Floats]:
    """The first `steps` of `plan`, round and round: the weights before the last step and after it, and all losses."""
    runner, losses, before = timed.runner, [], timed.weights
    _begin(timed, config)
    whole = len(plan)
    with matmul_precision(timed.device, config.execution.precision):
        for begin, end in pairwise(sorted({0, *range(whole, steps, whole), steps - 1, steps})):
            before = [weight.clone() for weight in timed.weights]
            part = plan[begin % whole : (end - 1) % whole + 1]
            losses.append(runner.download(runner.train_epoch(runner.upload(part))))
    return before, [weight.clone() for weight in timed.weights], np.concatenate(losses)


def _distance(weights: Weights, others: Weights) -> float:
    """The length of the difference, all parameters together."""
    differences = torch._foreach_sub(weights, others)
    return float(torch.stack(torch._foreach_norm(differences)).norm())


def _relative(losses: Floats, expected: Floats) -> float:
    return float(np.abs(losses - expected).max() / max(float(np.abs(expected).mean()), 1e-30))


def _check_judged(losses: Floats, judged: Floats, limit: float) -> Check:
    steps = min(len(losses), len(judged))
    return Check.at_most(
        "losses of timed steps, judged training",
        _relative(losses[:steps], judged[:steps]),
        limit,
        detail=f"largest difference of {steps} over their mean",
        reason="what is timed begins as the training that was judged",
    )


def _check_ways(apart: float) -> Check:
    return Check.at_most(
        "the same steps in other calls",
        apart,
        1.0,
        detail="in lengths of the last step, or of the mean loss",
        reason="however many steps a call has, it does them all, in their order; rounding moves less than a step does",
    )


def _check_compile(seconds: float, seen_s: tuple[float, float]) -> Check:
    return Check.without(
        "seconds of compiling",
        [*clock_faults("the engine", seconds, seen_s)],
        finds="a clock that errs",
        reason="another clock saw as much",
    )


def _is_of(config: RunConfig, case: Case) -> bool:
    training, execution = config.training, config.execution
    asked = label_of(execution.engine)
    theirs = (config.model.hidden, training.batch_size, training.optimizer, asked, execution.precision)
    engine = AUTO if case.engine == case.side else case.engine  # a program of another kind has none of ours
    return theirs == (case.hidden, case.batch_size, case.optimizer, engine, case.precision)


def _check_case(timed: TimedCase, weights: Weights, is_configured: bool) -> Check:
    """That the weights are of the case's network, and engine and configuration the case's."""
    case = timed.case
    sizes = (INPUTS, *case.hidden, CLASSES)
    expected = [shape for inputs, units in pairwise(sizes) for shape in ((units, inputs), (units,))]
    is_by = timed.is_remote or (timed.engine is not None and timed.engine.__module__.endswith(f".{case.engine}"))
    is_own = is_configured and is_by and [tuple(weight.shape) for weight in weights] == expected
    return Check(
        name="timed case",
        passed=is_own,
        value=None,
        limit=None,
        detail="what is timed is this case's"
        if is_own
        else "what is timed has another network, engine or configuration",
        reason="units, batch size, optimizer, engine and precision are the case's own",
    )


def anchor_inference(timed: TimedInference, weights: Weights, expected: Floats) -> Anchor:
    """The anchor of a case that classifies with `weights`: `expected` (images, 10) are logits of all its images."""
    batch = timed.case.batch_size
    largest = np.abs(expected).max()
    tolerance = tolerances(timed.case.precision).logits

    def apart(logits: torch.Tensor, theirs: Floats) -> float:
        found = logits.float().cpu().numpy()
        return float(np.abs(found - theirs).max() / largest) if found.shape == theirs.shape else float("inf")

    def deviation() -> float:
        logits, at = timed.answered
        return apart(logits, expected[at * batch : (at + 1) * batch])

    with matmul_precision(timed.device, timed.case.precision), torch.no_grad():
        turned = apart(timed.classify(timed.first_batch.flip(0)), expected[:batch][::-1])
    limit = tolerance.limit + tolerances("fp32").logits.limit
    reason = f"over the largest logit, against the reference's network on the CPU in float32: {tolerance.reason}"
    others = Check.at_most(
        "logits of the first batch, turned round", turned, limit, detail="what it was given counts", reason=reason
    )
    checks = (_check_case(timed, weights, is_configured=True), others)
    return Anchor(deviation=deviation, limit=limit, reason=reason, checks=checks)
