"""From which size on a way pays, from made-up rounds; break-even by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

from accelmnist.core.records import Verdict
from accelmnist.measure.conclusion import break_even_epochs, find_crossovers, paired, with_break_even
from accelmnist.measure.plan import Case
from accelmnist.measure.record import CaseResult, Crossover
from accelmnist.measure.statistics.comparison import compare
from accelmnist.measure.statistics.summary import summarize

CASE = Case(
    mode="training",
    device="cpu",
    engine="eager",
    precision="fp32",
    batch_size=64,
    hidden=(256,),
    optimizer="adamw",
)
ROUNDS = 20
MACHINE = np.exp(np.random.default_rng(0).normal(0.0, 0.2, ROUNDS))  # it drifts by far more than the cases differ


def measured(speed: float, *, seed: int = 0, rounds: Sequence[int] = range(ROUNDS), **fields: Any) -> CaseResult:
    """A case's result; its speed follows the machine's in each round."""
    jitter = np.exp(np.random.default_rng([seed, int(speed)]).normal(0.0, 0.003, ROUNDS))
    samples = (speed * MACHINE * jitter)[list(rounds)].tolist()
    own = {name: fields.pop(name) for name in list(fields) if name in asdict(CASE)}
    return CaseResult(
        **(asdict(CASE) | own), images_per_s=summarize(samples), rounds=tuple(rounds), status="done", **fields
    )


def scaled(
    axis: str, ratios: Mapping[int, float], *, base: Mapping[str, Any], new: Mapping[str, Any]
) -> list[CaseResult]:
    """Two ways along an axis; `ratios` is the speed of new over base, by size."""
    found = []
    for size, ratio in ratios.items():
        where: dict[str, Any] = {"batch_size": size} if axis == "batch size" else {"hidden": (size,)}
        found += [measured(1000.0 * size, **(where | base)), measured(1000.0 * size * ratio, seed=1, **(where | new))]
    return found


COMPILED: dict[str, Any] = {"base": {"engine": "eager"}, "new": {"engine": "compiled"}}


def only(results: Sequence[CaseResult]) -> Crossover:
    (found,) = find_crossovers(results)
    return found


def test_it_pays_from_a_size_on() -> None:
    found = only(scaled("batch size", {64: 0.7, 256: 1.2, 1024: 1.5}, **COMPILED))
    assert found == Crossover(
        what="compiled over eager on cpu, fp32",
        axis="batch size",
        start=256,
        sentence="compiled is faster than eager on cpu in fp32 from batch size 256 on, not at 64",
    )


def test_it_pays_everywhere() -> None:
    found = only(scaled("batch size", {64: 1.2, 256: 1.2}, **COMPILED))
    assert found.start == 64
    assert found.sentence == (
        "compiled is faster than eager on cpu in fp32 from batch size 64 on, the smallest measured"
    )


def test_it_pays_nowhere() -> None:
    found = only(scaled("batch size", {64: 0.9, 256: 1.0, 1024: 0.8}, **COMPILED))
    assert found.start is None
    assert found.sentence == "compiled is not faster than eager on cpu in fp32 at any batch size measured, 64 to 1024"


def test_it_pays_below_alone() -> None:
    found = only(scaled("batch size", {16: 1.3, 64: 1.3, 256: 0.9}, **COMPILED))
    assert found.start is None
    assert found.sentence == (
        "compiled is not faster than eager on cpu in fp32 at batch size 256, the largest measured; it is at 16 and 64"
    )


def test_a_gap_counts_against_what_lies_below() -> None:
    found = only(scaled("batch size", {16: 1.3, 64: 0.9, 256: 1.3, 1024: 1.3}, **COMPILED))
    assert found.start == 256
    assert found.sentence.endswith("from batch size 256 on, not at 64")


def test_sizes_are_in_order_whatever_that_of_the_results() -> None:
    results = scaled("batch size", {1024: 1.5, 64: 0.7, 256: 1.2}, **COMPILED)
    assert only(results).start == only(results[::-1]).start == 256


def test_a_small_or_unsure_gain_does_not_pay() -> None:
    assert only(scaled("batch size", {64: 1.01, 256: 1.2}, **COMPILED)).start == 256
    few = [
        replace(result, images_per_s=summarize(result.images_per_s.samples[:4]), rounds=result.rounds[:4])
        for result in scaled("batch size", {64: 1.2, 256: 1.2}, **COMPILED)
        if result.images_per_s
    ]
    assert only(few).start is None, "four rounds are no proof"


def test_rounds_are_paired() -> None:
    """Between rounds the machine moves by a fifth: unpaired, 5 % would be lost in it."""
    found = scaled("batch size", {64: 1.05, 256: 1.05}, **COMPILED)
    assert only(found).start == 64
    shifted = [
        replace(result, rounds=tuple(n + 7 * (result.engine == "compiled") for n in result.rounds)) for result in found
    ]
    assert only(shifted).start is None, "in other rounds the same samples say nothing"


def test_pairs_are_of_the_rounds_that_both_took_part_in() -> None:
    base, new = measured(1000.0, rounds=range(3, 15)), measured(1200.0, seed=1, rounds=range(9, 20))
    found = paired(base, new)
    assert found is not None
    assert base.images_per_s is not None
    assert new.images_per_s is not None
    assert found == compare(base.images_per_s.samples[6:], new.images_per_s.samples[:6], paired=True)
    assert found.ratio == pytest.approx(1.2, rel=0.01)
    assert paired(base, replace(new, images_per_s=None)) is None
    assert paired(measured(1.0, rounds=range(3)), measured(1.0, rounds=range(3, 6))) is None


def test_the_width_of_one_hidden_layer() -> None:
    found = only(scaled("width", {64: 0.7, 256: 1.2, 1024: 1.5}, **COMPILED))
    assert (found.axis, found.start) == ("width", 256)
    assert found.sentence == "compiled is faster than eager on cpu in fp32 from width 256 on, not at 64"


def test_other_networks_have_no_width() -> None:
    results = scaled("width", {64: 1.2}, **COMPILED)
    for hidden in ((), (64, 64), (128, 128)):
        results += [measured(1000.0, hidden=hidden), measured(1200.0, hidden=hidden, seed=1, engine="compiled")]
    assert find_crossovers(results) == ()


def test_one_size_is_no_axis() -> None:
    assert find_crossovers(scaled("batch size", {64: 1.5}, **COMPILED)) == ()
    lonely = [*scaled("batch size", {64: 1.5}, **COMPILED), measured(1.0, batch_size=256, engine="compiled")]
    assert find_crossovers(lonely) == (), "at 256 there is nothing to compare with"


def test_a_card_against_the_processor() -> None:
    found = only(scaled("batch size", {64: 0.8, 256: 3.0}, base={}, new={"device": "cuda:0"}))
    assert found.what == "cuda:0 over cpu, eager, fp32"
    assert found.sentence == "cuda:0 is faster than cpu in eager fp32 from batch size 256 on, not at 64"
    assert found.start == 256


def test_a_card_is_held_against_the_processors_best_threads() -> None:
    results = []
    for size in (64, 256):
        results += [
            measured(1000.0, batch_size=size, threads=1),
            measured(2000.0, batch_size=size, threads=2),
            measured(1500.0, batch_size=size, device="cuda:0"),
        ]
    assert only(results).start is None
    assert only([result for result in results if result.threads != 2]).start == 64


def test_a_precision_against_float32() -> None:
    found = only(
        scaled(
            "batch size", {64: 0.8, 256: 1.4}, base={"device": "cuda:0"}, new={"device": "cuda:0", "precision": "bf16"}
        )
    )
    assert found.what == "bf16 over fp32 on cuda:0, eager"
    assert found.sentence == "bf16 is faster than fp32 on cuda:0 with eager from batch size 256 on, not at 64"


def test_pairs_differ_in_one_thing() -> None:
    """bf16 compiled is held against fp32 compiled and bf16 eager, never against fp32 eager."""
    results = []
    for size in (64, 256):
        for engine, precision, speed in (
            ("eager", "fp32", 1000.0),
            ("compiled", "fp32", 2000.0),
            ("eager", "bf16", 500.0),
            ("compiled", "bf16", 1500.0),
        ):
            results.append(measured(speed, batch_size=size, engine=engine, precision=precision))
    assert {found.what: found.start for found in find_crossovers(results)} == {
        "compiled over eager on cpu, fp32": 64,
        "compiled over eager on cpu, bf16": 64,
        "bf16 over fp32 on cpu, eager": None,
        "bf16 over fp32 on cpu, compiled": None,
    }


def test_wrong_results_do_not_count() -> None:
    results = scaled("batch size", {64: 1.2, 256: 1.2, 1024: 1.2}, **COMPILED)
    wrong = Verdict(passed=False, reference="the reference")
    spoilt = [
        replace(one, verdict=wrong) if one.batch_size == 64 and one.engine == "compiled" else one for one in results
    ]
    assert only(spoilt).start == 256
    assert "the smallest measured" in only(spoilt).sentence
    spoilt = [replace(one, verdict=wrong) if one.engine == "eager" else one for one in results]
    assert find_crossovers(spoilt) == ()


def test_cases_without_samples_do_not_count() -> None:
    results = scaled("batch size", {64: 1.2, 256: 1.2}, **COMPILED)
    skipped = [replace(one, images_per_s=None, status="skipped", rounds=()) for one in results]
    assert find_crossovers(skipped) == ()


def test_what_differs_in_a_benchmark_is_named() -> None:
    sizes = {64: 0.7, 256: 1.2}
    results = scaled("batch size", sizes, **COMPILED)
    inference = {"mode": "inference", "optimizer": None, "hidden": (512, 512), "threads": 2}
    results += scaled("batch size", sizes, base=inference, new=inference | {"engine": "compiled"})
    training = {"threads": 1, "optimizer": "sgd"}
    results += scaled("batch size", sizes, base=training, new=training | {"engine": "compiled"})
    assert [found.sentence.partition(": ")[0] for found in find_crossovers(results)] == [
        "training, adamw, 784-256-10, torch's number of threads",
        "inference, 784-512-512-10, 2 threads",
        "training, sgd, 784-256-10, 1 thread",
    ]
    assert find_crossovers(results)[1].what == (
        "compiled over eager on cpu, fp32, inference, 784-512-512-10, 2 threads"
    )


def test_the_batch_size_is_named_along_the_width() -> None:
    results = []
    for size in (64, 256):
        for width in (32, 128):
            where = {"batch_size": size, "hidden": (width,)}
            results += [measured(1000.0, **where), measured(1200.0, seed=1, engine="compiled", **where)]
    found = find_crossovers(results)
    assert [one.axis for one in found] == ["batch size", "batch size", "width", "width"]
    assert [one.sentence.partition(": ")[0] for one in found] == ["784-32-10", "784-128-10", "batch 64", "batch 256"]


def test_break_even_by_hand() -> None:
    assert break_even_epochs(6.0, base_epoch_s=1.0, compiled_epoch_s=0.6) == pytest.approx(15.0)
    assert break_even_epochs(6.0, base_epoch_s=0.6, compiled_epoch_s=0.6) is None
    assert break_even_epochs(6.0, base_epoch_s=0.6, compiled_epoch_s=1.0) is None
    assert break_even_epochs(0.0, base_epoch_s=1.0, compiled_epoch_s=0.5) == 0.0


def broken_even(base: CaseResult, new: CaseResult) -> float | None:
    untouched, found = with_break_even([base, new], images_per_epoch=60_000)
    assert untouched == base
    assert replace(found, break_even_epochs=None) == new
    return found.break_even_epochs


def test_break_even_from_results() -> None:
    """60,000 images at 100,000 a second take 0.6 s; half as many seconds by the compiled step save 0.3 s an epoch."""
    base, new = measured(100_000.0), measured(200_000.0, seed=1, engine="compiled", compile_s=6.0)
    ratio = paired(base, new)
    assert ratio is not None
    assert base.images_per_s is not None
    epoch_s = 60_000 / base.images_per_s.median
    assert broken_even(base, new) == pytest.approx(6.0 / (epoch_s * (1 - 1 / ratio.ratio)))
    assert broken_even(base, new) == pytest.approx(20, rel=0.2), "the machine's median is off by its own noise"


@pytest.mark.parametrize(
    ("speed", "fields"),
    [
        (1010.0, {}),
        (900.0, {}),
        (2000.0, {"compile_s": None}),
        (2000.0, {"batch_size": 128}),
        (2000.0, {"verdict": Verdict(passed=False, reference="the reference")}),
        (2000.0, {"mode": "inference", "optimizer": None}),
    ],
)
def test_what_never_breaks_even(speed: float, fields: dict[str, Any]) -> None:
    new = measured(speed, seed=1, **({"engine": "compiled", "compile_s": 6.0} | fields))
    assert broken_even(measured(1000.0), new) is None


def test_a_wrong_baseline_is_none() -> None:
    base = measured(1000.0, verdict=Verdict(passed=False, reference="the reference"))
    assert broken_even(base, measured(2000.0, seed=1, engine="compiled", compile_s=6.0)) is None
