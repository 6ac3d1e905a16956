"""A cohort in parts: its order, and what import.json says of it."""

import dataclasses
import json

import numpy as np
import pytest

from tests.prepared_cohort import save_parts
from tests.random_samples import make_samples
from tfdrift.cohort.prepared import describe, read_description, read_parts
from tfdrift.cohort.samples import fingerprint_of, join_samples, save_samples
from tfdrift.errors import DataError


def test_a_description_names_the_channels(tmp_path):
    parts, folds = save_parts(tmp_path, make_samples(depth=2, channels=("T1", "FLAIR")))
    assert describe(parts, folds).channels == ("T1", "FLAIR")


def test_parts_come_by_fold_and_pseudonym_in_whatever_order_they_are_given(tmp_path):
    parts, folds = save_parts(tmp_path, make_samples())
    for order in (parts, parts[::-1]):
        read = list(read_parts(order, folds))
        assert [(int(part.fold[0]), part.patient[0]) for part in read] == sorted((k, p) for p, k in folds.items())
        assert join_samples(read).fingerprint() == join_samples(list(read_parts(parts, folds))).fingerprint()


def test_a_description_counts_what_the_parts_hold(tmp_path):
    parts, folds = save_parts(tmp_path, make_samples(count=12, size=8, folds=3))
    found = describe(parts, folds)
    assert (found.image_size, found.folds, found.slices) == (8, 3, 12)
    assert found.fingerprint == join_samples(list(read_parts(parts, folds))).fingerprint()


def test_a_description_depends_on_the_folds(tmp_path):
    parts, folds = save_parts(tmp_path, make_samples())
    turned = {patient: (fold + 1) % 3 for patient, fold in folds.items()}
    assert describe(parts, folds).fingerprint != describe(parts, turned).fingerprint


def test_a_fingerprint_does_not_depend_on_where_samples_are_cut_or_how_wide_their_texts_are():
    samples = make_samples()
    wide = dataclasses.replace(samples, patient=samples.patient.astype("U40"))
    pieces = [wide.take(np.arange(0, 5)), samples.take(np.arange(5, 12))]
    assert fingerprint_of(pieces) == samples.fingerprint()


def test_a_part_of_two_patients_is_refused(tmp_path):
    save_samples(tmp_path / "both.npz", make_samples(count=4))
    with pytest.raises(DataError, match=r"both.npz holds 2 patients"):
        next(read_parts([tmp_path / "both.npz"], {"p0": 0, "p1": 1}))


def test_a_patient_in_two_parts_is_refused(tmp_path):
    parts, folds = save_parts(tmp_path, make_samples())
    again = tmp_path / "again.npz"
    again.write_bytes(parts[0].read_bytes())
    with pytest.raises(DataError, match=r"patient p0 stands in p0.npz and in again.npz"):
        next(read_parts([*parts, again], folds))


def test_a_patient_without_a_fold_is_refused(tmp_path):
    parts, folds = save_parts(tmp_path, make_samples())
    del folds["p4"]
    with pytest.raises(DataError, match=r"patient p4 in p4.npz has no fold"):
        next(read_parts(parts, folds))


def test_crops_of_two_sizes_are_refused(tmp_path):
    parts, folds = save_parts(tmp_path, make_samples())
    other = make_samples(count=2, size=16)
    save_samples(tmp_path / "p9.npz", dataclasses.replace(other, patient=np.full(2, "p9")))
    with pytest.raises(DataError, match=r"crops of several kinds \(\[8, 8, 1\] of T1; \[16, 16, 1\] of T1\)"):
        next(read_parts([*parts, tmp_path / "p9.npz"], {**folds, "p9": 0}))


def test_a_fold_without_a_patient_is_refused(tmp_path):
    parts, folds = save_parts(tmp_path, make_samples())
    with pytest.raises(DataError, match=r"folds \[0, 1, 3\]; number them from 0 without a gap"):
        next(read_parts(parts, {patient: 3 if fold == 2 else fold for patient, fold in folds.items()}))


def test_nothing_to_describe_is_refused():
    with pytest.raises(DataError, match="no patient is left"):
        describe([], {})


def test_a_description_is_read_out_of_whatever_else_import_json_says(tmp_path):
    parts, folds = save_parts(tmp_path / "parts", make_samples())
    found = describe(parts, folds)
    document = {"tfdrift": "1.0", **dataclasses.asdict(found), "options": {"folds": 5}}
    (tmp_path / "import.json").write_text(json.dumps(document))
    assert read_description(tmp_path) == found


@pytest.mark.parametrize("folder", ["empty", "missing", "file"])
def test_what_is_no_cohort_is_refused_with_what_to_do(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("a file")
    with pytest.raises(DataError, match=rf"{folder} holds no import.json; give a folder that `tfdrift cohort import`"):
        read_description(tmp_path / folder)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"image_size": 8}',
        b'{"image_size": "8", "folds": 3, "slices": 12, "fingerprint": ""}',
        b'{"image_size": 8, "folds": 0, "slices": 12, "fingerprint": ""}',
    ],
)
def test_a_damaged_import_json_is_refused(tmp_path, content):
    (tmp_path / "import.json").write_bytes(content)
    with pytest.raises(DataError, match=r"import.json is damaged .*; import the cohort again"):
        read_description(tmp_path)
