"""Peers by name: what people would use instead of this package, as `bench/peers` of its checkout has them."""

from __future__ import annotations

from pathlib import Path

import accelmnist

CHECKOUT = Path(accelmnist.__file__).parents[1]
SERVE = ("-m", "bench.peers.serve")
_FILES = CHECKOUT / "bench" / "peers" / "contenders"


def peer_names() -> tuple[str, ...]:
    """The peers that are here, in order; none if the package doesn't run from its checkout."""
    return tuple(sorted(path.stem.replace("_", "-") for path in _FILES.glob("[!_]*.py")))


def peer_command(name: str) -> tuple[str, ...] | None:
    """The words that start a peer's worker from `CHECKOUT`, by this Python; None if it isn't here."""
    return ("python", *SERVE, name) if name in peer_names() else None
