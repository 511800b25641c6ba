"""`accelmnist compare`: two records, case by case, and whether anything got slower."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from accelmnist.cli.options import PATH, Command, document_option, option, parse_share, under
from accelmnist.cli.shell import CHECK_FAILED, print_answer
from accelmnist.core.errors import ConfigError, RecordError
from accelmnist.core.files import read_json, record_file

if TYPE_CHECKING:
    from accelmnist.measure.compare.case_comparison import Rules
    from accelmnist.measure.compare.compared_record import ComparedRecord
    from accelmnist.measure.compare.comparison_report import ComparisonReport

_NOUN = "a benchmark, its bench.json, or the JSON of pytest-benchmark"
_REMEDY = f"Give the folder of {_NOUN}"


@click.command(cls=Command)
@click.argument("base", type=PATH)
@click.argument("new", type=PATH, required=False)
@under(
    "Rules",
    option(
        "--fail-on",
        metavar="SHARE",
        callback=parse_share,
        help="Exit with 1 if a case is significantly slower, and BASE at least this much faster: 5% or 0.05.",
    ),
    option(
        "--threshold",
        metavar="SHARE",
        default="2%",
        show_default=True,
        callback=parse_share,
        help="Difference below which two speeds are called the same; no higher than --fail-on.",
    ),
    option("--raw", is_flag=True, help="Compare the speeds as they are, not divided by the machine's limits."),
)
@under(
    "Result",
    document_option,
    option("--markdown", "as_markdown", is_flag=True, help="Markdown on standard output."),
)
def compare(
    base: Path,
    new: Path | None,
    fail_on: float | None,
    threshold: float,
    raw: bool,
    as_json: bool,
    as_markdown: bool,
) -> int:
    """Compare two records, case by case, and say how sure that is.

    Is NEW faster, slower or the same as BASE? Both are folders of `accelmnist bench` or their bench.json, or files that
    pytest-benchmark wrote (--benchmark-json), or folders with several of these. The speeds of a benchmark are divided
    by the machine's own limits, measured in the same rounds, so that a machine that is slower today is not taken for a
    slower program.

    The exit code is 1 if a case is wrong in NEW that was right in BASE, and with --fail-on if one got slower by more
    than that or failed. The tests are at 5 %, all cases together (Holm's correction), and hold for what was measured:
    samples, the limits beside them, and several processes if there are. With --raw nothing tells a slower machine from
    a slower program. Nor does pytest-benchmark, and one file is one process, which tells nothing of the next: the
    answer is ambiguous. Run BASE and NEW in turn, three times or more, and give the two folders of files.

    Alone, BASE is a benchmark --beside others: every side of it is held against its own program, by the rounds that
    both took part in. FOLDER:NAME is one side of it, and two of these are held against each other.
    """
    from accelmnist.measure.compare.case_comparison import Rules

    if as_json and as_markdown:
        raise ConfigError("--json contradicts --markdown", remedy="Give one of them")
    rules = Rules(threshold=threshold, fail_on=fail_on, raw=raw)
    comparison = _report(base, new, rules)
    from accelmnist.show.compare import comparison_note, comparison_page

    print_answer(comparison, comparison_page, comparison_note, as_json=as_json, as_markdown=as_markdown)
    return 0 if comparison.passed else CHECK_FAILED


def _report(base: Path, new: Path | None, rules: Rules) -> ComparisonReport:
    """Of two records, or of the sides of one."""
    (folder, side), (other, new_side) = _side_of(base), _side_of(new or base)
    if new is not None and side is None and new_side is None:
        from accelmnist.measure.compare.comparison_report import compare_records

        return compare_records(_read(base), _read(new), rules)
    if new is not None and (folder != other or None in (side, new_side)):
        raise ConfigError("BASE and NEW are not sides of one benchmark", remedy="Give two of one: FOLDER:NAME")
    from accelmnist.measure.compare.sides import compare_sides
    from accelmnist.measure.recount import load_bench

    return compare_sides(load_bench(folder), str(folder), rules, base=side, new=new_side if new is not None else None)


def _side_of(path: Path) -> tuple[Path, str | None]:
    """The record, and the side of it, that FOLDER:NAME says."""
    folder, separator, side = str(path).rpartition(":")
    return (path, None) if path.exists() or not (separator and folder) else (Path(folder), side)


def _read(path: Path) -> ComparedRecord:
    """The record at `path`, whichever tool wrote it; raises RecordError for what is neither."""
    try:
        return _compared(path)
    except OSError as error:
        cause = (error.strerror or str(error)).lower()
        raise RecordError(f"cannot read {error.filename or path}: {cause}", remedy=_REMEDY) from error


def _compared(path: Path) -> ComparedRecord:
    import json

    from accelmnist.measure.compare.compared_record import compared_bench
    from accelmnist.measure.compare.pytest_benchmark import compared_pytest_benchmark, is_pytest_benchmark, merged
    from accelmnist.measure.recount import load_bench

    file = record_file(path, "bench")
    if file != path and not file.exists() and (runs := sorted(path.glob("*.json"))):
        records = [_compared(run) for run in runs]
        if strange := [record.name for record in records if record.tool != "pytest-benchmark"]:
            raise RecordError(f"{strange[0]} is not pytest-benchmark's, as others in {path}", remedy=_REMEDY)
        return merged(records, str(path))
    # By Python's own module, since pytest-benchmark's writes NaN and Infinity.
    document = read_json(file, _NOUN, decode=lambda content: json.loads(content.decode()))
    if is_pytest_benchmark(document):
        return compared_pytest_benchmark(document, str(path))
    if not isinstance(document, dict) or "schema_version" not in document:
        raise RecordError(f"{file} is neither a benchmark's record nor pytest-benchmark's", remedy=_REMEDY)
    return compared_bench(load_bench(file), str(path))
