import numpy as np
import pytest

from tfdrift.errors import DataError
from tfdrift.model.conditions import NO_CONDITIONS, fit_conditions

COLUMNS = {
    "interval_days": np.array([20.0, np.nan, 30.0, 40.0], np.float32),
    "shape": np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0], [4.0, 5.0]], np.float32),
}


def test_known_values_are_standardised_over_the_training_slices():
    conditions = fit_conditions(["interval_days", "shape"], COLUMNS)
    encoded = conditions.encode(conditions.values(COLUMNS, 4)).numpy()
    assert encoded.shape == (4, conditions.inputs)
    values, known = np.split(encoded, 2, axis=1)
    np.testing.assert_array_equal(known[:, 0], [1, 0, 1, 1])
    np.testing.assert_allclose(values[[0, 2, 3], 0].mean(), 0, atol=1e-6)
    np.testing.assert_allclose(values[:, 1].std(), 1, rtol=1e-6)


def test_an_unknown_value_is_told_as_such_and_not_as_the_mean():
    conditions = fit_conditions(["interval_days"], COLUMNS)
    encoded = conditions.encode(np.array([[np.nan], [30.0]])).numpy()  # 30 is the mean
    np.testing.assert_array_equal(encoded, [[0, 0], [0, 1]])


def test_a_value_that_never_changes_is_zero_and_known():
    conditions = fit_conditions(["shape"], COLUMNS)
    encoded = conditions.encode(conditions.values(COLUMNS, 4)).numpy()
    np.testing.assert_array_equal(encoded[:, [1, 3]], [[0, 1]] * 4)


def test_other_slices_are_encoded_on_the_scale_of_training():
    conditions = fit_conditions(["interval_days"], COLUMNS)
    ((value, known),) = conditions.encode(np.array([[30.0 + conditions.std[0]]])).numpy()
    assert (value, known) == (pytest.approx(1.0), 1.0)
    assert (conditions.low, conditions.high) == ((20.0,), (40.0,))


def test_a_column_that_is_not_there_when_asked_is_unknown():
    conditions = fit_conditions(["interval_days", "shape"], COLUMNS)
    values = conditions.values({"interval_days": COLUMNS["interval_days"]}, 4)
    assert values.shape == (4, 3)
    assert np.isnan(values[:, 1:]).all()


def test_a_column_that_the_training_data_lack_is_refused_with_those_they_have():
    with pytest.raises(DataError, match="--condition dose: the data do not have it; they have interval_days, shape"):
        fit_conditions(["dose"], COLUMNS)


def test_a_column_of_which_nothing_is_known_is_refused():
    with pytest.raises(DataError, match="--condition dose: unknown for every training slice"):
        fit_conditions(["dose"], {"dose": np.full(3, np.nan, np.float32)})


def test_without_conditions_there_is_nothing_to_give():
    assert fit_conditions([], COLUMNS) == NO_CONDITIONS
    assert NO_CONDITIONS.inputs == 0
