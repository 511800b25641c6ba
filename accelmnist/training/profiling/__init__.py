"""Where the time of a step goes, and what it starts.

profile.py    some steps under torch's profiler
events.py     what a recording consists of
launches.py   counts of launches and of waits
hot_spots.py  the table of operations
"""
