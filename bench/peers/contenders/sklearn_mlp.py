"""scikit-learn's MLPClassifier, a region of steps a call of `partial_fit`.

Its documentation gives two ways to go on with a training: `fit` with `warm_start` and `max_iter=1`, and `partial_fit`
(scikit-learn.org/stable/modules/neural_networks_supervised.html, "More control with warm_start"). `partial_fit` is the
quicker by a little and warns of nothing. It shuffles what it gets: an epoch is one call with as many images as make
full batches. Checks are switched off as "Computational Performance" advises
(scikit-learn.org/stable/computing/computational_performance.html, `assume_finite`).

The weights start where all others' do: they are written into `coefs_` after a first call of one step, the only one that
allocates. The momentum of that one step remains.
"""

from __future__ import annotations

import numpy as np
from sklearn import config_context
from sklearn.neural_network import MLPClassifier

from accelmnist.core.config import CLASSES
from bench.peers.contract import Contender, Digits, as_digits, no_bf16
from bench.peers.workloads import BETA1, BETA2, EPSILON, SCALE, Floats, Job, Slices, Workload


def classifier_of(workload: Workload) -> MLPClassifier:
    """Without regularisation, early stopping or changes of the learning rate."""
    return MLPClassifier(
        hidden_layer_sizes=workload.hidden,
        solver=workload.rule,
        alpha=0.0,
        batch_size=workload.batch_size,
        learning_rate_init=workload.learning_rate or 1e-3,
        momentum=workload.momentum,
        nesterovs_momentum=False,
        beta_1=BETA1,
        beta_2=BETA2,
        epsilon=EPSILON,
        shuffle=True,
        random_state=0,
    )


class Sklearn(Contender):
    """MLPClassifier."""

    @classmethod
    def unsupported(cls, job: Job, variant: str) -> str | None:  # noqa: ARG003
        """It computes in float32 and float64."""
        return no_bf16(job)

    def __init__(self, job: Job, variant: str) -> None:  # noqa: ARG002
        self.job = job
        self.inputs, self.labels = job.inputs(), job.data.train.labels
        self.reset()

    def reset(self) -> None:
        """A new classifier, with the start weights in it."""
        self.classifier = classifier_of(self.job.workload)
        first = self.job.data.train.images[: self.job.workload.batch_size] * SCALE
        self.classifier.partial_fit(first, self.labels[: len(first)], classes=np.arange(CLASSES))
        for layer, (weight, bias) in enumerate(self.job.weights):
            self.classifier.coefs_[layer][:] = weight
            self.classifier.intercepts_[layer][:] = bias
        self.slices = Slices(self.job.workload)

    def train(self, steps: int) -> Floats:
        """One call; it tells the mean loss alone."""
        part = self.slices.take(steps)
        with config_context(assume_finite=True, skip_parameter_validation=True):
            self.classifier.partial_fit(self.inputs[part], self.labels[part])
        return np.array([self.classifier.loss_], np.float32)

    def classify(self) -> Digits:
        """`predict` on images from 0 to 1."""
        with config_context(assume_finite=True, skip_parameter_validation=True):
            return as_digits(self.classifier.predict(self.job.data.test.images * SCALE))


CONTENDER = Sklearn
