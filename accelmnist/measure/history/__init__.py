"""Many benchmarks over time: the records that are found, and the line that each case makes of them."""
