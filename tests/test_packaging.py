"""What is shipped: the wheel holds the data, the licence and the console script, and nothing that it shouldn't."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from accelmnist.data.mnist import PUBLISHED

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from a copy of the sources by the setuptools that is installed here: no network."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    shutil.copytree(ROOT / "accelmnist", source / "accelmnist", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    subprocess.run([sys.executable, *build, str(source)], check=True, capture_output=True)
    return zipfile.ZipFile(next(folder.glob("accelmnist-*.whl")))


@pytest.mark.parametrize("file", PUBLISHED, ids=lambda file: file.name)
@pytest.mark.slow
def test_the_wheel_holds_the_published_digits(wheel: zipfile.ZipFile, file: Any) -> None:
    content = gzip.decompress(wheel.read(f"accelmnist/data/files/{file.name}.gz"))
    assert hashlib.sha256(content).hexdigest() == file.sha256


def test_the_wheel_holds_every_module_and_no_tests(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "accelmnist").rglob("*.py")}
    templates = {str(path.relative_to(ROOT)) for path in (ROOT / "accelmnist/show/render/templates").iterdir()}
    assert len(templates) > 3
    assert modules | templates <= names
    assert not [name for name in names if name.startswith(("tests/", "bench/", "results/"))]


def test_the_wheel_has_the_script_and_the_licence_with_attribution(wheel: zipfile.ZipFile) -> None:
    entry = next(name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "accelmnist = accelmnist.__main__:start" in wheel.read(entry).decode()
    licence = next(name for name in wheel.namelist() if name.endswith("licenses/LICENSE"))
    text = wheel.read(licence).decode()
    assert "MIT License" in text
    assert "LeCun" in text
