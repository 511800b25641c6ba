"""Constants of the update rules, and the names of the state that each keeps for every parameter.

Rules: SGD with momentum and Nesterov (Sutskever et al. 2013, in torch's form), Adam (Kingma and Ba 2015), AdamW
(Loshchilov and Hutter 2019). Weight decay is L2 in the gradient except in AdamW, where it is decoupled.
"""

from __future__ import annotations

from accelmnist.core.config import Optimizer

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8

SLOTS: dict[Optimizer, tuple[str, ...]] = {
    "sgd": (),
    "sgd-momentum": ("momentum_buffer",),
    "adam": ("exp_avg", "exp_avg_sq"),
    "adamw": ("exp_avg", "exp_avg_sq"),
}
