"""The console of a run in one place: the plan before it, the progress during it, the summary after it.

The command line imports this module alone; each part has a module of its own. `format_*` returns a rich renderable and
prints nothing, `print_*` prints to the console it is given, whose width and colours rich takes from the terminal.
"""

from accelmnist.show.confusion import format_confusion
from accelmnist.show.digit import format_prediction, print_prediction
from accelmnist.show.plan import format_plan, print_plan
from accelmnist.show.progress import TrainingProgress
from accelmnist.show.summary import format_checks, format_summary, print_summary

__all__ = [
    "TrainingProgress",
    "format_checks",
    "format_confusion",
    "format_plan",
    "format_prediction",
    "format_summary",
    "print_plan",
    "print_prediction",
    "print_summary",
]
