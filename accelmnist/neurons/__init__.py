"""Looking inside: what every neuron of the first layer answers for, by numbers, in words and as pictures.

    images.py     weights as pictures: 0 to 255, and signed with zero in the middle
    record.py     the record: one JSON document, from which all that is shown follows

The first layer is the one whose weights are pictures. Without a hidden layer the ten outputs are its neurons. Only the
analysis needs torch; images and record are NumPy and the standard library.
"""
