import json
import logging
import os
import re
import shutil
import subprocess
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from tests.clinic.patients import (
    ADAPTIVE,
    CALIBRATION,
    LEFT,
    MIDDLE,
    ORIENTATIONS,
    PER_MM,
    SIZE,
    PythonModel,
    brighter_than_middle,
    centers_mm,
    factor_of,
    middle_mm,
    noisy,
    ramp,
    same,
    scaled,
    turned,
    write_formula,
    write_patient,
)
from tests.imaging.mock_dicom import (
    FRAME_UID,
    SERIES_UID,
    STUDY_UID,
    contours_of,
    enhanced_dataset,
    make_grid,
    structures_dataset,
    write,
    write_series,
)
from tests.imaging.mock_segmentation import segmentation_dataset
from tfdrift.clinic import output, predict
from tfdrift.clinic.lesion import outcome_seeds
from tfdrift.clinic.local_model import LocalModel
from tfdrift.clinic.predict import predict_patient
from tfdrift.clinic.served_model import ServedModel
from tfdrift.errors import DataError, ResourceError, UsageError
from tfdrift.imaging.series import read_series
from tfdrift.imaging.structures import rasterise, read_structures
from tfdrift.importing.target_names import is_target
from tfdrift.serving.server import embedded_server

CROP_PIXEL_MM = 1.2  # 13 voxels of 0.9 to 1.1 mm and a margin of a quarter on each side, over 16 pixels
DIRECTIONS = {**ORIENTATIONS, **{f"oblique {seed}": turned(seed) for seed in range(3)}}
DATA = Path(os.environ.get("TFDRIFT_TEST_DATA", Path(__file__).parents[3] / "shared/data"))
TWO = {"GTV 1": {"offset_mm": (-4, 0, 0), "radius_mm": 4.5}, "GTV 2": {"offset_mm": (4, 1, 0), "radius_mm": 4.5}}


@pytest.fixture
def without_report(monkeypatch):
    """Leave out the pictures, which take most of the time."""
    monkeypatch.setattr(predict, "build_report", lambda *_args, **_named: "")


@pytest.fixture(scope="module", params=DIRECTIONS)
def written(request, tmp_path_factory):
    """A patient scanned in one orientation, and the folder of the prediction by `brighter_than_middle`.

    Positive drift where the MRI is brighter than in the middle, which is on the patient's left; GTV left there.
    """
    folder = tmp_path_factory.mktemp("patient")
    patient = write_patient(folder, direction=DIRECTIONS[request.param])
    model = LocalModel(write_formula(folder / "sided", brighter_than_middle))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(predict, "build_report", lambda *_args, **_named: "")
        run(patient, folder / "out", model)
    return patient, folder / "out"


def run(patient, out, model=None, **given) -> dict:
    """Predict with 3 outcomes and give what is in `prediction.json`."""
    arguments = {"series_dir": patient.series, "rtstruct": patient.rtstruct, "outcomes": 3, **given}
    return predict_patient(model or PythonModel(scaled), out=out, **arguments)


def read_nifti(path) -> tuple[np.ndarray, np.ndarray]:
    """Patient coordinates (LPS) and value of each voxel, by the file's own affine."""
    image = nibabel.load(path)
    index = np.argwhere(np.ones(image.shape))
    ras = index @ image.affine[:3, :3].T + image.affine[:3, 3]
    return ras * (-1, -1, 1), image.get_fdata()[tuple(index.T)]


def read_frames(path) -> tuple[np.ndarray, np.ndarray]:
    """Patient coordinates and value of each pixel of each frame, by DICOM PS3.3 equation C.7.6.2.1-1."""
    dataset = pydicom.dcmread(path)
    shape = (dataset.NumberOfFrames, dataset.Rows, dataset.Columns)
    if "FloatPixelData" in dataset:
        values = np.frombuffer(dataset.FloatPixelData, "<f4").reshape(shape)
    else:
        values = dataset.pixel_array.reshape(shape)
    shared = dataset.SharedFunctionalGroupsSequence[0]
    cosines = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    row_mm, column_mm = shared.PixelMeasuresSequence[0].PixelSpacing
    origins = np.array(
        [frame.PlanePositionSequence[0].ImagePositionPatient for frame in dataset.PerFrameFunctionalGroupsSequence],
        float,
    )
    i, j = np.arange(shape[2])[:, None], np.arange(shape[1])[:, None, None]
    points = origins[:, None, None] + column_mm * i * cosines[:3] + row_mm * j * cosines[3:]
    return points.reshape(-1, 3), values.ravel()


def assert_is_ramp_to_the_left(points_mm, drift, grid):
    left_mm = (points_mm - middle_mm(grid)) @ LEFT
    # By interpolation a value may cross over by a crop pixel where the edge of the lesion is near.
    assert left_mm[drift > 1].min() > -CROP_PIXEL_MM
    assert left_mm[drift < -1].max() < CROP_PIXEL_MM
    interior = np.linalg.norm(points_mm - middle_mm(grid), axis=1) < 3.5
    assert interior.sum() > 50
    # A linear signal survives linear interpolation; the MRI holds it in whole numbers.
    np.testing.assert_allclose(drift[interior], PER_MM * left_mm[interior], atol=0.51)


def test_nifti_drift_lies_on_the_patients_side_it_is_on(written):
    patient, out = written
    assert_is_ramp_to_the_left(*read_nifti(out / "nifti/drift_mean.nii.gz"), patient.grid)


def test_parametric_map_drift_lies_on_the_patients_side_it_is_on(written):
    patient, out = written
    assert_is_ramp_to_the_left(*read_frames(out / "dicom/drift_mean.dcm"), patient.grid)


@pytest.mark.usefixtures("without_report")
@pytest.mark.parametrize("roi", ["GTV", "#1"])
def test_a_segmentation_takes_the_place_of_the_structure_set(tmp_path, roi):
    patient = write_patient(tmp_path)
    drawn = run(patient, tmp_path / "drawn")
    seg = write(segmentation_dataset(patient.grid, patient.masks), tmp_path / "seg.dcm")
    assert run(patient, tmp_path / "out", rtstruct=seg, roi=roi)["lesions"] == drawn["lesions"]


def test_nifti_post_is_the_mri_on_the_side_that_is_left(written):
    patient, out = written
    points, post = read_nifti(out / "nifti/post_mean.nii.gz")
    left_mm = (points - middle_mm(patient.grid)) @ LEFT
    interior = (np.linalg.norm(points - middle_mm(patient.grid), axis=1) < 3.5) & (np.abs(left_mm) > 1.5)
    np.testing.assert_allclose(post[interior], np.where(left_mm > 0, MIDDLE + PER_MM * left_mm, 0)[interior], atol=0.51)


def test_segmentation_lies_on_the_patients_side_it_is_on(written):
    patient, out = written
    points, inside = read_frames(out / "dicom/predicted_gtv.dcm")
    left_mm = (points[inside > 0] - middle_mm(patient.grid)) @ LEFT
    assert left_mm.min() > -CROP_PIXEL_MM
    on_the_left = (centers_mm(patient.grid) - middle_mm(patient.grid)) @ LEFT > 0.01
    assert len(left_mm) == pytest.approx((patient.masks["GTV 1"] & on_the_left).sum(), rel=0.15)


def contoured(out, image, number=1) -> np.ndarray:
    """Voxels of a structure of the RTSTRUCT of a prediction, by our own reader."""
    (roi,) = (roi for roi in read_structures(out / "dicom/predicted_gtv_rtstruct.dcm").rois if roi.number == number)
    return sitk.GetArrayFromImage(rasterise(roi, image)[0]).astype(bool)


def test_contours_are_the_segmentation_voxel_for_voxel(written):
    patient, out = written
    image, _ = read_series(patient.series)
    points, inside = read_frames(out / "dicom/predicted_gtv.dcm")
    segmented = np.zeros(image.GetSize()[::-1], bool)
    for point in points[inside > 0]:
        segmented[image.TransformPhysicalPointToIndex(point.tolist())[::-1]] = True
    assert segmented.any()
    np.testing.assert_array_equal(contoured(out, image), segmented)


def test_contours_say_that_they_are_predicted_and_for_research(written):
    dataset = pydicom.dcmread(written[1] / "dicom/predicted_gtv_rtstruct.dcm")
    (roi,) = dataset.StructureSetROISequence
    for text in (dataset.StructureSetName, dataset.StructureSetDescription, dataset.SeriesDescription, roi.ROIName):
        assert "predicted, research" in text
    assert dataset.StructureSetLabel == "pred., research"  # 16 characters are the most a label has
    assert dataset.ApprovalStatus == "UNAPPROVED"


def test_what_was_predicted_is_never_taken_for_what_was_drawn(written):
    for name in ("predicted_gtv", "predicted_gtv_rtstruct"):
        (roi,) = read_structures(written[1] / f"dicom/{name}.dcm").rois
        assert roi.name == "GTV 1 (predicted, research)"
        assert not is_target(roi.name)


@pytest.mark.usefixtures("without_report")
def test_a_structure_without_a_name_is_predicted_by_its_number(tmp_path):
    patient = write_patient(tmp_path, lesions={"": {}})
    run(patient, tmp_path / "out", roi="#1")
    for name in ("predicted_gtv", "predicted_gtv_rtstruct"):
        (roi,) = read_structures(tmp_path / f"out/dicom/{name}.dcm").rois
        assert roi.name == "structure 1 (predicted, research)"


@pytest.mark.usefixtures("without_report")
def test_probability_is_the_share_of_outcomes_that_show_the_lesion(tmp_path):
    """Of 4 outcomes 3 keep the left half of the lesion and 1 keeps all."""
    asked = []

    def model(image, seed):
        outcome = np.unique(seed, axis=0, return_inverse=True)[1].ravel()
        asked.append(outcome)
        keep = np.where((outcome == 2)[:, None], True, np.arange(SIZE) >= SIZE // 2)
        return {"post": image * keep[:, None, :, None], "drift": np.zeros_like(image)}

    patient = write_patient(tmp_path)
    run(patient, tmp_path / "out", PythonModel(model), outcomes=4)
    assert len(asked) == 1
    for points, share in (
        read_nifti(tmp_path / "out/nifti/lesion_probability.nii.gz"),
        read_frames(tmp_path / "out/dicom/lesion_probability.dcm"),
    ):
        assert set(np.unique(share)) == {0.0, 0.25, 1.0}
        left_mm = (points - middle_mm(patient.grid)) @ LEFT
        inside = np.linalg.norm(points - middle_mm(patient.grid), axis=1) < 4.5
        assert (share[inside & (left_mm > CROP_PIXEL_MM)] == 1).all()
        assert (share[inside & (left_mm < -CROP_PIXEL_MM)] == 0.25).all()


@pytest.mark.usefixtures("without_report")
def test_an_enhanced_multi_frame_series_gives_the_same_maps(tmp_path):
    patient = write_patient(tmp_path, direction=turned(5))
    volume = ramp(patient.grid)
    (tmp_path / "enhanced").mkdir()
    order = np.random.default_rng(0).permutation(len(volume)).tolist()
    write(enhanced_dataset(patient.grid, volume, order, [1] * len(volume)), tmp_path / "enhanced/one.dcm")
    run(patient, tmp_path / "a")
    run(patient, tmp_path / "b", series_dir=tmp_path / "enhanced")
    for name in ("drift_mean", "predicted_gtv"):
        points, values = read_frames(tmp_path / f"a/dicom/{name}.dcm")
        again_points, again_values = read_frames(tmp_path / f"b/dicom/{name}.dcm")
        np.testing.assert_allclose(again_points, points, rtol=0, atol=1e-6)
        np.testing.assert_array_equal(again_values, values)


def test_everything_is_written_and_nothing_else(tmp_path):
    patient = write_patient(tmp_path)
    document = run(patient, tmp_path / "out")
    files = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert files == {
        "prediction.json", "report.html",
        "nifti/post_mean.nii.gz", "nifti/drift_mean.nii.gz", "nifti/drift_std.nii.gz",
        "nifti/lesion_probability.nii.gz",
        "dicom/drift_mean.dcm", "dicom/drift_std.dcm", "dicom/lesion_probability.dcm",
        "dicom/predicted_gtv.dcm", "dicom/predicted_gtv_rtstruct.dcm",
    }  # fmt: skip
    assert json.loads((tmp_path / "out/prediction.json").read_text()) == document
    assert {path.name for path in tmp_path.iterdir()} == {"MR", "RS.dcm", "out"}


@pytest.mark.usefixtures("without_report")
def test_nifti_stands_on_the_grid_of_the_mri(tmp_path):
    patient = write_patient(tmp_path, direction=turned(3))
    run(patient, tmp_path / "out")
    image = sitk.ReadImage(str(tmp_path / "out/nifti/drift_std.nii.gz"))
    assert image.GetSize() == patient.grid.size
    # NIfTI's affine has single precision.
    np.testing.assert_allclose(image.GetSpacing(), patient.grid.spacing_mm, rtol=1e-6)
    np.testing.assert_allclose(image.GetOrigin(), patient.grid.origin_mm, atol=1e-4)
    np.testing.assert_allclose(image.GetDirection(), patient.grid.direction, atol=1e-6)


@pytest.mark.usefixtures("without_report")
def test_volume_now_is_that_of_the_contours(tmp_path):
    patient = write_patient(tmp_path, lesions=TWO)
    lesions = run(patient, tmp_path / "out")["lesions"]
    assert [lesion["name"] for lesion in lesions] == ["GTV 1", "GTV 2"]
    for lesion in lesions:
        mask = patient.masks[lesion["name"]]
        assert lesion["volume_now_mm3"] == pytest.approx(mask.sum() * 0.9 * 1.1 * 2.0)
        assert lesion["slices"] == (np.flatnonzero(mask.any(axis=(1, 2))) + 1).tolist()


@pytest.mark.usefixtures("without_report")
def test_a_calibration_widens_the_intervals_and_leaves_the_outcomes_alone(tmp_path):
    patient = write_patient(tmp_path)
    raw = run(patient, tmp_path / "raw")
    calibrated = run(patient, tmp_path / "calibrated", PythonModel(scaled, calibration=CALIBRATION))
    (before,), (after,) = raw["lesions"], calibrated["lesions"]
    now, was, widened = before["volume_now_mm3"], before["volume_predicted_mm3"], after["volume_predicted_mm3"]
    assert (was["low"], was["high"]) == (was["raw_low"], was["raw_high"]) == (widened["raw_low"], widened["raw_high"])
    assert widened["low"] == pytest.approx(was["low"] - 0.25 * now)
    assert widened["high"] == pytest.approx(was["high"] + 0.25 * now)
    assert (widened["mean"], widened["samples"]) == (was["mean"], was["samples"])
    drift, wider = before["drift_in_gtv_scanner_units"], after["drift_in_gtv_scanner_units"]
    assert drift["interval_half_width"] == drift["raw_interval_half_width"] == wider["raw_interval_half_width"]
    # The largest signal of a slice is at most that of the ramp 6 mm to the left, and at least the middle's.
    assert 0.125 * MIDDLE < wider["interval_half_width"] - drift["interval_half_width"] < 0.125 * (MIDDLE + 6 * PER_MM)
    for file in ("drift_mean", "drift_std"):
        names = (tmp_path / f"{folder}/nifti/{file}.nii.gz" for folder in ("raw", "calibrated"))
        assert len({name.read_bytes() for name in names}) == 1


@pytest.mark.usefixtures("without_report")
def test_the_document_says_whether_it_is_calibrated_and_on_how_many(tmp_path):
    patient = write_patient(tmp_path)
    raw = run(patient, tmp_path / "raw")
    assert (raw["calibration"], raw["lesions"][0]["below_80_percent"]) == (None, None)
    calibrated = run(patient, tmp_path / "calibrated", PythonModel(same, calibration=CALIBRATION))
    assert calibrated["calibration"] == {
        "coverage": 0.9, "volume_margin": 0.25, "drift_margin": 0.125, "patients": 39, "outcomes": 16,
    }  # fmt: skip
    (lesion,) = calibrated["lesions"]  # nothing changes, give or take a quarter: 80% of now is within
    assert (lesion["share_of_samples_below_80_percent"], lesion["below_80_percent"]) == (0.0, "undecided")


@pytest.mark.usefixtures("without_report")
def test_a_calibrated_interval_ends_at_zero(tmp_path):
    wide = PythonModel(same, calibration={**CALIBRATION, "volume_margin": 1.5})
    (lesion,) = run(write_patient(tmp_path), tmp_path / "out", wide)["lesions"]
    assert lesion["volume_predicted_mm3"]["low"] == 0.0


@pytest.mark.usefixtures("without_report")
def test_margins_that_adapt_take_the_place_of_the_constant_ones(tmp_path):
    patient = write_patient(tmp_path)
    raw = run(patient, tmp_path / "raw")
    model = PythonModel(scaled, calibration={**CALIBRATION, "adaptive": ADAPTIVE})
    adaptive = run(patient, tmp_path / "adaptive", model)
    (before,), (after,) = raw["lesions"], adaptive["lesions"]
    was, widened = before["volume_predicted_mm3"], after["volume_predicted_mm3"]
    spread = max(np.std(was["samples"], ddof=1), 0.05 * before["volume_now_mm3"])
    assert widened["low"] == pytest.approx(max(was["low"] - 0.75 * 2 * spread, 0))
    assert widened["high"] == pytest.approx(was["high"] + 0.75 * 2 * spread)
    assert (widened["raw_low"], widened["raw_high"]) == (was["raw_low"], was["raw_high"])
    # All of an image becomes brighter or darker by one factor, so that drift spreads as the signal is bright; its
    # margin is between those of a core and a rim that spread like the brightest pixel, or by the floor.
    drift, wider = before["drift_in_gtv_scanner_units"], after["drift_in_gtv_scanner_units"]
    more = wider["interval_half_width"] - drift["interval_half_width"]
    factors = factor_of(outcome_seeds(0, 1, 3, 1)[:, 0])
    brightest = MIDDLE + 6 * PER_MM
    assert 0.5 * 1 * 0.1 * MIDDLE < more < 0.5 * 2 * max(np.std(factors, ddof=1), 0.1) * brightest
    assert adaptive["calibration"]["adaptive"] == {**ADAPTIVE, "regions": ["core", "rim", "outside"]}
    assert "adaptive margin" in adaptive["interval"]


@pytest.mark.usefixtures("without_report")
def test_where_outcomes_do_not_differ_the_floor_widens_core_and_rim(tmp_path):
    patient = write_patient(tmp_path)
    model = PythonModel(same, calibration={**CALIBRATION, "adaptive": ADAPTIVE})
    (lesion,) = run(patient, tmp_path / "out", model)["lesions"]
    now, predicted = lesion["volume_now_mm3"], lesion["volume_predicted_mm3"]
    raw = predicted["raw_low"], predicted["raw_high"]
    assert predicted["low"] == pytest.approx(raw[0] - 0.075 * now)
    assert predicted["high"] == pytest.approx(raw[1] + 0.075 * now)
    half = lesion["drift_in_gtv_scanner_units"]["interval_half_width"]
    assert 0.05 * MIDDLE < half < 0.1 * (MIDDLE + 6 * PER_MM)
    assert lesion["below_80_percent"] == "no"  # the constant margin of a quarter left it undecided


def test_a_damaged_calibration_is_refused(tmp_path):
    damaged = PythonModel(same, calibration={"volume_margin": 0.2})
    refuse(DataError, "the model formula holds a calibration this version cannot read", tmp_path,
           write_patient(tmp_path), model=damaged)  # fmt: skip


@pytest.mark.usefixtures("without_report")
def test_lesions_whose_crops_overlap_add_up(tmp_path):
    patient = write_patient(tmp_path, lesions=TWO)
    for name, roi in (("both", "GTV"), ("one", "GTV 1"), ("two", "GTV 2")):
        run(patient, tmp_path / name, roi=roi)

    def read(folder, name):
        return nibabel.load(tmp_path / folder / f"nifti/{name}.nii.gz").get_fdata()

    one, two = read("one", "drift_mean"), read("two", "drift_mean")
    assert ((one != 0) & (two != 0)).any()
    np.testing.assert_allclose(read("both", "drift_mean"), one + two, rtol=1e-5, atol=1e-3)
    spread = np.hypot(read("one", "drift_std"), read("two", "drift_std"))
    np.testing.assert_allclose(read("both", "drift_std"), spread, rtol=1e-5, atol=1e-3)


@pytest.mark.usefixtures("without_report")
def test_the_same_seed_gives_the_same_bytes_and_another_one_does_not(tmp_path):
    patient = write_patient(tmp_path)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run(patient, tmp_path / name, seed=seed)
    for file in ("prediction.json", "nifti/drift_mean.nii.gz", "nifti/drift_std.nii.gz"):
        first = (tmp_path / "a" / file).read_bytes()
        assert (tmp_path / "b" / file).read_bytes() == first
        assert (tmp_path / "c" / file).read_bytes() != first


@pytest.mark.usefixtures("without_report")
def test_a_server_gives_the_prediction_of_the_version_on_disk(tmp_path):
    patient = write_patient(tmp_path)
    version = write_formula(tmp_path / "chancy", noisy)
    ours = run(patient, tmp_path / "a", LocalModel(version))
    with embedded_server({"chancy": version.parent}) as server:
        served = ServedModel(f"127.0.0.1:{server.grpc_port}", "chancy")
        theirs = run(patient, tmp_path / "b", served)
        served.close()
    for (lesion,) in (ours["lesions"], theirs["lesions"]):
        lesion.pop("warnings")
    assert theirs["lesions"] == ours["lesions"]
    assert (theirs["model"]["name"], theirs["model"]["version"]) == ("chancy", 7)


@pytest.mark.usefixtures("without_report")
def test_a_model_is_sent_crops_that_are_zero_outside_the_gtv_and_seeds(tmp_path):
    patient, requests = write_patient(tmp_path), []

    def record(image, seed):
        requests.append((image, seed))
        return scaled(image, seed)

    run(patient, tmp_path / "out", PythonModel(record))
    for image, seed in requests:
        assert (image.dtype, seed.dtype) == (np.float32, np.int64)
        outside = np.hypot(*(np.indices(image.shape[1:3]) - 7.5)) > 7  # the GTV fills two thirds of the crop
        assert not image[:, outside].any()


def test_no_identity_leaves_but_in_the_dicom_objects(tmp_path, capsys, caplog):
    def rename(dataset, _k):
        dataset.PatientName, dataset.PatientID = "Quxbury^Zelda", "ZQ-4711"

    patient = write_patient(tmp_path, lesions={"GTV zelda left": {}, "GTV zq": {}}, change=rename)
    caplog.set_level(logging.DEBUG)
    run(patient, tmp_path / "out")
    captured = capsys.readouterr()
    said = captured.out + captured.err + caplog.text
    said += (tmp_path / "out/prediction.json").read_text() + (tmp_path / "out/report.html").read_text()
    for secret in ("quxbury", "zelda", "4711", FRAME_UID, SERIES_UID, STUDY_UID, "20240131", "2024-01-31"):
        assert secret not in said.casefold()
    assert pydicom.dcmread(tmp_path / "out/dicom/predicted_gtv.dcm").PatientName == "Quxbury^Zelda"


@pytest.mark.usefixtures("without_report")
def test_a_structure_without_contours_is_skipped_and_said(tmp_path):
    patient = write_patient(tmp_path)
    dataset = pydicom.dcmread(patient.rtstruct)
    empty = structures_dataset({"GTV 1": [], "GTV 2": []})
    dataset.StructureSetROISequence.append(empty.StructureSetROISequence[1])
    dataset.ROIContourSequence.append(empty.ROIContourSequence[1])
    document = run(patient, tmp_path / "out", rtstruct=write(dataset, tmp_path / "two.dcm"))
    assert document["skipped"] == ["GTV 2: structure 2 has no closed contours"]
    assert [lesion["name"] for lesion in document["lesions"]] == ["GTV 1"]


@pytest.mark.usefixtures("without_report")
@pytest.mark.parametrize(("rows", "columns"), [(1, 40), (40, 1), (2, 60)])
def test_a_structure_too_thin_for_the_crop_is_skipped_and_costs_no_other(tmp_path, rows, columns):
    grid = make_grid(size=(70, 70, 3), spacing_mm=(0.9, 0.9, 2.0))
    thin, whole = np.zeros((2, 3, 70, 70), bool)
    thin[1, 3 : 3 + rows, 3 : 3 + columns] = True
    whole[:, 40:60, 40:60] = True
    write_series(tmp_path / "MR", grid, ramp(grid))
    contours = {"GTV thin": contours_of(thin, grid), "GTV whole": contours_of(whole, grid)}
    rtstruct = write(structures_dataset(contours), tmp_path / "RS.dcm")
    document = predict_patient(
        PythonModel(scaled, size=32), series_dir=tmp_path / "MR", rtstruct=rtstruct, outcomes=2, out=tmp_path / "out"
    )
    assert [lesion["name"] for lesion in document["lesions"]] == ["GTV whole"]
    (skipped,) = document["skipped"]
    side_mm = 1.5 * 0.9 * max(rows, columns)  # a quarter of the extent on both sides
    assert skipped == (
        f"GTV thin: no slice of it covers half of a pixel of a crop of 32 pixels, {side_mm / 32:.1f} mm each: "
        "it is too thin for this model"
    )


def refuse(error, said, tmp_path, patient, **given):
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(error, match=said) as caught:
        run(patient, given.pop("out", tmp_path / "out"), **given)
    assert "\n" not in str(caught.value)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before
    assert not [path for path in tmp_path.rglob(".*") if path.is_dir()]


def test_a_structure_set_of_another_series_is_refused(tmp_path):
    patient = write_patient(tmp_path)
    dataset = pydicom.dcmread(patient.rtstruct)
    study = dataset.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
    study.RTReferencedSeriesSequence[0].SeriesInstanceUID = "1.2.3"
    write(dataset, patient.rtstruct)
    refuse(DataError, "does not fit this series: it refers to another series", tmp_path, patient)


@pytest.mark.parametrize(
    ("references", "said"),
    [
        (["1.2.3"], "its structure set refers to a series that is not there; matched by place alone"),
        ([], "its structure set refers to no series; matched by place alone"),
    ],
)
def test_a_match_by_place_alone_is_warned_of(tmp_path, references, said):
    """Against a reference it is to be asked for; without one it is not."""
    patient = write_patient(tmp_path)
    dataset = pydicom.dcmread(patient.rtstruct)
    series = dataset.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0].RTReferencedSeriesSequence
    for uid in references:
        series[0].SeriesInstanceUID = uid
    if not references:
        del series[0]
    write(dataset, patient.rtstruct)
    document = run(patient, tmp_path / "out", by_place=bool(references))
    assert [said in lesion["warnings"] for lesion in document["lesions"]] == [True]


def test_a_structure_drawn_on_another_series_of_its_structure_set_is_skipped(tmp_path):
    """The contours of one name an image of the series, those of the other one of its twin."""
    patient = write_patient(tmp_path, lesions=TWO)
    dataset = pydicom.dcmread(patient.rtstruct)
    study = dataset.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
    study.RTReferencedSeriesSequence.append(pydicom.Dataset())
    study.RTReferencedSeriesSequence[1].SeriesInstanceUID = "1.2.3"
    own = pydicom.dcmread(next(patient.series.iterdir())).SOPInstanceUID
    for drawn, image_uid in zip(dataset.ROIContourSequence, (own, "1.2.3.1"), strict=True):
        image = pydicom.Dataset()
        image.ReferencedSOPInstanceUID = image_uid
        drawn.ContourSequence[0].ContourImageSequence = [image]
    write(dataset, patient.rtstruct)
    document = run(patient, tmp_path / "out")
    assert [lesion["structure"] for lesion in document["lesions"]] == [1]
    assert document["skipped"] == ["GTV 2: structure 2 was drawn on another series"]


def with_padding(where):
    """A change of `write_series` that makes this part of each slice padding."""

    def change(dataset, _k):
        pixels = np.frombuffer(dataset.PixelData, np.uint16).reshape(dataset.Rows, dataset.Columns).copy()
        pixels[where] = 65535
        dataset.PixelData = pixels.tobytes()
        dataset.add_new("PixelPaddingValue", "US", 65535)

    return change


def test_padding_is_no_part_of_a_lesion(tmp_path):
    """The lesion's middle is between rows 13 and 14."""
    whole = run(write_patient(tmp_path / "whole"), tmp_path / "whole" / "out")
    patient = write_patient(tmp_path / "half", change=with_padding(np.s_[14:]))
    document = run(patient, tmp_path / "half" / "out")
    (lesion,), (before,) = document["lesions"], whole["lesions"]
    assert lesion["volume_now_mm3"] == pytest.approx(before["volume_now_mm3"] / 2)
    assert "50% of it is padding in the MRI; volume and prediction are of the rest" in lesion["warnings"]
    _, shown = read_nifti(tmp_path / "half/out/nifti/post_mean.nii.gz")
    _, full = read_nifti(tmp_path / "whole/out/nifti/post_mean.nii.gz")
    assert shown.max() <= 1.02 * full.max()  # the padding's value is a hundred times that


def test_a_lesion_that_is_all_padding_is_skipped(tmp_path):
    patient = write_patient(tmp_path, lesions=TWO, change=with_padding(np.s_[:, :16]))
    document = run(patient, tmp_path / "out")
    assert document["skipped"] == ["GTV 1: all of it is padding in the MRI, which holds no signal"]


def test_no_matching_structure_is_refused_without_naming_those_there_are(tmp_path):
    patient = write_patient(tmp_path, lesions={"GTV Jane": {}})
    refuse(DataError, r"none of the 1 structures matches --roi 'Met'", tmp_path, patient, roi="Met")


def test_a_pattern_that_is_none_is_refused(tmp_path):
    refuse(UsageError, "is not a regular expression", tmp_path, write_patient(tmp_path), roi="(")


def test_matching_structures_none_of_which_can_be_used_are_refused(tmp_path):
    patient = write_patient(tmp_path)
    rtstruct = write(structures_dataset({"GTV 1": [], "Brain": [np.eye(3)]}), patient.rtstruct)
    dataset = pydicom.dcmread(rtstruct)
    whole = pydicom.dcmread(write_patient(tmp_path / "other").rtstruct)
    dataset.ROIContourSequence[1].ContourSequence = whole.ROIContourSequence[0].ContourSequence
    write(dataset, rtstruct)
    refuse(DataError, "can be predicted; GTV 1: structure 1 has no closed", tmp_path, patient)


def test_a_series_that_is_no_mr_is_refused(tmp_path):
    patient = write_patient(tmp_path, change=lambda dataset, _k: setattr(dataset, "Modality", "CT"))
    refuse(DataError, "the series is CT, not MR", tmp_path, patient)


def never(_image, _seed):
    raise AssertionError


@pytest.mark.parametrize("keyword", ["FrameOfReferenceUID", "SOPInstanceUID"])
def test_a_series_that_nothing_can_refer_to_is_refused_before_the_model_is_asked(tmp_path, keyword):
    patient = write_patient(tmp_path, change=lambda dataset, _k: dataset.pop(keyword))
    refuse(DataError, f"no (usable )?{keyword}", tmp_path, patient, model=PythonModel(never))


def test_headers_that_no_object_can_be_made_of_are_refused_before_the_model_is_asked(tmp_path, monkeypatch):
    def broken(*_args, **_named):
        raise DataError("the series' header has no usable X")

    monkeypatch.setattr(output, "write_structure_set", broken)
    refuse(DataError, "no usable X", tmp_path, write_patient(tmp_path), model=PythonModel(never))


@pytest.mark.filterwarnings("ignore:Invalid value for VR")  # of making the broken headers
@pytest.mark.usefixtures("without_report")
@pytest.mark.parametrize(
    ("keyword", "vr", "found", "written"),
    [
        ("PatientBirthDate", "DA", "ANONYMIZED", ""),
        ("PatientBirthDate", "DA", "1950", ""),
        ("PatientBirthDate", "DA", "00000000", ""),
        ("PatientBirthDate", "DA", "1950-01-02", "19500102"),
        ("StudyTime", "TM", "10:22:33", "102233"),
        ("StudyDate", "DA", "2024-01-10", "20240110"),
        ("StudyTime", "TM", "25:99", ""),
        ("PatientBirthDate", "LO", "19500102", ""),
        ("PatientSex", "CS", "FEMALE", ""),
    ],
)
def test_an_attribute_that_no_result_needs_is_written_valid_or_empty(tmp_path, keyword, vr, found, written):
    patient = write_patient(tmp_path, change=lambda dataset, _k: dataset.add_new(keyword, vr, found))
    run(patient, tmp_path / "out")
    for file in (tmp_path / "out/dicom").iterdir():
        assert str(pydicom.dcmread(file).get(keyword)) == written


@pytest.mark.usefixtures("without_report")
@pytest.mark.parametrize(
    ("character_set", "name"),
    [
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
        (["ISO 2022 IR 13", "ISO 2022 IR 87"], "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
        ("ISO_IR 166", "นาม^ชื่อ"),
    ],
)
def test_every_object_names_the_patient_as_the_series_does(tmp_path, character_set, name):
    def rename(dataset, _k):
        dataset.SpecificCharacterSet, dataset.PatientName = character_set, name

    run(write_patient(tmp_path, change=rename), tmp_path / "out")
    for file in (tmp_path / "out/dicom").iterdir():
        assert str(pydicom.dcmread(file).PatientName) == name


@pytest.mark.parametrize("outcomes", [1, 0, 1001])
def test_a_number_of_outcomes_without_a_spread_is_refused(tmp_path, outcomes):
    refuse(
        UsageError, f"--outcomes {outcomes}: must be 2 to 1000", tmp_path, write_patient(tmp_path), outcomes=outcomes
    )


@pytest.mark.parametrize("seed", [-1, 2**31])
def test_a_seed_out_of_range_is_refused(tmp_path, seed):
    refuse(UsageError, f"--seed {seed}: must be 0 to", tmp_path, write_patient(tmp_path), seed=seed)


def test_an_output_folder_that_holds_something_is_refused(tmp_path):
    refuse(UsageError, "is not an empty folder", tmp_path, write_patient(tmp_path), out=tmp_path / "MR")


def test_a_server_that_goes_away_leaves_nothing(tmp_path):
    def gone(_image, _seed):
        raise ResourceError("no answer from a server")

    refuse(ResourceError, "no answer from a server", tmp_path, write_patient(tmp_path), model=PythonModel(gone))


needs_data = pytest.mark.skipif(not (DATA / "ibsi_sts").is_dir(), reason="the IBSI test data are not here")


@needs_data
@pytest.mark.usefixtures("without_report")
def test_a_real_patient_keeps_its_lesion_where_nothing_changes(tmp_path):
    """Through crop, model, paste and DICOM: the independent NIfTI mask that comes with the data is found again."""
    folder = DATA / "ibsi_sts/STS_002"
    series, rtstruct = folder / "MR_T1/image", folder / "MR_T1/mask/RS.dcm"
    model = PythonModel(same, size=128)
    predict_patient(model, series_dir=series, rtstruct=rtstruct, out=tmp_path / "out", outcomes=2)
    points, inside = read_frames(tmp_path / "out/dicom/predicted_gtv.dcm")
    mask = sitk.ReadImage(str(folder / "MR_T1_mask.nii.gz"))
    found = np.zeros(mask.GetSize()[::-1], bool)
    for point in points[inside > 0]:
        column, row, k = mask.TransformPhysicalPointToIndex(point.tolist())
        found[k, row, column] = True
    truth = sitk.GetArrayFromImage(mask) > 0
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.97


@needs_data
@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (Debian package dicom3tools) is not installed")
@pytest.mark.usefixtures("without_report")
def test_an_independent_checker_finds_no_error_but_those_of_the_series_in_a_real_patients_objects(tmp_path):
    folder = DATA / "ibsi_sts/STS_008"
    series, rtstruct = folder / "MR_T1/image", folder / "MR_T1/mask/RS.dcm"
    predict_patient(PythonModel(scaled), series_dir=series, rtstruct=rtstruct, out=tmp_path / "out", outcomes=2)
    copied = find_errors(next(series.iterdir()))  # such as a StudyID that is too long
    for file in (tmp_path / "out/dicom").iterdir():
        assert find_errors(file) - copied == set()


def find_errors(file: Path) -> set[str]:
    done = subprocess.run(["dciodvfy", str(file)], capture_output=True, text=True, check=False)
    return set(re.findall("^Error.*", done.stdout + done.stderr, re.MULTILINE))
