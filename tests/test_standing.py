"""Where a machine stands beside verified records, and what `accelmnist submit` checks before a record is one."""

from __future__ import annotations

import getpass
import json
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from accelmnist.analysis import doctor
from accelmnist.cli import invoke
from accelmnist.core.files import encode, save
from accelmnist.device import resolve
from accelmnist.engines import choose, standing
from accelmnist.engines.standing import DIGEST, RecordedSpeed, VerifiedRecord, VerifiedRecords, Work, hardware_of
from accelmnist.measure.plan import Side
from accelmnist.measure.record import BenchRecord
from accelmnist.measure.recount import load_bench
from accelmnist.measure.statistics.symptoms import Symptom
from accelmnist.measure.submission import (
    check_submission,
    file_name,
    names_here,
    submission_of,
    training_speeds,
    verified,
)
from accelmnist.show.bench.page import bench_page
from bench.studies.standing import RECORDS, digest
from tests.samples import sample_environment

FUSED = Work(engine="fused", precision="fp32", batch_size=256, hidden=(256,), optimizer="adamw")
EAGER = replace(FUSED, engine="eager")
OF_THREE = "3 records of this processor"


def a_record(hardware: str, fused: float, eager: float | None = None) -> VerifiedRecord:
    speeds = {FUSED: fused} | ({} if eager is None else {EAGER: eager})
    kept = tuple(RecordedSpeed(**vars(work), images_per_s=speed) for work, speed in speeds.items())
    return VerifiedRecord(file="a.json", hardware=hardware, torch="2.14.1", measured="2026-11-29", speeds=kept)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three records of one processor, and one of another."""
    same = [a_record("a cpu", 90.0), a_record("a cpu", 100.0, 50.0), a_record("a cpu", 400.0, 50.0)]
    monkeypatch.setattr(standing, "verified_records", lambda: (*same, a_record("another", 1.0)))


# --- where it stands


@pytest.mark.parametrize(
    ("hardware", "speeds", "sentence"),
    [
        ("a cpu", {FUSED: 97.0}, f"at 97 % of the median of {OF_THREE}, over 1 case of training"),
        ("a cpu", {FUSED: 50.0, EAGER: 100.0}, f"at 100 % of the median of {OF_THREE}, over 2 cases of training"),
        ("another", {FUSED: 2.0}, "at 200 % of the one record of this processor, over 1 case of training"),
        ("a cpu", {}, f"{OF_THREE}; `accelmnist bench` tells where this one stands"),
        ("a cpu", {replace(FUSED, batch_size=64): 1.0}, f"{OF_THREE}; `accelmnist bench` tells where this one stands"),
        (
            "third",
            {FUSED: 1.0},
            "no verified record of this processor yet: `accelmnist submit` makes one",
        ),
    ],
)
def test_a_machine_stands_beside_records_of_its_own_hardware(
    known: None, hardware: str, speeds: dict[Work, float], sentence: str
) -> None:
    found = standing.standing("cpu", hardware, speeds)
    assert found.sentence == sentence
    assert (found.share is None) == ("%" not in sentence)


def test_a_card_is_a_card_and_known_by_its_name(known: None) -> None:
    found = standing.standing("cuda:1", hardware_of(sample_environment(), "cuda:1", "another"), {FUSED: 1.0})
    assert found.sentence == "at 100 % of the one record of this card, over 1 case of training"
    assert hardware_of(sample_environment(), "cpu", "whatever") == "AMD EPYC 9B14, 2 cores, AVX512"


def test_an_installation_without_the_records_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(standing, "DIGEST", tmp_path / "standing.json")
    monkeypatch.setattr(standing, "verified_records", standing.verified_records.__wrapped__)
    found = standing.standing("cpu", "a cpu", {FUSED: 1.0})
    assert found.sentence.startswith("no verified record can be read here: cannot read ")
    (tmp_path / "standing.json").write_text("{")
    assert "is not whole JSON" in standing.standing("cpu", "a cpu", {}).sentence


def test_doctor_says_it_of_what_bench_kept(known: None, monkeypatch: pytest.MonkeyPatch) -> None:
    device = resolve("cpu")
    here = choose.setting_of(doctor.RunConfig(), device)
    setting = replace(here, threads=doctor.threads_in_force(None), batch_size=256, hidden=(256,), optimizer="adamw")
    other = replace(setting, machine="with another torch", batch_size=64)
    speeds = [
        choose.Speed(setting=one, engine="fused", images_per_s=97.0, compile_s=0.0, measured="2026-11-29")
        for one in (setting, other)
    ]
    monkeypatch.setattr(doctor, "load_speeds", lambda: choose.SpeedTable(speeds=tuple(speeds)))
    assert doctor._speeds(device) == {FUSED: 97.0}


# --- the records that are there


def test_the_package_says_what_the_verified_records_say() -> None:
    """Each passes every check; after a new one, `python -m bench.studies.standing` writes the file."""
    assert DIGEST.read_bytes() == encode(digest())
    assert digest().records


# --- what is checked


@pytest.fixture(scope="module")
def good() -> BenchRecord:
    return load_bench(next(iter(sorted(RECORDS.glob("*.json")))))


def failures(record: BenchRecord, names: dict[str, str] | None = None) -> dict[str, str]:
    return {check.name: check.detail for check in check_submission(record, names).failures}


@pytest.fixture
def jdoe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty folder, of a user and on a host with these names: others' own may be words of a record."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(getpass, "getuser", lambda: "jdoe")
    monkeypatch.setattr(socket, "gethostname", lambda: "gpubox.lab.example")
    return tmp_path


def test_a_record_with_a_fault_is_refused_for_that_alone(good: BenchRecord) -> None:
    assert good.environment is not None
    first, *others = good.cases
    assert first.verdict is not None
    assert first.images_per_s is not None
    busy = Symptom("machine busy", "other processes used 30 % of the processors: stop them")
    unaudited = replace(first.verdict, checks=[one for one in first.verdict.checks if one.name != "timed case"])
    wrong = replace(first.verdict, passed=False)
    few = replace(first.images_per_s, samples=first.images_per_s.samples[:5])

    def with_first(**fields: Any) -> BenchRecord:
        return replace(good, cases=(replace(first, **fields), *others))

    assert failures(good) == {}
    faults = {
        "whole": replace(good, status="interrupted"),
        "verdict": with_first(verdict=wrong),
        "audit": with_first(verdict=unaudited),
        "samples": with_first(images_per_s=few),
        "quiet": with_first(symptoms=(busy,)),
        "commit": replace(good, environment=replace(good.environment, commit=f"{good.environment.commit}+changes")),
        "privacy": replace(good, notes=("measured in /home/somebody/work",)),
    }
    for name, record in faults.items():
        assert list(failures(record)) == [name]
    assert failures(replace(good, environment=replace(good.environment, commit=None))).keys() == {"commit"}
    beside = replace(good, config=replace(good.config, data=replace(good.config.data, dataset="synthetic")))
    assert failures(beside).keys() == {"whole"}


@pytest.mark.parametrize(
    "text",
    ["/home/x", "see ~/work/a", "C:\\Users\\x", "../secret/x", "own/by_hand.py:ByHand", "(/opt/x)", "file:///tmp/x"],
)
def test_a_path_anywhere_is_found(good: BenchRecord, text: str) -> None:
    assert failures(replace(good, notes=(*good.notes, text))) == {"privacy": "notes.1 holds a path"}


def test_the_users_and_the_hosts_name_are_found_wherever_they_stand(good: BenchRecord, jdoe: Path) -> None:
    names = names_here()
    assert failures(good, names) == {}
    assert failures(replace(good, message="run by JDoe"), names) == {"privacy": "message holds the user's name"}
    assert failures(replace(good, message="on gpubox."), names) == {"privacy": "message holds the host's name"}
    assert failures(replace(good, message="jdoes on gpubox2"), names) == {}  # other words


def test_what_steers_and_holds_a_path_is_left_out(good: BenchRecord) -> None:
    assert good.environment is not None
    command = "accelmnist bench --out mine/private --data '/home/me/my digits' --engines eager"
    variables = {"OMP_NUM_THREADS": "2", "TORCHINDUCTOR_CACHE_DIR": "/home/me/cache"}
    ready = submission_of(replace(good, environment=replace(good.environment, command=command, variables=variables)))
    assert ready.environment is not None
    assert "private" not in ready.environment.command
    assert "/" not in ready.environment.command
    assert ready.environment.variables == {"OMP_NUM_THREADS": "2"}
    assert failures(ready) == {}


# --- the command


def test_submit_writes_a_file_that_can_be_handed_in(
    good: BenchRecord, jdoe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(good, jdoe / "bench.json")
    assert invoke(["submit", "bench.json", "--out", "mine"]) == 0
    assert "PASS" in capsys.readouterr().out
    [file] = (jdoe / "mine").iterdir()
    again = load_bench(file)
    assert (failures(again), file.name) == ({}, file_name(again))
    assert verified(again, "x") == verified(good, "x")


def test_submit_refuses_in_a_line_and_writes_nothing(
    good: BenchRecord, jdoe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert good.environment is not None
    save(replace(good, environment=replace(good.environment, commit=None)), jdoe / "bench.json")
    monkeypatch.setenv("COLUMNS", "80")
    assert invoke(["submit", "bench.json"]) == 1
    out = capsys.readouterr().out
    assert "FAIL  1 check failed, and nothing was written" in out
    assert "its commit is not known: measure in a checkout" in " ".join(out.split())
    document = json.loads((jdoe / "bench.json").read_text())
    document["cases"][0]["images_per_s"]["median"] *= 2
    (jdoe / "edited.json").write_text(json.dumps(document))
    for name in ("edited.json", "nowhere.json"):
        assert invoke(["submit", name]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert {path.name for path in jdoe.iterdir()} == {"bench.json", "edited.json"}


def test_a_benchmarks_page_says_where_the_machine_stands(known: None, good: BenchRecord) -> None:
    found = standing.standing("cpu", "a cpu", {FUSED: 97.0})
    said = msgspec.json.encode(msgspec.to_builtins(bench_page(replace(good, standing=(found,))).sections[0].blocks))
    assert b"cpu: at 97 % of the median of 3 records of this processor, over 1 case of training." in said


def test_only_right_cases_of_training_on_all_cores_count(good: BenchRecord) -> None:
    speeds = training_speeds(good, "cpu")
    trained = [one for one in good.cases if one.mode == "training"]
    assert len(speeds) == len(trained) > 0
    first = trained[0]
    assert first.verdict is not None
    for fields in ({"verdict": replace(first.verdict, passed=False)}, {"threads": 1}, {"side": Side.__name__}):
        changed = [replace(one, **fields) if one is first else one for one in good.cases]
        assert len(training_speeds(replace(good, cases=tuple(changed)), "cpu")) == len(speeds) - 1
    assert training_speeds(good, "cuda:0") == {}


def test_the_file_is_of_the_kind_that_the_package_reads() -> None:
    assert msgspec.json.decode(DIGEST.read_bytes(), type=VerifiedRecords) == digest()
