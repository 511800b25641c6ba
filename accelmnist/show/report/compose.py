"""From records to the tree of a report: which chapters there are, in which order, and what is said in short."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from accelmnist.analysis.evidence import MissingEvidence, RecomputedAnswers
from accelmnist.core.config import IMAGE_SIDE
from accelmnist.show.bench.headline import outcome_of
from accelmnist.show.bench.view import BenchView
from accelmnist.show.document import Notes, Report, Section, Tone
from accelmnist.show.render.pictures import DIGITS, Collector
from accelmnist.show.report.answers import answers_chapter
from accelmnist.show.report.atlas import atlas_chapter
from accelmnist.show.report.closing import environment_chapter, judgement_chapter, remake_chapter
from accelmnist.show.report.observations import accuracy_sentence, confusion_sentences, seed_sentences
from accelmnist.show.report.opening import data_chapter, method_chapter, question_chapter, training_chapter
from accelmnist.show.report.search import search_chapter, winner_sentence
from accelmnist.show.report.sources import Sources
from accelmnist.show.report.speed import answer, speed_chapter
from accelmnist.show.report.words import ClassWords, sentence
from accelmnist.show.run_tables import class_names_of
from accelmnist.show.summary import outcome


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
    return Report(
        title=options.title or _title(sources),
        author=options.author,
        date=_date(sources),
        subtitle=_subtitle(sources),
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
        chapters += [
            training_chapter(run),
            answers_chapter(run, answers, collector),
            atlas_chapter(sources, answers, collector),
        ]
    if sources.bench is not None:
        chapters.append(speed_chapter(sources.bench))
    if run is not None:
        chapters.append(judgement_chapter(run))
    return [*chapters, environment_chapter(sources), remake_chapter(sources, options.command)]


def _verdict(sources: Sources) -> tuple[str, Tone]:
    if sources.run is not None:
        return outcome(sources.run)
    if sources.bench is not None:
        ending = outcome_of(BenchView(sources.bench))
        return ending.word, ending.tone
    return "", ""


def _title(sources: Sources) -> str:
    if sources.run is not None:
        dataset = sources.run.data.dataset if sources.run.data is not None else sources.run.config.data.dataset
        return f"The network {sources.run.config.model} on {dataset}"
    if sources.sweep is not None:
        return "Which network is best: a comparison"
    return "Training a small network: how fast, how right, how far from the limit"


def _subtitle(sources: Sources) -> str:
    """The machine and the software in a line."""
    known = next((environment for _, environment in sources.environments if environment is not None), None)
    return "" if known is None else f"On {known.hardware}, torch {known.torch}, accelmnist {known.accelmnist}"


def _date(sources: Sources) -> str:
    """The day on which the newest record was made, in words of no language: 2026-11-24."""
    records = [record for record in (sources.run, sources.sweep, sources.bench) if record is not None]
    return max(filter(_is_day, (record.created[:10] for record in records)), default="")


def _is_day(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _other_images(sources: Sources) -> str:
    """A warning if the sweep's images are not the run's."""
    run, sweep = sources.run, sources.sweep
    if run is None or sweep is None or run.config.data == sweep.config.data:
        return ""
    own, others = run.config.data, sweep.config.data
    if (own.dataset, own.folder) == (others.dataset, others.folder):
        return ""
    return f"That is of {others.folder or others.dataset}; what follows is of {own.folder or own.dataset}."


def _summary(sources: Sources, answers: RecomputedAnswers | MissingEvidence) -> tuple[str, ...]:
    """The answers in short."""
    run, sweep = sources.run, sources.sweep
    sentences = list(filter(None, [winner_sentence(sweep), _other_images(sources)])) if sweep is not None else []
    if run is not None and run.metrics is not None:
        words = ClassWords(class_names_of(run))
        is_known = sweep is not None and sweep.winner is not None and sweep.winner.metrics == run.metrics
        sentences += [] if is_known else [accuracy_sentence(run.metrics)]
        sentences += seed_sentences(run)
        sentences += [*confusion_sentences(run.metrics, words)[:1]]
    if run is not None and run.status != "done":
        sentences.append(f"The run is {run.status}. {run.message or ''}".strip())
    neurons = answers.neurons if isinstance(answers, RecomputedAnswers) else sources.neurons
    if neurons is not None:
        sentences += map(sentence, neurons.summary[:2])
    if sources.bench is not None:
        sentences.append(answer(BenchView(sources.bench)))
    return tuple(sentences)
