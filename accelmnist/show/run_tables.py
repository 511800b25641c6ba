"""The tables of a run: what it is about to do and why, its checks, the reference beside it, the scores of every class.

The plan is printed before a run starts, so that a wrong choice can still be stopped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from accelmnist.core.config import ModelConfig, TrainingConfig, steps_per_epoch
from accelmnist.core.metrics import ClassScores, ConfusedPair, Metrics, wilson_interval
from accelmnist.core.records import Check, Choice, ReferenceRun, RunRecord, Verdict
from accelmnist.show.document import Cell, Column, Document, Facts, Matrix, MatrixCell, Table, Tile, sections_of
from accelmnist.show.heat import EMPTY, cell_colours, hex_colour, ink_on
from accelmnist.show.units import UNKNOWN, class_kind, count, fraction, percent, plural, rate, row_names, seconds

_MANY_CHECKS = 12


def class_names_of(record: RunRecord) -> tuple[str, ...]:
    """The names of the classes; digits if the record doesn't say."""
    if record.data is not None:
        return record.data.class_names
    classes = 10 if record.metrics is None else len(record.metrics.per_class)
    return tuple(map(str, range(classes)))


def number(value: float | None, text: str) -> Cell:
    """A cell that is sorted by `value`; one that is not a number is sorted last."""
    return Cell(text, value if value is not None and math.isfinite(value) else None)


# --- the plan


def plan_page(record: RunRecord) -> Document:
    """Every choice with its reason, then the network, the data and the hyper-parameters."""
    choices = (choices_table(record.choices),) if record.choices else ()
    trained = (Facts(rows=plan_rows(record)),)
    return Document(tuple(sections_of(("How it will run", choices), ("What will be trained", trained))))


def choices_table(choices: tuple[Choice, ...]) -> Table:
    """What was decided before the run, and why."""
    return Table(
        ident="choices",
        caption="What was decided before the run, and why.",
        columns=(Column("what", role="name"), Column("choice"), Column("reason")),
        rows=tuple(
            (Cell(choice.what, tone="faint"), Cell(choice.value, tone="strong"), Cell(choice.reason))
            for choice in choices
        ),
        has_head=False,
    )


def plan_rows(record: RunRecord) -> tuple[tuple[str, str], ...]:
    """The network, the data and the hyper-parameters."""
    training = record.config.training
    rows = [
        ("network", _network(record.config.model, record.parameters)),
        ("data", _data(record)),
        ("epochs", _epochs(training, record)),
        ("optimizer", _optimizer(training)),
        ("learning rate", _learning_rate(training)),
    ]
    if training.label_smoothing:
        rows.append(("label smoothing", f"{training.label_smoothing:g}"))
    if training.augment != "none":
        rows.append(("augmentation", f"{training.augment}, anew in every epoch"))
    if training.averaging:
        rows.append(("averaging", f"of the weights over the epochs, {training.averaging:g} of its past kept"))
    if record.trials is None:  # many seeds are among the choices
        rows.append(("seed", str(training.seed)))
    return tuple(rows)


def _network(model: ModelConfig, parameters: int | None) -> str:
    parts = [str(model), model.activation if model.hidden else "no hidden layer", f"{model.output} output"]
    if model.dropout:
        parts.append(f"dropout {model.dropout:g}")
    known = model.parameters if parameters is None else parameters
    return ", ".join([*parts, f"{count(known)} parameters"])


def _data(record: RunRecord) -> str:
    data = record.data
    if data is None:
        return record.config.data.folder or record.config.data.dataset
    held_out = f", {count(data.validation_images)} validation" if data.validation_images else ""
    images = f"{count(data.training_images)} training{held_out} and {count(data.test_images)} test images"
    polarity = ", dark on light" if data.light else ""
    return f"{data.dataset}: {images}{polarity} ({data.source})"


def _epochs(training: TrainingConfig, record: RunRecord) -> str:
    steps = ""
    if record.data is not None:
        steps = f" of {plural(steps_per_epoch(record.data.training_images, training.batch_size), 'step')}"
    return f"{plural(training.epochs, 'epoch')}{steps} in batches of {count(training.batch_size)}"


def _optimizer(training: TrainingConfig) -> str:
    momentum = ""
    if training.optimizer == "sgd-momentum":
        momentum = f", momentum {training.momentum:g}{' (Nesterov)' if training.nesterov else ''}"
    return f"{training.optimizer}{momentum}, weight decay {training.weight_decay:g}"


def _learning_rate(training: TrainingConfig) -> str:
    if training.schedule == "constant":
        return f"{training.learning_rate:g}, constant"
    warmup = f", rising for {100 * training.warmup:g} % of the steps" if training.schedule == "one-cycle" else ""
    return f"{training.learning_rate:g} at its peak, {training.schedule}{warmup}"


# --- the checks and the reference


def figure(value: float | None) -> str:
    """A value or a limit of a check, to four digits."""
    return UNKNOWN if value is None else f"{value:.4g}"


def failure_text(check: Check) -> str:
    """A failed check with its value and limit: "accuracy is 0.9412, limit 0.97"."""
    if check.value is None:
        return f"{check.name} ({check.detail})"
    return f"{check.name} is {figure(check.value)}" + ("" if check.limit is None else f", limit {figure(check.limit)}")


def checks_table(verdict: Verdict, *, brief: bool = False) -> Table:
    """Each check with its value, its limit, what the value is, and if there is room why the limit is that.

    If it is to be `brief` and there are many, the passed checks of a group share a row; one that failed never does.
    """
    rows = map(_check_row, verdict.checks)
    return Table(
        ident="checks",
        caption="The checks, their limits, and where the limits come from.",
        columns=(
            Column("verdict", role="mark"),
            Column("check"),
            Column("value", True),
            Column("limit", True),
            Column("what it is"),
            Column("why this limit", only_large=True),
        ),
        rows=tuple(_brief_rows(verdict.checks) if brief and len(verdict.checks) > _MANY_CHECKS else rows),
        has_names=False,
        note=f"held against {verdict.reference}",
    )


def _check_row(check: Check) -> tuple[Cell, ...]:
    return (
        _mark(check),
        Cell(check.name),
        number(check.value, figure(check.value)),
        number(check.limit, figure(check.limit)),
        Cell(check.detail),
        Cell(check.reason),
    )


def _mark(check: Check) -> Cell:
    if check.passed:
        return Cell("PASS", 1.0, "good")
    return Cell("FAIL", 0.0, "bad") if check.condemns else Cell("DOUBT", 0.5, "unsure")


def _brief_rows(checks: tuple[Check, ...]) -> Iterator[tuple[Cell, ...]]:
    """The failed checks first, one by one, then a row for each group of passed ones, in the order of the checks."""
    yield from (_check_row(check) for check in checks if not check.passed)
    groups: dict[str, list[Check]] = {}
    for check in checks:
        if check.passed:
            groups.setdefault(check.group or check.name, []).append(check)
    for name, passed in groups.items():
        if len(passed) == 1:
            yield _check_row(passed[0])
            continue
        names = ", ".join(check.name.removesuffix(f", {name}") for check in passed)
        many = (Cell(name), Cell(plural(len(passed), "check")), Cell(""), Cell(names), Cell(""))
        yield (Cell("PASS", 1.0, "good"), *many)


def reference_table(record: RunRecord, metrics: Metrics, reference: ReferenceRun) -> Table:
    """The run beside the same training on the CPU in eager float32."""
    ours, theirs = record.timing.images_per_s, reference.images_per_s
    other = reference.metrics
    points = f"{100 * (metrics.accuracy - other.accuracy):+.2f} points"
    f1_difference = f"{metrics.macro_f1 - other.macro_f1:+.4f}"
    rows = (
        ("accuracy", percent(metrics.accuracy), percent(other.accuracy), points),
        ("macro F1", fraction(metrics.macro_f1), fraction(other.macro_f1), f1_difference),
        ("training time", seconds(record.timing.train_s), seconds(reference.train_s), ""),
        ("speed", rate(ours), rate(theirs), f"{ours / theirs:.2f} times" if ours and theirs else ""),
    )
    return Table(
        ident="reference",
        caption="Beside the same training on the CPU in eager float32.",
        columns=(Column("figure"), Column("this run", True), Column("reference", True), Column("difference", True)),
        rows=tuple(tuple(map(Cell, row)) for row in rows),
    )


# --- the scores


def classes_table(metrics: Metrics, class_names: tuple[str, ...], reference: Metrics | None) -> Table:
    """Precision, recall and F1 of every class and their means, beside the reference's F1 if there is one.

    The interval of a recall is Wilson's, 95 %.
    """
    other = [Column("F1 of the reference", True)] if reference is not None else []
    macro = (metrics.macro_precision, metrics.macro_recall, metrics.macro_f1)
    weighted = (metrics.weighted_precision, metrics.weighted_recall, metrics.weighted_f1)
    others = ([], []) if reference is None else ([reference.macro_f1], [reference.weighted_f1])
    return Table(
        ident="classes",
        caption="Scores by class.",
        columns=(
            Column(class_kind(class_names)),
            Column("precision", True),
            Column("recall", True),
            Column("recall, 95 %", True, only_large=True),
            Column("F1", True),
            *other,
            Column("images", True),
        ),
        rows=tuple(
            _class(name, scores, reference)
            for name, scores in zip(row_names(class_names), metrics.per_class, strict=True)
        ),
        totals=(
            tuple(Cell(text, tone="strong") for text in _mean("macro mean", macro, others[0], count(metrics.images))),
            tuple(map(Cell, _mean("weighted mean", weighted, others[1], ""))),
        ),
    )


def _class(name: str, scores: ClassScores, reference: Metrics | None) -> tuple[Cell, ...]:
    low, high = wilson_interval(round(scores.recall * scores.support), scores.support)
    other = [] if reference is None else [reference.per_class[scores.label].f1]
    return (
        Cell(name, scores.label),
        number(scores.precision, percent(scores.precision)),
        number(scores.recall, percent(scores.recall)),
        number(low, f"{100 * low:.1f} to {100 * high:.1f} %"),
        *(number(f1, fraction(f1)) for f1 in (scores.f1, *other)),
        Cell(count(scores.support), scores.support),
    )


def _mean(name: str, scores: tuple[float, float, float], other: list[float], images: str) -> tuple[str, ...]:
    precision, recall, f1 = scores
    return (name, percent(precision), percent(recall), "", *map(fraction, (f1, *other)), images)


def confusion_matrix(
    metrics: Metrics,
    class_names: tuple[str, ...],
    *,
    label_of: Callable[[int, int, int], str] = lambda _count, _predicted, _actual: "",
    tiles_of: Callable[[int, int], tuple[Tile, ...]] = lambda _predicted, _actual: (),
    gap: str = "",
) -> Matrix:
    """The counts, with precision at the end of every row and recall below every column.

    Of a cell, given by its predicted and its actual class, `label_of` says what its count means and `tiles_of` shows
    some of its images; `gap` says why there are none.
    """
    kind = class_kind(class_names)
    counts = np.array(metrics.confusion_matrix, dtype=np.int64)
    colours = cell_colours(counts)

    def cell(row: int, column: int) -> MatrixCell:
        background, number = colours[row][column], int(counts[row, column])
        return MatrixCell(
            count=number,
            background="" if background == EMPTY else hex_colour(background),
            ink="" if background == EMPTY else hex_colour(ink_on(background)),
            label=label_of(number, row, column),
            tiles=tiles_of(row, column) if number else (),
        )

    return Matrix(
        caption=f"Confusion matrix: a row for each predicted {kind}, a column for each actual one. Mistakes are "
        "coloured by their share of the column, on a logarithmic scale.",
        names=class_names,
        class_kind=kind,
        cells=tuple(tuple(cell(row, column) for column in range(len(counts))) for row in range(len(counts))),
        precision=tuple(percent(scores.precision) for scores in metrics.per_class),
        recall=tuple(percent(scores.recall, digits=1) for scores in metrics.per_class),
        accuracy=percent(metrics.accuracy),
        gap=gap,
    )


def pairs_table(pairs: tuple[ConfusedPair, ...], metrics: Metrics, class_names: tuple[str, ...]) -> Table:
    """The most confused pairs, with their shares of the actual class's images and of all mistakes."""
    names = row_names(class_names)
    return Table(
        ident="pairs",
        caption="The most frequent mistakes.",
        columns=(
            Column("actual"),
            Column("taken for"),
            Column("images", True),
            Column("share of the actual", True),
            Column("of all mistakes", True, only_large=True),
        ),
        rows=tuple(
            (
                Cell(names[pair.actual], pair.actual),
                Cell(names[pair.predicted], pair.predicted),
                Cell(count(pair.count), pair.count),
                _share(pair.count, metrics.per_class[pair.actual].support),
                _share(pair.count, metrics.images - metrics.right),
            )
            for pair in pairs
        ),
    )


def _share(part: int, whole: int) -> Cell:
    share = part / whole if whole else None
    return Cell(percent(share), share)
