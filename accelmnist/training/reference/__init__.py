"""Is it right? The run held against arithmetic that can be trusted.

`exact` recomputes on the host in float64: what the trained weights say of the test set, and the first steps of the
training. `scores` checks our metrics against scikit-learn's. `tolerances` is the one table of limits, each with its
reason. `verdict` repeats the whole training by the reference engine, eager float32 on the CPU, from the same start and
order, and puts the checks together.
"""
