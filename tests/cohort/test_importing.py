"""The whole import, as a user runs it, of a clinic whose truth is known."""

import csv
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from tests.clinic import CANARY, identifying_values, plant_broken_files, plant_names, write_clinic
from tfdrift.cohort.crop import choose_slices, make_box
from tfdrift.cohort.dataset import load_samples
from tfdrift.cohort.phantom import BIAS_STD, SESSIONS, gtv, make_cohort, tissue_signal
from tfdrift.cohort.pseudonyms import pseudonym, read_or_make_key
from tfdrift.imaging.series import read_series
from tfdrift.imaging.structures import find_roi, mask_figures, rasterise, read_structures

NUMBERS = (2, 3, 5)  # visits in one frame of reference; in frames of their own; with registration objects
SPACING_MM = 3.0
IMAGE_SIZE = 16


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the export, names planted in the second patient and broken files beside, and the cohort."""
    folder = tmp_path_factory.mktemp("import")
    write_clinic(folder / "clinic", list(NUMBERS), spacing_mm=SPACING_MM)
    second, third = sorted(path for path in (folder / "clinic").iterdir() if path.is_dir())[1:]
    plant_broken_files(folder / "clinic", min(third.iterdir()))
    plant_names(second)
    return folder


@pytest.fixture(scope="module")
def run(place):
    command = [sys.executable, "-m", "tfdrift_cli", "cohort", "import", "clinic", "cohort"]
    command += ["--folds", "2", "--image-size", str(IMAGE_SIZE), "--workers", "2"]
    return subprocess.run(command, cwd=place, capture_output=True, check=False)


@pytest.fixture(scope="module")
def rows(place, run):
    """The rows of lesions.csv by patient and lesion."""
    assert run.returncode == 0, run.stderr
    with (place / "cohort" / "lesions.csv").open(encoding="utf-8", newline="") as file:
        return {(row["patient"], row["lesion"]): row for row in csv.DictReader(file)}


class Known:
    """What truth.json says of a lesion, with what is read of it from the export, and its row."""

    def __init__(self, place, rows, number, lesion):
        patients = json.loads((place / "clinic" / "truth.json").read_text())["patients"]
        self.patient = patients[NUMBERS.index(number)]
        self.facts = self.patient["lesions"][lesion]
        self.law = make_cohort(max(NUMBERS) + 1)[number]
        self.lesion = self.law.lesions[lesion]
        self.images, self.masks = {}, {}
        for session in SESSIONS:
            where = f"*{self.patient['folder']}/*{self.patient['visits'][session]['folder']}"
            (folder,) = (place / "clinic").glob(where)
            (series,), (file,) = folder.glob("*MR_T1"), folder.glob("*RTSTRUCT/*")
            self.images[session], _ = read_series(series)
            planted = f" {CANARY}" if CANARY in file.name else ""
            roi = find_roi(read_structures(file), self.facts["roi"][session] + planted)
            self.masks[session] = rasterise(roi, self.images[session])[0]
            if session == "pre":
                number_of_roi, patient_id = roi.number, f"{CANARY} 7" if planted else self.patient["patient_id"]
        key = read_or_make_key(place / "cohort.key")
        self.name = pseudonym(key, "lesion", patient_id, str(number_of_roi))
        self.row = rows[pseudonym(key, "patient", patient_id), self.name]


LESIONS = [(number, lesion) for number in NUMBERS for lesion in range(len(make_cohort(6)[number].lesions))]


@pytest.fixture(scope="module", params=LESIONS, ids=lambda which: f"patient{which[0]}-lesion{which[1]}")
def known(place, rows, request):
    return Known(place, rows, *request.param)


def test_every_lesion_of_the_clinic_is_imported_and_nothing_else(rows):
    assert len(rows) == len(LESIONS)


def test_lesions_are_paired_with_themselves(known):
    """The volumes are those of the structures that truth.json names, whose names and numbers differ between visits."""
    for session in SESSIONS:
        drawn_mm3 = mask_figures(known.masks[session]).volume_mm3
        np.testing.assert_allclose(float(known.row[f"{session}_mm3"]), drawn_mm3, rtol=1e-5)


def test_volumes_are_true_to_one_voxel_layer(known):
    """A voxel counted wrongly has its centre within half its diagonal of the surface."""
    half_mm = np.sqrt(3) * SPACING_MM / 2
    for session in SESSIONS:
        true_mm3 = known.facts["volume_mm3"][session]
        radius_mm = np.cbrt(true_mm3 * 3 / (4 * np.pi))
        layer_mm3 = 4 / 3 * np.pi * ((radius_mm + half_mm) ** 3 - radius_mm**3)
        assert abs(float(known.row[f"{session}_mm3"]) - true_mm3) < layer_mm3


def test_response_group_is_that_of_the_volumes(known):
    kept = float(known.row["follow_up_mm3"]) / float(known.row["pre_mm3"])
    assert known.row["response_group"] == ("A" if kept >= 0.8 else "B")


def test_dates_become_the_days_between_them(known):
    visits = known.patient["visits"]
    assert int(known.row["interval_days"]) == visits["post"]["days"]
    assert int(known.row["follow_up_days"]) == visits["follow_up"]["days"]


def test_registration_is_the_best_that_the_export_allows(known):
    assert known.row["registration"] == known.patient["registration"]


def test_gain_is_that_of_the_scanner(known):
    """The bias fields of two sessions, with a standard deviation of 8% each, are not part of the gain."""
    true = known.law.gain["pre"] / known.law.gain["post"]
    assert abs(np.log(float(known.row["gain"]) / true)) < 2 * np.sqrt(2) * BIAS_STD


def true_drift(known):
    """The law's drift at the crops' pixels, without noise, from the place of the first GTV alone."""
    pre = known.images["pre"]
    mask = sitk.GetArrayFromImage(known.masks["pre"]) > 0
    spacing_mm = (SPACING_MM,) * 3
    box = make_box(mask, spacing_mm)
    pixel_mm = (np.arange(IMAGE_SIZE) - (IMAGE_SIZE - 1) / 2) * box.side_mm / IMAGE_SIZE
    rows, columns = np.meshgrid(
        box.center_row + pixel_mm / SPACING_MM, box.center_column + pixel_mm / SPACING_MM, indexing="ij"
    )
    matrix = np.reshape(pre.GetDirection(), (3, 3)) * pre.GetSpacing()
    drifts = []
    for k in choose_slices(mask):
        points = np.stack([columns, rows, np.full_like(rows, k)], axis=-1) @ matrix.T + pre.GetOrigin()
        inside = {session: gtv(known.lesion, session, points) for session in ("pre", "post")}
        signal = {
            session: tissue_signal(known.law, session, points) / known.law.gain[session] * inside[session]
            for session in ("pre", "post")
        }
        drifts.append((signal["post"] - signal["pre"]) / signal["pre"].max())
    return np.array(drifts), np.array(drifts) != 0


@pytest.fixture(scope="module")
def samples(place, run):
    return load_samples(str(place / "cohort"), image_size=IMAGE_SIZE)


def test_the_slices_carry_what_the_table_says(known, samples):
    rows = samples.take(samples.lesion == known.name)
    assert len(rows) == int(known.row["slices"])
    assert set(rows.fold.tolist()) == {int(known.row["fold"])}
    assert set(rows.patient.tolist()) == {known.row["patient"]}
    for name in ("pixel_mm", "pre_mm3", "post_mm3", "follow_up_mm3"):
        np.testing.assert_allclose(getattr(rows, name), float(known.row[name]), rtol=1e-5)


def test_drift_is_the_known_one(known, samples):
    drift, inside = true_drift(known)
    found = samples.take(samples.lesion == known.name).drift[..., 0]
    print(known.name, np.corrcoef(found[inside], drift[inside])[0, 1], np.corrcoef(found.ravel(), drift.ravel())[0, 1])
