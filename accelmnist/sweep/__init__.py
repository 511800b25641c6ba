"""Which network is best: many trainings on one validation split, compared over seeds; the test set is for the winner.

plan        what is tried: networks, learning rates, seeds; no torch, so that the command line can read it
session     the trainings, in their order, saved one by one, and the winner's on all images; schedule: which are left
trials/     many trainings of one device: in a pool, as one batch, or in turn
statistics  means over seeds, their intervals, and which differences are within the noise
conclusion  what follows from the trainings: ranks, fronts; effects of single factors; findings in sentences
record      all of it as `sweep.json`
"""
