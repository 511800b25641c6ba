"""Measurements for developers: the benchmark suite, and scripts behind figures that the package states."""
