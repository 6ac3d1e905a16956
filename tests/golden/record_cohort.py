"""Writes tests/golden/cohort_1.0.0, a cohort as version 1.0.0 of the layout wrote it: images alone, no conditions.

Made at e9c5b5c by `.venv/bin/python -m tests.golden.record_cohort`; a later state of the code may write more columns.
"""

from pathlib import Path

from tests.prepared_cohort import write_cohort
from tests.random_samples import make_samples

FOLDER = Path(__file__).parent / "cohort_1.0.0"
SAMPLES = {"count": 6, "size": 4, "folds": 2}

if __name__ == "__main__":
    write_cohort(FOLDER, make_samples(**SAMPLES))
