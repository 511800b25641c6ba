"""Sweeps by name: questions that were thought through once, with what they cost.

`lab` is the question of the lab: which network is best, of 8 to 1,024 units, one to three layers, sigmoid, tanh or
relu, and softmax, sigmoid or linear outputs? It is a full factorial over activation and output, so that each is judged
in the same 14 networks: one layer of every size, two and three layers at 16, 64 and 256. Rates are tuned for each
network by itself, since rectifiers and saturating units, narrow and wide layers want rates that differ by a factor of
ten; five epochs are one more than `run` has, because sigmoid units learn slowest at first.
"""

from __future__ import annotations

from typing import Any

_WIDTHS = (8, 16, 32, 64, 128, 256, 512, 1024)
_DEEP_WIDTHS = (16, 64, 256)

# By the names of the command's options; an option that is given replaces the preset's.
PRESETS: dict[str, dict[str, Any]] = {
    "lab": {
        "hidden": (
            *((width,) for width in _WIDTHS),
            *((width,) * layers for layers in (2, 3) for width in _DEEP_WIDTHS),
        ),
        "activations": ("sigmoid", "tanh", "relu"),
        "outputs": ("softmax", "sigmoid", "linear"),
        "learning_rates": (0.004, 0.012, 0.036, 0.108),
        "tune_rates": True,
        "seeds": 3,
        "epochs": 5,
    },
    "quick": {
        "hidden": ((8,), (16,), (32,), (64,)),
        "activations": ("sigmoid", "relu"),
        "seeds": 3,
        "epochs": 2,
    },
}
