import itertools
import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from tfdrift.errors import ResourceError, UsageError
from tfdrift.imaging.series import read_series
from tfdrift.imaging.structures import find_roi, mask_figures, rasterise, read_structures
from tfdrift.importing.catalogue import scan
from tfdrift.importing.target_names import is_target
from tfdrift.synthetic.phantom import BIAS_STD, HEAD_SEMI_AXES_MM, NOISE_STD, SESSIONS, gtv, make_cohort, tissue_signal
from tfdrift.synthetic.phantom_dicom import BRAIN_SHELL, PTV_MARGIN_MM, write_phantom

SPACING_MM = (3.0, 2.2, 2.5)
COARSE_MM = (9.0, 8.0, 8.0)
PATIENTS = 4
VISITS = list(itertools.product(range(PATIENTS), SESSIONS))


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clinic") / "export"
    write_phantom(folder, patients=PATIENTS, spacing_mm=SPACING_MM, workers=2)
    return folder


@pytest.fixture(scope="module")
def truth(out):
    return json.loads((out / "truth.json").read_text())["patients"]


@pytest.fixture(scope="module")
def visits(out, truth):
    """The images, series and structure sets as they are read back."""
    read = {}
    for number, session in VISITS:
        folder = visit_folder(out, truth, number, session)
        image, series = read_series(folder / "MR_T1")
        read[number, session] = image, series, read_structures(only(folder / "RTSTRUCT"))
    return read


def visit_folder(out: Path, truth, number: int, session: str) -> Path:
    return out / truth[number]["folder"] / truth[number]["visits"][session]["folder"]


def only(folder: Path) -> Path:
    (file,) = folder.iterdir()
    return file


def motion_of(truth, number, session) -> np.ndarray:
    return np.array(truth[number]["visits"][session]["motion"])


def head_points(image: sitk.Image, motion: np.ndarray) -> np.ndarray:
    """Every voxel's centre in the first visit's coordinates, by the image's own matrix: [slices, rows, columns, 3]."""
    columns, rows, slices = image.GetSize()
    k, j, i = np.meshgrid(range(slices), range(rows), range(columns), indexing="ij")
    matrix = np.reshape(image.GetDirection(), (3, 3)) @ np.diag(image.GetSpacing())
    points = np.stack([i, j, k], axis=-1) @ matrix.T + image.GetOrigin()
    inverse = np.linalg.inv(motion)
    return points @ inverse[:3, :3].T + inverse[:3, 3]


@pytest.mark.parametrize(("number", "session"), VISITS)
def test_the_series_has_the_spacing_asked_for(visits, number, session):
    image, _, _ = visits[number, session]
    np.testing.assert_allclose(image.GetSpacing()[::-1], SPACING_MM, rtol=1e-9)


@pytest.mark.parametrize(("number", "session"), VISITS)
def test_the_field_of_view_holds_the_whole_head(visits, truth, number, session):
    image, _, _ = visits[number, session]
    shell = np.linalg.norm(head_points(image, motion_of(truth, number, session)) / HEAD_SEMI_AXES_MM, axis=-1)
    shell[1:-1, 1:-1, 1:-1] = np.inf
    assert shell.min() > 1.02


@pytest.mark.parametrize(("number", "session"), VISITS)
def test_every_third_patient_is_tilted(visits, number, session):
    direction = np.reshape(visits[number, session][0].GetDirection(), (3, 3))
    tilt = np.degrees(np.arccos((np.trace(direction) - 1) / 2)) if number % 3 == 1 else 0
    assert (4 <= tilt <= 12) if number % 3 == 1 else np.array_equal(direction, np.eye(3))


@pytest.mark.parametrize(("number", "session"), VISITS)
def test_masks_are_the_voxels_whose_centres_are_in_the_lesion(visits, truth, number, session):
    image, _, structures = visits[number, session]
    points = head_points(image, motion_of(truth, number, session))
    for lesion, facts in zip(make_cohort(PATIENTS)[number].lesions, truth[number]["lesions"], strict=True):
        expected = gtv(lesion, session, points)
        name = facts["roi"][session]
        if name is None:
            assert not expected.any()
            continue
        mask, warnings = rasterise(find_roi(structures, name), image)
        assert warnings == ()
        np.testing.assert_array_equal(sitk.GetArrayViewFromImage(mask), expected)


@pytest.mark.parametrize(("number", "session"), VISITS)
def test_volumes_are_true_to_one_voxel_layer(visits, truth, number, session):
    """A voxel counted wrongly has its centre within half its diagonal of the surface."""
    image, _, structures = visits[number, session]
    half_mm = np.linalg.norm(SPACING_MM) / 2
    for facts in truth[number]["lesions"]:
        true_mm3, name = facts["volume_mm3"][session], facts["roi"][session]
        drawn_mm3 = mask_figures(rasterise(find_roi(structures, name), image)[0]).volume_mm3 if name else 0.0
        radius_mm = np.cbrt(true_mm3 * 3 / (4 * np.pi))
        layer_mm3 = 4 / 3 * np.pi * ((radius_mm + half_mm) ** 3 - radius_mm**3)
        assert abs(drawn_mm3 - true_mm3) < layer_mm3


def test_large_lesions_have_their_true_volume(visits, truth):
    """Errors of voxels on a large surface cancel: the largest lesion is right to 1%."""
    for session in SESSIONS:
        image, _, structures = visits[0, session]
        (facts,) = truth[0]["lesions"]
        mask, _ = rasterise(find_roi(structures, facts["roi"][session]), image)
        np.testing.assert_allclose(mask_figures(mask).volume_mm3, facts["volume_mm3"][session], rtol=0.01)


@pytest.mark.parametrize(("number", "session"), VISITS)
def test_brain_and_external_are_the_ellipsoids(visits, number, session):
    """With every fourth point of an outline kept, the chords cut off less than 1% of the volume."""
    image, _, structures = visits[number, session]
    for name, shell in (("External", 1.0), ("Brain", BRAIN_SHELL)):
        volume = mask_figures(rasterise(find_roi(structures, name), image)[0]).volume_mm3
        np.testing.assert_allclose(volume, 4 / 3 * np.pi * np.prod(shell * HEAD_SEMI_AXES_MM), rtol=0.01)


def test_the_ptv_is_the_gtv_and_its_margin(visits, truth):
    image, _, structures = visits[0, "pre"]
    gtv_name = truth[0]["lesions"][0]["roi"]["pre"]
    inner, outer = (
        sitk.GetArrayFromImage(rasterise(find_roi(structures, name), image)[0]) > 0
        for name in (gtv_name, gtv_name.replace("GTV", "PTV"))
    )
    (lesion,) = make_cohort(PATIENTS)[0].lesions
    offset = head_points(image, np.eye(4)) - lesion.center_mm
    distance = np.linalg.norm(offset, axis=-1)
    surface = lesion.surface_mm(offset / np.maximum(distance, 1e-9)[..., None], "pre")
    np.testing.assert_array_equal(outer, distance < surface + PTV_MARGIN_MM)
    assert not (inner & ~outer).any()


@pytest.mark.parametrize("number", range(PATIENTS))
@pytest.mark.parametrize("session", ["post", "follow_up"])
def test_drift_away_from_lesions_is_noise_once_the_motion_is_undone(visits, truth, number, session):
    """Every voxel of the later visit, less the first visit's signal at the place the truth names, scaled by gain and
    bias: what is left has the noise's mean and standard deviation."""
    patient = make_cohort(PATIENTS)[number]
    image, _, _ = visits[number, session]
    points = head_points(image, motion_of(truth, number, session))
    inside = np.linalg.norm(points / HEAD_SEMI_AXES_MM, axis=-1) < 0.8
    for lesion in patient.lesions:
        far_mm = max(lesion.reach_mm("pre"), lesion.reach_mm(session)) + 5
        inside &= np.linalg.norm(points - lesion.center_mm, axis=-1) > far_mm
    points = points[inside]
    scale = patient.gain[session] / patient.gain["pre"]
    bias = np.exp(BIAS_STD * (patient.bias[session](points) - patient.bias["pre"](points)))
    drift = sitk.GetArrayViewFromImage(image)[inside] - scale * bias * tissue_signal(patient, "pre", points)
    assert len(drift) > 20_000
    # Rician noise adds sigma^2 / 2A, below 1 unit where the signal A is over 120; rounding adds a variance of 1/12.
    assert abs(drift.mean()) < 1.0
    np.testing.assert_allclose(drift.std(), NOISE_STD, rtol=0.02)


@pytest.mark.parametrize("number", range(PATIENTS))
def test_odd_patients_move_within_the_limits_and_even_ones_not_at_all(truth, number):
    np.testing.assert_array_equal(motion_of(truth, number, "pre"), np.eye(4))
    for session in ("post", "follow_up"):
        motion = motion_of(truth, number, session)
        rotation = motion[:3, :3]
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
        angle = np.degrees(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1)))
        shift_mm = np.linalg.norm(motion[:3, 3])
        if number % 2:
            assert 2 <= angle <= 10
            assert 3 <= shift_mm <= 15
        else:
            assert (angle, shift_mm) == (0, 0)


@pytest.mark.parametrize("number", range(PATIENTS))
def test_even_patients_share_a_frame_of_reference(visits, number):
    frames = {visits[number, session][1].frame_of_reference_uid for session in SESSIONS}
    assert len(frames) == (3 if number % 2 else 1)


@pytest.mark.parametrize("session", ["post", "follow_up"])
def test_the_registration_object_holds_the_true_motion(out, truth, visits, session):
    """Its matrix maps the later visit's frame to the first one's, so the true motion and then it come back."""
    registration = pydicom.dcmread(only(visit_folder(out, truth, 1, session) / "REG"))
    first, later = (visits[1, name][1].frame_of_reference_uid for name in ("pre", session))
    assert registration.FrameOfReferenceUID == first
    matrices = {}
    for item in registration.RegistrationSequence:
        (step,) = item.MatrixRegistrationSequence[0].MatrixSequence
        assert step.FrameOfReferenceTransformationMatrixType == "RIGID"
        matrices[item.FrameOfReferenceUID] = np.reshape(step.FrameOfReferenceTransformationMatrix, (4, 4)).astype(float)
    np.testing.assert_array_equal(matrices[first], np.eye(4))
    np.testing.assert_allclose(matrices[later] @ motion_of(truth, 1, session), np.eye(4), atol=1e-12)


def test_only_visits_that_are_registered_have_a_registration_object(out, truth):
    found = {file.parents[1] for file in out.glob("*/*/REG/*")}
    assert found == {visit_folder(out, truth, 1, session) for session in ("post", "follow_up")}
    assert [patient["registration"] for patient in truth] == ["identity", "dicom", "identity", "rigid"]


def test_gtvs_are_told_from_other_structures_by_name(visits, truth):
    for (number, session), (_, _, structures) in visits.items():
        targets = {roi.name for roi in structures.rois if is_target(roi.name)}
        assert targets == {facts["roi"][session] for facts in truth[number]["lesions"]} - {None}


def test_another_planner_gives_another_name(truth):
    (facts,) = truth[3]["lesions"]
    assert facts["roi"] == {
        "pre": "GTV-1 (L temporal)",
        "post": "GTV1_L_temporal",
        "follow_up": "GTV1_L_temporal",
    }


def test_response_group_is_that_of_the_volumes(truth):
    for patient in truth:
        for facts in patient["lesions"]:
            kept = facts["volume_mm3"]["follow_up"] / facts["volume_mm3"]["pre"]
            assert facts["group"] == ("A" if kept >= 0.8 else "B")


def test_pixels_are_stored_in_three_ways(out, truth):
    found = set()
    for number, session in VISITS:
        header = pydicom.dcmread(next((visit_folder(out, truth, number, session) / "MR_T1").iterdir()))
        found.add((header.PixelRepresentation, header.get("RescaleSlope"), header.get("RescaleIntercept")))
    assert found == {(0, None, None), (1, None, None), (0, 0.25, -16)}


def test_scan_finds_every_structure_on_its_own_series(out, truth):
    found = scan(out)
    assert [file for file, _ in found.refused] == [out / "truth.json"]
    assert [patient.patient_id for patient in found.patients] == [facts["patient_id"] for facts in truth]
    for patient, facts in zip(found.patients, truth, strict=True):
        dates = [visit["date"] for visit in facts["visits"].values()]
        assert [str(study.date) for study in patient.studies] == dates
        for study in patient.studies:
            ((series,), (structures,)) = study.series, study.structure_sets
            assert (series.fault, structures.fault) == ("", "")
            for roi in structures.rois:
                assert [one.series_uid for one in roi.fits] == [series.uid]


@pytest.fixture(scope="module")
def coarse(tmp_path_factory):
    """Voxels of half a cubic centimetre, which the smallest lesion falls between."""
    folder = tmp_path_factory.mktemp("coarse") / "export"
    write_phantom(folder, patients=2, seed=3, spacing_mm=COARSE_MM, workers=2)
    return folder


def test_the_same_seed_writes_the_same_bytes(coarse, tmp_path):
    write_phantom(tmp_path / "again", patients=2, seed=3, spacing_mm=COARSE_MM, workers=2)
    first, second = (
        {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
        for folder in (coarse, tmp_path / "again")
    )
    assert len(first) > 60
    assert first == second


def test_a_patient_alone_has_the_bytes_it_has_among_all(coarse, tmp_path):
    write_phantom(tmp_path / "alone", patients=2, seed=3, only=[2], spacing_mm=COARSE_MM, workers=1)
    (row,) = json.loads((tmp_path / "alone/truth.json").read_text())["patients"]
    assert row == json.loads((coarse / "truth.json").read_text())["patients"][1]
    (folder,) = [path for path in (tmp_path / "alone").iterdir() if path.is_dir()]
    written = [path.relative_to(tmp_path / "alone") for path in folder.rglob("*") if path.is_file()]
    assert len(written) > 30
    assert all((coarse / path).read_bytes() == (tmp_path / "alone" / path).read_bytes() for path in written)


def test_a_patient_that_there_is_not_is_refused(tmp_path):
    with pytest.raises(UsageError, match="--only 3: there are patients 1 to 2"):
        write_phantom(tmp_path / "out", patients=2, only=[3])
    assert not (tmp_path / "out").exists()


def test_a_lesion_between_the_voxels_is_not_drawn(coarse):
    patient = json.loads((coarse / "truth.json").read_text())["patients"][1]
    assert [facts["roi"] for facts in patient["lesions"]] == [dict.fromkeys(SESSIONS)]
    structures = read_structures(only(visit_folder(coarse, [patient], 0, "pre") / "RTSTRUCT"))
    assert [roi.name for roi in structures.rois] == ["External", "Brain"]


def test_a_run_that_is_stopped_leaves_whole_patients_and_no_truth(tmp_path):
    def stop(finished):
        yield next(iter(finished))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_phantom(tmp_path / "out", patients=5, spacing_mm=COARSE_MM, workers=1, progress=stop)
    left = list((tmp_path / "out").iterdir())
    assert 1 <= len(left) < 5
    for folder in left:
        assert len(list(folder.glob("*/RTSTRUCT/*.dcm"))) == 3


def test_a_folder_that_is_not_empty_is_refused_and_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not an empty folder; give one that does not exist yet"):
        write_phantom(tmp_path, patients=2)
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


def test_a_file_is_refused(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(UsageError, match="is not an empty folder"):
        write_phantom(tmp_path / "out", patients=2)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ResourceError, match="Not a directory; free space or choose another folder"):
        write_phantom(tmp_path / "file" / "out", patients=2)


def test_too_few_patients_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(UsageError, match="1 patients make no cohort"):
        write_phantom(tmp_path / "out", patients=1)
    assert not (tmp_path / "out").exists()
