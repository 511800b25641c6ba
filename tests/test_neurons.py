"""What is said of neurons: planted ones are found, and every figure agrees with NumPy or scikit-learn."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from accelmnist.analysis.neurons.analysis import describe_neurons
from accelmnist.analysis.neurons.effect import images_within
from accelmnist.analysis.neurons.images import ink_area, inked_share, morans_i
from accelmnist.analysis.neurons.methods import GREY, mcnemar, recall_drops, votes
from accelmnist.analysis.neurons.record import (
    Ablation,
    Baseline,
    ClassPreference,
    Neuron,
    NeuronsRecord,
    load_neurons,
    save_neurons,
)
from accelmnist.analysis.neurons.recount import recount_neuron
from accelmnist.analysis.neurons.response import (
    Response,
    atlas_order,
    class_preference_of,
    feature_correlations,
    natural_break,
    respond,
)
from accelmnist.analysis.neurons.sentences import ClassWords, Speaker, share, summary_of
from accelmnist.analysis.neurons.shape import common_shape, features_of, shapes_of
from accelmnist.core.config import ACTIVATIONS, OUTPUTS, Activation, ModelConfig, Output
from accelmnist.core.errors import RecordError
from accelmnist.data.mnist import load_dataset
from accelmnist.data.types import DIGIT_NAMES, Dataset, ImageSet
from accelmnist.engines.model import MLP
from tests.neuron_samples import COPY, DEAD, FIVE_NINE, NOISE, SINGLE, ZERO, Planted, fill, planted, random_network
from tests.rounding import SUM_ERROR

pytestmark = pytest.mark.numeric

Real = NDArray[np.float64]
FUNCTIONS: dict[Activation, Callable[[Real], Real]] = {
    "relu": lambda z: np.maximum(z, 0),
    "leaky-relu": lambda z: np.where(z > 0, z, 0.01 * z),
    "gelu": lambda z: 0.5 * z * (1 + np.vectorize(math.erf)(z / math.sqrt(2))),
    "silu": lambda z: z / (1 + np.exp(-z)),
    "tanh": np.tanh,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
}


@pytest.fixture(scope="module")
def made() -> Planted:
    return planted()


@pytest.fixture(scope="module")
def found(made: Planted) -> NeuronsRecord:
    return describe_neurons(made.model, made.data)


@pytest.fixture(scope="module")
def mnist() -> Dataset:
    """The first 600 test images, with 2,000 training images."""
    whole = load_dataset()
    return replace(whole, train=part_of(whole.train, 2000), test=part_of(whole.test, 600))


def part_of(images: ImageSet, number: int) -> ImageSet:
    return ImageSet(images=images.images[:number], labels=images.labels[:number])


def evaluated(model: MLP, images: NDArray[np.uint8], *, without: int | None = None) -> Real:
    """Logits in float64 by NumPy, the whole network, with the output of one first-layer unit set to 0."""
    layers = [parameter.detach().double().numpy() for parameter in model.parameters()]
    values = images / 255.0
    for place in range(0, len(layers) - 2, 2):
        values = FUNCTIONS[model.config.activation](values @ layers[place].T + layers[place + 1])
        if place == 0 and without is not None:
            values[:, without] = 0.0
    return np.asarray(values @ layers[-2].T + layers[-1])


def losses(logits: Real, labels: NDArray[np.int64], output: Output) -> Real:
    target = np.eye(10)[labels]
    if output == "softmax":
        return np.asarray(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(labels)), labels])
    if output == "sigmoid":
        return np.asarray((np.log1p(np.exp(logits)) - target * logits).sum(axis=1))
    return np.asarray(0.5 * ((logits - target) ** 2).sum(axis=1))


# --- planted neurons


def test_exactly_the_planted_neurons_are_found(found: NeuronsRecord) -> None:
    tasks = {neuron.index: neuron.task.classes for neuron in found.neurons if neuron.task.certainty == "clear"}
    assert tasks == {ZERO: (0,), FIVE_NINE: (5, 9), COPY: (5, 9)} | {5 + i: (label,) for i, label in enumerate(SINGLE)}
    assert [neuron.index for neuron in found.neurons if neuron.status == "dead"] == [DEAD]
    assert [(neuron.index, neuron.duplicate_of) for neuron in found.neurons if neuron.status == "duplicate"] == [
        (COPY, FIVE_NINE)
    ]
    assert (found.live, found.dead, found.duplicate) == (11, 1, 1)


def test_the_zero_detector_is_on_for_as_many_images_as_hold_its_bar(made: Planted, found: NeuronsRecord) -> None:
    neuron, labels = found.neurons[ZERO], made.data.test.labels
    shares = [made.bars[labels == label, 0].mean() for label in range(10)]
    assert neuron.activation.share_on == pytest.approx(shares, abs=1e-12)
    assert neuron.task.share_on == pytest.approx(shares[0])
    assert neuron.task.share_on_rest == pytest.approx(np.mean(shares[1:]))
    assert neuron.prefers == 0
    assert neuron.argues_for == (0,)
    assert neuron.missed_by == (0,)


def test_the_sentence_of_the_zero_detector(made: Planted, found: NeuronsRecord) -> None:
    labels = made.data.test.labels
    before, after = (
        100 * (evaluated(made.model, made.data.test.images, without=unit).argmax(1) == labels)[labels == 0].mean()
        for unit in (None, ZERO)
    )
    own, rest = (100 * np.mean([made.bars[labels == d, 0].mean() for d in ds]) for ds in ([0], range(1, 10)))
    assert found.neurons[ZERO].sentence == (
        f"neuron 0 answers for 0: on for {own:.0f} % of the zeros and {rest:.0f} % of the rest; it argues for 0; "
        f"without it recall of 0 falls from {before:.1f} to {after:.1f} %"
    )
    assert before > 90 > 60 > after


def test_sentences_name_groups_copies_noise_and_the_dead(found: NeuronsRecord) -> None:
    sentences = [neuron.sentence for neuron in found.neurons]
    assert sentences[FIVE_NINE].startswith("neuron 1 answers for 5 and 9: on for ")
    assert "of the fives and nines" in sentences[FIVE_NINE]
    assert sentences[COPY].startswith("neuron 4 does the same as neuron 1, and answers for 5 and 9")
    assert sentences[NOISE].startswith("neuron 2 has no clear task and shows grey noise: on for ")
    assert sentences[DEAD] == "neuron 3 is dead: its output is 0 for every test image"


def test_noise_is_grey_and_bars_are_not(found: NeuronsRecord) -> None:
    clarity = [neuron.clarity for neuron in found.neurons]
    assert abs(clarity[NOISE] or 1) < 0.1
    assert (clarity[ZERO] or 0) > 0.6 > GREY.value


def test_the_order_goes_from_clear_to_dead(found: NeuronsRecord) -> None:
    assert sorted(found.order) == list(range(13))
    assert found.order[-3:] == (NOISE, COPY, DEAD)
    clear = [found.neurons[index] for index in found.order[:10]]
    assert {neuron.task.certainty for neuron in clear} == {"clear"}


def test_the_exciting_images_are_those_of_the_largest_activation(made: Planted, found: NeuronsRecord) -> None:
    first = made.model.first_layer_weights()[NOISE].astype(np.float64)
    drive = made.data.test.images / 255.0 @ first
    assert found.neurons[NOISE].exciting == tuple(np.argsort(-drive)[:8])
    assert found.neurons[DEAD].exciting == ()


def test_swapping_the_classes_swaps_what_is_said(made: Planted) -> None:
    """Nothing leans on an index: the same network on images whose 0 is called 3 has a three detector."""
    labels = made.data.test.labels
    renamed = np.where(labels == 0, 3, np.where(labels == 3, 0, labels))
    data = replace(made.data, test=ImageSet(images=made.data.test.images, labels=renamed))
    assert describe_neurons(made.model, data).neurons[ZERO].task.classes == (3,)


def test_a_neuron_that_is_off_for_one_class_answers_for_the_others(made: Planted) -> None:
    model = MLP(ModelConfig(hidden=(13,)), seed=0)
    values = [parameter.detach().double().numpy().copy() for parameter in made.model.parameters()]
    values[0][ZERO] *= -1
    values[1][ZERO] *= -1
    fill(model, *values)
    neuron = describe_neurons(model, made.data).neurons[ZERO]
    assert (neuron.task.certainty, neuron.task.sense, neuron.task.classes) == ("clear", "off", (0,))
    assert neuron.task.share_on is not None
    assert neuron.task.share_on < 0.1 < 0.9 < (neuron.task.share_on_rest or 0)
    assert (neuron.task.separation or 0) > 0.9
    assert neuron.sentence.startswith("neuron 0 answers for all but 0: on for ")


def test_a_neuron_that_nothing_listens_to_is_dead(made: Planted) -> None:
    values = [parameter.detach().double().numpy().copy() for parameter in made.model.parameters()]
    values[2][:, ZERO] = 0.0
    model = MLP(ModelConfig(hidden=(13,)), seed=0)
    fill(model, *values)
    neuron = describe_neurons(model, made.data).neurons[ZERO]
    assert neuron.status == "dead"
    assert "it moves no answer" in neuron.sentence


# --- the figures against references


@pytest.mark.parametrize("hidden", [(6,), (6, 5), (6, 5, 4), (1,)], ids=str)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_ablation_agrees_with_a_plain_evaluation(
    mnist: Dataset, hidden: tuple[int, ...], activation: Activation
) -> None:
    model = random_network(hidden, activation=activation)
    check_ablation(model, mnist)


@pytest.mark.parametrize("output", OUTPUTS)
def test_ablation_has_the_loss_of_the_output(mnist: Dataset, output: Output) -> None:
    check_ablation(random_network((6,), output=output), mnist)


def check_ablation(model: MLP, data: Dataset) -> None:
    """Recall and images to the image where the best logit is the best by more than rounding; all logits are about 1."""
    labels, found = data.test.labels, describe_neurons(model, data)
    whole = evaluated(model, data.test.images)
    right, members = whole.argmax(1) == labels, np.eye(10, dtype=bool)[labels].T
    assert np.abs(whole).max() < 10
    for neuron in found.neurons:
        assert neuron.ablation is not None
        logits = evaluated(model, data.test.images, without=neuron.index)
        now = logits.argmax(1) == labels
        rise = losses(logits, labels, model.config.output) - losses(whole, labels, model.config.output)
        unsure = tied(whole) | tied(logits)
        for place, of in enumerate(members):
            few = (unsure & of).sum()
            assert neuron.ablation.recall[place] == pytest.approx(now[of].mean(), abs=few / of.sum() + 1e-9)
            assert abs(neuron.ablation.lost[place] - (right & ~now & of).sum()) <= few
            assert abs(neuron.ablation.gained[place] - (~right & now & of).sum()) <= few
        assert neuron.ablation.loss_rise == pytest.approx([rise[of].mean() for of in members], abs=SUM_ERROR)
        moved = whole - logits
        moved -= moved.mean(axis=1, keepdims=True)
        assert neuron.strength == pytest.approx(np.sqrt(moved.var(axis=0).mean()), abs=SUM_ERROR)
        on = first_drive(model, data)[neuron.index] > 0
        assert neuron.support == pytest.approx(moved[on].mean(axis=0) if on.any() else np.zeros(10), abs=10 * SUM_ERROR)


def tied(logits: Real) -> NDArray[np.bool_]:
    """Images whose two best logits are as close as rounding may bring them."""
    ranked = np.sort(logits, axis=1)
    return np.asarray(ranked[:, -1] - ranked[:, -2] < 2 * SUM_ERROR * np.abs(logits).max())


def first_drive(model: MLP, data: Dataset) -> Real:
    weight, bias = (parameter.detach().double().numpy() for parameter in list(model.parameters())[:2])
    return np.asarray(weight @ (data.test.images / 255.0).T + bias[:, None])


def test_support_in_one_hidden_layer_is_the_outgoing_weight_times_the_activation(mnist: Dataset) -> None:
    model = random_network((8,))
    activations = np.maximum(first_drive(model, mnist), 0)
    outgoing = list(model.parameters())[2].detach().double().numpy()
    for neuron in describe_neurons(model, mnist).neurons:
        mean = activations[neuron.index][activations[neuron.index] > 0].mean()
        weights = outgoing[:, neuron.index]
        assert neuron.support == pytest.approx(mean * (weights - weights.mean()), abs=10 * SUM_ERROR)
        assert (neuron.argues_for, neuron.argues_against) == votes(neuron.support)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activation_by_class(mnist: Dataset, activation: Activation) -> None:
    model = random_network((8,), activation=activation)
    drive, labels = first_drive(model, mnist), mnist.test.labels
    values = FUNCTIONS[activation](drive)
    rest = FUNCTIONS[activation](np.zeros(1))[0]
    for neuron in describe_neurons(model, mnist).neurons:
        own, by_class = values[neuron.index], [labels == label for label in range(10)]
        assert neuron.activation.mean == pytest.approx([own[of].mean() for of in by_class], abs=SUM_ERROR)
        assert neuron.activation.deviation == pytest.approx([own[of].std() for of in by_class], abs=SUM_ERROR)
        near = np.abs(drive[neuron.index]) < SUM_ERROR  # on or off, as rounding has it
        for share_on, of in zip(neuron.activation.share_on, by_class, strict=True):
            assert share_on == pytest.approx((drive[neuron.index][of] > 0).mean(), abs=near[of].mean() + 1e-9)
        assert neuron.activation.on_above == pytest.approx(rest)
        excitation = np.array([np.maximum(own[of] - rest, 0).mean() for of in by_class])
        highest = excitation.max()
        others = (excitation.sum() - highest) / 9
        assert neuron.selectivity == pytest.approx((highest - others) / (highest + others), abs=10 * SUM_ERROR)
        assert neuron.prefers == excitation.argmax()


def test_separation_is_the_area_under_the_roc_curve(mnist: Dataset) -> None:
    """By scikit-learn, with rectifiers, whose zeros are many ties."""
    model = random_network((8,))
    inputs = torch.from_numpy(mnist.test.images) / 255
    response = respond(model, inputs, torch.from_numpy(mnist.test.labels))
    for neuron in range(8):
        values = response.activations[neuron].detach().numpy()
        for classes in [(0,), (5, 9), (1, 2, 3, 4)]:
            expected = roc_auc_score(np.isin(mnist.test.labels, classes), values)
            assert response.separation(neuron, classes) == pytest.approx(expected, abs=1e-9)
        assert response.separations[neuron, 0] == pytest.approx(response.separation(neuron, (0,)), abs=1e-12)


def test_the_outputs_of_a_network_without_hidden_layers_are_its_neurons(mnist: Dataset) -> None:
    model = random_network(())
    record = describe_neurons(model, mnist)
    logits, labels = evaluated(model, mnist.test.images), mnist.test.labels
    said, unsure = logits.argmax(1), tied(logits)
    assert (record.rows, len(record.neurons), record.dead) == ("output", 10, 0)
    for neuron in record.neurons:
        for digit, share_on in enumerate(neuron.activation.share_on):
            of = labels == digit
            assert share_on == pytest.approx((said == neuron.index)[of].mean(), abs=unsure[of].mean() + 1e-9)
        assert neuron.ablation is None
        assert neuron.activation.on_above is None
        assert neuron.sentence.startswith(f"output {neuron.index} ")


def test_a_deep_network_is_ablated_on_the_same_share_of_every_class(mnist: Dataset) -> None:
    config = ModelConfig(hidden=(2048, 2048, 2048))
    assert images_within(config, 10_000, active=1.0) == 500
    flops_per_image = 0.001 * 2048 * 2 * (2048**2 + 20480)
    assert images_within(config, 100_000, active=0.001) == pytest.approx(1e11 / flops_per_image, abs=1)
    assert images_within(ModelConfig(hidden=(2048,)), 10_000, active=1.0) == 10_000


def test_what_one_image_of_a_class_is_worth(mnist: Dataset) -> None:
    """A class without images has no recall and is no fault."""
    few = ImageSet(images=mnist.test.images[:3], labels=mnist.test.labels[:3])
    record = describe_neurons(random_network((4,)), replace(mnist, test=few))
    assert sum(record.baseline.images) == 3
    assert all(np.isfinite(neuron.activation.mean).all() for neuron in record.neurons)


def test_weights_that_are_not_finite_are_refused(mnist: Dataset) -> None:
    model = random_network((4,))
    with torch.no_grad():
        model.get_parameter("layers.0.weight")[0, 0] = float("nan")
    with pytest.raises(ValueError, match="NaN"):
        describe_neurons(model, mnist)


# --- clarity, shapes, words


def test_morans_i_agrees_with_its_definition() -> None:
    random = np.random.default_rng(0)
    weights, area = random.normal(size=784), np.zeros((28, 28), dtype=bool)
    area[5:20, 7:22] = random.random((15, 15)) < 0.8
    pixels = [tuple(place) for place in np.argwhere(area)]
    values = {place: weights[28 * place[0] + place[1]] for place in pixels}
    mean = np.mean(list(values.values()))
    near = [(a, b) for a in pixels for b in [(a[0] + 1, a[1]), (a[0], a[1] + 1)] if b in values]
    products = sum((values[a] - mean) * (values[b] - mean) for a, b in near) / len(near)
    expected = products / np.mean([(value - mean) ** 2 for value in values.values()])
    assert morans_i(weights[None], area)[0] == pytest.approx(expected, abs=1e-12)


def test_clarity_tells_strokes_from_noise(mnist: Dataset) -> None:
    """Of 200 images of white noise and 200 of strokes in as much noise, all lie on their side of the threshold."""
    random = np.random.default_rng(1)
    area = ink_area(inked_share(mnist.train.images))
    noise = random.normal(0, 1, (200, 784))
    strokes = mnist.train.images[:200] / 255.0 * 3 + random.normal(0, 0.5, (200, 784))
    assert morans_i(noise, area).max() < GREY.value < morans_i(strokes, area).min()
    assert np.isnan(morans_i(np.full((1, 784), 0.3), area)).all()


def test_the_ink_area_is_where_the_images_have_ink() -> None:
    images = np.zeros((200, 784), dtype=np.uint8)
    images[:, 30] = 1
    images[:1, 31] = 255
    shares = inked_share(images)
    assert shares.ravel()[[30, 31, 32]].tolist() == [1.0, 0.005, 0.0]
    assert np.flatnonzero(ink_area(shares)).tolist() == [30]


def drawn(*places: tuple[slice, slice]) -> NDArray[np.uint8]:
    image = np.zeros((28, 28), dtype=np.uint8)
    for rows, columns in places:
        image[rows, columns] = 255
    return image.reshape(1, 784)


def test_shapes_of_simple_drawings() -> None:
    upright = drawn((slice(4, 24), slice(13, 15)))
    level = drawn((slice(13, 15), slice(4, 24)))
    ring = drawn(
        (slice(6, 8), slice(8, 20)),
        (slice(20, 22), slice(8, 20)),
        (slice(6, 22), slice(8, 10)),
        (slice(6, 22), slice(18, 20)),
    )
    leaning = np.zeros((28, 28), dtype=np.uint8)
    for row in range(4, 24):
        leaning[row, 20 - row // 2 : 22 - row // 2] = 255  # the top is to the right
    loops, uprightness, slant, ink = shapes_of(np.concatenate([upright, level, ring, leaning.reshape(1, 784)])).T
    assert loops.tolist() == [0, 0, 1, 0]
    assert uprightness[0] > 0.85 > 0.15 > uprightness[1]
    assert slant[0] == pytest.approx(0, abs=1e-6)
    assert slant[3] == pytest.approx(0.5, abs=0.02)
    assert ink[0] == pytest.approx(40 / 784, abs=1e-6)


def test_zeros_have_a_loop_and_ones_have_none(mnist: Dataset) -> None:
    loops, labels = shapes_of(mnist.test.images)[:, 0], mnist.test.labels
    means = [loops[labels == label].mean() for label in range(10)]
    assert min(means[label] for label in (0, 6, 8, 9)) > 0.6
    assert max(means[label] for label in (1, 3, 5, 7)) < 0.15
    table = np.stack([means, np.zeros(10), np.zeros(10), np.zeros(10)], axis=1)
    assert common_shape(table, (0, 8)) == "all with a closed loop"
    assert common_shape(table, (0, 1)) == common_shape(table, (0,)) == ""


def test_shapes_are_compared_within_the_classes(mnist: Dataset) -> None:
    model = random_network((8,))
    response = respond(model, torch.from_numpy(mnist.test.images) / 255, torch.from_numpy(mnist.test.labels))
    shapes, labels = shapes_of(mnist.test.images), mnist.test.labels
    with torch.no_grad():
        found = feature_correlations(response, shapes)
    values = np.maximum(first_drive(model, mnist), 0)
    for label_ in range(10):  # within: the mean of its class comes off each figure
        of = labels == label_
        values[:, of] -= values[:, of].mean(axis=1, keepdims=True)
        shapes[of] -= shapes[of].mean(axis=0)
    expected = np.corrcoef(values, shapes.T)[:8, 8:]
    assert found == pytest.approx(expected, abs=100 * SUM_ERROR)  # over deviations of a hundredth and more
    assert [feature.correlation for feature in features_of(np.array([0.1, -0.5, 0.31, 0.2]))] == [-0.5, 0.31]


@pytest.mark.parametrize(("lost", "gained"), [(0, 0), (5, 0), (17, 0), (12, 9), (3, 30), (2000, 1800)])
def test_mcnemar_is_the_exact_binomial_test(lost: int, gained: int) -> None:
    expected = binomtest(lost, lost + gained).pvalue if lost + gained else 1.0
    assert mcnemar(lost, gained) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("lost", "gained", "said"),
    [
        (40, 1, "without it recall of 1 falls from 95.0 to 91.1 %"),
        (9, 1, "without it recall of 1 falls from 95.0 to 94.2 %, perhaps by chance"),
        (3, 0, "without it no recall changes by more than 0.3 points"),
        (0, 4, "without it no recall changes by more than 0.4 points"),
        (1, 30, "without it recall of 1 even rises from 95.0 to 97.9 %, perhaps by chance"),
        (0, 0, "without it no recall changes"),
    ],
)
def test_a_fall_of_recall_is_told_as_surely_as_it_is_known(
    found: NeuronsRecord, lost: int, gained: int, said: str
) -> None:
    """Of 1,000 images a class, among 130 comparisons."""
    baseline = Baseline(accuracy=0.95, macro_recall=0.95, logit_spread=1.0, images=(1000,) * 10, recall=(0.95,) * 10)
    recall = tuple(0.95 - (lost - gained) / 1000 if label == 1 else 0.95 for label in range(10))
    ablation = Ablation(
        recall=recall,
        lost=tuple(lost if label == 1 else 0 for label in range(10)),
        gained=tuple(gained if label == 1 else 0 for label in range(10)),
        loss_rise=(0.0,) * 10,
        macro_recall_change=(gained - lost) / 10_000,
    )
    missed_by = recall_drops(ablation, baseline, looked_at=130)
    speaker = Speaker(words=ClassWords(DIGIT_NAMES), baseline=baseline, outputs=False, shape_means=None)
    neuron = replace(found.neurons[ZERO], ablation=ablation, missed_by=missed_by)
    assert speaker.sentence(neuron).split("; ")[-1] == said


def test_a_network_that_misses_no_neuron_is_said_to_miss_none(found: NeuronsRecord) -> None:
    def harmless(ablation: Ablation | None) -> Ablation | None:
        return None if ablation is None else replace(ablation, macro_recall_change=0.001)

    assert any(sentence.startswith("Without neuron ") for sentence in summary_of(found))
    spared = tuple(replace(neuron, ablation=harmless(neuron.ablation)) for neuron in found.neurons)
    sentence = "No neuron is missed: whichever one is taken away, the mean recall does not fall"
    assert sentence in summary_of(replace(found, neurons=spared))


def test_the_larger_difference_comes_first_and_odd_excitement_counts_against_it(found: NeuronsRecord) -> None:
    neuron = replace(found.neurons[ZERO], missed_by=(), exciting_labels=(0,) * 8)
    wider = ClassPreference(certainty="clear", classes=(0,), share_on=0.9, share_on_rest=0.0, separation=0.95)
    tighter = replace(wider, share_on=0.7)
    several = [replace(neuron, index=0, task=tighter), replace(neuron, index=1, task=wider)]
    assert atlas_order(several) == (1, 0)
    assert atlas_order([several[0], replace(several[1], exciting_labels=(3,) * 8)]) == (0, 1)
    assert atlas_order([several[0], replace(several[1], is_faint=True)]) == (0, 1)
    assert atlas_order([replace(several[0], missed_by=(0,)), several[1]]) == (0, 1)


@pytest.mark.parametrize(
    ("shares", "upper"),
    [
        ([0.9] + [0.1] * 9, (0,)),
        ([0.1] * 5 + [0.9] + [0.1] * 3 + [0.8], (5, 9)),
        ([0.9] * 9 + [0.1], tuple(range(9))),
        ([0.3] * 10, ()),
    ],
)
def test_the_natural_break(shares: list[float], upper: tuple[int, ...]) -> None:
    assert natural_break(np.array(shares)) == upper


def test_words() -> None:
    digits, clothes = ClassWords(tuple("0123456789")), ClassWords(("Shirt", "Bag", *"23456789"))
    assert digits.images((0, 6, 8)) == "the zeros, sixes and eights"
    assert clothes.images((0, 1)) == "the images of Shirt and Bag"
    assert [share(value) for value in (0, 0.001, 0.03, 0.996, 1)] == ["0 %", "under 1 %", "3 %", "over 99 %", "100 %"]


def test_the_record_comes_back_from_its_file(found: NeuronsRecord, tmp_path: Path) -> None:
    save_neurons(found, tmp_path)
    assert load_neurons(tmp_path) == found


def test_a_class_without_images_is_no_class_of_a_neuron_and_none_of_the_rest() -> None:
    labels = torch.tensor([0, 0, 1, 1])
    both, zeros = torch.ones(1, 4), torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    nothing = Response(both, both > 0, labels, rest=0.0, outputs=False)
    assert class_preference_of(nothing, 0) == ClassPreference(certainty="none")
    task = class_preference_of(Response(zeros, zeros > 0, labels, rest=0.0, outputs=False), 0)
    assert (task.classes, task.share_on, task.share_on_rest, task.separation) == ((0,), 1.0, 0.0, 1.0)
    alone = Response(zeros, zeros > 0, torch.zeros(4, dtype=torch.int64), rest=0.0, outputs=False)
    assert class_preference_of(alone, 0) == ClassPreference(certainty="none")


# --- one neuron found once more


@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
def test_figures_that_are_not_the_network_s_are_found(made: Planted, activation: Activation) -> None:
    model = random_network((6,), activation=activation)
    record = describe_neurons(model, made.data)
    recount_neuron(record, model, made.data.test)
    assert record.ablation_images == len(made.data.test)

    def without(change: Callable[[Neuron], Neuron]) -> NeuronsRecord:
        return replace(record, neurons=tuple(map(change, record.neurons)))

    def turned(neuron: Neuron) -> Neuron:
        share_on = tuple(0.9 - 0.8 * share for share in neuron.activation.share_on)
        return replace(neuron, activation=replace(neuron.activation, share_on=share_on))

    def exchanged(neuron: Neuron) -> Neuron:
        assert neuron.ablation is not None
        lost = tuple(1000 + count for count in neuron.ablation.gained)
        return replace(neuron, ablation=replace(neuron.ablation, lost=lost, gained=neuron.ablation.lost))

    for change, words in ((turned, "is on for"), (exchanged, "are lost")):
        with pytest.raises(RecordError, match=words):
            recount_neuron(without(change), model, made.data.test)
