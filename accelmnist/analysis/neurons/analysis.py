"""The record of a network's neurons, from a finished run: its weights, and the data set that they learned.

Everything is in float32 on the CPU, whatever the network was trained on: the 10,000 test images take a fraction of a
second, and the figures are the same everywhere. For 784-256-10 all of it takes about two seconds of one Zen 4 core.

A run's own record says what its network scored. If the images give another accuracy, they are not the ones that it was
tested on, whatever their folder is called, and what would be said of the neurons would be wrong.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from accelmnist.analysis.neurons import shape
from accelmnist.analysis.neurons.effect import Effect, Network, effect_of, images_within, output_effect, spread_of
from accelmnist.analysis.neurons.images import ink_area, inked_share, morans_i
from accelmnist.analysis.neurons.methods import DEAD, THRESHOLDS, is_faint, methods_of, recall_drops, votes
from accelmnist.analysis.neurons.record import (
    Activation,
    Baseline,
    ClassPreference,
    Neuron,
    NeuronsRecord,
    NeuronStatus,
)
from accelmnist.analysis.neurons.recount import recount_neuron
from accelmnist.analysis.neurons.response import (
    Response,
    atlas_order,
    class_preference_of,
    duplicates_of,
    feature_correlations,
    respond,
    selectivity_of,
)
from accelmnist.analysis.neurons.sentences import ClassWords, Speaker, summary_of
from accelmnist.core.config import CLASSES
from accelmnist.core.errors import CheckpointError, DataError, RecordError
from accelmnist.core.files import record_file
from accelmnist.core.records import RECORD_NAME, RunRecord, load_record
from accelmnist.data.mnist import load_dataset
from accelmnist.data.types import Dataset
from accelmnist.device import resolve
from accelmnist.device.environment import describe_environment
from accelmnist.engines.model import MLP, scale_images
from accelmnist.training.checkpoint import MODEL_NAME, SavedModel, load_model

FEWEST_IMAGES = 50  # about five of a class: with fewer, any neuron is on for "all" of some class and "none" of the rest
_EXCITING = 8  # images kept of every neuron
_SAME = 0.005  # of accuracy: more than any precision moves it, far less than another data set does


@dataclass(frozen=True)
class Source:
    """A finished run with its network and its images."""

    run: RunRecord
    saved: SavedModel
    data: Dataset


def find_source(path: Path, *, data_folder: Path | None, dataset: str | None) -> Source:
    """The source in the run's folder `path`; `data_folder` holds the images if they lie elsewhere than the run says.

    `dataset`, if given, has to be the one that the network learned. Raises RecordError for what is no run,
    CheckpointError for weights that are missing, damaged or not finite, and DataError for missing or other data.
    """
    run = _run_record(path)
    folder = path if path.is_dir() else path.parent
    saved = _weights(folder, run)
    if dataset is not None and dataset != saved.dataset:
        raise DataError(
            f"the network in {folder} learned {saved.dataset}, not {dataset}", remedy=f"Give --dataset {saved.dataset}"
        )
    known = data_folder or (Path(run.config.data.folder) if run.config.data.folder is not None else None)
    data = load_dataset(saved.dataset, folder=known, seed=run.config.training.seed)
    if not len(data.test.labels):
        raise DataError(f"{data.source}: there is no test image", remedy="Give another folder with --data")
    return Source(run, saved, data)


def describe_run(source: Source) -> NeuronsRecord:
    """The record of the neurons of `source`, with its origin.

    Raises DataError for fewer test images than `FEWEST_IMAGES`, and if the accuracy on them isn't the run's.
    RecordError if a neuron's figures, found once more, are others.
    """
    if len(source.data.test) < FEWEST_IMAGES:
        raise DataError(
            f"{source.data.source}: {len(source.data.test)} test images are too few to say what a neuron answers for",
            remedy=f"Give a test set of {FEWEST_IMAGES} images or more with --data",
        )
    record, metrics = describe_neurons(source.saved.model, source.data), source.run.metrics
    if metrics is not None and abs(metrics.accuracy - record.accuracy) > _SAME:
        raise DataError(
            f"these are not the images that the network was tested on: {100 * record.accuracy:.1f} % of "
            f"{record.source} are right, in its run {100 * metrics.accuracy:.1f} %",
            remedy=f"Give the folder of {record.dataset} with --data",
        )
    recount_neuron(record, source.saved.model, source.data.test)
    return replace(
        record,
        created=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        environment=describe_environment(resolve("cpu")),
        run=source.run.created,
    )


def _run_record(path: Path) -> RunRecord:
    if not path.exists():
        raise RecordError(f"{path}: no such file or folder", remedy="Give the folder of a run")
    if not record_file(path, "run").exists():
        raise RecordError(f"{path} holds no {RECORD_NAME}", remedy="Give the folder of `accelmnist run`")
    return load_record(path)


def _weights(folder: Path, run: RunRecord) -> SavedModel:
    if not (folder / MODEL_NAME).exists():
        remedy = f"Go on with: accelmnist run --resume {folder}" if run.status == "interrupted" else "Train again"
        raise CheckpointError(f"{folder} holds no {MODEL_NAME}: its run is {run.status}", remedy=remedy)
    saved = load_model(folder)
    if not all(bool(torch.isfinite(parameter).all()) for parameter in saved.model.parameters()):
        raise CheckpointError(
            f"{folder / MODEL_NAME} holds weights that are not finite", remedy="Its training diverged: train again"
        )
    return saved


# --- from a network and its images


@dataclass(frozen=True)
class _Figures:
    """What was measured of all neurons, before one is described; `shapes` (images, 4) are those of the images."""

    response: Response
    effects: list[Effect]
    clarity: NDArray[np.float64]
    shapes: NDArray[np.float32]
    correlations: NDArray[np.float64]
    status: list[tuple[NeuronStatus, int | None]]
    baseline: Baseline


@torch.no_grad()
def describe_neurons(model: MLP, data: Dataset) -> NeuronsRecord:
    """The record of the first layer of `model`, which learned `data`; without environment, files and run.

    Raises ValueError for weights that are not finite.
    """
    started = time.perf_counter()
    inputs, labels = scale_images(torch.from_numpy(data.test.images)), torch.from_numpy(data.test.labels)
    accuracy = float((model(inputs).argmax(dim=1) == labels).double().mean())
    response, ablated = _responses(model, inputs, labels)
    figures = _measure(model, data, response, ablated)
    speaker = _speaker(data, figures)
    neurons = tuple(_describe(figures, neuron, speaker) for neuron in range(len(response.on)))
    counts = Counter(neuron.status for neuron in neurons)
    record = NeuronsRecord(
        network=model.config,
        dataset=data.name,
        source=data.source,
        class_names=data.class_names,
        rows="output" if response.outputs else "hidden",
        test_images=len(response.labels),
        accuracy=accuracy,
        ablation_images=len(ablated.labels),
        baseline=figures.baseline,
        thresholds=THRESHOLDS,
        methods=methods_of(model.config, images=len(response.labels), ablation_images=len(ablated.labels)),
        neurons=neurons,
        order=atlas_order(neurons),
        live=counts["live"],
        dead=counts["dead"],
        duplicate=counts["duplicate"],
    )
    return replace(record, summary=summary_of(record), analysis_s=time.perf_counter() - started)


def _responses(model: MLP, inputs: Tensor, labels: Tensor) -> tuple[Response, Response]:
    """The response to all test images, and to those that serve for the ablations."""
    response = respond(model, inputs, labels)
    active = float(response.activations.count_nonzero()) / response.activations.numel()
    subset = _same_share(labels, images_within(model.config, len(labels), active=active))
    if len(subset) == len(labels):
        return response, response
    return response, replace(
        response, activations=response.activations[:, subset], on=response.on[:, subset], labels=labels[subset]
    )


def _same_share(labels: Tensor, images: int) -> Tensor:
    """The first images of each class, in the order of the set, the same share of every one: about `images` in all."""
    share = images / max(len(labels), 1)
    members = [(labels == label).nonzero().squeeze(1) for label in range(CLASSES)]
    return torch.cat([indices[: round(share * len(indices))] for indices in members]).sort().values


def _measure(model: MLP, data: Dataset, response: Response, ablated: Response) -> _Figures:
    weights = model.first_layer_weights()
    if not np.isfinite(weights).all():
        raise ValueError("weights hold a NaN or an infinity")
    logits, effects = _effects(model, ablated)
    baseline = _baseline(logits, ablated)
    shapes = shape.shapes_of(data.test.images)
    return _Figures(
        response=response,
        effects=effects,
        clarity=morans_i(weights, ink_area(inked_share(data.train.images))),
        shapes=shapes,
        correlations=feature_correlations(response, shapes),
        status=_status(response, effects, baseline),
        baseline=baseline,
    )


def _effects(model: MLP, response: Response) -> tuple[Tensor, list[Effect]]:
    """The logits of the images of `response`, and the effect of every neuron on them."""
    neurons = range(len(response.on))
    if response.outputs:
        return response.activations.T, [output_effect(response, output) for output in neurons]
    network = Network(model, response)
    return network.logits, [effect_of(network, neuron) for neuron in neurons]


def _status(response: Response, effects: list[Effect], baseline: Baseline) -> list[tuple[NeuronStatus, int | None]]:
    """The status of each neuron, and which one a duplicate copies. An output is never dead: silence may be right."""
    least = DEAD.value * baseline.logit_spread
    live = torch.tensor([response.outputs or effect.strength > least for effect in effects])
    copies = duplicates_of(response.activations, live)
    return [
        ("dead", None) if not alive else ("live", None) if copied is None else ("duplicate", copied)
        for alive, copied in zip(live.tolist(), copies, strict=True)
    ]


def _baseline(logits: Tensor, response: Response) -> Baseline:
    right = logits.argmax(dim=1) == response.labels
    recall = response.by_class(right[None])[0]
    return Baseline(
        accuracy=float(right.double().mean()),
        macro_recall=float(recall.mean()),
        logit_spread=spread_of(logits),
        images=tuple(int(images) for images in response.images),
        recall=tuple(recall.tolist()),
    )


def _speaker(data: Dataset, figures: _Figures) -> Speaker:
    words, response = ClassWords(data.class_names), figures.response
    means = response.by_class(torch.from_numpy(figures.shapes.T)).T.numpy()
    comparable = words.are_digits and bool(response.images.all())
    return Speaker(words, figures.baseline, response.outputs, shape_means=means if comparable else None)


def _describe(figures: _Figures, neuron: int, speaker: Speaker) -> Neuron:
    response, effect = figures.response, figures.effects[neuron]
    status, copied = figures.status[neuron]
    selectivity, prefers = selectivity_of(response.excitation[neuron])
    argues_for, argues_against = votes(effect.support)
    exciting, looked_at = _exciting(response, neuron), CLASSES * len(figures.effects)
    clarity = float(figures.clarity[neuron])
    described = Neuron(
        index=neuron,
        status=status,
        duplicate_of=copied,
        sentence="",
        task=ClassPreference(certainty="none") if status == "dead" else class_preference_of(response, neuron),
        features=() if status == "dead" else shape.features_of(figures.correlations[neuron]),
        activation=_activation(response, neuron),
        selectivity=selectivity,
        prefers=prefers,
        separation=tuple(response.separations[neuron].tolist()),
        support=effect.support,
        argues_for=argues_for,
        argues_against=argues_against,
        strength=effect.strength,
        is_faint=is_faint(effect.strength, figures.baseline),
        ablation=effect.ablation,
        missed_by=recall_drops(effect.ablation, figures.baseline, looked_at=looked_at) if effect.ablation else (),
        clarity=None if np.isnan(clarity) else clarity,
        exciting=exciting,
        exciting_labels=tuple(int(response.labels[index]) for index in exciting),
    )
    return replace(described, sentence=speaker.sentence(described))


def _activation(response: Response, neuron: int) -> Activation:
    values = response.activations[neuron]
    return Activation(
        lowest=float(values.min()),
        highest=float(values.max()),
        on_above=None if response.outputs else response.rest,
        mean=tuple(response.mean[neuron].tolist()),
        deviation=tuple(response.deviation[neuron].tolist()),
        share_on=tuple(response.share_on[neuron].tolist()),
    )


def _exciting(response: Response, neuron: int) -> tuple[int, ...]:
    """The test images with the highest activation above rest; fewer, or none, if not enough excite the neuron."""
    values = response.activations[neuron]
    top = values.topk(min(_EXCITING, len(values)))
    return tuple(int(index) for value, index in zip(top.values, top.indices, strict=True) if value > response.rest)
