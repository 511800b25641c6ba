"""A picture of a digit as the network wants it: 28 x 28 bytes, bright on black, placed as the training images are.

Two kinds of file are read, distinguished by their first bytes. An IDX file of 28 x 28 bytes an image is taken as it is.
Everything else goes through Pillow: turned upright (EXIF), transparency laid on white, colours made grey, of several
frames the first that is not blank. A picture of 28 x 28 pixels then stays as it is, but for its polarity; of any other
the ink is found (`ink.py`) and normalized as MNIST's digits were (LeCun, Bottou, Bengio and Haffner 1998,
"Gradient-Based Learning Applied to Document Recognition", section III; MNIST's home page):

    1. the ink's bounding box is fitted into 20 x 20 pixels, the aspect ratio kept, grey levels from the resampling;
    2. the centre of mass of the result is put at the centre of the 28 x 28 field.

In the training set the longer side of the box is 20 pixels in all but two of the first 5,000 digits, the brightest
pixel 254 or 255 everywhere, and the centre of mass within half a pixel of row and column 14, counted from 0. These
three figures are what the normalization aims at. A network that learned dark on light gets the same, inverted.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, ImageSequence, UnidentifiedImageError

from accelmnist.core.config import IMAGE_SIDE, INPUTS
from accelmnist.core.errors import DataError
from accelmnist.data.idx import TYPES, read_idx
from accelmnist.data.ink import DARKENED, INVERTED, find_ink

Grey = NDArray[np.uint8]

_BOX_SIDE = 20  # the longer side of a digit
_CENTRE = 14  # row and column of its centre of mass, counted from 0
_LEAST_CONTRAST = 32  # of 255: the noise of a photograph of blank paper stays below
_INK_SHARE = 0.25  # of the contrast: above it a pixel is ink; below lie paper grain and the ripples of JPEG

# What is read, and the bytes that Pillow 13 takes for a pixel of it, by the peak of memory on 30 million, rounded up.
# PostScript is not among them: Pillow would start Ghostscript for it.
_PIXEL_BYTES = {
    **dict.fromkeys(("BMP", "DIB", "GIF", "ICO", "JPEG", "MPO", "PCX", "PNG", "PPM", "QOI", "SGI", "TGA", "TIFF"), 8),
    "AVIF": 10,
    "WEBP": 16,
    "JPEG2000": 20,
}
_MOST_BYTES = 400_000_000
_MOST_FRAMES = 16
_WHITES = (1.0, 255.0, 1_023.0, 4_095.0, 16_383.0, 65_535.0)  # of floats, and of 8, 10, 12, 14 and 16 bits
_SIDE = 400  # a larger picture is made smaller first: a pen's stroke keeps a pixel, and a photograph takes 0.2 s

_HEIC = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_FORMATS = "Give a PNG, JPEG or other picture, or an IDX file"
_IDX_SHAPE = f"Give an IDX file of {IMAGE_SIDE}x{IMAGE_SIDE} images, one byte a pixel"
_DRAW = "Give a picture with one dark digit on light paper, or a bright one on black"


@dataclass(frozen=True, eq=False)
class Picture:
    """One digit: `pixels` uint8 (784,), bright on black; its file, with an index in IDX; notes of what was changed."""

    pixels: Grey
    source: str
    notes: tuple[str, ...] = ()


def read_pictures(path: Path, *, limit: int | None, light: bool = False) -> list[Picture]:
    """The digit in a picture file, or the first `limit` (None: all) of an IDX file.

    `light` says that the network learned dark digits on light, and wants them so. Raises DataError, which names the
    file, for one that is missing, damaged, too large, of another kind or blank.
    """
    begin = _first_bytes(path)
    if _is_idx(begin):
        return _idx_pictures(path, limit)
    return [_picture(*_open_image(path, begin), path, light=light)]


def _first_bytes(path: Path) -> bytes:
    if not path.exists():
        raise DataError(f"{path}: no such file", remedy="Check the path")
    if not path.is_file():  # a pipe would be waited for, perhaps for ever
        raise DataError(f"{path}: is {'a folder' if path.is_dir() else 'no regular file'}", remedy=_FORMATS)
    try:
        with path.open("rb") as file:
            begin = file.read(12)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})", remedy="Check its permissions") from error
    if not begin:
        raise DataError(f"{path}: is empty", remedy=_FORMATS)
    return begin


def _is_idx(begin: bytes) -> bool:
    """Whether a file that begins so is IDX or gzip; no format that Pillow reads begins like either."""
    is_plain = len(begin) >= 4 and begin[:2] == b"\0\0" and begin[2] in TYPES and begin[3] > 0
    return is_plain or begin[:2] == b"\x1f\x8b"


# --- IDX files


def _idx_pictures(path: Path, limit: int | None) -> list[Picture]:
    array = read_idx(path)
    images = _checked_images(array, path)[:limit]
    names = [f"{path}[{index}]" for index in range(len(images))] if array.ndim == 3 else [str(path)]
    for image, name in zip(images, names, strict=True):
        _require_contrast(image, name)
    pictures = [Picture(image.reshape(INPUTS), name) for image, name in zip(images, names, strict=True)]
    if len(images) < len(array) and array.ndim == 3:
        note = f"the last of {len(images)} taken; the file holds {len(array)}"
        pictures[-1] = replace(pictures[-1], notes=(note,))
    return pictures


def _checked_images(array: NDArray[Any], path: Path) -> Grey:
    """The array as (n, 28, 28), if it can be that."""
    side = (IMAGE_SIDE, IMAGE_SIDE)
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or array.shape[-2:] != side:
        shape = "x".join(map(str, array.shape))
        raise DataError(f"{path}: holds {array.dtype} values of shape {shape}, no images to read", remedy=_IDX_SHAPE)
    if array.size == 0:
        raise DataError(f"{path}: holds no images", remedy=_IDX_SHAPE)
    return array.reshape(-1, *side)


def _require_contrast(grey: Grey, name: str) -> None:
    if not _has_contrast(grey):
        raise DataError(f"{name}: is blank", remedy=_DRAW)


def _has_contrast(grey: Grey) -> bool:
    return int(grey.max()) - int(grey.min()) >= _LEAST_CONTRAST


# --- picture files


def _open_image(path: Path, begin: bytes) -> tuple[Grey, str]:
    """The grey levels of the first frame that is not blank, upright and no larger than needed, and its full size."""
    Image.init()  # a format that an older Pillow lacks must not be asked for
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on odd metadata, which does not matter here
            with Image.open(path, formats=[name for name in _PIXEL_BYTES if name in Image.OPEN]) as image:
                _require_size(image.width * image.height, _MOST_BYTES // _PIXEL_BYTES[image.format or "PNG"], path)
                size = f"{image.width}x{image.height}"
                image.draft(None, (2 * _SIDE, 2 * _SIDE))  # a JPEG is decoded no larger than that
                frames = (_grey(frame) for frame in islice(ImageSequence.Iterator(image), _MOST_FRAMES))
                grey = next((grey for grey in frames if _has_contrast(grey)), None)
    except DataError:
        raise
    except Image.DecompressionBombError:
        _require_size(1 << 60, _MOST_BYTES // min(_PIXEL_BYTES.values()), path)
        raise
    except UnidentifiedImageError as error:
        if begin[4:8] == b"ftyp" and begin[8:12] in _HEIC:
            remedy = "Export it as JPEG or PNG; on an iPhone, Settings > Camera > Formats > Most Compatible takes JPEG"
            raise DataError(f"{path}: is a HEIC picture, which can't be read here", remedy=remedy) from error
        raise DataError(f"{path}: is neither a picture nor an IDX file", remedy=_FORMATS) from error
    except Exception as error:  # a decoder raises whatever its parser meets: OSError, SyntaxError, struct.error, ...
        cause = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: cannot be decoded ({cause})", remedy="Give an undamaged picture") from error
    if grey is None:
        raise DataError(f"{path}: is blank", remedy=_DRAW)
    return grey, size


def _require_size(pixels: int, most: int, path: Path) -> None:
    if pixels > most:
        raise DataError(f"{path}: has more than {most:,} pixels", remedy="Give a smaller picture")


def _picture(grey: Grey, size: str, path: Path, *, light: bool) -> Picture:
    if grey.shape != (IMAGE_SIDE, IMAGE_SIDE):
        ink, notes = find_ink(grey)
        if not ink.any():
            raise DataError(f"{path}: is blank", remedy=_DRAW)
        notes.append(f"{size} pixels: fitted and centred as MNIST's digits are")
        pixels = _normalized(ink)
    else:
        is_light = _has_light_background(grey)
        notes = [INVERTED] if is_light else []
        pixels = 255 - grey if is_light else grey
    if light:
        notes = [note for note in notes if note != INVERTED] if INVERTED in notes else [DARKENED, *notes]
        pixels = 255 - pixels
    return Picture(pixels.reshape(INPUTS), str(path), tuple(notes))


def _grey(image: Image.Image) -> Grey:
    """Grey levels (height, width), upright, transparency laid on white, the longer side at most `_SIDE`."""
    if image.mode.startswith(("I", "F")):
        return _from_wide(np.asarray(_small(image.convert("F"))))
    if image.has_transparency_data:
        coloured = _small(image.convert("RGBA"))
        paper = Image.new("RGBA", coloured.size, "white")
        return np.array(Image.alpha_composite(paper, coloured).convert("L"))
    return np.array(_small(image.convert("L")))


def _small(image: Image.Image) -> Image.Image:
    if max(image.size) > _SIDE:
        image.thumbnail((_SIDE, _SIDE), Image.Resampling.HAMMING)
    return ImageOps.exif_transpose(image)


def _from_wide(levels: NDArray[np.float32]) -> Grey:
    """Bytes of 16-bit or floating-point levels, whose range is theirs to choose; Pillow would cut them off at 255."""
    known = np.nan_to_num(levels, posinf=0.0, neginf=0.0)
    brightest = float(known.max())
    # White is the end of the narrowest common range that holds the brightest level.
    white = next((white for white in _WHITES if brightest <= white), brightest)
    return np.asarray(np.rint(known * (255 / white)).clip(0, 255), dtype=np.uint8)


def _has_light_background(grey: Grey) -> bool:
    """Whether the middle level of the border is nearer to the brightest than to the darkest level of the picture."""
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    return float(np.median(border)) > (int(grey.min()) + int(grey.max())) / 2


# --- MNIST's normalization


def _normalized(ink: NDArray[np.float32]) -> Grey:
    """`ink` of any size as 28 x 28 bytes in MNIST's way."""
    small = _fitted(ink / ink.max())
    return _centred(np.rint(255 * small / small.max()).astype(np.uint8))


def _fitted(ink: NDArray[np.float32]) -> NDArray[np.float32]:
    """The bounding box of `ink`, 0 to 1, resampled so that its longer side has 20 pixels."""
    is_ink = ink > _INK_SHARE
    rows, columns = np.flatnonzero(is_ink.any(axis=1)), np.flatnonzero(is_ink.any(axis=0))
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    width, height = box[2] - box[0], box[3] - box[1]
    scale = _BOX_SIDE / max(width, height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    # Hamming averages over the area when it shrinks, hardly blurs, and has no negative lobes that ring around a stroke.
    # Cropped before, not by resize's own box: that would let the paper around the box into its outermost pixels.
    small = Image.fromarray(ink).crop(box).resize(size, Image.Resampling.HAMMING)
    return np.asarray(small, dtype=np.float32)


def _centred(digit: Grey) -> Grey:
    """`digit`, at most 20 x 20, in a field of 28 x 28 with its centre of mass at row and column 14."""
    weights = digit / digit.sum(dtype=np.float64)
    height, width = digit.shape
    top = _offset(float(weights.sum(axis=1) @ np.arange(height)), height)
    left = _offset(float(weights.sum(axis=0) @ np.arange(width)), width)
    field = np.zeros((IMAGE_SIDE, IMAGE_SIDE), dtype=np.uint8)
    field[top : top + height, left : left + width] = digit
    return field


def _offset(mean: float, length: int) -> int:
    """Offset of a digit of `length` that puts its `mean` at the centre; the digit never leaves the field."""
    return min(max(round(_CENTRE - mean), 0), IMAGE_SIDE - length)
