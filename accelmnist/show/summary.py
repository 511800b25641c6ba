"""What came of a run, as one page: the verdict, the key figures, the checks, the reference and the scores."""

from __future__ import annotations

from pathlib import Path

from accelmnist.core.config import RECIPES, changes
from accelmnist.core.metrics import Metrics
from accelmnist.core.records import Check, RunRecord, Timing
from accelmnist.show.document import Block, Document, Facts, Headline, Section, Text, Tone
from accelmnist.show.files import files_section
from accelmnist.show.run_tables import (
    checks_table,
    class_names_of,
    classes_table,
    confusion_matrix,
    figure,
    pairs_table,
    reference_table,
)
from accelmnist.show.trials import mean_text, trials_blocks
from accelmnist.show.units import count, fraction, percent, plural, rate, seconds, size

_MOST_PAIRS = 5


def run_page(record: RunRecord, folder: Path | None = None) -> Document:
    """The whole page; a part whose figures the record lacks is left out. `folder` is where the files lie."""
    key_figures = Facts(rows=_learned(record), beside=_taken(record))
    sections = [Section(title="Result", blocks=(_headline(record), key_figures))]
    if record.trials is not None:
        sections.append(Section(title="All seeds", blocks=trials_blocks(record.trials)))
    if record.verdict is not None:
        sections.append(Section(title="Checks", blocks=(checks_table(record.verdict),)))
    if record.metrics is not None:
        sections += _score_sections(record, record.metrics)
    if folder is not None:
        sections.append(files_section(folder, record.files))
    return Document(tuple(sections))


def _score_sections(record: RunRecord, metrics: Metrics) -> list[Section]:
    names, reference = class_names_of(record), record.reference
    blocks: list[tuple[str, tuple[Block, ...]]] = []
    if reference is not None:
        blocks.append(("Beside the reference", (reference_table(record, metrics, reference),)))
    notes = (Text(text=f"Note: {note}", tone="unsure") for note in metrics.notes)
    scores = classes_table(metrics, names, reference.metrics if reference else None)
    blocks += [("Scores by class", (scores, *notes)), ("Confusion matrix", (confusion_matrix(metrics, names),))]
    if most := metrics.confused_pairs[:_MOST_PAIRS]:
        blocks.append(("Most confused", (pairs_table(most, metrics, names),)))
    return [Section(title=title, blocks=own) for title, own in blocks]


def _headline(record: RunRecord) -> Headline:
    """The verdict in one line, and each failed check in one more."""
    word, tone = outcome(record)
    lines: list[tuple[str, Tone]] = [(record.message, "bad")] if record.message else []
    lines += [(line, "") for line in _time_to_accuracy(record)]
    lines += [(_failure(check), "bad") for check in (record.verdict.failures if record.verdict is not None else ())]
    return Headline(word=word, tone=tone, text=f"{record.config.model} on {_way(record)}", lines=tuple(lines))


def _time_to_accuracy(record: RunRecord) -> tuple[str, ...]:
    """What came of a recipe: the accuracy that its name promises of the mean over seeds, and the time that it took."""
    recipe = RECIPES.get(record.config.recipe or "")
    if recipe is None or record.metrics is None:
        return ()
    changed = any(changes(record.config, recipe))
    reached = record.metrics.accuracy >= recipe.accuracy
    outcome = "reached" if reached else "missed"
    accuracy = f"{percent(recipe.accuracy, digits=1)} {outcome}, with {percent(record.metrics.accuracy)}"
    promise = "" if reached or changed else "; the mean over seeds reaches it"
    return f"{recipe.name}{', changed' if changed else ''}: {accuracy}{promise}", _took(record.timing)


def _took(timing: Timing) -> str:
    """Training and evaluation alone, and everything from the start of the process on if that is known."""
    alone = f"{seconds(timing.train_s + (timing.evaluate_s or 0.0))} for training and evaluation alone"
    return alone if timing.to_accuracy_s is None else f"{seconds(timing.to_accuracy_s)} from the start, {alone}"


def outcome(record: RunRecord) -> tuple[str, Tone]:
    """What became of a run, in a word, with its tone."""
    if record.status != "done":
        return record.status.upper(), "unsure" if record.status in ("running", "interrupted") else "bad"
    if record.verdict is None:
        return "DONE, not verified", "unsure"
    return ("PASS", "good") if record.verdict.passed else ("FAIL", "bad")


def _way(record: RunRecord) -> str:
    """Device, engine and precision as they were chosen."""
    chosen = {choice.what: choice.value for choice in record.choices}
    execution = record.config.execution
    device = chosen.get("device", execution.device)
    return f"{device}, engine {chosen.get('engine', execution.engine)}, {chosen.get('precision', execution.precision)}"


def _failure(check: Check) -> str:
    if check.value is None:
        return f"failed: {check.name} ({check.detail})"
    limit = "" if check.limit is None else f", limit {figure(check.limit)}"
    return f"failed: {check.name} is {figure(check.value)}{limit}"


def _learned(record: RunRecord) -> tuple[tuple[str, str], ...]:
    metrics = record.metrics
    right = None if metrics is None else metrics.right
    return (
        ("test accuracy", percent(metrics.accuracy if metrics else None)),
        ("macro F1", fraction(metrics.macro_f1 if metrics else None)),
        ("test loss", fraction(metrics.loss if metrics else None)),
        ("wrong test images", count(metrics.images - right if metrics and right is not None else None)),
        ("parameters", count(record.parameters)),
    )


def _taken(record: RunRecord) -> tuple[tuple[str, str], ...]:
    timing = record.timing
    return (
        (f"training, {plural(len(record.epochs), 'epoch')}", seconds(timing.train_s)),
        ("compile", seconds(timing.compile_s)),
        ("speed", rate(timing.images_per_s)),
        ("evaluation", seconds(timing.evaluate_s)),
        ("peak memory", size(record.peak_memory_bytes)),
    )


def format_line(record: RunRecord) -> str:
    """The verdict first, then accuracy, time and speed; without a verdict, what became of the run."""
    if record.verdict is None or record.metrics is None:
        return f"{record.status}: {record.message}" if record.message else record.status
    word = "PASS" if record.verdict.passed else "FAIL"
    figures = f"{percent(record.metrics.accuracy)} on the test set, trained in {seconds(record.timing.train_s)}"
    failed = "".join(f"; failed: {check.name}" for check in record.verdict.failures)
    seeds = "" if record.trials is None else f"; {mean_text(record.trials)}"
    return f"{word} {figures} ({rate(record.timing.images_per_s)}){seeds}{failed}"
