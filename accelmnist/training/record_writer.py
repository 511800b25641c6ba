"""The record of a run as it grows, and the file that always holds its last complete state."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from accelmnist.core.errors import OutputError
from accelmnist.core.files import make_folder
from accelmnist.core.records import EpochFigures, RunRecord, Status, save_record


class RecordWriter:
    """Holds the record; `folder` is where it is saved, None until there is something to save: a mistake leaves none.

    `on_stopped` gets the record of a run that ends without a result.
    """

    def __init__(self, record: RunRecord, *, on_stopped: Callable[[RunRecord], None]) -> None:
        self.record = record
        self.folder: Path | None = None
        self._on_stopped = on_stopped

    def open(self, folder: Path | None) -> None:
        """From now on save into `folder`, which is made; None saves nothing. Raises OutputError."""
        self.folder = None if folder is None else make_folder(folder)

    def change(self, **fields: Any) -> None:
        """Change fields of the record."""
        self.record = replace(self.record, **fields)

    def time(self, **seconds: Any) -> None:
        """Change fields of its timing."""
        self.change(timing=replace(self.record.timing, **seconds))

    def keep_epochs(self, epochs: tuple[EpochFigures, ...]) -> None:
        """These are the epochs so far: their figures, and what the training took."""
        train_s = sum(figures.train_s for figures in epochs)
        images = sum(figures.train_s * figures.images_per_s for figures in epochs)
        self.change(epochs=epochs)
        self.time(train_s=train_s, images_per_s=images / train_s if train_s else None)

    def stop(self, status: Status, message: str) -> None:
        """It ends without a result: save what there is; where even that fails, what was saved last stays."""
        self.change(status=status, message=message)
        with contextlib.suppress(OutputError):
            self.save()
        self._on_stopped(self.record)

    def save(self) -> None:
        """Replace the file; raises OutputError."""
        if self.folder is not None:
            save_record(self.record, self.folder)
