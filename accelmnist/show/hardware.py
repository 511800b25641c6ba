"""Clocks, power, links and quotas in rows, each figure beside its most; what can't be read has its reason."""

from __future__ import annotations

from accelmnist.core.hardware import CpuFacts, GpuFacts
from accelmnist.show.units import percent, plural, seconds, significant

Rows = tuple[tuple[str, str], ...]


def cpu_rows(facts: CpuFacts) -> Rows:
    """What holds, or held, the processor and this process's threads."""
    clock = _of(facts, "clock_hz", "clock_max_hz", scale=1e-9, unit="GHz")
    heat = f"held the clock down {plural(facts.heat_events or 0, 'time')}"
    stolen = f"{percent(facts.steal_share)} of the processors' time, by other guests"
    why = {name: f"unknown: {reason}" for name, reason in facts.unknown.items()}
    return (
        ("clock", clock if facts.governor is None else f"{clock}, governor {facts.governor}"),
        ("heat", why.get("heat_events", heat)),
        ("stolen", why.get("steal_share", stolen)),
        ("quota", _quota(facts)),
    )


def _quota(facts: CpuFacts) -> str:
    if facts.quota is None:
        return "none"
    held = f", which has held threads back for {seconds(facts.quota_held_s)}" if facts.quota_held_s else ""
    return f"{significant(facts.quota, 2)} processors{held}"


def gpu_rows(facts: GpuFacts) -> Rows:
    """What holds a card; one row if nothing can be read for one and the same reason."""
    reasons = set(facts.unknown.values())
    if len(reasons) == 1 and facts.clock_hz is None and facts.link_width is None:
        return (("clock, link", f"unknown: {reasons.pop()}"),)
    held = f", held down by {' and '.join(facts.held_by)}" if facts.held_by else ""
    usual = facts.power_default_w
    capped = f"; {usual:.0f} W is the usual cap" if usual and usual != facts.power_cap_w else ""
    temperature = "" if facts.temperature_c is None else f", {facts.temperature_c:.0f} °C"
    lanes = _of(facts, "link_width", "link_width_max", unit="lanes")
    return (
        ("clock", f"{_of(facts, 'clock_hz', 'clock_max_hz', scale=1e-9, unit='GHz')}{held}"),
        ("power", f"{_of(facts, 'power_w', 'power_cap_w', unit='W')}{capped}{temperature}"),
        ("link", f"PCIe {_of(facts, 'link_generation', 'link_generation_max')}, {lanes}"),
        ("memory", _memory(facts)),
        ("modes", f"MIG {_switch(facts, 'mig')}, persistence {_switch(facts, 'persistence')}"),
    )


def _memory(facts: GpuFacts) -> str:
    counted = (("corrected", facts.ecc_corrected), ("not corrected", facts.ecc_uncorrected))
    errors = ", ".join(f"{number:,} {what}" for what, number in counted if number is not None)
    return f"ECC {_switch(facts, 'ecc')}{f': {errors}' if errors and facts.ecc else ''}"


def _switch(facts: GpuFacts, name: str) -> str:
    is_on = getattr(facts, name)
    return f"unknown ({facts.unknown.get(name, 'not read')})" if is_on is None else "on" if is_on else "off"


def _of(facts: CpuFacts | GpuFacts, name: str, most: str, *, scale: float = 1.0, unit: str = "") -> str:
    """ "1.41 of 1.98 GHz", or what of the two is known, with the reason for the other."""
    values = [getattr(facts, one) for one in (name, most)]
    texts = [_figure(value * scale) for value in values if value is not None]
    why = next((facts.unknown[one] for one in (name, most) if one in facts.unknown), "not read")
    if not texts:
        return f"unknown: {why}"
    unit = unit and f" {unit}"
    if len(texts) == 2:
        return f"{texts[0]} of {texts[1]}{unit}"
    return f"{texts[0]}{unit} (its most: {why})" if values[1] is None else f"unknown ({why}), {texts[0]}{unit} at most"


def _figure(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.3g}" if value < 100 else f"{value:.0f}"
