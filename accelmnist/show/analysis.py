"""The pages of an analysis: what a network says of pictures, what its neurons are like, what a machine can run.

A picture stands beside a bar for every class, and the answer over them. Softmax's scores are probabilities and shown in
per cent. Those of sigmoid and linear outputs are not, so they are shown as plain numbers and called scores, and their
bars are drawn against the range of the targets: 0 to 1. A diagnosis begins with its answer; all else has its reason.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from accelmnist.analysis.doctor import DeviceFindings, Diagnosis, Finding, Machine, Versions
from accelmnist.analysis.neurons.record import Neuron, NeuronsRecord
from accelmnist.analysis.prediction import ModelSummary, Prediction
from accelmnist.core.config import Output
from accelmnist.data.picture import Picture
from accelmnist.show import document as doc
from accelmnist.show.hardware import cpu_rows, gpu_rows
from accelmnist.show.units import UNKNOWN, count, fraction, percent, plural, row_names, seconds, significant, size

_MEANING: dict[Output, str] = {
    "softmax": "probabilities, which add up to 1",
    "sigmoid": "scores from 0 to 1, each class for itself: not probabilities",
    "linear": "scores, trained towards 0 and 1: not probabilities",
}
_BLOCKS = " ▁▂▃▄▅▆▇█"
_TONES: dict[str, doc.Tone] = {"clear": "good", "leaning": "unsure", "none": "faint"}
_DIGEST_DIGITS = 16  # of 64: enough to compare by eye


# --- a prediction


def model_page(model: ModelSummary) -> doc.Document:
    """Which network answers, and what its numbers mean."""
    origin = model.file
    if model.newest_in is not None:  # it was found, not named: the folder, and why it is this one
        sweep = " (a sweep's best)" if model.of_sweep else ""
        origin = f"the newest under {model.newest_in}/: {Path(model.file).parent}{sweep}"
    rows = (
        ("network", f"{model.network}, {model.output} output, trained on {model.dataset}"),
        ("from", origin),
        ("numbers", _MEANING[model.output]),
    )
    return doc.Document((doc.Section(title="Network", blocks=(doc.Facts(rows=rows),)),))


def answer_page(picture: Picture, prediction: Prediction, model: ModelSummary) -> doc.Document:
    """One picture: the answer, what was changed on the way to the network, the pixels that it saw, its ten scores."""
    are_probabilities = model.output == "softmax"
    bars = tuple(
        doc.Bar(
            label=name,
            share=min(max(score, 0.0), 1.0),
            text=percent(score) if are_probabilities else fraction(score, digits=3),
            is_own=label == prediction.predicted,
        )
        for label, (name, score) in enumerate(zip(row_names(model.class_names), prediction.scores, strict=True))
    )
    best, kind = bars[prediction.predicted], "probability" if are_probabilities else "score"
    answer = doc.Text(text=f"This is {best.label}: {kind} {best.text}", tone="strong")
    notes = (doc.Text(text=f"note: {note}", tone="faint") for note in prediction.notes)
    scores = doc.Scores(pixels=picture.pixels.tobytes(), bars=bars)
    return doc.Document((doc.Section(title=prediction.source, blocks=(answer, *notes, scores)),))


# --- the neurons


def neurons_page(record: NeuronsRecord, *, top: int, folder: Path | None) -> doc.Document:
    """The summary, and the first `top` neurons in the order of the atlas. `folder` is where the files lie."""
    shown = [record.neurons[index] for index in record.order[:top]]
    some = f"The clearest {count(len(shown))} of {count(len(record.neurons))}"
    title = some if len(shown) < len(record.neurons) else "Each of them"
    sections = [
        doc.Section(title="Neurons" if record.rows == "hidden" else "Outputs", blocks=_neurons_summary(record)),
        doc.Section(title=title, blocks=(_neurons_table(record, shown),)),
    ]
    if folder is not None and record.files:
        sections.append(doc.files_section(folder, record.files))
    return doc.Document(tuple(sections))


def _neurons_summary(record: NeuronsRecord) -> tuple[doc.Block, ...]:
    activation = "" if record.rows == "output" else f", {record.network.activation}"
    rows = [
        ("network", f"{record.network}{activation}, trained on {record.dataset}"),
        ("accuracy", f"{percent(record.accuracy)} of {plural(record.test_images, 'test image')}"),
        ("took", seconds(record.analysis_s)),
    ]
    if record.ablation_images < record.test_images:
        rows.insert(2, ("taken away", f"on {count(record.ablation_images)} of the test images"))
    sentences = tuple(f"{sentence}." for sentence in record.summary)
    return (doc.Facts(rows=tuple(rows)), *([doc.Points(items=sentences)] if sentences else []))


def _neurons_table(record: NeuronsRecord, neurons: list[Neuron]) -> doc.Table:
    """A row each: its number, a bar for each class of the share of images that turn it on, its sentence and figures."""
    columns = (
        doc.Column("#", True, role="name"),
        doc.Column("".join(map(str, range(len(record.class_names)))), role="name"),
        doc.Column("on for, by class"),
    )
    rows = tuple(
        (
            doc.Cell(str(neuron.index), tone="strong"),
            doc.Cell(_on_bars(neuron), tone=_TONES[neuron.task.certainty]),
            doc.Cell(neuron.sentence.partition(f" {neuron.index} ")[2], details=(_neuron_figures(neuron),)),
        )
        for neuron in neurons
    )
    return doc.Table(ident="neurons", caption="The neurons.", columns=columns, rows=rows)


def _on_bars(neuron: Neuron) -> str:
    return "".join(_BLOCKS[round(share * (len(_BLOCKS) - 1))] for share in neuron.activation.share_on)


def _neuron_figures(neuron: Neuron) -> str:
    selectivity, clarity = fraction(neuron.selectivity, digits=2), fraction(neuron.clarity, digits=2)
    return f"selectivity {selectivity}, clarity {clarity}, strength {significant(neuron.strength, 2)}"


# --- a diagnosis


def doctor_page(diagnosis: Diagnosis) -> doc.Document:
    """The whole page."""
    sections: list[tuple[str, tuple[doc.Block, ...]]] = [
        ("Diagnosis", (_answer(diagnosis),)),
        ("Devices", (_findings([("", finding) for finding in diagnosis.kinds]),)),
        *map(_device, diagnosis.devices),
        ("Versions", (doc.Facts(rows=_versions(diagnosis.versions)),)),
        ("Machine", (doc.Facts(rows=_machine(diagnosis.machine)),)),
        (f"Data: {diagnosis.data_source}", (_data(diagnosis),)),
        ("Results", (_findings([("", _results(diagnosis))]),)),
    ]
    return doc.Document(tuple(doc.Section(title=title, blocks=blocks) for title, blocks in sections))


def _answer(diagnosis: Diagnosis) -> doc.Headline:
    text = "a run on the CPU has all it needs" if diagnosis.ready else "a run would not be right"
    problems: list[tuple[str, doc.Tone]] = [(f"problem: {problem}", "bad") for problem in diagnosis.problems]
    warnings: list[tuple[str, doc.Tone]] = [(f"warning: {warning}", "unsure") for warning in diagnosis.warnings]
    return doc.Headline.of_check(passed=diagnosis.ready, text=text, lines=(*problems, *warnings))


def _device(device: DeviceFindings) -> tuple[str, tuple[doc.Block, ...]]:
    """Its title, its findings with each group's name before its first one, what holds it, and where it stands."""
    memory = "" if device.memory_bytes is None else f", {size(device.memory_bytes)}"
    groups = (
        ("precision", device.precisions),
        ("engine", device.engines),
        ("compiler", (device.compiler,)),
        ("kernels", device.kernels),
    )
    named = [("" if index else name, finding) for name, group in groups for index, finding in enumerate(group)]
    rows = () if device.gpu is None else gpu_rows(device.gpu)
    rows += () if device.standing is None else (("stands", device.standing.sentence),)
    held = (doc.Facts(rows=rows),) if rows else ()
    return f"{device.name}: {device.hardware}{memory}", (_findings(named), *held)


def _findings(named: list[tuple[str, Finding]]) -> doc.Table:
    """Findings one below the other, each after the name of its group if any has one; long reasons fold."""
    columns = (*(doc.Column(name, role="name") for name in ("of", "what", "works")), doc.Column("why"))
    first = 0 if any(group for group, _ in named) else 1
    rows = tuple(_cells(group, finding)[first:] for group, finding in named)
    return doc.Table(columns=columns[first:], rows=rows, has_head=False)


def _cells(group: str, finding: Finding) -> tuple[doc.Cell, ...]:
    works = doc.Cell("yes", tone="good") if finding.works else doc.Cell("no", tone="faint")
    return doc.Cell(group, tone="faint"), doc.Cell(finding.name, tone="strong"), works, doc.Cell(finding.reason)


def _versions(versions: Versions) -> tuple[tuple[str, str], ...]:
    return (
        ("accelmnist", versions.accelmnist),
        ("Python", versions.python),
        ("torch", versions.torch),
        ("torchvision", versions.torchvision or "not installed"),
        ("numpy", versions.numpy),
        ("CUDA of torch", versions.torch_cuda or "none: built without it"),
        ("GPU driver", versions.driver or UNKNOWN),
        ("system", versions.os),
    )


def _machine(machine: Machine) -> tuple[tuple[str, str], ...]:
    return (
        ("processor", machine.processor),
        ("cores", f"{count(machine.cores)} physical, {count(machine.logical_cores)} logical"),
        ("torch's threads", count(machine.threads)),
        ("memory", size(machine.memory_bytes)),
        ("instructions", machine.instructions or UNKNOWN),
        *(() if machine.cpu is None else cpu_rows(machine.cpu)),
    )


def _data(diagnosis: Diagnosis) -> doc.Table:
    columns = (doc.Column("verdict", role="mark"), doc.Column("file", role="name"), doc.Column("content"))
    rows = []
    for file in diagnosis.data_files:
        digest = f"SHA-256 {file.sha256[:_DIGEST_DIGITS]}…" if file.sha256 else ""
        mark = doc.Cell("PASS", tone="good") if file.intact else doc.Cell("FAIL", tone="bad")
        content = "  ".join(filter(None, (digest, file.problem)))
        rows.append((mark, doc.Cell(file.name, tone="strong"), doc.Cell(content)))
    return doc.Table(columns=columns, rows=tuple(rows), has_head=False)


def _results(diagnosis: Diagnosis) -> Finding:
    results, free = diagnosis.results, diagnosis.results_free_bytes
    if not results.works or free is None:
        return results
    return replace(results, reason=f"{results.reason}, {size(free)} free")
