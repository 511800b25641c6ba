"""An engine in a file of one's own, by name: `FILE.py:CLASS`, and what a record keeps of it.

A configuration has the file's whole path, the class, and a digest of what is in the file, such as
`/home/me/mine.py:MyEngine@0f3a5c7e9b1d`: every process finds the same file, one that has changed since is noticed, and
a record can be read where there is no such file. People see `mine.MyEngine`, by which two files of one class differ.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from accelmnist.core.errors import ConfigError, EngineError

_NAME = re.compile(r"(?P<path>.+\.py):(?P<name>[^\W\d]\w*)(@(?P<digest>[0-9a-f]{12}))?")


@dataclass(frozen=True)
class EngineFile:
    """The class `name` in the file at `path`, whose contents have the `digest`; an empty one is not held to."""

    path: Path
    name: str
    digest: str = ""

    @classmethod
    def of(cls, engine: str) -> EngineFile | None:
        """What an engine's name in a configuration means; None for one that is no file's."""
        parts = _NAME.fullmatch(engine)
        return cls(Path(parts["path"]), parts["name"], parts["digest"] or "") if parts else None

    @classmethod
    def asked_for(cls, text: str, option: str) -> EngineFile | None:
        """What `text`, given as `option`, means; None for a plain name. Raises AccelmnistError for a bad one.

        The path is made whole here, so that other processes, in whatever folder, find it too.
        """
        if ":" not in text and not text.endswith(".py") and "/" not in text:
            return None
        file = cls.of(text)
        if file is None or not text.isprintable():
            name = text if text.endswith(".py") else "FILE.py"
            raise ConfigError(f"{option} {text}: it names no class in a Python file", remedy=f"Give {name}:CLASS")
        whole = cls(file.path.expanduser().absolute(), file.name, file.digest)
        return cls(whole.path, whole.name, _digest(whole.read()))

    def read(self) -> bytes:
        """What is in the file; raises EngineError if that can't be read, or isn't what it was."""
        try:
            contents = self.path.read_bytes()
        except OSError as error:
            cause = (error.strerror or str(error)).lower()
            raise EngineError(f"the engine's file {self.path}: {cause}", remedy="Give one that can be read") from error
        if self.digest and _digest(contents) != self.digest:
            remedy = "Put it back as it was, or start anew"
            raise EngineError(f"the engine's file {self.path} has been changed since this began", remedy=remedy)
        return contents

    @property
    def label(self) -> str:
        """Its name for people."""
        return f"{self.path.stem}.{self.name}"

    def __str__(self) -> str:
        return f"{self.path}:{self.name}" + (f"@{self.digest}" if self.digest else "")


def label_of(engine: str) -> str:
    """The name for people of an engine as a configuration names it: one of ours has but one."""
    file = EngineFile.of(engine)
    return engine if file is None else file.label


def _digest(contents: bytes) -> str:
    return hashlib.blake2b(contents, digest_size=6).hexdigest()
