"""Devices: what is chosen, what is refused and why; CUDA and MPS by stand-ins where there are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from accelmnist import device as module
from accelmnist.core.errors import ConfigError, DeviceError
from accelmnist.device import (
    Device,
    available,
    capabilities,
    compile_capability,
    is_out_of_memory,
    memory_errors,
    names,
    precision_capability,
    require_precision,
    resolve,
)

CUDA = Device("cuda:0", "a card", "asked for")
MPS = Device("mps", "a chip", "asked for")


@pytest.fixture
def two_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with two CUDA devices, as far as names go."""
    monkeypatch.setattr(names, "_has_no_driver", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"card {device.index}")


def capability(monkeypatch: pytest.MonkeyPatch, major: int, minor: int) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (major, minor))


def test_the_cpu_is_always_there() -> None:
    assert available()[-1] == "cpu"
    assert resolve("cpu").torch_device == torch.device("cpu")
    assert resolve("cpu").hardware


def test_auto_takes_the_first_card(two_cards: Any) -> None:
    assert available()[:2] == ["cuda:0", "cuda:1"]
    chosen = resolve("auto")
    assert (str(chosen), chosen.hardware, chosen.reason) == ("cuda:0", "card 0", "the fastest kind here")


def test_cards_go_by_number(two_cards: Any) -> None:
    assert str(resolve("cuda")) == "cuda:0"
    assert str(resolve("cuda:1")) == "cuda:1"
    with pytest.raises(
        DeviceError, match=r"--device cuda:2 is not available: torch sees 2 CUDA devices.*cuda:0, cuda:1"
    ):
        resolve("cuda:2")


@pytest.mark.parametrize("name", ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "cpu:0", "mps:0", "CUDA"])
def test_a_name_that_means_nothing(name: str) -> None:
    if name == "cuda:":
        pytest.skip("an empty number means the first card, as torch reads it")
    with pytest.raises(ConfigError, match="is not a device"):
        resolve(name)


@pytest.mark.parametrize(
    ("version", "tf32", "bf16", "fp16"),
    [
        ((7, 0), False, False, True),
        ((7, 5), False, False, True),
        ((8, 0), True, True, True),
        ((9, 0), True, True, True),
    ],
)
def test_precisions_follow_the_compute_capability(
    version: tuple[int, ...], tf32: bool, bf16: bool, fp16: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    capability(monkeypatch, *version)
    found = [precision_capability(CUDA, precision).available for precision in ("tf32", "bf16", "fp16")]
    assert found == [tf32, bf16, fp16]
    assert "compute capability {}.{}".format(*version) in precision_capability(CUDA, "bf16").reason


def test_a_precision_that_is_not_there_names_those_that_are(monkeypatch: pytest.MonkeyPatch) -> None:
    capability(monkeypatch, 7, 5)
    with pytest.raises(DeviceError, match=r"bf16 is not available on cuda:0: compute capability 7\.5.*fp32, fp16"):
        require_precision(CUDA, "bf16")
    with pytest.raises(DeviceError, match="tf32 is not available on mps: TF32 is a mode of NVIDIA's tensor cores"):
        require_precision(MPS, "tf32")


def test_compiling_on_the_cpu_takes_a_compiler_and_headers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cpu = resolve("cpu")
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert (
        str(compile_capability(cpu))
        == "no, CXX names no-such-compiler, which is not there: install g++ or clang++, or set CXX"
    )
    monkeypatch.setenv("CXX", "sh")
    monkeypatch.setattr(capabilities.sysconfig, "get_path", lambda name: str(tmp_path))
    assert str(compile_capability(cpu)) == "no, sh is here, Python's headers are not: install python3-dev"
    (tmp_path / "Python.h").touch()
    assert str(compile_capability(cpu)).startswith("no, sh compiles no line of code: ")


@pytest.mark.parametrize("variable", ["TORCHINDUCTOR_CACHE_DIR", "TMPDIR"])
def test_the_compiler_is_tried_in_the_folder_where_torch_would_call_it(
    variable: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("TORCHINDUCTOR_CACHE_DIR", "TMPDIR"):
        monkeypatch.delenv(name, raising=False)
    if variable == "TMPDIR":
        monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/tmp")

    def tried_in(folder: Path) -> str:
        monkeypatch.setenv(variable, str(folder))
        monkeypatch.setattr("tempfile.tempdir", None)
        return str(compile_capability(resolve("cpu")))

    (tmp_path / "it's here").mkdir()
    (tmp_path / "file").touch()
    assert tried_in(tmp_path).endswith("tried with a line of code")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "it's here"]  # nothing is left
    assert tried_in(tmp_path / "it's here") == (
        f"no, {variable} has a space or a quote, at which torch splits the compiler's command line: choose another"
    )
    if variable == "TORCHINDUCTOR_CACHE_DIR":  # Python takes another TMPDIR by itself
        reason = "nothing can be made and loaded there (not a directory): choose another"
        assert tried_in(tmp_path / "file" / "below") == f"no, {variable}: {reason}"


def test_compiling_on_cuda_takes_triton_and_a_card_that_it_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    capability(monkeypatch, 6, 1)
    monkeypatch.setattr(capabilities, "find_spec", lambda name: object())
    assert not compile_capability(CUDA).available
    capability(monkeypatch, 9, 0)
    assert compile_capability(CUDA).available
    monkeypatch.setattr(capabilities, "find_spec", lambda name: None)
    assert "pip install triton" in compile_capability(CUDA).reason


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes"),
        RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"),
    ],
)
def test_out_of_memory_is_known_in_every_form(error: Exception) -> None:
    assert is_out_of_memory(error)
    with (
        pytest.raises(DeviceError, match=r"out of memory on cuda:0 \(a card\)\. Do this"),
        memory_errors(CUDA, "Do this"),
    ):
        raise error


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes"), memory_errors(CUDA, "Do this"):
        raise RuntimeError("shapes do not match")


def test_really_running_out_of_memory_on_the_cpu() -> None:
    with pytest.raises(DeviceError, match="out of memory on cpu"), memory_errors(resolve("cpu"), "Do this"):
        torch.empty(2**60, dtype=torch.uint8)


def test_synchronizing_reaches_the_right_device(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: calls.append(str(device)))
    monkeypatch.setattr(torch.mps, "synchronize", lambda: calls.append("mps"))
    for one in (resolve("cpu"), CUDA, MPS):
        module.synchronize(one)
    assert calls == ["cuda:0", "mps"]


def test_tf32_is_on_only_where_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.backends.cuda.matmul.fp32_precision
    with module.matmul_precision(CUDA, "tf32"):
        assert torch.backends.cuda.matmul.fp32_precision == "tf32"
    with module.matmul_precision(CUDA, "fp32"):
        assert torch.backends.cuda.matmul.fp32_precision == "ieee"
    assert torch.backends.cuda.matmul.fp32_precision == before


@pytest.mark.parametrize(
    ("vendor", "family", "model", "name"),
    [
        ("AuthenticAMD", 25, 1, "AMD EPYC, Zen 3"),
        ("AuthenticAMD", 25, 17, "AMD EPYC, Zen 4"),
        ("AuthenticAMD", 26, 2, "AMD EPYC, Zen 5"),
        ("AuthenticAMD", 99, 2, "AMD EPYC"),
        ("GenuineIntel", 6, 143, "AMD EPYC, Sapphire Rapids"),
        ("GenuineIntel", 6, "what", "AMD EPYC"),
        (None, None, None, "AMD EPYC"),
    ],
)
def test_a_virtual_machines_processor_is_told_by_its_generation(
    vendor: str | None, family: int | None, model: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {"model name": "AMD EPYC", "vendor_id": vendor, "cpu family": family, "model\t": model}
    monkeypatch.setattr(names, "_cpuinfo", lambda key: str(known[key] or ""))
    assert names.processor() == name
