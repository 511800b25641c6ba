"""Figures of a run, of a benchmark and of a sweep: pure functions from a record to a matplotlib `Figure`.

Those of a run take arrays of weights or pixels as well. Those of a benchmark and a sweep are None if the record has
nothing for them. `sheet.png_bytes` makes a figure a file.

Importing this package is what loads matplotlib. It reads MPLBACKEND while it is loaded and fails if there is no such
backend, which is how a notebook's shell sets it; a figure here needs none, so the variable is out of its sight.
"""

import logging
import os

_LOG = logging.getLogger("matplotlib")
_level, _backend = _LOG.level, os.environ.pop("MPLBACKEND", None)
_LOG.setLevel(logging.ERROR)  # a line of the user's settings that it doesn't know: no setting of them counts here
try:
    import matplotlib  # noqa: F401
finally:
    _LOG.setLevel(_level)
    if _backend is not None:
        os.environ["MPLBACKEND"] = _backend
