"""Heads for the tests of the import: two patients of the phantom whose visits share a frame of reference."""

import pytest

from tests.clinic_export import write_clinic


@pytest.fixture(scope="session")
def heads(tmp_path_factory):
    """Patients 2 and 4 on voxels of 6 mm, which take half a second each to import; not to be changed."""
    folder = tmp_path_factory.mktemp("heads") / "clinic"
    write_clinic(folder, [2, 4], spacing_mm=6.0)
    return folder
