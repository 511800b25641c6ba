"""What else goes on in the machine while something is measured: load, throttling, energy, memory."""
