"""Reports: what is in them, that one file holds it all, and that nothing in a record or a note becomes markup."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from accelmnist.analysis.evidence import MissingEvidence, RecomputedAnswers, find_evidence
from accelmnist.cli import invoke
from accelmnist.core.metrics import compute_metrics
from accelmnist.core.records import load_record, save_record
from accelmnist.data.types import Dataset
from accelmnist.measure.record import save_bench
from accelmnist.show.document import Atlas, Matrix, Missing, Points, Report, Table, Text
from accelmnist.show.render.report import render_html
from accelmnist.show.report.compose import ReportOptions, compose
from accelmnist.show.report.sentences import ClassWords, class_sentences, confusion_sentences, likeness_sentence
from accelmnist.show.report.sources import Sources, load_sources, parse_notes, read_notes
from tests.bench_samples import sample_bench
from tests.report_samples import make_run, sample_evidence
from tests.samples import DIGITS, sample_record

EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7*7 }}"
NO_RUN = MissingEvidence("there is no run")


class Page(HTMLParser):
    """Every element of a page with its attributes, its text, and the text of its scripts."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text, self._inside = "", ""
        self.scripts: list[str] = []
        self.feed(content.decode())

    def handle_starttag(self, tag: Any, attrs: Any) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: Any) -> None:
        self._inside = ""

    def handle_data(self, data: Any) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.text += data

    def named(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("run") / "made")


@pytest.fixture
def bench_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "bench"
    folder.mkdir()
    save_bench(sample_bench(), folder)
    return folder


@pytest.fixture(scope="module")
def whole(run_folder: Any) -> Report:
    """The report of a real run with everything in it."""
    sources = load_sources([run_folder])
    return compose(
        replace(sources, bench=sample_bench()), find_evidence(sources.run, run_folder), ReportOptions(author="A. B.")
    )


@pytest.fixture(scope="module")
def page(whole: Any) -> Page:
    return Page(render_html(whole))


def blocks(report: Report, kind: type) -> list[Any]:
    return [block for chapter in report.chapters for block in chapter.blocks if isinstance(block, kind)]


def chapter(report: Report, ident: str) -> Any:
    return next(found for found in report.chapters if found.ident == ident)


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a wrong command answers with."""
    code = invoke(["report", *arguments])
    captured = capsys.readouterr()
    assert (code, captured.out) == (2, "")
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1, captured.err
    return captured.err.removeprefix("error: ").rstrip("\n")


# --- the file


def test_the_file_is_whole_and_small(whole: Report, page: Page) -> None:
    assert len(render_html(whole)) < 5_000_000
    for tag, attributes in page.elements:
        for name in ("src", "srcset", "action", "poster", "data"):
            assert name not in attributes, (tag, attributes)
        target = attributes.get("href", "#")
        assert target.startswith("#") or (tag, target) == ("link", "data:,")
    style = render_html(whole).decode().partition("<style>")[2].partition("</style>")[0]
    assert "@import" not in style
    assert set(re.findall(r"url\((.{22})", style)) == {"data:image/png;base64,"}


def test_the_policy_forbids_everything_but_the_own_script(whole: Report, page: Page) -> None:
    policy = next(meta["content"] for meta in page.named("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy.partition("script-src")[2]


def test_every_reference_inside_the_page_leads_somewhere(page: Page) -> None:
    known = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(known) == len(set(known)), sorted(name for name in known if known.count(name) > 1)
    for _, attributes in page.elements:
        for name in ("aria-labelledby", "aria-controls", "aria-describedby"):
            assert set(attributes.get(name, "").split()) <= set(known)
        if attributes.get("href", "").startswith("#") and "xlink:href" not in attributes:
            assert attributes["href"][1:] in known


def test_every_table_has_a_caption_and_scopes(page: Page) -> None:
    tables = [attributes for attributes in page.named("table") if "sortable" in attributes.get("class", "")]
    assert len(tables) > 5
    assert len(page.named("caption")) == len(tables) + 1  # and the confusion matrix
    assert all("scope" in attributes for attributes in page.named("th"))


def test_chapters_stand_in_the_order_of_the_question(whole: Report) -> None:
    expected = [
        "question",
        "data",
        "method",
        "training",
        "answers",
        "neurons",
        "speed",
        "judgement",
        "environment",
        "remake",
    ]
    assert [found.ident for found in whole.chapters] == expected


def test_all_text_of_the_tree_is_on_the_page(whole: Report, page: Page) -> None:
    seen = " ".join(page.text.split())
    for block in blocks(whole, Text):
        assert " ".join(block.text.split()) in seen
    for block in blocks(whole, Points):
        assert all(" ".join(item.split()) in seen for item in block.items)
    for block in blocks(whole, Table):
        assert all(cell.text in seen for row in block.rows for cell in row)


# --- content


def test_the_matrix_shows_the_images_of_its_cells(run_folder: Path) -> None:
    sources = load_sources([run_folder])
    found = find_evidence(sources.run, run_folder)
    assert isinstance(found, RecomputedAnswers)
    report = compose(sources, found, ReportOptions())
    (matrix,) = blocks(report, Matrix)
    counts = np.array(sources.run.metrics.confusion_matrix)
    sheet = report.pictures.sheets["digits"]
    shown = 0
    for predicted, row in enumerate(matrix.cells):
        for actual, cell in enumerate(row):
            assert cell.count == counts[predicted, actual]
            of_cell = found.images[(found.predictions == predicted) & (found.labels == actual)]
            for tile in cell.tiles:
                assert (of_cell == sheet[tile.image.place].reshape(784)).all(axis=1).any()
                shown += predicted != actual
    assert shown > 0


def test_the_atlas_shows_the_weights_of_its_neurons(run_folder: Path) -> None:
    from accelmnist.analysis.neurons.images import weight_images

    sources = load_sources([run_folder])
    found = find_evidence(sources.run, run_folder)
    report = compose(sources, found, ReportOptions())
    (atlas,) = blocks(report, Atlas)
    assert len(atlas.cards) == 16
    pictures = weight_images(found.weights)
    for card in atlas.cards:
        place = int(card.name.removeprefix("neuron "))
        assert (report.pictures.sheets["weights"][card.grey.place] == pictures[place]).all()
        told = next(neuron for neuron in found.neurons.neurons if neuron.index == place)
        assert [bar.share for bar in card.bars] == list(told.activation.share_on)
        assert told.sentence[1:] in card.sentence


def test_pixels_that_are_never_inked_are_blank(run_folder: Path) -> None:
    from accelmnist.data.mnist import load_dataset

    found = find_evidence(load_record(run_folder), run_folder)
    never = ~load_dataset("synthetic").train.images.any(axis=0)
    assert (found.weights[:, never] == 0).all()
    assert found.moved == 0


def test_order_of_the_records_is_none_of_the_content(run_folder: Path, bench_folder: Path) -> None:
    one, other = load_sources([run_folder, bench_folder]), load_sources([bench_folder / "bench.json", run_folder])
    assert one.run == other.run
    assert one.bench == other.bench
    assert one.folder == other.folder == run_folder


def test_a_benchmark_alone(bench_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["report", str(bench_folder)]) == 0
    assert capsys.readouterr().out == f"{bench_folder / 'report.html'}\n"
    page = Page((bench_folder / "report.html").read_bytes())
    assert "What holds it back" in page.text
    assert page.named("aside") == []
    assert "id" not in next((a for a in page.named("table") if a.get("id") == "confusion"), {})


def test_commands_are_the_records_own(whole: Report) -> None:
    lines = chapter(whole, "remake").blocks[1].lines
    assert lines[0].split()[0] == "accelmnist"
    assert sample_bench().environment.command in lines


def test_every_source_is_named_with_its_folder_and_versions(run_folder: Path, bench_folder: Path) -> None:
    sources = load_sources([run_folder, bench_folder])
    run, bench = sources.run.environment, sources.bench.environment
    newer = replace(bench, torch="9.9", command="accelmnist bench --quick")
    sources = replace(sources, bench=replace(sources.bench, environment=newer))
    text, code = chapter(compose(sources, NO_RUN, ReportOptions(command="accelmnist report")), "remake").blocks
    assert f"The records: the run in {run_folder}, the benchmark in {bench_folder}." in text.text
    assert f"with accelmnist {run.accelmnist} and torch {run.torch}, or accelmnist" in text.text
    assert f"accelmnist {newer.accelmnist} and torch 9.9" in text.text
    assert code.lines == (run.command, newer.command, "accelmnist report")


def test_a_report_is_the_same_every_time(run_folder: Path) -> None:
    sources = load_sources([run_folder])
    made = [render_html(compose(sources, find_evidence(sources.run, run_folder), ReportOptions())) for _ in range(2)]
    assert made[0] == made[1]


# --- what is missing or strange


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "diverged", "message": "the loss is not finite", "metrics": None, "verdict": None, "mistakes": ()},
        {"status": "interrupted", "message": "stopped after epoch 3", "verdict": None},
        {"status": "running", "metrics": None},
        {"environment": None, "data": None, "verdict": None, "reference": None, "choices": (), "parameters": None},
        {"epochs": ()},
    ],
    ids=lambda changes: str(next(iter(changes.values()))),
)
def test_a_run_with_holes_is_reported(changes: dict[str, Any]) -> None:
    sources = Sources(folder=Path(), run=replace(sample_record(), **changes))
    report = compose(sources, MissingEvidence("no weights"), ReportOptions())
    assert render_html(report)
    assert any("no weights" in block.text for block in blocks(report, Missing))


def test_figures_that_are_not_numbers() -> None:
    record = sample_record()
    epochs = tuple(replace(epoch, train_loss=float("nan"), accuracy=None) for epoch in record.epochs)
    report = compose(
        Sources(folder=Path(), run=replace(record, epochs=epochs)), MissingEvidence("no weights"), ReportOptions()
    )
    page = Page(render_html(report))
    assert not {attributes.get("data-value") for attributes in page.named("td")} & {"nan", "inf", "NaN"}


def test_classes_that_nobody_predicts_or_has() -> None:
    counts = np.zeros((10, 10), dtype=np.int64)
    counts[0, :9] = 50
    record = replace(sample_record(), metrics=compute_metrics(counts), reference=None)
    assert render_html(compose(Sources(folder=Path(), run=record), MissingEvidence("no weights"), ReportOptions()))


def test_a_network_without_mistakes() -> None:
    record = replace(sample_record(), metrics=compute_metrics(np.diag([50] * 10)), mistakes=())
    report = compose(Sources(folder=Path(), run=record), sample_evidence(wrong=0.0), ReportOptions())
    assert "No test image is classified wrongly." in report.summary


def test_without_weights_the_rest_is_there(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_record(load_record(run_folder), tmp_path)
    assert invoke(["report", str(tmp_path)]) == 0
    page = Page((tmp_path / "report.html").read_bytes())
    assert "holds no model.safetensors" in page.text
    assert "Recall and precision of every class" in page.text


def test_other_weights_and_other_data_are_named(run_folder: Path, mnist: Dataset) -> None:
    record = load_record(run_folder)
    other = replace(record, config=replace(record.config, model=replace(record.config.model, hidden=(32,))))
    assert find_evidence(other, run_folder) == MissingEvidence("the saved weights are of 784-16-10, not of 784-32-10")
    counts = np.array(record.metrics.confusion_matrix).T.copy()
    counts[0] += counts[1]
    counts[1] = 0
    swapped = replace(record, metrics=compute_metrics(counts))
    found = find_evidence(swapped, run_folder)
    assert isinstance(found, MissingEvidence)
    assert "the data is not the run's" in found.reason


def test_a_folder_of_data_that_is_not_the_runs_is_a_mistake(
    run_folder: Path, bench_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fails(capsys, str(run_folder), "--data", str(tmp_path)) == (
        f"synthetic data is not read from {tmp_path}. Leave out one of the two"
    )
    assert not (run_folder / "report.html").exists()
    assert fails(capsys, str(bench_folder), "--data", str(tmp_path)) == (
        "--data has no effect without a run. Leave it out, or give the folder of a run"
    )


def test_images_that_moved_to_another_cell_are_told() -> None:
    record = sample_record()
    report = compose(Sources(folder=Path(), run=record), replace(sample_evidence(), moved=3), ReportOptions())
    assert any("3 of them fall into another cell" in block.text for block in blocks(report, Text))


MISTAKES = {
    "": "report needs a record. Give the folder of a run, such as `accelmnist report results/NAME`",
    "{empty}": "{empty} holds none of sweep.json, run.json, bench.json. {remedy}",
    "{empty}/no": "cannot read {empty}/no: no such file or directory. Give the folder of a run, a benchmark or a sweep",
    "{neurons}": "{neurons} is a record of kind 'neurons', which makes no report. {remedy}",
    "{run} {copy}": "{run}/run.json and {copy}/run.json are both of kind 'run'. Give one of each kind to a report",
    "{run} --notes {latin}": "--notes {latin}: is not UTF-8 (byte 4). Save it as UTF-8 and try again",
    "{run} --notes {empty}/no": "--notes {empty}/no: cannot be read (no such file or directory). Give a Markdown file",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_mistakes_are_one_line(line: str, run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy, empty = tmp_path / "copy", tmp_path / "empty"
    for folder in (copy, empty):
        folder.mkdir()
    save_record(load_record(run_folder), copy)
    latin, neurons = tmp_path / "latin.md", tmp_path / "neurons.json"
    latin.write_bytes(b"caf\xc3\xa9"[:3] + b"f\xe9")
    neurons.write_text('{"schema_version": 1, "kind": "neurons"}')
    names = {"run": run_folder, "copy": copy, "empty": empty, "latin": latin, "neurons": neurons}
    names["remedy"] = "Give folders of `accelmnist run`, `bench` or `sweep`, or their records"
    assert fails(capsys, *line.format(**names).split()) == MISTAKES[line].format(**names)


def test_a_newer_schema_and_a_run_without_anything(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = json.loads((run_folder / "run.json").read_bytes())
    (tmp_path / "run.json").write_text(json.dumps(document | {"schema_version": 99}))
    assert "schema version 99, newer than the 1 known here. Upgrade accelmnist" in fails(capsys, str(tmp_path))
    save_record(replace(load_record(run_folder), epochs=(), metrics=None), tmp_path)
    assert "there is nothing to report" in fails(capsys, str(tmp_path))


def test_names_of_the_files(run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = tmp_path / "new" / "mine.html"
    assert invoke(["report", str(run_folder), "--out", str(asked), "--title", "Mine", "--author", "Me"]) == 0
    page = Page(asked.read_bytes())
    assert page.text.count("Mine") >= 2
    assert "Me, " in page.text
    assert not (run_folder / "report.html").exists()
    capsys.readouterr()
    (tmp_path / "folder.html").mkdir()
    assert "is a folder" in fails(capsys, str(run_folder), "--out", str(tmp_path / "folder.html"))


@pytest.mark.parametrize("damaged", [True, False])
def test_weights_that_cannot_be_read_are_told_in_one_line(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], damaged: bool
) -> None:
    """The report is made all the same, in a folder with parents that are not there yet."""
    copy = tmp_path / "copy"
    shutil.copytree(run_folder, copy)
    if damaged:
        (copy / "model.safetensors").write_bytes(b"nothing of the kind")
    out = tmp_path / "not" / "there"
    assert invoke(["report", str(copy), "--out", str(out)]) == 0
    told = capsys.readouterr()
    assert told.out == f"{out / 'report.html'}\n"
    assert told.err.count("\n") == (1 if damaged else 0)
    if damaged:
        assert told.err.startswith("warning: the report lacks the network's own answers: ")
        assert "model.safetensors" in told.err


# --- nothing becomes markup


@pytest.mark.slow
def test_words_of_others_stay_words() -> None:
    names = (EVIL, *DIGITS[1:])
    record = sample_record()
    record = replace(
        record,
        message=EVIL,
        data=replace(record.data, class_names=names, source=EVIL, dataset=EVIL),
        environment=replace(record.environment, command=EVIL, processor=EVIL, variables={EVIL: EVIL}),
        choices=(replace(record.choices[0], reason=EVIL),),
        verdict=replace(record.verdict, reference=EVIL),
    )
    bench = replace(sample_bench(), notes=(EVIL,), message=EVIL)
    sources = Sources(folder=Path(), run=record, bench=bench)
    wishes = ReportOptions(title=EVIL, author=EVIL, notes=parse_notes(EVIL), command=EVIL)
    for found in (sample_evidence(), MissingEvidence(EVIL)):
        page = Page(render_html(compose(sources, found, wishes)))
        assert len(page.named("script")) == 2
        assert page.named("img") == []
        assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
        assert "49" not in page.named("title")
        assert page.text.count("{{ 7*7 }}") > 5
        assert msgspec.json.decode(page.scripts[0])["columns"] == 32


NOTES = """# Title

Some *text* with <b>tags</b>, <script>alert(1)</script> and [a link](https://example.org), [no](javascript:alert(1)).

![picture](https://example.org/x.png)

| a | b |
| - | - |
| 1 | `2` |
"""


def test_notes_are_markdown_without_html_scripts_and_pictures() -> None:
    page = Page(parse_notes(NOTES).html.encode())
    assert {tag for tag, _ in page.elements} == {
        "h3",
        "p",
        "em",
        "a",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "code",
    }
    assert [attributes["href"] for attributes in page.named("a")] == [
        "https://example.org",
        "https://example.org/x.png",
    ]
    assert "<b>tags</b>" in page.text
    assert "javascript:alert(1)" in page.text


def test_notes_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "notes.md"
    file.write_bytes(b"\xef\xbb\xbf# Hello")
    assert read_notes(file).html == "<h3>Hello</h3>\n"
    assert read_notes(file).tree[0]["level"] == 3


# --- sentences


def test_an_order_of_the_digits_is_claimed_only_where_intervals_are_apart() -> None:
    counts = np.diag([990] * 10)
    counts[3, 5], counts[5, 5] = 300, 690
    metrics = compute_metrics(counts)
    (first, *_) = class_sentences(metrics, ClassWords(DIGITS))
    assert "fives (69.7 %, 95 % interval 66.8 to 72.5 %) worst. The intervals are apart" in first
    counts[3, 5], counts[5, 5] = 3, 987
    (first, *_) = class_sentences(compute_metrics(counts), ClassWords(DIGITS))
    assert "The intervals overlap" in first


def test_the_most_mixed_pair_counts_both_directions() -> None:
    counts = np.diag([900] * 10)
    counts[4, 9], counts[9, 4], counts[2, 7] = 8, 7, 12
    said = confusion_sentences(compute_metrics(counts), ClassWords(DIGITS))
    assert said[0] == "4 and 9 are mixed up most: 15 of 27 mistakes (7 fours taken for 9, 8 nines for 4)."
    assert said[1] == (
        "The mistakes between 7 and 2 go mostly one way: 12 sevens taken for 2, none the other way round."
    )


def test_few_mistakes_are_hedged() -> None:
    counts = np.diag([900] * 10)
    counts[4, 9] = 3
    said = confusion_sentences(compute_metrics(counts), ClassWords(DIGITS))
    assert said == (
        "4 and 9 are mixed up most: 3 of 3 mistakes (no fours taken for 9, 3 nines for 4). With so few, another "
        "training could well put another pair first.",
    )


def test_a_reason_is_given_only_where_the_images_have_one() -> None:
    from accelmnist.analysis.evidence import Likeness, Trait
    from accelmnist.core.metrics import ConfusedPair

    none = Trait(hits=0, confused=8, class_hits=5, images=100)
    sure = Trait(hits=7, confused=8, class_hits=10, images=100)
    pair = ConfusedPair(predicted=4, actual=9, count=8)
    known = {"pair": pair, "rank": 1, "pairs": 45, "correlation": 0.9, "closed": none}
    said = likeness_sentence(Likeness(nearer=sure, opened=sure, **known), ClassWords(DIGITS))
    assert "their pixels already look like 4" in said
    assert "7 of the 8 do not close a loop, as 10 % of all nines do" in said
    weak = likeness_sentence(Likeness(nearer=none, opened=none, **known), ClassWords(DIGITS))
    assert "loop" not in weak
    assert weak.endswith("With so few images no reason is certain.")


def test_classes_that_are_words() -> None:
    words = ClassWords(("Shirt", "Ankle boot"))
    assert (words.many(0), words.one(0), words.one(1)) == ("images of Shirt", "a Shirt", "an Ankle boot")
    assert (ClassWords(DIGITS).many(9), ClassWords(DIGITS).one(8)) == ("nines", "an 8")
    assert [ClassWords(DIGITS).counted(number, 9) for number in range(3)] == ["no nines", "a 9", "2 nines"]
