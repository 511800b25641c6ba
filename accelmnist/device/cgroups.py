"""What a container may take of its machine: Linux's control groups, versions 1 and 2.

A limit holds for a group and all groups within it, so the groups that this process is in are read from its own up to
the root. In a container the outer ones are out of sight; its own stands at the root there. Memory in bytes.
Sources: Linux's documentation, "Control Group v2"; "Memory Resource Controller" and "CFS Bandwidth Control" (v1).
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator
from pathlib import Path

import psutil

_ROOT = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")


def cpu_quota() -> float:
    """How many processors this process may keep busy, such as 0.5; infinity if there is no limit."""
    quotas = [math.inf]
    for group in _groups("cpu"):
        share = _numbers(group / "cpu.max") or [
            *_numbers(group / "cpu.cfs_quota_us"),
            *_numbers(group / "cpu.cfs_period_us"),
        ]
        if len(share) == 2 and min(share) > 0:  # version 1 writes -1 for no limit
            quotas.append(share[0] / share[1])
    return min(quotas)


def quota_held_s() -> float | None:
    """Seconds of all threads for which a quota has held them back so far; None if no group counts them."""
    counted = []
    for group in _groups("cpu"):
        for name, unit_s in (("throttled_usec", 1e-6), ("throttled_time", 1e-9)):  # of version 2, of version 1
            held = re.search(rf"^{name} (\d+)$", text_of(group / "cpu.stat"), re.MULTILINE)
            counted += [int(held[1]) * unit_s] if held else []
    return max(counted, default=None)


def cores_within_quota(cores: int) -> int:
    """As many of `cores` as may be busy at once: a thread beyond the quota makes all of them wait."""
    return max(1, math.floor(min(cpu_quota(), cores)))


def host_memory_bytes() -> int:
    """The memory of the machine, or what a limit allows of it."""
    return min([int(psutil.virtual_memory().total), *(limit for limit, _ in _memory_limits())])


def free_host_bytes() -> int:
    """The memory that can still be had: of the machine, and within every limit."""
    return min([int(psutil.virtual_memory().available), *(free for _, free in _memory_limits())])


def _memory_limits() -> Iterator[tuple[int, int]]:
    """Of each group with a limit: the limit, and what is free of it; cached files give way."""
    for group in _groups("memory"):
        limit = _numbers(group / "memory.max") or _numbers(group / "memory.limit_in_bytes")
        used = _numbers(group / "memory.current") or _numbers(group / "memory.usage_in_bytes")
        if limit and used:
            cached = re.findall(r"^(?:total_)?inactive_file (\d+)$", text_of(group / "memory.stat"), re.MULTILINE)
            yield limit[0], max(limit[0] - used[0] + max(map(int, cached), default=0), 0)


def _groups(controller: str) -> Iterator[Path]:
    """The folders of the groups that this process is in; which version a group is of, shows by its files."""
    for line in text_of(_OWN).splitlines():
        _, controllers, own = (*line.split(":", 2), "", "")[:3]
        base = _ROOT / controller if controllers else _ROOT
        if not controllers or controller in controllers.split(","):
            folder = base / own.lstrip("/")
            yield from (group for group in (folder, *folder.parents) if group.is_relative_to(base))


def _numbers(file: Path) -> list[int]:
    """The numbers in a file; empty if it is not there, or says "max"."""
    with contextlib.suppress(ValueError):
        return [int(word) for word in text_of(file).split()]
    return []


def text_of(file: Path) -> str:
    """What a file of the kernel says; empty if it isn't there or may not be read, as `energy_uj` by most users."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return file.read_text()
    return ""
