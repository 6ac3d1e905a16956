"""The whole import, as a user runs it, of a clinic whose truth is known."""

import csv
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from unittest import mock

import numpy as np
import PIL.Image
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import generate_uid

from tests.clinic_export import CANARY, identifying_values, plant_broken_files, plant_names, write_clinic
from tests.local_workers import start_workers
from tfdrift.cohort.crop import choose_slices, crop_pairs, make_box, representative_slices
from tfdrift.cohort.samples import read_samples
from tfdrift.errors import DataError, UsageError
from tfdrift.imaging.series import read_series
from tfdrift.imaging.structures import find_roi, mask_figures, rasterise, read_structures
from tfdrift.importing import cohort as importing
from tfdrift.importing.catalogue import COPY
from tfdrift.importing.cohort import import_cohort
from tfdrift.importing.patient import import_alone
from tfdrift.importing.pseudonyms import pseudonym, read_or_make_key
from tfdrift.importing.settings import ImportSettings
from tfdrift.processes import Outcome
from tfdrift.synthetic.phantom import BIAS_STD, SESSIONS, gtv, make_cohort, tissue_signal

NUMBERS = (2, 3, 5)  # visits in one frame of reference; in frames of their own; with registration objects
SPACING_MM = 3.0
IMAGE_SIZE = 16


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the export, names planted in the second patient and broken files beside, and the cohort."""
    folder = tmp_path_factory.mktemp("import")
    write_clinic(folder / "clinic", list(NUMBERS), spacing_mm=SPACING_MM)
    second, third = sorted(path for path in (folder / "clinic").iterdir() if path.is_dir())[1:]
    plant_broken_files(folder / "clinic", min(third.iterdir()))
    plant_names(second)
    return folder


_IMPORT_AND_READ = """
import sys
from pathlib import Path
from tfdrift_cli.main import main
try:
    main(sys.argv[1:])
except SystemExit as ended:
    assert ended.code == 0
from tfdrift.training.data import load_samples
from tfdrift.cohort.samples import save_samples
save_samples(Path("read.npz"), load_samples("cohort", image_size=16))
"""


@pytest.fixture(scope="module")
def run(place):
    """The command, and then the slices as training reads them, in a process that has TensorFlow."""
    command = [
        "cohort",
        "import",
        "clinic",
        "cohort",
        "--folds",
        "2",
        "--image-size",
        str(IMAGE_SIZE),
        "--workers",
        "2",
    ]
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT_AND_READ, *command], cwd=place, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done


@pytest.fixture(scope="module")
def rows(place, run):  # noqa: ARG001 - the command writes what is read here
    """The rows of lesions.csv by patient and lesion."""
    with (place / "cohort" / "lesions.csv").open(encoding="utf-8", newline="") as file:
        return {(row["patient"], row["lesion"]): row for row in csv.DictReader(file)}


class Visits:
    """A patient's images and structures as they are read, by session."""

    def __init__(self, clinic: Path, patient: dict) -> None:
        self.images, self.structures = {}, {}
        for session in SESSIONS:
            (folder,) = clinic.glob(f"*{patient['folder']}/*{patient['visits'][session]['folder']}")
            (series,), (file,) = folder.glob("*MR_T1"), folder.glob("*RTSTRUCT/*")
            self.images[session], _ = read_series(series)
            self.structures[session] = read_structures(file)
            self.planted = CANARY in file.name


class Known:
    """What truth.json says of a lesion, with what is read of it from the export, and its row."""

    def __init__(self, place: Path, rows: dict, visits: Visits, number: int, lesion: int) -> None:
        self.patient = truth_of(place, number)
        self.facts = self.patient["lesions"][lesion]
        self.law = make_cohort(max(NUMBERS) + 1)[number]
        self.lesion = self.law.lesions[lesion]
        self.images = visits.images
        rois = {
            session: find_roi(visits.structures[session], name + (f" {CANARY}" if visits.planted else ""))
            for session, name in self.facts["roi"].items()
        }
        self.masks = {session: rasterise(roi, self.images[session])[0] for session, roi in rois.items()}
        patient_id = f"{CANARY} 7" if visits.planted else self.patient["patient_id"]
        key = read_or_make_key(place / "cohort.key")
        self.name = pseudonym(key, "lesion", patient_id, str(rois["pre"].number))
        self.row = rows[pseudonym(key, "patient", patient_id), self.name]


def truth_of(place: Path, number: int) -> dict:
    return json.loads((place / "clinic" / "truth.json").read_text())["patients"][NUMBERS.index(number)]


LESIONS = [(number, lesion) for number in NUMBERS for lesion in range(len(make_cohort(6)[number].lesions))]


@pytest.fixture(scope="module")
def visits(place):
    return {number: Visits(place / "clinic", truth_of(place, number)) for number in NUMBERS}


@pytest.fixture(scope="module", params=LESIONS, ids=lambda which: f"patient{which[0]}-lesion{which[1]}")
def known(place, rows, visits, request):
    number, lesion = request.param
    return Known(place, rows, visits[number], number, lesion)


def test_every_lesion_of_the_clinic_is_imported_and_nothing_else(rows):
    assert len(rows) == len(LESIONS)


def test_lesions_are_paired_with_themselves(known):
    """The volumes are those of the structures that truth.json names, whose names and numbers differ between visits."""
    for session in SESSIONS:
        drawn_mm3 = mask_figures(known.masks[session]).volume_mm3
        np.testing.assert_allclose(float(known.row[f"{session}_mm3"]), drawn_mm3, rtol=1e-5)


def test_volumes_are_true_to_one_voxel_layer(known):
    """A voxel counted wrongly has its centre within half its diagonal of the surface."""
    half_mm = np.sqrt(3) * SPACING_MM / 2
    for session in SESSIONS:
        true_mm3 = known.facts["volume_mm3"][session]
        radius_mm = np.cbrt(true_mm3 * 3 / (4 * np.pi))
        layer_mm3 = 4 / 3 * np.pi * ((radius_mm + half_mm) ** 3 - radius_mm**3)
        assert abs(float(known.row[f"{session}_mm3"]) - true_mm3) < layer_mm3


def test_response_group_is_that_of_the_volumes(known):
    kept = float(known.row["follow_up_mm3"]) / float(known.row["pre_mm3"])
    assert known.row["response_group"] == ("A" if kept >= 0.8 else "B")


def test_dates_become_the_days_between_them(known):
    visits = known.patient["visits"]
    assert int(known.row["interval_days"]) == visits["post"]["days"]
    assert int(known.row["follow_up_days"]) == visits["follow_up"]["days"]


def test_registration_is_the_best_that_the_export_allows(known):
    assert known.row["registration"] == known.patient["registration"]


def test_gain_is_that_of_the_scanner(known):
    """The bias fields of two sessions, with a standard deviation of 8% each, are not part of the gain."""
    true = known.law.gain["pre"] / known.law.gain["post"]
    assert abs(np.log(float(known.row["gain"]) / true)) < 2 * np.sqrt(2) * BIAS_STD


@pytest.fixture(scope="module")
def samples(place, run):  # noqa: ARG001 - the command writes what is read here
    return read_samples(place / "read.npz")


def test_the_slices_carry_what_the_table_says(known, samples):
    rows = samples.take(samples.lesion == known.name)
    assert len(rows) == int(known.row["slices"])
    assert set(rows.fold.tolist()) == {int(known.row["fold"])}
    assert set(rows.patient.tolist()) == {known.row["patient"]}
    for name in ("pixel_mm", "pre_mm3", "post_mm3", "follow_up_mm3"):
        np.testing.assert_allclose(getattr(rows, name), float(known.row[name]), rtol=1e-5)


def law_on_the_first_grid(known):
    """The crops that the law makes on the voxels of the first MRI: no noise, no motion, no gain, no other grid."""
    pre = known.images["pre"]
    mask = sitk.GetArrayFromImage(known.masks["pre"]) > 0
    columns, rows = np.meshgrid(*(np.arange(n, dtype=float) for n in mask.shape[:0:-1]))
    chosen = choose_slices(mask)
    indices = np.stack([np.stack([columns, rows, np.full_like(rows, k)], axis=-1) for k in chosen])
    points = indices @ (np.reshape(pre.GetDirection(), (3, 3)) * pre.GetSpacing()).T + pre.GetOrigin()
    images = [tissue_signal(known.law, session, points) / known.law.gain[session] for session in ("pre", "post")]
    masks = [gtv(known.lesion, session, points) for session in ("pre", "post")]
    spacing_mm = (SPACING_MM, SPACING_MM, SPACING_MM)
    box = make_box(mask, spacing_mm)
    return crop_pairs(images[0], images[1], masks[0], masks[1], box, spacing_mm, image_size=IMAGE_SIZE)


def test_drift_is_the_known_one(known, samples):
    """Inside both GTVs of the largest slice and the quartiles; noise and the second grid take the rest. With a clinic's
    voxels it is above 0.94."""
    found, law = samples.take(samples.lesion == known.name), law_on_the_first_grid(known)
    mask = sitk.GetArrayFromImage(known.masks["pre"]) > 0
    representative = np.isin(choose_slices(mask), representative_slices(mask))
    inside = found.pre_mask & found.post_mask & law["pre_mask"] & law["post_mask"]
    inside &= representative[:, None, None, None]
    correlation = np.corrcoef(found.drift[inside], (law["post"] - law["pre"])[inside])[0, 1]
    assert correlation > 0.8


def test_masks_lie_where_the_law_has_them(known, samples):
    """Intersection over union of the second GTV, which has moved from another grid: half a voxel of 3 mm each way."""
    found, law = samples.take(samples.lesion == known.name), law_on_the_first_grid(known)
    np.testing.assert_array_equal(found.pre_mask, law["pre_mask"])
    overlap = (found.post_mask & law["post_mask"]).sum() / (found.post_mask | law["post_mask"]).sum()
    assert overlap > 0.6


@pytest.mark.usefixtures("run")
def test_every_exclusion_has_its_reason(place):
    with (place / "cohort" / "exclusions.csv").open(encoding="utf-8", newline="") as file:
        exclusions = [list(row.values()) for row in csv.DictReader(file) if row["reason"] != "not a target name"]
    spoilt = pseudonym(read_or_make_key(place / "cohort.key"), "patient", f"{CANARY} 8")
    gap = (
        "structure set 1 belongs to series 1 of study 1, which cannot be used: slices are missing between file 7 of 50 "
        "(instance 25) and file 43 of 50 (instance 27): they are 6.000 mm apart and the others 3.000 mm; export the "
        "whole series"
    )
    alone = "too few visits (0): two are needed, each an MR series and a structure set drawn on it"
    assert exclusions == [
        [spoilt, "study 1", "", gap],
        [spoilt, "", "", alone],
        ["", "", "", "1 file: the file is cut off in element (0020,000E); export it again"],
        ["", "", "", "2 files: the file is not a DICOM file"],
    ]


def contents(path: Path):
    """Yield every byte of a file as it is, and unpacked where it is packed."""
    yield path.read_bytes()
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as packed:
            for name in packed.namelist():
                yield packed.read(name)
    if path.suffix == ".png":
        yield repr(PIL.Image.open(path).info).encode()


def test_nothing_that_identifies_leaves_the_import(place, run):
    identifying = {value.casefold().encode() for value in identifying_values(place / "clinic")}
    assert len(identifying) > 500
    files = [path for path in [*place.rglob("cohort/**/*"), place / "cohort.key"] if path.is_file()]
    assert len(files) > 6
    texts = [run.stdout, run.stderr, *(str(path.relative_to(place)).encode() for path in files)]
    texts += [content for file in files for content in contents(file)]
    found = {value for value in identifying for text in texts if value in text.lower()}
    assert found == set()


def test_the_description_counts_what_there_is(place, samples):
    document = json.loads((place / "cohort" / "import.json").read_text())
    assert (document["patients"], document["patients_found"], document["lesions"]) == (3, 4, len(LESIONS))
    assert (document["slices"], document["folds"], document["image_size"]) == (len(samples), 2, IMAGE_SIZE)
    assert document["fingerprint"] == samples.fingerprint()
    assert document["sequences"]["EchoTime"] == {"2.5": 6}
    assert sum(document["response_groups"].values()) == len(LESIONS)
    assert (document["options"]["roi"], document["broken"]) == ("default", 2)
    assert (document["orientations"], document["warnings"]) == ({"axial": len(LESIONS)}, [])


QUICK = {"folds": 2, "image_size": 8, "register": "identity", "workers": 1}


def write_list(folder: Path, parts, folds) -> None:
    """Stand for the dataset, which needs TensorFlow: the slices in a file that says which they are."""
    folds = {part.stem: folds[part.stem] for part in parts}
    whole = {part.stem: read_samples(part).fingerprint() for part in parts}
    (folder / "slices.json").write_text(json.dumps([folds, whole]))


@pytest.fixture(scope="module")
def small(heads, tmp_path_factory):
    """The folder of a cohort of two patients, made with --strict: truth.json beside them is no DICOM file."""
    folder = tmp_path_factory.mktemp("small")
    settings = ImportSettings(**QUICK, strict=True)
    import_cohort(heads, folder / "cohort", settings=settings, write_slices=write_list)
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


_KILLED = """
import json, os, signal, sys
from pathlib import Path
from tfdrift.importing.cohort import import_cohort
from tfdrift.importing.settings import ImportSettings

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def progress(done, total, unit):
    for number, one in enumerate(done):
        yield one
        if unit == moment and number == 0:
            die()

if __name__ == "__main__":
    clinic, out, key, moment, options = sys.argv[1:]
    if moment == "rename":
        Path.rename = die
    settings = ImportSettings(key=Path(key), **json.loads(options))
    import_cohort(Path(clinic), Path(out), settings=settings, write_slices=lambda *_: None, progress=progress)
"""


@pytest.fixture(scope="module")
def completed(heads, small):
    """The same again with two workers, after it was killed when the first patient was done, and when all was there but
    the name; and what lay beside after each of these."""
    place = small / "again"
    place.mkdir()
    (small / "killed.py").write_text(_KILLED)
    left = []
    for moment in ("patient", "rename"):
        arguments = [heads, place / "cohort", small / "cohort.key", moment, json.dumps(QUICK)]
        ended = subprocess.run([sys.executable, small / "killed.py", *arguments], check=False)
        left.append((moment, -ended.returncode, [path.name for path in place.iterdir()]))
    settings = ImportSettings(**{**QUICK, "workers": 2, "key": small / "cohort.key"})
    import_cohort(heads, place / "cohort", settings=settings, write_slices=write_list)
    return place, left


def test_a_killed_import_leaves_no_cohort(completed):
    _, left = completed
    assert left == [(moment, signal.SIGKILL, [".cohort.staging"]) for moment in ("patient", "rename")]


def test_the_same_command_completes_a_killed_import_and_sweeps_what_it_left(completed):
    place, _ = completed
    assert [path.name for path in place.iterdir()] == ["cohort"]


def test_the_same_key_gives_the_same_bytes_whatever_the_number_of_workers(small, completed):
    place, _ = completed
    assert files_of(place / "cohort") == files_of(small / "cohort")
    assert {"lesions.csv", "exclusions.csv", "import.json", "contact_sheet.png"} <= set(files_of(small / "cohort"))


def test_the_workers_of_a_cluster_give_the_same_bytes(heads, small, tmp_path):
    said = []
    with start_workers() as (_, address):
        settings = ImportSettings(**{**QUICK, "scheduler": address, "key": small / "cohort.key"})
        import_cohort(heads, tmp_path / "cohort", settings=settings, write_slices=write_list, echo=said.append)
    assert files_of(tmp_path / "cohort") == files_of(small / "cohort")
    assert said == []


def test_without_a_scheduler_nothing_is_read(tmp_path):
    with pytest.raises(UsageError, match="--scheduler nonsense: must be the address"):
        import_cohort(
            tmp_path, tmp_path / "out", settings=ImportSettings(scheduler="nonsense"), write_slices=write_list
        )
    assert not list(tmp_path.glob("*.key"))


def nothing(*_):
    raise AssertionError("no slices can be there")


def refused(error, clinic, out, progress=lambda done, _total, _unit: done, **options):
    """Import and return the message of the refusal, after which nothing new may lie about."""
    before = sorted(out.parent.rglob("*"))
    settings = ImportSettings(**{**QUICK, **options})
    with pytest.raises(error) as raised:
        import_cohort(clinic, out, settings=settings, write_slices=nothing, progress=progress)
    assert sorted(out.parent.rglob("*")) == before
    return str(raised.value)


def test_a_key_inside_the_cohort_is_refused(heads, tmp_path):
    out = tmp_path / "cohort"
    assert "the key must lie outside the cohort" in refused(UsageError, heads, out, key=out / "a.key")


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        (
            "t.csv",
            "patient,days,scan,mask\n",
            "0 are in the folder; tfdrift cohort scan lists what DICOM is there, and",
        ),
        ("t.csv", "patient,days,image,mask\n1,0,i,m\n", "1 are in the table"),
        ("sub-1/ses-1/anat/sub-1_ses-1_T1w.nii", "", "1 are in the BIDS folder, each a folder sub-*"),
    ],
)
def test_where_patients_are_looked_for_is_told(tmp_path, file, text, said):
    (tmp_path / "export" / file).parent.mkdir(parents=True)
    (tmp_path / "export" / file).write_text(text)
    assert said in refused(DataError, tmp_path / "export", tmp_path / "cohort", folds=2)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    message = refused(DataError, tmp_path / "absent", tmp_path / "cohort")
    assert message == "the folder to scan cannot be read: No such file or directory"


def test_fewer_patients_than_folds_are_refused_before_the_work(heads, tmp_path):
    message = refused(DataError, heads, tmp_path / "cohort", folds=3)
    expected = (
        "3 folds need as many patients (--folds), and 2 are in the folder; tfdrift cohort scan lists what "
        "DICOM is there, and NIfTI is read from a BIDS folder or a CSV table with the columns patient, days, image, "
        "mask"
    )
    assert message == expected


@pytest.fixture
def at_once(monkeypatch):
    """Patients are imported in this process, where no other has to start."""

    def run_here(function, tasks, **_):
        for place, task in enumerate(tasks):
            yield Outcome(task=place, value=function(*task))

    monkeypatch.setattr(importing, "run_anywhere", run_here)


@pytest.mark.usefixtures("at_once")
def test_a_clinic_without_lesions_is_refused_with_the_reason(heads, small, tmp_path):
    key = small / "cohort.key"
    message = refused(DataError, heads, tmp_path / "cohort", roi="^nothing$", key=key)
    assert message.startswith("2 folds need as many patients (--folds), and 0 have a pair of lesions; left out were ")
    assert "6 x 'no structure has the name of a lesion" in message


@pytest.fixture(scope="module")
def spoilt(heads, tmp_path_factory):
    """The two patients, and one whose only visit has a series that is cut."""
    folder = tmp_path_factory.mktemp("spoilt") / "clinic"
    shutil.copytree(heads, folder)
    visit = min(path for path in folder.glob("*/*") if path.is_dir())
    plant_broken_files(folder, visit)
    return folder


@pytest.mark.usefixtures("at_once")
def test_strict_refuses_what_is_broken_and_says_what(spoilt, small, tmp_path):
    key = small / "cohort.key"
    message = refused(DataError, spoilt, tmp_path / "cohort", strict=True, key=key)
    assert message.startswith("something is broken (")
    assert "slices are missing" in message
    assert "nothing was written" in message
    assert CANARY not in message


def crash_or_import(patient, *arguments):
    """Stand for a patient that makes its process crash."""
    if patient.patient_id.startswith(CANARY):
        os.kill(os.getpid(), signal.SIGKILL)
    return import_alone(patient, *arguments)


def test_a_patient_whose_process_is_killed_costs_no_other(spoilt, small, tmp_path, monkeypatch):
    monkeypatch.setattr(importing, "import_alone", crash_or_import)
    settings = ImportSettings(**{**QUICK, "workers": 3, "key": small / "cohort.key", "pairs": tmp_path / "pairs.csv"})
    (tmp_path / "pairs.csv").write_text(f"patient,pre_roi,post_roi\n{CANARY} 9,a,b\n")
    document = import_cohort(spoilt, tmp_path / "cohort", settings=settings, write_slices=write_list)
    killed, absent = (
        pseudonym(read_or_make_key(small / "cohort.key"), "patient", f"{CANARY} {number}") for number in (8, 9)
    )
    with (tmp_path / "cohort" / "exclusions.csv").open(encoding="utf-8", newline="") as file:
        told = {row["patient"]: row["reason"] for row in csv.DictReader(file)}
    assert (document["patients"], document["patients_found"], document["broken"]) == (2, 3, 3)
    assert told[killed] == "its process was killed by signal 9, perhaps for want of memory"
    assert told[absent] == "in the pairs table, and not among the files"
    assert files_of(tmp_path / "cohort")["lesions.csv"] == files_of(small / "cohort")["lesions.csv"]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Four patients of two visits and their cohort: two whole ones, one whose second MRI has a gap, one with two
    structure sets. Each has two registration objects that agree; one has a twin of an MRI that nobody drew on."""
    folder = tmp_path_factory.mktemp("mixed")
    write_clinic(folder / "clinic", [5], spacing_mm=8.0)
    (patient,) = (path for path in (folder / "clinic").iterdir() if path.is_dir())
    shutil.rmtree(max(path for path in patient.iterdir() if path.is_dir()))
    (registration,) = (file for file in patient.rglob("*.dcm") if pydicom.dcmread(file).Modality == "REG")
    add_registration_that_agrees(registration)
    for kind in ("whole", "gap", "two sets"):
        another_patient(patient, folder / "clinic" / kind, kind)
    add_twin_series(patient)
    return folder / "clinic", import_at_once(folder / "clinic", folder)


def another_patient(patient: Path, place: Path, kind: str) -> None:
    """Copy a patient under an ID and UIDs of its own, with a gap in the second MRI, or a second set on the first."""
    for file in sorted(patient.rglob("*.dcm")):
        dataset = pydicom.dcmread(file)
        for element in [one for one in dataset.iterall() if one.VR == "UI" and not one.keyword.endswith("ClassUID")]:
            element.value = generate_uid(entropy_srcs=[kind, str(element.value)])
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.PatientID = kind
        to = place / file.relative_to(patient)
        to.parent.mkdir(parents=True, exist_ok=True)
        dataset.save_as(to)
    visits = sorted(path for path in place.iterdir() if path.is_dir())
    if kind == "whole":
        return
    if kind == "gap":
        slices = [file for file in visits[1].rglob("*.dcm") if pydicom.dcmread(file).Modality == "MR"]
        sorted(slices)[len(slices) // 2].unlink()
        return
    file = next(file for file in visits[0].rglob("*.dcm") if pydicom.dcmread(file).Modality == "RTSTRUCT")
    dataset = pydicom.dcmread(file)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[kind])
    dataset.save_as(file.with_name("second.dcm"))


def add_twin_series(patient: Path) -> None:
    visit = min(path for path in patient.iterdir() if path.is_dir())
    for number, file in enumerate(sorted(visit.rglob("*.dcm"))):
        dataset = pydicom.dcmread(file)
        if dataset.Modality == "MR":
            dataset.SeriesInstanceUID = generate_uid(entropy_srcs=["twin", dataset.SeriesInstanceUID])
            dataset.SOPInstanceUID = generate_uid(entropy_srcs=["twin", dataset.SOPInstanceUID])
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            dataset.PixelData = dataset.PixelData[::-1]
            dataset.save_as(visit / f"twin {number}.dcm")


def add_registration_that_agrees(file: Path) -> None:
    """Write one of the same moment whose shifts differ by a hundredth of a millimetre."""
    dataset = pydicom.dcmread(file)
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=["agrees", dataset.SOPInstanceUID])
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    for item in dataset.RegistrationSequence:
        for matrix in item.MatrixRegistrationSequence[0].MatrixSequence:
            values = [float(value) for value in matrix.FrameOfReferenceTransformationMatrix]
            if values[3]:
                values[3] += 0.01
            matrix.FrameOfReferenceTransformationMatrix = [f"{value:.10g}" for value in values]
    dataset.save_as(file.with_name(f"agrees {file.name}"))


def import_at_once(clinic: Path, place: Path) -> dict[str, str | bytes]:
    """Import in this process, without a picture; return what it wrote, without the row of copies.

    Reasons call files and structure sets by their places in the order of names, so these numbers are left out, too.
    """

    def run_here(function, tasks, **_):
        return (Outcome(task=number, value=function(*task)) for number, task in enumerate(tasks))

    settings = ImportSettings(folds=2, image_size=8, key=place / "key")
    with (
        mock.patch.object(importing, "run_anywhere", run_here),
        mock.patch.multiple(importing, draw_contact_sheet=mock.DEFAULT, write_png=mock.DEFAULT),
    ):
        import_cohort(clinic, place / "cohort", settings=settings, write_slices=write_list)
    written: dict[str, str | bytes] = dict(files_of(place / "cohort"))
    document = json.loads(re.sub(r"(file|structure set) \d+", r"\1 N", written.pop("import.json").decode()))
    document["excluded"] = {reason: count for reason, count in document["excluded"].items() if COPY not in reason}
    written["import.json"] = json.dumps(document)
    rows = re.sub(r"(file|structure set) \d+", r"\1 N", written.pop("exclusions.csv").decode()).splitlines()
    written["exclusions.csv"] = "\n".join(row for row in rows if COPY not in row)
    return written


@pytest.mark.parametrize("seed", range(2))
def test_neither_names_nor_folders_nor_copies_of_files_change_the_cohort_or_a_refusal(mixed, tmp_path, seed):
    clinic, expected = mixed
    rng = np.random.default_rng(seed)
    files = sorted(path for path in clinic.rglob("*") if path.is_file())
    files += [files[k] for k in rng.integers(0, len(files), int(rng.integers(0, 40))) if files[k].suffix == ".dcm"]
    shutil.copy(clinic.parent / "key", tmp_path / "key")
    folders = [tmp_path / "clinic" / name for name in ("", "b", "a/deep/er", "z/0")]
    for number, k in enumerate(rng.permutation(len(files))):
        folder = folders[rng.integers(len(folders))]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(files[k], folder / f"{number:04}")
    found = import_at_once(tmp_path / "clinic", tmp_path)
    assert [name for name in sorted({*expected, *found}) if found.get(name) != expected.get(name)] == []
    assert found["exclusions.csv"] == expected["exclusions.csv"]


def test_the_mixed_clinic_has_patients_of_each_kind(mixed):
    _, written = mixed
    assert written["exclusions.csv"].count("slices are missing") == 1
    assert written["exclusions.csv"].count("several structure sets fit") == 1
    assert {row["registration"] for row in csv.DictReader(written["lesions.csv"].decode().splitlines())} == {"dicom"}


def test_an_interrupt_ends_the_processes_and_leaves_nothing(heads, small, tmp_path):
    def interrupt(done, _total, unit):
        for one in done:
            yield one
            if unit == "patient":
                raise KeyboardInterrupt

    refused(KeyboardInterrupt, heads, tmp_path / "cohort", key=small / "cohort.key", progress=interrupt)
    assert multiprocessing.active_children() == []


def test_lesions_called_wrong_are_left_out_without_the_words_of_who_looked(heads, small, tmp_path):
    before = _rows(small / "cohort/lesions.csv")
    patients = [row["patient"] for row in before]
    wrong = next(row for row in before if patients.count(row["patient"]) > 1)
    table = tmp_path / "wrong.csv"
    row = f"{wrong['patient']},{wrong['lesion']},{CANARY} moved"
    table.write_text(f"patient,lesion,reason\n{row}\np,lffffffffffffffff,of another key\n")
    settings = ImportSettings(**{**QUICK, "key": small / "cohort.key", "exclude": table})
    document = import_cohort(heads, tmp_path / "cohort", settings=settings, write_slices=write_list)
    after = _rows(tmp_path / "cohort/lesions.csv")
    assert [row["lesion"] for row in after] == [row["lesion"] for row in before if row != wrong]
    assert document["excluded"]["called a wrong pair"] == 1
    reason = "1 of the wrong pairs: not among the lesions; they may be of another key or other patients"
    assert document["excluded"][reason] == 1
    assert document["options"]["exclude"]
    assert all(CANARY.encode() not in content for content in files_of(tmp_path / "cohort").values())


def _rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))
