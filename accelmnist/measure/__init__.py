"""How fast it is, and how sure of that one can be: everything between a timed region and a figure with its verdict.

    plan.py  record.py      what is measured, and what is known of it; limit_keys.py: of which limits
    benchmark.py            the way in: cases prepared, rounds sampled; time_to_accuracy.py: seconds to a target
    session.py              what both share: the request, the observer, the time that is left
    case_builder.py         what cases are made of, and whether they are right
    timed_case.py           one case, and a slice of its sample; sampling.py: the clock, and a round of all
    machine.py              what else goes on: load, throttling, energy, memory
    record_writer.py        the record as it grows
    conclusion.py           what follows from the samples
    statistics/             summaries, symptoms, comparisons
    limits/                 what the hardware allows, what a step costs, and what holds it back
    compare/                two records

A sample takes this way: `benchmark` starts a round, `sampling` gives every case its turn, `timed_case` runs a slice of
the case between two readings of the clock. A sample is the speed of one timed region, in images per second: higher is
better, everywhere in this package.
"""
