"""How fast it is, and how sure of that one can be: everything between a timed region and a figure with its verdict.

The package owns the clock, the samples and their statistics, the limits of the hardware, the cases that are measured,
the runner that interleaves them round by round, and the comparison of two of them.

A sample is the speed of one timed region, in images per second: higher is better, everywhere in this package. The
statistics are functions of samples alone; they read no clock and print nothing, so simulated samples test them to the
digit (`bench/simulate_statistics.py` has the false alarms and the power, `results/statistics.md` the figures).
"""
