"""The tree of a report: chapters of blocks, all text already composed, with nothing in it of HTML or of Typst.

Both templates walk the same tree, so that the two files can't say different things. A block names its `kind`, by which
a template knows how to set it. Images are places in `Pictures`, where the pixels are kept once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Tone = Literal["", "good", "bad", "unsure", "faint", "strong"]


@dataclass(frozen=True)
class Image:
    """A small image: its `place` on the sheet `sheet` of the report's pictures, and what it shows in words."""

    sheet: str
    place: int
    alt: str


@dataclass(frozen=True, kw_only=True)
class Text:
    """A paragraph; `lead` where it opens a chapter."""

    text: str
    lead: bool = False
    kind: Literal["text"] = "text"


@dataclass(frozen=True, kw_only=True)
class Missing:
    """Says why something that belongs here can't be shown."""

    text: str
    kind: Literal["missing"] = "missing"


@dataclass(frozen=True, kw_only=True)
class Points:
    """Sentences under a heading of their own: what was observed."""

    title: str
    items: tuple[str, ...]
    kind: Literal["points"] = "points"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Names and their values, under a heading of their own where there is a `title`."""

    rows: tuple[tuple[str, str], ...]
    title: str = ""
    kind: Literal["facts"] = "facts"


@dataclass(frozen=True)
class Column:
    """A column of a table: numbers stand at the right."""

    heading: str
    is_number: bool = False


@dataclass(frozen=True)
class Cell:
    """What a cell shows, and the number that it is sorted by where the text isn't."""

    text: str
    value: float | None = None
    tone: Tone = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table with a caption; the first column names the row where `has_names`. `ident` is its own in the report.

    At most `most_on_paper` rows are printed: a page holds no more, and none where the paper says it otherwise.
    """

    ident: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    has_names: bool = True
    note: str = ""
    most_on_paper: int = 36
    kind: Literal["table"] = "table"


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One drawing as SVG, with its size in CSS pixels."""

    svg: str
    width: float
    height: float


@dataclass(frozen=True, kw_only=True)
class Figure:
    """Drawings side by side, one below the other where the page is narrow; `alt` says what is to be seen."""

    ident: str
    caption: str
    alt: str
    panels: tuple[Panel, ...]
    kind: Literal["figure"] = "figure"


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A small image with a caption of a few words."""

    image: Image
    caption: str


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Small images in rows."""

    caption: str
    tiles: tuple[Tile, ...]
    kind: Literal["gallery"] = "gallery"


@dataclass(frozen=True, kw_only=True)
class MatrixCell:
    """A cell of the confusion matrix: its count, its colours, what it means, and some of its images."""

    count: int
    background: str
    ink: str
    label: str
    tiles: tuple[Tile, ...]


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """The confusion matrix: rows predicted, columns actual; precision ends the rows, recall the columns."""

    caption: str
    names: tuple[str, ...]
    class_kind: str
    cells: tuple[tuple[MatrixCell, ...], ...]
    precision: tuple[str, ...]
    recall: tuple[str, ...]
    accuracy: str
    gap: str = ""  # why its cells show no images
    kind: Literal["matrix"] = "matrix"


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One bar of a neuron's answers: its class, its length 0 to 1, and the figure in words."""

    label: str
    share: float
    text: str
    is_own: bool  # of a class that the neuron answers for


@dataclass(frozen=True, kw_only=True)
class Card:
    """A neuron: its weights in grey and signed, what it is on for, what it argues for, and what excites it."""

    name: str
    digits: str
    sentence: str
    status: str
    grey: Image
    signed: Image
    strength: float  # 0 to 1, of the strongest one
    bars: tuple[Bar, ...]
    facts: tuple[tuple[str, str], ...]
    exciting: tuple[Image, ...]


@dataclass(frozen=True, kw_only=True)
class Atlas:
    """The neurons, the clearest first. `shown_on_paper` of them have room on a page, the rest is for the screen."""

    caption: str
    bars_title: str
    cards: tuple[Card, ...]
    shown_on_paper: int
    overview: str  # caption of all of them together, on paper
    kind: Literal["atlas"] = "atlas"


@dataclass(frozen=True, kw_only=True)
class Code:
    """Commands, a line each."""

    lines: tuple[str, ...]
    kind: Literal["code"] = "code"


@dataclass(frozen=True, kw_only=True)
class Notes:
    """The author's own text: as safe HTML, and as a tree of Markdown's elements for other layouts."""

    html: str
    tree: tuple[dict[str, Any], ...]
    kind: Literal["notes"] = "notes"


Block = Text | Missing | Points | Facts | Table | Figure | Gallery | Matrix | Atlas | Code | Notes


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """A part with a heading; `ident` is its anchor."""

    ident: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Pixels by the name of their sheet: uint8 (n, 28, 28) in grey or (n, 28, 28, 3) in colour."""

    sheets: dict[str, NDArray[np.uint8]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that a template needs. `verdict` is the answer in a word, with its tone."""

    title: str
    author: str
    date: str
    subtitle: str
    verdict: str
    verdict_tone: Tone
    summary: tuple[str, ...]
    chapters: tuple[Chapter, ...]
    pictures: Pictures
    made_by: str
