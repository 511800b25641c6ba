"""The build of the native kernels, if there is a C++ compiler; pyproject.toml has everything else about the package.

The extension is optional: without a compiler, or without Python's headers, the package installs all the same, and
`accelmnist doctor` says that the engine `fused` is missing and how to get it. One source is compiled for every
instruction level with flags of its own, and the level is chosen at run time.
"""

from __future__ import annotations

import platform
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

SOURCES = Path("accelmnist/engines/native/src")
COMMON = ("module", "classifier", "engine", "job", "layout", "memory", "pixels", "inference_scratch", "team")
AVX2 = ["-mavx2", "-mfma"]
AVX512 = [*AVX2, "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mprefer-vector-width=512"]
IS_X86 = platform.machine().lower() in ("x86_64", "amd64")
LEVELS = {"level_plain": [], **({"level_avx2": AVX2, "level_avx512": AVX512} if IS_X86 else {})}
# Levels that not every compiler knows, with the macro that says that they are built.
BF16 = [*AVX512, "-mavx512bf16"]
NEWER = {"level_avx512bf16": ("ACCELMNIST_AVX512BF16", BF16), "level_amx": ("ACCELMNIST_AMX", BF16)} if IS_X86 else {}
# -ffp-contract: a fused multiply-add wherever the level has one, which GCC leaves out under -std=c++17.
FLAGS = ["-std=c++17", "-O3", "-ffp-contract=fast", "-fno-math-errno", "-fvisibility=hidden", "-Wno-psabi", "-pthread"]
# Version of the module's functions; accelmnist/engines/native/__init__.py compares it, so that it detects an old build.
INTERFACE = 5


class BuildKernels(build_ext):
    """Compiles each level with its own flags and passes it to the linker as an object."""

    def build_extension(self, extension: Extension) -> None:
        """Build the extension; setuptools reports a failure and goes on."""
        for name, flags in LEVELS.items():
            self.add_level(extension, name, flags)
        for name, (macro, flags) in NEWER.items():
            try:
                self.add_level(extension, name, flags)
            except CompileError as error:
                self.warn(f"{name} is left out: {error}")
            else:
                extension.define_macros.append((macro, "1"))
        super().build_extension(extension)

    def add_level(self, extension: Extension, name: str, flags: list[str]) -> None:
        """Compile one level; raises CompileError if the compiler can't."""
        extension.extra_objects += self.compiler.compile(
            [str(SOURCES / f"{name}.cpp")],
            output_dir=self.build_temp,
            macros=extension.define_macros,
            extra_postargs=[*extension.extra_compile_args, *flags],
            depends=extension.depends,
        )


KERNELS = Extension(
    "accelmnist.engines.native._kernels",
    sources=[str(SOURCES / f"{name}.cpp") for name in COMMON],
    depends=[str(path) for path in sorted(SOURCES.iterdir())],
    define_macros=[("ACCELMNIST_INTERFACE", str(INTERFACE)), *([("ACCELMNIST_X86", "1")] if IS_X86 else [])],
    extra_compile_args=FLAGS,
    extra_link_args=["-pthread"],
    language="c++",
    py_limited_api=True,
    optional=True,
)

setup(
    ext_modules=[] if sys.platform == "win32" else [KERNELS],
    cmdclass={"build_ext": BuildKernels},
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
