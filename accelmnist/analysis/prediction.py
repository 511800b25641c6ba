"""A saved network's answers to pictures: the newest network of a results folder, or the one asked for.

Scores are the values of the network's own output function, in float32 on the CPU: a few pictures would only wait for a
GPU. Softmax's are probabilities and add up to 1; sigmoid's and linear's are scores, of which the largest is the answer
all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import torch

from accelmnist.core.config import Output
from accelmnist.core.errors import AccelmnistError, CheckpointError
from accelmnist.core.files import RECORDS
from accelmnist.core.records import load_record
from accelmnist.data.picture import Picture
from accelmnist.device import resolve
from accelmnist.engines.model import apply_output, logits_of
from accelmnist.training.checkpoint import MODEL_NAME, SavedModel, load_model

STRANGE = "looks unlike all that this network was trained on: the answer means little"


@dataclass(frozen=True, kw_only=True)
class ModelSummary:
    """Which network answers; `file` is as it was given or found.

    `newest_in` is the folder whose newest network it is, None if it was named; `of_sweep` says that a sweep chose it.
    """

    file: str
    network: str
    output: Output
    dataset: str
    class_names: tuple[str, ...]
    newest_in: str | None = None
    of_sweep: bool = False


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The network's answer to one picture, and the score of each class in order."""

    source: str
    predicted: int
    class_name: str
    scores: tuple[float, ...]
    notes: tuple[str, ...] = ()


class Predictor:
    """A network that was loaded once and answers often; raises CheckpointError if there is none in `path`."""

    def __init__(self, path: Path, *, newest_in: Path | None = None) -> None:
        self.file, self.newest_in = _model_file(path), newest_in
        self.saved: SavedModel = load_model(self.file)

    @classmethod
    def newest(cls, results: Path) -> Predictor:
        """The newest network in the folder `results`; raises CheckpointError if there is none."""
        return cls(newest_model(results), newest_in=results)

    @property
    def summary(self) -> ModelSummary:
        """The network, for people and for JSON."""
        config = self.saved.model.config
        return ModelSummary(
            file=str(self.file),
            network=str(config),
            output=config.output,
            dataset=self.saved.dataset,
            class_names=self.saved.class_names,
            newest_in=None if self.newest_in is None else str(self.newest_in),
            of_sweep=(self.file.parent.parent / RECORDS["sweep"]).exists(),
        )

    def predict(self, pictures: Sequence[Picture]) -> list[Prediction]:
        """One prediction a picture; raises CheckpointError if scores are not finite."""
        model = self.saved.model
        images = np.stack([picture.pixels for picture in pictures])
        logits = logits_of(model, torch.from_numpy(images), device=resolve("cpu"), precision="fp32")
        rows = apply_output(logits, model.config.output)
        if not rows.isfinite().all():
            raise CheckpointError(
                f"{self.file} gives scores that are not finite", remedy="Its training diverged: train again"
            )
        strange = np.zeros(len(images), dtype=bool)
        if self.saved.likeness is not None:
            strange = self.saved.likeness.is_strange(images, light=self.saved.light)
        return [self._prediction(*told) for told in zip(pictures, rows, strange.tolist(), strict=True)]

    def _prediction(self, picture: Picture, row: torch.Tensor, is_strange: bool) -> Prediction:
        predicted = int(row.argmax())
        return Prediction(
            source=picture.source,
            predicted=predicted,
            class_name=self.saved.class_names[predicted],
            scores=tuple(row.tolist()),
            notes=picture.notes + (STRANGE,) * is_strange,
        )


def _model_file(path: Path) -> Path:
    if not path.exists():
        raise CheckpointError(f"--model {path}: no such file or folder", remedy="Give what a run saved")
    file = path / MODEL_NAME if path.is_dir() else path
    if not file.exists():
        if (path / "best" / MODEL_NAME).exists():
            raise CheckpointError(f"--model {path}: that is a sweep", remedy=f"Its winner is --model {path / 'best'}")
        raise CheckpointError(f"--model {path}: holds no {MODEL_NAME}", remedy="Give the folder of a finished run")
    return file


def newest_model(results: Path) -> Path:
    """The `model.safetensors` of the newest run in the folder `results`; raises CheckpointError if there is none."""
    files = list(results.rglob(MODEL_NAME))
    if not files:
        raise CheckpointError(
            f"no trained network in {results}/", remedy="Run `accelmnist run` first, or give one with --model"
        )
    return max(files, key=_made_at)


def _made_at(file: Path) -> float:
    """When the run of a model began by its record, in seconds since 1970; without a record, when the file was written.

    The record comes first because a copy or a checkout renews the time of a file.
    """
    try:
        return datetime.fromisoformat(load_record(file.parent).created).timestamp()
    except (AccelmnistError, ValueError):
        return file.stat().st_mtime
