"""What the classes of a data set are called wherever they are shown."""

from __future__ import annotations


def row_names(class_names: tuple[str, ...]) -> tuple[str, ...]:
    """The number of each class, and its name if that is another one."""
    return tuple(name if name == str(label) else f"{label} {name}" for label, name in enumerate(class_names))


def class_kind(class_names: tuple[str, ...]) -> str:
    """What one class is: a "digit" if the names are their own numbers, else a "class"."""
    return "digit" if all(name == str(label) for label, name in enumerate(class_names)) else "class"
