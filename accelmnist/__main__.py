"""The program: `accelmnist`, and `python -m accelmnist`.

It exists so that Ctrl-C in the first tenth of a second, while the command line itself is imported, is answered too.
"""

import sys


def start() -> None:
    """Load the command line and run it."""
    try:
        from accelmnist.cli import main

        main()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    start()
