"""From the start of a process to 98.0 % on the test set: the recipe mnist-98 against the same training by the peers.

program.py    the process of a peer
process.py    starts one, takes the time from outside
rounds.py     all of them, round by round
record.py     what was measured
table.py      what the samples say
"""
