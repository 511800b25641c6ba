"""A benchmark's record with what its pages look up in it: names, tables and baselines, each worked out once."""

from __future__ import annotations

from functools import cached_property

from accelmnist.measure.conclusion import baseline_of
from accelmnist.measure.plan import Case, Mode
from accelmnist.measure.record import BenchRecord, CaseResult
from accelmnist.show.bench.naming import Naming
from accelmnist.show.bench.parts import Part, is_measured, parts_of


class BenchView:
    """Made once for a page or a picture, and handed to all that makes a part of it."""

    def __init__(self, record: BenchRecord) -> None:
        self.record = record

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The tables, in the order in which they are shown."""
        return parts_of(self.record)

    @cached_property
    def measured(self) -> tuple[CaseResult, ...]:
        """The cases that have any figure."""
        return tuple(filter(is_measured, self.record.cases))

    @cached_property
    def wrong(self) -> tuple[CaseResult, ...]:
        """The cases whose result is not right."""
        return tuple(result for result in self.record.cases if result.is_wrong)

    @cached_property
    def _names(self) -> dict[Mode, Naming]:
        modes: dict[Mode, list[CaseResult]] = {}
        for result in self.record.cases:
            modes.setdefault(result.mode, []).append(result)
        return {mode: Naming(results) for mode, results in modes.items()}

    def label(self, result: CaseResult) -> str:
        """The case among all of the record, the mode first if there are both: "training cpu compiled batch 64"."""
        return f"{result.mode} {self.brief(result)}" if len(self._names) > 1 else self.brief(result)

    def brief(self, result: CaseResult) -> str:
        """The case among those of its mode."""
        return self._names[result.mode].label(result)

    @cached_property
    def _baselines(self) -> dict[Case, CaseResult]:
        """What the speed-ups of the cases that are measured and right divide by."""
        results = {result.case: result for result in self.record.cases}
        right = [result.case for result in self.record.cases if result.images_per_s and not result.is_wrong]
        bases = {case: baseline_of(case, results, self.record.config.baseline) for case in right}
        return {case: results[base] for case, base in bases.items() if base is not None}

    def baseline(self, result: CaseResult) -> CaseResult | None:
        """The case that `result` is compared with: itself if it is a baseline, None if there is none."""
        return self._baselines.get(result.case)

    def is_baseline(self, result: CaseResult) -> bool:
        """Whether others are compared with `result`."""
        return result.speedup is None and self.baseline(result) is result
