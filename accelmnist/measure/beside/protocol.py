"""What a worker speaks: JSON over its standard input and output, an object a line. This is version 1.

A worker is a program that trains or classifies as it is told. It says hello, then answers every line that it reads with
one line, and ends when its input ends. Nothing else may go to its standard output; standard error is free. Where it
can't do what is asked it answers {"error": "why, in a line"} and lives on. What is asked for is under "do", as in
{"do": "ping"}; below it stands before the line. `bench/examples/numpy_trainer.py` is a small one, to be copied.

    hello      {"hello": "accelmnist worker", "protocol": 1, "versions": {"numpy": "2.3.1"}, "threads": 2}
               comes first, unasked: what it runs on, by name, and the threads it computes with, if it knows

    ping       -> {}

    prepare    {"case": "1", "mode": "training", "config": {...}, "files": {...}}
               -> {"order": "given", "compile_s": null}, or {"unsupported": "why not, in a line"}
               Makes a case ready. `config` is the configuration of a run as in a record: model.hidden,
               model.activation, training.batch_size, training.optimizer, training.momentum, training.weight_decay,
               training.label_smoothing, execution.precision and so on. `files` are paths of NumPy's arrays:
                 images, labels        training images, uint8 (n, 784), and their digits, int64 (n,)
                 test_images           uint8 (10000, 784)
                 order                 which images every step of the training takes: int64 (steps, batch)
                 rates                 the learning rate of every step: float32 (steps,)
                 seeds                 the dropout seed of every step: int64 (steps,)
                 start                 .npz: the first weights, layers.0.weight (units, inputs), layers.0.bias and so on
               Others read the same files, so none may be changed. Pixels are divided by 255. `order` in the answer is
               "own" if the worker can't follow the order that is given, or has no state to show: it is judged by what
               it learned alone, and that is told. A worker that can't do exactly the training of `config` is
               "unsupported".

    load       {"case": "1", "from": "x.npz"} -> {}
               Sets weights and optimizer state to what a file has, named as `save` does; what it lacks, and without
               "from" everything, to the start.

    run        {"case": "1", "first": 0, "steps": 58} -> {"seconds": 0.0171, "steps": 58}
               Trains the steps from number `first` on, from the weights and state of now, and says how long that took;
               everything that a user pays for lies inside, the losses but for their way to the host. In the mode
               "inference", it classifies so many batches of `training.batch_size` test images, from batch number
               `first` on, going round.

    losses     {"case": "1"} -> {"losses": [2.31, 2.29, ...]}   the mean loss of every step of the last run

    save       {"case": "1", "to": "x.npz"} -> {}
               Weights, as in `start`, and the optimizer's state by names alike: momentum_buffer/layers.0.weight
               (sgd-momentum), exp_avg/layers.0.weight and exp_avg_sq/layers.0.weight (adam, adamw), and scalar/count,
               the number of updates made.

    classify   {"case": "1", "images": "x.npy", "to": "y.npy"} -> {}
               Logits, float32 (n, 10), of images, uint8 (n, 784), by the weights of now. In the order "own" the digits,
               int64 (n,), will do.

    last       {"case": "1", "to": "y.npy"} -> {}
               In the mode "inference": the logits of the last batch that the last `run` classified.

One worker has several cases at a time, and works for one of them only between a request and its answer.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

PROTOCOL = 1
OLDEST = "0.2.0"  # version of this package that has a worker
HELLO = "accelmnist worker"
COMMAND = ("-m", "accelmnist", "worker")  # of a Python that has this package


class Hello(msgspec.Struct, frozen=True):
    """The first line of a worker."""

    hello: str
    protocol: int
    versions: dict[str, str] = {}
    threads: Annotated[int, msgspec.Meta(ge=1)] | None = None


class Answer(msgspec.Struct, frozen=True):
    """Any answer: `error` says why there is none, `unsupported` why a case isn't done here."""

    error: str | None = None
    unsupported: str | None = None


class Prepared(Answer, frozen=True):
    """A case is ready: whether it follows the order `given`, and what compiling took."""

    order: Literal["given", "own"] = "given"
    compile_s: float | None = None


class Ran(Answer, frozen=True):
    """Steps that were run, and their seconds."""

    seconds: float = 0.0
    steps: int = 0


class Losses(Answer, frozen=True):
    """The loss of every step of the last run."""

    losses: list[float] = []


Request = dict[str, Any]
