"""The chapter on a benchmark: what is fastest, by how much and how sure, why, and what to doubt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from matplotlib.figure import Figure as Drawing

from accelmnist.measure.record import BenchRecord
from accelmnist.show.bench.cases import cases_table, limits_table
from accelmnist.show.bench.headline import extent, failures_text, leaders, message_of, outcome_of
from accelmnist.show.bench.remarks import bounds, doubts, legend_of
from accelmnist.show.bench.view import BenchView, Part
from accelmnist.show.document import Block, Points, Remark, Remarks, Section, Table, Text
from accelmnist.show.figures.case_rows import target_figure, throughput_figure
from accelmnist.show.figures.roofline import roofline_figure
from accelmnist.show.figures.scaling import scaling_figure
from accelmnist.show.render.pictures import drawn

_FIGURES: tuple[tuple[str, Callable[[BenchRecord], Drawing | None], str], ...] = (
    ("throughput", throughput_figure, "Images a second of every case, with its 95 % interval and all samples."),
    ("scaling", scaling_figure, "Images a second by size, with the limit drawn in."),
    ("roofline", roofline_figure, "What every case reaches of what this machine can do."),
    ("time-to-accuracy", target_figure, "Seconds to the target accuracy, over the seeds."),
)
_MOST_SEEN = 4


def speed_chapter(record: BenchRecord) -> Section:
    """How fast, how sure, how far from the limit."""
    view = BenchView(record)
    legend, crossovers = legend_of(view), tuple(crossover.sentence for crossover in record.crossovers)
    wrong = tuple(f"{view.label(result)}: {failures_text(result)}" for result in view.wrong)
    blocks: list[Block] = [
        Text(text=answer(view), lead=True),
        *([Points(title="Wrong", items=wrong)] if wrong else []),
        *(_cases(part, view) for part in view.parts),
        *([Text(text=legend)] if legend else []),
        *drawn(_FIGURES, record, alt=" ".join(leaders(view))),
        *map(_bounds, bounds(view)),
        *([Points(title="Crossovers", items=crossovers)] if crossovers else []),
        *map(_shortened, doubts(view)),
        *([limits_table(record.limits)] if record.limits else []),
    ]
    return Section(ident="speed", title="The speed", blocks=tuple(blocks))


def answer(view: BenchView) -> str:
    """The outcome, how much was measured, and what is fastest."""
    sentences = (f"{outcome_of(view).word}: {extent(view)}", message_of(view), *leaders(view))
    return ". ".join(filter(None, sentences)) + "."


def _cases(part: Part, view: BenchView) -> Table:
    table = cases_table(part, view)
    shared = f" ({table.shared})" if table.shared else ""
    return replace(table, caption=f"{part.title}{shared}.")


def _bounds(remarks: Remarks) -> Remarks:
    return replace(remarks, title=f"What holds it back: {remarks.title}".removesuffix(": "))


def _shortened(block: Block) -> Block:
    """Doubts with the first cases in which each was seen, if they are many."""
    if not isinstance(block, Remarks):
        return block
    return replace(block, title="Doubts", items=tuple(map(_first_seen, block.items)))


def _first_seen(remark: Remark) -> Remark:
    seen, more = remark.details[:_MOST_SEEN], len(remark.details) - _MOST_SEEN
    return replace(remark, details=(*seen, f"and {more} more") if more > 0 else seen)
