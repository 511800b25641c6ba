"""What tells a machine where it stands, made from the verified records: `python -m bench.studies.standing`.

Every record in `results/records/` is held to what `accelmnist submit` holds it to; one that doesn't pass stops it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from accelmnist.core.files import save
from accelmnist.engines.standing import DIGEST, VerifiedRecord, VerifiedRecords
from accelmnist.measure.recount import load_bench
from accelmnist.measure.submission import check_submission, verified

RECORDS = Path(__file__).parents[2] / "results" / "records"


def digest() -> VerifiedRecords:
    """What the records say, in the order of their names; ValueError for one that may not stand there."""
    found: list[VerifiedRecord] = []
    for file in sorted(RECORDS.glob("*.json")):
        record = load_bench(file)
        if failures := check_submission(record).failures:
            raise ValueError(f"{file.name}: {failures[0].detail}")
        found += verified(record, file.name)
    return VerifiedRecords(records=tuple(found))


if __name__ == "__main__":
    try:
        save(digest(), DIGEST)
    except ValueError as error:
        sys.exit(str(error))
