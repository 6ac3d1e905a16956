import json

import pytest

from tfdrift.importing.sidecars import UNREADABLE, read_sidecar

NAME = "sub-1_ses-a_T1w"


def tell(folder, name, **said):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(said))


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii"])
def test_seconds_become_dicoms_milliseconds_and_only_listed_facts_are_kept(tmp_path, suffix):
    tell(
        tmp_path, "scan", EchoTime=0.003, RepetitionTime=2.3, InversionTime=0.9, FlipAngle=9, MagneticFieldStrength=3,
        ScanningSequence="GR_IR", SequenceVariant=["SK", "SP"], MRAcquisitionType="3D", PatientName="Doe",
        StationName="MR_of_Dr_Doe", SequenceName=" mprage ",
    )  # fmt: skip
    found = read_sidecar(tmp_path / f"scan{suffix}")
    assert found.acquisition == {
        "EchoTime": pytest.approx(3), "RepetitionTime": pytest.approx(2300), "InversionTime": pytest.approx(900),
        "FlipAngle": 9, "MagneticFieldStrength": 3, "ScanningSequence": "GR\\IR", "SequenceVariant": "SK\\SP",
        "MRAcquisitionType": "3D",
    }  # fmt: skip
    assert found.sequence_name == "mprage"
    assert found.with_contrast is None  # of a file of its own nothing tells that there was none
    assert found.warnings == ()


def test_what_is_none_of_its_type_is_left_out(tmp_path):
    tell(
        tmp_path, "scan", EchoTime="0.003", RepetitionTime=[2.3], FlipAngle=True, SliceThickness=1e999,
        ScanningSequence=["GR", "Dr Doe"], SequenceVariant=7, SequenceName=["a"],
    )  # fmt: skip
    assert read_sidecar(tmp_path / "scan.nii") == ({}, None, "", ())


def test_what_is_nearer_to_the_image_counts_and_other_images_files_do_not(tmp_path):
    anat = tmp_path / "sub-1/ses-a/anat"
    tell(tmp_path, "T1w", EchoTime=0.001, RepetitionTime=1, InversionTime=1, FlipAngle=1)
    tell(tmp_path, "ses-b_T1w", FlipAngle=99)
    tell(tmp_path, "T2w", FlipAngle=99)
    tell(tmp_path / "sub-1", "sub-1_T1w", RepetitionTime=2, InversionTime=2)
    tell(anat, NAME, InversionTime=3)
    tell(anat, f"sub-1_ses-a_run-2{NAME[-4:]}", InversionTime=99)
    found = read_sidecar(anat / f"{NAME}.nii.gz", tmp_path)
    assert found.acquisition == {
        "EchoTime": 1, "RepetitionTime": 2000, "InversionTime": 3000, "FlipAngle": 1,
    }  # fmt: skip


def test_a_folder_above_the_data_set_is_not_looked_into(tmp_path):
    tell(tmp_path, "T1w", FlipAngle=99)
    (tmp_path / "set/sub-1/ses-a/anat").mkdir(parents=True)
    assert read_sidecar(tmp_path / "set/sub-1/ses-a/anat" / f"{NAME}.nii", tmp_path / "set").acquisition == {}


@pytest.mark.parametrize(
    ("name", "said", "expected"),
    [
        (NAME, {}, False),
        (NAME, {"ContrastBolusIngredient": "GADOLINIUM"}, True),
        (NAME, {"ContrastBolusIngredient": ""}, False),
        ("sub-1_ses-a_ce-gadobutrol_T1w", {}, True),
    ],
)
def test_a_contrast_agent_is_told_by_the_name_or_the_file(tmp_path, name, said, expected):
    tell(tmp_path, name, **said)
    assert read_sidecar(tmp_path / f"{name}.nii.gz", tmp_path).with_contrast is expected


@pytest.mark.parametrize("text", [b"{", b"[1]", b"\xff\xfe{}"])
def test_a_file_that_is_no_object_is_warned_of_and_stops_nothing(tmp_path, text):
    (tmp_path / f"{NAME}.json").write_bytes(text)
    assert read_sidecar(tmp_path / f"{NAME}.nii.gz", tmp_path) == ({}, None, "", (UNREADABLE,))


def test_without_a_file_nothing_is_known(tmp_path):
    assert read_sidecar(tmp_path / "scan.nii.gz") == ({}, None, "", ())
