"""Figures of a run, of a benchmark and of a sweep: pure functions from a record to a matplotlib `Figure`.

Those of a run take arrays of weights or pixels as well. Those of a benchmark and a sweep are None if the record has
nothing for them. `sheet.png_bytes` makes a figure a file.
"""
