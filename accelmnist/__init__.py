"""accelmnist: is this accelerator fast, is it right, and how far from its limit?

Nothing is imported here, so that `accelmnist --help` stays quick; see DESIGN notes in the README for the layers.
"""

__version__ = "0.1.0"
