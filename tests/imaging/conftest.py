"""The real pairs of sessions, where they are."""

import os
from pathlib import Path

import pytest
import SimpleITK as sitk

from tfdrift.imaging.registration import Registration, register_rigid


@pytest.fixture(scope="session", params=["gbm-02", "gbm-08"])
def real_pair(request) -> tuple[sitk.Image, sitk.Image]:
    """Two sessions of one patient, not registered to each other: of seven the pair that fits worst, and best."""
    data = Path(os.environ.get("TFDRIFT_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
    case = data / "longitudinal" / request.param
    if not case.is_dir():
        pytest.skip("no real data: set TFDRIFT_TEST_DATA")
    pre, post = (sitk.ReadImage(str(case / f"{visit}_image.nii.gz"), sitk.sitkFloat32) for visit in ("pre", "post"))
    return pre, post


@pytest.fixture(scope="session")
def real_registration(real_pair) -> Registration:
    """What is found between them."""
    return register_rigid(*real_pair)
