"""What people would use instead of this package, on the same work in the same rounds: `python -m bench.peers`."""
