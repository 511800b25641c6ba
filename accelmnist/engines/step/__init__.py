"""What one training step is made of, apart from how an engine runs it.

`contract` is what every engine fulfils, `dropout` makes the same masks on every device, `optimizers` holds the update
rules as torch's optimizers and as pure functions, `functional` is a whole step as one function for engines that
compile or capture.
"""
