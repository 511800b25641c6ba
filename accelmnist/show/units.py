"""Quantities as people read them: "1.23 s", "118,000 images/s", "612 MB", "98.12 %".

Every function takes the record's own unit (seconds, bytes, a fraction of 1) and `None` for what is not known, which
shows as a dash. Rates and sizes keep three significant digits: more would claim what no timing on a shared machine
holds. Bytes are counted in powers of 1,000, as the SI prefixes say.
"""

from __future__ import annotations

import math
from collections.abc import Callable

UNKNOWN = "–"


def seconds(value: float | None) -> str:
    """A duration: "840 µs", "35.2 ms", "1.23 s", "2 min 05 s", "1 h 04 min"."""
    return _known(value, _duration)


def rate(value: float | None) -> str:
    """Images a second, to three significant digits."""
    return _known(value, lambda known: f"{_three_digits(known):,.0f} images/s")


def size(value: float | None) -> str:
    """Bytes, to three significant digits: "612 MB"."""
    return _known(value, _size)


def percent(value: float | None, *, digits: int = 2) -> str:
    """A fraction as "98.12 %"."""
    return _known(value, lambda known: f"{100 * known:.{digits}f} %")


def fraction(value: float | None, *, digits: int = 4) -> str:
    """A score or a loss as it is: "0.9812"."""
    return _known(value, lambda known: f"{known:.{digits}f}")


def count(value: int | None) -> str:
    """A whole number with its thousands apart."""
    return UNKNOWN if value is None else f"{value:,}"


def significant(value: float | None, digits: int = 3) -> str:
    """A number to `digits` significant digits, or to the whole where it has more: "0.0412", "6.10", "41.2", "1,234"."""
    return _known(value, lambda known: _significant(known, digits))


def spread(value: float | None) -> str:
    """A relative half width as "±0.8 %", never "±0.0 %": a machine's noise isn't zero."""
    return _known(value, lambda known: f"±{max(100 * known, 0.1):.{1 if known < 0.0995 else 0}f} %")


def prefixed(value: float | None, unit: str) -> str:
    """A rate with its decimal prefix, to three significant digits: "170 GFLOP/s", "2.60 TB/s"."""
    return _known(value, lambda known: _prefixed(known, unit))


def plural(number: int, noun: str) -> str:
    """`number` and its noun: "1 epoch", "8 epochs", "2 classes"."""
    return f"{number:,} {noun if number == 1 else noun + ('es' if noun.endswith('s') else 's')}"


def _known(value: float | None, form: Callable[[float], str]) -> str:
    if value is None:
        return UNKNOWN
    return form(value) if math.isfinite(value) else str(value)


def _duration(value: float) -> str:
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


def _size(value: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 999.5:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"


def _three_digits(value: float) -> float:
    if value < 1000:
        return value
    step = 10.0 ** (math.floor(math.log10(value)) - 2)
    return round(value / step) * step


def _significant(value: float, digits: int) -> str:
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits}g}")  # 9.996 is 10.0: the digits count after rounding
    decimals = max(digits - 1 - math.floor(math.log10(abs(rounded))), 0)
    return f"{value:,.{decimals}f}"


def _prefixed(value: float, unit: str) -> str:
    for prefix in ("", "k", "M", "G", "T"):
        if value < 999.5:
            return f"{_significant(value, 3)} {prefix}{unit}"
        value /= 1000
    return f"{_significant(value, 3)} P{unit}"
