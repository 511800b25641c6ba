"""Lists and ranges as they are typed: `16,64,256`, `8:1024:8` for eight values apart by one factor, `1:3` for 1, 2, 3.

Sizes and rates differ by factors, so the values of their ranges are spaced evenly on a logarithmic scale: rates rounded
to three digits, sizes to the whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

from accelmnist.core.errors import ConfigError

Number = TypeVar("Number", int, float)

_MOST_VALUES = 1000
_DIGITS = 3


def parse_sizes(text: str, option: str) -> tuple[int, ...]:
    """Whole numbers from 1, such as `16,64` or `8:1024:8`; raises ConfigError."""
    return _parse(text, option, _whole, round)


def parse_rates(text: str, option: str) -> tuple[float, ...]:
    """Positive numbers, such as `0.01,0.1` or `1e-3:1e-1:5`; raises ConfigError."""
    return _parse(text, option, _positive, lambda rate: float(f"{rate:.{_DIGITS}g}"))


def parse_counts(text: str, option: str) -> tuple[int, ...]:
    """Whole numbers from 1, such as `1,3` or `1:3` for all from 1 to 3; raises ConfigError."""
    return _parse(text, option, _whole, None)


def _parse(
    text: str, option: str, number: Callable[[str], Number], rounded: Callable[[float], Number] | None
) -> tuple[Number, ...]:
    """The values in the order given, each once; those of a range between its ends are `rounded`.

    Without `rounded`, a range has no count and is of all whole numbers.
    """
    values: list[Number] = []
    for item in map(str.strip, text.split(",")):
        try:
            values += _item(item, option, number, rounded)
        except ValueError:
            shown = repr(item) if item else "an empty place"
            form = "LOW:HIGH" if rounded is None else "LOW:HIGH:COUNT"
            raise ConfigError(
                f"{option}: {shown} is no positive number and no range", remedy=f"Give a list such as 1,2 or {form}"
            ) from None
    return tuple(dict.fromkeys(values))


def _item(
    item: str, option: str, number: Callable[[str], Number], rounded: Callable[[float], Number] | None
) -> list[Number]:
    parts = item.split(":")
    if len(parts) == 1:
        return [number(item)]
    if len(parts) != (2 if rounded is None else 3):
        raise ValueError
    low, high = number(parts[0]), number(parts[1])
    if low > high:
        raise ConfigError(f"{option}: the range {item} runs backwards", remedy="Give its smaller end first")
    if rounded is None:
        return [low + step for step in range(min(round(high - low) + 1, _MOST_VALUES))]
    count = int(parts[2])
    if not 2 <= count <= _MOST_VALUES:
        raise ConfigError(f"{option}: the range {item} has {count} values", remedy=f"Give 2 to {_MOST_VALUES}")
    step = math.log(high / low) / (count - 1)
    below_high: list[float] = [low * math.exp(step * i) for i in range(count - 1)]
    return [rounded(value) for value in (*below_high, high)]


def _whole(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def _positive(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise ValueError
    return value
