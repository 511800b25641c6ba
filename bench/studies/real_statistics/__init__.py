"""The statistics on a real machine, of cases whose truth is known: see `__main__`."""
