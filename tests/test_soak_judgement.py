"""What a soak's record says: a slow device is named, an equal one is not, and a bent record doesn't load."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from accelmnist.core.errors import RecordError
from accelmnist.core.files import save
from accelmnist.core.records import Check, Verdict
from accelmnist.measure.soak.judgement import beside_of, conclude, slow_devices
from accelmnist.measure.soak.record import Counter, Fault, SoakDevice, SoakRecord
from accelmnist.measure.soak.recount import load_soak
from accelmnist.show.render.markdown import render_markdown
from accelmnist.show.soak.page import soak_page
from tests.soak_samples import noisy, record_of


@pytest.mark.parametrize(("rounds", "devices"), [(6, 2), (6, 16), (20, 4), (60, 8)])
def test_of_equal_devices_one_soak_in_a_hundred_names_one_at_most(rounds: int, devices: int) -> None:
    chance = np.random.default_rng(rounds * devices)
    soaks = 300
    named = 0
    for _ in range(soaks):
        record = record_of(noisy(chance, rounds, devices))
        besides = [beside_of(record, place, "together") for place in range(devices)]
        named += any(one is not None and one.is_slow for one in besides)
    assert named <= 1 + soaks / 100


@pytest.mark.parametrize("devices", [2, 4, 16])
def test_a_slow_device_is_named_and_no_other(devices: int) -> None:
    chance = np.random.default_rng(devices)
    for _ in range(5):
        speeds = noisy(chance, 40, devices)
        speeds[:, 1] *= 0.85
        record = conclude(record_of(speeds))
        assert [device.name for device, _ in slow_devices(record)] == ["cuda:1"]
        assert record.verdict is not None
        assert [check.name for check in record.verdict.failures] == ["cuda:1: speed, together"]


def test_few_rounds_and_other_devices_say_nothing() -> None:
    speeds = np.full((5, 2), 1e5)
    speeds[:, 1] /= 2
    assert not slow_devices(conclude(record_of(speeds)))
    other = record_of(np.concatenate([speeds, speeds]))
    unlike = replace(other, devices=(other.devices[0], replace(other.devices[1], hardware="Another")))
    assert slow_devices(conclude(other))
    assert not slow_devices(conclude(unlike))


def test_a_device_that_cant_do_the_training_is_told_and_not_failed() -> None:
    record = record_of(np.full((8, 2), 1e5))
    skipped = SoakDevice(name="cpu", hardware="Two", status="skipped", error="graphs are CUDA's alone")
    rounds = tuple(
        replace(one, replays=(*one.replays, None), images_per_s=(*one.images_per_s, None)) for one in record.rounds
    )
    record = conclude(replace(record, devices=(*record.devices, skipped), rounds=rounds))
    assert failures(record) == []
    assert record.verdict is not None
    assert {check.group for check in record.verdict.checks} == {"cuda:0", "cuda:1"}
    assert "cpu: graphs are CUDA's alone" in render_markdown(soak_page(record)).replace("\\", "")


def failures(record: SoakRecord) -> list[str]:
    verdict = conclude(record).verdict
    assert verdict is not None
    return [check.name for check in verdict.failures]


def test_each_fault_condemns_its_device() -> None:
    good = record_of(np.full((8, 3), 1e5))
    assert failures(good) == []
    wrong = Fault(replay=3, epoch=1, step=4, after_step=2)
    bad = {
        "same": {"wrong": 1, "faults": (wrong,)},
        "there": {"status": "lost", "error": "it ended with signal SIGKILL"},
        "right": {"proof": Verdict.of("float64", [Check.at_most("error", 2.0, 1.0, detail="", reason="")])},
    }
    for name in ("ECC errors, uncorrected", "Xid errors", "machine checks"):
        bad[name] = {"counters": (Counter(name=name, first=1, last=2, readings=2),)}
    for name, fields in bad.items():
        first = replace(good.devices[0], **fields)
        assert failures(replace(good, devices=(first, *good.devices[1:]))) == [f"cuda:0: {name}"]


def test_a_core_that_ends_elsewhere_than_the_others_is_wrong_and_a_card_a_doubt() -> None:
    cards = record_of(np.full((8, 3), 1e5))
    cards = replace(cards, devices=(*cards.devices[:2], replace(cards.devices[2], fingerprints=("other",))))
    cores = replace(cards, devices=tuple(replace(one, core=at) for at, one in enumerate(cards.devices)))
    assert failures(cores) == ["cuda:2: same as others"]
    assert failures(cards) == []
    doubts = conclude(cards).verdict
    assert doubts is not None
    assert [check.name for check in doubts.doubts] == ["cuda:2: same as others"]


def test_a_device_that_cant_be_deterministic_is_told_and_not_failed() -> None:
    record = record_of(np.full((8, 3), 1e5), deterministic=False)
    ends = tuple(replace(one, fingerprints=(one.name,)) for one in record.devices)
    assert failures(replace(record, devices=ends)) == []


def test_a_soak_that_went_on_has_to_end_alike() -> None:
    record = record_of(np.full((8, 2), 1e5))
    first = replace(record.devices[0], fingerprints=("end", "another"))
    assert failures(replace(record, devices=(first, record.devices[1]))) == ["cuda:0: same"]


def test_a_record_is_recounted(tmp_path: Path) -> None:
    file = tmp_path / "soak.json"
    record = conclude(record_of(noisy(np.random.default_rng(0), 12, 3)))
    save(record, file)
    assert load_soak(tmp_path) == record
    document = json.loads(file.read_text())
    bent = {
        "median of cuda:0": lambda one: one["devices"][0]["images_per_s"].update(median=1.0),
        "passed": lambda one: one["verdict"].update(passed=False),
        "ratio": lambda one: one["devices"][0]["beside"][0]["over_others"].update(ratio=0.5),
        "replays": lambda one: one["devices"][0].update(replays=1),
        "fault": lambda one: one["devices"][0].update(wrong=1),
        "rounds": lambda one: one["rounds"][0].update(replays=[1]),
    }
    for said, bend in bent.items():
        copy = json.loads(json.dumps(document))
        bend(copy)
        file.write_text(json.dumps(copy))
        with pytest.raises(RecordError, match=said if said != "rounds" else "figures"):
            load_soak(tmp_path)


def test_what_a_killed_soak_found_follows_from_its_rounds(tmp_path: Path) -> None:
    record = record_of(noisy(np.random.default_rng(0), 12, 3))
    save(replace(record, status="running"), tmp_path / "soak.json")
    assert load_soak(tmp_path) == replace(conclude(record), status="running")
