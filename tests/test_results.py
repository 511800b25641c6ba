"""Records and files: what is written is read again, what is damaged is one clear line, nothing is half written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from accelmnist.core.errors import OutputError, RecordError
from accelmnist.core.files import encode, make_folder, write_atomically
from accelmnist.core.records import RunRecord, load_record, save_record
from tests.samples import sample_record


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    record = sample_record()
    save_record(record, tmp_path)
    assert load_record(tmp_path) == load_record(tmp_path / "run.json") == record


def test_the_keys_that_others_rely_on(tmp_path: Path) -> None:
    document = json.loads(encode(sample_record()))
    assert document["schema_version"] == 1
    assert document["kind"] == "run"
    assert {"environment", "config"} <= document.keys()
    assert {"accuracy", "macro_f1", "confusion_matrix", "per_class"} <= document["metrics"].keys()
    assert document["verdict"]["passed"] is True
    assert {"train_s", "compile_s", "images_per_s"} <= document["timing"].keys()


def test_unknown_is_null_and_not_a_number_never_gets_in() -> None:
    document = encode(RunRecord()).decode()
    assert '"metrics": null' in document
    assert "NaN" not in document


def saved(folder: Path, change: Any) -> Path:
    document = json.loads(encode(sample_record()))
    change(document)
    (folder / "run.json").write_text(json.dumps(document))
    return folder


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda d: d.update(schema_version=2), r"schema version 2, newer than the 1 known here\. Upgrade accelmnist"),
        (lambda d: d.update(kind="bench"), "is a record of kind 'bench', not of a run"),
        (lambda d: d.pop("kind"), "is not a record of accelmnist: Object missing required field `kind`"),
        (lambda d: d["metrics"].update(accuracy="high"), r"Expected `float`, got `str` - at `\$\.metrics\.accuracy`"),
        (
            lambda d: d["config"]["training"].update(epochs=0),
            "holds a configuration that can't be: --epochs: 0 is too few",
        ),
        (lambda d: d["config"]["model"].update(activation="swish"), "Invalid enum value 'swish'"),
    ],
    ids=["newer", "another kind", "foreign", "wrong type", "impossible", "unknown choice"],
)
def test_a_damaged_or_foreign_record_is_one_line(change: Callable[..., Any], line: str, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=line) as caught:
        load_record(saved(tmp_path, change))
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_truncated_record(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes(encode(sample_record())[:500])
    with pytest.raises(RecordError, match="is not whole JSON"):
        load_record(tmp_path)


def test_a_key_of_a_later_minor_version_is_no_error(tmp_path: Path) -> None:
    assert load_record(saved(tmp_path, lambda d: d.update(a_new_key=1))) == sample_record()


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "run.json"
    write_atomically(file, b"old")

    def full(_descriptor: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"cannot write .*run\.json: no space left on device\. Choose another place"):
        write_atomically(file, b"new")
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_what_is_no_regular_file_is_never_replaced(tmp_path: Path) -> None:
    """As /dev/full, which root may replace."""
    pipe, link, folder = tmp_path / "pipe", tmp_path / "link", tmp_path / "folder"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    folder.mkdir()
    for path in (pipe, link, folder):
        with pytest.raises(OutputError, match="it is no regular file"):
            write_atomically(path, b"new")
    assert pipe.is_fifo()
    assert link.is_symlink()
    assert sorted(tmp_path.iterdir()) == [folder, link, pipe]


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="not a directory"):
        make_folder(tmp_path / "file" / "run")


def test_files_can_be_read_by_others(tmp_path: Path) -> None:
    write_atomically(tmp_path / "x", b"1")
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o644
