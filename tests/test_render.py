"""A document shown in four ways: the same cells in each, and every kind of block in all of them."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from accelmnist.show import document as doc
from accelmnist.show.bench.page import bench_note, bench_page
from accelmnist.show.compare import comparison_note, comparison_page
from accelmnist.show.render.console import print_document
from accelmnist.show.render.markdown import render_markdown
from accelmnist.show.render.report import render_html, render_pdf
from accelmnist.show.run_tables import plan_page
from accelmnist.show.summary import run_page
from accelmnist.show.sweep.page import sweep_page
from tests.bench_samples import sample_bench, sample_targets
from tests.samples import sample_record
from tests.sweep_samples import sweep_record
from tests.test_compare import eventful, judged

PAGES: dict[str, Callable[[], doc.Document]] = {
    "run": lambda: run_page(sample_record(passed=False, fashion=True), Path("results/run")),
    "plan": lambda: plan_page(sample_record()),
    "bench": lambda: bench_page(sample_bench(), Path("results/bench")),
    "bench note": lambda: bench_note(sample_bench()),
    "targets": lambda: bench_page(sample_targets()),
    "sweep": lambda: sweep_page(sweep_record()),
    "compare": lambda: comparison_page(judged(*eventful(), fail_on=0.05)),
    "compare note": lambda: comparison_note(judged(*eventful(), fail_on=0.05)),
}
EVERY_BLOCK: tuple[doc.Block, ...] = (
    doc.Headline(word="PASS", tone="good", text="all of it", lines=(("and one more line", "bad"),)),
    doc.Text(text="Made by {}, as it is.", code="accelmnist run"),
    doc.Missing(text="Nothing was there."),
    doc.Points(title="Observed", items=("first point", "second point")),
    doc.Remarks(title="Doubts", items=(doc.Remark(name="unstable", text="measure again", details=("seen here",)),)),
    doc.Facts(title="Of it", rows=(("name", "value"),), beside=(("other name", "other value"),)),
    doc.Scores(pixels=bytes(784), bars=(doc.Bar(label="4 Coat", share=0.5, text="50.00 %", is_own=True),)),
    doc.Code(lines=("accelmnist run", "accelmnist report")),
)


def as_console(document: doc.Document, width: int = 200) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=False, no_color=True)
    print_document(document, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def as_report(document: doc.Document) -> doc.Report:
    return doc.Report(title="A page", chapters=document.sections)


def tables(document: doc.Document) -> Iterator[doc.Table]:
    for section in document.sections:
        yield from (block for block in section.blocks if isinstance(block, doc.Table) and block.rows)


def large(table: doc.Table) -> list[list[str]]:
    """The rows with all of their cells."""
    return [[cell.text for cell in row] for row in (*table.rows, *table.totals)]


def small(table: doc.Table) -> list[list[str]]:
    """The rows without the cells that a console has no room for."""
    kept = [index for index, column in enumerate(table.columns) if not column.only_large]
    return [[row[index] for index in kept] for row in large(table)]


class HtmlTables(HTMLParser):
    """The cells of every table in bodies and feet, row by row, without the lines below a cell's text."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self._is_cell = self._is_head = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.tables.append([])
        elif tag == "thead":
            self._is_head = True
        elif tag == "tr" and not self._is_head:
            self.tables[-1].append([])
        elif tag in ("td", "th") and not self._is_head:
            self.tables[-1][-1].append("")
            self._is_cell = True
        elif tag == "small":
            self._is_cell = False

    def handle_endtag(self, tag: str) -> None:
        self._is_head = self._is_head and tag != "thead"
        self._is_cell = self._is_cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._is_cell:
            self.tables[-1][-1][-1] += data


def markdown_tables(text: str) -> list[list[list[str]]]:
    """The bodies of every table, by an independent parser."""
    found: list[list[list[str]]] = []
    for token in MarkdownIt().enable("table").parse(text):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type == "inline" and found and found[-1] and token.level > 3:
            found[-1][-1].append("".join(child.content for child in token.children or ()))
    return [rows[1:] for rows in found]


def squeezed(rows: list[list[str]]) -> list[list[str]]:
    return [[" ".join(text.split()) for text in row] for row in rows]


@pytest.mark.parametrize("name", PAGES)
def test_html_and_markdown_have_the_cells_of_every_table(name: str) -> None:
    page = PAGES[name]()
    parser = HtmlTables()
    parser.feed(render_html(as_report(page)).decode())
    in_html = [squeezed(rows) for rows in parser.tables]
    in_markdown = markdown_tables(render_markdown(page))
    for table in tables(page):
        assert squeezed(large(table)) in in_html
        width = len(small(table)[0])
        assert squeezed(small(table)) in [squeezed([row[:width] for row in rows]) for rows in in_markdown]


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [80, 120, 200])
def test_a_console_has_the_cells_of_every_table(name: str, width: int) -> None:
    page = PAGES[name]()
    said = " ".join(as_console(page, width).split())
    for table in tables(page):
        kept = table.rows[: table.most_on_screen]
        for row in (*kept, *table.totals):
            for column, cell in zip(table.columns, row, strict=True):
                if not (column.only_large or column.spare or table.fit == "fold"):
                    assert " ".join(cell.text.split()) in said, (column.heading, cell.text)


@pytest.mark.parametrize("name", ["run", "bench note", "compare"])
def test_paper_has_the_cells_of_every_table(name: str, tmp_path: Path) -> None:
    said = paper(PAGES[name](), tmp_path)
    for table in tables(PAGES[name]()):
        for text in (text for row in large(table)[: table.most_on_paper] for text in row):
            assert "".join(text.split()) in said, text


def paper(page: doc.Document, folder: Path) -> str:
    """The words of the PDF without any blanks or hyphens at the ends of lines, by poppler."""
    pdftotext = shutil.which("pdftotext")
    if pdftotext is None:
        pytest.skip("poppler's pdftotext is not installed")
    (folder / "page.pdf").write_bytes(render_pdf(as_report(page)))
    done = subprocess.run([pdftotext, folder / "page.pdf", "-"], capture_output=True, text=True, check=True)
    return "".join(done.stdout.replace("‐\n", "").split())


def test_every_block_is_shown_in_every_way(tmp_path: Path) -> None:
    page = doc.Document((doc.Section(ident="all", title="All", blocks=EVERY_BLOCK),))
    html = re.sub(r"<[^>]*>", "", render_html(as_report(page)).decode())
    ways = [as_console(page), render_markdown(page), html]
    words = ("PASS", "all of it", "and one more line", "accelmnist run", "Nothing was there.", "first point")
    words += ("second point", "unstable", "measure again", "seen here", "name", "value", "other value", "Doubts")
    words += ("4 Coat", "50.00 %")
    for way in ways:
        assert [word for word in words if word not in way] == []
    assert [word for word in words if "".join(word.split()) not in paper(page, tmp_path)] == []


def test_a_console_without_unicode_gets_plain_bars() -> None:
    table = doc.Table(columns=(doc.Column("bars"),), rows=((doc.Cell("▁▄█"),),))
    page = doc.Document((doc.Section(title="", blocks=(table,)),))
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="replace")
    print_document(page, Console(width=80, file=file))
    file.flush()
    assert isinstance(file.buffer, io.BytesIO)
    assert "?" not in file.buffer.getvalue().decode().splitlines()[-1]
