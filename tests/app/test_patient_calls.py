import filecmp

import pytest

from tests.app.asking import talk
from tests.clinic.patients import noisy, write_formula, write_patient
from tfdrift.errors import DataError


def test_from_a_folder_to_a_saved_prediction(desk):
    root = desk.folders.root
    write_patient(root / "export")
    write_formula(desk.models / "chancy", noisy, tfdrift="1", data={})

    async def conversation(ask):
        found = await ask("scan", folder="export")
        document = await ask("scanned", job=found["id"])
        (study,) = document["patients"][0]["studies"]
        series, structures = study["series"][0]["folders"][0], study["structure_sets"][0]
        assert [roi["lesion"] for roi in structures["rois"]] == [True]
        files = {"series": f"export/{series}", "structures": f"export/{structures['file']}"}
        shown = await ask("patient", **files)
        assert desk.file_names(shown["id"]) == ["mri.nii", "contours.nii.gz"]
        assert len((await ask("read", job=shown["id"]))["lesions"]) == 1
        model = (await ask("models"))["models"][0]["name"]
        job = await ask("predict", **files, model=model, outcomes=2)
        assert (job["state"], job["progress"]["unit"], job["progress"]["total"]) == ("done", "lesion", 1)
        answer = await ask("prediction", job=job["id"])
        assert answer["document"]["lesions"][0]["name"] == "GTV 1"
        assert answer["maps"] == ["post_mean", "drift_mean", "drift_std", "lesion_probability"]
        saved = await ask("save", job=job["id"], out="kept")
        compared = filecmp.dircmp(desk.job(job["id"]).out, root / "kept")
        with pytest.raises(DataError, match="kept is there already"):
            await ask("save", job=job["id"], out="kept")
        return saved, compared.left_only + compared.right_only + compared.diff_files, sorted(compared.common)

    saved, unlike, common = talk(desk, conversation)
    assert saved["saved"] == "kept"
    assert unlike == []
    assert common == ["dicom", "nifti", "prediction.json", "report.html"]


def test_a_prediction_that_fails_says_why_and_cannot_be_saved(desk):
    write_patient(desk.folders.root / "export")
    write_formula(desk.models / "chancy", noisy, tfdrift="1", data={})

    async def conversation(ask):
        files = {"series": "export/MR", "structures": "export/RS.dcm", "roi": "nothing"}
        job = await ask("predict", **files, model="chancy")
        with pytest.raises(DataError, match="Begin anew"):
            await ask("save", job=job["id"], out="kept")
        return job

    job = talk(desk, conversation)
    assert job["state"] == "failed"
    assert "none of the 1 structures matches --roi" in job["error"]
    assert [path.name for path in desk.folders.root.iterdir()] == ["export"]
