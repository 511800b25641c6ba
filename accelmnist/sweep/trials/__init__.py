"""Many trainings of small networks at once; every one ends with the weights that it would have had alone.

    contract.py   a trial, its data and its result
    training.py   `train_trials`: which trials train in which way
    alone.py      one trial from its first weights to its last
    pool.py       over the cores of a CPU
    batched.py    as one graph on a GPU; batched_step.py is that graph

A trial's device and engine are resolved by the caller, and so is which images train it: what is held out is not in
`TrialData.training`.
"""

from accelmnist.sweep.trials.contract import Trial, TrialData, TrialResult
from accelmnist.sweep.trials.training import train_trials

__all__ = ["Trial", "TrialData", "TrialResult", "train_trials"]
