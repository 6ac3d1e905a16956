import dataclasses

import numpy as np
import pytest

from tfdrift.errors import DataError
from tfdrift.evaluation.document import as_json
from tfdrift.evaluation.results import LESIONS, as_csv, compare_results, read_csv, read_results, slice_columns
from tfdrift.statistics.comparison import compare


def write(folder, results, *, slices=None):
    """Write the files that an evaluation is read back from."""
    folder.mkdir()
    (folder / "metrics.json").write_text(as_json(results.metrics))
    (folder / "metrics.csv").write_text(as_csv(results.slices if slices is None else slices, slice_columns()))
    (folder / "lesions.csv").write_text(as_csv(results.lesions, LESIONS))
    return folder


def test_tables_are_read_back_as_they_were(assessed, tmp_path):
    found = read_results(write(tmp_path / "one", assessed))
    assert found.lesions == assessed.lesions
    assert [repr(row) for row in found.slices] == [repr(row) for row in assessed.slices]  # NaN is no equal of itself


def test_a_lesion_without_follow_up_has_no_response(assessed, tmp_path):
    rows = [{**assessed.lesions[0], "poor_response": response} for response in (None, True, False)]
    (tmp_path / "lesions.csv").write_text(as_csv(rows, LESIONS))
    assert read_csv(tmp_path / "lesions.csv", LESIONS) == rows


def test_a_column_is_that_of_one_method(assessed, phantom):
    np.testing.assert_array_equal(assessed.column("direct", "lesion"), phantom.lesion)


def test_evaluations_are_compared_from_their_files_as_from_memory(assessed, tmp_path):
    ours = read_results(write(tmp_path / "one", assessed))
    label = "direct"
    theirs = ours._replace(metrics=dataclasses.replace(ours.metrics, label=label), label="the other")
    (found,) = compare_results([ours, theirs])
    first, second, copy = (assessed.column(name, "mse") for name in ("Method 1", label, "copy"))
    assert found == compare("Method 1", "the other", first, second, copy, assessed.column("copy", "patient"))


def test_evaluations_of_other_slices_are_refused(assessed):
    moved = [{**row, "lesion": "another"} for row in assessed.slices]
    with pytest.raises(DataError, match="do not score the same slices"):
        compare_results([assessed, assessed._replace(slices=moved)])


def test_evaluations_of_other_images_are_refused(assessed):
    moved = [{**row, "mse": row["mse"] + 1} for row in assessed.slices]
    with pytest.raises(DataError, match="do not score the same slices"):
        compare_results([assessed, assessed._replace(slices=moved)])


def test_a_folder_without_an_evaluation_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds no evaluation that can be read"):
        read_results(tmp_path)


def test_files_of_two_evaluations_are_refused(assessed, tmp_path):
    folder = write(tmp_path / "one", assessed, slices=assessed.slices[1:])
    with pytest.raises(DataError, match="not of one evaluation"):
        read_results(folder)


@pytest.mark.parametrize(
    ("old", "new"), [(",mse,", ",mes,"), ("\ncopy,", "\ncopy"), ("\ncopy,phantom0", "\ncopy,phantom0,0")]
)
def test_a_damaged_table_is_refused(assessed, tmp_path, old, new):
    folder = write(tmp_path / "one", assessed)
    text = (folder / "metrics.csv").read_text()
    assert old in text
    (folder / "metrics.csv").write_text(text.replace(old, new, 1))
    with pytest.raises(DataError, match=r"holds no evaluation that can be read \(metrics\.csv"):
        read_results(folder)


def test_a_table_of_a_version_with_fewer_scores_is_read(assessed, tmp_path):
    columns = {name: kind for name, kind in slice_columns().items() if name != "drift_ssim"}
    rows = [{name: row[name] for name in columns} for row in assessed.slices]
    (tmp_path / "metrics.csv").write_text(as_csv(rows, columns))
    found = read_csv(tmp_path / "metrics.csv", slice_columns())
    assert np.isnan([row["drift_ssim"] for row in found]).all()
    assert [row["mse"] for row in found] == [row["mse"] for row in assessed.slices]
