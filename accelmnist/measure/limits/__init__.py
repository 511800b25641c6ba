"""What the hardware allows, what a step costs, and what therefore holds it back.

cost.py                          counted arithmetic and bytes of a step
probes.py  recipes.py  probe.py  the limits that are measured, the work that measures them, and a sample of it
limit_keys.py                    which limits a case depends on, and their names
bound.py  bound_words.py         the bound, and the sentence
crossover.py                     from which size on something pays
"""
