"""`accelmnist worker`: this package as a side of another benchmark, or as one device of a soak."""

from __future__ import annotations

import click

from accelmnist.cli.options import Command, option


@click.command(cls=Command)
@option("--soak", is_flag=True, hidden=True, help="Be a device of a soak.")
@option("--core", type=click.IntRange(min=0), hidden=True, help="Work on this core alone.")
def worker(soak: bool, core: int | None) -> int:
    """Be measured by another accelmnist's benchmark.

    `accelmnist bench --beside NAME=PYTHON` starts it by itself, and speaks to it in lines of JSON over standard input
    and output. accelmnist/measure/beside/protocol.py describes them, for a program of your own.
    """
    from accelmnist.device.loading import load_torch, pin_to_core, prepare_for_torch
    from accelmnist.measure.beside.serving import serve, take_output

    answers = take_output()
    if core is not None:
        pin_to_core(core)  # before any library begins a thread
    prepare_for_torch()
    load_torch()
    if soak:
        from accelmnist.measure.soak.worker import SoakWorker

        serve(SoakWorker(), answers)
        return 0
    from accelmnist.measure.beside.own_worker import OwnWorker

    serve(OwnWorker(), answers)
    return 0
