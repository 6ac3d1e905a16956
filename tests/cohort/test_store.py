"""Cohorts on disk come back to the bit or not at all; batches show every slice in every rotation once an epoch."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tests.prepared_cohort import save_parts, write_cohort
from tests.random_samples import make_samples
from tfdrift.cohort.samples import COLUMNS, GROUPS, Samples
from tfdrift.cohort.store import write_slices
from tfdrift.errors import DataError, ResourceError, UsageError
from tfdrift.training.data import load_samples


@pytest.fixture
def samples() -> Samples:
    """Slices in the order of folds, with values that are hard to keep: NaN, denormal and negative zero."""
    made = make_samples(count=10, size=4, folds=2)
    made = made.take(np.argsort(made.fold, kind="stable"))
    made.pre[0, 0, :3, 0] = [np.float32(1e-45), -0.0, np.nextafter(np.float32(1), np.float32(2))]
    follow_up_mm3 = np.where(np.arange(10) % 2, np.nan, made.pre_mm3).astype(np.float32)
    return dataclasses.replace(made, follow_up_mm3=follow_up_mm3)


@pytest.fixture
def cohort(tmp_path, samples) -> Path:
    return write_cohort(tmp_path / "cohort", samples)


def shard_of(cohort: Path, fold: int = 1) -> Path:
    return cohort / f"lesion_slices/1.0.0/lesion_slices-fold{fold}.tfrecord-00000-of-00001"


def assert_same(stored: np.ndarray, kept: np.ndarray, name: str) -> None:
    if kept.dtype.kind == "U":
        assert stored.tolist() == kept.tolist(), name
    else:
        assert (stored.dtype, stored.shape, stored.tobytes()) == (kept.dtype, kept.shape, kept.tobytes()), name


def test_a_cohort_comes_back_to_the_bit(cohort, samples):
    read = load_samples(str(cohort), image_size=4)
    for name in COLUMNS:
        assert_same(getattr(read, name), getattr(samples, name), name)


def test_stacks_of_slices_with_channels_conditions_and_facts_come_back_to_the_bit(tmp_path):
    samples = make_samples(count=8, size=4, folds=2, depth=3, channels=("T1", "FLAIR"), conditions=True)
    samples = samples.take(np.argsort(samples.fold, kind="stable"))
    read = load_samples(str(write_cohort(tmp_path / "cohort", samples)), image_size=4)
    assert read.channels == ("T1", "FLAIR")
    assert (set(read.conditions), set(read.facts)) == (set(samples.conditions), set(samples.facts))
    for name in COLUMNS:
        assert_same(getattr(read, name), getattr(samples, name), name)
    for group in GROUPS:
        for name, column in getattr(samples, group).items():
            assert_same(getattr(read, group)[name], column, name)


def test_a_cohort_of_the_first_layout_comes_back_with_nothing_known_but_the_images():
    """Written at e9c5b5c by tests/golden/record_cohort.py; the fingerprint is that of its import.json."""
    read = load_samples(str(Path(__file__).parents[1] / "golden/cohort_1.0.0"), image_size=4)
    assert read.fingerprint() == "c6527b452a4b2759807460e34a76cbd38e1412f8b40293e2bf04c722944cb118"
    assert np.isnan(read.condition("interval_days")).all()
    assert read.orientations() == []


def test_tensorflow_datasets_reads_a_cohort_without_tfdrift(cohort, samples):
    pixels, patients = [], []
    for fold in range(2):
        for stored in tfds.as_numpy(tfds.load("lesion_slices", data_dir=cohort, split=f"fold{fold}")):
            pixels.append(stored["post"])
            patients.append(stored["patient"].decode())
    np.testing.assert_array_equal(np.array(pixels), samples.post)
    assert patients == samples.patient.tolist()


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_another_process_writes_the_same_bytes_and_nothing_of_the_machine(cohort, tmp_path):
    """The order of a protobuf's map differs between processes, so one process would prove nothing."""
    code = (
        "import json, sys; from pathlib import Path; from tfdrift.cohort.store import write_slices\n"
        "folder, parts, folds = json.loads(sys.argv[1])\n"
        "write_slices(Path(folder), [Path(part) for part in parts], folds)\n"
    )
    parts = sorted(tmp_path.glob("cohort.parts/*.npz"), reverse=True)
    folds = {f"p{number}": number % 2 for number in range(5)}
    argument = json.dumps([str(tmp_path / "other"), [str(part) for part in parts], folds])
    result = subprocess.run([sys.executable, "-c", code, argument], capture_output=True, text=True, check=True)
    assert result.stdout == ""
    (cohort / "import.json").unlink()
    written = files_of(cohort)
    assert files_of(tmp_path / "other") == written
    assert len(written) == 4
    identifying = [str(tmp_path), str(Path.home()), os.uname().nodename, "npz"]
    assert [text for text in identifying for content in written.values() if text.encode() in content] == []


@pytest.mark.parametrize("name", ["shard", "dataset_info.json", "features.json"])
def test_a_file_cut_at_any_byte_is_refused(cohort, name):
    file = shard_of(cohort) if name == "shard" else shard_of(cohort).with_name(name)
    whole = file.read_bytes()
    for kept in {1, 8, 12, 13, len(whole) - 1, *range(20, len(whole), 611)}:
        file.write_bytes(whole[:kept])
        with pytest.raises(DataError, match=file.name if name == "shard" else "metadata in .* cannot be read"):
            load_samples(str(cohort), image_size=4)


def test_a_shard_cut_between_two_records_is_refused(cohort):
    file = shard_of(cohort)
    whole = file.read_bytes()
    framing = 16  # length and two checksums of a TFRecord
    first = int.from_bytes(whole[:8], "little") + framing
    assert first < len(whole)
    for kept, found in ((0, "no"), (first, "1")):
        file.write_bytes(whole[:kept])
        with pytest.raises(DataError, match=rf"{file.name} holds {found} slices instead of 4"):
            load_samples(str(cohort), image_size=4)


def test_a_shard_with_a_record_too_many_is_refused(cohort):
    file = shard_of(cohort)
    whole = file.read_bytes()
    file.write_bytes(whole + whole[: int.from_bytes(whole[:8], "little") + 16])
    with pytest.raises(DataError, match=rf"{file.name} holds 5 slices instead of 4"):
        load_samples(str(cohort), image_size=4)


def test_a_changed_byte_anywhere_in_a_shard_is_refused(cohort):
    file = shard_of(cohort)
    whole = bytearray(file.read_bytes())
    for place in (0, 8, 12, *range(20, len(whole), 611), len(whole) - 1):
        whole[place] ^= 1
        file.write_bytes(whole)
        with pytest.raises(DataError, match=file.name):
            load_samples(str(cohort), image_size=4)
        whole[place] ^= 1


def test_a_missing_shard_is_refused(cohort):
    shard_of(cohort).unlink()
    with pytest.raises(DataError, match=rf"{shard_of(cohort).name} is missing; copy the cohort again"):
        load_samples(str(cohort), image_size=4)


def test_a_missing_dataset_is_refused(cohort):
    shard_of(cohort).parent.rename(cohort / "elsewhere")
    with pytest.raises(DataError, match=r"lesion_slices/1.0.0 is missing; copy the whole cohort"):
        load_samples(str(cohort), image_size=4)


def test_the_dataset_of_another_import_is_refused(cohort, tmp_path):
    other = write_cohort(tmp_path / "other", make_samples(count=10, size=4, folds=2, seed=1))
    (cohort / "lesion_slices").rename(cohort / "old")
    (other / "lesion_slices").rename(cohort / "lesion_slices")
    with pytest.raises(DataError, match=r"the slices are not those that import.json describes"):
        load_samples(str(cohort), image_size=4)


@pytest.mark.parametrize(("key", "value"), [("folds", 3), ("slices", 11)])
def test_a_dataset_of_another_count_is_refused(cohort, key, value):
    document = json.loads((cohort / "import.json").read_text())
    (cohort / "import.json").write_text(json.dumps({**document, key: value}))
    with pytest.raises(DataError, match=r"holds 10 slices in 2 folds, import.json says"):
        load_samples(str(cohort), image_size=4)


def test_crops_of_another_size_are_refused_with_the_size_to_use(cohort):
    with pytest.raises(
        UsageError, match=r"--image-size 32: .*use --image-size 4, or import again with --image-size 32"
    ):
        load_samples(str(cohort), image_size=32)


def test_a_dataset_is_never_written_over_another(tmp_path, cohort, samples):
    parts, folds = save_parts(tmp_path / "again", samples)
    with pytest.raises(ResourceError, match=r"cannot write to .*lesion_slices/1.0.0: File exists"):
        write_slices(cohort, parts, folds)


def test_no_parts_are_refused(tmp_path):
    with pytest.raises(DataError, match="import at least one patient"):
        write_slices(tmp_path, [], {})


def test_a_dataset_that_cannot_be_finished_leaves_no_file_and_can_be_written_again(tmp_path, samples):
    parts, folds = save_parts(tmp_path / "parts", samples)
    whole = parts[-1].read_bytes()
    parts[-1].write_bytes(whole[:-10])
    with pytest.raises(DataError, match=parts[-1].name):
        write_slices(tmp_path / "cohort", parts, folds)
    assert files_of(tmp_path / "cohort") == {}
    parts[-1].write_bytes(whole)
    write_slices(tmp_path / "cohort", parts, folds)
    assert len(files_of(tmp_path / "cohort")) == 4
