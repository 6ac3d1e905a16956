import numpy as np

from tfdrift.cohort.gtv_regions import CORE, OUTSIDE, RIM, core_and_rim, gtv_regions


def disc(radius: float, size: int = 101) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size] - size // 2
    return np.hypot(rows, columns) < radius


def test_the_core_of_a_disc_is_the_disc_of_half_the_radius():
    core, rim = core_and_rim(disc(40))
    assert (core ^ disc(20)).sum() < 0.01 * disc(40).sum()
    assert (rim ^ (disc(40) & ~disc(20))).sum() < 0.01 * disc(40).sum()


def test_core_and_rim_make_up_the_gtv_and_share_nothing():
    mask = np.random.default_rng(0).random((32, 32)) < 0.7
    core, rim = core_and_rim(mask)
    np.testing.assert_array_equal(core ^ rim, mask)
    assert not (core & rim).any()


def test_a_gtv_at_the_border_of_the_crop_has_its_rim_there():
    _, rim = core_and_rim(np.ones((11, 11), bool))
    assert rim[0].all()
    assert rim[:, -1].all()


def test_an_empty_gtv_has_neither():
    core, rim = core_and_rim(np.zeros((8, 8), bool))
    assert not core.any()
    assert not rim.any()


def test_every_slice_of_a_stack_has_regions_of_its_own():
    masks = np.stack([disc(20, 51), disc(10, 51), np.zeros((51, 51), bool), disc(15, 51)]).reshape(2, 2, 51, 51, 1)
    found = gtv_regions(masks)
    np.testing.assert_array_equal(found == OUTSIDE, ~masks)
    for number in range(4):
        core, rim = core_and_rim(masks[number // 2, number % 2, ..., 0])
        of_slice = found[number // 2, number % 2, ..., 0]
        np.testing.assert_array_equal(of_slice == CORE, core)
        np.testing.assert_array_equal(of_slice == RIM, rim)
