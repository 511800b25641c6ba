"""What a soak's record says: of each device whether it computes right, the same, steadily, and as fast as its like.

Right        the training was proven once, in full
Same         every replay ended with the first one's losses and weights, to the bit, and segment by segment on the way.
             Cores, which work by the same instructions, have to end with each other's too; so do cards of one model,
             but there a difference is a doubt, for their libraries may choose other kernels
Slow         next to the others of its kind: round by round its speed over the median of theirs. Wilcoxon's signed-rank
             interval of that ratio (`statistics.comparison`) has to lie below 1 / (1 + tolerance) as a whole, all
             devices at work or each alone. Of equal devices at most one soak in a hundred names one
             (`tests/test_soak_judgement.py` plays thousands, with up to 64 devices, drift and stalls): the interval's
             2.5 % count only from the tolerance on. From 6 rounds on; fewer say nothing
Steady       no symptom of `statistics.symptoms` in its speed. That is a doubt, and no failure: a neighbour, a cool
             start or another program do as much
Counters     uncorrected memory errors, Xid errors and machine checks condemn; corrected ones, and a clock that heat or
             power held down, are doubts

A check that can't be made, because its counter can't be read or too few rounds were made, isn't there: the device's
row says why.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from accelmnist.core.records import Check, Verdict
from accelmnist.measure.soak.record import Beside, RoundKind, SoakDevice, SoakRecord
from accelmnist.measure.statistics.comparison import compare
from accelmnist.measure.statistics.summary import minimum_samples, summarize
from accelmnist.measure.statistics.symptoms import RoundLoad, find_symptoms

CONDEMNING = ("ECC errors, uncorrected", "Xid errors", "machine checks")
DOUBTFUL = ("ECC errors, corrected", "memory errors, corrected", "memory errors, uncorrected")
KINDS: tuple[RoundKind, ...] = ("together", "alone")
_UNSTEADY = ("drifting", "bimodal", "slow first")
_HEAT = ("heat", "hardware slowdown", "power brake")


def conclude(record: SoakRecord) -> SoakRecord:
    """The record with what follows from its rounds, and with its verdict."""
    devices = tuple(replace(device, **conclusions_of(record, place)) for place, device in enumerate(record.devices))
    record = replace(record, devices=devices)
    return replace(record, verdict=verdict_of(record))


def conclusions_of(record: SoakRecord, place: int) -> dict[str, Any]:
    """What follows for a device from the rounds, by the names of its fields."""
    together, alone = ([speed for _, speed in record.speeds(place, kind)] for kind in KINDS)
    load = [RoundLoad(round_.other_cpu, None) for round_ in record.rounds]
    symptoms = find_symptoms(together, load=load) if together else ()
    return {
        "images_per_s": summarize(together) if together else None,
        "alone": summarize(alone) if alone else None,
        "beside": tuple(beside for kind in KINDS if (beside := beside_of(record, place, kind)) is not None),
        "symptoms": tuple(one for one in symptoms if one.code not in ("too few", "machine busy")),
    }


def verdict_of(record: SoakRecord) -> Verdict:
    """What the conclusions, the faults and the counters of all devices come to."""
    return Verdict.of("the first replay of each, to the bit; float64 and scikit-learn", checks_of(record))


def like(device: SoakDevice, other: SoakDevice) -> bool:
    """Whether two devices should be as fast as each other."""
    same = (device.hardware, device.threads, device.engine) == (other.hardware, other.threads, other.engine)
    return same and (device.core is None) == (other.core is None)


def beside_of(record: SoakRecord, place: int, kind: RoundKind) -> Beside | None:
    """A device's speed over the median of the others of its kind in the same rounds; None without any."""
    device = record.devices[place]
    others = [at for at, one in enumerate(record.devices) if at != place and like(device, one)]
    rounds = [
        (speed, median(theirs))
        for round_ in _comparable(record, kind)
        if (speed := round_[place]) is not None
        if (theirs := [there for at in others if (there := round_[at]) is not None])
    ]
    if not rounds:
        return None
    speeds, base = zip(*rounds, strict=True)
    over = compare(base, speeds, paired=True, threshold=record.config.tolerance)
    enough = len(rounds) >= minimum_samples()
    return Beside(kind=kind, over_others=over, is_slow=enough and over.high < 1 / (1 + record.config.tolerance))


def _comparable(record: SoakRecord, kind: RoundKind) -> list[list[float | None]]:
    """The speeds of each round; of rounds alone, those of every device's next one together."""
    if kind == "together":
        return [list(round_.images_per_s) for round_ in record.rounds if round_.kind == kind]
    each = [[speed for _, speed in record.speeds(place, kind)] for place in range(len(record.devices))]
    longest = max(map(len, each), default=0)
    return [[one[turn] if turn < len(one) else None for one in each] for turn in range(longest)]


def checks_of(record: SoakRecord) -> Iterator[Check]:
    """All checks, device by device."""
    for place, device in enumerate(record.devices):
        for check in (*_of_device(device), *_same_as_others(record, place)):
            yield replace(check, name=f"{device.name}: {check.name}", group=device.name)


def _of_device(device: SoakDevice) -> Iterator[Check]:
    if device.status == "skipped":
        return
    gone = [device.error or "it is gone"] if device.status in ("lost", "refused") else []
    yield Check.without("there", gone, finds="it answered to the end", reason="a device that is gone proves nothing")
    if device.proof is not None:
        faults = [f"{check.name}, {check.detail}" for check in device.proof.failures]
        yield Check.without("right", faults, finds="the training's own verdict", reason="every check of a run")
    if device.deterministic is not None or device.wrong:
        yield _same(device)
    yield from _speed_checks(device)
    yield from _counter_checks(device)


def _same(device: SoakDevice) -> Check:
    what = f"replays of {device.replays:,} that differ from the first"
    condemns = any(fault.kind != "too far" for fault in device.faults)
    reason = "the same work gives the same bits"
    if device.deterministic is False:
        reason = "it adds in no fixed order, so its losses alone are held to the first one's"
    check = Check.at_most("same", device.wrong, 0.0, detail=what, reason=reason)
    changed = len(set(device.fingerprints)) > 1
    if changed and check.passed and device.deterministic:
        check = Check.at_most("same", 1.0, 0.0, detail="after it went on it ends with other weights", reason=reason)
    return replace(check, condemns=condemns or changed)


def _speed_checks(device: SoakDevice) -> Iterator[Check]:
    for beside in device.beside:
        over = beside.over_others
        yield Check(
            name=f"speed, {beside.kind}",
            passed=not beside.is_slow,
            value=over.ratio,
            limit=None,
            detail=f"over the others of its kind, {over.low:.3f} to {over.high:.3f}",
            reason="the whole interval has to lie below what the tolerance allows",
        )
    unsteady = [symptom.hint for symptom in device.symptoms if symptom.code in _UNSTEADY]
    if device.images_per_s is not None and len(device.images_per_s.samples) >= minimum_samples():
        steady = Check.without("speed, steady", unsteady, finds="no drift, no two speeds", reason="of the same work")
        yield replace(steady, condemns=False)


def _counter_checks(device: SoakDevice) -> Iterator[Check]:
    for counter in device.counters:
        if counter.grew is not None and counter.name in (*CONDEMNING, *DOUBTFUL):
            check = Check.at_most(
                counter.name,
                max(counter.grew, 0.0),
                0.0,
                detail="more than at the start",
                reason="there are none on a sound device",
            )
            yield replace(check, condemns=counter.name in CONDEMNING)
        held = sum(counter.held_by.get(reason, 0.0) for reason in _HEAT)
        if counter.held_by:
            check = Check.at_most(
                "clock",
                held,
                0.0,
                detail="share of readings in which heat held it down",
                reason="a cool one keeps its clock",
            )
            yield replace(check, condemns=False)


def _same_as_others(record: SoakRecord, place: int) -> Iterator[Check]:
    """The end of a replay held to that of the others of its kind: what most of them have is taken for right."""
    device = record.devices[place]
    if not device.fingerprints or device.deterministic is False:
        return
    others = [
        one for one in record.devices if one.fingerprints and one.deterministic is not False and like(device, one)
    ]
    if len(others) < 2:
        return
    (most, votes), *rest = Tally(one.fingerprints[-1] for one in others).most_common()
    is_tied = bool(rest) and rest[0][1] == votes
    agrees = device.fingerprints[-1] == most and not is_tied
    what = (
        "no two ends are had by more devices than others" if is_tied else f"{votes} of {len(others)} have another end"
    )
    check = Check.without(
        "same as others", [] if agrees else [what], finds="the end of the others", reason="one kind, one result"
    )
    yield replace(check, condemns=device.core is not None)


def slow_devices(record: SoakRecord) -> Sequence[tuple[SoakDevice, Beside]]:
    """The devices that are slow next to the others, and in which rounds."""
    return [(device, beside) for device in record.devices for beside in device.beside if beside.is_slow]
