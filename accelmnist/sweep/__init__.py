"""Which network is best? Many trainings on one validation split, compared over seeds; the test set is for the winner.

plan        what is tried: networks, learning rates, seeds; no torch, so that the command line can read it
session     the trainings, in their order, saved one by one
statistics  means over seeds, their intervals, and which differences are within the noise
conclusion  what follows from the trainings: ranks, fronts, sentences
record      all of it as `sweep.json`
"""
