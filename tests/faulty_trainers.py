"""The example's trainer in NumPy, with a fault of the kind that its argument names; `right` has none."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

EXAMPLES = Path(__file__).parents[1] / "bench" / "examples"
sys.path.insert(0, str(EXAMPLES))

from numpy_trainer import Case, serve  # noqa: E402 - the folder is known now

Array = NDArray[Any]
Answer = dict[str, Any]
LONG = 64
MANY = 4  # steps of a run: one that is timed has more, one that is looked at by itself has fewer


class ForgetsBias(Case):
    def update(self, name: str, gradient: Array, rate: float) -> None:
        if name.endswith("weight"):
            super().update(name, gradient, rate)


class HalfTheBatch(Case):
    def train(self, number: int) -> None:
        order = self.files["order"][number]
        order[len(order) // 2 :] = order[: len(order) // 2]
        super().train(number)


class HalfTheUnits(Case):
    def forward(self, pixels: Array) -> list[Array]:
        self.state["layers.0.weight"][4:] = 0
        return super().forward(pixels)


class OtherOrder(Case):
    def train(self, number: int) -> None:
        super().train((number + 1) % len(self.files["order"]))


class OtherOrderInARow(Case):
    def run(self, first: int, steps: int) -> Answer:
        return super().run(0 if steps > MANY else first, steps)


class StaleRate(Case):
    def update(self, name: str, gradient: Array, rate: float) -> None:
        super().update(name, gradient, float(self.files["rates"][0]))


class NoDecay(Case):
    def update(self, name: str, gradient: Array, rate: float) -> None:
        self.settings["weight_decay"] = 0.0
        super().update(name, gradient, rate)


class CoarseWeights(Case):
    """Rounded to bfloat16 between two runs."""

    def run(self, first: int, steps: int) -> Answer:
        ran = super().run(first, steps)
        for name, array in self.state.items():
            if name.startswith("layers"):
                self.state[name] = ((array.view(np.uint32) + 0x8000) & 0xFFFF0000).view(np.float32)
        return ran


class SkipsWhenTimed(Case):
    def run(self, first: int, steps: int) -> Answer:
        ran = super().run(first, steps if steps <= MANY else steps // 2)
        self.losses: list[float] = (self.losses * 3)[:steps]
        return {**ran, "steps": steps}


class SkipsInLongCalls(Case):
    """Longer ones than are replayed step by step."""

    def run(self, first: int, steps: int) -> Answer:
        ran = super().run(first, steps if steps <= LONG else steps // 2)
        self.losses: list[float] = (self.losses * 3)[:steps]
        return {**ran, "steps": steps}


class SaysHalf(Case):
    def run(self, first: int, steps: int) -> Answer:
        return {**super().run(first, steps), "steps": (steps + 1) // 2}


class ClassifiesByOthers(Case):
    """Its answers are those of weights that it doesn't give."""

    is_asked = False

    def forward(self, pixels: Array) -> list[Array]:
        values = super().forward(pixels)
        return [*values[:-1], values[-1] * 1.01] if self.mode == "training" and len(pixels) > 64 else values


class TellsLess(Case):
    share = 0.98

    def run(self, first: int, steps: int) -> Answer:
        ran = super().run(first, steps)
        return {**ran, "seconds": self.share * ran["seconds"]}


class TellsMore(TellsLess):
    share = 3.0


class WorksInLoad(Case):
    """It takes for granted that it is asked for what it was asked for since the last time that it was set back."""

    asked: tuple[tuple[int, int], ...] = ()
    ahead: tuple[Any, ...] = ()

    def load(self, path: str | None = None) -> None:
        super().load(path)
        asked, self.asked, self.ahead = self.asked, (), ()
        if path is None and self.mode == "training":
            for run in asked:
                super().run(*run)
                state = {name: array.copy() for name, array in self.state.items()}
                self.ahead = (*self.ahead, (run, state, self.losses))
            super().load(path)

    def run(self, first: int, steps: int) -> Answer:
        started = time.perf_counter()
        self.asked = (*self.asked, (first, steps))
        if self.ahead and self.ahead[0][0] == (first, steps):
            (_, self.state, self.losses), self.ahead = self.ahead[0], self.ahead[1:]
            return {"seconds": time.perf_counter() - started, "steps": steps}
        self.ahead = ()
        return super().run(first, steps)


class WorksInLosses(Case):
    """It says when it has begun, as who doesn't wait for a device: of what it takes on any machine, half at most."""

    pending: Any = None
    takes_s = 4e-4  # a step, at least

    def run(self, first: int, steps: int) -> Answer:
        self.finish()
        self.pending, told_s = (first, steps), self.takes_s / 2 * steps
        time.sleep(told_s)
        return {"seconds": told_s, "steps": steps}

    def finish(self) -> None:
        if self.pending is not None:
            (first, steps), self.pending = self.pending, None
            ran_s = super().run(first, steps)["seconds"]
            time.sleep(max(self.takes_s * steps - ran_s, 0.0))

    def __getattribute__(self, name: str) -> Any:
        if name in ("losses", "state") and object.__getattribute__(self, "__dict__").get("pending") is not None:
            self.finish()
        return object.__getattribute__(self, name)


class GivesTheReferences(Case):
    """It does nothing, and gives the weights that the training ends with, and losses that fall."""

    def run(self, first: int, steps: int) -> Answer:
        started = time.perf_counter()
        time.sleep(1e-4 * steps)
        self.losses = np.linspace(2.3, 1.0, steps).tolist()
        return {"seconds": time.perf_counter() - started, "steps": steps}


class InFloat64(Case):
    """Right, and more exact than asked for."""

    def load(self, path: str | None = None) -> None:
        super().load(path)
        self.state: dict[str, Array] = {name: np.array(part, np.float64) for name, part in self.state.items()}


class KeepsLogits(Case):
    """Of every batch, once it has classified it."""

    def classify(self, number: int) -> None:
        kept: dict[int, Array] = self.__dict__.setdefault("kept", {})
        key = number % (len(self.files["test_images"]) // self.settings["batch_size"])
        if key not in kept:
            super().classify(number)
            kept[key] = np.copy(self.last)
        self.last: Array = kept[key]


class TheLastBatchAlone(Case):
    def run(self, first: int, steps: int) -> Answer:
        return {**super().run(first + steps - 1, 1), "steps": steps}


KINDS = {"right": Case} | {kind.__name__: kind for kind in list(globals().values())
                           if isinstance(kind, type) and issubclass(kind, Case)}  # fmt: skip


if __name__ == "__main__":
    serve(KINDS[sys.argv[1]])
