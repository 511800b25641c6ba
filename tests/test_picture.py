"""Pictures of digits: what stays as it is, what is normalized and how, and one clear line for what can't be read."""

from __future__ import annotations

import gzip
import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from accelmnist.core.errors import DataError
from accelmnist.data.idx import write_idx
from accelmnist.data.mnist import load_dataset
from accelmnist.data.picture import Picture, read_pictures

Grey = NDArray[np.uint8]

FORMATS = "Give a PNG, JPEG or other picture, or an IDX file"
DRAW = "Give a picture with one dark digit on light paper, or a bright one on black"
IDX_SHAPE = "Give an IDX file of 28x28 images, one byte a pixel"
INVERTED = "light background: inverted"
DARKENED = "dark background: inverted, as the network learned dark on light"


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


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_fewer_bits_in_sixteen_keep_the_levels(tmp_path: Path, digits: Grey, bits: int) -> None:
    levels = np.rint(digits[1] * ((2**bits - 1) / 255)).astype(np.uint16)
    for name in ("wide.png", "wide.tiff"):
        path = saved(Image.fromarray(levels), tmp_path / name)
        np.testing.assert_array_equal(read_one(path).pixels, digits[1].reshape(-1))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "TIFF", "WEBP"])
def test_the_first_frame_that_is_not_blank_is_read(tmp_path: Path, digits: Grey, kind: str) -> None:
    frames = [Image.new("L", (28, 28), 0), Image.fromarray(digits[0]), Image.fromarray(digits[1])]
    options = {"lossless": True} if kind == "WEBP" else {}
    path = saved(frames[0], tmp_path / "moving", format=kind, save_all=True, append_images=frames[1:], **options)
    np.testing.assert_array_equal(read_one(path).pixels, digits[0].reshape(-1))


def test_a_network_of_dark_digits_gets_dark_digits(tmp_path: Path, digits: Grey) -> None:
    drawings = {"small": Image.fromarray(digits[0]), "large": on_paper(digits[0])}
    drawings |= {f"{name}-inverted": ImageOps.invert(drawing) for name, drawing in drawings.items()}
    for name, drawing in drawings.items():
        path = saved(drawing, tmp_path / f"{name}.png")
        [dark] = read_pictures(path, limit=None, light=True)
        np.testing.assert_array_equal(dark.pixels, 255 - read_one(path).pixels)
        assert (INVERTED in dark.notes, DARKENED in dark.notes) == (False, name in ("small", "large-inverted"))


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


@pytest.mark.slow
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


def test_a_digit_that_fills_its_picture_is_read(tmp_path: Path, digits: Grey) -> None:
    """Cut along its ink, so that all of it touches the border; a speck inside isn't taken for the digit."""
    large = np.asarray(Image.fromarray(digits[0]).resize((140, 140), Image.Resampling.BICUBIC))
    rows, columns = np.nonzero(large > 60)
    cut = 255 - large[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    cut[-12:-10, 6:8] = 0
    back = read_one(saved(Image.fromarray(cut), tmp_path / "cut.png"))
    assert np.abs(back.pixels.astype(int) - digits[0].reshape(-1)).mean() < 15  # half a pixel off: measured 11


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


@pytest.mark.parametrize("side", [7_100, 10_000, 20_000, 65_000])  # Pillow itself refuses the last two
def test_a_decompression_bomb(tmp_path: Path, side: int) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_that_claims(side, side))
    assert message(path) == f"{path}: has more than 50,000,000 pixels. Give a smaller picture"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "mode", "side"),
    [
        *(("PNG", mode, 7_000) for mode in ("RGBA", "I;16", "P")),
        *(("JPEG", "RGB", 7_000), ("TIFF", "RGBA", 7_000), ("GIF", "P", 7_000)),
        *(("WEBP", "RGBA", 4_900), ("JPEG2000", "RGB", 4_400)),
    ],
)
def test_the_largest_pictures_stay_below_500_mb(tmp_path: Path, kind: str, mode: str, side: int) -> None:
    """The peak of memory beyond the start, in a process of its own."""
    image = Image.new("L", (side, side), 255)
    image.paste(0, (side // 4, side // 4, side // 3, side // 2))
    options = {"transparency": 255} if (kind, mode) == ("PNG", "P") else {}
    path = saved(image.convert(mode), tmp_path / "large", format=kind, **options)
    program = """if True:
        import resource, sys
        from pathlib import Path
        from accelmnist.data import picture
        start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        picture.read_pictures(Path(sys.argv[1]), limit=None)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start)
    """
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 500_000


def test_a_file_of_postscript_starts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a program was started"))
    path = tmp_path / "digit.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\n%%EndComments\nshowpage\n")
    assert message(path) == f"{path}: is neither a picture nor an IDX file. {FORMATS}"


@pytest.mark.parametrize("brand", [b"heic", b"mif1", b"hevc"])
def test_a_heic_picture_is_named_with_the_way_out(tmp_path: Path, brand: bytes) -> None:
    path = tmp_path / "IMG_0001.HEIC"
    path.write_bytes(b"\0\0\0\x24ftyp" + brand + b"\0\0\0\0mif1MiHEmiafheic" + bytes(200))
    assert message(path).startswith(f"{path}: is a HEIC picture, which can't be read here. Export it as JPEG or PNG")


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
