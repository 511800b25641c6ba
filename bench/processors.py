"""One record a processor: `results/` keeps each study's in folders by hardware, and a page shows the best-measured one.

A folder has the name that `accelmnist submit` gives a verified record of this hardware: no processor's record replaces
another's. An older record may know less of its processor than the folder's name does, such as "AMD EPYC" alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from accelmnist.device import resolve
from accelmnist.device.environment import describe_environment
from accelmnist.engines.standing import hardware_of, slug_of
from accelmnist.measure.record import BenchRecord, CaseResult

Load = Callable[[Path], Sequence[BenchRecord]]


def folder_here(parent: Path) -> Path:
    """The folder in `parent` for what is measured on this processor."""
    environment = describe_environment(resolve("cpu"))
    return parent / slug_of(hardware_of(environment, "cpu", environment.processor))


def best_first(parent: Path, load: Load) -> dict[Path, Sequence[BenchRecord]]:
    """The records in the folders of `parent`, those with the narrowest intervals first.

    Raises FileNotFoundError if there is none.
    """
    found = {folder: load(folder) for folder in sorted(parent.glob("*/")) if any(folder.rglob("bench.json"))}
    if not found:
        raise FileNotFoundError(parent)
    return dict(sorted(found.items(), key=lambda item: uncertainty(item[1])))


def uncertainty(records: Sequence[BenchRecord]) -> float:
    """The median over all cases of half an interval's width, a share of the speed; 1 for what was not measured."""
    return median(_half_width(result) for record in records for result in record.cases)


def _half_width(result: CaseResult) -> float:
    speed = result.images_per_s
    return 1.0 if speed is None else (speed.high - speed.low) / 2 / speed.median


def links(folders: Sequence[Path], page: str, *, beside: Path) -> str:
    """Where the other processors' pages are, from the folder of the document `beside`; empty if there is none."""
    if not folders:
        return ""
    each = [f"[{folder.name}]({os.path.relpath(folder / page, beside.parent)})" for folder in folders]
    return f"Measured on other processors too: {', '.join(each)}."
