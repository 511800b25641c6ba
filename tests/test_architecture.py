"""The shape of the house: layers import downward only, and each outside library has its place."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import accelmnist

ROOT = Path(accelmnist.__file__).parent

# From the ground up. A module may import from its own layer and from those before it.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors", "__init__"),
    ("config", "recipes", "companion", "openmp", "seeds", "storage"),
    ("folders",),
    ("device", "metrics", "data", "record_files"),
    ("results", "initial_weights", "schedules", "native", "speeds"),
    ("model", "gpu_kernels", "epoch_plan", "run_images"),
    ("ending", "step", "averaging", "compilation", "engines", "evaluation", "checkpoint", "environment"),
    ("training",),
    ("reference", "resuming", "run_setup"),
    ("head_start",),
    ("runner", "trials", "measure", "profiling", "diagnosis", "prediction", "sweep", "neurons"),
    ("report",),
    ("show",),
    ("cli", "__main__"),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
FILES = sorted(ROOT.rglob("*.py"))


def part_of(path: Path) -> str:
    """The top-level module or package that a file belongs to."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Every module that a file imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            found.add(node.module or "")
    return found


def parts_imported(path: Path) -> set[str]:
    modules = {module for module in imported(path) if module.split(".")[0] == "accelmnist"}
    return {[*module.split("."), "__init__"][1] for module in modules}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_layers_import_downward_only(path):
    part = part_of(path)
    upward = {other for other in parts_imported(path) if LEVEL[other] > LEVEL[part]}
    assert not upward, f"{path} imports from above: {upward}"


def test_a_layer_above_would_be_seen():
    assert LEVEL["show"] > LEVEL["training"] > LEVEL["device"] > LEVEL["errors"]
    assert parts_imported(ROOT / "cli" / "run_task.py") >= {"runner", "show", "errors"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_libraries_have_their_place(path):
    part, modules = part_of(path), {module.split(".")[0] for module in imported(path)}
    assert "click" not in modules or part == "cli"
    assert not modules & {"matplotlib", "rich"} or part in ("show", "cli")
    assert "torch" not in modules or part != "show"
    assert "sklearn" not in modules or path.name == "oracle.py"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_device_module_names_devices(path):
    """torch.cuda, torch.mps and torch.backends behind one door, which is what makes the rest device-agnostic."""
    names = re.findall(r"torch\.(?:cuda|mps|backends)\b", code_of(path))
    assert not names or part_of(path) == "device"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_command_line_prints_and_exits(path):
    calls = {node.func.id for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if is_named_call(node)}
    assert not calls & {"print", "exit", "quit"}
    assert "sys.exit" not in path.read_text(encoding="utf-8") or part_of(path) in ("cli", "__main__")


def is_named_call(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name)


def code_of(path: Path) -> str:
    """A file without its docstrings and comments."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            node.value.value = ""
    return ast.unparse(tree)


def test_the_readme_names_every_part_from_the_top_down():
    text = (ROOT.parent / "README.md").read_text(encoding="utf-8")
    listed = text.partition("accelmnist/\n")[2].partition("\nbench/")[0]
    names = re.findall(r"([a-z_]+)(?:\.py|/) ", listed.replace("  files/", ""))
    parts = [name for name in names if name in LEVEL]
    assert set(parts) == set(LEVEL) - {"__init__", "__main__"}
    levels = [LEVEL[name] for name in parts]
    assert levels == sorted(levels, reverse=True)


def test_every_link_of_the_readme_leads_somewhere():
    text = (ROOT.parent / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)\)", text)
    assert len(links) > 5
    assert [link for link in links if not link.startswith("http") and not (ROOT.parent / link).exists()] == []
