import numpy as np
import pytest
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement

from tests.imaging.mock_dicom import enhanced_dataset, make_grid, write, write_series
from tfdrift.clinic.source_images import Source, find_source
from tfdrift.errors import DataError
from tfdrift.imaging.dicom import read_header
from tfdrift.imaging.series import files_of, read_series


def write_mr(folder, grid, change=None):
    columns, rows, slices = grid.size
    write_series(folder / "MR", grid, np.ones((slices, rows, columns), np.uint16), change)


def source_of(folder) -> Source:
    """All slices of a series as the source of an object."""
    _, series = read_series(folder)
    files = files_of(folder)
    headers = [read_header(files[one.file], "a file") for one in series.slices]
    return find_source(headers, series, range(len(headers)))


@pytest.mark.parametrize("keyword", ["FrameOfReferenceUID", "StudyInstanceUID"])
def test_a_series_that_nothing_can_refer_to_is_refused(tmp_path, keyword):
    write_mr(tmp_path, make_grid(), lambda dataset, _k: dataset.pop(keyword))
    with pytest.raises(DataError, match="no FrameOfReferenceUID or no StudyInstanceUID"):
        source_of(tmp_path / "MR")


@pytest.mark.filterwarnings("ignore:Invalid value for VR")  # of making the broken headers
@pytest.mark.parametrize(
    ("keyword", "found", "written"),
    [
        ("PatientBirthDate", "ANONYMIZED", ""),
        ("PatientBirthDate", "00000000", ""),
        ("PatientBirthDate", "1950", ""),
        ("PatientBirthDate", "1950-01-02", "19500102"),
        ("StudyDate", "2024.01.10", "20240110"),
        ("StudyTime", "10:22:33", "102233"),
        ("StudyTime", "102233.25", "102233.25"),
        ("StudyTime", "noon", ""),
        ("StudyTime", "25:99", ""),
        ("StudyTime", "10:22", "1022"),
        ("StudyDate", "2024-1-10", ""),
    ],
)
def test_a_date_or_time_that_is_none_is_written_valid_or_empty(tmp_path, keyword, found, written):
    write_mr(tmp_path, make_grid(), lambda dataset, _k: dataset.add_new(keyword, dictionary_VR(keyword), found))
    for image in source_of(tmp_path / "MR").images:
        assert str(image.get(keyword)) == written


@pytest.mark.parametrize(
    ("character_set", "name"),
    [
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
        ("ISO_IR 100", "Müller^Jürgen"),
        ("ISO_IR 144", "Люкceмбypг"),
        ("ISO_IR 192", "Wang^XiaoDong=王^小东"),
    ],
)
def test_a_name_in_any_character_set_is_written_as_it_is(tmp_path, character_set, name):
    def rename(dataset, _k):
        dataset.SpecificCharacterSet, dataset.PatientName = character_set, name

    write_mr(tmp_path, make_grid(), rename)
    for image in source_of(tmp_path / "MR").images:
        assert (str(image.PatientName), image.SpecificCharacterSet) == (name, "ISO_IR 192")


def test_an_undeclared_utf_8_name_is_written_as_it_is(tmp_path):
    write_mr(tmp_path, make_grid(), lambda dataset, _k: setattr(dataset, "PatientName", "Xxxxx^Yy"))
    for file in files_of(tmp_path / "MR"):
        file.write_bytes(file.read_bytes().replace(b"Xxxxx^Yy", "Zoë^Öq".encode()))
    assert str(source_of(tmp_path / "MR").images[0].PatientName) == "Zoë^Öq"


@pytest.mark.parametrize(
    ("keyword", "vr", "found"),
    [
        ("PatientWeight", "DS", "heavy"),
        ("SeriesNumber", "IS", "three"),
        ("InstanceNumber", "IS", "one"),
        ("PatientName", "LO", "Doe"),
        ("PatientBirthDate", "OB", b"\1\2\3\4"),
        ("ReferencedImageSequence", "OB", b"junk"),
    ],
)
def test_a_value_that_is_none_of_its_type_is_left_out(tmp_path, keyword, vr, found):
    element = DataElement(keyword, vr, found, already_converted=True)
    write_mr(tmp_path, make_grid(), lambda dataset, _k: dataset.add(element))
    for image in source_of(tmp_path / "MR").images:
        assert not image.get(keyword)


def test_of_several_names_where_one_may_stand_the_first_counts(tmp_path):
    write_mr(tmp_path, make_grid(), lambda dataset, _k: setattr(dataset, "PatientName", ["Doe^Jane", "Roe^Jane"]))
    assert source_of(tmp_path / "MR").images[0].PatientName == "Doe^Jane"


def test_each_slice_is_named_by_its_own_instance(tmp_path):
    grid = make_grid()
    write_mr(tmp_path, grid)
    source = source_of(tmp_path / "MR")
    named = {image.SOPInstanceUID: image.ImagePositionPatient for image in source.images}
    for reference, position in zip(source.references, source.positions_mm, strict=True):
        np.testing.assert_allclose(np.array(named[reference.sop_instance_uid], float), position)
        assert reference.frame is None


def test_each_slice_of_a_multi_frame_object_is_named_by_its_frame(tmp_path):
    grid, order = make_grid(), [3, 1, 4, 0, 2]
    (tmp_path / "MR").mkdir()
    write(enhanced_dataset(grid, np.ones((5, 6, 7), np.uint16), order, [1] * 5), tmp_path / "MR/one.dcm")
    frames = [reference.frame or 0 for reference in source_of(tmp_path / "MR").references]
    assert [order[frame - 1] for frame in frames] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "change", [lambda dataset: dataset.pop("SOPClassUID"), lambda dataset: dataset.add_new("SOPClassUID", "UI", "MR")]
)
def test_a_class_that_is_none_is_that_of_an_mr(tmp_path, change):
    write_mr(tmp_path, make_grid(), lambda dataset, _k: change(dataset))
    assert {one.sop_class_uid for one in source_of(tmp_path / "MR").references} == {"1.2.840.10008.5.1.4.1.1.4"}


def test_a_slice_without_an_instance_uid_is_refused_by_its_number(tmp_path):
    write_mr(tmp_path, make_grid(), lambda dataset, k: dataset.pop("SOPInstanceUID") if k == 2 else None)
    with pytest.raises(DataError, match=r"file \d of 5 \(instance 3\) has no usable SOPInstanceUID"):
        source_of(tmp_path / "MR")
