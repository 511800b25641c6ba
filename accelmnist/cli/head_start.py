"""The head start of `accelmnist run`: the first answer before torch is loaded, told at once."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from accelmnist.cli.processes import seconds_since_start

if TYPE_CHECKING:
    from accelmnist.core.config import RunConfig
    from accelmnist.training.head_start.training import HeadStart
    from accelmnist.training.setup import Setup


def begin_training(config: RunConfig, options: dict[str, Any]) -> HeadStart | None:
    """Train the first epochs of `config` and tell the accuracy, where no epoch is left; None where torch is needed."""
    from accelmnist.training.head_start.foresight import why_not

    is_late = "torch" in sys.modules
    if is_late or options["trials"] > 1 or why_not(config) is not None:
        return None
    from accelmnist.training.head_start.training import begin

    head_start = begin(config, since_start=seconds_since_start)
    if head_start is not None and head_start.accuracy is not None:
        right = f"{100 * head_start.accuracy:.2f} % of the test set are right"
        _tell(f"{right}; now torch is loaded, to check and show it", options)
    return head_start


def keep_if_it_fits(head_start: HeadStart | None, setup: Setup, options: dict[str, Any]) -> HeadStart | None:
    """The head start, where a run of `setup` is what has begun."""
    from accelmnist.training.head_start.adoption import fits

    if head_start is None or fits(head_start, setup):
        return head_start
    _tell(f"{setup.engine.name} on {setup.device} was not foreseen: it trains anew", options)
    return None


def _tell(what: str, options: dict[str, Any]) -> None:
    if not options["quiet"]:
        click.echo(f"… {what}", err=options["as_json"])
