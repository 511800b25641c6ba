"""`accelmnist doctor`: its findings against other sources on this machine, and its answer where something is wrong."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
import torch

import accelmnist
from accelmnist.analysis import doctor as diagnosis
from accelmnist.analysis.doctor import Diagnosis, Finding, check_folder, diagnose
from accelmnist.cli import invoke
from accelmnist.core.config import ENGINES, PRECISIONS
from accelmnist.data import mnist
from accelmnist.data.mnist import PUBLISHED
from accelmnist.device import available
from accelmnist.engines import native
from accelmnist.engines.eager import EagerEngine


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Diagnosis:
    return diagnose(tmp_path_factory.mktemp("here") / "results")


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def of_cpu(diagnosed: Diagnosis) -> diagnosis.DeviceFindings:
    return next(device for device in diagnosed.devices if device.name == "cpu")


def by_name(findings: tuple[Finding, ...]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


# --- the findings


def test_every_kind_of_device_is_here_or_has_a_reason(found: Diagnosis) -> None:
    kinds = by_name(found.kinds)
    assert list(kinds) == ["cpu", "cuda", "mps"]
    assert kinds["cpu"].works
    assert kinds["cuda"].works == torch.cuda.is_available()
    assert kinds["mps"].works == torch.backends.mps.is_available()
    for kind in found.kinds:
        assert kind.reason
        assert "--device" not in kind.reason
    assert [device.name for device in found.devices] == available()


def test_every_precision_and_every_engine_has_its_reason(found: Diagnosis) -> None:
    for device in found.devices:
        assert [finding.name for finding in device.precisions] == list(PRECISIONS)
        assert [finding.name for finding in device.engines] == list(ENGINES)
        assert all(finding.reason for finding in (*device.precisions, *device.engines, device.compiler))
    precisions = by_name(of_cpu(found).precisions)
    assert precisions["fp32"].works
    assert not precisions["tf32"].works
    assert "tensor cores" in precisions["tf32"].reason
    assert by_name(of_cpu(found).engines)["eager"] == Finding(name="eager", works=True, reason=EagerEngine.summary)


def test_every_level_of_the_native_kernels_has_its_reason(found: Diagnosis, monkeypatch: pytest.MonkeyPatch) -> None:
    kernels = of_cpu(found).kernels
    if native.why_missing() is None:
        assert [finding.name for finding in kernels] == list(native.LEVELS)
        assert [finding.name for finding in kernels if finding.works] == list(native.levels())
        assert all(finding.reason for finding in kernels)
    refused = {
        "plain": None,
        "amx": "this processor has tiles, but the system refuses their use: Operation not permitted",
    }
    monkeypatch.setattr(native, "why_not", lambda: refused)
    said = by_name(diagnosis._kernel_findings())
    assert (said["plain"].works, said["plain"].reason) == (True, "any processor")
    assert (said["amx"].works, said["amx"].reason) == (False, refused["amx"])
    monkeypatch.setattr(native, "why_missing", lambda: "they were not built")
    assert of_cpu(diagnose()).kernels == ()


def test_the_compiler_decides_on_the_compiled_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    cpu = of_cpu(diagnose())
    assert not cpu.compiler.works
    assert cpu.compiler.reason == "CXX names no-such-compiler, which is not there: install g++ or clang++, or set CXX"
    compiled = by_name(cpu.engines)["compiled"]
    assert (compiled.works, compiled.reason) == (False, cpu.compiler.reason)


def test_an_engine_that_cannot_be_loaded_is_told_and_does_not_stop_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> type[EagerEngine]:
        if name == "compiled":
            raise OSError("libsomething.so:\nnot found")
        return EagerEngine

    monkeypatch.setattr(diagnosis, "engine_class", broken)
    engines = by_name(of_cpu(diagnose()).engines)
    assert engines["compiled"] == Finding(
        name="compiled", works=False, reason="can't be loaded: libsomething.so: not found"
    )
    assert engines["eager"].works


def test_versions_are_those_that_run(found: Diagnosis) -> None:
    versions = found.versions
    assert versions.accelmnist == accelmnist.__version__
    assert versions.python == platform.python_version()
    assert versions.torch == torch.__version__
    assert versions.torchvision == metadata.version("torchvision")
    assert versions.numpy == metadata.version("numpy")
    assert versions.torch_cuda == torch.version.cuda


def test_the_machine_is_this_one(found: Diagnosis) -> None:
    machine = found.machine
    assert machine.processor
    assert machine.logical_cores == psutil.cpu_count()
    assert machine.threads == torch.get_num_threads()
    assert machine.memory_bytes == psutil.virtual_memory().total
    assert machine.instructions == torch.backends.cpu.get_cpu_capability()


def test_the_four_files_hold_the_published_content(found: Diagnosis) -> None:
    assert found.ready
    assert found.problems == ()
    assert [file.name for file in found.data_files] == [published.name for published in PUBLISHED]
    assert [file.sha256 for file in found.data_files] == [published.sha256 for published in PUBLISHED]
    assert all(file.intact and file.problem is None for file in found.data_files)


def test_a_folder_that_can_be_written_and_one_that_is_not_there_yet(tmp_path: Path) -> None:
    assert check_folder(tmp_path) == Finding(name=f"{tmp_path}/", works=True, reason="can be written")
    deep = tmp_path / "a" / "b"
    assert check_folder(deep).reason == "can be made here; it is not there yet"
    assert list(tmp_path.iterdir()) == []


# --- the command


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = invoke(["doctor", *arguments])
    return (code, *capsys.readouterr())


@pytest.mark.parametrize("columns", [80, 120])
def test_the_page_fits_and_a_pipe_gets_no_colour(
    elsewhere: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    code, out, err = told(capsys)
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= columns
    assert "\x1b" not in out
    assert out.count("…") == 4  # the digests are cut on purpose, and nothing else by the width
    for expected in ("PASS  a run on the CPU has all it needs", *ENGINES, *PRECISIONS, torch.__version__, "results/"):
        assert expected in out
    assert list(elsewhere.iterdir()) == []


def test_json_is_one_document_of_the_diagnosis(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = told(capsys, "--json")
    assert (code, err) == (0, "")
    decoded = msgspec.json.decode(out, type=Diagnosis)
    assert decoded.ready
    assert decoded.versions.torch == torch.__version__
    assert [file.sha256 for file in decoded.data_files] == [published.sha256 for published in PUBLISHED]


def test_a_hash_that_fails_is_a_problem(
    elsewhere: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spoiled = (PUBLISHED[0]._replace(sha256="0" * 64), *PUBLISHED[1:])
    monkeypatch.setattr(mnist, "PUBLISHED", spoiled)
    code, out, _ = told(capsys)
    assert code == 1
    assert "FAIL  a run would not be right" in out
    assert "problem: train-images-idx3-ubyte: not the published content" in out
    code, out, _ = told(capsys, "--json")
    document: dict[str, Any] = json.loads(out)
    assert (code, document["ready"]) == (1, False)
    assert [file["intact"] for file in document["data_files"]] == [False, True, True, True]


def test_results_that_cannot_be_written_are_a_warning(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (elsewhere / "results").write_text("a file in its place")
    code, out, _ = told(capsys)
    assert code == 0
    assert "warning: results/: cannot be written: not a directory" in out


def test_a_broken_torch_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    code, out, err = told(capsys)
    assert (code, out) == (2, "")
    assert err.startswith("error: torch can't be loaded: ")
    assert err.endswith(". Reinstall it: see pytorch.org\n")
    assert err.count("\n") == 1


@pytest.mark.slow
def test_neither_torchvision_nor_matplotlib_is_loaded() -> None:
    program = """
import sys
from accelmnist.cli import invoke
code = invoke(["doctor", "--json"])
sys.exit(code or sorted({"torchvision", "matplotlib"} & set(sys.modules)) or 0)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
