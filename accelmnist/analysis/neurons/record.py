"""The record of the neurons: what each one does on the test set, argues for, and is worth, with its one sentence.

Every tuple "by class" has one entry a class, in the order of `class_names`. Shares, recalls and separations are 0 to 1,
activations and logits have no unit, and unknown is null. Classes are given by their number. Names of files are relative
to the folder of the record.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from accelmnist.core.config import CLASSES, ModelConfig
from accelmnist.core.files import SCHEMA_VERSION, load, save
from accelmnist.core.metrics import MOST
from accelmnist.core.records import Environment
from accelmnist.core.text import require_of_record, require_shares

RECORD_NAME = "neurons.json"

NeuronStatus = Literal["live", "dead", "duplicate"]
Certainty = Literal["clear", "leaning", "none"]


@dataclass(frozen=True, kw_only=True)
class Activation:
    """What comes out of a neuron on the test images; `mean`, `deviation` and `share_on` are by class.

    It is on for an image if its activation lies above `on_above`, or, if that is null, is the largest of the outputs.
    """

    lowest: float
    highest: float
    on_above: float | None
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    share_on: tuple[float, ...]

    def __post_init__(self) -> None:
        _require_by_class(self.mean, self.deviation, self.share_on)
        require_shares(*self.share_on)


@dataclass(frozen=True, kw_only=True)
class ClassPreference:
    """Which classes a neuron answers for, and how sure that is; without any, `certainty` is "none".

    `sense` "on": it is on for `classes` and off for the rest; "off": the other way round. `share_on` and
    `share_on_rest` average the shares of the classes, each class alike. `separation` is the probability that an image
    of `classes` excites it more (if `sense` is "off", less) than one of the rest: 0.5 is none, 1 is complete.
    """

    certainty: Certainty
    sense: Literal["on", "off"] = "on"
    classes: tuple[int, ...] = ()
    share_on: float | None = None
    share_on_rest: float | None = None
    separation: float | None = None

    def __post_init__(self) -> None:
        _require_classes(*self.classes)
        require_of_record(self.certainty == "none" or bool(self.classes), "a neuron answers for no class")
        require_shares(self.share_on, self.share_on_rest, self.separation)


@dataclass(frozen=True, kw_only=True)
class Feature:
    """A property of the shape that goes with the activation inside the classes, all of one class compared alone.

    `correlation` is Pearson's, -1 to 1, pooled over the classes; positive: the more of `name`, the more excited.
    """

    name: str
    correlation: float


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """What changes if the neuron's output is 0 for every image; all but `macro_recall_change` are by class.

    `recall` is what is left without it. `lost` are images that are right with it and wrong without it, `gained` the
    other way round. `loss_rise` is the mean rise of the loss, more sensitive than the recall.
    """

    recall: tuple[float, ...]
    lost: tuple[int, ...]
    gained: tuple[int, ...]
    loss_rise: tuple[float, ...]
    macro_recall_change: float

    def __post_init__(self) -> None:
        _require_by_class(self.recall, self.lost, self.gained, self.loss_rise)
        require_shares(*self.recall)


@dataclass(frozen=True, kw_only=True)
class Neuron:
    """One neuron of the first layer.

    `duplicate_of` is the neuron that it copies. `task` is what it answers for. `selectivity` is the class selectivity
    index, 0 to 1, of the class `prefers`. `support`, by class, is how far it moves each logit where it is on, less the
    mean over the classes: positive argues for the class, negative against; `argues_for` and `argues_against` are the
    classes with the strongest, in that order. `strength` is the spread of that over the test images; `is_faint` means
    that it is hardly heard. `missed_by` are the classes whose recall drops without it by more than chance, the largest
    drop first. `clarity` is Moran's I of its weights, about 0 for noise and towards 1 for strokes. `exciting` are test
    images, the most exciting first, of the classes `exciting_labels`. The two files are its weights in 0 to 255, and
    signed.
    """

    index: int
    status: NeuronStatus
    duplicate_of: int | None = None
    sentence: str
    task: ClassPreference
    features: tuple[Feature, ...] = ()
    activation: Activation
    selectivity: float | None
    prefers: int | None
    separation: tuple[float, ...]  # by class: the probability that an image of it excites more than one of another
    support: tuple[float, ...]
    argues_for: tuple[int, ...] = ()
    argues_against: tuple[int, ...] = ()
    strength: float
    is_faint: bool = False
    ablation: Ablation | None  # None for an output: without it, the network could not answer its class
    missed_by: tuple[int, ...] = ()
    clarity: float | None
    exciting: tuple[int, ...]
    exciting_labels: tuple[int, ...] = ()
    grey_file: str | None = None
    signed_file: str | None = None

    def __post_init__(self) -> None:
        _require_by_class(self.separation, self.support)
        _require_classes(self.prefers, *self.argues_for, *self.argues_against, *self.missed_by, *self.exciting_labels)
        fits = len(self.exciting_labels) in (0, len(self.exciting)) and min(self.exciting, default=0) >= 0
        require_of_record(fits and self.strength >= 0, "a neuron's images or its strength can't be")
        require_shares(self.selectivity, *self.separation)


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """The whole network on the images of the ablations; `images` and `recall` are by class.

    `logit_spread` is how far its logits vary over the images, in the unit of `Neuron.strength`.
    """

    accuracy: float
    macro_recall: float
    logit_spread: float
    images: tuple[int, ...]
    recall: tuple[float, ...]

    def __post_init__(self) -> None:
        _require_by_class(self.images, self.recall)
        require_shares(self.accuracy, self.macro_recall, *self.recall)


@dataclass(frozen=True)
class Threshold:
    """A number that decides what is said, and what it means."""

    name: str
    value: float
    meaning: str


@dataclass(frozen=True)
class Method:
    """How a figure is found, and its source if it has one."""

    name: str
    explanation: str
    source: str | None = None


@dataclass(frozen=True, kw_only=True)
class NeuronsRecord:
    """Everything that is known of the first layer of one network.

    Its neurons, the `rows`, are hidden units, or the outputs of a network without any. `order` is that of the atlas:
    the clearest first, then those without a clear task, dead and duplicate ones last. `accuracy` is the network's on
    all test images. `ablation_images` are all of them, or in deep networks as many, the same share of every class, as
    take a few seconds.
    """

    schema_version: int = SCHEMA_VERSION
    kind: Literal["neurons"] = "neurons"
    created: str = ""
    environment: Environment | None = None
    run: str | None = None  # when the run began, as its own record says
    network: ModelConfig = field(default_factory=ModelConfig)
    dataset: str = ""
    source: str = ""
    class_names: tuple[str, ...] = ()
    rows: Literal["hidden", "output"] = "hidden"
    test_images: int
    accuracy: float
    ablation_images: int
    analysis_s: float | None = None
    baseline: Baseline
    live: int
    dead: int
    duplicate: int
    summary: tuple[str, ...] = ()
    thresholds: tuple[Threshold, ...] = ()
    methods: tuple[Method, ...] = ()
    order: tuple[int, ...] = ()
    neurons: tuple[Neuron, ...] = ()
    files: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        indices = [neuron.index for neuron in self.neurons]
        require_of_record(indices == list(range(len(indices))), "neurons are out of order")
        require_of_record(sorted(self.order) == indices, "its order is not that of its neurons")
        require_of_record(len(self.class_names) in (0, CLASSES), f"its classes are not {CLASSES}")
        require_of_record(0 < self.test_images <= MOST, "there are no test images")
        require_shares(self.accuracy)
        for neuron in self.neurons:
            require_of_record(max(neuron.exciting, default=0) < self.test_images, "an image is none of the test images")


def _require_by_class(*lists: tuple[float, ...]) -> None:
    require_of_record(all(len(values) == CLASSES for values in lists), f"a figure by class is not of {CLASSES} classes")


def _require_classes(*classes: int | None) -> None:
    holds = all(label is None or 0 <= label < CLASSES for label in classes)
    require_of_record(holds, f"a class is not from 0 to {CLASSES - 1}")


def save_neurons(record: NeuronsRecord, folder: Path) -> Path:
    """Write `neurons.json` into `folder` in one step; raises OutputError."""
    return save(record, folder / RECORD_NAME)


def load_neurons(path: Path) -> NeuronsRecord:
    """Read and validate a record of neurons, given the file or its folder.

    Raises RecordError for one that is missing, truncated, foreign, of another kind or of a newer schema.
    """
    file = path / RECORD_NAME if path.is_dir() else path
    return load(file, NeuronsRecord, kind="neurons", noun="a run whose neurons were described")
