"""Every figure stands under its own heading: in the tables of a run and of a report, and in the report's lists.

The records are made up so that no two figures of a row are alike: two columns that change places, or one that shows
another's figure, can't pass. The tables of benchmarks and comparisons are held to the letter where they are printed.
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from accelmnist.analysis.neurons.record import Ablation, Activation, ClassPreference, Neuron, NeuronsRecord
from accelmnist.core.records import (
    Check,
    EpochFigures,
    OperationFigures,
    ProfileSummary,
    ReferenceRun,
    SeedSpread,
    TrialFigures,
    TrialsSummary,
    Verdict,
)
from accelmnist.measure.limit_keys import Limit
from accelmnist.measure.statistics.summary import Summary
from accelmnist.show.bench.cases import limits_table
from accelmnist.show.document import Column, Table
from accelmnist.show.profile import _table
from accelmnist.show.report import atlas, compose, experiments, opening
from accelmnist.show.report.sentences import ClassWords
from accelmnist.show.run_tables import checks_table, classes_table, pairs_table, reference_table
from accelmnist.show.summary import _key_figures, _seeds_table
from accelmnist.show.sweep.page import candidates_table
from accelmnist.sweep.record import CandidateResult, Effect, Estimate, Level, Standing, SweepRecord
from tests.samples import sample_environment, sample_metrics, sample_record
from tests.sweep_samples import sweep_record

RECORD = sample_record()
METRICS, DIGITS = sample_metrics(seed=0), tuple("0123456789")


def row_of(table: Table, place: int = 0) -> dict[str, str]:
    """A row's figures by their headings; all are different."""
    row = [*table.rows, *table.totals][place]
    figures = {column.heading: cell.text for column, cell in zip(table.columns, row, strict=True)}
    assert len({*figures.values()}) == len(figures) == len(row)
    return figures


def test_scores_of_a_class() -> None:
    of_class = replace(METRICS.per_class[3], precision=0.91, recall=0.92, f1=0.93, support=1000)
    others = tuple(replace(one, f1=0.81) for one in METRICS.per_class)
    ours = replace(METRICS, per_class=(*METRICS.per_class[:3], of_class, *METRICS.per_class[4:]))
    assert row_of(classes_table(ours, DIGITS, replace(METRICS, per_class=others)), 3) == {
        "digit": "3",
        "precision": "91.00 %",
        "recall": "92.00 %",
        "recall, 95 %": "90.2 to 93.5 %",
        "F1": "0.9300",
        "F1 of the reference": "0.8100",
        "images": "1,000",
    }


@pytest.mark.parametrize(("kind", "place", "images"), [("macro", 10, "10,000"), ("weighted", 11, "")])
def test_means_of_all_classes(kind: str, place: int, images: str) -> None:
    means = {f"{kind}_precision": 0.91, f"{kind}_recall": 0.92, f"{kind}_f1": 0.93}
    ours, theirs = replace(METRICS, **means), replace(METRICS, **{f"{kind}_f1": 0.81})
    table = classes_table(ours, DIGITS, theirs)
    row = [cell.text for cell in [*table.rows, *table.totals][place]]
    assert row == [f"{kind} mean", "91.00 %", "92.00 %", "", "0.9300", "0.8100", images]


def test_the_reference_beside_the_run() -> None:
    theirs = replace(METRICS, accuracy=0.95, macro_f1=0.94)
    ours = replace(METRICS, accuracy=0.97, macro_f1=0.99)
    record = replace(RECORD, timing=replace(RECORD.timing, train_s=1.5, images_per_s=4000.0))
    table = reference_table(record, ours, ReferenceRun(metrics=theirs, train_s=2.5, images_per_s=1000.0))
    assert [column.heading for column in table.columns] == ["figure", "this run", "reference", "difference"]
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["accuracy", "97.00 %", "95.00 %", "+2.00 points"],
        ["macro F1", "0.9900", "0.9400", "+0.0500"],
        ["training time", "1.50 s", "2.50 s", ""],
        ["speed", "4,000 images/s", "1,000 images/s", "4.00 times"],
    ]


def test_a_check() -> None:
    check = Check(name="name", passed=False, value=0.25, limit=0.5, detail="detail", reason="reason")
    assert row_of(checks_table(Verdict.of("reference", [check]))) == {
        "verdict": "FAIL",
        "check": "name",
        "value": "0.25",
        "limit": "0.5",
        "what it is": "detail",
        "why this limit": "reason",
    }


def test_the_most_confused_pair() -> None:
    pair, mistakes = METRICS.confused_pairs[0], METRICS.images - METRICS.right
    assert METRICS.confusion_matrix[pair.predicted][pair.actual] == pair.count
    assert row_of(pairs_table((pair,), METRICS, DIGITS)) == {
        "actual": str(pair.actual),
        "taken for": str(pair.predicted),
        "images": str(pair.count),
        "share of the actual": f"{100 * pair.count / METRICS.per_class[pair.actual].support:.2f} %",
        "of all mistakes": f"{100 * pair.count / mistakes:.2f} %",
    }


def test_a_seed_and_what_all_say() -> None:
    summary = TrialsSummary(
        planned=1,
        trials=(TrialFigures(seed=7, accuracy=0.91, macro_f1=0.92, train_s=1.5),),
        accuracy=SeedSpread(mean=0.81, deviation=0.01, low=0.8, high=0.82),
        macro_f1=SeedSpread(mean=0.71, deviation=0.02, low=0.7, high=0.72),
    )
    table = _seeds_table(summary)
    assert row_of(table) == {"seed": "7", "test accuracy": "91.00 %", "macro F1": "0.9200", "training": "1.50 s"}
    assert [[cell.text for cell in row] for row in table.totals] == [
        ["mean", "81.00 %", "0.7100", ""],
        ["95 % interval", "80.00 to 82.00 %", "0.7000 to 0.7200", ""],
        ["deviation", "1.000 %", "0.02000", ""],
    ]


def test_an_epoch_of_a_report() -> None:
    figures = EpochFigures(
        epoch=1, train_loss=0.5, accuracy=0.9, learning_rate=0.004, train_s=1.5, images_per_s=40_000.0
    )
    assert row_of(opening._epochs(replace(RECORD, epochs=(figures,)))) == {
        "epoch": "1",
        "training loss": "0.5000",
        "training accuracy": "90.00 %",
        "learning rate": "0.004",
        "time": "1.50 s",
        "images/s": "40,000",
    }


def test_what_a_run_cost() -> None:
    names = ("import_s", "load_s", "upload_s", "compile_s", "train_s", "evaluate_s", "verify_s")
    timing = replace(RECORD.timing, **{name: float(place) for place, name in enumerate(names, start=2)})
    assert opening._costs(replace(RECORD, timing=timing)) == (
        ("loading of the program", "2.00 s"),
        ("loading of the data", "3.00 s"),
        ("copy to the device", "4.00 s"),
        ("compiling", "5.00 s"),
        ("training", "6.00 s"),
        ("evaluation", "7.00 s"),
        ("verification", "8.00 s"),
        ("peak memory", "612 MB"),
    )


CANDIDATE = CandidateResult(
    hidden=(32,),
    activation="tanh",
    output="linear",
    optimizer="sgd",
    learning_rate=0.125,
    parameters=25_450,
    engine="fused",
    accuracy=Estimate(mean=0.9, low=0.85, high=0.95, seeds=3),
    train_s=1.5,
    rank=1,
    standing=Standing(verdict="worse", gap=0.01, error_ratio=1.5, p_value=0.001),
)


def test_a_candidate_of_a_report() -> None:
    columns = experiments._candidates(with_candidate()).columns
    row = {column.heading: cell.text for column, cell in zip(columns, experiments._candidate(CANDIDATE), strict=True)}
    assert row == {
        "#": "1",
        "network": "784-32-10",
        "activation": "tanh",
        "output": "linear",
        "optimizer": "sgd",
        "learning rate": "0.125",
        "parameters": "25,450",
        "accuracy": "90.00 %",
        "95 % interval": "85.00 to 95.00 %",
        "training": "1.50 s",
        "against the best": "worse, 1.00 points less",
    }


def test_a_value_of_a_factor() -> None:
    level = Level(
        value="tanh", mean=0.9, gap=0.02, low=0.01, high=0.03, wins=1, settings=4, error_ratio=1.5, ratio_low=1.25,
        ratio_high=1.75,
    )  # fmt: skip
    assert row_of(experiments._effect(Effect(factor="activation", levels=(level,)))) == {
        "activation": "tanh",
        "accuracy": "90.00 %",
        "less than the best": "2.00 points",
        "95 % interval": "1.00 to 3.00 points",
        "times the mistakes": "1.50",
        "best in": "1 of 4",
    }


def with_candidate() -> SweepRecord:
    record = sweep_record()
    return replace(record, candidates=(CANDIDATE, *record.candidates[1:]))


def test_a_candidate_of_a_sweep() -> None:
    record, last = with_candidate(), (Column("last"), lambda _: "last")
    assert row_of(candidates_table(record, (CANDIDATE,), lambda _: "", last=last)) == {
        "#": "1",
        "hidden": "32",
        "activation": "tanh",
        "output": "linear",
        "optimizer": "sgd",
        "lr": "0.125",
        "accuracy": "90.00 ±5.00 %",
        "behind": "1.00",
        "parameters": "25,450",
        "time": "1.50 s",
        "last": "last",
    }


NONE = (0.0,) * 10
NEURON = Neuron(
    index=7,
    status="live",
    sentence="A sentence",
    task=ClassPreference(certainty="clear", classes=(3,)),
    activation=Activation(lowest=0, highest=1, on_above=0, mean=NONE, deviation=NONE, share_on=NONE),
    selectivity=0.25,
    prefers=3,
    separation=(0.5,) * 10,
    support=tuple(float(label) for label in range(10)),
    argues_for=(8, 9),
    argues_against=(1,),
    strength=1.5,
    ablation=Ablation(
        recall=(0.5,) * 10, lost=(4,) * 10, gained=(2,) * 10, loss_rise=(1.0,) * 10, macro_recall_change=-0.1
    ),
    clarity=0.75,
    exciting=(),
)


def test_a_neuron_of_a_report() -> None:
    words = ClassWords(DIGITS)
    assert [cell.text for cell in atlas._row(NEURON, words)] == ["7", "3", "0.75", "1.5", "40", "A sentence."]
    headings = [column.heading for column in atlas._sentences(neurons_record()).columns]
    assert headings == ["neuron", "answers for", "clarity", "strength", "lost without it", "in a sentence"]
    assert atlas._facts(NEURON, words) == (
        ("argues for", "8 (+8.00), 9 (+9.00)"),
        ("argues against", "1 (+1.00)"),
        ("strength", "1.5"),
        ("selectivity", "0.25"),
        ("clarity", "0.75"),
        ("lost without it", "40 images"),
    )


def neurons_record() -> NeuronsRecord:
    return cast("NeuronsRecord", SimpleNamespace(neurons=(NEURON,), order=(7,), class_names=DIGITS))


def test_a_machine_and_what_was_found_on_it() -> None:
    machine = replace(
        sample_environment(), processor="processor", cores=3, logical_cores=6, threads=5, memory_bytes=7 * 10**9,
        device="device", hardware="hardware", device_memory_bytes=9 * 10**9, driver="driver", cuda="cuda",
        cpu_capability="capability", torch="torch", numpy="numpy", python="python", os="os", accelmnist="version",
        commit="commit", variables={"NAME": "value"},
    )  # fmt: skip
    assert compose._machine(machine) == (
        ("processor", "processor, 3 cores, 6 logical"),
        ("memory", "7 GB"),
        ("vector instructions", "capability"),
        ("threads", "5"),
        ("device", "device (hardware)"),
        ("memory of the device", "9 GB"),
        ("driver", "driver"),
        ("CUDA", "cuda"),
        ("torch", "torch"),
        ("NumPy", "numpy"),
        ("Python", "python"),
        ("system", "os"),
        ("accelmnist", "version, commit commit"),
        ("variables", "NAME=value"),
    )


def test_the_key_figures_of_a_run() -> None:
    metrics = replace(METRICS, accuracy=0.9, macro_f1=0.8, loss=0.7)
    timing = replace(RECORD.timing, train_s=1.5, compile_s=2.5, images_per_s=4000.0, evaluate_s=3.5)
    facts = _key_figures(replace(RECORD, metrics=metrics, timing=timing, parameters=1234))
    assert facts.rows == (
        ("test accuracy", "90.00 %"),
        ("macro F1", "0.8000"),
        ("test loss", "0.7000"),
        ("wrong test images", str(METRICS.images - METRICS.right)),
        ("parameters", "1,234"),
    )
    assert facts.beside == (
        ("training, 5 epochs", "1.50 s"),
        ("compile", "2.50 s"),
        ("speed", "4,000 images/s"),
        ("evaluation", "3.50 s"),
        ("peak memory", "612 MB"),
    )


def test_an_operation_of_a_profile() -> None:
    row = OperationFigures(name="name", calls=2, host_s=0.003, device_s=0.005, share=0.25)
    profile = ProfileSummary(operations=1, host_syncs=1, steps=1, rows=(row,), notes=())
    assert row_of(_table(profile, (row,), 20)) == {
        "where": "name",
        "calls a step": "2",
        "on the host": "3 ms",
        "on the device": "5 ms",
        "share": "25.0 %",
    }


def test_a_limit_of_the_hardware() -> None:
    rate = Summary(median=2e9, low=1e9, high=3e9, q1=1.5e9, q3=2.5e9, samples=(2e9,) * 9)
    limit = Limit(
        kind="memory", device="device", unit="bytes/s", precision=None, rate=rate, key="key", threads=3, detail="detail"
    )
    assert row_of(limits_table((limit,))) == {
        "device": "device",
        "limit": "memory",
        "rate": "2.00 GB/s",
        "±": "±50 %",
        "what ran": "detail, 3 threads",
    }
