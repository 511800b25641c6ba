"""All faults, by the part of the program in which they are planted, and the harmless changes."""

from __future__ import annotations

from bench.studies.faults.data import DATA, PLAN
from bench.studies.faults.fault import Fault
from bench.studies.faults.kernels import COMPILED, GRAPHS, NATIVE, NATIVE_BF16, TRITON
from bench.studies.faults.measuring import HARMLESS, MEASUREMENT, STATISTICS
from bench.studies.faults.network import LOSS, MODEL, UPDATE
from bench.studies.faults.proof import EVALUATION, METRICS, SAVING

PARTS: dict[str, tuple[Fault, ...]] = {
    "data": DATA,
    "plan": PLAN,
    "model": MODEL,
    "loss": LOSS,
    "update": UPDATE,
    "native": (*NATIVE, *NATIVE_BF16),
    "compiled": COMPILED,
    "graphs": GRAPHS,
    "triton": TRITON,
    "evaluation": EVALUATION,
    "metrics": METRICS,
    "saving": SAVING,
    "measurement": MEASUREMENT,
    "statistics": STATISTICS,
    "harmless": HARMLESS,
}
