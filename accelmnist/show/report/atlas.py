"""The chapter on the neurons of the first layer: the atlas, a sentence each, and what they have in common."""

from __future__ import annotations

from accelmnist.analysis.evidence import MissingEvidence, RecomputedAnswers
from accelmnist.analysis.neurons.images import signed_images, weight_images
from accelmnist.analysis.neurons.record import Neuron, NeuronsRecord
from accelmnist.show import document as doc
from accelmnist.show.render.pictures import DIGITS, Collector
from accelmnist.show.report.sentences import ClassWords, sentence
from accelmnist.show.report.sources import Sources
from accelmnist.show.run_tables import number
from accelmnist.show.units import UNKNOWN, count, percent, plural

GREY, SIGNED = "weights", "signed-weights"
_MOST_CARDS = 256
_ON_PAPER = 24
_EXCITING = 8
_GREYS = 48  # cards kept for the end of the order, if not all have room


def atlas_chapter(sources: Sources, answers: RecomputedAnswers | MissingEvidence, collector: Collector) -> doc.Section:
    """What has become of the first layer."""
    record = answers.neurons if isinstance(answers, RecomputedAnswers) else sources.neurons
    if record is None:
        reason = answers.reason if isinstance(answers, MissingEvidence) else "they were not analysed"
        return _chapter(doc.Missing(text=f"The neurons can't be shown: {reason}."))
    what = "neurons of the first layer" if record.rows == "hidden" else "outputs, which are the first layer here,"
    lead = f"Each of the {len(record.neurons)} {what} was watched on {count(record.test_images)} test images"
    if any(neuron.ablation for neuron in record.neurons):
        lead += ", and silenced in turn to see what is lost without it"
    blocks: list[doc.Block] = [doc.Text(text=f"{lead}.", lead=True)]
    if record.summary:
        blocks.append(doc.Points(title="Observed", items=tuple(map(sentence, record.summary))))
    if isinstance(answers, MissingEvidence):
        blocks.append(doc.Missing(text=f"The images of the neurons can't be shown: {answers.reason}."))
    else:
        blocks.append(_atlas(record, answers, collector))
    blocks.append(_sentences(record))
    if record.methods:
        blocks.append(_methods(record))
    return _chapter(*blocks)


def _chapter(*blocks: doc.Block) -> doc.Section:
    return doc.Section(ident="neurons", title="The neurons", blocks=blocks)


def _shown(record: NeuronsRecord) -> tuple[list[Neuron], str]:
    """The first of the atlas's order and some from its end, which are the unclear ones; and what is left out."""
    by_index = {neuron.index: neuron for neuron in record.neurons}
    ordered = [by_index[index] for index in record.order if index in by_index] or list(record.neurons)
    if len(ordered) > _MOST_CARDS:
        ordered = [*ordered[: _MOST_CARDS - _GREYS], *ordered[-_GREYS:]]
    if len(ordered) == len(record.neurons):
        return ordered, ""
    kinds = f"the clearest, and {_GREYS} of the least clear"
    return ordered, f"Shown are {len(ordered)} of {len(record.neurons)}: {kinds}."


# --- the atlas


def _atlas(record: NeuronsRecord, evidence: RecomputedAnswers, collector: Collector) -> doc.Atlas:
    collector.offer(GREY, weight_images(evidence.weights))
    collector.offer(SIGNED, signed_images(evidence.weights))
    shown, left_out = _shown(record)
    strongest = max((neuron.strength for neuron in record.neurons), default=0.0) or 1.0
    on = "that turn it on" if record.rows == "hidden" else "for which it is the largest output"
    caption = (
        "The weights of the first layer as images, the clearest neurons first: bright where ink excites the neuron, "
        f"dark where it calms it. {left_out}"
    )
    return doc.Atlas(
        caption=caption.rstrip(),
        bars_title=f"share of the images of each {ClassWords(record.class_names).kind} {on}",
        cards=tuple(_card(neuron, record, strongest, collector) for neuron in shown),
        shown_on_paper=min(_ON_PAPER, len(shown)),
        overview=f"All {len(shown)} of them in the same order, by their signed weights: orange where ink excites the "
        "neuron, blue where it calms it, white for zero.",
    )


def _card(neuron: Neuron, record: NeuronsRecord, strongest: float, collector: Collector) -> doc.Card:
    words = ClassWords(record.class_names)
    name = f"{'neuron' if record.rows == 'hidden' else 'output'} {neuron.index}"
    own = set(neuron.task.classes)
    bars = tuple(
        doc.Bar(label=words.names[label], share=share, text=percent(share, digits=0), is_own=label in own)
        for label, share in enumerate(neuron.activation.share_on)
    )
    return doc.Card(
        name=name,
        digits=_digits(neuron, words),
        sentence=sentence(neuron.sentence),
        status=neuron.status,
        grey=doc.Image(GREY, collector.place(GREY, neuron.index), f"weights of {name}"),
        signed=doc.Image(SIGNED, collector.place(SIGNED, neuron.index), f"signed weights of {name}"),
        strength=min(neuron.strength / strongest, 1.0),
        bars=bars,
        facts=_facts(neuron, words),
        exciting=tuple(
            doc.Image(DIGITS, collector.place(DIGITS, index), f"test image {index:,}, which excites {name}")
            for index in neuron.exciting[:_EXCITING]
        ),
    )


def _digits(neuron: Neuron, words: ClassWords) -> str:
    """The classes that it answers for, in a few characters: "0", "not 1", "–"."""
    named = ", ".join(words.names[label] for label in neuron.task.classes)
    if not named or neuron.status != "live":
        return UNKNOWN if neuron.status == "live" else neuron.status
    sense = f"not {named}" if neuron.task.sense == "off" else named
    return f"{sense}?" if neuron.task.certainty != "clear" else sense


def _facts(neuron: Neuron, words: ClassWords) -> tuple[tuple[str, str], ...]:
    """What it argues for, with how far it moves the logits of the classes: "9 (+1.21), 4 (+0.80)", and its figures."""
    lost = None if neuron.ablation is None else sum(neuron.ablation.lost)
    sides = (("argues for", neuron.argues_for), ("argues against", neuron.argues_against))
    rows = [
        *(
            (side, ", ".join(f"{words.names[label]} ({neuron.support[label]:+.2f})" for label in labels))
            for side, labels in sides
        ),
        ("strength", f"{neuron.strength:.3g}"),
        ("selectivity", "" if neuron.selectivity is None else f"{neuron.selectivity:.2f}"),
        ("clarity", "" if neuron.clarity is None else f"{neuron.clarity:.2f}"),
        ("lost without it", "" if lost is None else plural(lost, "image")),
    ]
    return tuple(row for row in rows if row[1])


# --- the tables


def _sentences(record: NeuronsRecord) -> doc.Table:
    shown, left_out = _shown(record)
    return doc.Table(
        ident="neuron-sentences",
        caption="Every neuron in a sentence.",
        columns=(
            doc.Column("neuron", True),
            doc.Column("answers for"),
            *(doc.Column(heading, True) for heading in ("clarity", "strength", "lost without it")),
            doc.Column("in a sentence"),
        ),
        rows=tuple(_row(neuron, ClassWords(record.class_names)) for neuron in shown),
        note=left_out,
        most_on_paper=0,  # there the sentences stand in the atlas
    )


def _row(neuron: Neuron, words: ClassWords) -> tuple[doc.Cell, ...]:
    lost = None if neuron.ablation is None else sum(neuron.ablation.lost)
    return (
        doc.Cell(str(neuron.index), neuron.index),
        doc.Cell(_digits(neuron, words)),
        number(neuron.clarity, UNKNOWN if neuron.clarity is None else f"{neuron.clarity:.2f}"),
        number(neuron.strength, f"{neuron.strength:.3g}"),
        doc.Cell(UNKNOWN if lost is None else f"{lost:,}", lost),
        doc.Cell(sentence(neuron.sentence)),
    )


def _methods(record: NeuronsRecord) -> doc.Table:
    """How each figure is found, with its source."""
    return doc.Table(
        ident="neuron-methods",
        caption="How the figures are found.",
        columns=(doc.Column("figure"), doc.Column("how it is found"), doc.Column("source")),
        rows=tuple(
            (doc.Cell(method.name), doc.Cell(sentence(method.explanation)), doc.Cell(method.source or ""))
            for method in record.methods
        ),
    )
