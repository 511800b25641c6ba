"""Figures as OpenMetrics text: what Prometheus and node_exporter's textfile collector read.

A `Family` is one figure of many things, told apart by their labels. Every family is a gauge, and if its figure has a
unit, that is the last part of its name, as the standard asks: `accelmnist_throughput_images_per_second`. Samples have
no time of their own, which the textfile collector would refuse; a family of seconds since 1970 says when. Source:
OpenMetrics 1.0 (prometheus.io/docs/specs/om/open_metrics_spec), "Text format".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from accelmnist.core.text import printable

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})

Labels = Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Family:
    """One figure: its `name` ends in its `unit`, if it has one, and `samples` are its values by their labels.

    `name` and `unit` are of letters, digits and underscores. Of labels, an empty one is as good as none.
    """

    name: str
    help: str
    unit: str = ""
    samples: list[tuple[Labels, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        end = f"_{self.unit}" if self.unit else ""
        assert _NAME.fullmatch(self.name.removesuffix(end) if self.name.endswith(end) else ""), (
            f"{self.name} is no name of a figure in {self.unit or 'no unit'}"
        )

    def add(self, value: float, **labels: str) -> None:
        """Add the value of the thing that has these `labels`."""
        self.samples.append((labels, value))


def openmetrics_text(families: Iterable[Family]) -> str:
    """The whole exposition, with its end mark; a family without a sample is left out."""
    return "\n".join([*(line for family in families if family.samples for line in _lines(family)), "# EOF", ""])


def _lines(family: Family) -> Iterator[str]:
    yield f"# TYPE {family.name} gauge"
    if family.unit:
        yield f"# UNIT {family.name} {family.unit}"
    yield f"# HELP {family.name} {_escaped(family.help)}"
    for labels, value in family.samples:
        pairs = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items() if text)
        yield f"{family.name}{f'{{{pairs}}}' if pairs else ''} {_number(value)}"


def _escaped(text: str) -> str:
    return printable(text).translate(_ESCAPES)


def _number(value: float) -> str:
    """Python's own shortest words for it: those of a float are also OpenMetrics', with "nan" and "inf" in any case."""
    return repr(value)
