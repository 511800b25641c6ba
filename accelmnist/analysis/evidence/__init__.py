"""What a report rests on: the network's answers, and what follows from them as numbers.

    answers.py       the saved network's answers on the test images, once more
    confusions.py    which images were taken for what, and whether they look like it
Words and layout are `accelmnist.show.report`'s.
"""
