"""Looking inside: what every neuron of the first layer answers for, by numbers, in words and as pictures.

    images.py      weights as pictures: 0 to 255, and signed with zero in the middle; strokes or grey noise
    record.py      the record: one JSON document, from which all that is shown follows
    analysis.py    from a run's network and images to the record:
      response.py     activations, how well they separate the classes, who copies whom, which classes a neuron is for
      effect.py       a neuron's effect on the answers, and what is lost without it
      shape.py        loops, strokes and slant that it goes with
      methods.py      how each figure is found, and the thresholds that decide what is said
    sentences.py   all of it in words

The first layer is the one whose weights are pictures. Without a hidden layer the ten outputs are its neurons. Only the
analysis, responses and effects need torch; the rest is NumPy and the standard library.
"""
