"""Pictures of digits: what stays as it is, what is normalized and how, and one clear line for what can't be read."""

from __future__ import annotations

import gzip
import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from accelmnist.core.errors import DataError
from accelmnist.data.idx import write_idx
from accelmnist.data.mnist import load_dataset
from accelmnist.data.picture import Picture, read_pictures

Grey = NDArray[np.uint8]

FORMATS = "Give a PNG, JPEG or other picture, or an IDX file"
DRAW = "Give a picture with one dark digit on light paper, or a bright one on black"
IDX_SHAPE = "Give an IDX file of 28x28 images, one byte a pixel"
INVERTED = "light background: inverted"


@pytest.fixture(scope="module")
def digits() -> Grey:
    """The first 40 test digits, (40, 28, 28)."""
    return load_dataset().test.images[:40].reshape(-1, 28, 28)


def read_one(path: Path) -> Picture:
    pictures = read_pictures(path, limit=None)
    assert len(pictures) == 1
    assert pictures[0].pixels.dtype == np.uint8
    assert pictures[0].pixels.shape == (784,)
    return pictures[0]


def saved(image: Image.Image, path: Path, **options: Any) -> Path:
    image.save(path, **options)
    return path


def message(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_pictures(path, limit=None)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def on_paper(digit: Grey, *, size: tuple[int, int] = (200, 300)) -> Image.Image:
    """The digit drawn large in black, off the middle of a white sheet."""
    page = Image.new("L", size, 255)
    page.paste(Image.fromarray(255 - digit).resize((150, 150), Image.Resampling.BICUBIC), (45, 110))
    return page


def centre_of_mass(pixels: Grey) -> tuple[float, float]:
    weights = pixels.reshape(28, 28) / pixels.sum()
    return float(weights.sum(axis=1) @ np.arange(28)), float(weights.sum(axis=0) @ np.arange(28))


def extent(pixels: Grey) -> tuple[int, int]:
    """Rows and columns from the first to the last that isn't black."""
    rows, columns = np.nonzero(pixels.reshape(28, 28))
    return int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1


# --- 28 x 28: as it is


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P"])
def test_a_picture_of_the_right_size_is_taken_as_it_is(tmp_path: Path, digits: Grey, mode: str) -> None:
    path = saved(Image.fromarray(digits[0]).convert(mode), tmp_path / "seven.png")
    picture = read_one(path)
    np.testing.assert_array_equal(picture.pixels, digits[0].reshape(-1))
    assert picture.notes == ()
    assert picture.source == str(path)


def test_sixteen_bits_and_floats_keep_the_levels(tmp_path: Path, digits: Grey) -> None:
    wide = Image.fromarray(digits[1].astype(np.uint16) * 257)
    unit = Image.fromarray(digits[1].astype(np.float32) / 255)
    for path in (saved(wide, tmp_path / "wide.png"), saved(unit, tmp_path / "unit.tiff")):
        np.testing.assert_array_equal(read_one(path).pixels, digits[1].reshape(-1))


def test_dark_ink_on_light_paper_is_inverted_with_a_note(tmp_path: Path, digits: Grey) -> None:
    picture = read_one(saved(Image.fromarray(255 - digits[0]), tmp_path / "paper.png"))
    np.testing.assert_array_equal(picture.pixels, digits[0].reshape(-1))
    assert picture.notes == (INVERTED,)


def test_transparency_is_laid_on_white(tmp_path: Path, digits: Grey) -> None:
    ink = np.zeros((28, 28, 4), dtype=np.uint8)  # black everywhere; only its opacity draws the digit
    ink[..., 3] = digits[2]
    picture = read_one(saved(Image.fromarray(ink), tmp_path / "glass.png"))
    assert np.abs(picture.pixels.astype(int) - digits[2].reshape(-1)).max() <= 1
    assert picture.notes == (INVERTED,)


# --- any other size: MNIST's normalization


def test_a_rectangle_is_fitted_into_twenty_pixels_and_centred(tmp_path: Path) -> None:
    page = np.full((300, 400), 255, dtype=np.uint8)
    page[20:120, 330:370] = 0  # 100 x 40
    picture = read_one(saved(Image.fromarray(page), tmp_path / "bar.png"))
    assert extent(picture.pixels) == (20, 8)
    assert set(np.unique(picture.pixels)) == {0, 255}
    np.testing.assert_allclose(centre_of_mass(picture.pixels), 14, atol=0.5)
    assert picture.notes == (INVERTED, "400x300 pixels: fitted and centred as MNIST's digits are")


def test_the_centre_of_mass_counts_and_not_the_box(tmp_path: Path) -> None:
    page = np.zeros((90, 90), dtype=np.uint8)
    page[10:50, 10:18] = 255  # an L whose foot is heavy: its box's centre lies far from its mass
    page[42:50, 10:50] = 255
    picture = read_one(saved(Image.fromarray(page), tmp_path / "ell.png"))
    rows, columns = np.nonzero(picture.pixels.reshape(28, 28))
    assert extent(picture.pixels) == (20, 20)
    np.testing.assert_allclose(centre_of_mass(picture.pixels), 14, atol=0.51)
    assert (rows.min() + rows.max()) / 2 < 12
    assert (columns.min() + columns.max()) / 2 > 16


def test_enlarged_test_digits_come_back_to_what_they_were(tmp_path: Path, digits: Grey) -> None:
    """Mean difference measured: 6 of 255 as it should be, 24 with each digit one pixel off in both directions."""
    paths = [saved(on_paper(digit), tmp_path / f"{place}.png") for place, digit in enumerate(digits)]
    back = np.array([read_one(path).pixels for path in paths], dtype=int).reshape(-1, 28, 28)
    assert np.abs(back - digits).mean() < 10
    assert np.abs(np.roll(back, (1, 1), axis=(1, 2)) - digits).mean() > 20


def test_grey_paper_pale_ink_and_noise_do_not_matter(tmp_path: Path, digits: Grey) -> None:
    clean = np.asarray(on_paper(digits[0]), dtype=float)
    noise = np.random.default_rng(0).normal(0, 3, clean.shape)
    dim = (90 + clean * (180 - 90) / 255 + noise).astype(np.uint8)
    ideal = read_one(saved(on_paper(digits[0]), tmp_path / "clean.png"))
    picture = read_one(saved(Image.fromarray(dim), tmp_path / "dim.jpg"))
    assert np.abs(picture.pixels.astype(int) - ideal.pixels).mean() < 6
    assert picture.pixels.max() == 255


def test_a_photograph_is_turned_upright(tmp_path: Path, digits: Grey) -> None:
    upright = on_paper(digits[0])
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by 90 degrees clockwise to show
    turned = saved(upright.transpose(Image.Transpose.ROTATE_90), tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(read_one(turned).pixels, read_one(saved(upright, tmp_path / "upright.png")).pixels)


@pytest.mark.parametrize("size", [(2, 1), (1, 300), (7, 9), (28, 29)])
def test_odd_sizes_give_a_digit_in_the_field(tmp_path: Path, size: tuple[int, int]) -> None:
    page = np.zeros(size[::-1], dtype=np.uint8)
    page[0, 0] = 255
    assert extent(read_one(saved(Image.fromarray(page), tmp_path / "dot.png")).pixels) == (20, 20)


# --- IDX


@pytest.mark.parametrize("name", ["digits-idx3-ubyte", "digits.gz"])
def test_idx_images_are_taken_as_they_are(tmp_path: Path, digits: Grey, name: str) -> None:
    path = tmp_path / name
    write_idx(path, digits[:3])
    pictures = read_pictures(path, limit=None)
    np.testing.assert_array_equal([picture.pixels for picture in pictures], digits[:3].reshape(3, 784))
    assert [picture.source for picture in pictures] == [f"{path}[0]", f"{path}[1]", f"{path}[2]"]
    assert [picture.notes for picture in pictures] == [(), (), ()]


def test_a_limit_takes_the_first_and_says_so(tmp_path: Path, digits: Grey) -> None:
    path = tmp_path / "digits"
    write_idx(path, digits)
    pictures = read_pictures(path, limit=2)
    np.testing.assert_array_equal([picture.pixels for picture in pictures], digits[:2].reshape(2, 784))
    assert [picture.notes for picture in pictures] == [(), ("the last of 2 taken; the file holds 40",)]


def test_one_image_of_rank_two_is_a_picture(tmp_path: Path, digits: Grey) -> None:
    path = tmp_path / "one"
    write_idx(path, digits[5])
    picture = read_one(path)
    np.testing.assert_array_equal(picture.pixels, digits[5].reshape(-1))
    assert picture.source == str(path)


@pytest.mark.parametrize(
    ("array", "cause"),
    [
        (np.zeros(5, dtype=np.uint8), "holds uint8 values of shape 5, no images to read"),
        (np.zeros((2, 1, 28, 28), dtype=np.uint8), "holds uint8 values of shape 2x1x28x28, no images to read"),
        (np.zeros((2, 32, 32), dtype=np.uint8), "holds uint8 values of shape 2x32x32, no images to read"),
        (np.zeros((2, 28, 28), dtype=np.float32), "holds float32 values of shape 2x28x28, no images to read"),
        (np.zeros((0, 28, 28), dtype=np.uint8), "holds no images"),
    ],
)
def test_an_idx_file_of_another_shape_or_type(tmp_path: Path, array: NDArray[Any], cause: str) -> None:
    path = tmp_path / "other"
    write_idx(path, array)
    assert message(path) == f"{path}: {cause}. {IDX_SHAPE}"


def test_a_blank_image_in_an_idx_file_is_named_by_its_index(tmp_path: Path, digits: Grey) -> None:
    path = tmp_path / "some"
    write_idx(path, np.stack([digits[0], np.zeros((28, 28), dtype=np.uint8)]))
    assert message(path) == f"{path}[1]: is blank. {DRAW}"
    assert len(read_pictures(path, limit=1)) == 1


# --- what can't be read


def test_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "none.png"
    assert message(path) == f"{path}: no such file. Check the path"


def test_a_folder_a_pipe_and_an_empty_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty.png").touch()
    assert message(tmp_path) == f"{tmp_path}: is a folder. {FORMATS}"
    assert message(tmp_path / "pipe") == f"{tmp_path / 'pipe'}: is no regular file. {FORMATS}"
    assert message(tmp_path / "empty.png") == f"{tmp_path / 'empty.png'}: is empty. {FORMATS}"


@pytest.mark.parametrize("content", [b"a digit, in words", b"\0", b"\x89PNG\r\n\x1a\n", b"\0\0\x08\0"])
def test_no_picture(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "digit.png"
    path.write_bytes(content)
    assert message(path) == f"{path}: is neither a picture nor an IDX file. {FORMATS}"


@pytest.mark.parametrize("level", [0, 90, 255])
@pytest.mark.parametrize("size", [(28, 28), (64, 40)])
def test_a_blank_picture(tmp_path: Path, level: int, size: tuple[int, int]) -> None:
    path = saved(Image.new("L", size, level), tmp_path / "blank.png")
    assert message(path) == f"{path}: is blank. {DRAW}"


def test_blank_paper_with_grain_is_blank(tmp_path: Path) -> None:
    grain = np.random.default_rng(1).integers(200, 225, size=(60, 60), dtype=np.uint8)
    path = saved(Image.fromarray(grain), tmp_path / "grain.png")
    assert message(path) == f"{path}: is blank. {DRAW}"


@pytest.mark.parametrize("side", [10_000, 20_000, 65_000])  # Pillow warns of the first and refuses the others
def test_a_decompression_bomb(tmp_path: Path, side: int) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_that_claims(side, side))
    limit = f"{Image.MAX_IMAGE_PIXELS:,}"
    assert message(path) == f"{path}: has more than {limit} pixels, Pillow's limit. Give a smaller picture"


def test_a_picture_cut_short(tmp_path: Path, digits: Grey) -> None:
    path = saved(on_paper(digits[0]), tmp_path / "cut.png")
    path.write_bytes(path.read_bytes()[:800])
    assert message(path).startswith(f"{path}: cannot be decoded (")
    assert message(path).endswith("). Give an undamaged picture")


def test_a_gzip_stream_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(bytes(5000))[:-9])
    assert message(path).startswith(f"{path}: ")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"])
def test_damage_never_gives_anything_but_a_picture_or_a_data_error(tmp_path: Path, digits: Grey, kind: str) -> None:
    buffer = io.BytesIO()
    on_paper(digits[3]).save(buffer, kind)
    whole = np.frombuffer(buffer.getvalue(), dtype=np.uint8)
    random = np.random.default_rng(len(kind))
    path = tmp_path / "damaged"
    for _ in range(60):
        damaged = whole.copy()
        damaged[random.integers(min(len(whole), 400), size=4)] = random.integers(256, size=4)
        path.write_bytes(damaged[: random.integers(1, len(whole) + 1)].tobytes())
        problem = problem_of(path)
        assert problem is None or (str(path) in problem and "\n" not in problem)


def problem_of(path: Path) -> str | None:
    try:
        read_one(path)
    except DataError as error:
        return str(error)
    return None


def png_that_claims(width: int, height: int) -> bytes:
    """A PNG of 57 bytes whose header says that it has this size."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
