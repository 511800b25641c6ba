"""The way into a benchmark: which measurement a configuration asks for."""

from __future__ import annotations

from accelmnist.measure.observer import BenchObserver
from accelmnist.measure.record import BenchRecord
from accelmnist.measure.session import BenchRequest
from accelmnist.measure.throughput import ThroughputSession
from accelmnist.measure.time_to_accuracy import TimeToAccuracySession


def execute_bench(request: BenchRequest, observer: BenchObserver) -> BenchRecord:
    """Measure what `request` asks for and return the record.

    Raises ConfigError, DataError and OutputError; the record is saved with its status before. KeyboardInterrupt and
    BrokenPipeError pass through, after saving.
    """
    kind = ThroughputSession if request.config.target_accuracy is None else TimeToAccuracySession
    return kind(request, observer).execute()
