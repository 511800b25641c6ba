"""Looking inside: what every neuron of the first layer answers for, by numbers, in words and as pictures.

    images.py     weights as pictures: 0 to 255, and signed with zero in the middle
    record.py     the record: one JSON document, from which all that is shown follows
    source.py     a run's network and its images
    analysis.py   from these to the record:
      response.py            the neurons' activations, and how well they separate the classes
      effect.py              a neuron's effect on the answers, and what is lost without it
      class_preference.py    the classes it answers for
      claims.py              the figures that are worth a word
      clarity.py             strokes or grey noise
      shape.py               loops, strokes and slant that it goes with
      twins.py               neurons that do the same
      thresholds.py, methods.py    what decides, and how each figure is found
    sentences.py, summary.py, words.py    all of it in words
    ranking.py    the clearest first

The first layer is the one whose weights are pictures. Without a hidden layer the ten outputs are its neurons. Only the
analysis needs torch; images and record are NumPy and the standard library.
"""
