"""A cohort on disk made of samples, as an import leaves it."""

import dataclasses
import json
from pathlib import Path

import numpy as np

from tfdrift.cohort.prepared import describe
from tfdrift.cohort.samples import Samples, save_samples
from tfdrift.cohort.store import write_slices


def save_parts(folder: Path, samples: Samples) -> tuple[list[Path], dict[str, int]]:
    """Write a part for each patient, with fold 0 as an import does before it deals folds; return them and the folds."""
    folder.mkdir(parents=True, exist_ok=True)
    folds = dict(zip(samples.patient.tolist(), samples.fold.tolist(), strict=True))
    parts = []
    for patient in sorted(folds):
        rows = samples.take(samples.patient == patient)
        parts.append(folder / f"{patient}.npz")
        save_samples(parts[-1], dataclasses.replace(rows, fold=np.zeros(len(rows), np.int32)))
    return parts, folds


def write_cohort(folder: Path, samples: Samples) -> Path:
    """Write the dataset and import.json into a folder, and return it."""
    parts, folds = save_parts(folder.with_name(folder.name + ".parts"), samples)
    write_slices(folder, parts, folds)
    description = dataclasses.asdict(describe(parts, folds))
    (folder / "import.json").write_text(json.dumps({**description, "options": {"box": "pre"}}), encoding="utf-8")
    return folder
