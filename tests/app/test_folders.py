import json

import pytest

from tfdrift.app.folders import Folders
from tfdrift.errors import DataError


@pytest.fixture
def folders(tmp_path) -> Folders:
    root = tmp_path / "root"
    (root / "clinic/MR").mkdir(parents=True)
    for name in ("b.nii.gz", "A.nii", "RS.dcm", "table.csv", "notes.txt", ".hidden.nii"):
        (root / "clinic" / name).touch()
    (root / ".secret").mkdir()
    (tmp_path / "outside").mkdir()
    return Folders(root.resolve())


def test_a_listing_has_folders_known_files_and_the_number_of_others(folders):
    found = folders.listing("clinic")
    assert [one["path"] for one in found["folders"]] == ["clinic/MR"]
    assert [(one["name"], one["kind"]) for one in found["files"]] == [
        ("A.nii", "nifti"), ("b.nii.gz", "nifti"), ("RS.dcm", "dicom"), ("table.csv", "table")
    ]  # fmt: skip
    assert (found["parent"], found["others"], found["trail"]) == ("", 1, ["root", "clinic"])
    assert folders.listing("")["parent"] is None
    assert [one["name"] for one in folders.listing("")["folders"]] == ["clinic"]


@pytest.mark.parametrize("name", ["clinic", "clinic/MR", ""])
def test_a_path_and_its_name_are_inverse(folders, name):
    assert folders.name(folders.path(name)) == name


@pytest.mark.parametrize("name", ["..", "../outside", "clinic/../../outside", "link", None, 3, "a\0b"])
def test_nothing_outside_is_seen(folders, name, tmp_path):
    (folders.root / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(DataError):
        folders.path(name)


def test_a_link_that_leads_out_is_not_listed(folders, tmp_path):
    (folders.root / "link").symlink_to(tmp_path / "outside")
    assert [one["name"] for one in folders.listing("")["folders"]] == ["clinic"]


def test_an_absolute_path_is_one_from_the_root(folders):
    assert folders.path("/clinic") == folders.root / "clinic"


def test_what_is_gone_is_said(folders):
    with pytest.raises(DataError, match="not there any more"):
        folders.listing("gone")
    with pytest.raises(DataError, match="cannot be listed"):
        folders.listing("clinic/A.nii")


def test_a_name_that_is_not_utf8_can_be_written_as_json(folders):
    (folders.root / "clinic/\udce4.nii").touch()
    json.dumps(folders.listing("clinic")).encode()
