"""A report as a file, HTML or PDF, from the same tree; neither fetches anything.

The HTML is one file: style, script and pictures inside it, everything escaped by Jinja2. A policy in it (CSP) forbids
the browser to fetch anything and to run any script but this one, known by its hash: what should slip through the
escaping still could do nothing. Figures take their colours from the page's own variables, so that they follow light and
dark. Source: "Content Security Policy Level 3", W3C.

The PDF is set by Typst, which reads the tree as JSON, figures as SVG and small images as PNG, from a folder that is
gone afterwards; text stays text, which can be selected and searched. The letters are Typst's own and matplotlib's, so
that the system needs none; its own stand in for what neither has, such as a name in another script.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
import tempfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import jinja2
import msgspec
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from accelmnist.core.errors import OutputError
from accelmnist.show.document import Atlas, Block, Figure, Gallery, Image, Matrix, Panel, Report
from accelmnist.show.figures.sheet import BLUE, GREY, INK, ORANGE, PALETTE, RULE, SOFT_INK
from accelmnist.show.render.pictures import DIGITS, SHEET_COLUMNS, png_of, sheet_png

_TEMPLATES = "templates"
_TYPST = "report.typ"
_VARIABLES = {
    INK: "ink",
    SOFT_INK: "soft",
    RULE: "rule",
    GREY: "grey",
    BLUE: "blue",
    ORANGE: "orange",
    "#ffffff": "page",
}
_VARIABLES |= {mark.colour: f"series-{index}" for index, mark in enumerate(PALETTE) if index > 1}
_PHONE = 460  # CSS pixels: a drawing of this width can still be read where it is shrunk to a phone's
_SIZE = re.compile(r'^<svg([^>]*?) width="[^"]*" height="[^"]*"')
_STYLE = re.compile(r"<style.*?</style>", re.DOTALL)
_COLOUR = re.compile(r"#[0-9a-f]{6}\b")


def render_html(report: Report) -> bytes:
    """The whole file as UTF-8."""
    script, style = _template("script.js"), _template("style.css")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = _environment().get_template("report.html.j2")
    return page.render(
        report=report,
        style=Markup(style),
        script=Markup(script),
        script_hash=digest,
        sheets=[_sheet(name, stack) for name, stack in report.pictures.sheets.items()],
        data=_data(report),
    ).encode()


def _sheet(name: str, stack: NDArray[np.uint8]) -> dict[str, str | int]:
    """A sheet of small images as a data URI, with its rows and columns."""
    encoded = base64.b64encode(sheet_png(stack)).decode()
    rows = math.ceil(len(stack) / SHEET_COLUMNS)
    return {"name": name, "uri": f"data:image/png;base64,{encoded}", "columns": SHEET_COLUMNS, "rows": rows}


def _template(name: str) -> str:
    """A file of the templates' folder."""
    return (resources.files("accelmnist.show.render") / _TEMPLATES / name).read_text(encoding="utf-8")


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["figure"] = _figure
    environment.filters["place"] = _place
    return environment


def _figure(panel: Panel, alt: str) -> Markup:
    """The drawing inside the page: as wide as its frame, coloured by the page's variables, one picture to a reader."""
    svg = _SIZE.sub(lambda match: f"<svg{match[1]}", _STYLE.sub("", panel.svg))
    svg = _COLOUR.sub(lambda match: _variable(match[0]), svg)
    fits = ' class="narrow"' if panel.width < _PHONE else ""
    opening = f'<svg role="img"{fits} aria-label="{Markup.escape(alt)}" style="--w:{panel.width:.0f}px"'
    return Markup(svg.replace("<svg", opening, 1))


def _variable(colour: str) -> str:
    name = _VARIABLES.get(colour)
    return colour if name is None else f"var(--f-{name})"


def _place(image: Image) -> str:
    """Where an image is on its sheet, for a style."""
    row, column = divmod(image.place, SHEET_COLUMNS)
    return f"--x:{column};--y:{row}"


def _data(report: Report) -> Markup:
    """What the script shows on demand, as JSON that can't end its element: the cells' images and the neurons' cards."""
    blocks: list[Block] = [block for chapter in report.chapters for block in chapter.blocks]
    document = {
        "cells": [cells for block in blocks if isinstance(block, Matrix) for cells in block.cells],
        "cards": [card for block in blocks if isinstance(block, Atlas) for card in block.cards],
        "columns": SHEET_COLUMNS,
    }
    text = msgspec.json.encode(document).decode()
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


# --- as PDF


def render_pdf(report: Report) -> bytes:
    """The whole file; raises OutputError if Typst can't set it."""
    import matplotlib  # here: the figures' package loads it its own way
    import typst

    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    with tempfile.TemporaryDirectory(prefix="accelmnist-report-") as name:
        folder = Path(name)
        _fill(folder, report)
        try:
            pdf = typst.compile(folder / _TYPST, root=folder, font_paths=[fonts], format="pdf")
        except typst.TypstError as error:
            raise OutputError(
                f"Typst can't set the PDF: {error}", remedy="Hand in the HTML, and report this"
            ) from error
    assert isinstance(pdf, bytes)
    return pdf


def _fill(folder: Path, report: Report) -> None:
    """Everything that the template reads."""
    (folder / _TYPST).write_text(_template(_TYPST), encoding="utf-8")
    fields = ("title", "author", "date", "subtitle", "verdict", "verdict_tone", "summary", "chapters", "made_by")
    document = {name: getattr(report, name) for name in fields}
    (folder / "report.json").write_bytes(msgspec.json.encode(document))
    blocks = [block for chapter in report.chapters for block in chapter.blocks]
    for block in blocks:
        if isinstance(block, Figure):
            for index, panel in enumerate(block.panels):
                (folder / f"{block.ident}-{index}.svg").write_text(panel.svg, encoding="utf-8")
    for image in dict.fromkeys(image for block in blocks for image in _images(block)):
        pixels = report.pictures.sheets[image.sheet][image.place]
        ink_on_paper = 255 - pixels if image.sheet == DIGITS else pixels
        (folder / f"{image.sheet}-{image.place}.png").write_bytes(png_of(ink_on_paper))


def _images(block: Block) -> Iterator[Image]:
    """The small images that a block shows on paper."""
    if isinstance(block, Gallery):
        yield from (tile.image for tile in block.tiles)
    elif isinstance(block, Atlas):
        yield from (card.signed for card in block.cards)
        yield from (image for card in block.cards[: block.shown_on_paper] for image in (card.grey, *card.exciting))
