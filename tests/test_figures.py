"""The figures and their files: what the texts say, and what the decoded pixels show."""

from __future__ import annotations

import io
import itertools
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import NDArray
from PIL import Image

from accelmnist.analysis.neurons.images import weight_images
from accelmnist.cli.shell import PictureDrawing
from accelmnist.core.config import ModelConfig
from accelmnist.core.errors import OutputError
from accelmnist.core.records import RunRecord
from accelmnist.data.types import ImageSet
from accelmnist.engines.model import MLP
from accelmnist.show.figures import images as image_pages
from accelmnist.show.figures.images import Tiling, choose_columns, draw_mosaic, mistakes_figure, weights_figure
from accelmnist.show.figures.run import confusion_figure, curves_figure
from accelmnist.show.figures.sheet import png_bytes
from accelmnist.show.heat import DIAGONAL, cell_colours, error_shares, heat, ink_on, ramp_colour
from accelmnist.show.pictures import write_numbered, write_pictures
from tests.samples import FASHION, sample_images, sample_metrics, sample_record, sample_weights

DIGITS = tuple("0123456789")


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def decode(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def write(record: RunRecord, folder: Path, *, neurons: int = 12) -> tuple[str, ...]:
    images = sample_images(len(record.mistakes))
    return write_pictures(record, folder, weights=sample_weights(neurons), mistake_images=images)


def test_confusion_holds_every_count_where_it_belongs() -> None:
    metrics = sample_metrics()
    figure = confusion_figure(metrics, DIGITS)
    by_place = {text.get_position(): text.get_text() for text in figure.findobj(Text)}
    left, top = np.min([place for place, text in by_place.items() if text == "988"], axis=0)  # cell (0, 0)
    for row, counts in enumerate(metrics.confusion_matrix):
        for column, count in enumerate(counts):
            expected = f"{count:,}" if count else None
            assert by_place.get((left + 88 * column, top + 88 * row)) == expected


def test_confusion_names_its_axes_and_scores() -> None:
    metrics = sample_metrics()
    said = texts(confusion_figure(metrics, DIGITS))
    assert {"Actual digit", "Predicted digit", "Precision", "Recall"} <= set(said)
    assert f"{100 * metrics.per_class[3].precision:.2f} %" in said
    assert f"{100 * metrics.per_class[3].recall:.1f} %" in said
    assert any(f"accuracy {100 * metrics.accuracy:.2f} %" in text for text in said)


def test_confusion_of_words_says_class() -> None:
    said = texts(confusion_figure(sample_metrics(), FASHION))
    assert said.count("Ankle boot") == 2
    assert "Actual class" in said


def test_errors_are_coloured_by_their_share_of_the_column() -> None:
    counts = np.array([[90, 5], [10, 995]])
    assert error_shares(counts).tolist() == [[0.0, 0.005], [0.1, 0.0]]
    colours = cell_colours(counts)
    assert colours[0][0] == colours[1][1]
    assert colours[1][0] == ramp_colour(1.0)
    assert heat(0.01) == pytest.approx(0.5)  # the middle of 0.1 % to 10 % on the logarithmic scale
    assert (heat(0.0001), heat(0.5)) == (0.0, 1.0)


def test_the_ramp_darkens_steadily_and_its_ink_can_be_read() -> None:
    ramp = [ramp_colour(step / 50) for step in range(51)]
    lightness = [0.2126 * red + 0.7152 * green + 0.0722 * blue for red, green, blue in ramp]
    assert all(before > after for before, after in itertools.pairwise(lightness))
    assert ink_on(ramp[0]) != ink_on(ramp[-1])


@pytest.mark.parametrize(
    ("validation", "said"), [(0, "a sample of the training images"), (5000, "5,000 validation images")]
)
def test_curves_say_what_the_accuracy_is_of(validation: int, said: str) -> None:
    assert said in texts(curves_figure(sample_record(validation=validation)))


def test_curves_draw_the_epochs_and_mark_the_test_accuracy() -> None:
    record = sample_record()
    figure = curves_figure(record)
    line, test = figure.axes[1].get_lines()
    assert np.asarray(line.get_xdata()).tolist() == [1, 2, 3, 4, 5]
    assert np.asarray(line.get_ydata()).tolist() == [epoch.accuracy for epoch in record.epochs]
    assert record.metrics is not None
    assert set(np.asarray(test.get_ydata())) == {record.metrics.accuracy}
    assert f"test images, at the end: {100 * record.metrics.accuracy:.2f} %" in texts(figure)


def test_curves_skip_an_epoch_without_figures() -> None:
    record = sample_record(epochs=3)
    gap = replace(record.epochs[1], train_loss=None, accuracy=None)
    figure = curves_figure(replace(record, epochs=(record.epochs[0], gap, record.epochs[2])))
    assert np.asarray(figure.axes[0].get_lines()[0].get_xdata()).tolist() == [1, 3]


def test_test_loss_is_drawn_only_where_it_compares_with_the_training_loss() -> None:
    record = sample_record()
    smooth = replace(record.config.training, label_smoothing=0.1)
    plain = replace(record.config.training, label_smoothing=0.0)
    lines = [
        len(curves_figure(replace(record, config=replace(record.config, training=training))).axes[0].get_lines())
        for training in (smooth, plain)
    ]
    assert lines == [1, 2]


@pytest.mark.parametrize("epochs", [0, 1, 60])
def test_curves_draw_any_number_of_epochs(epochs: int) -> None:
    record = sample_record(epochs=max(epochs, 1))
    figure = curves_figure(
        replace(record, epochs=record.epochs[:epochs], metrics=None if epochs == 0 else record.metrics)
    )
    assert decode(png_bytes(figure)).mode in ("L", "RGB")
    assert ("no figures were recorded" in texts(figure)) == (epochs == 0)


def test_mistakes_say_how_many_of_how_many() -> None:
    record = sample_record(mistakes=30)
    assert record.metrics is not None
    wrong = record.metrics.images - sum(row[label] for label, row in enumerate(record.metrics.confusion_matrix))
    figure = mistakes_figure(record, sample_images(30))
    assert f"Most confident mistakes: 25 of {wrong}" in texts(figure)


def test_every_mistake_is_shown_by_its_own_image_with_its_own_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the test set to the raster: the image at its index, above its number and its classes."""
    record, test = sample_record(mistakes=5), np.random.default_rng(0).integers(256, size=(1000, 784), dtype=np.uint8)
    drawn: dict[str, Any] = {}
    helper = SimpleNamespace(start=lambda _function, *_arguments, **settings: drawn.update(settings))
    drawing = PictureDrawing(helper, Path())
    drawing.begin(record, MLP(ModelConfig(hidden=(3,))), ImageSet(test, np.zeros(1000, dtype=np.int64)))
    pages: list[Any] = []
    monkeypatch.setattr(image_pages, "draw_mosaic", lambda *page: (pages.append(page), draw_mosaic(*page))[1])
    mistakes_figure(record, drawn["mistake_images"])
    [(tiles, captions, tiling)] = pages
    raster = draw_mosaic(tiles, captions, replace(tiling, has_frame=False))
    for place, mistake in enumerate(record.mistakes):
        left, top = tiling.corner(place)
        tile = raster[top : top + tiling.tile : tiling.zoom, left : left + tiling.tile : tiling.zoom]
        assert (255 - tile == test[mistake.index].reshape(28, 28)).all()
        said = f"true {mistake.actual}, said {mistake.predicted} ({mistake.score:.2f})\ntest image {mistake.index}"
        assert captions[place] == said


def test_no_mistakes_are_said_in_words() -> None:
    perfect = replace(sample_record(mistakes=0), metrics=sample_metrics(error=0.0))
    assert "No test image was misread" in texts(mistakes_figure(perfect, sample_images(0)))
    assert "No misread test image was kept" in texts(mistakes_figure(sample_record(mistakes=0), sample_images(0)))


def test_mistakes_without_their_images_are_refused() -> None:
    with pytest.raises(ValueError, match="3 images for 25 mistakes"):
        mistakes_figure(sample_record(), sample_images(3))


@pytest.mark.parametrize(
    ("neurons", "title"),
    [
        (1, "First-layer weights: 1 neuron"),
        (256, "First-layer weights: 256 neurons"),
        (1500, "First-layer weights: the first 256 of 1,500 neurons"),
    ],
)
def test_weights_page_says_how_many_neurons_it_shows(neurons: int, title: str) -> None:
    assert title in texts(weights_figure(sample_weights(neurons)))


def test_weights_page_says_its_scale() -> None:
    weights = sample_weights(4)
    assert any("own scale" in text for text in texts(weights_figure(weights)))
    shared = texts(weights_figure(weights, shared_scale=True))
    assert any(f"255 = {weights.max():+.3g}, one scale for all" in text for text in shared)


def test_rows_of_a_softmax_regression_are_classes() -> None:
    assert "Weights of the 10 output classes" in texts(weights_figure(sample_weights(10), class_names=FASHION))


def test_the_page_shows_every_pixel_of_a_neuron_enlarged_by_a_whole_number() -> None:
    weights = sample_weights(1)
    page = np.asarray(decode(png_bytes(weights_figure(weights))))
    expected = weight_images(weights)[0].repeat(12, axis=0).repeat(12, axis=1)
    assert np.array_equal(page[104 : 104 + 336, 40 : 40 + 336], expected)


@pytest.mark.parametrize(
    ("tiles", "columns"), [(1, 1), (2, 2), (7, 4), (10, 5), (32, 8), (100, 10), (256, 16), (1024, 16)]
)
def test_columns_leave_few_empty_places(tiles: int, columns: int) -> None:
    assert choose_columns(tiles) == columns


def test_a_long_caption_stays_below_its_own_image() -> None:
    tiling = Tiling(tiles=2, columns=2, zoom=3, gap=6, font_px=18)
    images: NDArray[np.uint8] = np.full((2, 28, 28), 255, dtype=np.uint8)
    raster = draw_mosaic(images, ["a very long caption indeed", ""], tiling)
    assert (raster[:, tiling.tile + tiling.gap :] == 255).all()
    assert (raster < 128).any()


@pytest.fixture(scope="module")
def written_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[str, ...]]:
    folder = tmp_path_factory.mktemp("pictures") / "run"
    return folder, write(sample_record(), folder)


def test_every_picture_is_written_and_named(written_run: tuple[Path, tuple[str, ...]]) -> None:
    folder, paths = written_run
    assert paths[:4] == ("weights.png", "confusion.png", "curves.png", "mistakes.png")
    assert paths[4:] == tuple(f"weights/neuron-{neuron:03d}.png" for neuron in range(12))
    modes = {name: decode((folder / name).read_bytes()).mode for name in paths[:4]}
    assert modes == {"weights.png": "L", "confusion.png": "RGB", "curves.png": "RGB", "mistakes.png": "L"}


def test_neuron_files_hold_the_weight_images(written_run: tuple[Path, tuple[str, ...]]) -> None:
    expected = weight_images(sample_weights(12))
    for neuron in range(12):
        image = decode((written_run[0] / "weights" / f"neuron-{neuron:03d}.png").read_bytes())
        assert (image.mode, image.size) == ("L", (28, 28))
        assert np.array_equal(np.asarray(image), expected[neuron])


def test_the_confusion_file_has_the_size_of_its_figure_and_its_diagonal(
    written_run: tuple[Path, tuple[str, ...]],
) -> None:
    image = decode((written_run[0] / "confusion.png").read_bytes())
    assert image.size == (1201, 1276)
    colours = {colour for _, colour in image.getcolors(100_000) or ()}
    assert DIAGONAL in colours


def test_fewer_neurons_leave_no_stale_files_and_spare_foreign_ones(tmp_path: Path) -> None:
    write_numbered("neuron", weight_images(sample_weights(12)), tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    write_numbered("neuron", weight_images(sample_weights(3)), tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["neuron-000.png", "neuron-001.png", "neuron-002.png", "notes.txt"]


def test_a_run_without_metrics_leaves_no_stale_confusion_matrix(tmp_path: Path) -> None:
    (tmp_path / "confusion.png").write_bytes(b"of an earlier run")
    paths = write(replace(sample_record(), metrics=None), tmp_path)
    assert paths[:2] == ("weights.png", "curves.png")
    assert not (tmp_path / "confusion.png").exists()


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file in the way")
    with pytest.raises(OutputError, match="run"):
        write(sample_record(), tmp_path / "run")


def test_a_neuron_file_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "neuron-001.png").mkdir()
    with pytest.raises(OutputError, match=r"neuron-001\.png"):
        write_numbered("neuron", weight_images(sample_weights(3)), tmp_path)


def test_settings_of_the_user_do_not_show(written_run: tuple[Path, tuple[str, ...]], tmp_path: Path) -> None:
    theirs = {"figure.constrained_layout.use": True, "axes.facecolor": "black", "xtick.labelsize": 30}
    with matplotlib.rc_context(theirs):
        write(sample_record(), tmp_path)
    for name in ("weights.png", "confusion.png", "curves.png", "mistakes.png"):
        assert (tmp_path / name).read_bytes() == (written_run[0] / name).read_bytes()


def test_figures_need_neither_torch_nor_pyplot() -> None:
    check = (
        "import sys, accelmnist.show.pictures; print([m for m in ('torch', 'matplotlib.pyplot') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
