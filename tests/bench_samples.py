"""Made-up but plausible records of benchmarks, for the tests of everything that shows one.

A sample is the case's speed times what the machine did in its round (a slow drift, and the jitter that all cases share)
times the case's own jitter, all lognormal: so that pairs by round, intervals and symptoms look as they do in earnest.
What follows from the samples is worked out as in any record: summaries, speed-ups, symptoms, ranks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from accelmnist.core.config import ModelConfig, Optimizer, Precision
from accelmnist.core.records import Check, Launches, Verdict
from accelmnist.measure.conclusion import conclude, find_crossovers
from accelmnist.measure.limit_keys import Limit, with_shape
from accelmnist.measure.plan import BenchConfig, Mode, Side
from accelmnist.measure.record import (
    BenchRecord,
    Bound,
    BoundKind,
    CaseResult,
    CaseStatus,
    DeviceInfo,
    Harness,
    Latency,
    Presence,
    Round,
    SideFacts,
    StepCost,
    Target,
    TimeToAccuracy,
)
from accelmnist.measure.statistics.comparison import compare
from accelmnist.measure.statistics.summary import summarize
from accelmnist.measure.statistics.symptoms import RoundLoad, find_symptoms
from tests.samples import sample_environment

ROUNDS = 24
REGION_S = 0.1
HIDDEN = (256,)
NETWORK = ModelConfig(hidden=HIDDEN)
COMMAND = "accelmnist bench --devices cpu,cuda --batch-sizes 64,256,1024"
NOT_RUN: tuple[CaseStatus, ...] = ("skipped", "cut", "failed")


@dataclass(frozen=True, kw_only=True)
class Spec:
    """One row of the made-up benchmark.

    `rate` is its true images/s, `jitter` the standard deviation of its log; `sentence` gets its figures from `bound`.
    """

    mode: Mode = "training"
    device: str = "cpu"
    engine: str = "eager"
    precision: Precision = "fp32"
    batch: int = 256
    rate: float | None = None
    jitter: float = 0.012
    kind: BoundKind = "compute"
    sentence: str = ""
    launches: float = 31.0
    compile_s: float | None = None
    memory: int | None = None
    joules: float | None = None
    accuracy: float | None = 0.9743
    failed: Check | None = None
    status: CaseStatus = "done"
    skipped: str | None = None
    hidden: tuple[int, ...] = HIDDEN
    threads: int | None = None

    @property
    def optimizer(self) -> Optimizer | None:
        return "adamw" if self.mode == "training" else None


OFF_BY_FAR = Check(
    name="losses of the first steps",
    passed=False,
    value=0.0813,
    limit=0.002,
    detail="largest relative difference to float64",
    reason="rounding of fp32 over ten steps",
)

SPECS: tuple[Spec, ...] = (
    Spec(
        batch=64,
        rate=61_200,
        kind="overhead",
        sentence="overhead-bound: arithmetic explains {share:.0f} % of the step; a compiled step has less to do",
        memory=612_000_000,
    ),
    Spec(
        rate=98_400,
        kind="overhead",
        sentence="overhead-bound: {share:.0f} % of this CPU's fp32 rate; the rest goes into temporaries",
        memory=634_000_000,
    ),
    Spec(
        batch=1024,
        rate=121_300,
        jitter=0.08,
        kind="memory",
        sentence="memory-bound: the temporaries no longer fit into the cache; {share:.0f} % of this CPU's fp32 rate",
        memory=702_000_000,
    ),
    Spec(
        engine="compiled",
        batch=64,
        rate=118_700,
        kind="shape",
        sentence="shape-bound: products of 64 rows run at 68 % of the square rate, and the step at {share:.0f} % of it",
        launches=2.0,
        compile_s=6.41,
        memory=811_000_000,
    ),
    Spec(
        engine="compiled",
        rate=171_600,
        sentence="compute-bound: {share:.0f} % of this CPU's fp32 rate",
        launches=2.0,
        compile_s=6.13,
        memory=823_000_000,
    ),
    Spec(
        engine="compiled",
        batch=1024,
        rate=124_100,
        jitter=0.04,
        sentence="compute-bound: {share:.0f} % of this CPU's fp32 rate",
        launches=2.0,
        compile_s=6.32,
        memory=894_000_000,
    ),
    Spec(
        engine="fused",
        rate=412_000,
        kind="above",
        sentence="above the dense limit: the kernel skips the zero pixels, 81 % of the input",
        launches=1.0,
        compile_s=2.87,
        memory=598_000_000,
        accuracy=0.9739,
    ),
    Spec(
        device="cuda:0",
        batch=64,
        rate=148_000,
        kind="launch",
        sentence="launch-bound: 31 launches a step cost {launch_us:.0f} of {step_us:.0f} µs; a graph would help",
        memory=1_210_000_000,
        joules=0.000913,
    ),
    Spec(
        device="cuda:0",
        rate=589_000,
        kind="launch",
        sentence="launch-bound: 31 launches a step cost {launch_us:.0f} of {step_us:.0f} µs; a graph would help",
        memory=1_230_000_000,
        joules=0.000241,
    ),
    Spec(
        device="cuda:0",
        batch=1024,
        rate=2_260_000,
        kind="launch",
        sentence="launch-bound: 31 launches a step cost {launch_us:.0f} of {step_us:.0f} µs; a graph would help",
        memory=1_260_000_000,
        joules=0.0000684,
    ),
    Spec(
        device="cuda:0",
        engine="compiled",
        rate=1_370_000,
        kind="launch",
        sentence="launch-bound: 7 launches a step cost {launch_us:.0f} of {step_us:.0f} µs; a graph would help",
        launches=7.0,
        compile_s=31.2,
        memory=1_310_000_000,
        joules=0.000112,
        accuracy=0.9412,
        failed=OFF_BY_FAR,
    ),
    Spec(
        device="cuda:0",
        engine="fused",
        status="skipped",
        skipped="the fused kernel is written for one hidden layer on the CPU; on CUDA it takes Triton 3",
    ),
    Spec(
        engine="fused",
        batch=1024,
        status="cut",
        skipped="cut for time: 9.1 s were left of 180 s, and preparing it takes about 12 s",
    ),
    Spec(
        mode="inference",
        batch=1,
        rate=9_870,
        kind="memory",
        sentence="memory-bound: the weights are read in every call, at {share:.0f} % of the copy rate",
        launches=5.0,
    ),
    Spec(
        mode="inference",
        engine="compiled",
        batch=1,
        rate=24_300,
        kind="above",
        sentence="above the memory limit: the weights, 0.8 MB, stay in the cache",
        launches=1.0,
        compile_s=4.02,
    ),
    Spec(
        mode="inference",
        device="cuda:0",
        batch=1,
        rate=14_600,
        kind="launch",
        sentence="launch-bound: 5 launches cost {launch_us:.0f} of {step_us:.0f} µs",
        launches=5.0,
        joules=0.0052,
    ),
    Spec(
        mode="inference",
        batch=10_000,
        rate=402_000,
        kind="compute",
        sentence="compute-bound: {share:.0f} % of this CPU's fp32 rate",
    ),
    Spec(
        mode="inference",
        engine="compiled",
        batch=10_000,
        rate=403_000,
        sentence="compute-bound: {share:.0f} % of this CPU's fp32 rate",
        launches=1.0,
        compile_s=4.11,
    ),
    Spec(
        mode="inference",
        device="cuda:0",
        batch=10_000,
        rate=38_700_000,
        kind="memory",
        sentence="memory-bound: {share:.0f} % of the copy rate",
        launches=5.0,
        joules=0.0000041,
    ),
)


def sample_bench() -> BenchRecord:
    """A finished benchmark on two devices with every kind of row; the same record at every call."""
    random = np.random.default_rng(4)
    machine = np.exp(random.normal(0.0, 0.006, ROUNDS))
    cases = ranked(with_speedups([measured(spec, machine, random) for spec in SPECS]))
    limits = sample_limits(machine, random)
    return BenchRecord(
        status="done",
        created="2026-11-24T12:00:00+00:00",
        environment=replace(sample_environment(), command=COMMAND),
        devices=sample_devices(),
        config=BenchConfig(devices=("cpu", "cuda:0"), batch_sizes=(), effort="default"),
        cases=tuple(cases),
        limits=limits,
        rounds=sample_rounds(limits, random),
        crossovers=find_crossovers(cases),
        harness=Harness(empty_region_s=0.0000211, share=0.0000211 / REGION_S),
        elapsed_s=171.4,
        peak_memory_bytes=1_420_000_000,
        notes=("cut for time: fused on cpu at batch 1024 was not measured",),
    )


def sample_beside() -> BenchRecord:
    """A finished benchmark of two engines beside an older version, a program in NumPy, and one that didn't start.

    Eager is 5 % slower than the older version's.
    """
    random = np.random.default_rng(11)
    machine = np.exp(random.normal(0.0, 0.02, 96))
    sides = (
        Side(name="old", command="PYTHONPATH=/home/ada/older python"),
        Side(name="mine", command="python bench/examples/numpy_trainer.py"),
        Side(name="lost", command="/no/such/python"),
    )
    rows = ((None, "eager", 71_900), (None, "fused", 253_000), ("old", "eager", 75_600), ("old", "fused", 253_200))
    cases = [
        replace(measured(Spec(engine=engine, rate=rate, jitter=0.008), machine, random), side=side, latency=None)
        for side, engine, rate in (*rows, ("mine", "mine", 41_300))
    ]
    failed = replace(cases[0], side="lost", images_per_s=None, rounds=(), status="failed", skipped=LOST, verdict=None)
    versions = {"accelmnist": "0.2.0", "torch": "2.14.1+cu130", "numpy": "2.4.6", "python": "3.11.7"}
    facts = (
        SideFacts(name="ours", command="", versions=versions | {"commit": "2bd9cf41aef9"}, threads=2),
        SideFacts(
            name="old",
            command=sides[0].command,
            versions=versions | {"torch": "2.13.0+cu128", "commit": "1caf69dd5c53"},
            threads=2,
            settings=sides[0].settings,
            protocol_share=0.004,
        ),
        SideFacts(name="mine", command=sides[1].command, versions={"numpy": "2.4.6"}, protocol_share=0.0061),
        SideFacts(name="lost", command=sides[2].command, failure=LOST),
    )
    alone, beside = (tuple((71_900 * np.exp(random.normal(0.0, 0.01, 32))).tolist()) for _ in range(2))
    presence = Presence(
        case=cases[0].label, alone=alone, beside=beside, comparison=compare(alone, beside, paired=False)
    )
    return conclude(
        BenchRecord(
            status="done",
            created="2026-11-29T16:00:00+00:00",
            environment=replace(sample_environment(), command="accelmnist bench --beside …"),
            devices=sample_devices()[:1],
            config=BenchConfig(
                devices=("cpu",),
                modes=("training",),
                engines=("eager", "fused"),
                batch_sizes=(256,),
                beside=sides,
                fail_on=0.02,
            ),
            cases=(*cases, failed),
            rounds=tuple(Round(number=number, process=number // 8, other_cpu=0.01) for number in range(96)),
            elapsed_s=171.4,
            sides=facts,
            presence=(presence,),
        )
    )


LOST = "/no/such/python can't be started: no such file or directory"


def sample_targets() -> BenchRecord:
    """A finished `--target-accuracy` benchmark: one case missed on one seed of ten, another on seven.

    As the runner makes it, it has times and no speeds.
    """
    random = np.random.default_rng(7)
    specs = (
        Spec(rate=98_400),
        Spec(engine="compiled", rate=171_600, compile_s=6.13),
        Spec(engine="fused", rate=412_000, compile_s=2.87, accuracy=0.9811),
        Spec(engine="eager", precision="bf16", rate=131_000, accuracy=0.9788),
    )
    missed = ((), (3,), (), (0, 1, 3, 4, 6, 7, 9))
    return BenchRecord(
        status="done",
        created="2026-11-24T15:30:00+00:00",
        environment=replace(sample_environment(), command="accelmnist bench --target-accuracy 0.98 --seeds 10"),
        devices=sample_devices()[:1],
        config=BenchConfig(devices=("cpu",), modes=("training",), batch_sizes=(256,), target_accuracy=0.98, seeds=10),
        cases=tuple(timed(spec, seeds, random) for spec, seeds in zip(specs, missed, strict=True)),
        elapsed_s=402.0,
        peak_memory_bytes=1_020_000_000,
    )


def timed(spec: Spec, missed: tuple[int, ...], random: np.random.Generator) -> CaseResult:
    """The row of `spec` with its times to the target."""
    return CaseResult(
        mode=spec.mode,
        device=spec.device,
        engine=spec.engine,
        precision=spec.precision,
        batch_size=spec.batch,
        hidden=spec.hidden,
        optimizer=spec.optimizer,
        status="done",
        compile_s=spec.compile_s,
        accuracy=spec.accuracy,
        verdict=sample_verdict(spec),
        time_to_accuracy=time_to_accuracy(spec, missed, random),
    )


def measured(spec: Spec, machine: NDArray[np.float64], random: np.random.Generator) -> CaseResult:
    """The row of `spec`, with samples of as many rounds as `machine` has; without rank and speed-up."""
    result = CaseResult(
        mode=spec.mode,
        device=spec.device,
        engine=spec.engine,
        precision=spec.precision,
        batch_size=spec.batch,
        hidden=spec.hidden,
        optimizer=spec.optimizer,
        threads=spec.threads,
        status=spec.status,
        skipped=spec.skipped,
        cost=step_cost(spec),
    )
    if spec.rate is None:
        return result
    samples = spec.rate * machine * np.exp(random.normal(0.0, spec.jitter, machine.size))
    speed = summarize(samples.tolist())
    verdict = sample_verdict(spec)
    step_s = spec.batch / speed.median
    return replace(
        result,
        images_per_s=speed,
        rounds=tuple(range(machine.size)),
        steps_per_region=max(round(REGION_S / step_s), 1),
        region_s=REGION_S,
        latency=latency(step_s, random) if spec.mode == "inference" and spec.batch == 1 else None,
        symptoms=find_symptoms(samples.tolist(), load=[RoundLoad(0.01, None)] * machine.size),
        process_medians=(speed.median,),
        launches=Launches(operations=spec.launches, host_syncs=0.0),
        bound=bound(spec, step_s),
        share_of_limit=bound(spec, step_s).share,
        compile_s=spec.compile_s,
        break_even_epochs=None if spec.compile_s is None else spec.compile_s * spec.rate / 60_000,
        peak_memory_bytes=spec.memory,
        joules_per_image=spec.joules,
        accuracy=spec.accuracy,
        verdict=verdict,
    )


def sample_verdict(spec: Spec) -> Verdict:
    """Passed, but where the row has a check that failed."""
    accuracy = Check(
        name="accuracy",
        passed=True,
        value=spec.accuracy,
        limit=0.99,
        detail="share of the test images right",
        reason="any seed reaches it",
    )
    failed = () if spec.failed is None else (spec.failed,)
    return Verdict(
        passed=not failed, reference="the same training on the CPU in eager float32", checks=(*failed, accuracy)
    )


RATES = {"cpu": 170e9, "cuda:0": 51e12}
BANDWIDTHS = {"cpu": 21e9, "cuda:0": 2.6e12}


def step_cost(spec: Spec) -> StepCost:
    """Dense arithmetic of the step: forward, and in training the two products of the backward pass but the first's."""
    sizes = (784, *spec.hidden, 10)
    layers = [rows * columns for rows, columns in pairwise(sizes)]
    products = 3 * sum(layers) - layers[0] if spec.mode == "training" else sum(layers)
    parameters = sum(layers) + sum(sizes[1:])
    touched = 4 * (parameters * (4 if spec.mode == "training" else 1) + spec.batch * sum(sizes))
    return StepCost(flops=2 * spec.batch * products, bytes=2 * touched, working_set_bytes=touched)


def bound(spec: Spec, step_s: float) -> Bound:
    """The bound at the made-up limits; the sentence gets its figures."""
    cost = step_cost(spec)
    compute_s, memory_s = cost.flops / RATES[spec.device], cost.bytes / BANDWIDTHS[spec.device]
    launch_s = spec.launches * (4e-6 if spec.device == "cpu" else 12.8e-6)
    share = max(compute_s, memory_s) / step_s
    figures = {"share": 100 * share, "launch_us": 1e6 * launch_s, "step_us": 1e6 * step_s}
    return Bound(
        kind=spec.kind,
        sentence=spec.sentence.format(**figures),
        step_s=step_s,
        bound_s=max(compute_s, memory_s),
        compute_s=compute_s,
        memory_s=memory_s,
        launch_s=launch_s,
        workload_s=1.2 * compute_s,
        flops_per_s=cost.flops / step_s,
        share=share,
    )


def latency(step_s: float, random: np.random.Generator) -> Latency:
    """Quantiles of single calls with a long tail."""
    calls = step_s * np.exp(np.abs(random.normal(0.0, 0.12, 2400))) * 1.08
    return Latency.of([*calls[:-1].tolist(), 2 * float(calls.max())])


def with_speedups(results: list[CaseResult]) -> list[CaseResult]:
    """Each right row over eager float32 on the CPU at the same work, from the same rounds."""
    baselines = {
        work(result): result for result in results if result.images_per_s and way(result) == ("cpu", "eager", "fp32")
    }
    made = []
    for result in results:
        base = baselines.get(work(result))
        if base is None or base is result or result.is_wrong or not (base.images_per_s and result.images_per_s):
            made.append(result)
            continue
        over = compare(base.images_per_s.samples, result.images_per_s.samples, paired=True)
        made.append(replace(result, speedup=over))
    return made


def work(result: CaseResult) -> tuple[object, ...]:
    return result.mode, result.hidden, result.batch_size, result.optimizer


def way(result: CaseResult) -> tuple[str, str, str]:
    return result.device, result.engine, result.precision


def ranked(results: list[CaseResult]) -> list[CaseResult]:
    """Places by speed among the right rows of a mode, network and, in inference, batch size."""
    groups: dict[object, list[tuple[float, int]]] = {}
    for place, result in enumerate(results):
        if result.images_per_s is not None and not result.is_wrong:
            group = (result.mode, result.hidden, result.batch_size if result.mode == "inference" else None)
            groups.setdefault(group, []).append((-result.images_per_s.median, place))
    made = list(results)
    for members in groups.values():
        for rank, (_, place) in enumerate(sorted(members), start=1):
            made[place] = replace(made[place], rank=rank)
    return made


def time_to_accuracy(spec: Spec, missed: tuple[int, ...], random: np.random.Generator) -> TimeToAccuracy:
    """Ten seeds that take 3 to 6 epochs, but those in `missed` never get there."""
    assert spec.rate is not None
    needed = random.integers(3, 7, 10).tolist()
    epochs = tuple(None if seed in missed else count for seed, count in enumerate(needed))
    epoch_s = 60_000 / spec.rate + 0.05
    seconds = tuple(None if count is None else 0.31 + count * epoch_s * random.normal(1, 0.01) for count in epochs)
    compiled = tuple(None if value is None else value + (spec.compile_s or 0.0) for value in seconds)
    return TimeToAccuracy(
        target=0.98,
        most_epochs=10,
        with_compile=target(compiled),
        without_compile=target(seconds),
        epochs=epochs,
        accuracies=tuple(0.9788 if count is None else 0.9803 + 0.0002 * (count % 3) for count in epochs),
    )


def target(seconds: tuple[float | None, ...]) -> Target:
    """The median and its interval by ranks (2nd and 9th of ten: 97.9 %); None where that is a seed that missed."""
    ordered = sorted(float("inf") if value is None else value for value in seconds)
    middle = (ordered[4] + ordered[5]) / 2
    median, low, high = (value if np.isfinite(value) else None for value in (middle, ordered[1], ordered[8]))
    return Target(seconds=seconds, median_s=median, low_s=low, high_s=high)


def sample_limits(machine: NDArray[np.float64], random: np.random.Generator) -> tuple[Limit, ...]:
    """The limits of both devices, with rates that follow the machine's rounds."""

    def summary(rate: float) -> tuple[float, ...]:
        return tuple((rate * machine * np.exp(random.normal(0.0, 0.005, machine.size))).tolist())

    rows = (
        ("cpu fp32 matmul", "matmul", "cpu", "fp32", "flop/s", "1024 x 1024 x 1024", RATES["cpu"]),
        ("cpu fp32 workload 256", "workload", "cpu", "fp32", "flop/s", "784-256-10 at batch 256", 138e9),
        ("cpu memory", "memory", "cpu", None, "bytes/s", "512 MB to 512 MB", BANDWIDTHS["cpu"]),
        ("cpu working set 256", "working set", "cpu", None, "bytes/s", "4.4 MB, batch 256", 64e9),
        ("cpu dispatch", "dispatch", "cpu", None, "operations/s", "add of 16 numbers", 250_000.0),
        ("cuda:0 fp32 matmul", "matmul", "cuda:0", "fp32", "flop/s", "4096 x 4096 x 4096", RATES["cuda:0"]),
        ("cuda:0 memory", "memory", "cuda:0", None, "bytes/s", "1 GB to 1 GB", BANDWIDTHS["cuda:0"]),
        ("cuda:0 dispatch", "dispatch", "cuda:0", None, "operations/s", "add of 16 numbers", 78_000.0),
        ("cuda:0 graph dispatch", "graph dispatch", "cuda:0", None, "operations/s", "add of 16 numbers", 690_000.0),
    )
    return tuple(
        with_shape(
            Limit(
                key=key,
                kind=kind,
                device=device,
                precision=precision,
                threads=2,  # no case's own, since the bounds are made up
                unit=unit,
                detail=detail,
                rate=summarize(summary(rate)),
            )
        )
        for key, kind, device, precision, unit, detail, rate in rows
    )


def sample_rounds(limits: tuple[Limit, ...], random: np.random.Generator) -> tuple[Round, ...]:
    """What the rounds saw beside the cases."""
    return tuple(
        Round(
            number=number,
            process=0,
            limits={limit.key: limit.rate.samples[number] for limit in limits if limit.rate},
            other_cpu=round(float(random.uniform(0.0, 0.03)), 3),
            throttled=False,
        )
        for number in range(ROUNDS)
    )


def sample_devices() -> tuple[DeviceInfo, ...]:
    return (
        DeviceInfo(name="cpu", hardware="AMD EPYC 9B14", memory_bytes=8_200_000_000),
        DeviceInfo(name="cuda:0", hardware="NVIDIA H100 80GB HBM3", memory_bytes=84_900_000_000),
    )
