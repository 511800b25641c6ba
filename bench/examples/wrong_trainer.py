"""Three faulty trainers: what is wrong with each is named, and none is ranked.

    accelmnist bench --beside 'wrong=python bench/examples/wrong_trainer.py bias'

`bias`, `steps` or `seconds` says what it does wrong.
"""

import sys

from numpy_trainer import Answer, Array, Case, serve


class ForgetsBias(Case):
    """Its update leaves the biases as they are."""

    def update(self, name: str, gradient: Array, rate: float) -> None:
        if name.endswith("weight"):
            super().update(name, gradient, rate)


class SkipsSteps(Case):
    """Runs a third of the steps if there are many: those that are timed."""

    def run(self, first: int, steps: int) -> Answer:
        ran = super().run(first, steps if steps < 6 else steps // 3)
        self.losses: list[float] = (self.losses * 4)[:steps]
        return {**ran, "steps": steps}


class MissesSeconds(Case):
    """Stops its clock too early."""

    def run(self, first: int, steps: int) -> Answer:
        ran = super().run(first, steps)
        return {**ran, "seconds": 0.1 * ran["seconds"]}


if __name__ == "__main__":
    serve({"bias": ForgetsBias, "steps": SkipsSteps, "seconds": MissesSeconds}[sys.argv[1]])
