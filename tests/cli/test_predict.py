import json

import numpy as np
import pytest
import SimpleITK as sitk

from tests.clinic.patients import CALIBRATION, noisy, write_formula, write_patient
from tests.command_line import exit_code
from tfdrift.serving.server import embedded_server


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A patient and a model."""
    folder = tmp_path_factory.mktemp("predict")
    write_patient(folder / "patient")
    write_formula(folder / "models/chancy", noisy)
    return folder


def arguments(base, out, *source) -> list[str]:
    patient = ["--series", str(base / "patient/MR"), "--rtstruct", str(base / "patient/RS.dcm"), "--outcomes", "2"]
    return ["predict", *source, *patient, "--out", str(out)]


def test_a_model_folder_gives_a_prediction(base, tmp_path, capsys):
    assert exit_code(arguments(base, tmp_path / "out", "--model", str(base / "models/chancy"))) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("GTV 1 ")
    assert "90% intervals            not calibrated: far too narrow" in captured.out
    assert f"report                   {tmp_path / 'out/report.html'}" in captured.out
    assert "warning: structure 1: what the model was trained on is not known here" in captured.err
    document = json.loads((tmp_path / "out/prediction.json").read_text())
    assert f"{document['lesions'][0]['volume_now_mm3']:,.0f} mm3 now" in captured.out


def test_a_calibrated_model_says_on_how_many_patients(base, tmp_path, capsys):
    model = write_formula(tmp_path / "models/calibrated", noisy, calibration=CALIBRATION)
    assert exit_code(arguments(base, tmp_path / "out", "--model", str(model))) == 0
    assert "90% intervals            calibrated on 39 patients" in capsys.readouterr().out


def test_a_server_gives_a_prediction(base, tmp_path):
    with embedded_server({"chancy": base / "models/chancy"}) as server:
        source = ("--server", f"127.0.0.1:{server.grpc_port}", "--name", "chancy")
        assert exit_code(arguments(base, tmp_path / "out", *source)) == 0
    assert json.loads((tmp_path / "out/prediction.json").read_text())["model"]["name"] == "chancy"


@pytest.mark.parametrize("spelled", ["--outcomes", "--samples"])
def test_the_number_of_outcomes_has_an_older_name_too(base, tmp_path, capsys, spelled):
    asked = arguments(base, tmp_path / "out", "--model", str(base / "models/chancy"))
    assert exit_code([*asked, spelled, "1"]) == 2
    assert "--outcomes 1: must be 2 to 1000" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "code", "said"),
    [
        ((), 2, "give either --model or --server"),
        (("--model", "m", "--server", "localhost:1", "--name", "n"), 2, "give either --model or --server"),
        (("--server", "localhost:1"), 2, "--server and --name go together"),
        (("--model", "m", "--name", "n"), 2, "--server and --name go together"),
        (("--model", "nowhere"), 3, "nowhere is no folder"),
        (("--server", "127.0.0.1:1", "--name", "n"), 4, "no answer from a server on 127.0.0.1:1"),
    ],
)
def test_a_model_that_cannot_be_had_is_one_line_and_nothing_is_written(base, tmp_path, capsys, source, code, said):
    assert exit_code(arguments(base, tmp_path / "out", *source)) == code
    error = capsys.readouterr().err
    assert error.startswith("Error: ")
    assert said in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (["--series", "MR"], 2, "--series 2 times and --rtstruct 1 times: give one --rtstruct for each --series"),
        (["--series", "MR", "--rtstruct", "RS"], 2, "the model was not trained with earlier_days or earlier_ratio"),
        (["--days", "0,21"], 2, "--days 0,21: give a whole number for each of the 1 visits"),
    ],
)
def test_visits_that_cannot_be_used_are_one_line(base, tmp_path, capsys, more, code, said):
    asked = arguments(base, tmp_path / "out", "--model", str(base / "models/chancy"))
    assert exit_code([*asked[:1], *more, *asked[1:]]) == code
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_no_matching_structure_ends_with_3_and_nothing_is_written(base, tmp_path, capsys):
    source = ("--model", str(base / "models/chancy"), "--roi", "^nothing$")
    assert exit_code(arguments(base, tmp_path / "out", *source)) == 3
    assert "matches --roi '^nothing$'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_output_folder_in_use_is_refused_before_anything_is_read(base, capsys):
    assert exit_code(arguments(base, base / "patient", "--model", "nowhere")) == 2
    assert "is not an empty folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    "files",
    [
        [],
        ["--series", "s"],
        ["--rtstruct", "r"],
        ["--image", "i"],
        ["--mask", "m"],
        ["--series", "s", "--mask", "m"],
        ["--series", "s", "--rtstruct", "r", "--image", "i", "--mask", "m"],
        ["--series", "s", "--rtstruct", "r", "--components"],
        ["--image", "i", "--mask", "m", "--by-place"],
    ],
)
def test_an_mri_and_its_lesions_come_from_one_kind_of_files(tmp_path, capsys, files):
    assert exit_code(["predict", "--model", "m", *files, "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith("Error: give --series and --rtstruct (with --by-place), or --image and")


def test_nifti_files_give_a_prediction_and_one_that_is_not_there_is_refused_without_its_name(base, tmp_path, capsys):
    mask = np.zeros((6, 20, 20), np.uint8)
    mask[1:5, 6:14, 5:12] = 1
    for name, values in (("image", 500.0 + mask), ("mask", mask)):
        sitk.WriteImage(sitk.GetImageFromArray(values), str(tmp_path / f"Doe_{name}.nii.gz"))
    asked = ["predict", "--model", str(base / "models/chancy"), "--outcomes", "2", "--out", str(tmp_path / "out")]
    asked += ["--image", str(tmp_path / "Doe_image.nii.gz"), "--mask"]
    assert exit_code([*asked, str(tmp_path / "Doe_none.nii.gz")]) == 3
    assert capsys.readouterr().err == "Error: a mask is not there; check its path\n"
    assert not (tmp_path / "out").exists()
    assert exit_code([*asked, str(tmp_path / "Doe_mask.nii.gz")]) == 0
    assert capsys.readouterr().out.startswith("lesion 1 ")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["nifti", "prediction.json", "report.html"]
    for file in ("prediction.json", "report.html"):
        assert "Doe_" not in (tmp_path / "out" / file).read_text()
