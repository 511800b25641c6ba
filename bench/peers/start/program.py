"""The process of one peer, from its start to the accuracy: `python -m bench.peers.start.program numpy 0`.

The images are read while the library is imported, as the package itself does. One line of JSON tells the accuracy and
the seconds of the parts: "data" is what waiting for the images and bringing them into the library's form take beyond
that, "first" the compilation or the first step, "training" all that follows, evaluation included. Whoever started the
process takes the time of the whole.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module

from accelmnist.core.config import DataConfig
from accelmnist.data.mnist import load_in_background
from bench.peers.start.task import PROGRAMS, Task, Watch


def main() -> None:
    """Import, train, tell."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no reply
    key, seed = sys.argv[1], int(sys.argv[2])
    load = load_in_background(DataConfig(), seed=0)
    train = import_module(f"bench.peers.start.programs.{PROGRAMS[key]}").train
    watch = Watch()
    task = Task(load(), seed)
    accuracy = task.accuracy(train(task, watch))
    watch.mark("training")
    replies.write(json.dumps({"accuracy": accuracy, "parts": watch.parts}) + "\n")
    replies.flush()


if __name__ == "__main__":
    main()
