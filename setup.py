"""The build of the native kernels, if there is a C++ compiler; pyproject.toml has everything else about the package.

The extension is optional: without a compiler, or without Python's headers, the package installs all the same, and
`accelmnist doctor` says that the engine `fused` is missing and how to get it. One source is compiled for every
instruction level with flags of its own, and the level is chosen at run time.

An archive or a wheel that is built in a checkout has its commit in accelmnist/commit.txt, as records name it.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist
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
INTERFACE = 6


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


def write_commit(tree: str) -> None:
    """Write the commit that is built into a package's tree, with `+changes` if files differ from it."""
    file = Path("accelmnist/commit.txt")
    text = file.read_text() if file.exists() else ""  # of an archive
    if Path(".git").exists():
        head, changed = (
            subprocess.run(["git", *words.split()], capture_output=True, text=True, check=False).stdout.strip()
            for words in ("rev-parse --short=12 HEAD", "status --porcelain --untracked-files=no")
        )
        text = f"{head}+changes" if head and changed else head
    if text:
        (Path(tree) / file).write_text(text)


class BuildPackage(build_py):
    """Adds the commit to what is installed."""

    def run(self) -> None:
        """Copy the package; one that runs from its checkout asks git."""
        super().run()
        if not self.editable_mode:
            write_commit(self.build_lib)


class BuildArchive(sdist):
    """Adds the commit to the archive."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        """Lay out what is packed."""
        super().make_release_tree(base_dir, files)
        write_commit(base_dir)


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
    cmdclass={"build_ext": BuildKernels, "build_py": BuildPackage, "sdist": BuildArchive},
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
