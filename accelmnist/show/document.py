"""A document: sections of blocks, all text already composed, with nothing in it of a record or of a way to show it.

Each page is built once, from its record, as such a document; `render/` shows it on a console, as Markdown, as HTML and,
by Typst, as PDF, so that the four can't say different things. A block names its `kind`, by which a template knows how
to set it. Small images are places in `Pictures`, where the pixels are kept once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from accelmnist.core.text import printable
from accelmnist.show.units import plural

Tone = Literal["", "good", "bad", "unsure", "faint", "strong"]


class Shown:
    """A part of a document: whatever a record or a file's name put into its texts, they are printable."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            object.__setattr__(self, name, _shown(value))


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    return tuple(map(_shown, value)) if isinstance(value, tuple) else value


@dataclass(frozen=True)
class Image(Shown):
    """A small image: its `place` on the sheet `sheet` of the report's pictures, and what it shows in words."""

    sheet: str
    place: int
    alt: str


@dataclass(frozen=True, kw_only=True)
class Text(Shown):
    """A paragraph, `lead` if it opens a chapter; `code` are words of a command line that stand where `{}` is."""

    text: str
    lead: bool = False
    tone: Tone = ""
    code: str = ""
    kind: Literal["text"] = "text"


@dataclass(frozen=True, kw_only=True)
class Headline(Shown):
    """The answer: an outcome in a `word` with its tone, how much it is about, and a line for each further finding."""

    word: str
    tone: Tone
    text: str
    lines: tuple[tuple[str, Tone], ...] = ()
    kind: Literal["headline"] = "headline"

    @classmethod
    def of_check(cls, *, passed: bool, text: str, lines: tuple[tuple[str, Tone], ...] = ()) -> Headline:
        """PASS or FAIL."""
        return cls(word="PASS" if passed else "FAIL", tone="good" if passed else "bad", text=text, lines=lines)


@dataclass(frozen=True, kw_only=True)
class Missing(Shown):
    """Says why something that belongs here can't be shown."""

    text: str
    kind: Literal["missing"] = "missing"


@dataclass(frozen=True, kw_only=True)
class Points(Shown):
    """Sentences, such as what was observed, under a heading of their own if there is a `title`."""

    title: str = ""
    items: tuple[str, ...]
    tone: Tone = ""
    kind: Literal["points"] = "points"


@dataclass(frozen=True, kw_only=True)
class Remark(Shown):
    """What is said of the thing called `name`, and the details: where it was seen, for instance."""

    name: str
    text: str
    details: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Remarks(Shown):
    """Remarks one below the other, under a heading of their own if there is a `title`; `tone` is that of the names."""

    title: str = ""
    items: tuple[Remark, ...]
    tone: Tone = ""
    kind: Literal["remarks"] = "remarks"


@dataclass(frozen=True, kw_only=True)
class Facts(Shown):
    """Names and their values, under a heading of their own if there is a `title`.

    `beside` are as many more, figures like the first ones, for which a console has room at the right of those.
    """

    rows: tuple[tuple[str, str], ...]
    title: str = ""
    beside: tuple[tuple[str, str], ...] = ()
    kind: Literal["facts"] = "facts"


ColumnRole = Literal["name", "figure", "cost", "mark"]


@dataclass(frozen=True)
class Column:
    """A column of a table: numbers stand at the right. A heading with a line feed takes two lines on a console.

    The roles tell a console what stays together if a line is too short: a "name" says which row it is, a "cost" can
    stand in a second table, and a "mark", such as PASS, needs no heading there. A `spare` column can be left out of a
    console, the highest first, and one that is `only_large` always is: HTML and paper have room for it.
    """

    heading: str
    is_number: bool = False
    role: ColumnRole = "figure"
    spare: int = 0
    only_large: bool = False


@dataclass(frozen=True)
class Cell(Shown):
    """What a cell shows, the number that it is sorted by if the text isn't one, and what is to be said of it below."""

    text: str
    value: float | None = None
    tone: Tone = ""
    details: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Reason(Shown):
    """Why a row has no figures: the cells of the columns that name it, its name in words, and the reason."""

    names: tuple[str, ...]
    label: str
    text: str
    tone: Tone = ""


@dataclass(frozen=True, kw_only=True)
class Table(Shown):
    """A table with a caption; the first column names the row if `has_names`. `ident` is its own in a document.

    `shared` is what all rows have in common. `totals` are rows below the others, `reasons` those that have no figures,
    and `legend` explains columns by their headings. On a console too wide a table is folded, continued below, or left
    without columns, as `fit` says, and a head that tells nothing new there isn't shown. At most `most_on_paper` rows
    are printed and `most_on_screen` shown on a console, because a page holds no more.
    """

    ident: str = ""
    caption: str = ""
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    totals: tuple[tuple[Cell, ...], ...] = ()
    reasons: tuple[Reason, ...] = ()
    has_names: bool = True
    has_head: bool = True
    shared: str = ""
    note: str = ""
    legend: tuple[tuple[str, str], ...] = ()
    fit: Literal["fold", "continue", "drop"] = "fold"
    most_on_paper: int = 36
    most_on_screen: int | None = None
    kind: Literal["table"] = "table"


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One drawing as SVG, with its size in CSS pixels."""

    svg: str
    width: float
    height: float


@dataclass(frozen=True, kw_only=True)
class Figure(Shown):
    """Drawings side by side, one below the other if the page is narrow; `alt` says what is to be seen."""

    ident: str
    caption: str
    alt: str
    panels: tuple[Panel, ...]
    kind: Literal["figure"] = "figure"


@dataclass(frozen=True, kw_only=True)
class Tile(Shown):
    """A small image with a caption of a few words."""

    image: Image
    caption: str


@dataclass(frozen=True, kw_only=True)
class Gallery(Shown):
    """Small images in rows."""

    caption: str
    tiles: tuple[Tile, ...]
    kind: Literal["gallery"] = "gallery"


@dataclass(frozen=True, kw_only=True)
class MatrixCell(Shown):
    """A cell of the confusion matrix: its count, its colours, what it means, and some of its images."""

    count: int
    background: str
    ink: str
    label: str
    tiles: tuple[Tile, ...]


@dataclass(frozen=True, kw_only=True)
class Matrix(Shown):
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
class Bar(Shown):
    """One bar of an answer: its class, its length 0 to 1, and the figure in words; `is_own` marks what is answered."""

    label: str
    share: float
    text: str
    is_own: bool


@dataclass(frozen=True, kw_only=True)
class Scores(Shown):
    """A picture, 784 grey bytes that are bright where the ink is, and what the network makes of it: a bar a class."""

    pixels: bytes
    bars: tuple[Bar, ...]
    kind: Literal["scores"] = "scores"


@dataclass(frozen=True, kw_only=True)
class Card(Shown):
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
class Atlas(Shown):
    """The neurons, the clearest first. `shown_on_paper` of them have room on a page, the rest is for the screen."""

    caption: str
    bars_title: str
    cards: tuple[Card, ...]
    shown_on_paper: int
    overview: str  # caption of all of them together, on paper
    kind: Literal["atlas"] = "atlas"


@dataclass(frozen=True, kw_only=True)
class Code(Shown):
    """Commands, a line each."""

    lines: tuple[str, ...]
    kind: Literal["code"] = "code"


@dataclass(frozen=True, kw_only=True)
class Notes:
    """The author's own text: as safe HTML, and as a tree of Markdown's elements for other layouts."""

    html: str
    tree: tuple[dict[str, Any], ...]
    kind: Literal["notes"] = "notes"


Drawn = Figure | Gallery | Matrix | Atlas | Scores
Block = Text | Headline | Missing | Points | Remarks | Facts | Table | Drawn | Code | Notes


@dataclass(frozen=True, kw_only=True)
class Section(Shown):
    """A part under a heading, if it has one; `ident` is its anchor in a report."""

    ident: str = ""
    title: str
    blocks: tuple[Block, ...]


def sections_of(*parts: tuple[str, Sequence[Block]]) -> list[Section]:
    """A section for each title with its blocks; one that has none is left out."""
    return [Section(title=title, blocks=tuple(blocks)) for title, blocks in parts if blocks]


def files_section(folder: Path, names: Sequence[str], *others: str) -> Section:
    """The folder, and the files at its top by name; those in folders below by their number; `others` as they are."""
    top = [name for name in names if "/" not in name]
    below = Counter(name.partition("/")[0] for name in names if "/" in name)
    listed = ", ".join([*top, *(f"{name}/ ({plural(number, 'file')})" for name, number in below.items()), *others])
    return Section(title="Files", blocks=(Text(text=str(folder), tone="strong"), Text(text=listed, tone="faint")))


@dataclass(frozen=True)
class Document:
    """What one page shows, in its order."""

    sections: tuple[Section, ...]


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Pixels by the name of their sheet: uint8 (n, 28, 28) in grey or (n, 28, 28, 3) in colour."""

    sheets: dict[str, NDArray[np.uint8]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Report(Shown):
    """A document as a file of its own, with a title page. `verdict` is the answer in a word, with its tone."""

    title: str
    author: str = ""
    date: str = ""
    subtitle: str = ""
    verdict: str = ""
    verdict_tone: Tone = ""
    summary: tuple[str, ...] = ()
    chapters: tuple[Section, ...]
    pictures: Pictures = field(default_factory=Pictures)
    made_by: str = "accelmnist"
