"""The process of one peer, from its start to the accuracy: `python -m bench.starts.program numpy 0`.

The images are read while the library is imported, as the package itself does. One line of JSON tells the accuracy and
the seconds of the parts: "data" is what waiting for the images and bringing them into the library's form take beyond
that, "first" the compilation or the first step, "training" all that follows, evaluation included. Whoever started the
process takes the time of the whole.

A library that can't do the recipe's training trains the same network by Adam at its usual rate, epoch after epoch until
the test set says that it is there: at the recipe's own peak, held constant, it never gets there.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, field, replace

from accelmnist.core.config import CONSTANT_RATES, RECIPES, DataConfig, RunConfig
from accelmnist.data.mnist import load_in_background
from accelmnist.data.types import Dataset, ImageSet
from accelmnist.measure.beside.serving import take_output
from bench.peers.contract import Contender, Job, refusal
from bench.peers.serve import bind, load_contender

RECIPE = RECIPES["mnist-98"]
_MOST_EPOCHS = 100


@dataclass
class Watch:
    """Seconds of the parts of a process: `mark` ends one."""

    parts: dict[str, float] = field(default_factory=dict)
    since: float = field(default_factory=time.perf_counter)

    def mark(self, part: str) -> None:
        """What passed since the last mark belongs to `part`."""
        now = time.perf_counter()
        self.parts[part] = self.parts.get(part, 0.0) + now - self.since
        self.since = now


def recipe(seed: int) -> RunConfig:
    """The recipe's run."""
    config = RECIPE.config
    return replace(config, training=replace(config.training, seed=seed))


def simpler(config: RunConfig) -> RunConfig:
    """An epoch of the same network by Adam at a constant rate."""
    training = replace(config.training, optimizer="adam", learning_rate=CONSTANT_RATES["adam"], schedule="constant")
    return replace(config, training=replace(training, epochs=1, weight_decay=0.0, label_smoothing=0.0))


def accuracy_of(contender: Contender, test: ImageSet) -> float:
    """The share of the test set that it has right."""
    said = contender.classify(contender.upload(test.images))
    return float(((said.argmax(axis=1) if said.ndim == 2 else said) == test.labels).mean())


def trained(kind: type[Contender], config: RunConfig, dataset: Dataset, watch: Watch) -> float:
    """Train from the start to the accuracy, which is returned; `watch` has the parts."""
    job, test = Job.of(config, dataset), dataset.test
    is_simple = refusal(kind, job) is not None
    if is_simple:
        job = Job.of(simpler(config), dataset)
    contender = kind(job)
    contender.load(job.fresh())
    watch.mark("data")
    contender.train(slice(0, kind.first_steps))
    watch.mark("first")
    contender.train(slice(kind.first_steps, len(job.order)))
    accuracy = accuracy_of(contender, test)
    for _ in range(_MOST_EPOCHS if is_simple else 0):
        if accuracy >= RECIPE.accuracy:
            break
        contender.train(slice(0, len(job.order)))
        accuracy = accuracy_of(contender, test)
    watch.mark("training")
    return accuracy


def main() -> None:
    """Import, train, tell."""
    replies, threads = take_output(), bind()
    assert threads is not None, "its threads are set by who starts it"
    name, seed = sys.argv[1], int(sys.argv[2])
    load = load_in_background(DataConfig(), seed=0)
    kind = load_contender(name)
    watch = Watch()
    accuracy = trained(kind, recipe(seed), load(), watch)
    replies.write(json.dumps({"accuracy": accuracy, "parts": watch.parts}) + "\n")
    replies.flush()


if __name__ == "__main__":
    main()
