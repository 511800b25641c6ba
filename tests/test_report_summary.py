"""What a report says in short where records disagree or are several: no more than the data holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accelmnist.analysis.evidence import MissingEvidence
from accelmnist.core.metrics import compute_metrics
from accelmnist.core.records import SeedSpread, TrialFigures, TrialsSummary
from accelmnist.show.report.compose import ReportOptions, compose
from accelmnist.show.report.sentences import ClassWords, class_sentences
from accelmnist.show.report.sources import Sources
from tests.samples import sample_record
from tests.sweep_samples import sweep_record, with_winner

DIGITS = ClassWords(tuple("0123456789"))


def summary(**records: Any) -> tuple[str, ...]:
    return compose(Sources(folder=Path(), **records), MissingEvidence("no images"), ReportOptions()).summary


def test_seeds_trained_together_are_told_with_their_interval() -> None:
    trials = tuple(TrialFigures(seed=seed, accuracy=0.98, macro_f1=0.98, train_s=1.0) for seed in range(3))
    spread = SeedSpread(mean=0.9852, deviation=0.0002, low=0.9846, high=0.9858)
    record = replace(sample_record(), trials=TrialsSummary(planned=3, trials=trials, accuracy=spread))
    seed = record.config.training.seed
    said = f"That is seed {seed}; over 3 seeds the mean is 98.52 %, 95 % interval 98.46 % to 98.58 %."
    assert said in summary(run=record)
    assert not any("seeds" in sentence for sentence in summary(run=sample_record()))


@pytest.mark.parametrize("dataset", ["mnist", "fashion-mnist"])
def test_a_sweep_of_other_images_is_not_mixed_with_the_run(dataset: str) -> None:
    run, sweep = sample_record(), with_winner(sweep_record())
    run = replace(run, config=replace(run.config, data=replace(run.config.data, dataset=dataset)))
    sweep = replace(sweep, config=replace(sweep.config, data=replace(sweep.config.data, dataset="mnist")))
    warned = [sentence for sentence in summary(run=run, sweep=sweep) if sentence.startswith("That is of mnist")]
    expected = [] if dataset == "mnist" else ["That is of mnist; what follows is of fashion-mnist."]
    assert warned == expected


@pytest.mark.parametrize(("wrong", "hedged"), [(2, True), (300, False)])
def test_an_answer_is_called_worst_only_where_the_intervals_are_apart(wrong: int, hedged: bool) -> None:
    confusion = np.diag(np.full(10, 1000))
    confusion[4, 9] = wrong
    confusion[5, 3] = 1
    sentence = next(said for said in class_sentences(compute_metrics(confusion), DIGITS) if "wrong most often" in said)
    assert sentence.startswith(f"The answer 4 is wrong most often: {wrong} of {1000 + wrong:,} such answers")
    assert ("the interval overlaps that of 5" in sentence) is hedged
