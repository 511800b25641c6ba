"""The data layer: where images and labels come from, the proof that they are the right ones, and their way to a step.

    idx.py         the IDX file format: a reader that trusts nothing, and a writer
    types.py       `ImageSet` and `Dataset`, the checks that files and downloads pass, and one upload to the device
    origins.py     how each data set is published, its peculiarities, and its download by torchvision
    mnist.py       `load_dataset`: the embedded files, a folder of files, a download, and the stand-in below
    synthetic.py   a seeded, learnable stand-in that needs no files
    files/         MNIST itself, gzipped (Y. LeCun, C. Cortes, C. J. C. Burges)
    split.py       the images of a run: those that train, validate and test
    augment.py     the training images moved at random, anew in every epoch, on the device
    picture.py     a picture of a digit, from any file to the network's 28 x 28 bytes
    ink.py         the digit's ink in a photograph or a scan
    likeness.py    whether an image looks like those that a network was trained on

A source hands out NumPy arrays on the host: images as uint8 rows of 784 pixels, labels as int64. No source imports
torch, so that reading data never waits for it; torchvision is imported only when a download is asked for.
"""
