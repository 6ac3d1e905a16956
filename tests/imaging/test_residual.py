import numpy as np
import pytest
import SimpleITK as sitk

from tests.imaging.synthetic_head import load_heads
from tfdrift.errors import DataError
from tfdrift.imaging.residual import POOR_RESIDUAL_PERCENT, residual_percent

heads = load_heads()
IDENTITY = sitk.Euler3DTransform()


@pytest.fixture(scope="module")
def fixed() -> sitk.Image:
    return heads.head_session(IDENTITY, second_visit=False, seed=1000)


@pytest.fixture(scope="module")
def still() -> sitk.Image:
    """The second visit without any motion."""
    return heads.head_session(IDENTITY, second_visit=True, seed=1001, gain=0.6)


def shift(x=0.0, y=0.0, z=0.0) -> sitk.TranslationTransform:
    return sitk.TranslationTransform(3, (x, y, z))


@pytest.mark.parametrize("other", [lambda image: image * 2.5, lambda image: image * 3 + 20, lambda image: 300 - image])
def test_a_linear_function_of_a_session_leaves_nothing_over(fixed, other):
    assert residual_percent(fixed, sitk.Cast(other(fixed), sitk.sitkFloat32), IDENTITY) == pytest.approx(0, abs=0.05)


def test_a_smooth_shading_leaves_nearly_nothing_over(fixed):
    field = 1 + 0.2 * np.sin(heads.voxel_centres(fixed)[..., 2] / 40)
    shaded = sitk.GetImageFromArray((sitk.GetArrayFromImage(fixed) * field).astype(np.float32))
    shaded.CopyInformation(fixed)
    # Within a window the field still changes by 2.5% of the signal, as faint structure does.
    assert residual_percent(fixed, shaded, IDENTITY) < POOR_RESIDUAL_PERCENT / 10


def test_noise_that_knows_nothing_of_the_first_session_leaves_everything_over(fixed):
    noise = sitk.GetImageFromArray(np.random.default_rng(0).uniform(50, 150, fixed.GetSize()[::-1]).astype(np.float32))
    noise.CopyInformation(fixed)
    assert residual_percent(fixed, noise, IDENTITY) > 95


def test_more_noise_leaves_more_over(fixed):
    residuals = [
        residual_percent(fixed, heads.head_session(IDENTITY, second_visit=False, seed=5, noise=noise), IDENTITY)
        for noise in (1.0, 4.0, 12.0)
    ]
    assert residuals == sorted(residuals)


def test_the_two_sessions_may_be_swapped(fixed, still):
    there, back = residual_percent(fixed, still, IDENTITY), residual_percent(still, fixed, IDENTITY)
    assert there == pytest.approx(back, abs=1)  # the head around the other session's brain is a little another


def test_it_grows_with_a_wrong_shift(fixed, still):
    residuals = [residual_percent(fixed, still, shift(x)) for x in (0, 3, 6, 12)]
    assert residuals == sorted(residuals)
    assert residuals[0] < POOR_RESIDUAL_PERCENT < residuals[2]


def test_sessions_that_share_no_brain_are_refused(fixed, still):
    with pytest.raises(DataError, match="voxels of healthy tissue with signal in both MRIs"):
        residual_percent(fixed, still, shift(x=900))


def test_real_pairs_are_suspect_when_they_are_moved_off_and_only_then(real_pair, real_registration):
    fixed, moving = real_pair
    found = real_registration
    assert not found.suspect
    for off in (shift(x=6), shift(y=-6), shift(z=6), sitk.Euler3DTransform((0, 0, 0), 0, 0.14, 0)):
        moved = sitk.CompositeTransform([found.transform, off])
        assert residual_percent(fixed, moving, moved) > POOR_RESIDUAL_PERCENT
