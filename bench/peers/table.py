"""The benchmarks beside the peers in one table, a row for every workload and whoever does it, and in one line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from accelmnist.measure.beside.verdict import Pair, pairs_of
from accelmnist.measure.record import BenchRecord, CaseResult
from accelmnist.measure.statistics.comparison import Comparison
from accelmnist.show.render.markdown import escape
from accelmnist.show.units import UNKNOWN, count, rate, spread

_HEAD = ("workload", "by", "images/s", "right", "ours over it", "95 % interval", "verdict")
_RULE = ("---", "---", "---:", "---", "---:", "---:", "---")


def table(records: Sequence[BenchRecord]) -> str:
    """On what it was measured, the table, and how to read it; of this program the fastest engine alone has a row."""
    rows = [row for record in records for row in _rows(record)]
    lines = "\n".join(f"| {' | '.join(cells)} |" for cells in (_HEAD, _RULE, *rows))
    note = (
        "± is the 95 % interval of the median. 'Ours over it' is the speed of our fastest engine over the other's in "
        "the same rounds; in our own row, over that of the best other. Faster is significant, and by 1 % or more."
    )
    return f"{_setting(records[0])}:\n\n{lines}\n\n{note}"


def line(records: Sequence[BenchRecord]) -> str:
    """Of every workload our speed, and what it is over that of the best other."""
    said = []
    for record in records:
        nearest: dict[str, Pair] = {}
        for pair in pairs_of(record):
            workload = _workload(pair[0])
            nearest[workload] = min(pair, nearest.get(workload, pair), key=lambda one: one[2].ratio)
        for workload, (ours, theirs, over) in nearest.items():
            ratio, interval = _over(over)
            speed = rate(ours.images_per_s.median if ours.images_per_s else None)
            said.append(f"{workload}: {speed}, {ratio} ({interval}) times {theirs.side}")
    return f"{_setting(records[0])}, with the best other of each: {'; '.join(said)}."


def _setting(record: BenchRecord) -> str:
    environment = record.environment
    if environment is None:
        return "On an unknown machine"
    details = ", ".join(filter(None, (f"{environment.cores} cores", environment.cpu_capability)))
    versions = f"torch {environment.torch.partition('+')[0]}, accelmnist {environment.accelmnist}"
    return f"On {environment.processor} ({details}), {versions}, commit {environment.commit}, {record.created[:10]}"


def _rows(record: BenchRecord) -> Iterator[tuple[str, ...]]:
    """The workloads one after the other: this program, then the others from the fastest on."""
    pairs = {theirs.case: (ours, over) for ours, theirs, over in pairs_of(record)}
    others: dict[str, list[CaseResult]] = {}
    for result in record.cases:
        if result.side is not None:
            others.setdefault(_workload(result), []).append(result)
    for workload, sides in others.items():
        timed = sorted((one for one in sides if one.case in pairs), key=lambda one: pairs[one.case][1].ratio)
        if timed:
            ours, over = pairs[timed[0].case]
            own = (f"**ours, {ours.engine}**", _speed(ours), _right(ours), *_over(over))
            yield (workload, *own, f"{over.verdict} than {timed[0].side}")
        for one in timed:
            over = pairs[one.case][1]
            yield (workload, one.side or "", _speed(one), _right(one), *_over(over), over.verdict)
        for one in sides:
            if one.case not in pairs:
                reason = escape(one.skipped or "not measured")
                yield (workload, one.side or "", reason, *(UNKNOWN for _ in range(4)))


def _workload(result: CaseResult) -> str:
    network = "-".join(map(str, (784, *result.hidden, 10)))
    what = result.optimizer or "inference"
    return f"{network}, {what}, batch {count(result.batch_size)}"


def _speed(result: CaseResult) -> str:
    speed = result.images_per_s
    assert speed is not None, "it was compared"
    half_width = max(speed.high - speed.median, speed.median - speed.low) / speed.median
    return f"{speed.median:,.0f} {spread(half_width)}"


def _right(result: CaseResult) -> str:
    return UNKNOWN if result.verdict is None else "PASS" if result.verdict.passed else "**FAIL**"


def _over(over: Comparison) -> tuple[str, str]:
    digits = 2 if over.ratio < 10 else 1
    return f"{over.ratio:.{digits}f}", f"{over.low:.{digits}f} to {over.high:.{digits}f}"
