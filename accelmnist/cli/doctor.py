"""`accelmnist doctor`: what this machine can run, and why not the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from accelmnist.cli.options import Command, document_option, under
from accelmnist.cli.shell import CHECK_FAILED
from accelmnist.core.errors import DeviceError
from accelmnist.core.files import encode
from accelmnist.device.loading import prepare_for_torch

if TYPE_CHECKING:
    from accelmnist.analysis.doctor import Diagnosis


@click.command(cls=Command)
@under("Result", document_option)
def doctor(as_json: bool) -> int:
    """Say what this machine can run, and why it can't run the rest.

    Devices, precisions, engines, versions and data, each with its reason. The exit code is 0 if a run on the CPU has
    all it needs, and 1 if the embedded data is damaged.
    """
    prepare_for_torch()
    diagnosis = _diagnose()
    if as_json:
        click.echo(encode(diagnosis).decode(), nl=False)
    else:
        from accelmnist.show.analysis import doctor_page
        from accelmnist.show.render.console import make_terminal, print_document

        print_document(doctor_page(diagnosis), make_terminal(stderr=False))
    return 0 if diagnosis.ready else CHECK_FAILED


def _diagnose() -> Diagnosis:
    try:
        import torch  # noqa: F401 - a broken torch is told in one line, any other failure to import is a bug
    except (ImportError, OSError) as error:
        cause = " ".join(str(error).split())
        raise DeviceError(f"torch can't be loaded: {cause}", remedy="Reinstall it: see pytorch.org") from error
    from accelmnist.analysis.doctor import diagnose

    return diagnose()
