"""Two records, case by case.

comparable.py        a benchmark's record as a comparison sees it
pytest_benchmark.py  the same of a file that pytest-benchmark wrote
matched_case.py      one case of both
two_records.py       all of them, and the outcome
"""
