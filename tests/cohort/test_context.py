import dataclasses

import numpy as np
import pytest

from tests.random_samples import make_samples
from tfdrift.cohort.context import columns_fingerprint, columns_of, foreseen_columns, lesion_context
from tfdrift.synthetic.phantom import make_cohort
from tfdrift.synthetic.phantom_samples import phantom_samples


def fingerprint(samples, *names: str) -> str:
    return columns_fingerprint(columns_of(samples), names, len(samples))


def two_slices() -> dict[str, np.ndarray]:
    """A lesion whose second slice is the larger one, of 8 pixels, 2 of them dark."""
    pre = np.ones((2, 4, 4, 1), np.float32)
    mask = np.zeros((2, 4, 4, 1), bool)
    mask[0, 0, :2], mask[1, :2] = True, True
    pre[1, 0, :2], pre[0, 0, 0] = 0.3, 0.1
    return lesion_context(pre, mask, scale=np.array([300.0, 600.0]), volume_mm3=36 * np.pi)


def test_the_size_is_the_radius_of_a_sphere_of_the_same_volume():
    np.testing.assert_allclose(two_slices()["size"], [3.0, 3.0])


def test_the_core_is_the_dark_share_of_the_largest_slice_for_every_slice():
    np.testing.assert_allclose(two_slices()["core"], [0.25, 0.25])


def test_the_peak_is_that_of_the_slice_over_that_of_the_largest():
    np.testing.assert_allclose(two_slices()["peak"], [0.5, 1.0])


def test_each_lesion_of_samples_is_measured_by_itself():
    samples = phantom_samples(image_size=8, patients=3, folds=3)
    columns = columns_of(samples)
    for lesion in set(samples.lesion.tolist()):
        rows = np.flatnonzero(samples.lesion == lesion)
        alone = columns_of(samples.take(rows))
        for name in ("size", "core", "peak", "place"):
            np.testing.assert_array_equal(columns[name][rows], alone[name])


def test_the_phantoms_core_grows_with_the_law_s():
    cohort = make_cohort(30, seed=5)
    columns, samples = (of(phantom_samples(image_size=32, patients=30, seed=5)) for of in (columns_of, lambda s: s))
    true = {f"{p.name}-{k + 1}": lesion.core for p in cohort for k, lesion in enumerate(p.lesions)}
    large = columns["size"] > 4  # in small lesions the core is a pixel or two
    found = np.corrcoef(columns["core"][large], [true[name] for name in samples.lesion[large].tolist()])[0, 1]
    assert found > 0.5


def test_the_response_is_that_of_the_follow_up_and_unknown_without_one():
    left = np.repeat(np.array([0.8, 0.79, np.nan], np.float32), 4)
    columns = columns_of(dataclasses.replace(make_samples(), follow_up_mm3=left))
    assert columns["response"].tolist() == ["poor"] * 4 + ["good"] * 4 + [""] * 4


def test_a_forecast_knows_no_response():
    samples = make_samples(conditions=True)
    assert set(columns_of(samples)) - set(foreseen_columns(samples)) == {"response"}


def test_facts_are_classes_and_conditions_numbers():
    columns = columns_of(make_samples(conditions=True))
    assert columns["orientation"].dtype.kind == "U"
    assert columns["dose_gy"].shape == (12, 2)


def test_columns_have_a_fingerprint_of_their_own():
    samples, other = make_samples(conditions=True), make_samples()
    later = {**samples.conditions, "interval_days": samples.conditions["interval_days"] + 1}
    names = ("interval_days", "dose_gy")
    assert fingerprint(samples, *names) == fingerprint(make_samples(conditions=True), *names)
    assert len(
        {
            fingerprint(samples, *names),
            fingerprint(samples, *names[:1]),
            fingerprint(other, *names),
            fingerprint(dataclasses.replace(samples, conditions=later), *names),
        }
    ) == 4  # fmt: skip


def test_a_class_of_a_row_is_seen_by_the_fingerprint():
    samples = make_samples()
    other = dataclasses.replace(samples, follow_up_mm3=samples.follow_up_mm3 / 2)
    assert fingerprint(samples, "response") != fingerprint(other, "response")


def test_a_condition_that_nobody_knows_is_the_same_whether_its_column_is_there_or_not():
    unknown = {"interval_days": np.full(12, np.nan, np.float32)}
    samples = dataclasses.replace(make_samples(), conditions=unknown)
    assert fingerprint(samples, "interval_days") == fingerprint(make_samples(), "interval_days")


@pytest.mark.parametrize("name", ["size", "core", "peak"])
def test_what_is_measured_is_known_for_every_slice(name):
    assert np.isfinite(columns_of(make_samples())[name]).all()
