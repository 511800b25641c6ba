"""How a soak stands, while it runs: a row a device, and below them how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console, Group, RenderableType
from rich.text import Text

from accelmnist.measure.soak.record import SoakDevice, SoakRecord
from accelmnist.measure.soak.session import SoakObserver
from accelmnist.show.live_page import LivePage, aligned, rows_in, time_bar
from accelmnist.show.soak.page import beside_text
from accelmnist.show.theme import BAD, GOOD, LABEL, STRONG, section
from accelmnist.show.units import UNKNOWN, count, plural, rate, seconds

_DRAW_EVERY_S = 0.5
_LINE_EVERY_S = 30.0
_STYLES = {"lost": BAD, "refused": BAD, "done": GOOD}


class ConsoleSoakObserver(LivePage[SoakRecord], SoakObserver):
    """A context manager around the soak; `clock` gives seconds."""

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(console, clock=clock, draw_every_s=_DRAW_EVERY_S)
        self._told: set[str] = set()

    def planned(self, record: SoakRecord) -> None:
        """Show every device."""
        self._record = record
        if self._live is None:
            self._print(
                f"{plural(len(record.devices), 'device')}: {', '.join(device.name for device in record.devices)}"
            )
        self._open()

    def changed(self, record: SoakRecord) -> None:
        """Show the figures so far, if it is time; through a pipe what is bad at once."""
        self._record = record
        if self._live is not None:
            self._draw_in_time()
            return
        for device in record.devices:
            for what in (device.error, f"{plural(device.wrong, 'replay')} differed" if device.wrong else None):
                line = f"{device.name}: {what}"
                if what is not None and line not in self._told:
                    self._told.add(line)
                    self._print(line, BAD)
        if record.rounds and self._is_due(_LINE_EVERY_S):
            self._print(_how_far(record))
            self._shown_at = self._clock()

    def _page(self, record: SoakRecord, *, spent_s: float, height: int) -> RenderableType:  # noqa: ARG002
        most = rows_in(height)
        shown = sorted(record.devices, key=_urgency)[:most] if len(record.devices) > most else record.devices
        heads = ("device", "images/s", "replays", "differ", "over others", "")
        rows = [tuple((head, STRONG) for head in heads), *map(_cells, shown)]
        body = aligned(rows)
        if len(shown) < len(record.devices):
            body.append(f"and {len(record.devices) - len(shown)} more, as they should be\n", style=LABEL)
        total = record.config.for_s
        far = Text(f"… {self._stage}\n{_how_far(record)}")
        bar = far if total is None or not record.rounds else Group(far, time_bar(record.elapsed_s, total, ""))
        return section("Soak", Group(body, bar))


def _urgency(device: SoakDevice) -> tuple[bool, bool, str]:
    return device.error is None, not device.wrong, device.name


def _how_far(record: SoakRecord) -> str:
    """How much was done: "round 12, 345 replays, none differs, 2 min 05 s of 10 min 00 s"."""
    replays, wrong = (sum(getattr(device, name) for device in record.devices) for name in ("replays", "wrong"))
    of = f" of {seconds(record.config.for_s)}" if record.config.for_s is not None else ""
    if record.config.replays is not None:
        of = f", {count(record.config.replays)} of each are wanted"
    found = f"{count(wrong)} differed" if wrong else "none differs"
    return f"round {len(record.rounds)}, {plural(replays, 'replay')}, {found}, {seconds(record.elapsed_s)}{of}"


def _cells(device: SoakDevice) -> tuple[tuple[str, str], ...]:
    speed = device.images_per_s
    return (
        (device.name, ""),
        (UNKNOWN if speed is None else rate(speed.median).removesuffix(" images/s"), STRONG),
        (count(device.replays), ""),
        (count(device.wrong), BAD if device.wrong else ""),
        (beside_text(device, "together"), ""),
        (device.status, _STYLES.get(device.status, LABEL)),
    )
