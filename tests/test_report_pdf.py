"""The PDF of a report: real text, all of the content, nothing torn apart; by poppler's tools."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from accelmnist.analysis.evidence import MissingEvidence, find_evidence
from accelmnist.core.records import Check, Verdict
from accelmnist.show.document import Matrix, Report, Table, Text
from accelmnist.show.render.report import render_pdf
from accelmnist.show.report.compose import ReportOptions, compose
from accelmnist.show.report.sources import Sources, load_sources, parse_notes
from tests.bench_samples import sample_bench
from tests.report_samples import make_run, tool
from tests.samples import sample_record

pytestmark = pytest.mark.slow  # setting takes seconds

NOTES = """# Head

Text with **bold**, *slanted*, ~~struck~~, `code`, [link](https://example.org), #let x = 1, $math$, \\<b>, _ and *.

1. one
   - inner
2. two

> quoted

```
fenced   text
```

| a | b |
| - | -: |
| cell | 2 |

---
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    folder = make_run(tmp_path_factory.mktemp("run") / "made")
    sources = load_sources([folder])
    wishes = ReportOptions(title="A title #with *marks*", author="A. B.", notes=parse_notes(NOTES))
    return compose(replace(sources, bench=sample_bench()), find_evidence(sources.run, folder), wishes)


@pytest.fixture(scope="module")
def file(report: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pdf") / "report.pdf"
    path.write_bytes(render_pdf(report))
    return path


@pytest.fixture(scope="module")
def pages(file: Any) -> list[str]:
    """The text of every page, in the order of reading, each run of spaces as one."""
    done = subprocess.run([tool("pdftotext"), "-raw", str(file), "-"], capture_output=True, text=True, check=True)
    return [squeezed(text) for text in done.stdout.split("\f")[:-1]]


def squeezed(text: str) -> str:
    """Without spaces and hyphens, which a line's end adds or takes."""
    return re.sub(r"[\s\u00ad\u2010-]+", "", text)


def tables(report: Report) -> list[Table]:
    found = [block for chapter in report.chapters for block in chapter.blocks if isinstance(block, Table)]
    return [table for table in found if table.most_on_paper]


def test_its_text_is_text(report: Report, pages: list[str]) -> None:
    whole = "".join(pages)
    assert squeezed(report.title) in pages[0]
    assert "A.B." in pages[0]
    for chapter in report.chapters:
        assert squeezed(chapter.title) in whole
        for block in chapter.blocks:
            if isinstance(block, Text):
                # A page may end inside it.
                assert squeezed(block.text)[:60] in whole


def test_notes_are_set_and_never_run(pages: list[str]) -> None:
    whole = "".join(pages)
    for text in ("#letx=1,$math$,<b>,_and*.", "inner", "quoted", "fencedtext", "cell2"):
        assert squeezed(text) in whole


def test_no_table_is_cut(report: Report, pages: list[str]) -> None:
    for table in tables(report):
        holding = [text for text in pages if squeezed(table.caption) in text]
        assert len(holding) == 1, table.caption
        (page,) = holding
        for row in table.rows[: table.most_on_paper]:
            for cell in row:
                assert all(squeezed(word) in page for word in cell.text.split()), (table.ident, cell.text)


def test_no_heading_is_left_alone(report: Report, pages: list[str]) -> None:
    """What follows a heading begins on the same page."""
    for number, chapter in enumerate(report.chapters, start=1):
        title = squeezed(f"{number} {chapter.title}")
        (page,) = [text for text in pages if title in text]
        assert len(page.rpartition(title)[2]) > 80, chapter.title


def test_every_page_is_drawn(file: Path, pages: list[str], tmp_path: Path) -> None:
    subprocess.run([tool("pdftoppm"), "-r", "40", "-png", str(file), str(tmp_path / "page")], check=True)
    drawn = sorted(tmp_path.glob("page*.png"))
    assert len(drawn) == len(pages) >= 6
    for path in drawn:
        grey = Image.open(path).convert("L")
        assert abs(grey.width / grey.height - 210 / 297) < 0.01
        assert grey.getextrema()[0] < 200
        margin = grey.crop((0, 0, int(grey.width * 0.07), grey.height))
        assert margin.getextrema()[0] > 200, "nothing runs into the margin"


def test_it_is_of_the_same_content_as_the_matrix(report: Report, pages: list[str]) -> None:
    matrix = next(block for chapter in report.chapters for block in chapter.blocks if isinstance(block, Matrix))
    (page,) = [text for text in pages if squeezed(matrix.caption) in text]
    rows = [
        "".join([*(str(cell.count) for cell in row), precision])
        for row, precision in zip(matrix.cells, matrix.precision, strict=True)
    ]
    for row in rows:
        assert squeezed(row) in page


def test_fonts_are_embedded(file: Path) -> None:
    done = subprocess.run([tool("pdffonts"), str(file)], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()[2:]
    assert lines
    assert all(re.search(r"\byes\s+(yes|no)\s+yes\b", line) for line in lines), done.stdout


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "diverged", "message": "not finite", "metrics": None, "verdict": None, "mistakes": ()},
        {"epochs": (), "environment": None, "data": None, "verdict": None, "reference": None, "choices": ()},
    ],
    ids=["diverged", "bare"],
)
def test_a_run_with_holes_has_a_pdf(changes: dict[str, Any]) -> None:
    record = replace(sample_record(), **changes)
    made = render_pdf(compose(Sources(folder=Path(), run=record), MissingEvidence("no weights"), ReportOptions()))
    assert made.startswith(b"%PDF")


def test_a_table_that_no_page_can_hold_goes_on_on_the_next(tmp_path: Path) -> None:
    """Thirty checks with a page of reasons: cut, since it must be, but not beyond the paper's edge."""
    record = sample_record()
    checks = tuple(
        Check(name=f"check{place}", passed=True, value=1.0, limit=2.0, detail="word " * 60, reason=f"last{place}")
        for place in range(30)
    )
    record = replace(record, verdict=Verdict(passed=True, reference="nothing", checks=checks))
    path = tmp_path / "long.pdf"
    path.write_bytes(
        render_pdf(compose(Sources(folder=Path(), run=record), MissingEvidence("no weights"), ReportOptions()))
    )
    words = boxes(path)
    assert {f"check{place}" for place in range(30)} <= {word for word, *_ in words}
    assert {f"last{place}" for place in range(30)} <= {word for word, *_ in words}
    assert_within_margins(words)


def test_every_word_lies_within_the_margins(file: Path) -> None:
    assert_within_margins(boxes(file))


def test_a_long_table_says_that_it_goes_on_elsewhere(tmp_path: Path) -> None:
    record = sample_record(epochs=90)
    path = tmp_path / "epochs.pdf"
    path.write_bytes(
        render_pdf(compose(Sources(folder=Path(), run=record), MissingEvidence("no weights"), ReportOptions()))
    )
    done = subprocess.run([tool("pdftotext"), str(path), "-"], capture_output=True, text=True, check=True)
    assert "The first 36 of 90 rows" in " ".join(done.stdout.split())
    assert_within_margins(boxes(path))


def boxes(path: Path) -> list[tuple[str, float, float, float, float]]:
    """Every word with its left, top, right and bottom in points."""
    done = subprocess.run([tool("pdftotext"), "-bbox", str(path), "-"], capture_output=True, text=True, check=True)
    found = re.findall(r'<word xMin="(.+?)" yMin="(.+?)" xMax="(.+?)" yMax="(.+?)">(.*?)</word>', done.stdout)
    return [(word, *map(float, place)) for *place, word in found]


def assert_within_margins(words: list[tuple[str, float, float, float, float]]) -> None:
    """A4 is 595 by 842 points; the margins are 22 mm, 62 points, at the sides."""
    assert words
    for word, left, top, right, bottom in words:
        assert 60 < left < right < 536, (word, left, right)
        assert 40 < top < bottom < 820, (word, top, bottom)
