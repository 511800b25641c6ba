"""A worker in NumPy alone: another program, measured beside the engines of accelmnist and held to the same proof.

    accelmnist bench --beside 'numpy=python bench/examples/numpy_trainer.py'

Copy it to begin your own. `accelmnist/measure/beside/protocol.py` describes what is asked and what is answered.
"""

import json
import sys
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Answer = dict[str, Any]

# What it can do of a configuration; anything else is "unsupported".
ABLE: dict[str, list[Any]] = {
    "device": ["cpu"],
    "precision": ["fp32"],
    "activation": ["relu"],
    "output": ["softmax"],
    "dropout": [0],
    "optimizer": ["sgd", "sgd-momentum", "adamw"],
    "nesterov": [False],
    "augment": ["none"],
    "averaging": [0],
}
SLOTS: dict[str, list[str]] = {
    "sgd": [],
    "sgd-momentum": ["momentum_buffer"],
    "adamw": ["exp_avg", "exp_avg_sq"],
}


class Case:
    """One case: `state` has the weights, what the optimizer keeps of each, and the number of updates."""

    def __init__(self, mode: str, settings: Answer, files: dict[str, str]) -> None:
        self.mode, self.settings = mode, settings
        self.losses: list[float] = []
        self.files = {name: np.load(path) for name, path in files.items()}
        self.layers = len(self.files["start"].files) // 2
        self.load()

    def load(self, path: str | None = None) -> None:
        """Go on from what `save` wrote; what that lacks is as at the start."""
        self.state: dict[str, Array] = dict(self.files["start"]) | {"scalar/count": np.zeros(())}
        for slot in SLOTS[self.settings["optimizer"]]:
            self.state |= {f"{slot}/{name}": np.zeros_like(first) for name, first in self.files["start"].items()}
        self.state |= dict(np.load(path)) if path else {}

    def forward(self, pixels: Array) -> list[Array]:
        """The inputs of every layer, and last the logits."""
        values = [pixels.astype(np.float32) / 255]
        for layer in range(self.layers):
            sums = values[-1] @ self.state[f"layers.{layer}.weight"].T + self.state[f"layers.{layer}.bias"]
            values.append(np.maximum(sums, 0) if layer < self.layers - 1 else sums)
        return values

    def train(self, number: int) -> None:
        """Step `number` of the training."""
        rows, smoothing = self.files["order"][number], self.settings["label_smoothing"]
        values = self.forward(self.files["images"][rows])
        logits = values[-1] - values[-1].max(axis=1, keepdims=True)
        log_shares = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        targets = (1 - smoothing) * np.eye(10, dtype=np.float32)[self.files["labels"][rows]] + smoothing / 10
        self.losses.append(float(-(targets * log_shares).sum(axis=1).mean()))
        self.state["scalar/count"] += 1
        delta = (np.exp(log_shares) - targets) / len(rows)
        for layer in reversed(range(self.layers)):
            weight, bias = delta.T @ values[layer], delta.sum(axis=0)
            delta = delta @ self.state[f"layers.{layer}.weight"] * (values[layer] > 0) if layer else delta
            self.update(f"layers.{layer}.weight", weight, float(self.files["rates"][number]))
            self.update(f"layers.{layer}.bias", bias, float(self.files["rates"][number]))

    def update(self, name: str, gradient: Array, rate: float) -> None:
        """As torch.optim has it: weight decay is added to the gradient, or taken from the weight by AdamW."""
        weight, count, settings = self.state[name], int(self.state["scalar/count"]), self.settings
        if settings["optimizer"] == "adamw":
            mean, square = self.state[f"exp_avg/{name}"], self.state[f"exp_avg_sq/{name}"]
            mean += 0.1 * (gradient - mean)
            square += 0.001 * (gradient * gradient - square)
            weight *= 1 - rate * settings["weight_decay"]
            gradient = mean / (1 - 0.9**count) / (np.sqrt(square / (1 - 0.999**count)) + 1e-8)
        else:
            gradient = gradient + settings["weight_decay"] * weight
        if settings["optimizer"] == "sgd-momentum":
            velocity = self.state[f"momentum_buffer/{name}"]
            velocity *= settings["momentum"]
            velocity += gradient
            gradient = velocity
        weight -= rate * gradient

    def classify(self, number: int) -> None:
        """Batch `number` of the test images, which go round."""
        size, images = self.settings["batch_size"], self.files["test_images"]
        first = number % (len(images) // size) * size
        self.last = self.forward(images[first : first + size])[-1]

    def run(self, first: int, steps: int) -> Answer:
        """Steps, or batches, with the seconds that they took."""
        self.losses, step = [], self.train if self.mode == "training" else self.classify
        started = time.perf_counter()
        for number in range(first, first + steps):
            step(number)
        return {"seconds": time.perf_counter() - started, "steps": steps}


def serve(kind: type[Case] = Case) -> None:
    """Say hello, then answer line by line until the input ends."""
    cases: dict[str, Case] = {}

    def answer(do: str, case: str = "", **given: Any) -> Answer:
        if do == "prepare":
            settings = {**given["config"]["model"], **given["config"]["training"], **given["config"]["execution"]}
            if lacking := [f"{name} {settings[name]}" for name in ABLE if settings[name] not in ABLE[name]]:
                return {"unsupported": f"NumPy's trainer has no {', no '.join(lacking)}"}
            cases[case] = kind(given["mode"], settings, given["files"])
        elif do == "load":
            cases[case].load(given.get("from"))
        elif do == "run":
            return cases[case].run(**given)
        elif do == "losses":
            return {"losses": cases[case].losses}
        elif do == "save":
            np.savez(given["to"], **cases[case].state)  # type: ignore[arg-type]  # of NumPy's own options
        elif do == "classify":
            np.save(given["to"], cases[case].forward(np.load(given["images"]))[-1])
        elif do == "last":
            np.save(given["to"], cases[case].last)
        return {}

    print(json.dumps({"hello": "accelmnist worker", "protocol": 1, "versions": {"numpy": np.__version__}}), flush=True)
    for line in sys.stdin:
        try:
            said = answer(**json.loads(line))
        except Exception as error:
            said = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    serve()
