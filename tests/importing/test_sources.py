"""Where patients come from is one entry in one table: a source of the test's own imports a cohort."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from tfdrift.cohort.samples import read_samples
from tfdrift.errors import DataError, UsageError
from tfdrift.importing.cohort import import_cohort
from tfdrift.importing.dicom_source import find_patients
from tfdrift.importing.sessions import VISITS, Session, VisitName
from tfdrift.importing.settings import ImportSettings
from tfdrift.importing.sources import SOURCES, Source, choose_source

SHAPE = (22, 64, 64)
PLACE = np.indices(SHAPE) - np.array([10.5, 31.5, 31.5])[:, None, None, None]
RADII_MM = {"pre": 5.0, "post": 4.0}


def ball(radius_mm):
    return np.linalg.norm(PLACE * np.array([3.0, 1.0, 1.0])[:, None, None, None], axis=0) < radius_mm


def image_of(array):
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((1.0, 1.0, 3.0))
    return image


@dataclasses.dataclass(frozen=True)
class BallStructure:
    number: int = 7
    name: str = "GTV"


@dataclasses.dataclass(frozen=True)
class BallVisit:
    """A head that is a ball of 30 mm, and a brighter lesion in its middle; nothing of it is in a file."""

    name: VisitName
    day: int
    structures: tuple[BallStructure, ...] = (BallStructure(),)

    def read(self, wanted):
        lesion = ball(RADII_MM[self.name])
        noise = np.random.default_rng(self.day).normal(0, 5, SHAPE)
        image = image_of((500.0 * ball(30.0) + 400.0 * lesion + noise).astype(np.float32))
        masks = {one.number: image_of(lesion.astype(np.uint8)) for one in wanted}
        volumes = dict.fromkeys(masks, float(lesion.sum() * 3.0))
        session = Session(
            name=self.name, day=self.day, image=image, masks=masks, volumes_mm3=volumes,
            warnings=dict.fromkeys(masks, ()), frame="scanner",
        )  # fmt: skip
        return session, []


@dataclasses.dataclass(frozen=True)
class BallPatient:
    patient_id: str

    def visits(self, is_wanted) -> tuple[list[BallVisit], list]:  # noqa: ARG002 - the interface of a patient
        return [BallVisit(name, day) for name, day in zip(VISITS, (0, 30), strict=False)], []


def find_balls(path, settings, progress) -> tuple[list[BallPatient], list]:  # noqa: ARG001 - the interface of a source
    return [BallPatient("Doe"), BallPatient("Roe")], []


def test_a_source_of_a_few_lines_imports_a_cohort(tmp_path, monkeypatch):
    monkeypatch.setitem(
        SOURCES, "balls", Source(recognises=lambda path: path.suffix == ".balls", find_patients=find_balls)
    )
    settings = ImportSettings(source="balls", folds=2, image_size=16, workers=2, slices="all")
    found = {}

    def keep(_whole, parts, folds):
        found.update({part.stem: (read_samples(part), folds[part.stem]) for part in parts})

    document = import_cohort(tmp_path / "absent.balls", tmp_path / "cohort", settings=settings, write_slices=keep)
    assert (document["patients"], document["lesions"], document["options"]["source"]) == (2, 2, "balls")
    assert sorted(fold for _, fold in found.values()) == [0, 1]
    for samples, _ in found.values():
        ratio = samples.post_mm3 / samples.pre_mm3
        np.testing.assert_allclose(ratio, ball(4.0).sum() / ball(5.0).sum())
        assert set(samples.condition("interval_days")) == {30.0}
    written = json.dumps(document) + (tmp_path / "cohort" / "lesions.csv").read_text()
    assert "Doe" not in written


def test_an_export_that_no_other_source_knows_is_dicom():
    assert choose_source(Path("anything")).find_patients is find_patients


def test_a_source_that_does_not_exist_is_refused():
    with pytest.raises(UsageError, match=r"--source fax: choose from auto, .*dicom"):
        choose_source(Path("anything"), "fax")


def test_an_export_that_is_not_there_is_refused():
    with pytest.raises(DataError, match="the folder to scan cannot be read"):
        choose_source(Path("absent")).find_patients(Path("absent"), ImportSettings(), None)
