import csv

import numpy as np
import pytest
import SimpleITK as sitk

from tests.app.asking import talk
from tests.clinic_export import write_clinic
from tfdrift.app import pairs
from tfdrift.app.desk import Desk
from tfdrift.errors import DataError


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What the page hears from the export to the second cohort, which leaves out a pair that was called wrong."""
    base = tmp_path_factory.mktemp("cohort")
    (base / "root").mkdir()
    write_clinic(base / "root/clinic", [2, 3, 4], spacing_mm=6.0)
    desk = Desk(base / "root", base / "models", base / "runs", area=base)

    async def conversation(ask):
        heard = {"kind": await ask("kind", folder="clinic")}
        heard["import"] = await ask("import", folder="clinic", out="cohort", folds=2)
        heard["cohort kind"] = await ask("kind", folder="cohort")
        opened = await ask("open", cohort="cohort")
        heard["cohort"] = found = await ask("cohort", job=opened["id"])
        cards = desk.file(opened["id"], "cards.bin")
        assert cards is not None
        heard["pixels"] = cards.read_bytes()
        patients = [one["patient"] for one in found["lesions"]]  # sorted by pseudonym, which is drawn anew
        lesion = next(one["lesion"] for one in found["lesions"] if patients.count(one["patient"]) > 1)
        pair = await ask("pair", folder="clinic", cohort="cohort", lesion=lesion)
        heard["pair"] = await ask("read", job=pair["id"])
        heard["files"] = {
            name: sitk.ReadImage(str(desk.file(pair["id"], name))) for name in desk.file_names(pair["id"])
        }
        heard["wrong"] = await ask("wrong", cohort="cohort", lesion=lesion, reason="looked at")
        again = {"key": found["key"], "exclude": found["wrong_file"]}
        heard["again"] = await ask("import", folder="clinic", out="cohort-2", folds=2, **again)
        with pytest.raises(DataError, match="not in the cohort any more"):
            await ask("wrong", cohort="cohort-2", lesion=lesion, reason="x")
        heard["lesion"], heard["root"] = lesion, desk.folders.root
        return heard

    return talk(desk, conversation)


def rows(file):
    with file.open() as lines:
        return list(csv.DictReader(lines))


def test_an_import_is_followed_and_its_cohort_is_known(told):
    assert told["kind"] == {"kind": "other"}
    assert (told["import"]["state"], told["import"]["progress"]["unit"]) == ("done", "patient")
    assert told["cohort kind"] == {"kind": "cohort", "image_size": 32}


def test_every_lesion_has_a_card(told):
    found = told["cohort"]
    assert {card["lesion"] for card in found["cards"]} == {row["lesion"] for row in found["lesions"]}
    assert len(told["pixels"]) == sum(4 * card["size"] ** 2 for card in found["cards"])
    assert found["key"] == "cohort.key"


def test_both_heads_lie_on_one_grid_and_the_cursor_is_in_the_lesion(told):
    assert tuple(told["files"]) == pairs.FILES
    sizes = {image.GetSize() for image in told["files"].values()}
    assert len(sizes) == 1
    right, front, head = told["pair"]["centre_ras_mm"]
    contours = told["files"]["pre_contours.nii.gz"]
    assert contours[contours.TransformPhysicalPointToIndex((-right, -front, head))] == 1
    pre, post = (sitk.GetArrayFromImage(told["files"][name]) for name in ("pre.nii", "post.nii"))
    assert np.corrcoef(pre.ravel(), post.ravel())[0, 1] > 0.8


def test_a_pair_called_wrong_stands_beside_the_cohort_and_is_left_out_next_time(told):
    root, lesion = told["root"], told["lesion"]
    assert list(told["wrong"]["wrong"]) == [lesion]
    assert told["again"]["state"] == "done"
    before, after = rows(root / "cohort/lesions.csv"), rows(root / "cohort-2/lesions.csv")
    assert {row["lesion"] for row in before} - {row["lesion"] for row in after} == {lesion}
    assert "called a wrong pair" in {row["reason"] for row in rows(root / "cohort-2/exclusions.csv")}
    assert rows(root / "cohort-2.wrong_pairs.csv") == rows(root / "cohort.wrong_pairs.csv")
