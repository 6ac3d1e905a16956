"""How near an imported cohort comes to the phantom's law, by kind of registration.

    tfdrift cohort phantom clinic --patients 8
    tfdrift cohort import clinic cohort --folds 2
    python benchmarks/import_accuracy.py clinic cohort

The drift in the crops is compared with the drift that the law itself makes on the voxels of the first MRI, cropped in
the same way: without noise, motion, gain or a second grid. Volumes are compared with those of the true surfaces.
"""

import argparse
import csv
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from tfdrift.cohort.crop import choose_slices, crop_pairs, make_box
from tfdrift.imaging.series import read_series
from tfdrift.imaging.structures import find_roi, rasterise, read_structures
from tfdrift.importing.pseudonyms import pseudonym, read_or_make_key
from tfdrift.synthetic.phantom import Lesion, Patient, gtv, make_cohort, tissue_signal
from tfdrift.training.data import load_samples

SESSIONS = ("pre", "post")


def law_drift(
    law: Patient, lesion: Lesion, pre: sitk.Image, mask: np.ndarray, image_size: int
) -> dict[str, np.ndarray]:
    """Return the crops that the law makes on the voxels of the first MRI."""
    columns, rows = np.meshgrid(*(np.arange(count, dtype=float) for count in mask.shape[:0:-1]))
    indices = np.stack([np.stack([columns, rows, np.full_like(rows, k)], axis=-1) for k in choose_slices(mask)])
    points = indices @ (np.reshape(pre.GetDirection(), (3, 3)) * pre.GetSpacing()).T + pre.GetOrigin()
    images = [tissue_signal(law, session, points) / law.gain[session] for session in SESSIONS]
    masks = [gtv(lesion, session, points) for session in SESSIONS]
    spacing_mm = pre.GetSpacing()[::-1]
    box = make_box(mask, spacing_mm)
    return crop_pairs(images[0], images[1], masks[0], masks[1], box, spacing_mm, image_size=image_size)


def correlations(found_drift: np.ndarray, found_inside: np.ndarray, law: dict[str, np.ndarray]) -> tuple[float, float]:
    """Return the correlation of the drifts inside both GTVs of both, and over the whole crops."""
    true = law["post"] - law["pre"]
    inside = found_inside & law["pre_mask"] & law["post_mask"]
    return np.corrcoef(found_drift[inside], true[inside])[0, 1], np.corrcoef(found_drift.ravel(), true.ravel())[0, 1]


def main() -> None:
    """Print a line for each lesion and a range for each kind of registration."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clinic", type=Path)
    parser.add_argument("cohort", type=Path)
    arguments = parser.parse_args()
    image_size = json.loads((arguments.cohort / "import.json").read_text())["image_size"]
    samples = load_samples(str(arguments.cohort), image_size=image_size)
    key = read_or_make_key(arguments.cohort.with_name(arguments.cohort.name + ".key"))
    with (arguments.cohort / "lesions.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["lesion"]: row for row in csv.DictReader(file)}
    truth = json.loads((arguments.clinic / "truth.json").read_text())
    by_kind: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    print("kind      volume mm3   inside   whole   volume error %")
    for law, patient in zip(make_cohort(len(truth["patients"]), seed=truth["seed"]), truth["patients"], strict=True):
        visit = arguments.clinic / patient["folder"] / patient["visits"]["pre"]["folder"]
        pre, _ = read_series(visit / "MR_T1")
        structures = read_structures(next((visit / "RTSTRUCT").iterdir()))
        for lesion, facts in zip(law.lesions, patient["lesions"], strict=True):
            if facts["roi"]["pre"] is None:
                continue
            roi = find_roi(structures, facts["roi"]["pre"])
            name = pseudonym(key, "lesion", patient["patient_id"], str(roi.number))
            if name not in rows:
                print(f"not imported: {facts['volume_mm3']['pre']:.0f} mm3")
                continue
            found = samples.take(samples.lesion == name)
            mask = sitk.GetArrayFromImage(rasterise(roi, pre)[0]) > 0
            drift_of_law = law_drift(law, lesion, pre, mask, image_size)
            inside, whole = correlations(found.drift, found.pre_mask & found.post_mask, drift_of_law)
            true_mm3 = facts["volume_mm3"]["post"]
            error = 100 * (float(rows[name]["post_mm3"]) / true_mm3 - 1)
            kind = rows[name]["registration"]
            by_kind[kind].append((inside, whole, error))
            print(f"{kind:8}  {facts['volume_mm3']['pre']:10.0f}  {inside:7.3f} {whole:7.3f}  {error:8.1f}")
    for kind, figures in sorted(by_kind.items()):
        low, high = np.min(figures, axis=0), np.max(figures, axis=0)
        ranges = ", ".join(f"{a:.3g} to {b:.3g}" for a, b in zip(low, high, strict=True))
        print(f"{kind}: {len(figures)} lesions; inside, whole, volume error %: {ranges}")


if __name__ == "__main__":
    main()
