import datetime

import numpy as np
import pytest

from tests.imaging.mock_dicom import random_grid
from tests.imaging.mock_dicom import to_mm as mock_to_mm
from tfdrift.synthetic.phantom_objects import Storage, Visit, make_uid, to_mm


@pytest.mark.parametrize(
    "storage", [Storage(signed=False), Storage(signed=True), Storage(signed=True, slope=0.25, intercept=-16)]
)
def test_stored_values_give_the_signal_back_to_half_a_step(storage):
    signal = np.random.default_rng(0).uniform(0, 4000, (5, 6))
    stored = storage.store(signal)
    step = storage.slope or 1
    assert stored.dtype == (np.int16 if storage.signed else np.uint16)
    np.testing.assert_allclose(stored * step + storage.intercept, signal, atol=step / 2)


def test_a_signal_beyond_the_range_is_cut_off_and_does_not_wrap():
    assert Storage(signed=True).store(np.array([40_000.0]))[0] == 32_767


def test_uids_are_valid_and_differ_by_visit_and_name():
    def visit(key):
        day = datetime.date(2024, 1, 1)
        return Visit(
            key=key, patient_id="1", patient_name="A^B", birth_date=day, sex="F", date=day,
            frame_of_reference_uid=make_uid("f"),
        )  # fmt: skip

    uids = [visit(key).uid(name) for key in ("a", "b") for name in ("series", "study")]
    assert len(set(uids)) == 4
    assert all(uid.is_valid and uid.startswith("2.25.") and len(uid) <= 64 for uid in uids)


def test_indices_to_mm_is_the_inverse_of_the_grid():
    rng = np.random.default_rng(1)
    grid, indices = random_grid(rng), rng.uniform(-5, 30, (7, 3))
    np.testing.assert_allclose(grid.to_index(to_mm(grid, indices)), indices, atol=1e-9)
    np.testing.assert_allclose(to_mm(grid, indices), mock_to_mm(grid, indices), atol=1e-9)
