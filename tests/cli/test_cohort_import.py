from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.main import cli
from tfdrift.errors import UsageError
from tfdrift.importing import cohort as importing
from tfdrift.importing.settings import ImportSettings

DOCUMENT = {
    "patients": 38, "patients_found": 39, "lesions": 68, "slices": 190, "folds": 5, "broken": 1, "image_size": 16,
    "lesions_with_warnings": 3, "lesions_outgrown": 2, "response_groups": {"A": 30, "B": 37, "unknown": 1},
    "warnings": ["the slices lie in several directions"],
    "excluded": {**{f"reason {number}": 1 for number in range(9)}, "not a target name": 400},
}  # fmt: skip


@pytest.fixture
def asked(monkeypatch):
    """What the library is asked to do; it answers with `DOCUMENT`."""
    calls = {}

    def import_cohort(export, out, **options):
        calls.update(options, export=export, out=out)
        list(options["progress"](iter("ab"), 2, "patient"))
        return DOCUMENT

    monkeypatch.setattr(importing, "import_cohort", import_cohort)
    return calls


def import_command(*options):
    return CliRunner().invoke(cli, ["cohort", "import", "clinic", "out", *options])


def test_import_says_what_is_in_the_cohort_and_what_to_look_at(asked):
    run = import_command()
    assert run.exit_code == 0
    assert run.stdout.splitlines() == [
        "imported    38 of 39 patients, 68 lesions, 190 slices, 5 folds; response A 30, B 37, unknown 1",
        "left out    409, see out/exclusions.csv",
        "       400  not a target name",
        *(f"         1  reason {number}" for number in range(7)),
        "            and 2 other reasons",
        "broken      1 of these, which a new export may mend",
        "look at     out/contact_sheet.png; lesions with a warning: 3",
        "outgrown    2 lesions leave their box; --box union makes room",
        "warning     the slices lie in several directions",
        "keep        out.key, apart from the cohort: with it the same patients get the same pseudonyms",
        "next        tfdrift train method1 --data out --image-size 16",
    ]
    assert asked["export"] == Path("clinic")


def test_import_says_how_slices_with_neighbours_are_trained_on(asked):
    run = import_command("--lesion", "context")
    assert run.stdout.splitlines()[-1].endswith("tfdrift train method1 --data out --image-size 16 --lesion context")
    assert asked["settings"].lesion == "context"


def test_import_tells_each_patient_where_there_is_no_terminal(asked):
    assert import_command().stderr.splitlines() == ["patient 1 of 2", "patient 2 of 2"]
    assert asked


def test_import_hands_every_option_on(asked):
    options = [
        "--roi",
        "^X",
        "--pairs",
        "p.csv",
        "--box",
        "union",
        "--slices",
        "all",
        "--register",
        "rigid",
        "--source",
        "dicom",
    ]
    options += ["--min-days", "2", "--max-days", "99"]
    options += ["--folds", "3", "--image-size", "16", "--seed", "7", "--key", "k", "--workers", "2", "--strict"]
    options += ["--scheduler", "tcp://a:1"]
    run = import_command(*options)
    expected = {
        "roi": "^X", "pairs": Path("p.csv"), "box": "union", "slices": "all", "register": "rigid", "folds": 3,
        "image_size": 16, "seed": 7, "key": Path("k"), "workers": 2, "strict": True, "source": "dicom",
        "min_days": 2, "max_days": 99, "scheduler": "tcp://a:1",
    }  # fmt: skip
    assert asked["settings"] == ImportSettings(**expected)
    assert "keep        k, apart" in run.stdout


def test_import_into_a_folder_that_is_not_empty_is_a_usage_error(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    run = CliRunner().invoke(cli, ["cohort", "import", str(tmp_path), str(tmp_path)])
    assert isinstance(run.exception, UsageError)
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]
