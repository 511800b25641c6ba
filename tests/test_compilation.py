"""Functions compiled apart from each other, and the watch that names what was compiled."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from typing import Any

import pytest
import torch

from accelmnist.device import resolve
from accelmnist.engines import compilation
from accelmnist.engines.compilation import Compilations, CompileWatch, compile_apart

CPU = resolve("cpu")
LIMIT_AND_MORE = 12  # torch stops compiling a code object after 8


@pytest.fixture(autouse=True)
def no_code_generation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trace and guard as always, and run the graph as it is: what is tested here is the tracer's side."""
    real = torch.compile

    def compile_to_the_graph_itself(function: Any, *, options: Any = None, **others: Any) -> Any:
        return real(function, backend="eager", **others)

    monkeypatch.setattr(torch, "compile", compile_to_the_graph_itself)


def make_scaler(factor: Any) -> Any:
    """Closures over different numbers share one code object, as the methods of two instances do."""

    def scaler(values: Any) -> Any:
        return values * factor

    return scaler


def test_functions_of_one_code_object_are_compiled_once_each() -> None:
    scalers = [compile_apart(make_scaler(float(number)), name="scaler", device=CPU) for number in range(LIMIT_AND_MORE)]
    with CompileWatch() as watch:
        for size, scaler in enumerate(scalers, start=1):
            scaler(torch.ones(size))
    assert watch.seen.recompiles == ("scaler was compiled for the first time",) * LIMIT_AND_MORE
    with CompileWatch() as watch:
        for _ in range(3):
            found = [scaler(torch.ones(size)).tolist() for size, scaler in enumerate(scalers, start=1)]
    assert watch.seen == Compilations()
    assert found == [[float(number)] * (number + 1) for number in range(LIMIT_AND_MORE)]


def test_compiled_code_goes_with_its_function() -> None:
    big = torch.ones(1000)
    compiled = compile_apart(make_scaler(big), name="scaler", device=CPU)
    assert compiled(torch.ones(1000)).sum() == 1000
    gone = weakref.ref(big)
    del big, compiled
    gc.collect()
    assert gone() is None


def test_a_changed_shape_is_a_recompilation_with_its_cause() -> None:
    scaler = compile_apart(make_scaler(2.0), name="twice", device=CPU)
    scaler(torch.ones(4))
    with CompileWatch() as watch:
        scaler(torch.ones(5))
    (cause,) = watch.seen.recompiles
    assert cause.startswith("twice was compiled again: ")
    assert cause.endswith("size mismatch at index 0. expected 4, actual 5")
    assert watch.seen.graph_breaks == ()


def test_a_graph_break_is_named_with_its_place_and_cause() -> None:
    def broken(values: Any) -> Any:
        values = values.sin()
        torch._dynamo.graph_break()
        return values.cos()

    line = broken.__code__.co_firstlineno + 2
    compiled = torch.compile(broken)
    with CompileWatch() as watch:
        compiled(torch.ones(3))
    (cause,) = watch.seen.graph_breaks
    assert cause.startswith(f"broken, line {line}: Call to `torch._dynamo.graph_break()`: User-inserted graph break")
    assert watch.seen.recompiles[0] == "broken was compiled for the first time"


def test_a_branch_on_a_value_is_a_graph_break() -> None:
    def branching(values: Any) -> Any:
        return values * 2 if values.sum() > 0 else values

    compiled = torch.compile(branching)
    with CompileWatch() as watch:
        compiled(torch.ones(3))
    (cause,) = watch.seen.graph_breaks
    assert cause.endswith("Python branched on the value of a tensor")


def test_a_function_compiled_apart_must_not_break() -> None:
    def branching(values: Any) -> Any:
        return values * 2 if values.sum() > 0 else values

    with CompileWatch() as watch, pytest.raises(torch._dynamo.exc.TorchDynamoException):
        compile_apart(branching, name="branching", device=CPU)(torch.ones(3))
    (cause,) = watch.seen.recompiles
    assert cause.startswith("branching could not be compiled: ")


def test_only_what_happens_within_is_seen() -> None:
    scaler = compile_apart(make_scaler(3.0), name="scaler", device=CPU)
    scaler(torch.ones(2))
    with CompileWatch() as watch:
        scaler(torch.ones(2))
    scaler(torch.ones(3))
    assert watch.seen == Compilations()


def test_what_happens_after_a_reset_within_is_seen() -> None:
    def broken(values: Any) -> Any:
        torch._dynamo.graph_break()
        return values.cos()

    torch.compiler.reset()  # so that as many breaks are on torch's list before as after
    torch.compile(broken)(torch.ones(3))
    with CompileWatch() as watch:
        torch.compiler.reset()
        torch.compile(broken)(torch.ones(4))
    assert len(watch.seen.graph_breaks) == 1
    assert any("broken was compiled" in cause for cause in watch.seen.recompiles)


def test_a_torch_that_counts_otherwise_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilation, "_TRACER", "torch._dynamo.nowhere")
    scaler = compile_apart(make_scaler(5.0), name="scaler", device=CPU)
    with CompileWatch() as watch:
        assert scaler(torch.ones(2)).tolist() == [5.0, 5.0]
    assert watch.seen == Compilations()


def test_compilations_add_up() -> None:
    total = Compilations(("a",), ()) + Compilations(("b",), ("c",))
    assert total == Compilations(("a", "b"), ("c",))


@pytest.mark.slow
def test_watching_does_not_load_the_compiler() -> None:
    """It takes two seconds, a third of a whole default run."""
    program = """
import sys
from accelmnist.engines.compilation import CompileWatch, Compilations
from accelmnist.engines.choose import engine_class
engine_class("compiled")
with CompileWatch() as watch:
    pass
assert watch.seen == Compilations()
print([name for name in sys.modules if name.startswith(("torch._dynamo", "torch._inductor"))])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
