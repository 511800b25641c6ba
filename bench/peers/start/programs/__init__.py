"""One file a library, whose `train` follows the task from arrays to the digits of the test images."""
