"""A diagnosis on the console: the answer first, then devices, software, machine and files, each with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from accelmnist.analysis.doctor import DeviceFindings, Diagnosis, Finding, Machine, Versions
from accelmnist.show.theme import BAD, GOOD, LABEL, STRONG, UNSURE, mark, pairs, section
from accelmnist.show.units import UNKNOWN, count, size

_DIGEST_DIGITS = 16  # of 64: enough to compare by eye


def format_diagnosis(diagnosis: Diagnosis) -> RenderableType:
    """The whole page."""
    return Group(
        section("Diagnosis", _answer(diagnosis)),
        section("Devices", _plain_findings(diagnosis.kinds)),
        *(section(_title(device), _device(device)) for device in diagnosis.devices),
        section("Versions", pairs(_versions(diagnosis.versions))),
        section("Machine", pairs(_machine(diagnosis.machine))),
        section(f"Data: {diagnosis.data_source}", _data(diagnosis)),
        section("Results", _results(diagnosis)),
    )


def print_diagnosis(diagnosis: Diagnosis, console: Console) -> None:
    """Print `format_diagnosis`."""
    console.print(format_diagnosis(diagnosis))


def _answer(diagnosis: Diagnosis) -> Text:
    text = mark(diagnosis.ready)
    text.append(
        "  a run on the CPU has all it needs" if diagnosis.ready else "  a run would not be right", style="not bold"
    )
    for problem in diagnosis.problems:
        text.append(f"\nproblem: {problem}", style=BAD)
    for warning in diagnosis.warnings:
        text.append(f"\nwarning: {warning}", style=UNSURE)
    return text


def _title(device: DeviceFindings) -> str:
    memory = "" if device.memory_bytes is None else f", {size(device.memory_bytes)}"
    return f"{device.name}: {device.hardware}{memory}"


def _device(device: DeviceFindings) -> Table:
    groups = [("precision", device.precisions), ("engine", device.engines), ("compiler", (device.compiler,))]
    return _findings(groups)


def _findings(groups: Sequence[tuple[str, Sequence[Finding]]]) -> Table:
    """Groups of findings one below the other, the name of a group on its first line; long reasons fold."""
    grid = _grid(LABEL, STRONG, "")
    for name, findings in groups:
        for place, finding in enumerate(findings):
            grid.add_row(name if place == 0 else "", *_cells(finding))
    return grid


def _plain_findings(findings: Sequence[Finding]) -> Table:
    grid = _grid(STRONG, "")
    for finding in findings:
        grid.add_row(*_cells(finding))
    return grid


def _grid(*styles: str) -> Table:
    """Columns in these styles that keep their width, and one more that takes the rest of the line and folds."""
    grid = Table.grid(padding=(0, 2))
    for style in styles:
        grid.add_column(style=style, no_wrap=True)
    grid.add_column(overflow="fold")
    return grid


def _cells(finding: Finding) -> tuple[Text, Text, Text]:
    return Text(finding.name), _yes_or_no(finding.works), Text(finding.reason)


def _yes_or_no(works: bool) -> Text:
    return Text("yes", style=GOOD) if works else Text("no", style=LABEL)


def _versions(versions: Versions) -> list[tuple[str, str]]:
    return [
        ("accelmnist", versions.accelmnist),
        ("Python", versions.python),
        ("torch", versions.torch),
        ("torchvision", versions.torchvision or "not installed"),
        ("numpy", versions.numpy),
        ("CUDA of torch", versions.torch_cuda or "none: built without it"),
        ("GPU driver", versions.driver or UNKNOWN),
        ("system", versions.os),
    ]


def _machine(machine: Machine) -> list[tuple[str, str]]:
    return [
        ("processor", machine.processor),
        ("cores", f"{count(machine.cores)} physical, {count(machine.logical_cores)} logical"),
        ("torch's threads", count(machine.threads)),
        ("memory", size(machine.memory_bytes)),
        ("instructions", machine.instructions or UNKNOWN),
    ]


def _data(diagnosis: Diagnosis) -> Table:
    grid = _grid("", STRONG)
    for file in diagnosis.data_files:
        digest = f"SHA-256 {file.sha256[:_DIGEST_DIGITS]}…" if file.sha256 else ""
        grid.add_row(mark(file.intact), file.name, Text("  ".join(filter(None, (digest, file.problem)))))
    return grid


def _results(diagnosis: Diagnosis) -> Table:
    finding, free = diagnosis.results, diagnosis.results_free_bytes
    if finding.works and free is not None:
        finding = replace(finding, reason=f"{finding.reason}, {size(free)} free")
    return _plain_findings([finding])
