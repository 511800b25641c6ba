"""Everything that is shown: text on the console (rich), figures (matplotlib), reports, and the files they become.

A function here takes a saved `RunRecord`, and arrays of pixels or weights where it draws them; none needs torch or the
network itself, so that a run can be shown again years later on a machine that could not train it. What formats returns
a renderable, a `Figure` or bytes; only `print_*` prints and only `write_*` writes. Figures load matplotlib and the
console loads rich, each inside its own modules: import what is needed.
"""
