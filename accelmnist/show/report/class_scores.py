"""The scores by class, as a drawing and as a table."""

from __future__ import annotations

from accelmnist.core.metrics import Metrics, wilson_interval
from accelmnist.core.records import RunRecord
from accelmnist.show.figures.classes import classes_figure
from accelmnist.show.names import row_names
from accelmnist.show.report.document import Cell, Column, Figure, Table
from accelmnist.show.report.pictures import panel_of
from accelmnist.show.report.training import number
from accelmnist.show.report.words import ClassWords
from accelmnist.show.units import count, fraction, percent


def class_figure(metrics: Metrics, words: ClassWords) -> Figure:
    """Recall and precision with their intervals."""
    return Figure(
        ident="class-scores",
        caption="Recall and precision of every class with their 95 % intervals.",
        alt="; ".join(
            f"{name}: recall {percent(scores.recall, digits=1)}, precision {percent(scores.precision, digits=1)}"
            for name, scores in zip(words.names, metrics.per_class, strict=True)
        ),
        panels=(panel_of(classes_figure(metrics, words.names), "class-scores"),),
    )


def class_table(record: RunRecord, metrics: Metrics, words: ClassWords) -> Table:
    """All scores, beside the reference's F1 where there is one."""
    other = record.reference.metrics if record.reference is not None else None
    rows = []
    for name, scores in zip(row_names(words.names), metrics.per_class, strict=True):
        low, high = wilson_interval(round(scores.recall * scores.support), scores.support)
        cells = [
            Cell(name, scores.label),
            number(scores.precision, percent(scores.precision)),
            number(scores.recall, percent(scores.recall)),
            number(low, f"{100 * low:.1f} to {100 * high:.1f} %"),
            number(scores.f1, fraction(scores.f1)),
        ]
        if other is not None:
            cells.append(number(other.per_class[scores.label].f1, fraction(other.per_class[scores.label].f1)))
        rows.append((*cells, Cell(count(scores.support), scores.support)))
    columns = [Column(words.kind), Column("precision", True), Column("recall", True), Column("recall, 95 %", True)]
    columns += [Column("F1", True)] + ([Column("F1, reference", True)] if other is not None else [])
    return Table(
        ident="classes",
        caption="Scores by class.",
        columns=(*columns, Column("images", True)),
        rows=tuple(rows),
        note=f"Macro means: precision {percent(metrics.macro_precision)}, recall {percent(metrics.macro_recall)}, "
        f"F1 {fraction(metrics.macro_f1)}.",
    )
