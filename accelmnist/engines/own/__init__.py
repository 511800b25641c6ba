"""Engines in users' own files: `loading` finds one, `runner` holds it to the contract, `faults` tells what is wrong."""
