"""What a fault is: a named replacement of text in the package, and the command that would show it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FUSED = "run --data {data} --hidden 32 --batch-size 64 --epochs 4 --engine fused --no-reference"
EAGER = "run --data {data} --hidden 32 --batch-size 64 --epochs 4 --engine eager --threads 1"
DEEP = "run --data {data} --hidden 32,16 --batch-size 64 --epochs 2 --engine eager --threads 1"
SAVED = "run --data {data} --hidden 32 --batch-size 64 --epochs 2 --engine fused --no-reference --out {out}"
BENCH = (
    "bench --data {data} --devices cpu --engines eager,fused --mode training --batch-sizes 64 --hidden 32"
    " --time-limit 100 --precision-target 0.9"
)
INFERENCE = (
    "bench --data {data} --devices cpu --engines eager,fused --mode inference --batch-sizes 1 --hidden 32"
    " --time-limit 100 --precision-target 0.9"
)


@dataclass(frozen=True)
class Edit:
    """In `file`, below the package's folder, `old` stands exactly once, and becomes `new`."""

    file: str
    old: str
    new: str

    def apply(self, package: Path) -> None:
        """Make the replacement; raises ValueError if the text is not there once."""
        path = package / self.file
        text = path.read_text()
        if text.count(self.old) != 1:
            raise ValueError(f"{self.file} holds {text.count(self.old)} times: {self.old!r}")
        path.unlink()  # it may be shared with the original
        path.write_text(text.replace(self.old, self.new))


@dataclass(frozen=True)
class Fault:
    """A change of the program: `what` it does wrong, and the `command` that runs the place.

    `harmless` changes move nothing but rounding, or nothing at all, and have to pass. `stand_in` names what takes the
    place of a GPU: see `probe`. `unfindable` is the reason why no run can notice.
    """

    name: str
    what: str
    edits: tuple[Edit, ...]
    command: str = FUSED
    harmless: bool = False
    stand_in: str = ""
    unfindable: str = ""

    @property
    def is_native(self) -> bool:
        """Whether the C++ kernels have to be built anew."""
        return any(edit.file.endswith((".h", ".cpp")) for edit in self.edits)


def fault(
    name: str,
    what: str,
    file: str,
    old: str,
    new: str,
    *,
    command: str = FUSED,
    stand_in: str = "",
    unfindable: str = "",
) -> Fault:
    """A fault of one replacement."""
    return Fault(name, what, (Edit(file, old, new),), command=command, stand_in=stand_in, unfindable=unfindable)
