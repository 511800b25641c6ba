"""From records to the tree of a report: which chapters there are, what is said in short, and the last chapters."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from accelmnist.analysis.evidence import MissingEvidence, RecomputedAnswers
from accelmnist.core.config import IMAGE_SIDE
from accelmnist.core.records import Environment, RunRecord
from accelmnist.show.bench.headline import outcome_of
from accelmnist.show.bench.view import BenchView
from accelmnist.show.document import Block, Code, Facts, Missing, Notes, Points, Report, Section, Text, Tone
from accelmnist.show.hardware import cpu_rows, gpu_rows
from accelmnist.show.render.pictures import DIGITS, Collector
from accelmnist.show.report import sentences
from accelmnist.show.report.answers import answers_chapter
from accelmnist.show.report.atlas import atlas_chapter
from accelmnist.show.report.experiments import search_chapter, speed_chapter, speed_sentences, winner_sentence
from accelmnist.show.report.opening import data_chapter, method_chapter, question_chapter, training_chapter
from accelmnist.show.report.sources import Sources
from accelmnist.show.run_tables import checks_table, choices_table, class_names_of, reference_table
from accelmnist.show.summary import outcome
from accelmnist.show.units import UNKNOWN, count, size


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """What its author wants on a report; an empty title is made from the records."""

    title: str = ""
    author: str = ""
    notes: Notes | None = None
    command: str = "accelmnist report"
    made_by: str = "accelmnist"


def compose(sources: Sources, answers: RecomputedAnswers | MissingEvidence, options: ReportOptions) -> Report:
    """The whole report; `answers` are those of the run's network, or why they are not known."""
    collector = Collector()
    if isinstance(answers, RecomputedAnswers):
        collector.offer(DIGITS, answers.images.reshape(-1, IMAGE_SIDE, IMAGE_SIDE))
    chapters = tuple(chapter for chapter in _chapters(sources, answers, options, collector) if chapter is not None)
    word, tone = _verdict(sources)
    machines = [f"On {e.hardware}, torch {e.torch}, accelmnist {e.accelmnist}" for _, e in sources.environments]
    return Report(
        title=options.title or _title(sources),
        author=options.author,
        date=_date(sources),
        subtitle=next(iter(machines), ""),
        verdict=word,
        verdict_tone=tone,
        summary=_summary(sources, answers),
        chapters=chapters,
        pictures=collector.pictures(),
        made_by=options.made_by,
    )


def _chapters(
    sources: Sources, answers: RecomputedAnswers | MissingEvidence, options: ReportOptions, collector: Collector
) -> list[Section | None]:
    evidence = answers if isinstance(answers, RecomputedAnswers) else None
    notes = None if options.notes is None else Section(ident="notes", title="Notes", blocks=(options.notes,))
    chapters: list[Section | None] = [question_chapter(sources), notes]
    if (run := sources.run) is not None:
        chapters += [data_chapter(run, evidence, collector), method_chapter(run)]
    if sources.sweep is not None:
        chapters.append(search_chapter(sources.sweep))
    if run is not None:
        chapters += [training_chapter(run), answers_chapter(run, answers, collector)]
        chapters.append(atlas_chapter(sources, answers, collector))
    if sources.bench is not None:
        chapters.append(speed_chapter(sources.bench))
    if run is not None:
        chapters.append(_judgement(run))
    return [*chapters, _environment(sources), _remake(sources, options.command)]


def _verdict(sources: Sources) -> tuple[str, Tone]:
    if sources.run is not None:
        return outcome(sources.run)
    if sources.bench is not None:
        return outcome_of(BenchView(sources.bench))
    return "", ""


def _title(sources: Sources) -> str:
    if sources.run is not None:
        dataset = sources.run.data.dataset if sources.run.data is not None else sources.run.config.data.dataset
        return f"The network {sources.run.config.model} on {dataset}"
    if sources.sweep is not None:
        return "Which network is best: a comparison"
    return "Training a small network: how fast, how right, how far from the limit"


def _date(sources: Sources) -> str:
    """The day on which the newest record was made, in words of no language: 2026-11-24."""
    records = [record for record in (sources.run, sources.sweep, sources.bench) if record is not None]
    days = []
    for day in (record.created[:10] for record in records):
        with suppress(ValueError):
            datetime.fromisoformat(day)
            days.append(day)
    return max(days, default="")


def _summary(sources: Sources, answers: RecomputedAnswers | MissingEvidence) -> tuple[str, ...]:
    """The answers in short."""
    run, sweep = sources.run, sources.sweep
    short = [winner_sentence(sweep)] if sweep is not None and sweep.winner is not None else []
    if run is not None and sweep is not None:
        own, others = run.config.data, sweep.config.data
        if (own.dataset, own.folder) != (others.dataset, others.folder):
            before, after = others.folder or others.dataset, own.folder or own.dataset
            short.append(f"That is of {before}; what follows is of {after}.")
    if run is not None and run.metrics is not None:
        words = sentences.ClassWords(class_names_of(run))
        is_known = sweep is not None and sweep.winner is not None and sweep.winner.metrics == run.metrics
        short += [] if is_known else [sentences.accuracy_sentence(run.metrics)]
        short += sentences.seed_sentences(run)
        short += sentences.confusion_sentences(run.metrics, words)[:1]
    if run is not None and run.status != "done":
        short.append(f"The run is {run.status}. {run.message or ''}".strip())
    neurons = answers.neurons if isinstance(answers, RecomputedAnswers) else sources.neurons
    if neurons is not None:
        short += map(sentences.sentence, neurons.summary[:2])
    if sources.bench is not None:
        short.append(speed_sentences(BenchView(sources.bench)))
    return tuple(short)


# --- the last chapters


def _judgement(record: RunRecord) -> Section:
    """PASS or FAIL, and by which figures."""
    verdict = record.verdict
    blocks: list[Block] = [Missing(text=f"The result was not verified: the run is {record.status}.")]
    if verdict is not None:
        checks, failures, doubts = len(verdict.checks), verdict.failures, verdict.doubts
        word, holding = (
            "PASS",
            f"{checks - len(doubts)} of {checks} checks hold" if doubts else f"all {checks} checks hold",
        )
        if not verdict.passed:
            word, holding = "FAIL", f"{len(failures)} of {checks} checks do not hold"
        blocks = [Text(text=f"{word}. The result was held against {verdict.reference}: {holding}.", lead=True)]
        for title, held in (("Failed", failures), ("In doubt", doubts)):
            lines = tuple(f"{check.name}: {check.detail}. {check.reason}." for check in held)
            blocks += [Points(title=title, items=lines)] if lines else []
        blocks.append(checks_table(verdict))
    if record.reference is not None and record.metrics is not None:
        blocks.append(reference_table(record, record.metrics, record.reference))
    return Section(ident="judgement", title="Is it right?", blocks=tuple(blocks))


def _environment(sources: Sources) -> Section:
    """On what it was made."""
    known = sources.environments
    if not known:
        missing = Missing(text="The records do not say on what machine they were made.")
        return Section(ident="environment", title="The environment", blocks=(missing,))
    blocks: list[Block] = []
    for index, (name, environment) in enumerate(known):
        same = [other for other, before in known[:index] if _machine(before) == _machine(environment)]
        if same:
            blocks.append(Text(text=f"The {name} was made on the same machine by the same software as the {same[0]}."))
        else:
            blocks.append(Facts(title=f"Of the {name}", rows=(*_machine(environment), *_held(environment))))
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


def _held(environment: Environment) -> tuple[tuple[str, str], ...]:
    """Clocks, links and quotas, when the work was over: another in every record."""
    cpu = () if environment.cpu is None else cpu_rows(environment.cpu)
    cards = ((f"{card.device}: {name}", text) for card in environment.gpus for name, text in gpu_rows(card))
    return (*((f"cpu: {name}", text) for name, text in cpu), *cards)


def _remake(sources: Sources, command: str) -> Section:
    """The commands, as they were given, and the one that made this report."""
    known = [environment for _, environment in sources.environments]
    lines = (*dict.fromkeys(environment.command for environment in known), command)
    versions = dict.fromkeys(f"accelmnist {one.accelmnist} and torch {one.torch}" for one in known)
    software = f" with {', or '.join(versions)}" if versions else ""
    places = [f"the {name} in {folder}" for name, folder in sources.places]
    text = (
        f"These commands make the records and this report again{software}. On the CPU, with as many threads, "
        "a run comes to the same weights to the bit; a time never comes to the same figure."
    )
    text += f" The records: {', '.join(places)}." if places else ""
    return Section(ident="remake", title="How to remake it", blocks=(Text(text=text), Code(lines=lines)))
