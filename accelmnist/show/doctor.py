"""A diagnosis on the console: the answer first, then devices, software, machine and files, each with its reason."""

from __future__ import annotations

from dataclasses import replace

from accelmnist.analysis.doctor import DeviceFindings, Diagnosis, Finding, Machine, Versions
from accelmnist.show.document import Block, Cell, Column, Document, Facts, Headline, Section, Table, Tone
from accelmnist.show.units import UNKNOWN, count, size

_DIGEST_DIGITS = 16  # of 64: enough to compare by eye


def doctor_page(diagnosis: Diagnosis) -> Document:
    """The whole page."""
    blocks: list[tuple[str, Block]] = [
        ("Diagnosis", _answer(diagnosis)),
        ("Devices", _findings([("", finding) for finding in diagnosis.kinds])),
        *((_title(device), _findings(_of_device(device))) for device in diagnosis.devices),
        ("Versions", _versions(diagnosis.versions)),
        ("Machine", _machine(diagnosis.machine)),
        (f"Data: {diagnosis.data_source}", _data(diagnosis)),
        ("Results", _findings([("", _results(diagnosis))])),
    ]
    return Document(tuple(Section(title=title, blocks=(block,)) for title, block in blocks))


def _answer(diagnosis: Diagnosis) -> Headline:
    text = "a run on the CPU has all it needs" if diagnosis.ready else "a run would not be right"
    problems: list[tuple[str, Tone]] = [(f"problem: {problem}", "bad") for problem in diagnosis.problems]
    warnings: list[tuple[str, Tone]] = [(f"warning: {warning}", "unsure") for warning in diagnosis.warnings]
    return Headline.of_check(passed=diagnosis.ready, text=text, lines=(*problems, *warnings))


def _title(device: DeviceFindings) -> str:
    memory = "" if device.memory_bytes is None else f", {size(device.memory_bytes)}"
    return f"{device.name}: {device.hardware}{memory}"


def _of_device(device: DeviceFindings) -> list[tuple[str, Finding]]:
    """Its findings, the name of a group before the first one of it."""
    groups = (("precision", device.precisions), ("engine", device.engines), ("compiler", (device.compiler,)))
    return [("" if index else name, finding) for name, group in groups for index, finding in enumerate(group)]


def _findings(named: list[tuple[str, Finding]]) -> Table:
    """Findings one below the other, each after the name of its group if any has one; long reasons fold."""
    has_groups = any(group for group, _ in named)
    columns = (Column("of", role="name"), Column("what", role="name"), Column("works", role="name"), Column("why"))
    rows = [(Cell(group, tone="faint"), *_cells(finding)) for group, finding in named]
    first = 0 if has_groups else 1
    return Table(columns=columns[first:], rows=tuple(row[first:] for row in rows), has_head=False)


def _cells(finding: Finding) -> tuple[Cell, ...]:
    works = Cell("yes", tone="good") if finding.works else Cell("no", tone="faint")
    return Cell(finding.name, tone="strong"), works, Cell(finding.reason)


def _versions(versions: Versions) -> Facts:
    rows = (
        ("accelmnist", versions.accelmnist),
        ("Python", versions.python),
        ("torch", versions.torch),
        ("torchvision", versions.torchvision or "not installed"),
        ("numpy", versions.numpy),
        ("CUDA of torch", versions.torch_cuda or "none: built without it"),
        ("GPU driver", versions.driver or UNKNOWN),
        ("system", versions.os),
    )
    return Facts(rows=rows)


def _machine(machine: Machine) -> Facts:
    rows = (
        ("processor", machine.processor),
        ("cores", f"{count(machine.cores)} physical, {count(machine.logical_cores)} logical"),
        ("torch's threads", count(machine.threads)),
        ("memory", size(machine.memory_bytes)),
        ("instructions", machine.instructions or UNKNOWN),
    )
    return Facts(rows=rows)


def _data(diagnosis: Diagnosis) -> Table:
    columns = (Column("verdict", role="mark"), Column("file", role="name"), Column("content"))
    rows = []
    for file in diagnosis.data_files:
        digest = f"SHA-256 {file.sha256[:_DIGEST_DIGITS]}…" if file.sha256 else ""
        mark = Cell("PASS", tone="good") if file.intact else Cell("FAIL", tone="bad")
        rows.append((mark, Cell(file.name, tone="strong"), Cell("  ".join(filter(None, (digest, file.problem))))))
    return Table(columns=columns, rows=tuple(rows), has_head=False)


def _results(diagnosis: Diagnosis) -> Finding:
    results, free = diagnosis.results, diagnosis.results_free_bytes
    if not results.works or free is None:
        return results
    return replace(results, reason=f"{results.reason}, {size(free)} free")
