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
    return _parse(text, option, _whole, lambda low, high, count: [round(size) for size in _spaced(low, high, count)])


def parse_rates(text: str, option: str) -> tuple[float, ...]:
    """Positive numbers, such as `0.01,0.1` or `1e-3:1e-1:5`; raises ConfigError."""
    return _parse(
        text,
        option,
        _positive,
        lambda low, high, count: [float(f"{rate:.{_DIGITS}g}") for rate in _spaced(low, high, count)],
    )


def parse_counts(text: str, option: str) -> tuple[int, ...]:
    """Whole numbers from 1, such as `1,3` or `1:3` for all from 1 to 3; raises ConfigError."""
    return _parse(text, option, _whole, None)


def _parse(
    text: str,
    option: str,
    number: Callable[[str], Number],
    spaced: Callable[[Number, Number, int], list[Number]] | None,
) -> tuple[Number, ...]:
    """The values in the order given, each once."""
    values: list[Number] = []
    for item in text.split(","):
        try:
            values += _item(item.strip(), option, number, spaced)
        except ValueError:
            raise _unreadable(option, item.strip(), with_count=spaced is not None) from None
    return tuple(dict.fromkeys(values))


def _item(
    item: str,
    option: str,
    number: Callable[[str], Number],
    spaced: Callable[[Number, Number, int], list[Number]] | None,
) -> list[Number]:
    parts = item.split(":")
    if len(parts) == 1:
        return [number(item)]
    if len(parts) != (2 if spaced is None else 3):
        raise ValueError
    low, high = number(parts[0]), number(parts[1])
    if low > high:
        raise ConfigError(f"{option}: the range {item} runs backwards", remedy="Give its smaller end first")
    if spaced is None:
        return [low + step for step in range(min(round(high - low) + 1, _MOST_VALUES))]
    return spaced(low, high, _count(parts[2], option, item))


def _count(text: str, option: str, item: str) -> int:
    count = int(text)
    if not 2 <= count <= _MOST_VALUES:
        raise ConfigError(f"{option}: the range {item} has {count} values", remedy=f"Give 2 to {_MOST_VALUES}")
    return count


def _spaced(low: float, high: float, count: int) -> list[float]:
    """`count` numbers from `low` to `high`, each the same factor above the one before."""
    step = math.log(high / low) / (count - 1)
    return [low * math.exp(step * place) for place in range(count - 1)] + [high]


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


def _unreadable(option: str, item: str, *, with_count: bool) -> ConfigError:
    said = repr(item) if item else "an empty place"
    form = "LOW:HIGH:COUNT" if with_count else "LOW:HIGH"
    return ConfigError(
        f"{option}: {said} is no positive number and no range", remedy=f"Give a list such as 1,2 or {form}"
    )
