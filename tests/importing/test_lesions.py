import dataclasses

import numpy as np
import pytest
import SimpleITK as sitk

from tfdrift.errors import DataError
from tfdrift.imaging.pixels import NOT_MEASURED
from tfdrift.imaging.residual import POOR_RESIDUAL_PERCENT
from tfdrift.importing.dicom_source import find_patients
from tfdrift.importing.lesions import crop_pairs_of, taken_differently
from tfdrift.importing.sessions import bring_onto
from tfdrift.importing.settings import ImportSettings
from tfdrift.importing.target_names import target_rule
from tfdrift.synthetic.phantom import BIAS_STD, make_cohort

NUMBERS = (5, 5, 5)  # ROINumber of the largest lesion, at every visit


@pytest.fixture(scope="module")
def sessions(heads):
    """The three sessions of a patient on the first one's grid."""
    patients, _ = find_patients(heads, ImportSettings())
    visits, _ = patients[0].visits(target_rule())
    read = [visit.read([roi for roi in visit.structures if target_rule()(roi)])[0] for visit in visits]
    return [read[0], *(bring_onto(one, read[0], mode="auto", seed=0) for one in read[1:])]


def crop(sessions, pairs=(NUMBERS,), **options):
    names = [f"l{place}" for place in range(len(pairs))]
    return crop_pairs_of(sessions, list(pairs), names, **{"box": "pre", "slices": "three", "image_size": 8, **options})


def change(sessions, place, **changes):
    return [dataclasses.replace(one, **changes) if k == place else one for k, one in enumerate(sessions)]


def test_a_row_says_what_the_sessions_say(sessions):
    ((row, crops),), exclusions = crop(sessions)
    days = [one.day - sessions[0].day for one in sessions]
    volumes = [one.volumes_mm3[5] for one in sessions]
    assert (row.interval_days, row.follow_up_days) == (days[1], days[2])
    assert [row.pre_mm3, row.post_mm3, row.follow_up_mm3] == volumes
    assert row.response_group == ("A" if volumes[2] >= 0.8 * volumes[0] else "B")
    assert (row.lesion, row.spacing_mm, row.slices) == ("l0", "6 6 6", len(crops.slices))
    assert (row.registration, row.residual) == ("identity", sessions[1].registration.residual_percent)
    assert exclusions == []


def test_a_row_says_which_way_the_slices_lie(sessions):
    """The same patient lying on the side, as a sagittal acquisition shows the head."""
    onto_side = sitk.VersorTransform((1, 1, 1), 2 * np.pi / 3)  # x to y, y to z, z to x

    def turned(image):
        copy = sitk.Image(image)
        matrix = np.reshape(onto_side.GetMatrix(), (3, 3))
        copy.SetDirection((matrix @ np.reshape(image.GetDirection(), (3, 3))).ravel().tolist())
        copy.SetOrigin((matrix @ image.GetOrigin()).tolist())
        return copy

    sides = [
        dataclasses.replace(
            one, image=turned(one.image), masks={number: turned(mask) for number, mask in one.masks.items()}
        )
        for one in sessions
    ]
    ((row, crops),), _ = crop(sessions)
    ((side, same),), _ = crop(sides)
    assert (row.orientation, side.orientation) == ("axial", "sagittal")
    np.testing.assert_array_equal(crops.pre, same.pre)


def test_a_lesion_without_follow_up_has_no_response(sessions):
    ((row, _),), _ = crop(sessions, [NUMBERS[:2]])
    assert (row.follow_up_days, row.follow_up_mm3, row.response_group) == (None, None, "")


def test_the_gain_is_that_of_the_scanner(sessions):
    """The bias fields of two sessions, with a standard deviation of 8% each, are not part of the gain."""
    ((row, _),), _ = crop(sessions)
    law = make_cohort(3)[2]
    assert abs(np.log(row.gain * law.gain["post"] / law.gain["pre"])) < 2 * np.sqrt(2) * BIAS_STD


def test_the_scanners_unit_does_not_matter(sessions):
    """A second session in units three times as large gives the same slices with a third of the gain."""
    ((row, crops),), _ = crop(sessions)
    ((other, same),), _ = crop(change(sessions, 1, image=sessions[1].image * 3))
    np.testing.assert_allclose(other.gain, row.gain / 3, rtol=1e-6)
    np.testing.assert_allclose(same.post, crops.post, atol=1e-5)


def without_front(session, number, share):
    """The session's image without the rows in front of a share of a lesion."""
    mask = sitk.Resample(session.masks[number], session.image, sitk.Transform(), sitk.sitkNearestNeighbor)
    rows = np.flatnonzero(sitk.GetArrayViewFromImage(mask).any(axis=(0, 2)))
    return session.image[:, int(rows[0] + share * len(rows)) :, :]


def test_a_lesion_that_the_second_mri_shows_in_part_is_cut_and_named(sessions):
    fine = list(on_finer_grid(sessions[:2]))  # half a head of 6 mm has too few voxels of tissue
    ((row, _),), exclusions = crop(change(fine, 1, image=without_front(fine[1], 5, 0.5)), [NUMBERS[:2]])
    assert exclusions == []
    assert "% of the GTV is outside the second MRI" in row.warnings


def test_a_lesion_that_the_second_mri_does_not_show_is_left_out(sessions):
    fine = list(on_finer_grid(sessions[:2]))
    cut_out, (exclusion,) = crop(change(fine, 1, image=without_front(fine[1], 3, 1.5)), [(3, 3), (5, 5)])
    assert [row.lesion for row, _ in cut_out] == ["l1"]
    assert (exclusion.structure, exclusion.broken) == (3, False)
    assert exclusion.reason == "outside the field of view of the second MRI"


def uniform(session, number=5):
    """The session with one signal in and around a lesion."""
    around = sitk.Cast(sitk.BinaryDilate(session.masks[number], (5, 5, 5)), sitk.sitkFloat32)
    around.CopyInformation(session.image)  # the masks of a later session lie on the first one's grid
    return dataclasses.replace(session, image=session.image * (1 - around) + 700 * around)


def padded(session, share, number=5):
    """The session's image with padding in the rows up to a share of a lesion."""
    rows = np.flatnonzero(sitk.GetArrayFromImage(session.masks[number]).any(axis=(0, 2)))
    values = sitk.GetArrayFromImage(session.image)
    values[:, : int(rows[0] + share * len(rows))] = NOT_MEASURED
    image = sitk.GetImageFromArray(values)
    image.CopyInformation(session.image)
    return image


@pytest.mark.parametrize("image_size", [8, 32])
@pytest.mark.parametrize(
    ("place", "said"), [(0, "% of the GTV is padding in the first MRI"), (1, "% of the GTV is outside the second MRI")]
)
def test_padding_is_cut_off_a_lesion_and_no_pixel_takes_signal_from_it(sessions, place, said, image_size):
    even = [uniform(one) for one in on_finer_grid(sessions[:2])]
    ((row, crops),), exclusions = crop(
        change(even, place, image=padded(even[place], 0.4)), [NUMBERS[:2]], image_size=image_size
    )
    assert (said in row.warnings, exclusions) == (True, [])
    np.testing.assert_allclose(crops.pre, crops.pre_mask, rtol=1e-5)
    np.testing.assert_allclose(crops.post, row.gain * crops.post_mask, rtol=1e-3)  # the spline rings


@pytest.mark.parametrize(
    ("place", "reason"), [(0, "padding in the first MRI"), (1, "outside the field of view of the second MRI")]
)
def test_a_lesion_that_is_all_padding_is_left_out(sessions, place, reason):
    fine = list(on_finer_grid(sessions[:2]))
    _, exclusions = crop(change(fine, place, image=padded(fine[place], 1.0, number=3)), [(3, 3)])
    assert [one.reason for one in exclusions] == [reason]


def test_a_lesion_without_signal_is_broken_and_the_others_are_kept(sessions):
    around = sitk.BinaryDilate(sessions[0].masks[5], (1, 1, 1))
    dark = sitk.Mask(sessions[0].image, around == 0)
    cut_out, (exclusion,) = crop(change(sessions, 0, image=dark), [NUMBERS, (4, 4)])
    assert [row.lesion for row, _ in cut_out] == ["l1"]
    assert (exclusion.structure, exclusion.broken) == (5, True)
    assert "holds no signal above zero" in exclusion.reason


def with_mask(sessions, number, indices):
    """The sessions with another first contour of a lesion, given by voxels (slice, row, column)."""
    mask = sitk.Image(sessions[0].image.GetSize(), sitk.sitkUInt8)
    mask.CopyInformation(sessions[0].image)
    for k, row, column in indices:
        mask[int(column), int(row), int(k)] = 1
    return change(sessions, 0, masks={**sessions[0].masks, number: mask})


def taken(sessions, **facts):
    """The warning where the second MRI was taken with other facts than the first, which is a usual one."""
    usual = {"MagneticFieldStrength": 3.0, "EchoTime": 2.5, "ScanningSequence": "GR\\IR"}
    pre, post = (dataclasses.replace(one, acquisition=usual) for one in sessions[:2])
    return taken_differently(pre, dataclasses.replace(post, acquisition={**usual, **facts}))


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"MagneticFieldStrength": 1.5}, "MagneticFieldStrength 3 and 1.5"),
        ({"EchoTime": 90.0}, "EchoTime 2.5 and 90"),
        ({"ScanningSequence": "SE"}, "ScanningSequence GR+IR and SE"),
    ],
)
def test_two_mris_of_another_kind_are_warned_of(sessions, facts, said):
    assert taken(sessions, **facts) == [f"the two MRIs are of another kind: {said}"]


@pytest.mark.parametrize("facts", [{}, {"EchoTime": 3.0}, {"FlipAngle": 90.0}, {"InversionTime": 900.0}])
def test_what_is_nearly_the_same_or_not_known_of_both_is_not_warned_of(sessions, facts):
    assert taken(sessions, **facts) == []


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ({"with_contrast": True}, {"with_contrast": False}, "a contrast agent is named by the first alone"),
        ({"with_contrast": False}, {"with_contrast": True}, "a contrast agent is named by the second alone"),
        ({"sequence_name": "Doe t1"}, {"sequence_name": "Doe t2"}, "two SequenceNames"),
    ],
)
def test_another_contrast_or_sequence_is_warned_of_without_its_name(sessions, first, second, said):
    pre, post = (dataclasses.replace(one, **facts) for one, facts in zip(sessions[:2], (first, second), strict=True))
    usual = {"with_contrast": True, "sequence_name": "a"}
    assert taken_differently(*(dataclasses.replace(one, **usual) for one in (pre, post))) == []
    assert taken_differently(pre, post) == [f"the two MRIs are of another kind: {said}"]


@pytest.mark.parametrize("facts", [{"with_contrast": None}, {"sequence_name": ""}])
def test_a_contrast_or_sequence_that_is_not_known_is_not_warned_of(sessions, facts):
    pre, post = (dataclasses.replace(one, with_contrast=True, sequence_name="a") for one in sessions[:2])
    assert taken_differently(pre, dataclasses.replace(post, **facts)) == []


def test_slices_that_lie_another_way_are_warned_of(sessions):
    turned = sitk.Image(sessions[1].image)
    turned.SetDirection((0, 0, 1, 1, 0, 0, 0, 1, 0))
    (warning,) = taken_differently(sessions[0], dataclasses.replace(sessions[1], image=turned))
    assert warning.endswith("slices axial and sagittal")


def test_a_speck_on_an_end_slice_is_left_out_with_a_warning(sessions):
    k, rows, columns = (axis.tolist() for axis in np.nonzero(sitk.GetArrayFromImage(sessions[0].masks[5])))
    middle = round(float(np.mean(rows))), round(float(np.mean(columns)))
    square = [(min(k), middle[0] + i, middle[1] + j) for i in range(-6, 6) for j in range(-6, 6)]
    speck = (min(k) - 1, *middle)
    ((row, crops),), exclusions = crop(with_mask(sessions, 5, [speck, *square]), slices="all")
    assert (crops.slices, exclusions) == ([min(k)], [])
    assert "left out, as smaller than a crop pixel: 1 of the GTV's slices" in row.warnings


def test_a_lesion_too_thin_for_the_crop_is_left_out_and_not_broken(sessions):
    """Two lines of voxels far apart: of neither a crop pixel of eight is half covered."""
    k, rows, columns = (int(np.mean(axis)) for axis in np.nonzero(sitk.GetArrayFromImage(sessions[0].masks[5])))
    lines = [(k, rows + i, columns + j) for i in (-7, 7) for j in range(-7, 8, 7)]
    cut_out, (exclusion,) = crop(with_mask(sessions, 5, lines), [NUMBERS, (4, 4)])
    assert [row.lesion for row, _ in cut_out] == ["l1"]
    assert (exclusion.structure, exclusion.broken) == (5, False)
    assert "it is too thin" in exclusion.reason


def test_a_registration_that_may_be_wrong_is_named(sessions):
    suspect = dataclasses.replace(sessions[1].registration, residual_percent=POOR_RESIDUAL_PERCENT + 0.1)
    sound = dataclasses.replace(sessions[1].registration, residual_percent=POOR_RESIDUAL_PERCENT - 0.1)
    warned = [crop(change(sessions, 1, registration=one))[0][0][0].warnings for one in (suspect, sound)]
    assert ["registration may be wrong" in warnings for warnings in warned] == [True, False]


def test_what_a_registration_object_says_is_told(sessions):
    folds = dataclasses.replace(sessions[1].registration, warnings=("the deformation folds at 7 of its 99 points",))
    ((row, _),), _ = crop(change(sessions, 1, registration=folds))
    assert "the deformation folds at 7 of its 99 points; registration may be wrong" in row.warnings


def test_a_lesion_that_outgrows_its_box_is_named_and_the_larger_box_holds_it(sessions):
    spread = sitk.BinaryDilate(sessions[1].masks[4], (4, 4, 0))
    wide = change(sessions, 1, masks={**sessions[1].masks, 4: spread})
    ((row, _),), _ = crop(wide, [(4, 4)])
    ((union, _),), _ = crop(wide, [(4, 4)], box="union", image_size=32)
    assert row.outgrown > 0
    assert f"{row.outgrown:.0%} of the second GTV is outside the box" in row.warnings
    assert union.outgrown == 0


def test_a_scale_that_cannot_be_judged_is_named(sessions):
    """Voxels of 6 mm are too few in the shell around a lesion."""
    ((row, _),), _ = crop(sessions)
    assert row.background_drift is None
    assert "too little healthy tissue around it" in row.warnings


def on_finer_grid(sessions):
    """The sessions on voxels of 3 mm."""
    grid = sitk.Expand(sessions[0].image, [2, 2, 2])
    for session in sessions:
        masks = {
            number: sitk.Resample(mask, grid, sitk.Transform(), sitk.sitkNearestNeighbor)
            for number, mask in session.masks.items()
        }
        yield dataclasses.replace(session, image=sitk.Expand(session.image, [2, 2, 2]), masks=masks)


def test_drift_of_healthy_tissue_is_measured_around_the_lesion(sessions):
    """A field of +30% within 25 mm of the lesion, which the gain does not take, is seen as a drift of 30%."""
    fine = list(on_finer_grid(sessions[:2]))
    ((sound, _),), _ = crop(fine, [(3, 3)])
    distance = sitk.SignedMaurerDistanceMap(fine[1].masks[3], squaredDistance=False, useImageSpacing=True)
    near = sitk.Resample(sitk.Cast(distance < 25, sitk.sitkFloat32), fine[1].image)
    ((row, _),), _ = crop(change(fine, 1, image=fine[1].image * (1 + 0.3 * near)), [(3, 3)])
    assert sound.background_drift is not None
    assert row.background_drift is not None
    assert abs(sound.background_drift) < 5
    assert 25 < row.background_drift - sound.background_drift < 35
    assert f"healthy tissue around it drifts by {row.background_drift:.1f}%" in row.warnings


def test_what_is_odd_about_contours_is_told_without_the_tables_separator(sessions):
    said = {**sessions[1].warnings, 5: ("2 contours have fewer than 3 points; they are skipped",)}
    ((row, _),), _ = crop(change(sessions, 1, warnings=said))
    assert "post: 2 contours have fewer than 3 points, they are skipped; " in row.warnings


def test_sessions_without_common_tissue_are_refused(sessions):
    low = sessions[1].image[:, :, :3] * 0 + 1
    with pytest.raises(DataError):
        crop(change(sessions, 1, image=low))


def test_a_whole_lesion_is_one_row_with_the_volume_of_its_masks(sessions):
    ((row, crops),), exclusions = crop(sessions, lesion="volume", image_size=16)
    assert exclusions == []
    assert (row.slices, crops.pre.shape) == (1, (1, 16, 16, 16, 1))
    volumes = [mask.sum() * row.pixel_mm**3 for mask in (crops.pre_mask, crops.post_mask)]
    # The corners of voxels of 6 mm are lost where a pixel is half covered, alike in both masks.
    assert volumes[1] / volumes[0] == pytest.approx(row.post_mm3 / row.pre_mm3, rel=0.1)
    assert 0.75 < volumes[0] / row.pre_mm3 < 1


def test_slices_with_neighbours_have_the_slices_as_their_first_channel(sessions):
    ((_, plain),), _ = crop(sessions, slices="all")
    ((row, crops),), exclusions = crop(sessions, slices="all", lesion="context")
    assert exclusions == []
    np.testing.assert_array_equal(crops.pre[..., :1], plain.pre)
    np.testing.assert_array_equal(crops.post, plain.post)
    signal = plain.pre[..., 0] * plain.scale[:, None, None]
    for place in range(1, row.slices):
        np.testing.assert_allclose(crops.pre[place, ..., 1] * crops.scale[place], signal[place - 1], rtol=1e-5)
