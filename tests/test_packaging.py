"""What is shipped: a wheel with the data, the licence and the script, which runs where there is no compiler."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

import accelmnist
from accelmnist.cli import invoke
from accelmnist.data.mnist import PUBLISHED
from accelmnist.device import cpp_compiler, environment
from tests.test_architecture import FILES, imported

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from a copy of the sources by the setuptools that is installed here: no network, no kernels."""
    folder = tmp_path_factory.mktemp("wheel")
    return zipfile.ZipFile(built(copied(folder), folder))


def copied(folder: Path, *more: str) -> Path:
    """The sources that a build takes, in `folder`, with `more` files."""
    source = folder / "source"
    source.mkdir()
    left_out = shutil.ignore_patterns("__pycache__", "*.so")
    shutil.copytree(ROOT / "accelmnist", source / "accelmnist", ignore=left_out)
    for name in ("pyproject.toml", "README.md", "LICENSE", *more):
        shutil.copy(ROOT / name, source)
    return source


def built(source: Path, folder: Path) -> Path:
    """The wheel of `source`, a folder or an archive."""
    build = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    subprocess.run([sys.executable, *build, str(source)], check=True, capture_output=True)
    return next(folder.glob("accelmnist-*.whl"))


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


def test_a_wheel_and_an_archive_that_are_built_in_a_checkout_know_their_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = copied(tmp_path, "setup.py")
    own = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}

    def said(*words: str) -> str:
        made = subprocess.run(words, cwd=source, env=os.environ | own, capture_output=True, text=True, check=True)
        return made.stdout.strip()

    def built_commit(*, folder: Path) -> str:
        said(sys.executable, "setup.py", "--quiet", "build_py", "--build-lib", str(folder))
        monkeypatch.setattr(accelmnist, "__file__", str(folder / "accelmnist" / "__init__.py"))
        return environment._commit() or ""

    assert built_commit(folder=tmp_path / "none") == ""
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@example.org")
    said("git", "init", "--quiet")
    said("git", "add", "pyproject.toml", "LICENSE", "README.md")
    said(*git, "commit", "--quiet", "--message", "all")
    head = said("git", "rev-parse", "--short=12", "HEAD")
    assert built_commit(folder=tmp_path / "whole") == head
    said(sys.executable, "setup.py", "--quiet", "sdist", "--dist-dir", str(tmp_path))
    (source / "LICENSE").write_text("another")
    assert built_commit(folder=tmp_path / "changed") == f"{head}+changes"
    shutil.rmtree(source)
    shutil.unpack_archive(next(tmp_path.glob("*.tar.gz")), tmp_path / "archive")
    next((tmp_path / "archive").iterdir()).rename(source)
    assert built_commit(folder=tmp_path / "from the archive") == head


# --- what it takes


def requirements(wheel: zipfile.ZipFile) -> dict[str, str]:
    """The packages that the wheel asks for, each with its extra; empty if it is none of an extra."""
    metadata = next(name for name in wheel.namelist() if name.endswith("METADATA"))
    lines = re.findall(r"^Requires-Dist: ([\w.-]+)(.*)", wheel.read(metadata).decode(), re.MULTILINE)
    extras = {name.lower(): re.search(r"extra == ['\"](\w+)", rest) for name, rest in lines}
    return {name: extra[1] if extra else "" for name, extra in extras.items()}


EXTRAS = {"jinja2": "report", "markdown-it-py": "report", "typst": "report", "torchvision": "datasets"}
COME_WITH_OTHERS = {"markupsafe", "triton"}  # with jinja2, and with torch where there is CUDA


def test_an_install_holds_what_running_takes_and_extras_the_rest(wheel: zipfile.ZipFile) -> None:
    asked, owners = requirements(wheel), packages_distributions()
    modules = {module.split(".")[0] for path in FILES for module in imported(path)} - {"accelmnist"}
    outside = modules - set(sys.stdlib_module_names)
    packages = {package.lower() for module in outside for package in owners.get(module, [module])} - COME_WITH_OTHERS
    assert {package: asked.get(package) for package in packages} == {
        package: EXTRAS.get(package, "") for package in packages
    }
    assert {name for name, extra in asked.items() if not extra} <= packages


@pytest.mark.parametrize(
    ("missing", "command", "line"),
    [
        ("typst", ["report", "x", "--pdf"], "accelmnist report needs typst, which is not installed. pip install typst"),
        ("jinja2", ["report", "x"], "accelmnist report needs jinja2, which is not installed. pip install jinja2"),
        (
            "torchvision",
            ["run", "--dataset", "fashion-mnist", "--no-save"],
            "--dataset fashion-mnist needs torchvision, which is not installed. pip install torchvision",
        ),
    ],
)
def test_a_missing_package_of_an_extra_is_told_in_a_line(
    missing: str,
    command: list[str],
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    from accelmnist.core import errors

    find = errors.find_spec
    monkeypatch.setattr(errors, "find_spec", lambda name: None if name == missing else find(name))
    monkeypatch.chdir(tmp_path)
    assert invoke(command) == 2
    told = capsys.readouterr().err.splitlines()
    assert told == [f"error: {line}, or '.[{EXTRAS[missing]}]' in the checkout"]


@pytest.mark.slow
@pytest.mark.skipif(cpp_compiler() is None, reason="it takes a C++ compiler to build the kernels")
def test_a_wheel_by_way_of_an_archive_runs_its_kernels_where_there_is_no_compiler(tmp_path: Path) -> None:
    """As `python -m build` makes it: the archive from the sources, the wheel from the archive."""
    source = copied(tmp_path, "setup.py")
    archive = f"from setuptools import build_meta; build_meta.build_sdist({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", archive], cwd=source, check=True, capture_output=True)
    wheel = built(next(tmp_path.glob("accelmnist-*.tar.gz")), tmp_path)
    shutil.rmtree(source)
    empty = tmp_path / "empty"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(empty)], check=True)
    places = {"base": str(empty), "platbase": str(empty)}
    packages = Path(sysconfig.get_path("purelib", vars=places))
    # torch and the like are those of this environment; what a line of a .pth names has no .pth of its own read.
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    target = ["--no-deps", "--no-index", "--quiet", "--target", str(packages)]
    subprocess.run([sys.executable, "-m", "pip", "install", *target, str(wheel)], check=True, capture_output=True)
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "CXX", "VIRTUAL_ENV")}

    def told(*arguments: str) -> Any:
        command = [str(empty / "bin" / "python"), "-m", "accelmnist", *arguments, "--json"]
        environment = kept | {"PATH": str(empty / "bin"), "XDG_CACHE_HOME": str(tmp_path)}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    run = told("run", "--device", "cpu", "--engine", "fused", "--epochs", "1", "--no-save")
    assert run["verdict"]["passed"]
    assert run["environment"]["commit"] is None  # it isn't the checkout that ran
    cpu = told("doctor")["devices"][-1]
    assert not cpu["compiler"]["works"]
    assert "can be read" not in cpu["standing"]["sentence"]
