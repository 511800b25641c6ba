"""Faults planted one by one into a copy of the package: does the program, run there, notice?"""
