import numpy as np
import pytest

from tests.random_samples import make_samples
from tfdrift.app.cohorts import mark, read_cards
from tfdrift.cohort.nifti_files import export_crops
from tfdrift.cohort.tables import read_wrong_pairs
from tfdrift.errors import DataError


def test_a_card_is_the_slice_where_both_gtvs_are_largest(tmp_path):
    samples = make_samples(size=8)
    rows = [
        {"patient": patient, "lesion": lesion, "spacing_mm": "1 1 1", "slices": "1"}
        for patient, lesion in dict.fromkeys(zip(samples.patient.tolist(), samples.lesion.tolist(), strict=True))
    ]
    export_crops(tmp_path, samples, rows)
    cards, pixels = read_cards(tmp_path)
    assert {card["lesion"] for card in cards} == set(samples.lesion.tolist())
    layers = np.frombuffer(pixels, np.uint8).reshape(len(cards), 4, 8, 8)
    for card, (pre, post, pre_mask, post_mask) in zip(cards, layers, strict=True):
        found = np.flatnonzero(samples.lesion == card["lesion"])
        areas = (samples.pre_mask[found] | samples.post_mask[found]).sum(axis=(1, 2, 3))
        best = found[np.argmax(areas)]
        np.testing.assert_array_equal(pre_mask, samples.pre_mask[best, ..., 0])
        np.testing.assert_array_equal(post_mask, samples.post_mask[best, ..., 0])
        largest = max(samples.pre[best].max(), samples.post[best].max())
        np.testing.assert_allclose(pre / 255, np.clip(samples.pre[best, ..., 0] / largest, 0, 1), atol=1 / 255)
        np.testing.assert_allclose(post / 255, np.clip(samples.post[best, ..., 0] / largest, 0, 1), atol=1 / 255)


def test_a_pair_is_called_wrong_and_taken_back(tmp_path):
    file = tmp_path / "cohort.wrong_pairs.csv"
    mark(file, {"patient": "p1", "lesion": "l1"}, "two\nlesions,\x07 really")
    mark(file, {"patient": "p1", "lesion": "l2"}, "")
    assert read_wrong_pairs(file) == {
        "l1": {"patient": "p1", "reason": "two lesions, really"}, "l2": {"patient": "p1", "reason": "wrong pair"}
    }  # fmt: skip
    mark(file, {"patient": "p1", "lesion": "l1"}, None)
    assert list(read_wrong_pairs(file)) == ["l2"]
    mark(file, {"patient": "p1", "lesion": "l2"}, None)
    assert file.read_text() == "patient,lesion,reason\n"


def test_a_table_that_is_another_one_is_not_written_over(tmp_path):
    file = tmp_path / "cohort.wrong_pairs.csv"
    file.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="must have the columns"):
        mark(file, {"patient": "p", "lesion": "l"}, "x")
    assert file.read_text() == "a,b\n1,2\n"
