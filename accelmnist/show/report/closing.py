"""The last chapters: whether the result is right, on what it was made, and the commands that remake it all."""

from __future__ import annotations

from accelmnist.core.records import Environment, RunRecord, Verdict
from accelmnist.show.document import Block, Code, Facts, Missing, Points, Section, Text
from accelmnist.show.plan import choices_table
from accelmnist.show.report.sources import Sources
from accelmnist.show.run_tables import checks_table, reference_table
from accelmnist.show.units import UNKNOWN, count, size


def judgement_chapter(record: RunRecord) -> Section:
    """PASS or FAIL, and by which figures."""
    blocks: list[Block] = []
    verdict = record.verdict
    if verdict is None:
        blocks.append(Missing(text=f"The result was not verified: the run is {record.status}."))
    else:
        blocks += [Text(text=_lead(verdict), lead=True), *_failures(verdict), checks_table(verdict)]
    if record.reference is not None and record.metrics is not None:
        blocks.append(reference_table(record, record.metrics, record.reference))
    return Section(ident="judgement", title="Is it right?", blocks=tuple(blocks))


def _lead(verdict: Verdict) -> str:
    checks = len(verdict.checks)
    held = f"The result was held against {verdict.reference}"
    if verdict.passed:
        return f"PASS. {held}: all {checks} checks hold."
    return f"FAIL. {held}: {len(verdict.failures)} of {checks} checks do not hold."


def _failures(verdict: Verdict) -> list[Block]:
    lines = tuple(f"{check.name}: {check.detail}. {check.reason}." for check in verdict.failures)
    return [Points(title="Failed", items=lines)] if lines else []


def environment_chapter(sources: Sources) -> Section:
    """On what it was made."""
    known = [(name, environment) for name, environment in sources.environments if environment is not None]
    if not known:
        missing = Missing(text="The records do not say on what machine they were made.")
        return Section(ident="environment", title="The environment", blocks=(missing,))
    blocks: list[Block] = []
    for index, (name, environment) in enumerate(known):
        same = [other for other, before in known[:index] if _machine(before) == _machine(environment)]
        if same:
            blocks.append(Text(text=f"The {name} was made on the same machine by the same software as the {same[0]}."))
        else:
            blocks.append(Facts(title=f"Of the {name}", rows=_machine(environment)))
    if sources.run is not None and sources.run.choices:
        blocks.append(choices_table(sources.run.choices))
    return Section(ident="environment", title="The environment", blocks=tuple(blocks))


def _machine(environment: Environment) -> tuple[tuple[str, str], ...]:
    cores = f"{environment.processor}, {count(environment.cores)} cores, {count(environment.logical_cores)} logical"
    rows = [
        ("processor", cores),
        ("memory", size(environment.memory_bytes)),
        ("vector instructions", environment.cpu_capability),
        ("threads", str(environment.threads)),
        ("device", f"{environment.device} ({environment.hardware})"),
        ("memory of the device", size(environment.device_memory_bytes)),
        ("driver", environment.driver),
        ("CUDA", environment.cuda),
        ("torch", environment.torch),
        ("NumPy", environment.numpy),
        ("Python", environment.python),
        ("system", environment.os),
        ("accelmnist", ", commit ".join(filter(None, (environment.accelmnist, environment.commit)))),
        ("variables", ", ".join(f"{name}={value}" for name, value in sorted(environment.variables.items()))),
    ]
    return tuple((name, text) for name, text in rows if text and text != UNKNOWN)


def remake_chapter(sources: Sources, command: str) -> Section:
    """The commands, as they were given, and the one that made this report."""
    commands = [environment.command for _, environment in sources.environments if environment is not None]
    lines = (*dict.fromkeys(commands), command)
    text = (
        f"These commands make the records and this report again{_software(sources)}. On the CPU, with as many threads, "
        f"a run comes to the same weights to the bit; a time never comes to the same figure.{_places(sources)}"
    )
    return Section(ident="remake", title="How to remake it", blocks=(Text(text=text), Code(lines=lines)))


def _software(sources: Sources) -> str:
    """By which versions; several if the records are of several."""
    known = (environment for _, environment in sources.environments if environment is not None)
    versions = dict.fromkeys(f"accelmnist {one.accelmnist} and torch {one.torch}" for one in known)
    return f" with {', or '.join(versions)}" if versions else ""


def _places(sources: Sources) -> str:
    """Where every record of this report lies."""
    places = [f"the {name} in {folder}" for name, folder in sources.places]
    return f" The records: {', '.join(places)}." if places else ""
