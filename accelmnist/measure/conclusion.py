"""What follows from the samples: pure functions from a record to the same record with its conclusions.

Everything here can be worked out again from a saved record, so a better conclusion needs no new measurement.

A crossover says from which size on a way of running pays: the GPU against the CPU, an engine against eager, a precision
against float32, each along two axes, the batch size and the width of one hidden layer (784-W-10). The two cases of a
pair differ in what is asked about and in nothing else. A way pays from a size on if the paired comparison of the rounds
that both took part in says "faster" there and at every larger size that was measured. "Ambiguous" is no yes. An axis
counts if both were measured at two sizes or more, and results that are wrong count nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product, takewhile
from typing import Literal

import numpy as np

from accelmnist.measure.limit_keys import Limit
from accelmnist.measure.limits.bound import explain
from accelmnist.measure.limits.held import held_back
from accelmnist.measure.plan import BASELINE_ENGINE, BASELINE_PRECISION, Case
from accelmnist.measure.record import BenchRecord, CaseResult, Crossover, Round
from accelmnist.measure.scaling_record import HasSamples
from accelmnist.measure.statistics.comparison import Comparison, compare, compare_processes
from accelmnist.measure.statistics.controls import medians_by_process
from accelmnist.measure.statistics.summary import summarize
from accelmnist.measure.statistics.symptoms import RoundLoad, find_symptoms

Axis = Literal["batch size", "width"]
Question = Literal["device", "engine", "precision"]

_AXES: tuple[Axis, ...] = ("batch size", "width")
_QUESTIONS: dict[Question, str] = {"device": "cpu", "engine": BASELINE_ENGINE, "precision": BASELINE_PRECISION}
_LEAST_SIZES = 2
Results = Mapping[Case, CaseResult]


def conclude(record: BenchRecord) -> BenchRecord:
    """The record with everything that follows from its samples."""
    rounds = {round_.number: round_ for round_ in record.rounds}
    limits = summarize_limits(record.limits, record.rounds)
    explained = [
        explain(with_symptoms(result, rounds), limits, held=held_back(result, rounds, record.environment))
        for result in record.cases
    ]
    if record.training_images is not None:
        explained = list(with_break_even(explained, images_per_epoch=record.training_images))
    results = {result.case: result for result in explained}
    results = with_ranks(with_speedups(results, record.config.baseline))
    results = with_sides(results, rounds, record.config.beside_threshold)
    cases = tuple(results.values())
    return replace(record, limits=limits, cases=cases, crossovers=find_crossovers(cases))


def summarize_limits(limits: tuple[Limit, ...], rounds: tuple[Round, ...]) -> tuple[Limit, ...]:
    """The limits with the summary of their rates over the rounds."""
    rates = [[round_.limits[limit.key] for round_ in rounds if limit.key in round_.limits] for limit in limits]
    return tuple(
        replace(limit, rate=summarize(taken) if taken else None) for limit, taken in zip(limits, rates, strict=True)
    )


def with_symptoms(result: CaseResult, rounds: Mapping[int, Round]) -> CaseResult:
    """The case with its symptoms and the spread between processes."""
    if result.images_per_s is None:
        return result
    own = [rounds[number] for number in result.rounds]
    load = [RoundLoad(round_.other_cpu, round_.throttled) for round_ in own]
    medians = tuple(medians_by_process(result.images_per_s.samples, [round_.process for round_ in own]).tolist())
    return replace(
        result,
        symptoms=find_symptoms(result.images_per_s.samples, load=load),
        process_medians=medians,
        process_spread=(max(medians) - min(medians)) / float(np.median(medians)) if len(medians) > 1 else None,
    )


def baseline_of(case: Case, results: Results, asked: str | None) -> Case | None:
    """The case that `case`'s speed-up divides by, or None if it wasn't measured.

    It does the same work (mode, network, batch size, optimizer) in eager float32 on the CPU, or on the case's own
    device if the CPU takes no part. `asked` names another device, engine or precision, such as `cuda:0/compiled/bf16`;
    what it leaves out stays.
    """
    wanted = {"cuda:0" if part == "cuda" else part for part in asked.split("/")} if asked else set()
    same_work = [
        result
        for result in results.values()
        if (result.mode, result.hidden, result.batch_size, result.optimizer)
        == (case.mode, case.hidden, case.batch_size, case.optimizer)
        and result.images_per_s is not None
        and not result.is_wrong
    ]
    for device in ("cpu", case.device):
        fitting = [result for result in same_work if _fits(result, device, wanted)]
        if fitting:
            return min(fitting, key=lambda result: result.threads != case.threads).case
    return None


def _fits(result: CaseResult, device: str, wanted: set[str]) -> bool:
    """Each of device, engine and precision is one that is asked for, or else the usual one."""
    names = ((result.device, device), (result.engine, BASELINE_ENGINE), (result.precision, BASELINE_PRECISION))
    own = {result.device, result.engine, result.precision}
    if not wanted <= own:
        return False
    return all(name in wanted or name == usual for name, usual in names)


def with_speedups(results: Results, asked: str | None) -> dict[Case, CaseResult]:
    """Every measured case with its speed-up over its baseline; the baseline itself and wrong cases have none."""
    compared = {}
    for case, result in results.items():
        base = None if result.is_wrong else baseline_of(case, results, asked)
        over = None if base is None or base == case else paired(results[base], result)
        compared[case] = replace(result, speedup=over)
    return compared


def with_sides(results: Results, rounds: Mapping[int, Round], threshold: float) -> dict[Case, CaseResult]:
    """Every right case of another side with the speed of this program's case over its own."""
    compared = dict(results)
    for case, result in results.items():
        own = None if case.side is None or result.is_wrong else own_of(case, results)
        compared[case] = replace(
            result, beside=None if own is None else over_side(results[own], result, rounds, threshold)
        )
    return compared


def over_side(ours: CaseResult, theirs: CaseResult, rounds: Mapping[int, Round], threshold: float) -> Comparison | None:
    """The speed of this program's case over another side's, by the processes that both took part in; None if none."""
    if ours.images_per_s is None or theirs.images_per_s is None:
        return None
    other = dict(zip(theirs.rounds, theirs.images_per_s.samples, strict=True))
    by_process: dict[int, list[tuple[float, float]]] = {}
    for number, speed in zip(ours.rounds, ours.images_per_s.samples, strict=True):
        if number in other:
            by_process.setdefault(rounds[number].process, []).append((other[number], speed))
    most = max(map(len, by_process.values()), default=0)
    pairs = [pair for pair in by_process.values() if len(pair) >= most / 4]  # not what was broken off at its beginning
    if not pairs:
        return None
    both = [list(zip(*pair, strict=True)) for pair in pairs]
    return compare_processes([base for base, _ in both], [new for _, new in both], threshold=threshold)


def own_of(case: Case, results: Results, side: str | None = None) -> Case | None:
    """The case of this program, or another `side`, that one of another side is held against.

    It is the same case, or where one of the two has none of our engines the fastest that does the same work. None if
    there is no such case, it wasn't measured, or it is wrong.
    """

    def does_the_same(one: Case) -> bool:
        is_foreign = any(each.engine == each.side for each in (case, one))
        return replace(one, side=case.side, engine=case.engine if is_foreign else one.engine) == case

    same = [
        result
        for result in results.values()
        if result.side == side and does_the_same(result.case)
        if result.images_per_s is not None and not result.is_wrong
    ]
    return (
        max(same, key=lambda result: result.images_per_s.median if result.images_per_s else 0.0).case if same else None
    )


def with_ranks(results: Results) -> dict[Case, CaseResult]:
    """Every case with its rank by speed among the right ones of its mode, network and, in inference, batch size."""
    ranked = {case: replace(result, rank=None) for case, result in results.items()}
    groups: dict[object, dict[Case, float]] = {}
    for case, result in results.items():
        if result.images_per_s is not None and not result.is_wrong:
            size = case.batch_size if case.mode == "inference" else None
            groups.setdefault((case.mode, case.hidden, size), {})[case] = result.images_per_s.median
    for medians in groups.values():
        for rank, case in enumerate(sorted(medians, key=medians.__getitem__, reverse=True), start=1):
            ranked[case] = replace(results[case], rank=rank)
    return ranked


def find_crossovers(results: Iterable[CaseResult]) -> tuple[Crossover, ...]:
    """Every crossover that the results tell of; those of one question together."""
    usable = [result for result in results if result.images_per_s is not None and not result.is_wrong]
    varying = _varying(usable)
    return tuple(
        _crossover(series, varying)
        for question, axis in product(_QUESTIONS, _AXES)
        for series in _series(usable, question, axis)
    )


def paired(base: HasSamples, new: HasSamples) -> Comparison | None:
    """How fast `new` is over `base`, from the rounds that both took part in; None if there are none."""
    if base.images_per_s is None or new.images_per_s is None:
        return None
    theirs = dict(zip(base.rounds, base.images_per_s.samples, strict=True))
    ours = dict(zip(new.rounds, new.images_per_s.samples, strict=True))
    common = sorted(theirs.keys() & ours.keys())
    if not common:
        return None
    before, after = [theirs[number] for number in common], [ours[number] for number in common]
    return compare(before, after, paired=True)


def break_even_epochs(compile_s: float, *, base_epoch_s: float, compiled_epoch_s: float) -> float | None:
    """Epochs after which compiling has paid for itself, or None if it never does; all three in seconds."""
    saved_s = base_epoch_s - compiled_epoch_s
    return compile_s / saved_s if saved_s > 0 else None


def with_break_even(results: Sequence[CaseResult], *, images_per_epoch: int) -> tuple[CaseResult, ...]:
    """The results with the break-even of each training case that compiles, against eager in the same rounds.

    None if eager wasn't measured, either is wrong, or the compiled one isn't significantly faster: what a difference
    that may be noise would pay back is no number of epochs.
    """
    partners = _partners(results, "engine")
    bases = [partners.get(_based(result.case, "engine")) for result in results]
    return tuple(
        replace(result, break_even_epochs=_break_even(result, base, images_per_epoch))
        for result, base in zip(results, bases, strict=True)
    )


def _break_even(result: CaseResult, base: CaseResult | None, images_per_epoch: int) -> float | None:
    if result.compile_s is None or base is None or result.mode != "training" or result.is_wrong or base.is_wrong:
        return None
    comparison = paired(base, result)
    if comparison is None or comparison.verdict != "faster":
        return None
    assert base.images_per_s is not None, "it was compared"
    base_s = images_per_epoch / base.images_per_s.median
    return break_even_epochs(result.compile_s, base_epoch_s=base_s, compiled_epoch_s=base_s / comparison.ratio)


@dataclass(frozen=True, kw_only=True)
class _Series:
    """A question along an axis: `case` is the one asked about, sizeless; `pays` says by size, in order, if it is so."""

    question: Question
    axis: Axis
    case: Case
    pays: dict[int, bool]


def _based(case: Case, question: Question) -> Case:
    """The case that `case` is held against: the same but for what is asked about."""
    if question == "device":
        return replace(case, device=_QUESTIONS["device"], threads=None)
    return replace(case, **{question: _QUESTIONS[question]})  # type: ignore[arg-type]


def _partners(results: Iterable[CaseResult], question: Question) -> dict[Case, CaseResult]:
    """Those that others are held against, by case. A GPU is held against the CPU at its fastest number of threads."""
    if question != "device":
        return {result.case: result for result in results}
    ordered = sorted(results, key=lambda result: result.images_per_s.median if result.images_per_s else 0.0)
    return {replace(result.case, threads=None): result for result in ordered}


def _series(results: Sequence[CaseResult], question: Question, axis: Axis) -> Iterator[_Series]:
    partners = _partners(results, question)
    groups: dict[Case, dict[int, bool]] = {}
    for result in results:
        partner, size = partners.get(_based(result.case, question)), _size(result.case, axis)
        if partner is not None and size is not None and getattr(result, question) != _QUESTIONS[question]:
            groups.setdefault(_sizeless(result.case, axis), {})[size] = _is_faster(partner, result)
    for case, pays in groups.items():
        if len(pays) >= _LEAST_SIZES:
            yield _Series(question=question, axis=axis, case=case, pays=dict(sorted(pays.items())))


def _size(case: Case, axis: Axis) -> int | None:
    if axis == "batch size":
        return case.batch_size
    return case.hidden[0] if len(case.hidden) == 1 else None


def _sizeless(case: Case, axis: Axis) -> Case:
    return replace(case, batch_size=0) if axis == "batch size" else replace(case, hidden=())


def _is_faster(base: CaseResult, new: CaseResult) -> bool:
    comparison = paired(base, new)
    return comparison is not None and comparison.verdict == "faster"


def _crossover(series: _Series, varying: frozenset[str]) -> Crossover:
    case, base = series.case, _QUESTIONS[series.question]
    new = str(getattr(case, series.question))
    comma, words = {
        "device": (f", {case.engine}, {case.precision}", f"in {case.engine} {case.precision}"),
        "engine": (f" on {case.device}, {case.precision}", f"on {case.device} in {case.precision}"),
        "precision": (f" on {case.device}, {case.engine}", f"on {case.device} with {case.engine}"),
    }[series.question]
    others = _others(series, varying)
    start = min(takewhile(series.pays.__getitem__, reversed(series.pays)), default=None)
    finding = _finding(f"than {base} {words}", new, series, start)
    return Crossover(
        what=", ".join([f"{new} over {base}{comma}", *others]),
        axis=series.axis,
        start=start,
        sentence=f"{', '.join(others)}: {finding}" if others else finding,
    )


def _finding(than: str, new: str, series: _Series, start: int | None) -> str:
    paying = [size for size, does in series.pays.items() if does]
    missing = [size for size, does in series.pays.items() if not does]
    smallest, largest = min(series.pays), max(series.pays)
    if start is not None:
        below = ", the smallest measured" if start == smallest else f", not at {_listed(missing)}"
        return f"{new} is faster {than} from {series.axis} {start} on{below}"
    if not paying:
        return f"{new} is not faster {than} at any {series.axis} measured, {smallest} to {largest}"
    return f"{new} is not faster {than} at {series.axis} {largest}, the largest measured; it is at {_listed(paying)}"


def _listed(sizes: Sequence[int]) -> str:
    *first, last = map(str, sizes)
    return f"{', '.join(first)} and {last}" if first else last


def _others(series: _Series, varying: frozenset[str]) -> list[str]:
    """What else names the series among those of this benchmark: what all cases share is left out."""
    case = series.case
    threads = case.axes["threads"] or "torch's number of threads"
    names = {
        "mode": case.mode,
        "optimizer": case.optimizer,
        "hidden": case.network if series.axis == "batch size" else None,
        "batch_size": case.axes["batch size"] if series.axis == "width" else None,
        "threads": None if series.question == "device" else threads,
    }
    return [name for field, name in names.items() if field in varying and name]


def _varying(results: Sequence[CaseResult]) -> frozenset[str]:
    """The fields in which the results differ; optimizers and threads only among those that have them."""
    fields = ("mode", "optimizer", "hidden", "batch_size", "threads")
    seen = {field: {getattr(result, field) for result in results} - {None} for field in fields}
    return frozenset(field for field, values in seen.items() if len(values) > 1)
