"""A cohort's crops as NIfTI files with a table, for those who train with other programs."""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from tfdrift.cohort.samples import Samples
from tfdrift.errors import DataError
from tfdrift.files import writing
from tfdrift.imaging.nifti import write_nifti

TABLE = "slices.csv"
UNKNOWN_SLICE_MM = 1.0
"""Height of a voxel where `lesions.csv` does not tell the distance of slices."""

_NUMBERS = ("pixel_mm", "scale", "pre_mm3", "post_mm3", "follow_up_mm3")


def export_crops(folder: Path, samples: Samples, lesions: Sequence[Mapping[str, str]]) -> int:
    """Write the crops of every row as NIfTI, and `slices.csv`, which says where each comes from.

    The files hold the cohort's values to the bit: images as float32 in units of the table's `scale`, masks as uint8.
    Spacing is right; place and orientation in the head are not in a cohort, so the origin is 0 and the axes are the
    crop's. The table has the columns of `lesions.csv` but the number of slices; numbers of a row that stand in the
    samples too are theirs, to all digits.

    Args:
        folder: exists; takes `slices.csv` and a folder for each patient.
        samples: of the cohort.
        lesions: rows of `lesions.csv`.

    Returns:
        The number of rows.

    Raises:
        DataError: a lesion has no row, or a pseudonym cannot be a file's name.
        ResourceError: the folder cannot be written.
    """
    rows = {(row["patient"], row["lesion"]): row for row in lesions}
    known = [name for name in dict.fromkeys(name for row in lesions for name in row) if name != "slices"]
    counted: Counter[tuple[str, str]] = Counter()
    table = []
    for at in range(len(samples)):
        patient, lesion = str(samples.patient[at]), str(samples.lesion[at])
        if (patient, lesion) not in rows:
            raise DataError(f"lesions.csv has no row of lesion {lesion} of patient {patient}; import the cohort again")
        if not all(re.fullmatch(r"\w[\w-]*", name) for name in (patient, lesion)):
            raise DataError("a pseudonym of the cohort holds more than letters and digits; import the cohort again")
        counted[patient, lesion] += 1
        row = rows[patient, lesion]
        name = f"{patient}/{lesion}_{counted[patient, lesion]}"
        with writing(folder):
            (folder / patient).mkdir(exist_ok=True)
        files = {}
        for kind, values in _images(samples, at):
            files[kind] = f"{name}_{kind}.nii.gz"
            _write(folder / files[kind], values, float(samples.pixel_mm[at]), _slice_mm(row))
        table.append(
            {
                "patient": patient,
                "lesion": lesion,
                "slice": counted[patient, lesion],
                **{column: row[column] for column in known},
                **dict(_numbers(samples, at)),
                **{fact: str(values[at]) for fact, values in samples.facts.items()},
                **files,
            }
        )
    with writing(folder), (folder / TABLE).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
    return len(table)


def _images(samples: Samples, row: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the images of a row by kind, [S, S] or [D, S, S]; of several channels the first MRI has one each."""
    for channel, name in enumerate(samples.channels):
        kind = "pre" if len(samples.channels) == 1 else "pre_" + re.sub(r"\W", "_", name)
        yield kind, samples.pre[row, ..., channel]
    for kind in ("post", "pre_mask", "post_mask"):
        yield kind, np.squeeze(getattr(samples, kind)[row], axis=-1)


def _numbers(samples: Samples, row: int) -> Iterator[tuple[str, str]]:
    """Yield the numbers of a row as text that gives the same float32 back; empty where unknown."""
    for name in _NUMBERS:
        yield name, _text(getattr(samples, name)[row])
    for name, values in samples.conditions.items():
        if values.ndim == 1:
            yield name, _text(values[row])
        else:
            yield from ((f"{name}_{k}", _text(value)) for k, value in enumerate(values[row], start=1))


def _text(value: np.floating) -> str:
    return "" if np.isnan(value) else f"{value:.9g}"


def _slice_mm(row: Mapping[str, str]) -> float:
    """Return the distance of a lesion's slices: the first of three spacings."""
    spacing = row.get("spacing_mm", "").split()
    return float(spacing[0]) if len(spacing) == 3 else UNKNOWN_SLICE_MM


def _write(path: Path, values: np.ndarray, pixel_mm: float, slice_mm: float) -> None:
    volume = np.ascontiguousarray(values).reshape(-1, *values.shape[-2:])
    image = sitk.GetImageFromArray(volume.astype(np.uint8 if values.dtype == bool else np.float32))
    image.SetSpacing((pixel_mm, pixel_mm, slice_mm))
    write_nifti(image, path)
