"""What a run is about to do, and why: printed before it starts, so that a wrong choice can still be stopped."""

from __future__ import annotations

from accelmnist.core.config import ModelConfig, TrainingConfig, steps_per_epoch
from accelmnist.core.records import Choice, RunRecord
from accelmnist.show.document import Cell, Column, Document, Facts, Section, Table
from accelmnist.show.units import count, plural


def plan_page(record: RunRecord) -> Document:
    """Every choice with its reason, then the network, the data and the hyper-parameters."""
    trained = Section(title="What will be trained", blocks=(Facts(rows=plan_rows(record)),))
    if not record.choices:
        return Document((trained,))
    return Document((Section(title="How it will run", blocks=(choices_table(record.choices),)), trained))


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
    config = record.config
    rows = [
        ("network", _network(config.model, record.parameters)),
        ("data", _data(record)),
        ("epochs", _epochs(config.training, record)),
        ("optimizer", _optimizer(config.training)),
        ("learning rate", _learning_rate(config.training)),
    ]
    if config.training.label_smoothing:
        rows.append(("label smoothing", f"{config.training.label_smoothing:g}"))
    if config.training.augment != "none":
        rows.append(("augmentation", f"{config.training.augment}, anew in every epoch"))
    if config.training.averaging:
        rows.append(("averaging", f"of the weights over the epochs, {config.training.averaging:g} of its past kept"))
    if record.trials is None:  # many seeds are among the choices
        rows.append(("seed", str(config.training.seed)))
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
    return f"{data.dataset}: {images} ({data.source})"


def _epochs(training: TrainingConfig, record: RunRecord) -> str:
    batches = f"in batches of {count(training.batch_size)}"
    if record.data is None:
        return f"{plural(training.epochs, 'epoch')} {batches}"
    steps = steps_per_epoch(record.data.training_images, training.batch_size)
    return f"{plural(training.epochs, 'epoch')} of {plural(steps, 'step')} {batches}"


def _optimizer(training: TrainingConfig) -> str:
    parts: list[str] = [training.optimizer]
    if training.optimizer == "sgd-momentum":
        parts.append(f"momentum {training.momentum:g}{' (Nesterov)' if training.nesterov else ''}")
    return ", ".join([*parts, f"weight decay {training.weight_decay:g}"])


def _learning_rate(training: TrainingConfig) -> str:
    if training.schedule == "constant":
        return f"{training.learning_rate:g}, constant"
    warmup = f", rising for {100 * training.warmup:g} % of the steps" if training.schedule == "one-cycle" else ""
    return f"{training.learning_rate:g} at its peak, {training.schedule}{warmup}"
