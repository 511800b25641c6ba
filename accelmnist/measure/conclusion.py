"""What follows from the samples: pure functions from a record to the same record with its conclusions.

Everything here can be worked out again from a saved record, so a better conclusion needs no new measurement.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from accelmnist.measure.limits.bound import explain
from accelmnist.measure.limits.crossover import find_crossovers, paired, with_break_even
from accelmnist.measure.plan import BASELINE_ENGINE, BASELINE_PRECISION, Case
from accelmnist.measure.record import BenchRecord, CaseResult, Limit, Round
from accelmnist.measure.statistics.controls import medians_by_process
from accelmnist.measure.statistics.summary import summarize
from accelmnist.measure.statistics.symptoms import Load, find_symptoms

Results = Mapping[Case, CaseResult]


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
    load = Load(
        other_cpu=tuple(round_.other_cpu for round_ in own), throttled=tuple(round_.throttled for round_ in own)
    )
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


def with_ranks(results: Results) -> dict[Case, CaseResult]:
    """Every case with its rank by speed among the right ones of its mode, network and, in inference, batch size."""
    ranked = {case: replace(result, rank=None) for case, result in results.items()}
    groups: dict[object, list[CaseResult]] = {}
    for result in results.values():
        if result.images_per_s is not None and not result.is_wrong:
            size = result.batch_size if result.mode == "inference" else None
            groups.setdefault((result.mode, result.hidden, size), []).append(result)
    for group in groups.values():
        for rank, result in enumerate(sorted(group, key=lambda result: -_median(result)), start=1):
            ranked[result.case] = replace(result, rank=rank)
    return ranked


def _median(result: CaseResult) -> float:
    assert result.images_per_s is not None
    return result.images_per_s.median


def conclude(record: BenchRecord) -> BenchRecord:
    """The record with everything that follows from its samples."""
    rounds = {round_.number: round_ for round_ in record.rounds}
    limits = summarize_limits(record.limits, record.rounds)
    explained = [explain(with_symptoms(result, rounds), limits) for result in record.cases]
    if record.training_images is not None:
        explained = list(with_break_even(explained, images_per_epoch=record.training_images))
    results = {result.case: result for result in explained}
    results = with_ranks(with_speedups(results, record.config.baseline))
    cases = tuple(results.values())
    return replace(record, limits=limits, cases=cases, crossovers=find_crossovers(cases))
