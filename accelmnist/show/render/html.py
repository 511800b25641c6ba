"""A report as one HTML file: style, script and pictures inside it, nothing fetched, everything escaped by Jinja2.

A policy in the file (CSP) forbids the browser to fetch anything and to run any script but this one, known by its hash:
what should slip through the escaping still could do nothing. Figures take their colours from the page's own variables,
so that they follow light and dark. Source: "Content Security Policy Level 3", W3C.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from importlib import resources
from typing import Any

import jinja2
import msgspec
from markupsafe import Markup

from accelmnist.show.document import Atlas, Block, Image, Matrix, Panel, Report
from accelmnist.show.figures.sheet import BLUE, GREY, INK, ORANGE, PALETTE, RULE, SOFT_INK
from accelmnist.show.render.pictures import SHEET_COLUMNS, sheet_png

TEMPLATES = "templates"
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
    script, style = template_text("script.js"), template_text("style.css")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = _environment().get_template("report.html.j2")
    return page.render(
        report=report,
        style=Markup(style),
        script=Markup(script),
        script_hash=digest,
        sheets=[Sheet.of(name, stack) for name, stack in report.pictures.sheets.items()],
        data=_data(report),
    ).encode()


@dataclass(frozen=True)
class Sheet:
    """A sheet of small images as a data URI, with its rows and columns."""

    name: str
    uri: str
    columns: int
    rows: int

    @classmethod
    def of(cls, name: str, stack: Any) -> Sheet:
        """The sheet of the images `stack`."""
        encoded = base64.b64encode(sheet_png(stack)).decode()
        return cls(name, f"data:image/png;base64,{encoded}", SHEET_COLUMNS, -(-len(stack) // SHEET_COLUMNS))


def template_text(name: str) -> str:
    """A file of the templates' folder."""
    return (resources.files("accelmnist.show.render") / TEMPLATES / name).read_text(encoding="utf-8")


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(template_text),
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
