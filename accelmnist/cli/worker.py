"""`accelmnist worker`: this package as a side of another benchmark."""

from __future__ import annotations

import click

from accelmnist.cli.options import Command


@click.command(cls=Command)
def worker() -> int:
    """Be measured by another accelmnist's benchmark.

    `accelmnist bench --beside NAME=PYTHON` starts it by itself, and speaks to it in lines of JSON over standard input
    and output. accelmnist/measure/beside/protocol.py describes them, for a program of your own.
    """
    from accelmnist.device.loading import load_torch, prepare_for_torch
    from accelmnist.measure.beside.serving import serve, take_output

    answers = take_output()
    prepare_for_torch()
    load_torch()
    from accelmnist.measure.beside.own_worker import OwnWorker

    serve(OwnWorker(), answers)
    return 0
