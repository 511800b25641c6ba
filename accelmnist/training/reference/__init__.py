"""Is it right? The run held against arithmetic that can be trusted.

`witness` defines a step of training once more in NumPy's float64, and how far rounding may take it; `audit` replays
steps of the run by it. `rounded` is what an engine's own roundings in 16 bits make of its gradients. `answers`
recomputes in float64 what the trained weights say of the test set. `scores` checks our metrics against scikit-learn's.
`tolerances` is the one table of limits, each with its reason. `verdict` repeats the whole training by the reference
engine, eager float32 on the CPU, from the same start and order, and puts the checks together. `chain` holds what lies
before and after the training.
"""
