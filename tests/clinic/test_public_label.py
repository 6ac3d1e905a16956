import pytest
from pydicom.dataset import Dataset

from tfdrift.clinic.public_label import public_label
from tfdrift.imaging.structures import Roi


def label_of(name: str, **header) -> str:
    dataset = Dataset()
    for keyword, value in header.items():
        setattr(dataset, keyword, value)
    return public_label(Roi(number=7, name=name, contours_mm=()), dataset)


DOE = {"PatientName": "Doe^Jane", "PatientID": "ID-7", "PatientBirthDate": "19500203"}


@pytest.mark.parametrize("name", ["GTV 1", "Met id7x", "GTV 1 L frontal", "idle", "GTV 8", "PTV 70Gy", "GTV 02"])
def test_a_name_without_identity_stays(name):
    assert label_of(name, **DOE) == name


def test_what_cannot_be_printed_goes():
    assert label_of("GTV\x1b[2J1\u200b", **DOE) == "GTV[2J1"


@pytest.mark.parametrize("name", ["", " ", "\x1b"])
def test_a_structure_without_a_name_has_a_number(name):
    assert label_of(name, **DOE) == "structure 7"


@pytest.mark.parametrize("name", ["GTV-Jane", "gtv_DOEleft", "GTV_jane2", "GTV 7", "ID gtv"])
def test_a_part_of_the_identity_hides_the_name(name):
    assert label_of(name, **DOE) == "structure 7"


@pytest.mark.parametrize(
    "name", ["GTV Li Wu", "Li", "gtv_wu_2", "GTV-LI", "GTVLi", "Li1", "Wu/left", "gtv liwu", "2Wu"]
)
def test_words_of_two_letters_hide_the_name(name):
    assert label_of(name, PatientName="Li^Wu", PatientID="LiWu") == "structure 7"


@pytest.mark.parametrize("name", ["GTV lining", "Wuerzburg plan"])
def test_a_short_word_inside_a_longer_one_does_not(name):
    assert label_of(name, PatientName="Li^Wu") == name


@pytest.mark.parametrize(
    ("patient", "name"),
    [
        ("M\u00fcller^Zo\u00eb", "GTV MULLER"),
        ("M\u00fcller^Zo\u00eb", "GTV Mueller"),
        ("M\u00fcller^Zo\u00eb", "GTV Zoe 1"),
        ("Mueller^Eva", "GTV M\u00fcller"),
        ("S\u00f8rensen", "gtv soerensen"),
        ("Gro\u00df", "GTV GROSS"),
        ("O'Hara^Jo", "GTV ohara jo"),
        ("Li^Wu\u0301", "GTV w\u00fa"),
        ("Doe^J", "GTV J"),
    ],
)
def test_case_and_accents_do_not_count(patient, name):
    assert label_of(name, PatientName=patient) == "structure 7"


JAPANESE = "Yamada^Tarou=\u5c71\u7530^\u592a\u90ce=\u3084\u307e\u3060^\u305f\u308d\u3046"


@pytest.mark.parametrize(
    "name", ["GTV Tarou", "GTV\u5c71\u7530", "\u592a\u90ce 1", "GTV\u3084\u307e\u3060\u5de6", "\u5c71\u7530\u5de6"]
)
def test_the_name_in_other_scripts_counts(name):
    assert label_of(name, PatientName=JAPANESE) == "structure 7"


def test_a_name_in_the_script_of_the_patients_is_not_hidden_for_that():
    assert label_of("GTV\u5de6", PatientName=JAPANESE) == "GTV\u5de6"


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("OtherPatientIDs", ["A1", "K9"]),
        ("OtherPatientNames", ["Doe^Jane", "K9"]),
        ("PatientBirthName", "K9^Jane"),
        ("PatientMotherBirthName", "K9"),
        ("AccessionNumber", "K9"),
    ],
)
def test_every_name_and_number_of_the_patient_counts(keyword, value):
    assert label_of("GTV k9 left", **{keyword: value}) == "structure 7"
    assert label_of("GTV k8 left", **{keyword: value}) == "GTV k8 left"


def test_numbers_of_other_hospitals_count():
    item = Dataset()
    item.PatientID = "77"
    assert label_of("GTV 77", OtherPatientIDsSequence=[item]) == "structure 7"


@pytest.mark.parametrize(
    "name",
    [
        "GTV 19500203", "GTV03021950", "x020350", "GTV 3.2.1950", "1950-02-03", "3/2/50", "GTV born 1950", "02_03_1950",
    ],
)  # fmt: skip
def test_the_birth_date_in_any_order_hides_the_name(name):
    assert label_of(name, **DOE) == "structure 7"


@pytest.mark.parametrize("name", ["GTV 3.2.1951", "GTV 19500204", "3 2"])
def test_another_date_does_not(name):
    assert label_of(name, **DOE) == name


def test_a_birth_date_that_is_none_hides_what_holds_its_digits():
    header = Dataset()
    header.add_new("PatientBirthDate", "DA", "1950.02")
    assert public_label(Roi(number=7, name="GTV 195002", contours_mm=()), header) == "structure 7"


@pytest.mark.parametrize(("keyword", "vr", "value"), [("PatientName", "LO", "Doe"), ("PatientBirthDate", "OB", b"12")])
def test_where_the_identity_cannot_be_read_no_name_is_cleared_of_it(keyword, vr, value):
    header = Dataset()
    header.add_new(keyword, vr, value)
    assert public_label(Roi(number=7, name="GTV left", contours_mm=()), header) == "structure 7"
