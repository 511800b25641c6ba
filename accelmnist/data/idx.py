"""The IDX file format: a reader that trusts nothing in the file, and a small writer.

An IDX file is two zero bytes, a type code, the number of dimensions (rank), one big-endian uint32 a dimension, and the
elements in C order, big-endian. It was described on the MNIST home page of LeCun, Cortes and Burges; a rank of zero is
one scalar. Files often come gzipped (RFC 1952), which their first two bytes show, not their name.

The header is a claim, and twenty bytes can claim an exabyte. So the claim is computed in Python's unbounded integers
and held against what a file of this size could contain, then against the free memory; and the buffer grows with the
bytes that really arrive. Reading stops one byte past the claim, which is all that a gzip bomb gets to unpack.
"""

from __future__ import annotations

import gzip
import math
import stat
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, cast

import numpy as np
import numpy.typing as npt

from accelmnist.core.errors import DataError
from accelmnist.core.files import write_atomically
from accelmnist.device.cgroups import free_host_bytes

TYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype(np.uint8),
    0x09: np.dtype(np.int8),
    0x0B: np.dtype(np.int16),
    0x0C: np.dtype(np.int32),
    0x0D: np.dtype(np.float32),
    0x0E: np.dtype(np.float64),
}
MAX_RANK = 64 if int(np.__version__.partition(".")[0]) >= 2 else 32  # NumPy's limit, not the format's

_GZIP_MAGIC = b"\x1f\x8b"
# Two bits of deflate can repeat 258 bytes and nothing does better: 1032 to 1 (zlib, "Technical Details").
_DEFLATE_MAX_RATIO = 1032
_CHUNK_BYTES = 1 << 20
_FETCH_AGAIN = "The file is damaged: fetch it again"
_NOT_IDX = "Pass an IDX file, gzipped or plain"


@dataclass(frozen=True)
class _Header:
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def content_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def read_idx(path: Path) -> npt.NDArray[Any]:
    """The array in an IDX file, gzipped or plain, in native byte order and writable.

    Raises DataError, and nothing else, for whatever is wrong with the file. Memory stays within the size of the data
    that the file really holds, plus an eighth (the growth of a bytearray) and some chunks of a megabyte.
    """
    _require_regular_file(path)
    try:
        with path.open("rb") as file:
            return _read_file(file, path)
    except EOFError:
        _fail(path, "the gzip stream is cut short", _FETCH_AGAIN)
    except (gzip.BadGzipFile, zlib.error) as error:
        _fail(path, f"the gzip stream is corrupt ({_one_line(error)})", _FETCH_AGAIN)
    except OSError as error:
        _fail(path, f"cannot be read ({_reason(error)})", "Check the file's permissions and its disk")
    except MemoryError:
        _fail(path, "does not fit into memory", "Free some memory or pass a smaller file")


def write_idx(path: Path, array: npt.NDArray[Any]) -> None:
    """Write an array of one of the six types as IDX, gzipped if the name ends in .gz.

    The same array gives the same bytes. Raises DataError for another type, OutputError if writing fails.
    """
    content = idx_header(array) + array.astype(array.dtype.newbyteorder(">"), copy=False).tobytes()
    # No time stamp, or two writes of one array would differ.
    write_atomically(path, gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def idx_header(array: npt.NDArray[Any]) -> bytes:
    """The header of the IDX file that holds this array: 4 bytes, and 4 a dimension."""
    codes = {dtype: code for code, dtype in TYPES.items()}
    code = codes.get(array.dtype.newbyteorder("="))
    if code is None:
        names = ", ".join(str(dtype) for dtype in codes)
        raise DataError(f"IDX has no element type {array.dtype}", remedy=f"Convert the array to one of {names}")
    if any(size > 0xFFFFFFFF for size in array.shape):
        raise DataError(f"IDX cannot hold the shape {array.shape}", remedy="Keep each dimension below 2**32")
    return bytes([0, 0, code, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)


def _require_regular_file(path: Path) -> None:
    # Checked before opening: to open a pipe would wait for its writer, perhaps for ever.
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        _fail(path, "no such file", "Check the path")
    except OSError as error:
        _fail(path, f"cannot be read ({_reason(error)})", "Check the path and its permissions")
    if stat.S_ISDIR(mode):
        _fail(path, "is a folder, not a file", _NOT_IDX)
    if not stat.S_ISREG(mode):
        _fail(path, "is not a regular file", _NOT_IDX)


def _read_file(file: BinaryIO, path: Path) -> npt.NDArray[Any]:
    gzipped = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
    file_bytes = file.seek(0, 2)
    file.seek(0)
    if file_bytes == 0:
        _fail(path, "is empty", _FETCH_AGAIN)
    if not gzipped:
        return _read_stream(file, path, holds_at_most=file_bytes)
    with gzip.GzipFile(fileobj=file) as stream:
        return _read_stream(cast(BinaryIO, stream), path, holds_at_most=file_bytes * _DEFLATE_MAX_RATIO)


def _read_stream(stream: BinaryIO, path: Path, *, holds_at_most: int) -> npt.NDArray[Any]:
    header = _read_header(stream, path)
    _check_claim(header, path, holds_at_most=holds_at_most)
    content = _read_content(stream, header.content_bytes, path)
    # The read that meets the end of a gzip stream is also the one that verifies its checksum.
    if stream.read(1):
        _fail(path, f"bytes follow the {header.content_bytes} that the header claims", _FETCH_AGAIN)
    return _to_array(content, header, path)


def _read_header(stream: BinaryIO, path: Path) -> _Header:
    magic = stream.read(4)
    if magic[:2] != b"\0\0"[: len(magic)]:
        _fail(path, f"is not an IDX file (it begins with 0x{magic[:2].hex()}, not 0x0000)", _NOT_IDX)
    if len(magic) < 4:
        _fail(path, "the header is cut short", _FETCH_AGAIN)
    code, rank = magic[2], magic[3]
    if code not in TYPES:
        _fail(path, f"unknown element type code 0x{code:02X}", _NOT_IDX)
    if rank > MAX_RANK:
        _fail(path, f"{rank} dimensions, where NumPy has at most {MAX_RANK}", "Reshape the data to fewer dimensions")
    sizes = stream.read(4 * rank)
    if len(sizes) < 4 * rank:
        _fail(path, "the header is cut short", _FETCH_AGAIN)
    return _Header(TYPES[code], tuple(int.from_bytes(sizes[i : i + 4], "big") for i in range(0, 4 * rank, 4)))


def _check_claim(header: _Header, path: Path, *, holds_at_most: int) -> None:
    claim = header.content_bytes
    if claim > holds_at_most:
        _fail(path, f"the header claims {claim} bytes, more than the file can hold", _FETCH_AGAIN)
    available = free_host_bytes()
    if claim > available:
        _fail(
            path,
            f"the header claims {claim} bytes, more than the {available} bytes of free memory",
            "Free some memory or pass a smaller file",
        )


def _read_content(stream: BinaryIO, claim: int, path: Path) -> bytearray:
    content = bytearray()
    while len(content) < claim:
        chunk = stream.read(min(_CHUNK_BYTES, claim - len(content)))
        if not chunk:
            _fail(path, f"the data is cut short: {len(content)} of {claim} bytes", _FETCH_AGAIN)
        content += chunk
    return content


def _to_array(content: bytearray, header: _Header, path: Path) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = np.ndarray(header.shape, dtype=header.dtype, buffer=content)
    except ValueError:
        # NumPy refuses an empty array too if the product of its other dimensions overflows its index type.
        shape = "x".join(str(size) for size in header.shape)
        _fail(path, f"NumPy cannot hold the shape {shape}", "Pass data with smaller dimensions")
    # In place, on the raw bytes: no second copy, and a NaN keeps its payload.
    return array.byteswap(inplace=True) if sys.byteorder == "little" else array


def _reason(error: OSError) -> str:
    return error.strerror or _one_line(error)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _fail(path: Path, cause: str, remedy: str) -> NoReturn:
    raise DataError(f"{path}: {cause}", remedy=remedy)
