"""What is shown of a sweep, from its record alone: its page, one line, and a live page."""
