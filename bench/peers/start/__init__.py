"""From the start of a process to 98.0 % on the test set: the recipe mnist-98 against the same training by others.

task.py       what everyone trains, as numbers and arrays
program.py    the process of a peer; programs/ has one file a library
process.py    starts one, takes the time from outside
rounds.py     all of them, round by round
table.py      what the samples say
"""
