"""What came of a soak: the verdict, a row a device, what differed and where, and what the machine said meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from accelmnist.core.files import RECORDS
from accelmnist.core.text import brief
from accelmnist.measure.soak.judgement import slow_devices
from accelmnist.measure.soak.record import Beside, Counter, Fault, RoundKind, SoakDevice, SoakRecord
from accelmnist.show import document as doc
from accelmnist.show.units import UNKNOWN, count, percent, plural, rate, seconds, significant, spread

_MOST_FAULTS = 8


def soak_page(record: SoakRecord, folder: Path | None = None) -> doc.Document:
    """The whole page; a part that the record has nothing for is left out. `folder` is where the files lie."""
    faults = tuple(_fault_remark(device, fault) for device in record.devices for fault in device.faults)
    counters = tuple(_counter_rows(record))
    sections = doc.sections_of(
        ("Result", (_headline(record),)),
        ("Devices", (_devices_table(record), *_reasons(record))),
        ("What differed", (doc.Remarks(items=faults[:_MOST_FAULTS], tone="bad"),) if faults else ()),
        ("Meanwhile", (_counters_table(counters),) if counters else ()),
    )
    if folder is not None:
        sections.append(doc.files_section(folder, record.files or (RECORDS["soak"],)))
    return doc.Document(tuple(sections))


def soak_line(record: SoakRecord) -> str:
    """The verdict in a line, with every check that failed and every note."""
    word, _, text = _outcome(record)
    failures = () if record.verdict is None else record.verdict.failures
    failed = "".join(f"; failed: {check.name}" for check in failures)
    notes = "".join(f"; {note}" for note in record.notes)
    return f"{word} {text}{failed}{notes}"


def _outcome(record: SoakRecord) -> tuple[str, doc.Tone, str]:
    """PASS or FAIL, and how much was done; a soak that ended early is no PASS."""
    replays = sum(device.replays for device in record.devices)
    text = f"{plural(len(record.devices), 'device')}, {plural(replays, 'replay')} in {seconds(record.elapsed_s)}"
    failed = record.verdict is not None and not record.verdict.passed
    if record.status != "done" and not failed:
        return record.status.upper(), "unsure", text
    return ("FAIL", "bad", text) if failed else ("PASS", "good", text)


def _headline(record: SoakRecord) -> doc.Headline:
    word, tone, text = _outcome(record)
    lines: list[tuple[str, doc.Tone]] = [] if record.message is None else [(record.message, "unsure")]
    lines += [(line, "") for line in _findings(record)]
    if record.verdict is not None:
        lines += [(f"failed: {check.name}: {check.detail}", "bad") for check in record.verdict.failures]
        lines += [(f"doubt: {check.name}: {check.detail}", "unsure") for check in record.verdict.doubts]
    lines += [(f"note: {note}", "unsure") for note in record.notes]
    return doc.Headline(word=word, tone=tone, text=text, lines=tuple(lines))


def _findings(record: SoakRecord) -> Iterator[str]:
    """What is right, in as few lines as can be."""
    devices = record.devices
    right = [device for device in devices if device.proof is not None and device.proof.passed]
    same = [device for device in devices if device.deterministic and not device.wrong]
    if right:
        yield f"computes right: {_of(len(right), len(devices))}"
    if same:
        yield f"every replay the same to the bit: {_of(len(same), len(devices))}"
    for device in devices:
        if device.deterministic is False:
            yield f"{device.name} adds in no fixed order, so its replays differ in roundings: its losses are compared"
    enough = [
        device for device in devices if any(beside.over_others.verdict != "ambiguous" for beside in device.beside)
    ]
    if enough and not slow_devices(record):
        yield f"none is slow next to the others, beyond {percent(record.config.tolerance, digits=0)}"


def _of(some: int, all_: int) -> str:
    return (
        ("all " if some > 1 else "") + plural(some, "device") if some == all_ else f"{some} of {plural(all_, 'device')}"
    )


def _devices_table(record: SoakRecord) -> doc.Table:
    columns = [
        doc.Column("device", role="name"),
        doc.Column("engine", role="name", spare=2),
        doc.Column("threads", True, spare=3),
        doc.Column("replays", True),
        doc.Column("differ", True),
        doc.Column("images/s", True),
        doc.Column("over\nothers", True),
        doc.Column("alone", True, spare=1),
        doc.Column("right", role="mark"),
        doc.Column("same", role="mark"),
    ]
    rows = tuple(tuple(_row(device)) for device in record.devices)
    return doc.Table(
        ident="devices",
        caption="The devices.",
        columns=tuple(columns),
        rows=rows,
        fit="drop",
        legend=(
            ("over\nothers", "'Over others' is the speed over that of the others of its kind in the same rounds."),
            ("alone", "'Alone' is the same of replays that each did alone."),
        ),
    )


def _row(device: SoakDevice) -> Iterator[doc.Cell]:
    speed = device.images_per_s
    figure = UNKNOWN if speed is None else f"{rate(speed.median).removesuffix(' images/s')}"
    if speed is not None and len(speed.samples) > 5:
        figure += f" {spread(max(speed.high - speed.median, speed.median - speed.low) / speed.median)}"
    yield doc.Cell(device.name, tone="strong")
    yield doc.Cell(brief(device.engine or UNKNOWN).rpartition("/")[2])
    yield doc.Cell(count(device.threads))
    yield doc.Cell(count(device.replays))
    yield doc.Cell(count(device.wrong), tone="bad" if device.wrong else "")
    yield doc.Cell(figure)
    for kind in ("together", "alone"):
        yield _beside_cell(next((one for one in device.beside if one.kind == kind), None))
    yield _mark(None if device.proof is None else device.proof.passed)
    same = None if device.deterministic is not True and not device.wrong else not device.wrong
    yield _mark(same)


def _beside_cell(beside: Beside | None) -> doc.Cell:
    if beside is None:
        return doc.Cell(UNKNOWN)
    over = beside.over_others
    arm = max(over.high / over.ratio, over.ratio / over.low) - 1
    return doc.Cell(f"{significant(over.ratio, 3)} {spread(arm)}", tone="bad" if beside.is_slow else "")


def _mark(passed: bool | None) -> doc.Cell:
    if passed is None:
        return doc.Cell(UNKNOWN, tone="faint")
    return doc.Cell("PASS", tone="good") if passed else doc.Cell("FAIL", tone="bad")


def _reasons(record: SoakRecord) -> Iterator[doc.Block]:
    for device in record.devices:
        if device.error is not None:
            tone: doc.Tone = "unsure" if device.status == "skipped" else "bad"
            yield doc.Text(text=f"{device.name}: {device.error}", tone=tone)


def _fault_remark(device: SoakDevice, fault: Fault) -> doc.Remark:
    details = () if fault.elements is None else (_where(fault),)
    return doc.Remark(name=f"{device.name}, replay {count(fault.replay)}", text=fault_text(fault), details=details)


def fault_text(fault: Fault) -> str:
    """What differs, from where on, and in what."""
    place = f"step {fault.step} of epoch {fault.epoch}"
    since = "" if fault.after_step >= fault.step - 1 else f", after step {fault.after_step} at the earliest"
    if fault.kind == "too far":
        return f"its losses of epoch {fault.epoch} are further from the first replay's than a drift of roundings"
    if fault.kind == "never alike":
        return f"no two of three replays agree at {place}{since}"
    of = "the first replay itself was wrong" if fault.kind == "first wrong" else "it differs from the first one"
    tensor = f", {'most in' if fault.bit is None else 'in'} {fault.tensor}" if fault.tensor else ""
    return f"{of}: from {place} on{since}{tensor}"


def _where(fault: Fault) -> str:
    if not fault.index:
        return "the weights after it are the same"
    at = ", ".join(map(str, fault.index))
    right = _number(fault.expected, fault.expected_bits)
    said = f"[{at}] is {_number(fault.found, fault.found_bits)}, and should be {right}"
    if fault.bit is not None:
        return f"{said}: bit {fault.bit} is flipped, and nothing else"
    return f"{said}; {plural(fault.elements or 0, 'weight')} differ there"


def _number(value: float | None, bits: str | None) -> str:
    return f"{'no number' if value is None else f'{value:.7g}'} (0x{bits})"


def _counter_rows(record: SoakRecord) -> Iterator[tuple[doc.Cell, ...]]:
    """A row for each counter of a device; one that reads the same nowhere, for the same reason, stands once for all."""
    named: dict[tuple[str, str], list[str]] = {}
    for device in record.devices:
        for counter in device.counters:
            if counter.readings:
                yield doc.Cell(device.name, tone="strong"), doc.Cell(counter.name), doc.Cell(_reading(counter))
            else:
                named.setdefault((counter.name, counter.reason or ""), []).append(device.name)
    for (name, reason), devices in named.items():
        whose = devices[0] if len(devices) == 1 else f"{len(devices)} devices"
        yield doc.Cell(whose, tone="faint"), doc.Cell(name, tone="faint"), doc.Cell(f"not read: {reason}", tone="faint")


def _reading(counter: Counter) -> str:
    if counter.unit == "Hz":
        held = ", ".join(
            f"{reason} in {percent(share, digits=0)}" for reason, share in counter.held_by.items() if share
        )
        text = f"{_ghz(counter.mean)}, {_ghz(counter.low)} to {_ghz(counter.high)}"
        return f"{text}; held down by {held} of the readings" if held else text
    if counter.unit in ("°C", "W"):
        return f"{significant(counter.mean)} {counter.unit}, {significant(counter.low)} to {significant(counter.high)}"
    grew = max(counter.grew or 0.0, 0.0)
    return f"{seconds(grew)} more" if counter.unit == "s" else "none came" if not grew else f"{count(int(grew))} came"


def _ghz(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value / 1e9:.2f} GHz"


def _counters_table(rows: tuple[tuple[doc.Cell, ...], ...]) -> doc.Table:
    columns = (doc.Column("device", role="name"), doc.Column("counter", role="name"), doc.Column("reading"))
    return doc.Table(
        ident="counters",
        caption="What the machine counted.",
        columns=columns,
        rows=rows,
        has_head=False,
        most_on_screen=24,
    )


def beside_text(device: SoakDevice, kind: RoundKind) -> str:
    """A device's speed over the others', for the live page."""
    return _beside_cell(next((one for one in device.beside if one.kind == kind), None)).text
