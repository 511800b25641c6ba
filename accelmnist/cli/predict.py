"""`accelmnist predict`: what a trained network says of pictures of digits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from accelmnist.cli.options import Command, count_option, document_option, path_option, under
from accelmnist.core.errors import DataError
from accelmnist.core.files import RESULTS, encode
from accelmnist.core.text import brief
from accelmnist.device.loading import prepare_for_torch

if TYPE_CHECKING:
    from accelmnist.analysis.prediction import Prediction, Predictor
    from accelmnist.data.picture import Picture

_SOME_FAILED = 2


@click.command(cls=Command)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@under(
    "Network and images",
    path_option(
        "--model",
        "model_path",
        metavar="PATH",
        help="Folder of a run, or its model.safetensors; the newest run under results/ if not given.",
    ),
    count_option("--limit", default=10, help="Most images taken from an IDX file."),
)
@under("Result", document_option)
def predict(files: tuple[Path, ...], model_path: Path | None, limit: int, as_json: bool) -> int:
    """Let a trained network say which digit each FILE shows.

    A FILE is a picture (PNG, JPEG, ...) with one digit, dark on light or bright on dark and of any size, or an IDX file
    of 28x28 images. A file that can't be used is named on standard error; the others are predicted all the same, and
    the exit code is 2.
    """
    prepare_for_torch()
    from accelmnist.analysis.prediction import Predictor

    predictor = Predictor.newest(RESULTS) if model_path is None else Predictor(model_path)
    failed: list[Path] = []
    answers = _answers(predictor, files, limit, failed)
    if as_json:
        predictions = [prediction for _, prediction in answers]
        click.echo(encode({"model": predictor.summary, "predictions": predictions}).decode(), nl=False)
    else:
        _print_all(predictor, answers)
    return _SOME_FAILED if failed else 0


def _answers(
    predictor: Predictor, files: tuple[Path, ...], limit: int, failed: list[Path]
) -> Iterator[tuple[Picture, Prediction]]:
    """Each picture with its prediction, file by file; a bad file is named on standard error and added to `failed`."""
    from accelmnist.data.picture import read_pictures

    for file in files:
        try:
            pictures = read_pictures(file, limit=limit, light=predictor.saved.light)
        except (DataError, OSError) as error:  # the latter where it may not even be asked whether there is a file
            click.echo(f"error: {error if isinstance(error, DataError) else brief(str(error))}", err=True)
            failed.append(file)
            continue
        yield from zip(pictures, predictor.predict(pictures), strict=True)


def _print_all(predictor: Predictor, answers: Iterator[tuple[Picture, Prediction]]) -> None:
    from accelmnist.show.analysis import answer_page, model_page
    from accelmnist.show.render.console import make_terminal, print_document

    console = make_terminal(stderr=False)
    model = predictor.summary
    for number, (picture, prediction) in enumerate(answers):
        if number == 0:  # if no file can be used, there is nothing that the network could be named for
            print_document(model_page(model), console)
        print_document(answer_page(picture, prediction, model), console)
