"""The end of other processes: at once, with all that they started, whatever they make of signals.

Run as a program it is a guard: it reads process groups from its standard input, and when that ends, because whoever
wrote it has ended in whatever way, it ends those that are left, and removes the folder of its argument.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys

import psutil


def end_group(leader: int) -> None:
    """Kill the process group of `leader`, and its descendants in others."""
    family: list[psutil.Process] = []
    with contextlib.suppress(psutil.Error):
        family = psutil.Process(leader).children(recursive=True)
    with contextlib.suppress(OSError):
        os.killpg(leader, signal.SIGKILL)
    for process in family:
        with contextlib.suppress(psutil.Error):
            process.kill()


def main() -> None:
    """Keep the numbers that are told, let those go that are told with a minus, end what is left."""
    groups: set[int] = set()
    for line in sys.stdin:
        number = int(line)
        groups.add(number) if number > 0 else groups.discard(-number)
    for group in groups:
        end_group(group)
    shutil.rmtree(sys.argv[1], ignore_errors=True)


if __name__ == "__main__":
    main()
