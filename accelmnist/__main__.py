"""The program: `accelmnist`, and `python -m accelmnist`.

It exists so that what comes before the command line is answered too: Ctrl-C in the first tenths of a second, while that
is imported, and a current folder whose files would be taken for modules, or that is gone.
"""

import os
import signal
import sys


def start() -> None:
    """Load the command line and run it."""
    before = signal.signal(signal.SIGINT, lambda *_: os._exit(130))  # nothing has begun; an import prints where it was
    try:
        here = os.getcwd()  # noqa: PTH109 - pathlib would load modules, from here
    except OSError:
        sys.stderr.write("error: the current folder is not there any more. Change to one that is\n")
        sys.exit(2)
    if sys.path[:1] == [here]:  # by `python -m`: last, it hides no module, and this package may lie in it
        sys.path.append(sys.path.pop(0))
    from accelmnist.cli import main

    signal.signal(signal.SIGINT, before)
    main()


if __name__ == "__main__":
    start()
