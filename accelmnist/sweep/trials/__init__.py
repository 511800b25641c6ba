"""Many trainings of small networks at once; every one ends with the weights that it would have had alone.

    trial.py      a trial, what trials share, a result; one trial from its first weights to its last
    training.py   `train_trials`: which trials train in which way; a pool over the cores of a CPU
    batched.py    as one graph on a GPU
    dealt.py      by several ranks, each of which takes the next
    run.py        `run --trials`: many seeds of one configuration

A trial's device and engine are resolved by the caller, and so is which images train it: what is held out is not among
the images that `train_trials` is given.
"""

from accelmnist.sweep.trials.dealt import Dealer
from accelmnist.sweep.trials.training import serve_trainings, train_trials
from accelmnist.sweep.trials.trial import Trial, TrialResult

__all__ = ["Dealer", "Trial", "TrialResult", "serve_trainings", "train_trials"]
