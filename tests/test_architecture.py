"""The shape of the house: layers import downward only, and each outside library has its place."""

from __future__ import annotations

import ast
import functools
import graphlib
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import accelmnist
from accelmnist.core.config import ENGINES

ROOT = Path(accelmnist.__file__).parent

# From the ground up. A room may import from itself and from the layers before its own; the rooms of one layer never
# import one another, but for `data`, which stands on `device`.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("core",),
    ("device", "data"),
    ("engines",),
    ("training",),
    ("measure", "sweep", "analysis"),
    ("show",),
    ("cli",),
)
LAYER = {room: layer for layer, rooms in enumerate(LAYERS) for room in rooms}
STANDS_ON = {("data", "device")}
MOST_LINES = 50  # of a function
OUTSIDE = ("__init__", "__main__")  # the version, which everyone may read, and the program's start
FILES = sorted(ROOT.rglob("*.py"))
MODULES = {".".join(("accelmnist", *path.relative_to(ROOT).with_suffix("").parts)): path for path in FILES}


@functools.cache
def tree_of(path: Path) -> ast.Module:
    """The syntax of a file, which nobody may change."""
    return ast.parse(path.read_text(encoding="utf-8"))


def room_of(path: Path) -> str:
    """The room, or the file beside the rooms, that a file belongs to."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Every module that a file imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            found.add(node.module or "")
    return found


def modules_imported(path: Path) -> set[str]:
    """The package's own modules among them, each with its whole name; a package stands for its `__init__`."""
    found = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "accelmnist":
            found |= {whole_name(f"{node.module}.{alias.name}", node.module or "") for alias in node.names}
    return found


def whole_name(longer: str, shorter: str) -> str:
    """What `from shorter import name` imports: the module `longer`, or something in the module `shorter`."""
    names = (longer, f"{longer}.__init__", shorter, f"{shorter}.__init__")
    return next(name for name in names if name in MODULES)


IMPORTS = {module: modules_imported(path) - {"accelmnist.__init__"} for module, path in MODULES.items()}


def arrows(depth: int) -> dict[str, set[str]]:
    """Who imports whom, with names cut to `depth` parts: between rooms, between the parts of a room, and so on."""
    found: dict[str, set[str]] = {}
    for module, others in IMPORTS.items():
        name = cut(module, depth)
        found.setdefault(name, set()).update(cut(other, depth) for other in others)
        found[name].discard(name)
    return found


def cut(module: str, depth: int) -> str:
    return ".".join(module.removesuffix(".__init__").split(".")[:depth])


def upward(importer: str, imported: str) -> bool:
    """Whether one room may not import another."""
    if importer in OUTSIDE or importer == imported or (importer, imported) in STANDS_ON:
        return False
    return LAYER[imported] >= LAYER[importer]


def circle_in(graph: dict[str, set[str]]) -> list[str]:
    """The names of a circle, or none."""
    try:
        list(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def test_every_room_has_its_layer() -> None:
    assert {room_of(path) for path in FILES} == {*LAYER, *OUTSIDE}


def test_layers_import_downward_only() -> None:
    found = {
        f"{module} imports {other}"
        for module, others in IMPORTS.items()
        for other in others
        if upward(module.split(".")[1], other.split(".")[1])
    }
    assert not found


@pytest.mark.parametrize("depth", [2, 3, 4, 5])
def test_nothing_imports_in_a_circle(depth: int) -> None:
    assert circle_in(arrows(depth)) == []


def test_what_is_forbidden_would_be_seen() -> None:
    assert upward("training", "show")
    assert upward("measure", "sweep")
    assert upward("device", "data")
    assert not upward("data", "device")
    assert IMPORTS["accelmnist.cli.run"] >= {"accelmnist.core.files"}
    assert circle_in({"one": {"other"}, "other": {"one"}})


def test_every_engine_is_listed_and_has_its_file() -> None:
    files = {path.stem for path in (ROOT / "engines").glob("*.py") if "\nENGINE = " in path.read_text(encoding="utf-8")}
    assert set(ENGINES) == files


def way_of_a_run() -> list[str]:
    """The modules that the package's docstring names as the way from the command line to the hot loop."""
    files = re.findall(r"^    (\S+)\.py +\S", accelmnist.__doc__ or "", re.MULTILINE)
    return [f"accelmnist.{file.replace('/', '.')}" for file in files]


def test_from_the_command_line_to_the_hot_loop_are_eight_files_at_most() -> None:
    """Each calls the next, itself or by a neighbour of its room; an engine follows the contract that it implements."""
    way = way_of_a_run()
    assert (way[0], way[-1]) == ("accelmnist.cli.run", "accelmnist.engines.native.__init__")
    assert "_kernels" in MODULES[way[-1]].read_text(encoding="utf-8")
    used = dict.fromkeys(way)
    for one, following in itertools.pairwise(way):
        neighbours = {other for other in IMPORTS[one] if cut(other, 2) == cut(one, 2)}
        if following in IMPORTS[one] or one in IMPORTS[following]:
            continue
        used |= {other: None for other in neighbours if following in IMPORTS[other]}
        assert any(following in IMPORTS[other] for other in neighbours), f"{one} does not lead to {following}"
    assert len(used) <= 8


def test_libraries_have_their_place() -> None:
    rooms = {"click": {"cli"}, "matplotlib": {"show", "cli"}, "rich": {"show", "cli"}, "sklearn": {"training"}}
    rooms["torch"] = set(LAYER) - {"core", "show"}
    wrong = [
        (path, library)
        for path in FILES
        for library in {module.split(".")[0] for module in imported(path)} & set(rooms)
        if room_of(path) not in rooms[library]
    ]
    assert wrong == []


def test_only_the_device_room_names_hardware() -> None:
    """torch.cuda, torch.mps and torch.backends behind one door, which is what makes the rest device-agnostic."""
    hardware = re.compile(r"torch\.(?:cuda|mps|backends)\b")
    assert [path for path in FILES if room_of(path) != "device" and hardware.search(code_of(path))] == []


def test_only_the_command_line_prints_and_exits() -> None:
    wrong = []
    for path in FILES:
        tree = tree_of(path)
        calls = {node.func.id for node in ast.walk(tree) if is_named_call(node)}
        exits = "sys.exit" in ast.unparse(tree) and room_of(path) not in ("cli", "__main__")
        wrong += [path] if calls & {"print", "exit", "quit"} or exits else []
    assert wrong == []


def is_named_call(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name)


def code_of(path: Path) -> str:
    """A file without its docstrings and comments."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            node.value.value = ""
    return ast.unparse(tree)


def test_the_package_has_few_entries() -> None:
    entries = {path.name for path in ROOT.iterdir() if not path.name.startswith(("__", "."))}
    assert len(entries) <= 12


def test_every_module_says_what_it_owns() -> None:
    assert [path for path in FILES if not ast.get_docstring(tree_of(path))] == []


def test_every_function_has_its_return_type() -> None:
    assert [f"{path}: {function.name}" for path, function in functions() if function.returns is None] == []


def test_no_function_is_long() -> None:
    """Triton's kernels alone may be: what they call is compiled into them, and a cut would hide the order of a step."""
    kernels = ROOT / "engines" / "triton" / "kernels"
    long = [
        f"{path}: {function.name}"
        for path, function in functions()
        if lines_of(function) > MOST_LINES and not path.is_relative_to(kernels)
    ]
    assert long == []


def functions() -> Iterator[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every function and method of the package, with its file."""
    for path in FILES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield path, node


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines of a function from its `def` to its end, without its decorators."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


def test_the_readme_names_every_room() -> None:
    text = (ROOT.parent / "README.md").read_text(encoding="utf-8")
    listed = text.partition("accelmnist/\n")[2].partition("\nbench/")[0]
    assert set(re.findall(r"^  ([a-z_]+)/ ", listed, re.MULTILINE)) == set(LAYER)


@pytest.mark.parametrize("document", ["README.md", "bench/README.md", "results/README.md"])
def test_every_link_of_a_readme_leads_somewhere(document: str) -> None:
    """Files and pictures from the document's own folder, and headings where a link names one."""
    path = ROOT.parent / document
    links = re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8"))
    assert len(links) > 5
    assert [link for link in links if not link.startswith("http") and not leads_somewhere(path, link)] == []


def leads_somewhere(document: Path, link: str) -> bool:
    """Whether `link`, of `document`, names a file that is there, and if it names a heading, one of that file's."""
    name, _, anchor = link.partition("#")
    target = document.parent / name if name else document
    if not target.exists():
        return False
    titles = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE) if anchor else []
    return not anchor or anchor in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_readme_is_short_enough_to_be_read() -> None:
    assert len((ROOT.parent / "README.md").read_text(encoding="utf-8").splitlines()) <= 250
