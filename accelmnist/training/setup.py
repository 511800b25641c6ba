"""What is chosen before a run: device, engine, precision and threads, each with its reason for console and record."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from accelmnist.core.config import RunConfig
from accelmnist.core.recipes import RECIPES, changes
from accelmnist.core.records import Choice
from accelmnist.device import Device, require_precision, resolve, set_threads
from accelmnist.engines.choose import EngineChoice, choose_engine


@dataclass(frozen=True)
class Setup:
    """All that is chosen before a run starts."""

    config: RunConfig
    device: Device
    engine: EngineChoice
    choices: tuple[Choice, ...]


def choose_setup(config: RunConfig, *, resumed_after: int | None = None) -> Setup:
    """Resolve device, engine, precision and threads; raises DeviceError or ConfigError for what is not there.

    `resumed_after` is the number of epochs that a run to go on with has behind it; its choices were made when it began.
    torch is loaded only if one of the choices needs it.
    """
    device = resolve(config.execution.device)
    precision = require_precision(device, config.execution.precision)
    # Before the engine is chosen: a speed holds for as many.
    threads = set_threads(config.execution.threads)
    engine = choose_engine(config, device)
    execution = dataclasses.replace(config.execution, device=str(device), engine=engine.name, threads=threads)
    asked = "asked for" if config.execution.threads else "the cores that it may use"
    choices: tuple[Choice, ...] = (
        *_recipe_choice(config),
        Choice(what="device", value=f"{device} ({device.hardware})", reason=device.reason),
        Choice(what="engine", value=engine.name, reason=engine.reason),
        Choice(what="precision", value=config.execution.precision, reason=precision.reason),
        Choice(what="threads", value=str(threads), reason=asked),
    )
    if resumed_after is not None:
        start = Choice(what="start", value=f"after epoch {resumed_after}", reason="the stopped run goes on")
        choices = (*(dataclasses.replace(choice, reason="as the stopped run") for choice in choices), start)
    return Setup(dataclasses.replace(config, execution=execution), device, engine, choices)


def _recipe_choice(config: RunConfig) -> tuple[Choice, ...]:
    """The recipe, where there is one, with what options changed in it."""
    recipe = RECIPES.get(config.recipe or "")
    if recipe is None:
        return ()
    changed = ", ".join(changes(config, recipe))
    reason = f"asked for, but changed: {changed}" if changed else f"asked for: {recipe.purpose}"
    return (Choice(what="recipe", value=recipe.name, reason=reason),)
