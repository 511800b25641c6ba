"""What came of a run, as one page: the verdict, the key figures, the checks, the reference and the scores.

Of many seeds a row each, and what they say together, stand on the page and in trials.md. A console shows the first rows
and leaves the other seeds to the record; the mean, its interval and the total are of all of them.
"""

from __future__ import annotations

from pathlib import Path

from accelmnist.core.config import RECIPES, changes
from accelmnist.core.metrics import Metrics
from accelmnist.core.records import RunRecord, SeedSpread, TrialsSummary
from accelmnist.show import document as doc
from accelmnist.show.profile import profile_section
from accelmnist.show.run_tables import (
    checks_table,
    class_names_of,
    classes_table,
    confusion_matrix,
    failure_text,
    pairs_table,
    reference_table,
)
from accelmnist.show.units import UNKNOWN, count, fraction, percent, plural, rate, seconds, size

_MOST_PAIRS = 5
_MOST_SEEDS = 12


def run_page(record: RunRecord, folder: Path | None = None) -> doc.Document:
    """The whole page; a part whose figures the record lacks is left out. `folder` is where the files lie."""
    sections = doc.sections_of(
        ("Result", (_headline(record), _key_figures(record))),
        ("All seeds", trials_blocks(record.trials) if record.trials is not None else ()),
        ("Checks", (checks_table(record.verdict, brief=True),) if record.verdict is not None else ()),
        *(_scores(record, record.metrics) if record.metrics is not None else ()),
    )
    if folder is not None:
        sections.append(doc.files_section(folder, record.files))
    if record.profile is not None:
        sections.append(profile_section(record.profile, saved=folder is not None))
    return doc.Document(tuple(sections))


def _scores(record: RunRecord, metrics: Metrics) -> list[tuple[str, tuple[doc.Block, ...]]]:
    names, reference = class_names_of(record), record.reference
    beside = () if reference is None else (reference_table(record, metrics, reference),)
    notes = (doc.Text(text=f"Note: {note}", tone="unsure") for note in metrics.notes)
    scores = classes_table(metrics, names, reference.metrics if reference else None)
    most = metrics.confused_pairs[:_MOST_PAIRS]
    return [
        ("Beside the reference", beside),
        ("Scores by class", (scores, *notes)),
        ("Confusion matrix", (confusion_matrix(metrics, names),)),
        ("Most confused", (pairs_table(most, metrics, names),) if most else ()),
    ]


def _headline(record: RunRecord) -> doc.Headline:
    """The verdict, device, engine and precision as chosen, and each failed check or doubt in a line of its own."""
    word, tone = outcome(record)
    execution, chosen = record.config.execution, {choice.what: choice.value for choice in record.choices}
    device, engine = chosen.get("device", execution.device), chosen.get("engine", execution.engine)
    way = f"{device}, engine {engine}, {chosen.get('precision', execution.precision)}"
    lines: list[tuple[str, doc.Tone]] = [(record.message, "bad")] if record.message else []
    lines += [(line, "") for line in _time_to_accuracy(record)]
    if record.data is not None and (copies := record.data.test_in_training):
        of = count(record.data.test_images)
        lines.append((f"doubt: {count(copies)} of {of} test images are training images too, known by heart", "unsure"))
    if record.verdict is not None:
        lines += [(f"failed: {failure_text(check)}", "bad") for check in record.verdict.failures]
        lines += [(f"doubt: {failure_text(check)}", "unsure") for check in record.verdict.doubts]
    return doc.Headline(word=word, tone=tone, text=f"{record.config.model} on {way}", lines=tuple(lines))


def _time_to_accuracy(record: RunRecord) -> tuple[str, ...]:
    """What came of a recipe: the accuracy that its name promises of the mean over seeds, and the time that it took.

    That is of training and evaluation alone, and from the start of the process on if it is known.
    """
    recipe, timing = RECIPES.get(record.config.recipe or ""), record.timing
    if recipe is None or record.metrics is None:
        return ()
    changed = any(changes(record.config, recipe))
    reached = record.metrics.accuracy >= recipe.accuracy
    outcome = "reached" if reached else "missed"
    accuracy = f"{percent(recipe.accuracy, digits=1)} {outcome}, with {percent(record.metrics.accuracy)}"
    promise = "" if reached or changed else "; the mean over seeds reaches it"
    took = f"{seconds(timing.train_s + (timing.evaluate_s or 0.0))} for training and evaluation alone"
    if timing.to_accuracy_s is not None:
        took = f"{seconds(timing.to_accuracy_s)} from the start, {took}"
    return f"{recipe.name}{', changed' if changed else ''}: {accuracy}{promise}", took


def outcome(record: RunRecord) -> tuple[str, doc.Tone]:
    """What became of a run, in a word, with its tone."""
    if record.verdict is not None:
        return ("PASS", "good") if record.verdict.passed else ("FAIL", "bad")
    if record.status != "done":
        return record.status.upper(), "unsure" if record.status in ("running", "interrupted") else "bad"
    return "DONE, not verified", "unsure"


def _key_figures(record: RunRecord) -> doc.Facts:
    """What was learned, and beside it what that took."""
    metrics, timing = record.metrics, record.timing
    learned = (
        ("test accuracy", percent(metrics.accuracy if metrics else None)),
        ("macro F1", fraction(metrics.macro_f1 if metrics else None)),
        ("test loss", fraction(metrics.loss if metrics else None)),
        ("wrong test images", count(metrics.images - metrics.right if metrics else None)),
        ("parameters", count(record.parameters)),
    )
    took = (
        (f"training, {plural(len(record.epochs), 'epoch')}", seconds(timing.train_s)),
        ("compile", seconds(timing.compile_s)),
        ("speed", rate(timing.images_per_s)),
        ("evaluation", seconds(timing.evaluate_s)),
        ("peak memory", size(record.peak_memory_bytes)),
    )
    return doc.Facts(rows=learned, beside=took)


def format_line(record: RunRecord) -> str:
    """The verdict first, then accuracy, time and speed; without a verdict, what became of the run."""
    if record.verdict is None or record.metrics is None:
        return f"{record.status}: {record.message}" if record.message else record.status
    word = "PASS" if record.verdict.passed else "FAIL"
    figures = f"{percent(record.metrics.accuracy)} on the test set, trained in {seconds(record.timing.train_s)}"
    failed = "".join(f"; failed: {check.name}" for check in record.verdict.failures)
    seeds = "" if record.trials is None else f"; {_mean_text(record.trials)}"
    return f"{word} {figures} ({rate(record.timing.images_per_s)}){seeds}{failed}"


# --- many seeds


def trials_blocks(summary: TrialsSummary) -> tuple[doc.Block, ...]:
    """A row a seed, mean and interval below, what ended a seed early, and what all of them took."""
    errors = (doc.Text(text=error, tone="bad") for error in _errors(summary))
    return (_seeds_table(summary), *errors, doc.Text(text=_total_text(summary), tone="faint"))


def trials_note(record: RunRecord, summary: TrialsSummary) -> doc.Document:
    """The seeds of a run for a report or an issue: on what it ran, with what, when; a row a seed, mean and interval."""
    environment, where = record.environment, ""
    if environment is not None:
        where = f" on {environment.hardware}, torch {environment.torch}, {record.created[:10]}"
    sentence = doc.Text(text=f"{record.config.model}{where}: {_total_text(summary)}.")
    errors = _errors(summary)
    points = (doc.Points(items=errors),) if errors else ()
    return doc.Document((doc.Section(title="", blocks=(sentence, _seeds_table(summary), *points)),))


def _errors(summary: TrialsSummary) -> tuple[str, ...]:
    return tuple(f"seed {trial.seed}: {trial.error}" for trial in summary.trials if trial.error)


def _seeds_table(summary: TrialsSummary) -> doc.Table:
    """A row a seed, and what they say together: the mean, its interval, the deviation."""
    rows = (
        (str(trial.seed), percent(trial.accuracy), fraction(trial.macro_f1), seconds(trial.train_s))
        for trial in summary.trials
    )
    accuracy, macro_f1 = summary.accuracy, summary.macro_f1
    means = (percent(accuracy.mean if accuracy else None), fraction(macro_f1.mean if macro_f1 else None))
    deviations = [None if spread is None else spread.deviation for spread in (accuracy, macro_f1)]
    interval = ("95 % interval", _interval(accuracy, 100, 2, " %"), _interval(macro_f1, 1, 4, ""), "")
    deviation = ("deviation", percent(deviations[0], digits=3), fraction(deviations[1], digits=5), "")
    return doc.Table(
        ident="trials",
        caption="All seeds.",
        columns=(
            doc.Column("seed"),
            doc.Column("test accuracy", True),
            doc.Column("macro F1", True),
            doc.Column("training", True),
        ),
        rows=tuple(tuple(map(doc.Cell, row)) for row in rows),
        totals=(
            tuple(doc.Cell(text, tone="strong") for text in ("mean", *means, "")),
            tuple(map(doc.Cell, interval)),
            tuple(map(doc.Cell, deviation)),
        ),
        most_on_screen=_MOST_SEEDS,
    )


def _interval(spread: SeedSpread | None, scale: float, digits: int, unit: str) -> str:
    if spread is None or spread.low is None or spread.high is None:
        return UNKNOWN
    return f"{scale * spread.low:.{digits}f} to {scale * spread.high:.{digits}f}{unit}"


def _total_text(summary: TrialsSummary) -> str:
    """How long all of them took, and how fast that was together."""
    done = len(summary.trials)
    of = "" if done == summary.planned else f" of {summary.planned}"
    together = f"{done}{of} seeds" if of else plural(done, "seed")
    return f"{together} in {seconds(summary.total_s)}, {rate(summary.images_per_s)} together; interval of the mean by t"


def _mean_text(summary: TrialsSummary) -> str:
    """The mean accuracy of the seeds, with the arm of its interval: for a line of a log."""
    spread = summary.accuracy
    if spread is None:
        return f"no result of {plural(summary.planned, 'seed')}"
    arm = "" if spread.high is None else f" ± {100 * (spread.high - spread.mean):.2f}"
    return f"{plural(len(summary.trials), 'seed')}: mean {100 * spread.mean:.2f}{arm} %"
