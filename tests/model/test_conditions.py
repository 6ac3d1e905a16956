import numpy as np
import pytest
import tensorflow as tf

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


SIZE = np.array([1.0, 10.0, 100.0, np.nan], np.float32)
RESPONSE = np.array(["poor", "good", "", "good"])


def test_a_size_is_standardised_by_its_logarithm():
    conditions = fit_conditions(["size"], {"size": SIZE})
    assert (conditions.low, conditions.high) == ((1.0,), (100.0,))
    encoded = conditions.encode(conditions.values({"size": SIZE}, 4)).numpy()
    np.testing.assert_allclose(encoded[:3, 0], np.array([-1, 0, 1]) / np.sqrt(2 / 3), atol=1e-6)
    np.testing.assert_array_equal(encoded[3], [0, 0])


def test_a_size_that_has_no_logarithm_is_refused_in_training_and_unknown_when_asked():
    conditions = fit_conditions(["size"], {"size": SIZE})
    np.testing.assert_array_equal(conditions.encode(np.array([[0.0], [-1.0]])), np.zeros((2, 2)))
    with pytest.raises(DataError, match="--condition size: 0 has no logarithm"):
        fit_conditions(["size"], {"size": SIZE - 1})


def test_a_class_is_one_hot_with_a_place_for_the_unknown():
    conditions = fit_conditions(["size", "response"], {"size": SIZE, "response": RESPONSE})
    assert conditions.classes_of("response") == ("good", "poor")
    assert (conditions.classes_of("size"), conditions.inputs) == ((), 5)
    values = conditions.values({"response": RESPONSE}, 4)
    np.testing.assert_array_equal(conditions.encode(values)[:, 2:], [[0, 1, 0], [1, 0, 0], [0, 0, 1], [1, 0, 0]])


def test_a_class_that_was_never_seen_is_unknown_and_so_is_no_class_at_all():
    conditions = fit_conditions(["response"], {"response": RESPONSE})
    assert np.isnan(conditions.values({"response": np.array(["fair", ""])}, 2)).all()
    np.testing.assert_array_equal(conditions.encode(np.array([[7.0], [0.5]])), [[0, 0, 1], [0, 0, 1]])


def test_without_classes_the_numbers_are_as_they_were():
    conditions = fit_conditions(["size", "response"], {"size": SIZE, "response": RESPONSE})
    values = conditions.without_classes(tf.constant([[5.0, 1.0]])).numpy()
    np.testing.assert_array_equal(values, [[5.0, np.nan]])


def test_a_class_of_which_nothing_is_known_is_refused():
    with pytest.raises(DataError, match="--condition response: unknown for every training slice"):
        fit_conditions(["response"], {"response": np.array(["", ""])})


def test_what_is_beyond_the_training_data_is_told_and_what_is_unknown_is_not():
    conditions = fit_conditions(["interval_days", "shape"], COLUMNS)
    values = np.array([[np.nan, 2.0, 5.0], [45.0, 3.0, 6.0]], np.float32)
    assert conditions.beyond_training(values) == [
        "interval_days is 45, in the training data it was 20 to 40",
        "shape 2 is 5 to 6, in the training data it was 5 always, so what another one does was not learnt",
    ]
    assert conditions.beyond_training(np.full((2, 3), np.nan)) == []
