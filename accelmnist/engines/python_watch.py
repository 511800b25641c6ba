"""Which of a network's own Python runs: none in the steps of an engine that has compiled or captured them before.

Whether torch.compile did its work can't be told from the result, which is as right if it didn't. But every step that is
not compiled goes through the functions of `model`, or through what torch's tracer writes down as a graph of operators
and runs in Python. Python calls a hook at each call of a function (`sys.setprofile`), in this thread alone: some
microseconds a step for compiled code.
"""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

_NETWORK = f"{__package__.replace('.', '/')}/model.py"
_GRAPHS = "<eval_with_key>"  # as torch.fx names the source of a graph


class PythonWatch:
    """A context; `ran` names the functions of the network, and graphs of operators, that Python ran within it.

    Whoever profiles this thread already keeps it: nothing is seen then.
    """

    def __init__(self) -> None:
        self.ran: set[str] = set()

    def __enter__(self) -> PythonWatch:
        self._is_free = sys.getprofile() is None
        if self._is_free:
            sys.setprofile(self._see)
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_free:
            sys.setprofile(None)

    def _see(self, frame: FrameType, event: str, _argument: Any) -> None:
        file = frame.f_code.co_filename
        if event == "call" and (file.endswith(_NETWORK) or file.startswith(_GRAPHS)):
            self.ran.add("a graph of operators" if file.startswith(_GRAPHS) else frame.f_code.co_name)
