"""Training that begins before torch is there: importing it takes longer than training a small network does.

The native kernels need NumPy alone. Where it is sure without torch that they will be chosen, the first epochs run while
nothing else does, and the run goes on from them as from a checkpoint: it proves and shows them like any others. The
results are those of a run without a head start, to the bit; what differs is when they are there.

foresight.py   whether the native kernels will be chosen, and their number of threads
training.py    the epochs, and the accuracy on the test set where no epoch is left
adoption.py    the checkpoint from which the run goes on
"""
