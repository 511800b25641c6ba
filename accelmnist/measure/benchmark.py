"""The way into a benchmark, from its configuration to its record.

    plan      every combination is a case; one that can't run here is a row with its reason
    measure   by `throughput` or `time_to_accuracy`
    conclude  what follows from the samples
It prints nothing: an observer is told what happens. The record is saved after every case and every round, so that
nothing that was measured is lost, whatever ends it early.
"""

from __future__ import annotations

from accelmnist.measure.observer import BenchObserver
from accelmnist.measure.record import BenchRecord
from accelmnist.measure.session import BenchRequest, Session
from accelmnist.measure.throughput import measure_throughput
from accelmnist.measure.time_to_accuracy import measure_time_to_accuracy
from accelmnist.training.early_exit import record_early_exit


def execute_bench(request: BenchRequest, observer: BenchObserver) -> BenchRecord:
    """Measure what `request` asks for and return the record.

    Raises ConfigError, DataError and OutputError; the record is saved with its status before. KeyboardInterrupt and
    BrokenPipeError pass through, after saving.
    """
    session = Session(request, observer)
    measure = measure_throughput if request.config.target_accuracy is None else measure_time_to_accuracy
    with record_early_exit(session.stop, interrupted="interrupted"):
        observer.planned(session.writer.record)
        session.writer.save()
        measure(session, session.runnable())
        session.close()
    return session.writer.record
