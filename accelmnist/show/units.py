"""Quantities and the names of classes as people read them: "1.23 s", "118,000 images/s", "612 MB", "98.12 %".

Every function takes the record's own unit (seconds, bytes, a fraction of 1) and `None` for what is not known, which
shows as a dash. Rates and sizes keep three significant digits: more would claim what no timing on a shared machine
holds. Bytes are counted in powers of 1,000, as the SI prefixes say.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Concatenate, ParamSpec

UNKNOWN = "–"
_LEAST_P = 0.001
Options = ParamSpec("Options")


def _or_unknown(
    format_known: Callable[Concatenate[float, Options], str],
) -> Callable[Concatenate[float | None, Options], str]:
    """The same function for a value that may be unknown, or not a finite number."""

    @functools.wraps(format_known)
    def format_any(value: float | None, /, *args: Options.args, **options: Options.kwargs) -> str:
        if value is None:
            return UNKNOWN
        return format_known(value, *args, **options) if math.isfinite(value) else str(value)

    return format_any


@_or_unknown
def seconds(value: float) -> str:
    """A duration: "840 µs", "35.2 ms", "1.23 s", "2 min 05 s", "1 h 04 min"."""
    if value == 0:
        return "0 s"
    if value < 0.9995e-3:
        return f"{1e6 * value:.3g} µs"
    if value < 0.9995:
        return f"{1e3 * value:.3g} ms"
    if value < 59.95:
        return f"{value:.2f} s" if value < 9.995 else f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


@_or_unknown
def rate(value: float) -> str:
    """Images a second, to three significant digits."""
    step = 10.0 ** max(math.floor(math.log10(value)) - 2, 0) if value >= 1 else 1.0
    return f"{round(value / step) * step:,.0f} images/s"


@_or_unknown
def size(value: float) -> str:
    """Bytes, to three significant digits: "612 MB"."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 999.5:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"


@_or_unknown
def percent(value: float, *, digits: int = 2) -> str:
    """A fraction as "98.12 %"."""
    return f"{100 * value:.{digits}f} %"


@_or_unknown
def fraction(value: float, *, digits: int = 4) -> str:
    """A score or a loss as it is: "0.9812"."""
    return f"{value:.{digits}f}"


@_or_unknown
def count(value: float) -> str:
    """A whole number with its thousands apart."""
    return f"{value:,}"


@_or_unknown
def significant(value: float, digits: int = 3) -> str:
    """A number to `digits` significant digits, or to the whole if it has more: "0.0412", "6.10", "41.2", "1,234"."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits}g}")  # 9.996 is 10.0: the digits count after rounding
    decimals = max(digits - 1 - math.floor(math.log10(abs(rounded))), 0)
    return f"{value:,.{decimals}f}"


@_or_unknown
def spread(value: float) -> str:
    """A relative half width as "±0.8 %", never "±0.0 %": a machine's noise isn't zero."""
    return f"±{max(100 * value, 0.1):.{1 if value < 0.0995 else 0}f} %"


@_or_unknown
def prefixed(value: float, unit: str) -> str:
    """A rate with its decimal prefix, to three significant digits: "170 GFLOP/s", "2.60 TB/s"."""
    for prefix in ("", "k", "M", "G", "T"):
        if value < 999.5:
            return f"{significant(value)} {prefix}{unit}"
        value /= 1000
    return f"{significant(value)} P{unit}"


def plural(number: int, noun: str) -> str:
    """`number` and its noun: "1 epoch", "8 epochs", "2 classes"."""
    return f"{number:,} {noun if number == 1 else noun + ('es' if noun.endswith('s') else 's')}"


def row_names(class_names: tuple[str, ...]) -> tuple[str, ...]:
    """The number of each class, and its name if that is another one."""
    return tuple(name if name == str(label) else f"{label} {name}" for label, name in enumerate(class_names))


def class_kind(class_names: tuple[str, ...]) -> str:
    """What one class is: a "digit" if the names are their own numbers, else a "class"."""
    return "digit" if row_names(class_names) == class_names else "class"


def p_text(p_value: float | None) -> str:
    """A p-value to three decimals; below that the number of zeros says nothing more."""
    if p_value is None:
        return UNKNOWN
    return f"<{_LEAST_P}" if p_value < _LEAST_P else f"{p_value:.3f}"
