"""scikit-learn's MLPClassifier, a region of steps a call of `partial_fit`.

Its documentation gives two ways to go on with a training: `fit` with `warm_start` and `max_iter=1`, and `partial_fit`
(scikit-learn.org/stable/modules/neural_networks_supervised.html, "More control with warm_start"). `partial_fit` is the
quicker by a little and warns of nothing. It shuffles what it gets. Checks are switched off as "Computational
Performance" advises (scikit-learn.org/stable/computing/computational_performance.html, `assume_finite`).

The weights start where all others' do: they are written into `coefs_` after a first call of one step, which allocates;
the optimizer that it made is taken away, and the next call makes a new one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.neural_network import MLPClassifier

from accelmnist.core.config import CLASSES, Activation
from accelmnist.engines.plan import Floats
from accelmnist.engines.step.rules import BETA1, BETA2, EPSILON
from bench.peers.contract import SCALE, Contender, Job, State

_ACTIVATIONS: dict[Activation, str] = {"relu": "relu", "tanh": "tanh", "sigmoid": "logistic"}


def classifier_of(job: Job) -> MLPClassifier:
    """Without regularisation, early stopping or changes of the learning rate."""
    training, model = job.config.training, job.config.model
    return MLPClassifier(
        hidden_layer_sizes=model.hidden,
        activation=_ACTIVATIONS[model.activation],
        solver="adam" if job.is_adam else "sgd",
        alpha=0.0,
        batch_size=training.batch_size,
        learning_rate_init=training.peak_rate,
        momentum=training.momentum if job.slots else 0.0,
        nesterovs_momentum=training.nesterov,
        beta_1=BETA1,
        beta_2=BETA2,
        epsilon=EPSILON,
        shuffle=True,
        random_state=0,
    )


class Sklearn(Contender):
    """MLPClassifier."""

    packages = ("scikit-learn",)
    shuffles = True

    @classmethod
    def unsupported(cls, job: Job) -> str | None:
        """Most of what can be changed here can't be there; a classification takes the network alone."""
        training, model, trains = job.config.training, job.config.model, job.mode == "training"
        reasons = {
            f"it has no {model.activation}": model.activation not in _ACTIVATIONS,
            f"it has no {model.output} outputs": model.output != "softmax",
            "it has no label smoothing": trains and training.label_smoothing > 0,
            "it has no such weight decay": trains and training.weight_decay > 0,
            "it has no schedule for the learning rate": trains and bool(np.ptp(job.rates) > 0),
        }
        return next((reason for reason, holds in reasons.items() if holds), None)

    def __init__(self, job: Job) -> None:
        self.job = job
        if job.mode == "training":
            self.inputs = job.data.inputs

    def load(self, state: State) -> None:
        """A new classifier, with the weights in it, as (inputs, units)."""
        self.classifier, labels = classifier_of(self.job), np.arange(CLASSES)
        size = max(CLASSES, self.job.config.training.batch_size)
        first = self.job.data.images[:size] * SCALE
        self.classifier.partial_fit(first, np.resize(labels, len(first)), classes=labels)
        arrays = [state[name].T.copy() for name in self.job.names]
        self.classifier.coefs_, self.classifier.intercepts_ = arrays[::2], arrays[1::2]
        vars(self.classifier).pop("_optimizer")
        if self.job.mode == "inference":
            self.classifier.out_activation_ = "identity"  # the logits themselves

    def train(self, steps: slice) -> Floats:
        """One call; it tells the mean loss alone."""
        part = self.job.images_of(steps)
        with config_context(assume_finite=True, skip_parameter_validation=True):
            self.classifier.partial_fit(self.inputs[part], self.job.data.labels[part])
        return np.array([self.classifier.loss_], np.float32)

    def classify(self, images: Any) -> NDArray[Any]:
        """The logits, or after a training, which would go on by other outputs, the digits by `predict`."""
        with config_context(assume_finite=True, skip_parameter_validation=True):
            if self.job.mode == "inference":
                return np.asarray(self.classifier.predict_proba(images * SCALE))
            return np.asarray(self.classifier.predict(images * SCALE))


CONTENDER = Sklearn
