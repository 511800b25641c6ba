"""scikit-learn's MLPClassifier, whose Adam has neither schedule nor decoupled decay, and whose loss no smoothing.

It trains the same network on the same batches at Adam's usual rate, 0.001, epoch after epoch until the test set says
98.0 %: at the recipe's own peak, held constant, it never gets there.
"""

from __future__ import annotations

import numpy as np
from sklearn import config_context
from sklearn.neural_network import MLPClassifier

from accelmnist.core.config import CLASSES
from bench.peers.contract import Digits, as_digits
from bench.peers.start.task import TARGET, WORKLOAD, Task, Watch

_MOST_EPOCHS = 100


def train(task: Task, watch: Watch) -> Digits:
    """An epoch a call, with the evaluation on the clock."""
    inputs, labels, test = task.inputs(), task.data.train.labels, task.test_inputs()
    classifier = MLPClassifier(
        WORKLOAD.hidden, batch_size=WORKLOAD.batch_size, learning_rate_init=1e-3, random_state=task.seed
    )
    watch.mark("data")
    with config_context(assume_finite=True, skip_parameter_validation=True):
        for _ in range(_MOST_EPOCHS):
            classifier.partial_fit(inputs, labels, classes=np.arange(CLASSES))
            digits = as_digits(classifier.predict(test))
            if task.accuracy(digits) >= TARGET:
                break
    return digits
