"""One run from its configuration to its record: the main job.

contract.py   what is wanted of a run, what comes of it, and who is told what happens
journal.py    the record as it grows, and the file that always holds its last state
run.py        the parts of a run, in the order in which they happen
"""

from accelmnist.training.runner.contract import Observer, RunOutcome, RunRequest
from accelmnist.training.runner.run import Run, execute

__all__ = ["Observer", "Run", "RunOutcome", "RunRequest", "execute"]
