"""What a report rests on: the records that it was given, the network's answers, and what follows from them as numbers.

    sources.py       which records are in the folders that were given
    evidence.py      the saved network's answers on the test images, once more
    confusions.py    which images were taken for what, and whether they look like it
    loops.py         whether a stroke closes a loop
    intervals.py     how sure a share is, and whether two shares differ
Words and layout are `accelmnist.show.report`'s.
"""
