"""How often the bootstrap interval of a skill covers the truth, for cohorts of several sizes.

The patients of an evaluation stand for the population, whose skill is then known; cohorts are drawn from it with
replacement and each makes its interval as the evaluation does.

    python benchmarks/interval_coverage.py crossval/method1
"""

import argparse
from pathlib import Path

import numpy as np

from tfdrift.evaluation.results import read_results
from tfdrift.evaluation.scores import COPY
from tfdrift.statistics.intervals import ratio_interval

SIZES = (8, 16, 39, 100)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="How often the interval of a skill covers the truth")
    parser.add_argument("folder", type=Path, help="an evaluation or a cross-validation")
    parser.add_argument("--cohorts", type=int, default=2000, help="cohorts of each size")
    options = parser.parse_args()
    results = read_results(options.folder)
    _, row = np.unique(results.column(COPY, "patient"), return_inverse=True)
    errors, changes = (np.bincount(row, results.column(name, "mse")) for name in (results.label, COPY))
    truth = errors.sum() / changes.sum()
    print(f"{len(errors)} patients, {results.label}, skill {1 - truth:.3f}; nominal coverage 0.95")
    print("| patients | coverage | mean width |\n|---|---|---|")
    for size in SIZES:
        rng = np.random.default_rng(size)
        covered, widths = [], []
        for seed in range(options.cohorts):
            drawn = rng.integers(len(errors), size=size)
            found = ratio_interval(errors[drawn], changes[drawn], np.arange(size).astype(str), seed=seed, draws=1000)
            covered.append(found.low <= truth <= found.high)
            widths.append(found.high - found.low)
        print(f"| {size} | {np.mean(covered):.3f} | {np.mean(widths):.3f} |")


if __name__ == "__main__":
    main()
