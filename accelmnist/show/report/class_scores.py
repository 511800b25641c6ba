"""The scores by class as a drawing."""

from __future__ import annotations

from accelmnist.core.metrics import Metrics
from accelmnist.show.document import Figure
from accelmnist.show.figures.classes import classes_figure
from accelmnist.show.render.pictures import panel_of
from accelmnist.show.report.words import ClassWords
from accelmnist.show.units import percent


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
