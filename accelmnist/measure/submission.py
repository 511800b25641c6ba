"""What is checked of a benchmark's record before it may stand among the verified ones, and the file to hand in.

A record is known by its code: a commit, and nothing changed in it. Every case that was measured is right, was audited
while it was timed, and has the samples that an interval takes; nothing else kept the machine busy, or held a card's
clock down. Nothing in it names a person or a machine: paths in the command and in variables are left out, and anything
else that holds a path, the user's name or the host's is named here.
"""

from __future__ import annotations

import getpass
import hashlib
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import msgspec

from accelmnist.core.config import ENGINES
from accelmnist.core.files import encode
from accelmnist.core.records import Check, Environment, Verdict
from accelmnist.engines.standing import RecordedSpeed, VerifiedRecord, Work, hardware_of, slug_of
from accelmnist.measure.record import BenchRecord, CaseResult
from accelmnist.measure.statistics.summary import minimum_samples

_PATH = re.compile(r"(?<![\w.])(?:[A-Za-z]:\\|[.~]{0,2}/(?=[\w.~-]))|\.py\b")  # images/s is none
_OF_COMMAND = re.compile(r"\S*(?:[/\\]|\.py\b)\S*")  # a word of it with a folder in it, or a file of Python
_LEFT_OUT = "…"
_COMMIT = re.compile(r"[0-9a-f]{12,40}")
_AUDITED = "timed case"  # the check that every case has which was audited while it was timed
_HARMFUL = ("machine busy", "GPU throttled")
_SHORTEST_NAME = 3  # of a user or a host, to be looked for in texts


def submission_of(record: BenchRecord) -> BenchRecord:
    """The record without paths in its command and variables, and without the names of other files."""
    environment = record.environment
    if environment is not None:
        variables = {name: value for name, value in environment.variables.items() if not _PATH.search(value)}
        command = _OF_COMMAND.sub(_LEFT_OUT, environment.command)
        environment = replace(environment, command=command, variables=variables)
    return replace(record, environment=environment, files=())


def names_here() -> dict[str, str]:
    """What would tell whose machine this is, by what it is; whoever has no name can't be named."""
    names = {}
    with suppress(Exception):  # no entry for this user, or a system without any
        names["the user's name"] = getpass.getuser()
    with suppress(OSError):
        names["the host's name"] = socket.gethostname().partition(".")[0]
    return names


def check_submission(record: BenchRecord, names: Mapping[str, str] | None = None) -> Verdict:
    """What a maintainer would check of `record`, as `submission_of` made it; its schema and figures held on loading.

    `names` are those that it may not hold, by what they are.
    """
    measured = [result for result in record.cases if result.images_per_s is not None]
    checks = {
        "whole": ([*_unfinished(record)], "a benchmark to its end, of the digits and of this program alone"),
        "verdict": ([*_wrong(record, measured)], "every case that was measured is right"),
        "audit": ([*_unaudited(measured)], "every case was audited while it was timed"),
        "samples": ([*_few(measured)], f"{minimum_samples()} samples or more of every case"),
        "quiet": ([*_disturbed(measured)], "nothing else kept the machine busy"),
        "commit": ([*_unknown_code(record.environment)], "its code is a commit, with nothing changed"),
        "privacy": ([*_private(record, names or {})], "no user, host or path"),
    }
    reason = "a record among the verified ones is what others are held against"
    return Verdict.of(
        "what a maintainer checks",
        (Check.without(name, faults, finds=finds, reason=reason) for name, (faults, finds) in checks.items()),
    )


def _unfinished(record: BenchRecord) -> Iterator[str]:
    if record.status != "done":
        yield f"it is {record.status}, not done"
    if record.environment is None or not record.devices:
        yield "it doesn't say on what it was measured"
    if record.config.data.dataset != "mnist" or record.config.data.folder is not None:
        yield "it is not of the package's own digits"
    if record.scaling is not None or record.sides:
        yield "it has ranks, or other programs beside"
    if not any(_is_training(result) for result in record.cases):
        yield "it has no right case of training by an engine of ours"


def _wrong(record: BenchRecord, measured: list[CaseResult]) -> Iterator[str]:
    yield from (f"{result.label} failed" for result in record.cases if result.status == "failed")
    yield from (f"{result.label} has no verdict" for result in measured if result.verdict is None)
    yield from (f"{result.label} is wrong" for result in measured if result.is_wrong)


def _unaudited(measured: list[CaseResult]) -> Iterator[str]:
    for result in measured:
        if result.verdict is None or all(check.name != _AUDITED for check in result.verdict.checks):
            yield f"{result.label} was not audited while it was timed"


def _few(measured: list[CaseResult]) -> Iterator[str]:
    for result in measured:
        assert result.images_per_s is not None
        if (samples := len(result.images_per_s.samples)) < minimum_samples():
            yield f"{result.label} has {samples}"


def _disturbed(measured: list[CaseResult]) -> Iterator[str]:
    for result in measured:
        yield from (f"{result.label}: {one.hint.partition(':')[0]}" for one in result.symptoms if one.code in _HARMFUL)


def _unknown_code(environment: Environment | None) -> Iterator[str]:
    commit = None if environment is None else environment.commit
    if commit is None:
        yield "its commit is not known: measure in a checkout, or with a wheel that was built in one"
    elif not _COMMIT.fullmatch(commit):
        yield f"its commit is {commit}: measure with nothing changed"


def _private(record: BenchRecord, names: Mapping[str, str]) -> Iterator[str]:
    for place, text in _texts(msgspec.to_builtins(record)):
        if _PATH.search(text):
            yield f"{place} holds a path"
        for what, name in names.items():
            if len(name) >= _SHORTEST_NAME and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE):
                yield f"{place} holds {what}"


def _texts(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Every text of a document, with the keys that lead to it."""
    if isinstance(value, str):
        yield place, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, item in items:
        inner = f"{place}.{key}".lstrip(".")
        if isinstance(key, str):
            yield inner, key
        yield from _texts(item, inner)


def file_name(record: BenchRecord) -> str:
    """The name of the file to hand in, by hardware, day and content."""
    assert record.environment is not None, "it was checked"
    hardware = dict.fromkeys(hardware_of(record.environment, one.name, one.hardware) for one in record.devices)
    return f"{slug_of(' '.join(hardware))}-{record.created[:10]}-{hashlib.sha256(encode(record)).hexdigest()[:8]}.json"


# --- what a record says of training


def _is_training(result: CaseResult) -> bool:
    """Whether a case is one that machines are held against each other by."""
    is_ours = result.mode == "training" and result.side is None and result.engine in ENGINES
    is_right = result.verdict is not None and result.verdict.passed
    return is_ours and is_right and result.threads is None and result.images_per_s is not None


def training_speeds(record: BenchRecord, device: str) -> dict[Work, float]:
    """Of each right case of training on `device`, on all cores: what it did, and images a second by the median."""
    speeds = {}
    for result in record.cases:
        if result.device == device and _is_training(result) and result.optimizer is not None:
            work = Work(
                engine=result.engine,
                precision=result.precision,
                batch_size=result.batch_size,
                hidden=result.hidden,
                optimizer=result.optimizer,
            )
            speeds[work] = result.images_per_s.median if result.images_per_s else 0.0
    return speeds


def verified(record: BenchRecord, file: str) -> tuple[VerifiedRecord, ...]:
    """What a record of the name `file` says of each of its devices."""
    assert record.environment is not None, "it was checked"
    return tuple(
        VerifiedRecord(
            file=file,
            hardware=hardware_of(record.environment, device.name, device.hardware),
            torch=record.environment.torch,
            measured=record.created[:10],
            speeds=tuple(RecordedSpeed(**vars(work), images_per_s=speed) for work, speed in speeds.items()),
        )
        for device in record.devices
        if (speeds := training_speeds(record, device.name))
    )
