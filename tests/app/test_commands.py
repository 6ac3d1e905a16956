import json
from pathlib import Path

import pytest

from cli.main import cli
from cli.reference import walk
from tfdrift.app import commands
from tfdrift.app.folders import Folders
from tfdrift.app.jobs import TFDRIFT
from tfdrift.config import train_config, write_config
from tfdrift.errors import DataError


@pytest.fixture
def folders(tmp_path) -> Folders:
    for name in ("MR", "export"):
        (tmp_path / name).mkdir()
    for name in ("RS.dcm", "t1.nii.gz", "gtv.nii.gz", "bm.nii.gz", "cohort.key", "wrong.csv"):
        (tmp_path / name).touch()
    return Folders(tmp_path.resolve())


def options_of(command: str) -> set[str]:
    """Return every spelling of the options of a command."""
    found = next(one for name, one, _ in walk(cli) if name == command)
    return {text for option in found.params for text in [*option.opts, *option.secondary_opts]}


def given(arguments: list[str]) -> list[str]:
    return [text.split("=")[0] for text in arguments if text.startswith("--")]


def test_a_prediction_of_dicom_is_the_command_that_one_would_type(folders):
    request = {"series": "MR", "structures": "RS.dcm", "outcomes": "8", "seed": 3, "given": {"interval_days": "42,60"}}
    arguments = commands.predict(folders, Path("m"), request, Path("out"))
    root = folders.root
    assert arguments == [
        *TFDRIFT, "predict", "--model", "m", "--out", "out", "--series", str(root / "MR"),
        "--structures", str(root / "RS.dcm"), "--outcomes", "8", "--seed", "3", "--given=interval_days=42,60",
    ]  # fmt: skip


def test_a_prediction_of_nifti_names_each_mask(folders):
    request = {"image": "t1.nii.gz", "masks": ["gtv.nii.gz", "bm.nii.gz"], "components": True, "guidance": 2}
    arguments = commands.predict(folders, Path("m"), {**request, "given": {"response": "good"}}, Path("out"))
    assert arguments.count("--mask") == 2
    assert "--components" in arguments
    assert arguments[-2:] == ["--given=response=good", "--guidance=2"]
    assert set(given(arguments)) <= options_of("tfdrift predict")


@pytest.mark.parametrize(
    "request_",
    [{}, {"series": "MR"}, {"image": "t1.nii.gz", "masks": []}, {"series": "../x", "structures": "RS.dcm"}],
)
def test_a_prediction_without_files_is_refused(folders, request_):
    with pytest.raises(DataError):
        commands.predict(folders, Path("m"), request_, Path("out"))


@pytest.mark.parametrize("outcomes", ["x", 1, 1001, "2.5"])
def test_a_number_out_of_its_range_is_refused(folders, outcomes):
    with pytest.raises(DataError, match="outcomes must be"):
        commands.predict(folders, Path("m"), {"series": "MR", "structures": "RS.dcm", "outcomes": outcomes}, Path("o"))


def test_an_import_takes_key_and_wrong_pairs_of_another(folders):
    request = {"folder": "export", "out": "cohort-2", "folds": 3, "key": "cohort.key", "exclude": "wrong.csv"}
    arguments, out = commands.import_cohort(folders, {**request, "roi": "-x", "image_size": ""})
    assert out == folders.root / "cohort-2"
    assert "--roi=-x" in arguments
    assert set(given(arguments)) == {"--folds", "--roi", "--key", "--exclude"}
    assert set(given(arguments)) <= options_of("tfdrift cohort import")


@pytest.mark.parametrize("out", ["", ".hidden", "export", "nowhere/cohort", "../cohort"])
def test_a_new_folder_must_be_new_and_have_a_parent(folders, out):
    with pytest.raises(DataError):
        commands.new_folder(folders, out)


@pytest.mark.parametrize("name", ["", " ", ".x", "a/b", "a\\b", "a:b", None])
def test_a_name_is_no_path(name):
    with pytest.raises(DataError, match="a name must not"):
        commands.folder_name(name)


def test_a_training_names_its_run(folders):
    request = {"method": "method1", "name": "first", "cohort": "export", "steps": "20", "base_filters": 4}
    arguments, name = commands.train(folders, Path("runs"), request, ("method1",))
    assert name == "first"
    assert arguments[-8:] == [
        "--out", "runs/first", "--data", str(folders.root / "export"), "--steps", "20", "--base-filters", "4"
    ]  # fmt: skip
    with pytest.raises(DataError, match="choose a method"):
        commands.train(folders, Path("runs"), {**request, "method": "--help"}, ("method1",))


@pytest.mark.parametrize("method", ["method1", "method2"])
def test_a_run_goes_on_with_every_setting_that_it_began_with(tmp_path, method):
    from cli.train import train

    config = train_config(method, steps=7, image_size=16, clip_x0=True, condition="size")
    (tmp_path / "first").mkdir()
    write_config(tmp_path / "first/config.json", config, data={})
    arguments = commands.go_on(tmp_path / "first")[len(TFDRIFT) + 1 :]
    made = train.make_context("train", arguments).params
    out, _, mnist = made.pop("out"), made.pop("dry_run"), made.pop("mnist_file")
    assert (out, mnist) == (tmp_path / "first", None)
    assert train_config(made.pop("method"), preset=made.pop("preset"), **made) == config


def test_a_run_on_a_cohort_finds_it_from_its_own_folder(tmp_path):
    (tmp_path / "first").mkdir()
    (tmp_path / "first/config.json").write_text(json.dumps({"train": {"method": "direct", "data": "../cohort"}}))
    assert str(tmp_path / "cohort") in commands.go_on(tmp_path / "first")


def test_a_scan_prints_a_document(folders):
    assert commands.scan(folders, {"folder": "export"})[len(TFDRIFT) :] == [
        "cohort", "scan", str(folders.root / "export"), "--json"
    ]  # fmt: skip
