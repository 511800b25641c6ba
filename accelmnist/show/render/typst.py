"""A report as PDF, set by Typst from the same tree as the HTML.

Typst reads the tree as JSON, figures as SVG and small images as PNG, from a folder that is gone afterwards; text stays
text, which can be selected and searched. The letters are Typst's own and matplotlib's, so that the system needs
none; its own stand in for what neither has, such as a name in another script. Typst fetches nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import msgspec

from accelmnist.core.errors import OutputError
from accelmnist.show.document import Atlas, Block, Figure, Gallery, Image, Report
from accelmnist.show.render.html import template_text
from accelmnist.show.render.pictures import DIGITS, png_of

_TEMPLATE = "report.typ"


def render_pdf(report: Report) -> bytes:
    """The whole file; raises OutputError if Typst can't set it."""
    import typst

    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    with tempfile.TemporaryDirectory(prefix="accelmnist-report-") as name:
        folder = Path(name)
        _fill(folder, report)
        try:
            pdf = typst.compile(folder / _TEMPLATE, root=folder, font_paths=[fonts], format="pdf")
        except typst.TypstError as error:
            raise OutputError(
                f"Typst can't set the PDF: {error}", remedy="Hand in the HTML, and report this"
            ) from error
    assert isinstance(pdf, bytes)
    return pdf


def _fill(folder: Path, report: Report) -> None:
    """Everything that the template reads."""
    (folder / _TEMPLATE).write_text(template_text(_TEMPLATE), encoding="utf-8")
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
