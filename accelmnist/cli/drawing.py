"""The pictures of a run, drawn by the helper process while this one checks the result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from accelmnist.cli.helper_process import HelperProcess

if TYPE_CHECKING:
    from accelmnist.core.records import RunRecord
    from accelmnist.data.types import ImageSet
    from accelmnist.engines.model import MLP


class PictureDrawing:
    """Begins to draw when the run is evaluated, and has the names of the files when it is finished."""

    def __init__(self, helper: HelperProcess, folder: Path | None, *, shared_scale: bool) -> None:
        self._helper, self._folder, self._shared_scale = helper, folder, shared_scale
        self._pending: Callable[[], tuple[str, ...]] | None = None

    def begin(self, record: RunRecord, model: MLP, test: ImageSet) -> None:
        """Begin to draw; nothing is drawn of a run that is not saved."""
        if self._folder is not None:
            self._pending = self._helper.start(
                "accelmnist.show.pictures:write_pictures",
                record,
                self._folder,
                weights=model.first_layer_weights(),
                mistake_images=test.images[[mistake.index for mistake in record.mistakes]],
                shared_scale=self._shared_scale,
            )

    def finish(self, record: RunRecord) -> RunRecord:
        """Wait for the pictures; returns the record with the names of all files, saved."""
        from accelmnist.core.records import save_record

        if self._pending is None or self._folder is None:
            return record
        record = replace(record, files=("run.json", "model.safetensors", *self._pending()))
        save_record(record, self._folder)
        return record
