"""The benchmarks beside the peers in one table, a row for every workload and whoever does it, and in short."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from accelmnist.measure.beside.verdict import Pair, pairs_of
from accelmnist.measure.conclusion import over_side
from accelmnist.measure.plan import Case
from accelmnist.measure.record import BenchRecord, CaseResult
from accelmnist.measure.statistics.comparison import Comparison
from accelmnist.show.render.markdown import escape
from accelmnist.show.units import UNKNOWN, count, spread

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
    return f"{_setting(records)}:\n\n{lines}\n\n{note}"


def summary(records: Sequence[BenchRecord]) -> str:
    """A table of every workload: what our fastest engine is over the best other, in every precision measured."""
    cells: dict[str, dict[str, str]] = {}
    for record in records:
        nearest: dict[str, Pair] = {}
        for pair in _pairs(record):
            workload = _workload(pair[0])
            nearest[workload] = min(pair, nearest.get(workload, pair), key=lambda one: one[2].ratio)
        for ours, theirs, over in nearest.values():
            ratio, interval = _over(over)
            plain = _workload(replace(ours, precision="fp32"))
            cells.setdefault(plain, {})[ours.precision] = f"{ratio} ({interval}) times {_name(theirs, ours)}"
    precisions = list(dict.fromkeys(precision for row in cells.values() for precision in row))
    environment = next((record.environment for record in reversed(records) if record.environment), None)
    head = [f"on {environment.processor}" if environment else "", *(f"ours in {one}" for one in precisions)]
    rows = [[workload, *(row.get(one, UNKNOWN) for one in precisions)] for workload, row in cells.items()]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def _setting(records: Sequence[BenchRecord]) -> str:
    known = [record.environment for record in records if record.environment is not None]
    if not known:
        return "On an unknown machine"
    details = ", ".join(filter(None, (f"{known[-1].cores} cores", known[-1].cpu_capability)))
    versions = f"torch {known[-1].torch.partition('+')[0]}, accelmnist {known[-1].accelmnist}"
    commits = ", ".join(dict.fromkeys(str(environment.commit) for environment in known))
    days = sorted({record.created[:10] for record in records})
    when = " to ".join(dict.fromkeys((days[0], days[-1])))
    return f"On {known[-1].processor} ({details}), {versions}, commit {commits}, {when}"


def _pairs(record: BenchRecord) -> list[Pair]:
    """Our fastest case of a workload and what another does; of a benchmark in several precisions, in any of them."""
    if len(record.config.precisions) < 2:
        return pairs_of(record)
    rounds, threshold = {one.number: one for one in record.rounds}, record.config.beside_threshold
    right = [one for one in record.cases if one.images_per_s is not None and not one.is_wrong]
    ours = {_work(one): one for one in sorted(right, key=_median) if one.side is None}
    pairs = [(ours[_work(one)], one) for one in right if one.side is not None and _work(one) in ours]
    compared = [(own, theirs, over_side(own, theirs, rounds, threshold)) for own, theirs in pairs]
    return [(own, theirs, over) for own, theirs, over in compared if over is not None]


def _rows(record: BenchRecord) -> Iterator[tuple[str, ...]]:
    """The workloads one after the other: this program, then the others from the fastest on."""
    known = _pairs(record)
    pairs = {theirs.case: (ours, over) for ours, theirs, over in known}
    titles = {_work(ours): _workload(ours) for ours, *_ in known}
    others: dict[str, list[CaseResult]] = {}
    for result in record.cases:
        if result.side is not None:
            others.setdefault(titles.get(_work(result), _workload(result)), []).append(result)
    for workload, sides in others.items():
        timed = sorted((one for one in sides if one.case in pairs), key=lambda one: pairs[one.case][1].ratio)
        if timed:
            ours, over = pairs[timed[0].case]
            own = (f"**ours, {ours.engine}**", _speed(ours), _right(ours), *_over(over))
            yield (workload, *own, f"{over.verdict} than {_name(timed[0], ours)}")
        for one in timed:
            ours, over = pairs[one.case]
            yield (workload, _name(one, ours), _speed(one), _right(one), *_over(over), over.verdict)
        for one in sides:
            if one.case not in pairs:
                reason = escape(one.skipped or "not measured")
                yield (workload, one.side or "", reason, *(UNKNOWN for _ in range(4)))


def _work(result: CaseResult) -> Case:
    """What is done, by whom and in whatever precision."""
    return replace(result.case, engine="", side=None, precision="fp32")


def _workload(result: CaseResult) -> str:
    network = "-".join(map(str, (784, *result.hidden, 10)))
    what = result.optimizer or "inference"
    precision = "" if result.precision == "fp32" else f", {result.precision}"
    return f"{network}, {what}, batch {count(result.batch_size)}{precision}"


def _name(theirs: CaseResult, ours: CaseResult) -> str:
    """The other side, with its precision if that is not ours."""
    return f"{theirs.side}{'' if theirs.precision == ours.precision else f' in {theirs.precision}'}"


def _median(result: CaseResult) -> float:
    return 0.0 if result.images_per_s is None else result.images_per_s.median


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
