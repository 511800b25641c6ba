"""Two records, case by case.

compared_record.py    a benchmark's record as a comparison sees it
pytest_benchmark.py   the same of a file that pytest-benchmark wrote
case_comparison.py    one case of both
comparison_report.py  all of them, and the outcome
"""
