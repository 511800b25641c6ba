"""Recipes: networks and trainings by name, each the fastest one found to its accuracy on MNIST's test set.

A recipe promises that the mean accuracy over seeds reaches its name; single seeds lie on both sides of it. All were
chosen on images held out of the training set (`bench/studies/recipe_search.py`, `results/recipe-search.md`); the test
set was used only in the end (`bench/studies/recipe_study.py`, `results/recipes.md`). No torch: the command line reads
this.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from accelmnist.core.config import DataConfig, ModelConfig, RunConfig, TrainingConfig


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A network and its training, and the mean `accuracy` on the test set that they promise."""

    name: str
    accuracy: float
    model: ModelConfig
    training: TrainingConfig

    @property
    def config(self) -> RunConfig:
        """The run that it stands for, if nothing is changed."""
        return RunConfig(model=self.model, training=self.training, recipe=self.name)

    @property
    def purpose(self) -> str:
        """Its aim, in a phrase."""
        return f"the least time to {100 * self.accuracy:.1f} % on the test set"


_ALL = (
    Recipe(
        name="mnist-98",
        accuracy=0.980,
        model=ModelConfig(hidden=(192,)),
        training=TrainingConfig(epochs=2, batch_size=128, learning_rate=0.012, warmup=0.4),
    ),
    Recipe(
        name="mnist-98.5",
        accuracy=0.985,
        model=ModelConfig(hidden=(256,)),
        training=TrainingConfig(epochs=5, batch_size=256, learning_rate=0.016, augment="shift"),
    ),
    Recipe(
        name="mnist-99",
        accuracy=0.990,
        model=ModelConfig(hidden=(512, 128)),
        training=TrainingConfig(epochs=10, batch_size=256, learning_rate=0.006, augment="shift"),
    ),
)
RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in _ALL}


def changes(config: RunConfig, recipe: Recipe) -> Iterator[str]:
    """The settings of `config` that differ from `recipe`'s, such as "epochs 3"; the seed is anybody's choice."""
    parts = ((config.data, DataConfig()), (config.model, recipe.model), (config.training, recipe.training))
    for mine, its in parts:
        for field in fields(its):
            value = getattr(mine, field.name)
            if value != getattr(its, field.name) and field.name != "seed":
                yield f"{field.name.replace('_', ' ')} {_text(value)}"


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
