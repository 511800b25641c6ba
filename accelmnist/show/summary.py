"""What came of a run: the verdict, the key figures, the checks, the reference and the scores, as one page of text."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from accelmnist.core.metrics import Metrics
from accelmnist.core.recipes import RECIPES, changes
from accelmnist.core.records import Check, ReferenceRun, RunRecord, Timing, Verdict
from accelmnist.show.confusion import format_confusion, format_pairs
from accelmnist.show.names import row_names
from accelmnist.show.theme import BAD, GOOD, LABEL, STRONG, UNSURE, mark, section, table
from accelmnist.show.trials import format_trials
from accelmnist.show.units import UNKNOWN, count, fraction, percent, plural, rate, seconds, size

_MOST_PAIRS = 5


def format_summary(record: RunRecord, folder: Path | None) -> RenderableType:
    """The whole page; a part whose figures the record lacks is left out. `folder` is where the files lie."""
    parts: list[RenderableType] = [section("Result", Group(_headline(record), Text(), _key_figures(record)))]
    if record.trials is not None:
        parts.append(section("All seeds", format_trials(record.trials)))
    if record.verdict is not None:
        parts.append(section("Checks", format_checks(record.verdict)))
    if record.metrics is not None:
        parts += _score_sections(record, record.metrics)
    if folder is not None:
        parts.append(section("Files", _files(record, folder)))
    return Group(*parts)


def print_summary(record: RunRecord, console: Console, folder: Path | None = None) -> None:
    """Print `format_summary`."""
    console.print(format_summary(record, folder))


def format_checks(verdict: Verdict) -> Table:
    """Each check with its value, its limit and what the value is; the record also has where each limit comes from."""
    made = table(("", "left"), ("check", "left"), ("value", "right"), ("limit", "right"), ("what it is", "left"))
    made.caption = Text(f"held against {verdict.reference}", style=LABEL)
    made.caption_justify = "left"
    for check in verdict.checks:
        made.add_row(mark(check.passed), check.name, _figure(check.value), _figure(check.limit), Text(check.detail))
    return made


def format_reference(record: RunRecord, metrics: Metrics, reference: ReferenceRun) -> Table:
    """The run beside the same training on the CPU in eager float32."""
    made = table(("", "left"), ("this run", "right"), ("reference", "right"), ("difference", "right"))
    other = reference.metrics
    made.add_row(
        "accuracy", percent(metrics.accuracy), percent(other.accuracy), _points(metrics.accuracy, other.accuracy)
    )
    made.add_row(
        "macro F1", fraction(metrics.macro_f1), fraction(other.macro_f1), _signed(metrics.macro_f1, other.macro_f1)
    )
    made.add_row("training time", seconds(record.timing.train_s), seconds(reference.train_s), "")
    ours, theirs = record.timing.images_per_s, reference.images_per_s
    speed = f"{ours / theirs:.2f} times" if ours and theirs else ""
    made.add_row("speed", rate(ours), rate(theirs), speed)
    return made


def format_classes(metrics: Metrics, class_names: tuple[str, ...], reference: Metrics | None) -> Table:
    """Precision, recall and F1 of every class and their means, beside the reference's F1 where there is one."""
    columns = [("class", "left"), ("precision", "right"), ("recall", "right"), ("F1", "right")]
    columns += [("F1 of the reference", "right")] if reference else []
    made = table(*columns, ("images", "right"))
    for name, scores in zip(row_names(class_names), metrics.per_class, strict=True):
        other = [fraction(reference.per_class[scores.label].f1)] if reference else []
        ours = (percent(scores.precision), percent(scores.recall), fraction(scores.f1))
        made.add_row(name, *ours, *other, count(scores.support))
    made.add_section()
    means = (percent(metrics.macro_precision), percent(metrics.macro_recall), fraction(metrics.macro_f1))
    other = [fraction(reference.macro_f1)] if reference else []
    made.add_row("macro mean", *means, *other, count(metrics.images), style=STRONG)
    weighted = (percent(metrics.weighted_precision), percent(metrics.weighted_recall), fraction(metrics.weighted_f1))
    made.add_row("weighted mean", *weighted, *([fraction(reference.weighted_f1)] if reference else []), "")
    return made


def _score_sections(record: RunRecord, metrics: Metrics) -> list[RenderableType]:
    names = record.data.class_names if record.data is not None else tuple(map(str, range(len(metrics.per_class))))
    reference = record.reference
    parts: list[RenderableType] = []
    if reference is not None:
        parts.append(section("Beside the reference", format_reference(record, metrics, reference)))
    scores: RenderableType = format_classes(metrics, names, reference.metrics if reference else None)
    notes = [Text(f"Note: {note}", style=UNSURE) for note in metrics.notes]
    parts.append(section("Scores by class", Group(scores, *notes)))
    parts.append(section("Confusion matrix", format_confusion(metrics, names)))
    if metrics.confused_pairs:
        most = metrics.confused_pairs[:_MOST_PAIRS]
        parts.append(section("Most confused", format_pairs(most, metrics, names)))
    return parts


def _headline(record: RunRecord) -> Text:
    """The verdict in one line, and each failed check in one more."""
    text = Text.assemble(_outcome(record))
    text.append(f"  {record.config.model} on {_way(record)}")
    if record.message:
        text.append(f"\n{record.message}", style=BAD)
    text.append(_time_to_accuracy(record))
    for check in record.verdict.failures if record.verdict is not None else ():
        text.append(f"\n{_failure(check)}", style=BAD)
    return text


def _time_to_accuracy(record: RunRecord) -> str:
    """What came of a recipe: the accuracy that its name promises of the mean over seeds, and the time that it took."""
    recipe = RECIPES.get(record.config.recipe or "")
    if recipe is None or record.metrics is None:
        return ""
    changed = any(changes(record.config, recipe))
    reached = record.metrics.accuracy >= recipe.accuracy
    outcome = "reached" if reached else "missed"
    said = f"{percent(recipe.accuracy, digits=1)} {outcome}, with {percent(record.metrics.accuracy)}"
    promise = "" if reached or changed else "; the mean over seeds reaches it"
    return f"\n{recipe.name}{', changed' if changed else ''}: {said}{promise}\n{_took(record.timing)}"


def _took(timing: Timing) -> str:
    """Training and evaluation alone, and everything from the start of the process on where that is known."""
    alone = f"{seconds(timing.train_s + (timing.evaluate_s or 0.0))} for training and evaluation alone"
    return alone if timing.to_accuracy_s is None else f"{seconds(timing.to_accuracy_s)} from the start, {alone}"


def _outcome(record: RunRecord) -> Text:
    if record.status != "done":
        return Text(record.status.upper(), style=UNSURE if record.status in ("running", "interrupted") else BAD)
    if record.verdict is None:
        return Text("DONE, not verified", style=UNSURE)
    return Text("PASS", style=GOOD) if record.verdict.passed else Text("FAIL", style=BAD)


def _way(record: RunRecord) -> str:
    """Device, engine and precision as they were chosen."""
    chosen = {choice.what: choice.value for choice in record.choices}
    execution = record.config.execution
    device = chosen.get("device", execution.device)
    return f"{device}, engine {chosen.get('engine', execution.engine)}, {chosen.get('precision', execution.precision)}"


def _failure(check: Check) -> str:
    if check.value is None:
        return f"failed: {check.name} ({check.detail})"
    limit = "" if check.limit is None else f", limit {_figure(check.limit)}"
    return f"failed: {check.name} is {_figure(check.value)}{limit}"


def _key_figures(record: RunRecord) -> Table:
    """What was learned at the left, what it took at the right."""
    grid = Table.grid(padding=(0, 2))
    for style in (LABEL, STRONG, LABEL, STRONG):
        grid.add_column(style=style, no_wrap=True, justify="right" if style == STRONG else "left")
    for (name, value), (other_name, other_value) in zip(_learned(record), _taken(record), strict=True):
        grid.add_row(name, value, f"   {other_name}", other_value)
    return grid


def _learned(record: RunRecord) -> list[tuple[str, str]]:
    metrics = record.metrics
    right = None if metrics is None else sum(row[label] for label, row in enumerate(metrics.confusion_matrix))
    return [
        ("test accuracy", percent(metrics.accuracy if metrics else None)),
        ("macro F1", fraction(metrics.macro_f1 if metrics else None)),
        ("test loss", fraction(metrics.loss if metrics else None)),
        ("wrong test images", count(metrics.images - right if metrics and right is not None else None)),
        ("parameters", count(record.parameters)),
    ]


def _taken(record: RunRecord) -> list[tuple[str, str]]:
    timing = record.timing
    return [
        (f"training, {plural(len(record.epochs), 'epoch')}", seconds(timing.train_s)),
        ("compile", seconds(timing.compile_s)),
        ("speed", rate(timing.images_per_s)),
        ("evaluation", seconds(timing.evaluate_s)),
        ("peak memory", size(record.peak_memory_bytes)),
    ]


def _files(record: RunRecord, folder: Path) -> Group:
    """The folder, and the files at its top by name; those in folders below only by their number."""
    top = [name for name in record.files if "/" not in name]
    below: dict[str, int] = {}
    for name in record.files:
        if "/" in name:
            below[name.partition("/")[0]] = below.get(name.partition("/")[0], 0) + 1
    listed = [*top, *(f"{name}/ ({plural(number, 'file')})" for name, number in below.items())]
    return Group(Text(str(folder), style=STRONG, overflow="fold"), Text(", ".join(listed), style=LABEL))


def _figure(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.4g}"


def _points(ours: float, theirs: float) -> str:
    return f"{100 * (ours - theirs):+.2f} points"


def _signed(ours: float, theirs: float) -> str:
    return f"{ours - theirs:+.4f}"
