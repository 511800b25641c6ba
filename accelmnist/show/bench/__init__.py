"""What is shown of a benchmark, from its record alone: its page, its note for a README, one line, and a live page."""
