"""A document as GitHub Markdown, for a README, an issue or a pull request.

No title is a heading, so that the text fits below any. What comes from a record is escaped: a reason may contain a
pipe, an engine's name has an underscore. Drawings and small images are left out; their captions say what there is to be
seen. Source: "GitHub Flavored Markdown Spec", 4.10.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from accelmnist.show import document as doc

_SPECIAL = re.compile(r"([\\|`*_~<\[\]])")
_AT_THE_START = re.compile(r"^([#>+-]|\d+(?=[.)]))")  # a heading, a quotation, an item of a list
_TICKS = re.compile(r"`+")


def render_markdown(document: doc.Document) -> str:
    """The whole text, ending in a line feed; its paragraphs are a blank line apart."""
    return "\n\n".join(filter(None, (text for part in document.sections for text in _section(part)))) + "\n"


def escape(text: str) -> str:
    """Text that Markdown shows as it is, in one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _section(part: doc.Section) -> Iterator[str]:
    """The paragraphs. Lists one below the other are one list, and text below a list is its last item."""
    if part.title:
        shared = [block.shared for block in part.blocks if isinstance(block, doc.Table) and block.shared]
        yield _strong(part.title) + "".join(f" ({escape(text)})" for text in shared[:1])
    items: list[str] = []
    for block in part.blocks:
        if isinstance(block, (doc.Facts, doc.Points, doc.Remarks)):
            items += _block(block)
        elif items and isinstance(block, doc.Text):
            items.append(f"- {_paragraph(block)}")
        else:
            yield from ("\n".join(items), *_block(block))
            items = []
    yield "\n".join(items)


def _block(block: doc.Block) -> Iterable[str]:
    """The paragraphs of a block."""
    match block:
        case doc.Text():
            return [_paragraph(block)]
        case doc.Headline():
            texts = (block.text, *(text for text, _ in block.lines))
            return [f"**{block.word}**: {'. '.join(escape(text) for text in texts if text)}."]
        case doc.Missing():
            return [f"Not shown: {escape(block.text)}"]
        case doc.Facts():
            return [_items(block.title, (f"{name}: {text}" for name, text in (*block.rows, *block.beside)))]
        case doc.Points():
            return [_items(block.title, block.items)]
        case doc.Remarks():
            return [_items(block.title, map(_remark, block.items))]
        case doc.Table():
            return _table(block)
        case doc.Matrix():
            return [_matrix(block)]
        case doc.Scores():
            rows = [[_strong(bar.label) if bar.is_own else escape(bar.label), bar.text] for bar in block.bars]
            return [_grid([["class", "score"], ["---", "---:"], *rows])]
        case doc.Code():
            return ["\n".join(("```sh", *block.lines, "```"))]
        case doc.Figure() | doc.Gallery() | doc.Atlas():
            return [escape(block.caption)]
        case doc.Notes():
            return ["The author's notes are in the file."]


def _paragraph(block: doc.Text) -> str:
    if block.code:
        before, _, after = block.text.partition("{}")
        return f"{escape(before)} {_code(block.code)}{escape(after)}"
    return _strong(block.text) if block.tone == "strong" else _start(block.text)


def _start(text: str) -> str:
    """Text at the start of a line, at which some characters are marks that are none elsewhere."""
    return _AT_THE_START.sub(r"\\\1", escape(text))


def _strong(text: str) -> str:
    return f"**{escape(text)}**" if text else ""


def _items(title: str, texts: Iterable[str]) -> str:
    """A list, whose items begin with its title if it has one."""
    return "\n".join(f"- {_start(f'{title}: {text}' if title else text)}" for text in texts)


def _remark(remark: doc.Remark) -> str:
    """The name, the details if there are any, and what is said."""
    details = f" {', '.join(remark.details)};" if remark.details else ""
    return f"{remark.name}:{details} {remark.text}"


def _code(text: str) -> str:
    """A code span; its fence is longer than any row of backticks within."""
    line = " ".join(text.split())
    fence = "`" * (max(map(len, _TICKS.findall(line)), default=0) + 1)
    return f"{fence} {line} {fence}" if "`" in line else f"{fence}{line}{fence}"


# --- tables


def _table(table: doc.Table) -> Iterator[str]:
    """The rows, those that have no figures, and what is to be said below."""
    if table.rows:
        yield _rows(table)
    yield _items("", (f"{reason.label}: {reason.text}" for reason in table.reasons))
    yield escape(" ".join(filter(None, (*(words for _, words in table.legend), table.note))))


def _rows(table: doc.Table) -> str:
    """All rows; what is said of single cells stands in a column of its own, the last one."""
    kept = [index for index, column in enumerate(table.columns) if not column.only_large]
    columns = [table.columns[index] for index in kept]
    rows, totals = ([[row[index] for index in kept] for row in some] for some in (table.rows, table.totals))
    notes = [escape("; ".join(detail for cell in row for detail in cell.details)) for row in rows]
    lines = [
        [*(escape(column.heading) for column in columns), "note"],
        [*("---:" if column.is_number else "---" for column in columns), "---"],
        *([*_texts_of(row, columns), note] for row, note in zip(rows, notes, strict=True)),
        *([_strong(name.text), *(escape(cell.text) for cell in cells), ""] for name, *cells in totals),
    ]
    return _grid(lines if any(notes) else [line[:-1] for line in lines])


def _texts_of(row: Sequence[doc.Cell], columns: Sequence[doc.Column]) -> list[str]:
    """What must not be overlooked is bold, as Markdown has no colour; of a row that is bad as a whole, its mark."""
    all_bad = all(cell.tone == "bad" for cell in row)
    return [
        _strong(cell.text) if cell.tone == "bad" and (column.role == "mark" or not all_bad) else escape(cell.text)
        for cell, column in zip(row, columns, strict=True)
    ]


def _matrix(matrix: doc.Matrix) -> str:
    rows = [
        [_strong(name), *(str(cell.count) for cell in cells), precision]
        for name, cells, precision in zip(matrix.names, matrix.cells, matrix.precision, strict=True)
    ]
    heads = ["predicted", *map(escape, matrix.names), "precision"]
    return _grid([heads, ["---", *["---:"] * (len(heads) - 1)], *rows, ["recall", *matrix.recall, matrix.accuracy]])


def _grid(rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
