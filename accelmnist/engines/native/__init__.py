"""The native kernels: compiled C++ that runs an epoch, or a classification, in one call and skips zeros.

`src/` holds the sources. setup.py builds them into the extension `_kernels`, once for every instruction level: `plain`
for any processor; `avx2`, `avx512`, `avx512bf16` and `amx` for x86-64. A call runs the widest level that the processor
supports; the environment variable ACCELMNIST_LEVEL names another one, for tests and comparisons. All levels compute in
float32 and in bf16; the last two have instructions for the products in bf16, which the others make of float32's.

The extension is optional: without it, `why_missing` returns the reason and the command that builds it.
"""

from __future__ import annotations

import os
from types import ModuleType

INTERFACE = 6  # version of the extension's functions; setup.py compiles the same number into it
LEVEL_VARIABLE = "ACCELMNIST_LEVEL"
# Levels of instructions, the widest last, and what each is for.
LEVELS = {
    "plain": "any processor",
    "avx2": "256 bits at once",
    "avx512": "512 bits at once",
    "avx512bf16": "512 bits at once, products in bf16 by pairs (VDPBF16PS)",
    "amx": "512 bits at once, products in bf16 by tiles (AMX)",
}

_REBUILD = (
    "rebuild them by `pip install -e .` in the project's folder, "
    "with a C++ compiler (g++ or clang++) and Python's headers (python3-dev)"
)


def why_missing() -> str | None:
    """Why the kernels can't run here, with the remedy, in one line; None if they can."""
    try:
        module = extension()
    except ImportError as error:
        cause = (
            "are not built"
            if error.name == f"{__name__}._kernels"
            else f"can't be loaded ({' '.join(str(error).split())})"
        )
        return f"the native kernels {cause}: {_REBUILD}"
    if interface_of(module) != INTERFACE:
        return f"the native kernels were built from other sources: {_REBUILD}"
    asked = os.environ.get(LEVEL_VARIABLE)
    if asked and asked not in levels():
        return f"{LEVEL_VARIABLE} names {asked}; here run {', '.join(levels())}"
    return None


def levels() -> tuple[str, ...]:
    """Names of the instruction levels that run here, the widest last."""
    return tuple(name for name, reason in why_not().items() if reason is None)


def why_not() -> dict[str, str | None]:
    """Why each instruction level can't run here, by name, the widest last; None for one that can."""
    reasons: dict[str, str | None] = extension().levels()
    return reasons


def chosen_level() -> str:
    """The level that calls run at: the one in ACCELMNIST_LEVEL, else the widest."""
    return os.environ.get(LEVEL_VARIABLE) or levels()[-1]


def interface_of(module: ModuleType) -> int:
    """The interface version that `module` was compiled with; 0 if it has none."""
    return int(getattr(module, "INTERFACE", 0))


def extension() -> ModuleType:
    """The extension, whose functions `_kernels.pyi` describes; raises ImportError if it is not built."""
    from accelmnist.engines.native import _kernels

    return _kernels
