"""`accelmnist neurons`: what every neuron of a trained network's first layer answers for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from accelmnist.cli.options import PATH, Command, count_option, json_option, no_save_option, option, path_option, under
from accelmnist.core.config import DATASETS
from accelmnist.core.errors import ConfigError
from accelmnist.core.files import encode, make_folder
from accelmnist.device.loading import prepare_for_torch

if TYPE_CHECKING:
    from accelmnist.analysis.neurons.analysis import Source
    from accelmnist.analysis.neurons.record import NeuronsRecord


@click.command(cls=Command)
@click.argument("run_folder", metavar="RUN", type=PATH)
@under(
    "Data",
    option(
        "--dataset", type=click.Choice(DATASETS), help="What the network has to have learned; any set if not given."
    ),
    path_option(
        "--data", "data_folder", metavar="DIR", help="Folder of the four IDX files, if not where the run found them."
    ),
)
@under(
    "Result",
    count_option("--top", default=12, help="Neurons told on the console, the clearest first."),
    path_option("--out", metavar="DIR", help="Folder of the files; RUN if not given."),
    no_save_option,
    json_option,
)
def neurons(
    run_folder: Path,
    data_folder: Path | None,
    dataset: str | None,
    top: int,
    out: Path | None,
    no_save: bool,
    as_json: bool,
) -> None:
    """Say which classes each first-layer neuron answers for.

    RUN is the folder of a finished `accelmnist run`. The evidence comes from the test images: when each neuron is on,
    what it argues for and against through the layers that follow, what is lost without it, which images excite it most,
    and whether its weights show strokes or grey noise. An atlas of all neurons is drawn; dead neurons and duplicates
    are named. Without a hidden layer the ten outputs are the neurons.
    """
    prepare_for_torch()
    from accelmnist.analysis.neurons.analysis import describe_run, find_source

    if no_save and out is not None:
        raise ConfigError("--no-save contradicts --out", remedy="Give one of them")
    source = find_source(run_folder, data_folder=data_folder, dataset=dataset)
    record = describe_run(source)
    folder = None if no_save else out or (run_folder if run_folder.is_dir() else run_folder.parent)
    try:
        if folder is not None:
            record = _saved(record, source, folder)
    finally:  # a file that can't be written must not hide what was found
        _print(record, folder, top=top, as_json=as_json)


def _saved(record: NeuronsRecord, source: Source, folder: Path) -> NeuronsRecord:
    """The record with the names of its files, saved: first without pictures, so that one that fails loses nothing."""
    from accelmnist.analysis.neurons.images import inked_share
    from accelmnist.analysis.neurons.record import save_neurons
    from accelmnist.show.pictures import write_neuron_pictures

    save_neurons(record, make_folder(folder))
    weights = source.saved.model.first_layer_weights()
    record = write_neuron_pictures(
        record,
        folder,
        weights=weights,
        images=source.data.test.images,
        inked=inked_share(source.data.train.images).ravel() > 0,
    )
    save_neurons(record, folder)
    return record


def _print(record: NeuronsRecord, folder: Path | None, *, top: int, as_json: bool) -> None:
    from accelmnist.show.analysis import neurons_page
    from accelmnist.show.render.console import make_terminal, print_document

    if as_json:
        click.echo(encode(record).decode(), nl=False)
    print_document(neurons_page(record, top=top, folder=folder), make_terminal(stderr=as_json))
