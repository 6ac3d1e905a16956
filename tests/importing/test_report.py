import dataclasses

from tests.cohort.test_tables import ROW
from tfdrift.cohort.tables import Exclusion
from tfdrift.importing.patient import ImportedPatient
from tfdrift.importing.report import collect_exclusions, count_all, most_common_reasons

VANISHED = Exclusion(visit="pre", structure=1, reason="vanished")
CUT = Exclusion(visit="post", structure=None, reason="cut off", broken=True)
NO_DICOM = Exclusion(visit="", structure=None, reason="1 file: no DICOM")
SIDE = dataclasses.replace(ROW, orientation="sagittal", response_group="A", warnings="", outgrown=0.1)


def test_every_exclusion_stands_under_its_patient_and_the_files_of_none_come_last():
    imported = {"p2": ImportedPatient(exclusions=(CUT,)), "p1": ImportedPatient(exclusions=(VANISHED, VANISHED))}
    rows = collect_exclusions(imported, [NO_DICOM], ["p2", "p3"])
    assert [(name, one.reason) for name, one in rows] == [
        ("p1", "vanished"),
        ("p1", "vanished"),
        ("p2", "cut off"),
        ("p3", "in the pairs table, and not among the files"),
        ("", "1 file: no DICOM"),
    ]


def test_reasons_are_told_the_most_common_first_and_the_broken_ones_alone_where_asked():
    rows = [("p1", CUT), ("p1", VANISHED), ("p2", VANISHED)]
    assert most_common_reasons(rows) == "2 x 'vanished', 1 x 'cut off'"
    assert most_common_reasons(rows, broken=True) == "1 x 'cut off'"


def test_counts_are_those_of_the_rows():
    imported = {
        "p1": ImportedPatient(lesions=(ROW, SIDE), acquisitions=({"EchoTime": 2.5}, {"EchoTime": 2.5})),
        "p2": ImportedPatient(exclusions=(CUT,), acquisitions=({"EchoTime": 9.0},)),
    }
    document = count_all(imported, [("p2", CUT), ("", NO_DICOM)])
    assert (document["patients"], document["patients_found"], document["lesions"]) == (1, 2, 2)
    assert (document["lesions_with_warnings"], document["lesions_outgrown"]) == (1, 1)
    assert document["response_groups"] == {"A": 1, "unknown": 1}
    assert (document["excluded"], document["broken"]) == ({"1 file: no DICOM": 1, "cut off": 1}, 1)
    assert document["sequences"] == {"EchoTime": {"2.5": 2}}


def test_a_mixture_of_orientations_is_warned_of():
    mixed = count_all({"p1": ImportedPatient(lesions=(ROW, ROW)), "p2": ImportedPatient(lesions=(SIDE,))}, [])
    assert mixed["orientations"] == {"axial": 2, "sagittal": 1}
    (warning,) = mixed["warnings"]
    assert "of 3 lesions 2 axial, 1 sagittal" in warning


def test_one_orientation_is_not_warned_of():
    assert count_all({"p1": ImportedPatient(lesions=(SIDE, SIDE))}, [])["warnings"] == []
