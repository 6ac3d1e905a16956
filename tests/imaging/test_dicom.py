import json
import os
import re
import resource
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian

from tests.imaging import hostile
from tests.imaging.mock_dicom import make_grid, slice_dataset, write
from tfdrift.errors import DataError
from tfdrift.imaging import dicom
from tfdrift.imaging.dicom import (
    UnusableAttributeError,
    needless,
    parsing,
    read_header,
    read_whole,
    text_of,
    value_of,
)

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR:UserWarning")  # of making the broken files
ADDRESS_SPACE_BYTES = 6 << 30
GIB = 1 << 30


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """What became of every hostile case, in one process of its own that a memory or time bomb cannot leave."""
    root = tmp_path_factory.mktemp("DOE_JANE")
    names = hostile.write_cases(root)
    run = subprocess.run(
        [sys.executable, "-m", "tests.imaging.hostile", str(root)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        # Address space counts every library's reservations too, so this only stops a bomb; the peak is asserted below.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES)),
    )
    assert run.returncode == 0, run.stderr[-2000:]
    return names, json.loads(run.stdout), run.stderr


def outcomes(judged) -> dict[str, str]:
    return {name: case["outcome"] for name, case in judged[1]["cases"].items()}


def test_every_hostile_case_ends_in_a_result_or_one_refusal(judged):
    names, report, _ = judged
    assert len(names) >= 300
    assert sorted(report["cases"]) == names


def test_no_hostile_case_gives_another_volume_or_mask(judged):
    assert [name for name, outcome in outcomes(judged).items() if outcome == "other"] == []


def test_every_truncation_is_refused(judged):
    cut = {name: outcome for name, outcome in outcomes(judged).items() if " cut at " in name}
    assert len(cut) == 2 * hostile.TRUNCATIONS
    assert [name for name, outcome in cut.items() if not outcome.startswith("refused: ")] == []


def test_every_crafted_case_is_refused_but_those_that_change_nothing(judged):
    crafted = {
        name
        for name, outcome in outcomes(judged).items()
        if outcome == "same" and " flip at " not in name and " element " not in name
    }
    # Sequences of known length are never opened unless they are asked for.
    expected = {"image with 5000 nested sequences of known length"}
    # An unreadable file is refused to the superuser too: it is empty.
    assert crafted == expected


def test_refusals_are_one_line_without_names_or_paths(judged):
    for outcome in outcomes(judged).values():
        assert "\n" not in outcome
        assert len(outcome) < 250
        assert not re.search(r"jane|doe\^|id-7|/", outcome, re.IGNORECASE), outcome


def test_nothing_reaches_the_terminal(judged):
    assert judged[2] == ""


def test_no_case_takes_ten_seconds_or_one_gibibyte(judged):
    report = judged[1]
    assert [name for name, case in report["cases"].items() if case["seconds"] >= hostile.SECONDS] == []
    assert report["peak_bytes"] < GIB


def test_scan_accounts_for_every_file_of_every_case(judged):
    assert [name for name, case in judged[1]["cases"].items() if case["lost_by_scan"]] == []


def mock_slice() -> Dataset:
    return slice_dataset(make_grid(), 0, np.zeros((6, 7), np.int16))


def test_header_stops_before_the_pixels_and_whole_does_not(tmp_path):
    file = write(mock_slice(), tmp_path / "a.dcm")
    assert "PixelData" not in read_header(file, "it")
    assert "PixelData" in read_whole(file, "it")


def test_a_deflated_file_reads_as_it_was_written(tmp_path):
    dataset = mock_slice()
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    file = write(dataset, tmp_path / "a.dcm")
    assert read_whole(file, "it").PixelData == dataset.PixelData


def test_inflating_stops_at_the_bound(tmp_path, monkeypatch):
    dataset = mock_slice()
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    file = write(dataset, tmp_path / "a.dcm")
    packed = file.read_bytes()
    size = len(zlib.decompress(packed[132 + 12 + int.from_bytes(packed[140:144], "little") :], -zlib.MAX_WBITS))
    monkeypatch.setattr(dicom, "MAX_INFLATED_BYTES", size - 1)
    with pytest.raises(DataError, match=f"inflates to more than {size - 1} bytes"):
        read_header(file, "it")


def test_a_file_beyond_the_limit_is_refused_unread(tmp_path, monkeypatch):
    file = write(mock_slice(), tmp_path / "a.dcm")
    monkeypatch.setattr(dicom, "MAX_FILE_BYTES", 100)
    with pytest.raises(DataError, match=r"it has \d+ bytes; at most 100 are read"):
        read_header(file, "it")


def test_more_elements_than_the_limit_are_refused(tmp_path, monkeypatch):
    file = write(mock_slice(), tmp_path / "a.dcm")
    monkeypatch.setattr(dicom, "MAX_READS", 20)
    with pytest.raises(DataError, match="it has too many elements"):
        read_header(file, "it")


def test_a_value_of_another_type_than_the_dictionarys_is_refused():
    dataset = Dataset()
    dataset.add_new("RescaleSlope", "UL", 892481074)
    with pytest.raises(UnusableAttributeError, match="RescaleSlope"):
        value_of(dataset, "RescaleSlope")


def test_a_refusal_inside_parsing_passes_unchanged():
    with pytest.raises(DataError, match=r"^mine$"), parsing("it"):
        raise DataError("mine")


def raw(tag: tuple[int, int], vr: str, value: bytes) -> Dataset:
    """An element as it stands in a file, not yet converted."""
    dataset = Dataset()
    dataset[tag] = RawDataElement(Tag(tag), vr, len(value), value, 0, False, True)
    return dataset


def test_a_refusal_names_the_attribute_that_cannot_be_used_and_not_its_value():
    dataset = raw((0x0028, 0x0030), "DS", b"DOE^JANE")
    with pytest.raises(DataError, match=r"^it has no usable PixelSpacing; export it again$"), parsing("it"):
        value_of(dataset, "PixelSpacing")


def test_an_attribute_that_is_not_needed_is_left_out_where_it_cannot_be_used():
    assert needless(raw((0x0020, 0x0013), "IS", b"first "), "InstanceNumber") is None


@pytest.mark.parametrize(
    ("name", "coding", "declared", "read"),
    [
        ("GTV_左额", "utf-8", False, "GTV_左额"),
        ("Lésion 2", "utf-8", False, "Lésion 2"),
        ("Lésion 2", "latin-1", False, "Lésion 2"),  # no valid UTF-8
        ("GTV 1", "ascii", False, "GTV 1"),
        ("é", "utf-8", True, "Ã©"),  # declared as something else: the file knows best
    ],
)
def test_text_without_a_declared_character_set_is_utf_8_where_it_can_be(name, coding, declared, read):
    dataset = raw((0x3006, 0x0026), "LO", name.encode(coding))
    assert text_of(dataset, "ROIName", declared=declared) == read
