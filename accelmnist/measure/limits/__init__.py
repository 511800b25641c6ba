"""What the hardware allows, what a step costs, and what therefore holds it back.

cost.py                            counted arithmetic and bytes of a step
probes.py  workloads.py  probe.py  the limits that are measured, the work that measures them, and a sample of it
bound.py                           which limits a case depends on, its bound, and the sentence
crossover.py                       from which size on something pays
"""
