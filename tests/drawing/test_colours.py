import itertools

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_rgb

from tfdrift.drawing import colours


def test_curves_beside_one_another_can_be_told_apart():
    for first, second in itertools.combinations(colours.SERIES, 2):
        assert np.abs(np.subtract(to_rgb(first), to_rgb(second))).max() > 0.15


def test_every_colour_has_a_name_that_matplotlib_knows():
    for name in (*colours.SERIES, colours.INK, colours.QUIET, colours.BEFORE, colours.AFTER, colours.NOT_A_NUMBER):
        assert len(to_rgb(name)) == 3


def test_no_drift_is_white_and_no_doubt_is_black():
    np.testing.assert_allclose(colormaps[colours.MAPS["drift"]](0.5)[:3], 1, atol=0.04)
    np.testing.assert_allclose(colormaps[colours.MAPS["uncertainty"]](0.0)[:3], 0, atol=0.04)


def test_a_value_that_is_not_a_number_has_a_colour_of_no_map():
    green = np.array(to_rgb(colours.NOT_A_NUMBER))
    for name in colours.MAPS.values():
        shown = colormaps[name](np.linspace(0, 1, 256))[:, :3]
        assert np.abs(shown - green).max(axis=1).min() > 0.2
