"""How the speed of training grows with threads, width and batch size, and whether its cost outgrows the arithmetic."""
