import csv
import dataclasses
import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from click.testing import CliRunner
from skimage.io import imread

from cli.main import cli
from tests.command_line import exit_code
from tests.imaging.mock_dicom import contours_of, random_grid, structures_dataset, write, write_series
from tests.imaging.mock_segmentation import segmentation_dataset
from tests.prepared_cohort import write_cohort
from tests.random_samples import make_samples
from tfdrift.errors import DataError, UsageError
from tfdrift.synthetic import phantom_dicom
from tfdrift.training.data import load_samples

DATA = Path(os.environ.get("TFDRIFT_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))


@pytest.fixture
def patient(tmp_path):
    """A folder with a series, its structure set and the mask that was drawn."""
    grid = random_grid(np.random.default_rng(0))
    mask = np.zeros(grid.size[::-1], bool)
    mask[2:4, 1:5, 2:5] = True
    write_series(tmp_path / "mr", grid, mask.astype(np.int16))
    write(structures_dataset({"GTV": contours_of(mask, grid)}), tmp_path / "rs.dcm")
    return tmp_path, mask


def mask_command(folder: Path, *flags: str, roi="GTV", out="gtv.nii.gz"):
    options = [
        "mask",
        *flags,
        "--series",
        folder / "mr",
        "--rtstruct",
        folder / "rs.dcm",
        "--roi",
        roi,
        "--out",
        folder / out,
    ]
    return CliRunner().invoke(cli, ["cohort", *(str(option) for option in options)])


def test_mask_writes_what_was_drawn_and_prints_its_figures(patient):
    folder, drawn = patient
    run = mask_command(folder)
    written = sitk.ReadImage(str(folder / "gtv.nii.gz"))
    assert run.exit_code == 0
    np.testing.assert_array_equal(sitk.GetArrayFromImage(written), drawn)
    voxels, volume, centroid = (line.split() for line in run.stdout.splitlines())
    assert voxels == ["voxels", "24"]
    assert volume[0] == "volume"
    np.testing.assert_allclose(float(volume[1]), 24 * np.prod(written.GetSpacing()), atol=0.06)
    middle = written.TransformContinuousIndexToPhysicalPoint((3.0, 2.5, 2.5))
    np.testing.assert_allclose([float(mm) for mm in centroid[1:4]], middle, atol=1e-3)


def test_mask_of_an_unknown_structure_is_refused_with_the_names(patient):
    run = mask_command(patient[0], roi="PTV")
    assert isinstance(run.exception, DataError)
    assert str(run.exception) == "no structures are called PTV; there are: GTV"
    assert not (patient[0] / "gtv.nii.gz").exists()


def test_mask_of_a_structure_set_of_another_series_is_refused(patient):
    folder, _ = patient
    plan = structures_dataset({"GTV": []})
    plan.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0].RTReferencedSeriesSequence[
        0
    ].SeriesInstanceUID = "1.2.3"
    write(plan, folder / "rs.dcm")
    assert str(mask_command(folder).exception) == (
        "the structure set does not fit this series: it refers to another series"
    )


@pytest.mark.parametrize(
    ("references", "options", "said"),
    [
        (["1.2.3"], ["--by-place"], "refers to a series that is not there; matched by place alone"),
        ([], [], "refers to no series; matched by place alone"),
    ],
)
def test_mask_warns_of_a_match_by_place_alone(patient, references, options, said):
    folder, drawn = patient
    plan = pydicom.dcmread(folder / "rs.dcm")
    series = plan.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0].RTReferencedSeriesSequence
    for uid in references:
        series[0].SeriesInstanceUID = uid
    if not references:
        del series[0]
    write(plan, folder / "rs.dcm")
    run = mask_command(folder, *options)
    assert (run.exit_code, run.stderr) == (0, f"warning: the structure set {said}\n")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "gtv.nii.gz"))), drawn)


def test_warnings_go_to_standard_error(patient):
    folder, drawn = patient
    drawn = drawn.copy()
    plan = structures_dataset({"GTV": [np.zeros((2, 3)), *contours_of(drawn, random_grid(np.random.default_rng(0)))]})
    write(plan, folder / "rs.dcm")
    run = mask_command(folder)
    assert run.stderr == "warning: structure 1: 1 contours have fewer than 3 points; they are skipped\n"
    assert len(run.stdout.splitlines()) == 3


@pytest.mark.parametrize("patient_id", ["STS_002", "STS_008"])
def test_mask_of_a_real_patient_prints_the_expected_figures(tmp_path, patient_id):
    if not (DATA / "ibsi_sts").is_dir():
        pytest.skip("no real data: set TFDRIFT_TEST_DATA")
    with (DATA / "ibsi_sts/expected.csv").open(encoding="utf-8") as file:
        expected = next(row for row in csv.DictReader(file) if row["patient"] == patient_id)
    folder = DATA / "ibsi_sts" / patient_id / "MR_T1"
    options = ["mask", "--series", folder / "image", "--rtstruct", folder / "mask/RS.dcm"]
    options += ["--roi", expected["roi_name"], "--out", tmp_path / "gtv.nii.gz"]
    run = CliRunner().invoke(cli, ["cohort", *(str(option) for option in options)])
    voxels, volume, centroid = (line.split() for line in run.stdout.splitlines())
    assert voxels[1] == expected["mask_voxels"]
    assert round(float(volume[1]) / 1000, 3) == float(expected["volume_cc"])
    assert [float(mm) for mm in centroid[1:4]] == [float(expected[f"centroid_{axis}"]) for axis in "xyz"]
    independent = sitk.ReadImage(str(DATA / "ibsi_sts" / patient_id / "MR_T1_mask.nii.gz"))
    written = sitk.ReadImage(str(tmp_path / "gtv.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(written), sitk.GetArrayFromImage(independent) > 0)


@pytest.mark.parametrize("roi", ["GTV", "#1"])
def test_mask_takes_a_segmentation_too(patient, roi):
    folder, drawn = patient
    write(segmentation_dataset(random_grid(np.random.default_rng(0)), {"GTV": drawn}), folder / "seg.dcm")
    options = ["--series", folder / "mr", "--structures", folder / "seg.dcm", "--roi", roi, "--out", folder / "m.nii"]
    run = CliRunner().invoke(cli, ["cohort", "mask", *(str(option) for option in options)])
    assert run.exit_code == 0, run.output
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "m.nii"))), drawn)


def test_mask_of_a_segmentation_on_another_grid_is_refused(patient):
    folder, drawn = patient
    grid = random_grid(np.random.default_rng(0))
    finer = dataclasses.replace(grid, spacing_mm=(*(mm / 2 for mm in grid.spacing_mm[:2]), grid.spacing_mm[2]))
    write(segmentation_dataset(grid, {"GTV": drawn}, on=finer), folder / "rs.dcm")
    assert str(mask_command(folder).exception).startswith(
        "the structure set does not fit this series: structure 1 lies on another grid than the series"
    )


def test_scan_prints_a_tree(patient):
    run = CliRunner().invoke(cli, ["cohort", "scan", str(patient[0])])
    assert run.exit_code == 0
    assert run.stdout.splitlines()[2] == "ID-7  Doe^Jane"


def test_scan_json_is_one_document_and_nothing_else(patient):
    run = CliRunner().invoke(cli, ["cohort", "scan", "--json", str(patient[0])])
    assert json.loads(run.stdout)["patients"][0]["patient_id"] == "ID-7"
    assert run.stderr == ""


def test_the_group_loads_without_the_libraries_it_uses():
    code = "import sys, tfdrift_cli.cohort; print(*({'SimpleITK', 'pydicom', 'numpy', 'tqdm'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""


def test_phantom_writes_patients_and_their_truth(tmp_path, monkeypatch):
    coarse = functools.partial(phantom_dicom.write_phantom, spacing_mm=(9.0, 8.0, 8.0))
    monkeypatch.setattr(phantom_dicom, "write_phantom", coarse)  # a second instead of a minute
    run = CliRunner().invoke(cli, ["cohort", "phantom", str(tmp_path / "clinic"), "--patients", "2", "--seed", "1"])
    assert (run.exit_code, run.stdout) == (0, "")
    truth = json.loads((tmp_path / "clinic" / "truth.json").read_text())
    assert (truth["seed"], len(truth["patients"])) == (1, 2)
    folders = {folder.name for folder in (tmp_path / "clinic").iterdir() if folder.is_dir()}
    assert folders == {patient["folder"] for patient in truth["patients"]}


def test_phantom_refuses_a_folder_that_is_not_empty(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    run = CliRunner().invoke(cli, ["cohort", "phantom", str(tmp_path)])
    assert isinstance(run.exception, UsageError)
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


def test_phantom_without_patients_is_a_usage_error(tmp_path):
    run = CliRunner().invoke(cli, ["cohort", "phantom", str(tmp_path / "clinic"), "--patients", "0"])
    assert isinstance(run.exception, UsageError)
    assert run.exception.exit_code == 2


@pytest.fixture
def prepared(tmp_path) -> Path:
    """A cohort of twelve lesions, one of which left its box, and two structures left out."""
    folder = write_cohort(tmp_path / "cohort", make_samples(count=12, size=8, folds=3))
    samples = load_samples(str(folder), image_size=8)
    facts = {
        "interval_days": 21, "follow_up_days": 90, "pre_mm3": 500, "post_mm3": 400, "follow_up_mm3": 300,
        "response_group": "B", "slices": 1, "spacing_mm": "1 1 1", "registration": "identity", "residual": 3,
        "gain": 1, "background_drift": 0, "pixel_mm": 1,
    }  # fmt: skip
    with (folder / "lesions.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, ["patient", "lesion", "fold", *facts, "outgrown"])
        table.writeheader()
        for number, (patient, lesion, fold) in enumerate(
            zip(samples.patient, samples.lesion, samples.fold, strict=True)
        ):
            outgrown = 0.25 if number == 3 else 0
            table.writerow({"patient": patient, "lesion": lesion, "fold": fold, **facts, "outgrown": outgrown})
    (folder / "exclusions.csv").write_text("patient,visit,structure,reason\np0,pre,3,no match\np1,post,2,no match\n")
    return folder


def test_show_prints_the_folds_and_draws_the_sheet_and_nothing_else(prepared):
    run = subprocess.run(
        [sys.executable, "-m", "tfdrift_cli", "cohort", "show", str(prepared)],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.split() for line in run.stdout.splitlines()]
    assert ["1", "2", "4", "0", "4", "0"] in lines
    assert ["all", "6", "12", "0", "12", "0"] in lines
    assert ["2", "no", "match"] in lines
    assert lines[-1] == ["picture:", str(prepared / "contact_sheet.png")]
    assert run.stderr == ""
    assert imread(prepared / "contact_sheet.png").std() > 10


def test_export_writes_the_crops_and_their_table(prepared, tmp_path, capsys):
    out = tmp_path / "crops"
    assert exit_code(["cohort", "export", str(prepared), str(out)]) == 0
    told = f"exported    12 slices of 12 lesions\ntable       {out / 'slices.csv'}\n"
    assert capsys.readouterr().out == told
    samples = load_samples(str(prepared), image_size=8)
    with (out / "slices.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(list(out.rglob("*.nii.gz"))) == 4 * len(rows) == 48
    for at, row in enumerate(rows):
        written = sitk.ReadImage(str(out / row["pre"]))
        assert sitk.GetArrayFromImage(written).tobytes() == samples.pre[at].tobytes()
        assert (row["interval_days"], row["fold"]) == ("21", str(samples.fold[at]))


def test_export_into_a_folder_in_use_is_refused(prepared):
    run = CliRunner().invoke(cli, ["cohort", "export", str(prepared), str(prepared)])
    assert isinstance(run.exception, UsageError)


def test_show_draws_where_it_is_told(prepared, tmp_path, capsys):
    sheet = tmp_path / "sheets/mine.png"
    assert exit_code(["cohort", "show", str(prepared), "--out", str(sheet)]) == 0
    assert str(sheet) in capsys.readouterr().out
    assert sheet.is_file()
    assert not (prepared / "contact_sheet.png").exists()


@pytest.mark.parametrize(
    ("missing", "code", "said"),
    [
        ("import.json", 3, "holds no import.json; give a folder that `tfdrift cohort import` wrote"),
        ("lesions.csv", 3, "lesions.csv is missing"),
        ("exclusions.csv", 3, "exclusions.csv is missing"),
        ("lesion_slices/1.0.0/lesion_slices-fold2.tfrecord-00000-of-00001", 3, "tfrecord-00000-of-00001 is missing"),
    ],
)
def test_show_of_half_a_cohort_is_refused_and_draws_nothing(prepared, capsys, missing, code, said):
    (prepared / missing).unlink()
    assert exit_code(["cohort", "show", str(prepared)]) == code
    assert said in capsys.readouterr().err
    assert not (prepared / "contact_sheet.png").exists()
