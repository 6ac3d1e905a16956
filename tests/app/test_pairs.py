import pytest

from tests.clinic_export import write_clinic
from tfdrift.app.pairs import write_pair
from tfdrift.errors import DataError
from tfdrift.importing.pseudonyms import read_or_make_key


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    write_clinic(folder / "clinic", [2], spacing_mm=8.0)
    (folder / "cohort").mkdir()
    (folder / "cohort/import.json").write_text('{"options": {"register": "auto"}}')
    return folder


@pytest.mark.parametrize(
    ("keys", "said"),
    [([], "the cohort's key is not beside it"), (["cohort.key"], "this patient is not in the folder of images")],
)
def test_without_its_key_nobody_can_tell_whose_lesion_it_is(export, tmp_path, keys, said):
    read_or_make_key(tmp_path / "cohort.key")
    files = [tmp_path / key for key in keys]
    with pytest.raises(DataError, match=said):
        write_pair(export / "clinic", export / "cohort", files, "p1", "l1", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cohort.key"]


def test_a_cohort_that_cannot_be_read_is_said(export, tmp_path):
    read_or_make_key(tmp_path / "cohort.key")
    with pytest.raises(DataError, match=r"import\.json cannot be read"):
        write_pair(export / "clinic", tmp_path, [tmp_path / "cohort.key"], "p1", "l1", tmp_path)
