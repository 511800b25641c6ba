"""Functions of samples alone: they read no clock and print nothing, so simulated samples test them to the digit.

Distributions are `scipy.special`'s. `scipy.stats` has some of the tests too, but importing it takes 1.8 s of processor
time against 0.6 s, and all of `accelmnist compare` takes 0.9 s: it is what the tests hold these functions against.
`bench/studies/simulate_statistics.py` has their false alarms and power, `results/statistics.md` the figures.
"""
