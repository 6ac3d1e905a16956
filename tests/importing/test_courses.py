"""What earlier visits show of a lesion: told by the pairs of an import, and measured alike for a new patient."""

import numpy as np
import pytest
import SimpleITK as sitk

from tfdrift.clinic.earlier import EarlierVisit, find_pasts
from tfdrift.clinic.patient_files import read_dicom_files
from tfdrift.cohort.samples import read_samples
from tfdrift.importing.courses import Courses
from tfdrift.importing.dicom_source import find_patients
from tfdrift.importing.patient import import_patient
from tfdrift.importing.sessions import Session
from tfdrift.importing.settings import ImportSettings
from tfdrift.importing.target_names import DEFAULT_ROI_PATTERN


def session(day: int, **volumes_mm3: float) -> Session:
    numbered = {int(name[1:]): volume for name, volume in volumes_mm3.items()}
    image = sitk.Image(1, 1, 1, sitk.sitkFloat32)
    return Session(name="", day=day, image=image, masks={}, volumes_mm3=numbered, warnings={}, frame="")


def test_the_first_visit_that_shows_a_lesion_counts():
    first, second, third = session(0, n1=100.0), session(20, n2=80.0, n5=30.0), session(50, n3=40.0, n6=60.0)
    courses = Courses()
    courses.add(1, [first, second], [(1, 2)])
    courses.add(2, [first, third], [(1, 3)])
    courses.add(2, [second, third], [(2, 3), (5, 6)])
    assert courses.before(2, third, 3) == (50, 0.4)
    assert courses.before(2, third, 6) == (30, 2.0)
    assert courses.before(1, second, 2) == (20, 0.8)
    assert not courses.before(1, second, 5).is_known
    assert not courses.before(0, first, 1).is_known


def test_a_new_patient_is_measured_as_in_an_import(heads, tmp_path):
    folder = sorted(path for path in heads.iterdir() if path.is_dir())[0]
    ((patient,), _) = find_patients(folder, ImportSettings(visits="every"))
    settings = ImportSettings(visits="every", image_size=8)
    imported = import_patient(patient, tmp_path / "part.npz", key=bytes(32), settings=settings)
    expected = sorted(row.earlier_ratio for row in imported.lesions if row.earlier_ratio is not None)
    assert expected

    def read(series, rtstruct):
        return read_dicom_files(series, rtstruct, DEFAULT_ROI_PATTERN)

    files = [EarlierVisit(visit / "MR_T1", next((visit / "RTSTRUCT").iterdir())) for visit in sorted(folder.iterdir())]
    pasts = find_pasts(files[:1], read(*files[1]), read)
    found = sorted(past.change.ratio for past in pasts.lesions.values() if past.change.is_known)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    days = {row.earlier_days for row in imported.lesions} - {None}
    assert set(pasts.days_before) == days
    told = read_samples(tmp_path / "part.npz").condition("earlier_ratio")
    assert sorted(set(told[np.isfinite(told)].tolist())) == pytest.approx(expected)
