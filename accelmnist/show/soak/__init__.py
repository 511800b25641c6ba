"""What is seen of a soak: while it runs, in the end, and by a monitor that reads figures."""
