"""How what takes long ends: whatever ends it early is put into words before it goes on, so that the record is saved.

diverged      the loss stopped being finite
failed        a device, a file or the disk refused, or a bug of our own, which keeps its traceback
interrupted   the user stopped it, or whoever read its output went away
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from accelmnist.core.errors import AccelmnistError, DivergedError, StoppedError
from accelmnist.core.records import Status


@contextlib.contextmanager
def record_early_exit(end: Callable[[Status, str], None], *, interrupted: str = "stopped at once") -> Iterator[None]:
    """Within: an exception of any kind goes on its way when `end` has been told the status and the cause in a line.

    `interrupted` is that line where the user stopped it by Ctrl-C.
    """
    try:
        yield
    except DivergedError as error:
        end("diverged", str(error))
        raise
    except StoppedError as error:
        end("interrupted", error.message)
        raise
    except AccelmnistError as error:
        end("failed", str(error))
        raise
    except (KeyboardInterrupt, BrokenPipeError) as error:
        end("interrupted", "its output was closed" if isinstance(error, OSError) else interrupted)
        raise
    except Exception as error:
        end("failed", f"{type(error).__name__}: {error}")
        raise
