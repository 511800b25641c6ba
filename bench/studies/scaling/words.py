"""The study in words and as a Markdown table: what grows how, and what each case reached."""

from __future__ import annotations

from collections.abc import Sequence

from accelmnist.measure.record import BenchRecord, CaseResult
from accelmnist.show.render.markdown import escape
from accelmnist.show.units import UNKNOWN, count, percent, plural, prefixed, rate, seconds, spread
from bench.studies.scaling.growth import Growth, Interval, Speedup

_HEAD = ("engine", "width", "batch size", "threads", "images/s", "95 % interval", "a step", "counted", "of the limit")
_RULE = ("---", *("---:" for _ in _HEAD[1:]))


def title_of(growths: Sequence[Growth]) -> str:
    """What the figure says: the claim over the whole range where all of it holds, and where it doesn't, for whom."""
    faster = [f"{growth.engine} by {growth.axis}" for growth in growths if growth.outcome == "faster than"]
    if faster:
        return f"A step's time grows faster than its arithmetic: {', '.join(faster)}"
    return "Over the whole range, a step's time grows no faster than its arithmetic"


def growth_text(growth: Growth) -> str:
    """The exponent in a sentence, the steepest piece, and the largest size beside the best."""
    first, last, piece = growth.sizes[0], growth.sizes[-1], growth.steepest
    outcome = "as fast as" if growth.outcome == "as" else growth.outcome
    at_best = f"an operation is cheapest at {count(growth.best)}"
    beside = "" if growth.best == last else f" and takes {_said(growth.last_over_best)} times as long at {count(last)}"
    return (
        f"{growth.engine}, {growth.axis} {count(first)} to {count(last)}: a step's time grows as its arithmetic to the "
        f"power of {_said(growth.exponent)}, {outcome} the arithmetic; steepest from {count(piece.start)} to "
        f"{count(piece.end)}, {_said(piece.exponent)}; {at_best}{beside}"
    )


def short_texts(growths: Sequence[Growth], speedups: Sequence[Speedup]) -> list[str]:
    """A line an engine, for the figure."""
    lines = []
    for engine in dict.fromkeys(growth.engine for growth in growths):
        own = [f"by {growth.axis} {_said(growth.exponent)}" for growth in growths if growth.engine == engine]
        gains = [
            f"{plural(gain.threads, 'thread')} over one {_said(gain.ratio)}"
            for gain in speedups
            if gain.engine == engine
        ]
        lines.append(f"{engine}: exponent of a step's time over its arithmetic {'; '.join([', '.join(own), *gains])}.")
    return lines


def speedup_text(speedup: Speedup) -> str:
    """The gain by threads in a sentence."""
    return f"{speedup.engine}: {plural(speedup.threads, 'thread')} are {_said(speedup.ratio)} times as fast as one"


def _said(interval: Interval) -> str:
    return f"{interval.median:.2f} ({interval.low:.2f} to {interval.high:.2f})"


def sentences_of(growths: Sequence[Growth], speedups: Sequence[Speedup]) -> list[str]:
    """All of the above."""
    return [*map(growth_text, growths), *map(speedup_text, speedups)]


def document(record: BenchRecord, growths: Sequence[Growth], speedups: Sequence[Speedup], *, command: str) -> str:
    """The whole text: the claim, the sentences, how they were found, the table."""
    rows = [row for result in record.cases for row in _rows(result)]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in (_HEAD, _RULE, *rows))
    blocks = [
        f"# {title_of(growths)}",
        f"Made by `{command}` on {_machine(record)}: {plural(len(record.rounds), 'round')} in "
        f"{seconds(record.elapsed_s)}. Training steps of 784-128-10 at batch 128 by SGD in fp32, and from there along "
        "each axis.",
        "\n".join(f"- {escape(sentence)}." for sentence in sentences_of(growths, speedups)),
        "In brackets: 95 % intervals of the median over the rounds. Arithmetic is counted from the shapes, black "
        "pixels included, so an engine that skips them may pass the limit, which is the counted work at the rates "
        "measured in the same rounds.",
        table,
        "\n".join(f"- {escape(note)}" for note in record.notes),
    ]
    return "\n\n".join(filter(None, blocks)) + "\n"


def _machine(record: BenchRecord) -> str:
    environment = record.environment
    if environment is None:
        return "an unknown machine"
    cores = "" if environment.cores is None else f" ({plural(environment.cores, 'core')})"
    return f"{environment.processor}{cores}, torch {environment.torch}, {record.created[:10]}"


def _rows(result: CaseResult) -> list[tuple[str, ...]]:
    """The row of a case; one that wasn't measured gives its reason."""
    case = (result.engine, count(result.hidden[0]), count(result.batch_size), count(result.threads))
    speed = result.images_per_s
    if speed is None:
        return [(*case, escape(result.skipped or "not measured"), *(UNKNOWN for _ in range(4)))]
    wrong = "**wrong** " if result.is_wrong else ""
    half_width = max(speed.high - speed.median, speed.median - speed.low) / speed.median
    flops = result.cost.flops / result.step_s if result.cost and result.step_s else None
    share = percent(result.share_of_limit, digits=0)
    cells = (f"{wrong}{rate(speed.median).removesuffix(' images/s')}", spread(half_width), seconds(result.step_s))
    return [(*case, *cells, prefixed(flops, "FLOP/s"), share)]
