"""The native kernels: an epoch, or a classification, in one call of compiled C++ that skips what is zero.

`src/` holds the sources. setup.py builds them into the extension `_kernels`, once for every level of instructions:
`plain` for any processor, `avx2` and `avx512` for x86-64. The widest level that the processor has is chosen when it
runs; the environment variable ACCELMNIST_LEVEL names another one, for tests and comparisons.

The extension is optional. Everything here works without it, and says why it is missing.
"""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

INTERFACE = 3  # of the extension's functions; setup.py compiles the same number into it
LEVEL_VARIABLE = "ACCELMNIST_LEVEL"

_REINSTALL = "install the package again, with a C++ compiler (g++ or clang++) and Python's headers (python3-dev)"


def why_missing() -> str | None:
    """Why the kernels can't run here, with what to do about it; None where they can."""
    try:
        module = _extension()
    except ImportError as error:
        cause = "are not built" if error.name == f"{__name__}._kernels" else f"can't be loaded ({error})"
        return f"the native kernels {cause}: {_REINSTALL}"
    if interface_of(module) != INTERFACE:
        return f"the native kernels were built from other sources: {_REINSTALL}"
    asked = os.environ.get(LEVEL_VARIABLE)
    if asked and asked not in module.levels():
        return f"{LEVEL_VARIABLE} names {asked}; here run {', '.join(module.levels())}"
    return None


def levels() -> tuple[str, ...]:
    """Names of the levels of instructions that run here, the widest last."""
    return tuple(_extension().levels())


def chosen_level() -> str:
    """The level that will run: the one asked for, else the widest."""
    return os.environ.get(LEVEL_VARIABLE) or levels()[-1]


def interface_of(module: ModuleType) -> int:
    """The number of the interface that `module` was compiled with; 0 where it tells none."""
    return int(getattr(module, "INTERFACE", 0))


def list_pixels(images: Any, *, threads: int, level: str) -> Any:
    """The pixels of `images` that are not black, in the form in which `train` takes them: see `_kernels.pyi`."""
    return _extension().list_pixels(images, threads=threads, level=level)


def train(*arrays: Any, **settings: Any) -> None:
    """Run the steps of an epoch: see `_kernels.pyi`."""
    _extension().train(*arrays, **settings)


def make_classifier(parameters: Any, *, activation: str, threads: int, level: str) -> Any:
    """A copy of a network's weights in the form in which `classify` takes them: see `_kernels.pyi`."""
    return _extension().make_classifier(parameters, activation=activation, threads=threads, level=level)


def classify(classifier: Any, images: Any, logits: Any) -> None:
    """Write the logits of images: see `_kernels.pyi`."""
    _extension().classify(classifier, images, logits)


def _extension() -> ModuleType:
    from accelmnist.engines.native import _kernels

    return _kernels
