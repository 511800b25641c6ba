"""Two records, case by case: what a comparison sees of each, what became of one case, and of all."""
