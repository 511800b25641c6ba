"""The IDX reader against hand-made bytes, round trips of every type, and files damaged in every way."""

import gzip
import os
import struct
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from accelmnist.core.errors import DataError, OutputError
from accelmnist.data import idx
from accelmnist.data.idx import idx_header, read_idx, write_idx

MB = 1 << 20
# Each example writes a file, so a hundred are worth about half a second.
PROPERTY = settings(deadline=None, derandomize=True, max_examples=120)

arrays = st.sampled_from(["u1", "i1", "i2", "i4", "f4", "f8"]).flatmap(
    lambda code: hnp.arrays(code, hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4))
)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all examples of a property: hypothesis refuses a fixture that is made anew for each."""
    return tmp_path_factory.mktemp("idx")


def encode(code: int, shape: tuple[int, ...], content: bytes = b"") -> bytes:
    """An IDX file made with `struct`, independent of the writer under test."""
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, code, len(shape), *shape) + content


def failure(path: Path) -> DataError:
    with pytest.raises(DataError) as caught:
        read_idx(path)
    assert str(path) in caught.value.message
    assert caught.value.remedy
    assert "\n" not in str(caught.value)
    return caught.value


def expect_array_or_data_error(path: Path) -> None:
    try:
        array = read_idx(path)
    except DataError:
        failure(path)  # the same once more, and its message
    else:
        assert isinstance(array, np.ndarray)


def failure_of(content: bytes, path: Path) -> str:
    path.write_bytes(content)
    return failure(path).message.removeprefix(f"{path}: ")


@contextmanager
def peak_below(limit_bytes: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < limit_bytes


def same_bits(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> bool:
    """Equal in type, shape and every bit: NaNs with their payloads, and the sign of zero."""
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


# --- what a good file gives


@pytest.mark.parametrize(
    ("code", "letter", "dtype", "values"),
    [
        (0x08, "B", "uint8", [0, 1, 255]),
        (0x09, "b", "int8", [-128, -1, 127]),
        (0x0B, "h", "int16", [-32768, 258, 32767]),
        (0x0C, "i", "int32", [-(2**31), 16909060, 2**31 - 1]),
        (0x0D, "f", "float32", [-1.5, 0.0, float("inf")]),
        (0x0E, "d", "float64", [-1.5, 1e300, 5e-324]),
    ],
)
def test_reads_every_type_in_native_order(
    tmp_path: Path, code: int, letter: str, dtype: str, values: list[float]
) -> None:
    path = tmp_path / "data"
    path.write_bytes(encode(code, (3,), struct.pack(f">3{letter}", *values)))
    array = read_idx(path)
    assert array.dtype == np.dtype(dtype)
    assert array.dtype.isnative
    assert array.tolist() == values
    array[0] = 1  # writable


def test_reads_in_c_order(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(encode(0x08, (2, 3), bytes(range(6))))
    assert read_idx(path).tolist() == [[0, 1, 2], [3, 4, 5]]


def test_rank_zero_is_a_scalar(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(encode(0x0C, (), struct.pack(">i", -7)))
    assert read_idx(path).shape == ()
    assert read_idx(path) == -7


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 28, 28), (0xFFFFFFFF, 0)])
def test_zero_sized_dimensions(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = tmp_path / "data"
    path.write_bytes(encode(0x0D, shape))
    assert read_idx(path).shape == shape


def test_highest_rank(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(encode(0x08, (1,) * idx.MAX_RANK, b"\x05"))
    assert read_idx(path).ndim == idx.MAX_RANK


def test_gzip_is_told_by_content_and_not_by_name(tmp_path: Path) -> None:
    plain = encode(0x08, (2,), b"\x01\x02")
    (tmp_path / "plain.gz").write_bytes(plain)
    (tmp_path / "packed").write_bytes(gzip.compress(plain, mtime=0))
    (tmp_path / "two_members").write_bytes(gzip.compress(plain[:5], mtime=0) + gzip.compress(plain[5:]))
    assert [read_idx(path).tolist() for path in tmp_path.iterdir()] == [[1, 2]] * 3


@PROPERTY
@given(array=arrays, suffix=st.sampled_from(["", ".gz"]))
def test_round_trip(scratch: Path, array: npt.NDArray[Any], suffix: str) -> None:
    path = scratch / f"round_trip{suffix}"
    write_idx(path, array)
    assert (path.read_bytes()[:2] == b"\x1f\x8b") == (suffix == ".gz")
    assert same_bits(read_idx(path), array)


def test_round_trip_keeps_the_payload_of_a_signalling_nan(tmp_path: Path) -> None:
    bits = np.array([0x7FA12345, 0xFFC00001, 0x80000000], dtype=np.uint32)
    write_idx(tmp_path / "nan", bits.view(np.float32))
    assert read_idx(tmp_path / "nan").view(np.uint32).tolist() == bits.tolist()


@pytest.mark.parametrize("view", [lambda a: a.T, lambda a: a[::2, ::-1], lambda a: a.astype(">i4")])
def test_writes_views_and_foreign_byte_order(tmp_path: Path, view: Any) -> None:
    array = view(np.arange(12, dtype=np.int32).reshape(3, 4))
    write_idx(tmp_path / "view", array)
    assert read_idx(tmp_path / "view").tolist() == array.tolist()


def test_writes_the_same_bytes_each_time(tmp_path: Path) -> None:
    array = np.arange(5, dtype=np.uint8)
    for name in ("a.gz", "b.gz"):
        write_idx(tmp_path / name, array)
    first, second = ((tmp_path / name).read_bytes() for name in ("a.gz", "b.gz"))
    assert first == second
    assert first[4:8] == bytes(4)  # the time stamp (RFC 1952)
    assert gzip.decompress(first) == encode(0x08, (5,), bytes(range(5)))


def test_writer_refuses_what_idx_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no element type int64") as caught:
        write_idx(tmp_path / "a", np.zeros(3, dtype=np.int64))
    assert "uint8, int8, int16, int32, float32, float64" in caught.value.remedy
    wide = np.broadcast_to(np.uint8(0), (2**32,))
    with pytest.raises(DataError, match="cannot hold the shape"):
        idx_header(wide)
    with pytest.raises(OutputError, match="no such file or directory"):
        write_idx(tmp_path / "missing" / "a", np.zeros(3, dtype=np.uint8))


# --- what a bad file gives

GOOD = encode(0x0B, (2, 2), bytes(8))
PACKED = gzip.compress(GOOD, mtime=0)


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "is empty"),
        (b"\x89PNG\r\n", "is not an IDX file (it begins with 0x8950, not 0x0000)"),
        (b"\0", "the header is cut short"),
        (GOOD[:3], "the header is cut short"),
        (GOOD[:11], "the header is cut short"),
        (encode(0x0A, (1,), b"\0"), "unknown element type code 0x0A"),
        (encode(0x0A, (1,)), "unknown element type code 0x0A"),
        (encode(0x08, (1,) * 65, b"\0"), f"65 dimensions, where NumPy has at most {idx.MAX_RANK}"),
        (encode(0x08, (1,) * 255, b"\0"), f"255 dimensions, where NumPy has at most {idx.MAX_RANK}"),
        # A plain file of 19 bytes may claim 8 bytes of data and hold 7 of them.
        (GOOD[:-1], "the data is cut short: 7 of 8 bytes"),
        (GOOD + b"\0", "bytes follow the 8 that the header claims"),
        (encode(0x08, (), b""), "the data is cut short: 0 of 1 bytes"),
        (encode(0x08, (1000,), b"\0"), "the header claims 1000 bytes, more than the file can hold"),
        (
            encode(0x0E, (2**32 - 1,) * 3),
            f"the header claims {(2**32 - 1) ** 3 * 8} bytes, more than the file can hold",
        ),
        (encode(0x0E, (0, 2**32 - 1, 2**32 - 1)), "NumPy cannot hold the shape 0x4294967295x4294967295"),
        (PACKED[:-9], "the gzip stream is cut short"),
        (PACKED[:-1], "the gzip stream is cut short"),
        (PACKED[:5], "the gzip stream is cut short"),
        (PACKED[:2], "the gzip stream is cut short"),
        (gzip.compress(b"", mtime=0), "the header is cut short"),
        (gzip.compress(GOOD[:-1], mtime=0), "the data is cut short: 7 of 8 bytes"),
        (gzip.compress(GOOD + b"\0", mtime=0), "bytes follow the 8 that the header claims"),
        (PACKED + b"rubbish", "the gzip stream is corrupt (Not a gzipped file (b'ru'))"),
    ],
)
def test_damage_is_named(tmp_path: Path, content: bytes, cause: str) -> None:
    assert failure_of(content, tmp_path / "data.gz") == cause


def test_wrong_checksum(tmp_path: Path) -> None:
    damaged = PACKED[:-8] + bytes([PACKED[-8] ^ 1]) + PACKED[-7:]
    assert failure_of(damaged, tmp_path / "data").startswith("the gzip stream is corrupt (CRC check failed")


def test_wrong_checksum_of_an_empty_array(tmp_path: Path) -> None:
    packed = gzip.compress(encode(0x08, (0,)))
    damaged = packed[:-8] + bytes([packed[-8] ^ 1]) + packed[-7:]
    assert failure_of(damaged, tmp_path / "data").startswith("the gzip stream is corrupt (CRC check failed")


def test_bad_deflate(tmp_path: Path) -> None:
    damaged = PACKED[:10] + b"\xff" * 8 + PACKED[18:]
    assert failure_of(damaged, tmp_path / "data").startswith("the gzip stream is corrupt (Error -3")


def test_missing_file_folder_and_pipe(tmp_path: Path) -> None:
    assert failure(tmp_path / "missing").message == f"{tmp_path / 'missing'}: no such file"
    assert failure(tmp_path).message == f"{tmp_path}: is a folder, not a file"
    (tmp_path / "file").touch()
    assert "cannot be read (Not a directory)" in failure(tmp_path / "file" / "below").message
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")  # to open it would hang
        assert failure(tmp_path / "pipe").message.endswith("is not a regular file")


def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Replaced and not chmodded: root may read everything.
    def refuse(self: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "data").write_bytes(GOOD)
    monkeypatch.setattr(Path, "open", refuse)
    assert failure(tmp_path / "data").message.endswith("cannot be read (Permission denied)")


@PROPERTY
@given(array=arrays, packed=st.booleans(), data=st.data())
def test_any_damage_gives_an_array_or_a_data_error(
    scratch: Path, array: npt.NDArray[Any], packed: bool, data: st.DataObject
) -> None:
    path = scratch / "damaged"
    write_idx(scratch / "damaged.gz" if packed else path, array)
    content = bytearray((scratch / "damaged.gz" if packed else path).read_bytes())
    match data.draw(st.sampled_from(["change", "cut", "extend"])):
        case "change":
            for _ in range(data.draw(st.integers(1, 3))):
                content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        case "cut":
            del content[data.draw(st.integers(0, len(content) - 1)) :]
        case _:
            content += data.draw(st.binary(min_size=1, max_size=20))
    path.write_bytes(content)
    with peak_below(4 * MB):
        expect_array_or_data_error(path)


@PROPERTY
@given(content=st.binary(max_size=40), head=st.sampled_from([b"", b"\0\0\x08", b"\x1f\x8b\x08\0"]))
def test_any_bytes_give_an_array_or_a_data_error(scratch: Path, content: bytes, head: bytes) -> None:
    path = scratch / "bytes"
    path.write_bytes(head + content)
    with peak_below(4 * MB):
        expect_array_or_data_error(path)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_tiny_file_with_a_huge_claim_takes_no_memory(tmp_path: Path, pack: Any) -> None:
    path = tmp_path / "data"
    path.write_bytes(pack(encode(0x08, (2**31, 4), bytes(100))))
    with peak_below(MB):
        assert "the header claims 8589934592 bytes, more than the file can hold" in failure(path).message


def test_memory_follows_the_data_and_not_the_claim(tmp_path: Path) -> None:
    path = tmp_path / "data"
    noise = np.random.default_rng(0).bytes(100_000)  # does not compress: the file may claim 100 MB by its size
    path.write_bytes(gzip.compress(encode(0x08, (100_000_000,), noise)))
    with peak_below(3 * MB):
        assert "the data is cut short: 100000 of 100000000 bytes" in failure(path).message


def test_a_gzip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(gzip.compress(encode(0x08, (10,), bytes(200 * MB))))
    assert path.stat().st_size < MB
    with peak_below(2 * MB):
        assert "bytes follow the 10 that the header claims" in failure(path).message


def test_a_bomb_that_claims_itself_is_refused_for_want_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "data"
    path.write_bytes(gzip.compress(encode(0x08, (50 * MB,), bytes(50 * MB))))
    assert read_idx(path).shape == (50 * MB,)
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=49 * MB))
    with peak_below(2 * MB):
        assert f"claims {50 * MB} bytes, more than the {49 * MB} bytes of free memory" in failure(path).message


def test_out_of_memory_is_a_data_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(idx, "_read_content", exhausted)
    assert failure_of(GOOD, tmp_path / "data") == "does not fit into memory"
