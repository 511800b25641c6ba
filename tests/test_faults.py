"""The study of planted faults: every patch still applies and compiles, some are found, and a harmless one is not."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from accelmnist.core.files import load
from bench.studies.faults import __main__ as command
from bench.studies.faults.catalogue import PARTS
from bench.studies.faults.fault import Fault, fault
from bench.studies.faults.planting import ROOT
from bench.studies.faults.words import document

ALL = [(part, each) for part, faults in PARTS.items() for each in faults]
QUICK = "rates-stale,precision-by-columns,saved-in-bf16,adam-begins-anew,update-not-fused"


@pytest.mark.parametrize("part", PARTS)
def test_every_patch_applies_once_and_compiles(part: str) -> None:
    for each in PARTS[part]:
        texts = {edit.file: (ROOT / "accelmnist" / edit.file).read_text() for edit in each.edits}
        for edit in each.edits:
            assert texts[edit.file].count(edit.old) == 1, f"{each.name}: {edit.file} has changed"
            texts[edit.file] = texts[edit.file].replace(edit.old, edit.new)
        for file, text in texts.items():
            if file.endswith(".py"):
                ast.parse(text, f"{each.name}: {file}")


def test_there_are_enough_faults_and_none_twice() -> None:
    names = [each.name for _, each in ALL]
    assert len(set(names)) == len(names)
    assert sum(not each.harmless for _, each in ALL) >= 60
    assert 6 <= sum(each.is_native and not each.harmless for _, each in ALL) <= 13
    assert all(each.harmless == (part == "harmless") for part, each in ALL)


def test_a_patch_that_does_not_apply_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file.py").write_text("one, one")
    each: Fault = fault("twice", "", "file.py", "one", "two")
    with pytest.raises(ValueError, match="holds 2 times"):
        each.edits[0].apply(tmp_path)


@pytest.mark.slow
def test_quick_ones_are_found_and_a_harmless_one_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command itself: each in a copy, by a program of its own; the record and its table follow."""
    record = tmp_path / "faults.json"
    monkeypatch.setattr("sys.argv", ["faults", "--only", QUICK, "--runs", "1", "--out", str(record)])
    with pytest.raises(SystemExit) as ended:
        command.main()
    outcomes = load(record, command.Outcomes, kind="faults", noun="planted faults").outcomes
    assert [one.name for one in outcomes if not one.is_right] == []
    assert ended.value.code == 0
    table = record.with_suffix(".md").read_text()
    assert table == document(outcomes, command=command.COMMAND)
    assert "4 of 4 faults were found" in table
