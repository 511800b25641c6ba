"""What a report was given: at most one run, one benchmark and one sweep, in any order, and its author's notes.

A path is a folder or a record's file. If a sweep is given and no run, the run is that of the sweep's winner, which lies
in a folder of the sweep's. The description of a run's neurons lies in the run's folder and comes along by itself.

Notes are CommonMark (0.31.2) with tables and strikethrough. HTML in them is text, never markup; a picture would be
fetched from somewhere, so that its brackets stay text as well; and markdown-it lets no link run a script. Headings
begin below those of the report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

from accelmnist.analysis.neurons.record import RECORD_NAME as NEURONS_NAME
from accelmnist.analysis.neurons.record import NeuronsRecord, load_neurons
from accelmnist.core.errors import ConfigError, DataError, RecordError
from accelmnist.core.files import kind_of
from accelmnist.core.records import RECORD_NAME as RUN_NAME
from accelmnist.core.records import Environment, RunRecord, load_record
from accelmnist.core.text import printable
from accelmnist.measure.record import RECORD_NAME as BENCH_NAME
from accelmnist.measure.record import BenchRecord
from accelmnist.measure.recount import load_bench
from accelmnist.show.document import Notes
from accelmnist.sweep.record import RECORD_NAME as SWEEP_NAME
from accelmnist.sweep.record import SweepRecord
from accelmnist.sweep.recount import load_sweep

_NAMES = {"sweep": SWEEP_NAME, "run": RUN_NAME, "bench": BENCH_NAME}
_CALLED = {"sweep": "sweep", "run": "run", "bench": "benchmark"}  # in the order in which one makes them
_DEEPEST = 6  # heading of the notes
_BELOW = 2  # the report's own headings: its title and its chapters
_LARGEST = 1_000_000  # bytes of the notes
_REMEDY = "Give folders of `accelmnist run`, `bench` or `sweep`, or their records"


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What a report is about. `folder` is that of the run that was given, else of the first record given.

    `run_folder` is where the weights of the run are; `places` are the folders of all records, by what each is called.
    """

    folder: Path
    run: RunRecord | None = None
    run_folder: Path | None = None
    neurons: NeuronsRecord | None = None
    sweep: SweepRecord | None = None
    bench: BenchRecord | None = None
    places: tuple[tuple[str, Path], ...] = ()

    @property
    def environments(self) -> list[tuple[str, Environment]]:
        """What the records were made on as far as known, by what each is called, in the order in which one is made."""
        named = zip(_CALLED.values(), (self.sweep, self.run, self.bench), strict=True)
        return [(name, record.environment) for name, record in named if record and record.environment]


def load_sources(paths: Sequence[Path]) -> Sources:
    """Read and validate all records of `paths`.

    Raises ConfigError if there is no path or there are two records of a kind, and RecordError for a path without a
    usable record.
    """
    files: dict[str, Path] = {}
    for path in paths:
        for kind, file in _files_of(path).items():
            if kind in files and files[kind].resolve() != file.resolve():
                raise ConfigError(
                    f"{files[kind]} and {file} are both of kind {kind!r}", remedy="Give one of each kind to a report"
                )
            files[kind] = file
    if not files:
        raise ConfigError("a report needs a record", remedy=_REMEDY)
    folder = files.get("run", next(iter(files.values()))).parent
    sweep = load_sweep(files["sweep"]) if "sweep" in files else None
    if "run" not in files and sweep is not None and sweep.winner is not None and sweep.winner.folder is not None:
        file = files["sweep"].parent / sweep.winner.folder / RUN_NAME
        files |= {"run": file} if file.exists() else {}
    run = load_record(files["run"]) if "run" in files else None
    if run is not None and not run.epochs and run.metrics is None:
        raise RecordError(
            f"{files['run']} has no epoch and no scores: there is nothing to report", remedy="Run it again"
        )
    run_folder = files["run"].parent if "run" in files else None
    return Sources(
        folder=folder,
        run=run,
        run_folder=run_folder,
        neurons=load_neurons(run_folder) if run_folder is not None and (run_folder / NEURONS_NAME).exists() else None,
        sweep=sweep,
        bench=load_bench(files["bench"]) if "bench" in files else None,
        places=tuple((_CALLED[kind], files[kind].parent) for kind in _CALLED if kind in files),
    )


def _files_of(path: Path) -> dict[str, Path]:
    """The records at `path` by their kind."""
    if not path.is_dir():
        return {_kind_of(path): path}
    files = {kind: path / name for kind, name in _NAMES.items() if (path / name).exists()}
    if not files:
        raise RecordError(f"{path} holds none of {', '.join(_NAMES.values())}", remedy=_REMEDY)
    return files


def _kind_of(file: Path) -> str:
    kind = kind_of(file, noun="a run, a benchmark or a sweep", remedy=_REMEDY)
    if kind not in _NAMES:
        what = f"a record of kind {kind!r}, which makes no report" if kind else "no record of accelmnist"
        raise RecordError(f"{file} is {what}", remedy=_REMEDY)
    return kind


# --- notes


def read_notes(file: Path) -> Notes:
    """The notes in a Markdown file; raises DataError if it can't be read, is not UTF-8, or is too large."""
    try:
        content = file.read_bytes()
    except OSError as error:
        cause = (error.strerror or str(error)).lower()
        raise DataError(f"--notes {file}: cannot be read ({cause})", remedy="Give a Markdown file") from error
    if len(content) > _LARGEST:
        raise DataError(f"--notes {file}: is larger than 1 MB", remedy="Give the text alone")
    try:
        return parse_notes("\n".join(map(printable, content.decode("utf-8-sig").expandtabs(4).splitlines())))
    except UnicodeDecodeError as error:
        raise DataError(
            f"--notes {file}: is not UTF-8 (byte {error.start})", remedy="Save it as UTF-8 and try again"
        ) from error


def parse_notes(text: str) -> Notes:
    """Markdown as the block of a report."""
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable("image")
    tokens = parser.parse(text)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1:]) + _BELOW, _DEEPEST)}"
    html = parser.renderer.render(tokens, parser.options, {})
    return Notes(html=html, tree=tuple(_node(child) for child in SyntaxTreeNode(tokens).children))


def _node(node: SyntaxTreeNode) -> dict[str, Any]:
    """An element by its `type`, with its `text` or its `children`."""
    element: dict[str, Any] = {"type": node.type, "text": "" if node.children else node.content}
    if node.type == "link":
        element["href"] = str(node.attrs.get("href", ""))
    if node.type == "heading":
        element["level"] = int(node.tag[1:])
    element["children"] = [_node(child) for child in node.children]
    return element
