"""The examples of `bench/examples/`: right ones pass the whole proof, wrong ones are named."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import harmonic_mean

import numpy as np
import pytest
import yaml

from accelmnist.cli.bench import bench, bench_config_from
from accelmnist.cli.options import CommandLine
from accelmnist.core.errors import UnsupportedError
from accelmnist.core.files import make_folder
from accelmnist.data.types import Dataset
from accelmnist.device import resolve
from accelmnist.measure.beside.other_process import environment_of
from accelmnist.measure.beside.sides import OpenCase, Sides
from accelmnist.measure.beside.timed_remote import Remote, RemoteInference, RemoteTraining
from accelmnist.measure.case_builder import CaseBuilder
from accelmnist.measure.conclusion import conclude
from accelmnist.measure.plan import BenchConfig, Case, Side, run_config
from accelmnist.measure.record import BenchRecord, SideFacts, save_bench
from accelmnist.measure.timed_case import WarmCase
from accelmnist.show.bench.page import bench_note
from accelmnist.show.render.markdown import render_markdown
from accelmnist.training.reference.scores import score_here
from tests.bench_samples import Spec, measured, sample_beside

EXAMPLES = Path(__file__).parents[1] / "bench" / "examples"
CPU = resolve("cpu")
KINDS = {
    "right": "numpy_trainer.py",
    "no bias": "wrong_trainer.py bias",
    "fewer steps": "wrong_trainer.py steps",
    "less time": "wrong_trainer.py seconds",
}
TRAINING = Case(
    mode="training",
    device="cpu",
    engine="mine",
    precision="fp32",
    batch_size=64,
    hidden=(24,),
    optimizer="adamw",
    side="mine",
)


@pytest.fixture(scope="module")
def workers() -> Iterator[dict[str, Sides]]:
    """A running worker of each kind."""
    started: dict[str, Sides] = {}
    try:
        for kind, words in KINDS.items():
            file, *rest = words.split()
            command = shlex.join([sys.executable, str(EXAMPLES / file), *rest])
            started[kind] = Sides((Side(name="mine", command=command),), threads=1).__enter__()
            started[kind].start("mine")
            assert started[kind].failures == {}
        yield started
    finally:
        for sides in started.values():
            sides.__exit__(None, None, None)


@pytest.fixture(scope="module")
def builder(synthetic: Dataset) -> CaseBuilder:
    made = CaseBuilder(BenchConfig(), {"cpu": CPU}, score_here)
    made.dataset = synthetic
    return made


def opened(case: Case, sides: Sides, builder: CaseBuilder) -> Remote:
    """As a benchmark beside makes it ready, but that no clock says how many steps a slice has."""
    config, data = run_config(case, builder.config), builder.dataset
    timed: Remote
    if case.mode == "training":
        other = OpenCase(sides, case, config, data)
        timed = RemoteTraining(case, CPU, config, builder.images("train", CPU), other)
    else:
        config = replace(config, training=replace(config.training, batch_size=case.batch_size))
        other = OpenCase(sides, case, config, data, start=builder.network(case).arrays())
        timed = RemoteInference(case, CPU, builder.images("test", CPU).images, other)
    timed.slices, timed.slice_steps = 2, 9
    return timed


def failures(timed: Remote, builder: CaseBuilder) -> set[str]:
    """The names of the checks that fail: of the verdict, and of what was timed."""
    _, verdict = builder.verify(timed)
    config = run_config(timed.case, builder.config)
    timed.anchor = builder.anchor(timed, config)
    warm = WarmCase(timed, timed.threads)
    samples = [harmonic_mean([warm.sample() for _ in range(timed.slices)]) for _ in range(10)]
    return {check.name for check in (*verdict.checks, *warm.audit(timed.case, samples)) if not check.passed}


@pytest.mark.parametrize(
    "case",
    [
        TRAINING,
        replace(TRAINING, optimizer="sgd", hidden=()),
        replace(TRAINING, optimizer="sgd-momentum", hidden=(32, 16)),
        replace(TRAINING, mode="inference", optimizer=None),
    ],
    ids=["adamw", "sgd, no hidden layer", "momentum, two hidden layers", "inference"],
)
def test_the_numpy_trainer_passes_the_whole_proof(case: Case, workers: dict[str, Sides], builder: CaseBuilder) -> None:
    by_time = {
        "error of the clock",
        "share of work outside of the clock",
    }  # regions are too short here for a busy machine
    assert failures(opened(case, workers["right"], builder), builder) - by_time == set()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("no bias", "audited optimizer state"),
        ("fewer steps", "calls of many steps, timed"),
        ("less time", "error of the clock|busy threads"),  # on a busy machine the latter alone
    ],
)
def test_a_wrong_trainer_is_named_wrong(kind: str, found: str, workers: dict[str, Sides], builder: CaseBuilder) -> None:
    timed = opened(TRAINING, workers[kind], builder)
    timed.slice_steps = 600 if kind == "less time" else 60  # more than a busy machine's requests take
    attempts = 3 if kind == "less time" else 1  # a request that had to wait for a processor hides seconds
    assert any(failures(timed, builder) & set(found.split("|")) for _ in range(attempts))


def test_what_the_numpy_trainer_lacks_it_says(workers: dict[str, Sides], builder: CaseBuilder) -> None:
    case = replace(TRAINING, optimizer="adam", precision="bf16")
    with pytest.raises(UnsupportedError, match=r"NumPy's trainer has no precision bf16, no optimizer adam"):
        opened(case, workers["right"], builder)


def test_a_number_of_threads_that_a_command_sets_holds_for_every_library() -> None:
    """Torch takes MKL's over OpenMP's, and NumPy OpenBLAS's."""
    variables = environment_of(Side(name="one-thread", command="OMP_NUM_THREADS=1 python"), threads=2)
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    assert [variables[name] for name in names] == ["1", "1", "1"]
    both = environment_of(Side(name="two", command="OMP_NUM_THREADS=1 MKL_NUM_THREADS=3 python"), threads=2)
    assert [both[name] for name in names] == ["1", "3", "1"]
    assert [environment_of(Side(name="as-we", command="python"), threads=2)[name] for name in names] == ["2", "2", "2"]


def scripted(name: str, *words: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """A script of the examples run in `folder`, by this Python and the accelmnist of this checkout."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    own = {"PATH": path, "PYTHONPATH": str(EXAMPLES.parents[1]), **variables}
    command = ["sh", str(EXAMPLES / name), *words]
    return subprocess.run(command, cwd=folder, env=os.environ | own, capture_output=True, text=True, check=False)


def git(folder: Path, *words: str) -> str:
    """What git says in `folder`; its settings are nobody's."""
    own = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    named = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    said = subprocess.run(
        ["git", *named, *words], cwd=folder, env=os.environ | own, capture_output=True, text=True, check=True
    )
    return said.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet")
    return folder


def committed(folder: Path, message: str) -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", message)
    return git(folder, "rev-parse", "HEAD")


@pytest.mark.slow
def test_a_slower_commit_is_found_by_bisection(repository: Path, tmp_path: Path) -> None:
    """The trainer of one commit of eight goes forward ten times a step."""
    trainer = (EXAMPLES / "numpy_trainer.py").read_text(encoding="utf-8")
    line = '        values = self.forward(self.files["images"][rows])\n'
    assert line in trainer
    slower = trainer.replace(line, 10 * line)
    commits = []
    for number in range(8):
        text = f"{slower if number >= 4 else trainer}\n# change {number}\n"
        (repository / "trainer.py").write_text(text, encoding="utf-8")
        commits.append(committed(repository, f"change {number}"))
    git(repository, "worktree", "add", "--quiet", "--detach", str(tmp_path / "good"), commits[0])
    git(repository, "bisect", "start", commits[-1], commits[0])
    trainers = ("python ../good/trainer.py", "python trainer.py", "--hidden", "32", "--time-limit")
    for _ in range(3):
        for seconds in ("25", "100"):  # a busy machine needs longer
            said = scripted("gate.sh", *trainers, seconds, folder=repository, SHARE="60%")
            if said.returncode != 125:
                break
        assert said.returncode in (0, 1), said.stderr
        found = git(repository, "bisect", "bad" if said.returncode else "good")
    assert f"{commits[4]} is the first bad commit" in found


@pytest.mark.parametrize("is_slower", [False, True], ids=["equal", "slower"])
def test_the_workflow_stops_a_slower_trainer_and_no_other(is_slower: bool, repository: Path, tmp_path: Path) -> None:
    """What was measured is made up: the stand-in for `bench` writes a record and its page, all else is as it is."""
    base = committed(repository, "base")
    record = found_beside(base=41_300, new=41_300 * (0.95 if is_slower else 1.0))
    save_bench(record, make_folder(tmp_path / "speed"))
    (tmp_path / "page.md").write_text(render_markdown(bench_note(record)), encoding="utf-8")
    program = tmp_path / "bin" / "accelmnist"
    program.parent.mkdir()
    measure = f"cp -r {tmp_path}/speed . && cat {tmp_path}/page.md"
    program.write_text(f'#!/bin/sh\nif [ "$1" = bench ]; then {measure}; else exec python -m accelmnist "$@"; fi\n')
    program.chmod(0o755)
    codes, page = workflow_in(repository, program.parent, BASE=base, SHARE="3%", TIME_LIMIT="60")
    assert codes == {"Measure both": 0, "Charts": 0, "Gate": int(is_slower)}, page
    assert ("**FAIL**: 1 case slower by more than 3 %" in page) == is_slower
    assert {"new", "base"} <= {cell.strip() for cell in page.split("|")}
    assert len(page.encode()) < 2**20  # what GitHub shows of a step
    entries = json.loads((repository / "charts" / "bigger.json").read_text(encoding="utf-8"))
    assert any(entry["name"].startswith("training cpu new fp32") for entry in entries)
    assert (tmp_path / "base" / ".git").exists()  # the worktree of which the base is measured


def found_beside(**speeds: float) -> BenchRecord:
    """What a benchmark of trainers beside this program might have found, by their images a second."""
    random, machine, beside = np.random.default_rng(3), np.ones(96), sample_beside()
    rows = ((None, "eager", 71_900.0), *((name, name, speed) for name, speed in speeds.items()))
    cases = tuple(
        replace(measured(Spec(engine=engine, rate=speed, jitter=0.008), machine, random), side=side, latency=None)
        for side, engine, speed in rows
    )
    facts = tuple(SideFacts(name=name, command="python trainer.py") for name in ("ours", *speeds))
    sides = tuple(Side(name=name, command="python trainer.py") for name in speeds)
    config = replace(beside.config, engines=("eager",), beside=sides, fail_on=None)
    return conclude(replace(beside, config=config, cases=cases, sides=facts, presence=()))


def test_the_workflow_asks_for_what_this_program_measures(repository: Path, tmp_path: Path) -> None:
    base = committed(repository, "base")
    program = tmp_path / "bin" / "accelmnist"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\n[ "$1" != bench ] || printf "%s\\0" "$@" > {tmp_path}/words\n')
    program.chmod(0o755)
    workflow_in(repository, program.parent, BASE=base, SHARE="3%", TIME_LIMIT="60")
    words = (tmp_path / "words").read_text(encoding="utf-8").rstrip("\0").split("\0")
    config = bench_config_from(CommandLine.of(bench.make_context("bench", words[1:])))
    commands = {"base": "python ../base/trainer.py", "new": "python trainer.py"}
    assert {side.name: side.command for side in config.beside} == commands
    assert (config.engines, config.modes, config.time_limit_s) == (("eager",), ("training",), 60)


def workflow_in(folder: Path, programs: Path, **variables: str) -> tuple[dict[str, int], str]:
    """Every step that runs a command, but the installation, with its exit code; and what the page of the job shows.

    What is in `programs` goes before other programs of the same name.
    """
    workflow = yaml.safe_load((EXAMPLES / "gate.yml").read_text(encoding="utf-8"))["jobs"]["gate"]
    assert set(workflow["env"]) == set(variables)
    steps = {step["name"]: step["run"] for step in workflow["steps"] if "run" in step}
    summary, codes = folder.parent / "summary.md", {}
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    for name in [name for name in steps if name != "Install"]:
        script = folder.parent / "step.sh"
        script.write_text(f"set -e\n{steps[name]}", encoding="utf-8")
        own = {"GITHUB_STEP_SUMMARY": str(summary), "PATH": path, **variables}
        codes[name] = scripted(str(script), folder=folder, **own).returncode
    return codes, summary.read_text(encoding="utf-8")


@pytest.mark.slow
def test_what_cannot_be_measured_is_left_out_of_a_bisection(repository: Path) -> None:
    said = scripted("gate.sh", "/no/such/program", "/no/such/other", "--time-limit", "1", folder=repository)
    assert said.returncode == 125


@pytest.mark.slow
def test_a_commit_without_a_worker_is_told_the_oldest_version_that_has_one(repository: Path) -> None:
    package = repository / "accelmnist"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(
        "import sys\nprint('accelmnist, version 0.1.0') if '--version' in sys.argv else sys.exit(2)\n"
    )
    committed(repository, "an old one")
    said = scripted(
        "older_commit.sh", "HEAD", "--engines", "eager", "--time-limit", "1", folder=repository, COLUMNS="80"
    )
    assert "accelmnist 0.1.0 has no worker: 0.2.0 is the oldest that has one" in " ".join(said.stdout.split())
    assert git(repository, "worktree", "list").count("\n") == 0  # it is gone
