"""Functions of samples alone: they read no clock and print nothing, so simulated samples test them to the digit.

`bench/studies/simulate_statistics.py` has their false alarms and power, `results/statistics.md` the figures.
"""
