"""Looking inside: what every neuron of the first layer answers for, by numbers, in words and as pictures.

    images.py     weights as pictures: 0 to 255, and signed with zero in the middle; strokes or grey noise
    record.py     the record: one JSON document, from which all that is shown follows
    source.py     a run's network and its images
    analysis.py   from these to the record:
      response.py            the neurons' activations, how well they separate the classes, and who copies whom
      effect.py              a neuron's effect on the answers, what is lost without it, and what of it is worth a word
      class_preference.py    the classes it answers for, and the order by how clearly it does
      shape.py               loops, strokes and slant that it goes with
      methods.py             how each figure is found, and the thresholds that decide what is said
    sentences.py, words.py    all of it in words

The first layer is the one whose weights are pictures. Without a hidden layer the ten outputs are its neurons. Only the
analysis needs torch; images and record are NumPy and the standard library.
"""
