"""How fast it is, and how sure of that one can be: everything between a timed region and a figure with its verdict.

`benchmark` starts a round, `timed_case` gives every case its turn and runs a slice of it between two readings of the
clock. A sample is the speed of one timed region, in images per second: higher is better, everywhere in
this package. `session` and `record` grow meanwhile, and `conclusion` has what follows.
"""
