"""The fuzz driver's build with a sanitizer: `python -m tests.native.build address 1000` builds it and runs 1,000 jobs.

The kernels are compiled with the sanitizer's checks and linked to a program of their own, so that neither Python nor
torch has to be instrumented. The levels `avx512` and `amx` are compiled for AVX2 here, and the latter's tiles are those
of tiles.h: their sources then run on a processor without either too.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
SOURCES = HERE.parents[1] / "accelmnist" / "engines" / "native" / "src"
SANITIZERS = {
    "address": ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    "thread": ["-fsanitize=thread"],
}
_FLAGS = ["-std=c++17", "-O1", "-g1", "-ffp-contract=fast", "-fno-math-errno", "-Wno-psabi", "-pthread"]
_COMMON = ("classifier", "engine", "job", "layout", "memory", "pixels", "inference_scratch", "team", "level_plain")
_AVX2 = ("level_avx2", "level_avx512", "level_amx")


def compiler() -> str | None:
    """The C++ compiler, or None."""
    return next((name for name in (os.environ.get("CXX"), "g++", "clang++") if name and shutil.which(name)), None)


def why_unusable(sanitizer: str, folder: Path) -> str | None:
    """Why programs with `sanitizer` can't be built or run here; None if they can."""
    cxx = compiler()
    if cxx is None:
        return "no C++ compiler"
    source, program = folder / "probe.cpp", folder / "probe"
    source.write_text("int main() { return 0; }\n")
    result = _run([cxx, *SANITIZERS[sanitizer], str(source), "-o", str(program)])
    if result.returncode != 0:
        return f"{cxx} builds nothing with the {sanitizer} sanitizer"
    return None if _run([str(program)]).returncode == 0 else f"the {sanitizer} sanitizer doesn't run on this system"


def build(sanitizer: str, folder: Path, *, wide: bool) -> Path:
    """The driver's program, built in `folder`; `wide` adds the levels of x86-64 to the plain one."""
    cxx = compiler()
    assert cxx is not None
    wide = wide and platform.machine().lower() in ("x86_64", "amd64")
    flags = [*_FLAGS, *SANITIZERS[sanitizer], f"-I{SOURCES}"]
    tiles = f'-DACCELMNIST_TILES_STAND_IN="{HERE / "tiles.h"}"'
    flags += ["-DACCELMNIST_X86", "-DACCELMNIST_AVX512_BY_AVX2", "-DACCELMNIST_AMX", tiles] if wide else []
    parts: list[tuple[Path, list[str]]] = [
        (HERE / "fuzz.cpp", []),
        *((SOURCES / f"{name}.cpp", []) for name in _COMMON),
    ]
    parts += [(SOURCES / f"{name}.cpp", ["-mavx2", "-mfma"]) for name in _AVX2 if wide]

    def compiled(part: tuple[Path, list[str]]) -> str:
        source, own = part
        target = str(folder / f"{source.stem}.o")
        _run([cxx, *flags, *own, "-c", str(source), "-o", target], check=True)
        return target

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compiled, parts))
    program = folder / "fuzz"
    _run([cxx, *flags, *objects, "-o", str(program)], check=True)
    return program


def build_levels(folder: Path) -> Path:
    """The program of levels.cpp, built in `folder`; for x86-64."""
    cxx, program = compiler(), folder / "levels"
    assert cxx is not None
    names = ("job", "layout", "memory", "pixels", "team")
    sources = map(str, [HERE / "levels.cpp", *(SOURCES / f"{name}.cpp" for name in names)])
    levels = [f"-DACCELMNIST_{name}" for name in ("X86", "AVX512BF16", "AMX")]
    flags = ["-std=c++17", "-Wno-psabi", "-pthread", f"-I{SOURCES}", *levels]
    _run([cxx, *flags, *sources, "-o", str(program)], check=True)
    return program


def fuzz(program: Path, *, seed: int, jobs: int, threads: int) -> subprocess.CompletedProcess[str]:
    """Run `jobs` random jobs from `seed`."""
    return _run([str(program), str(seed), str(jobs), str(threads)])


def _run(command: list[str], *, check: bool = False) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=check)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        program = build(sys.argv[1], Path(name), wide=sys.argv[1] == "address")
        result = fuzz(program, seed=int.from_bytes(os.urandom(4), "little"), jobs=int(sys.argv[2]), threads=4)
    print(result.stdout + result.stderr)
    sys.exit(result.returncode)
