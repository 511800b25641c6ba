"""How fast it is, and how sure of that one can be: everything between a timed region and a figure with its verdict.

    plan.py  record.py       what is measured, and what is known of it
    benchmark.py             the way in; session.py is what all kinds of measurement share
    throughput.py            images a second: preparation.py, sampling.py, timed_case.py, clock.py
    time_to_accuracy.py      seconds to a target
    builder.py              what cases are made of; verification.py: are they right?
    budget.py  writer.py     the time that is left, and the record as it grows
    observer.py              who is told
    conclusion.py            what follows from the samples
    statistics/              summaries, symptoms, comparisons
    limits/                  what the hardware allows, what a step costs, and what holds it back
    machine/                 what else goes on: load, throttling, energy, memory
    compare/                 two records

A sample is the speed of one timed region, in images per second: higher is better, everywhere in this package.
"""
