"""The end of other processes: at once, with all that they started, whatever they make of signals.

What a process started may have left its group and its parent, as a daemon does; it is known by a variable that it
inherited, the mark. Run as a program this is a guard: it reads process groups and their marks from its standard input,
and when that ends, because whoever wrote it has ended in whatever way, it ends those that are left, and removes the
folder of its argument.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys

import psutil

MARK = "ACCELMNIST_SIDE"
_LOOKS = 5  # for what was started while the others were ended


def end_group(leader: int, mark: str) -> None:
    """Kill the process group of `leader`, its descendants in others, and whoever else has its mark."""
    family: list[psutil.Process] = []
    with contextlib.suppress(psutil.Error):
        family = psutil.Process(leader).children(recursive=True)
    with contextlib.suppress(OSError):
        os.killpg(leader, signal.SIGKILL)
    for _ in range(_LOOKS):
        for process in family:
            with contextlib.suppress(psutil.Error):
                process.kill()
        family = [process for process in psutil.process_iter() if _has_mark(process, mark)]
        if not family:
            break


def _has_mark(process: psutil.Process, mark: str) -> bool:
    try:
        return bool(process.environ().get(MARK) == mark)
    except (psutil.Error, OSError):  # somebody else's, or it has ended
        return False


def main() -> None:
    """Keep the groups that are told, with their marks, let those go that are told with a minus, end what is left."""
    groups: dict[int, str] = {}
    for line in sys.stdin:
        number, _, mark = line.strip().partition(" ")
        groups.pop(-int(number), None)
        if mark:
            groups[int(number)] = mark
    for group, mark in groups.items():
        end_group(group, mark)
    shutil.rmtree(sys.argv[1], ignore_errors=True)


if __name__ == "__main__":
    main()
