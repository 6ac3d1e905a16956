import dataclasses
import json
from html.parser import HTMLParser

import numpy as np
import pytest
import tensorflow as tf
from skimage.io import imread

from tests.random_samples import make_samples
from tfdrift.cohort.folds import split
from tfdrift.errors import DataError, ResourceError, UsageError
from tfdrift.evaluation.document import as_document, read_metrics
from tfdrift.evaluation.outcomes import lesion_seeds
from tfdrift.evaluation.report import (
    DRESSED_OUTCOMES,
    as_html,
    evaluate,
    evaluate_run,
    in_short,
    run_in_short,
    scored_outcomes,
    write_report,
    write_scores,
)
from tfdrift.evaluation.results import read_results
from tfdrift.synthetic.new_patients import NewPatients
from tfdrift.synthetic.oracle import ask_oracle
from tfdrift.training.run_folder import load_predictor

FILES = {
    "metrics.json", "metrics.csv", "lesions.csv", "report.md", "report.html", "skills.png", "reliability.png",
    "lesions.png", "levels.png", "snapshots.png", "spread.png",
}  # fmt: skip


@pytest.fixture(scope="module")
def evaluated(tiny_run, phantom, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    metrics = evaluate([tiny_run("method1")], folder, against=[tiny_run("direct")], count=2, samples=phantom)
    return folder, metrics


def test_the_folder_holds_every_file_and_nothing_half_written(evaluated):
    folder, metrics = evaluated
    assert {path.name for path in folder.iterdir()} == FILES
    assert as_document(read_metrics(folder)) == as_document(metrics)


def test_pictures_have_something_on_them(evaluated):
    folder, _ = evaluated
    assert all(imread(path).std() > 5 for path in folder.glob("*.png"))


def test_the_skill_is_the_one_that_training_prints(evaluated, scored):
    _, metrics = evaluated
    _, quick = scored
    if quick.method != metrics.method:
        return
    for name in ("skill", "drift_skill"):
        assert getattr(metrics, name) == pytest.approx(getattr(quick, name), abs=1e-5)
    assert metrics.ssim == pytest.approx(quick.ssim, abs=1e-5)
    assert metrics.mean_drift == quick.mean_drift
    assert [entry.level for entry in metrics.levels] == [entry.level for entry in quick.levels]


def test_the_tables_can_be_read_back(evaluated):
    folder, metrics = evaluated
    results = read_results(folder)
    assert results.column("direct", "mse").mean() == pytest.approx(metrics.methods["direct"].scores["mse"].value)


def test_a_second_run_of_the_same_method_gets_a_name_of_its_own(tiny_run, phantom, tmp_path):
    other = tiny_run("direct", seed=1)
    metrics = evaluate([tiny_run("direct")], tmp_path, against=[other], count=1, samples=phantom)
    assert metrics.comparisons[1].second == f"direct ({other.name})"


def test_a_run_of_another_fold_cannot_be_compared(tiny_run, phantom, tmp_path):
    with pytest.raises(DataError, match="holds out fold 1"):
        evaluate([tiny_run("direct")], tmp_path, against=[tiny_run("direct", fold=1)], count=1, samples=phantom)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def on_new_patients(tiny_run, phantom, tmp_path_factory):
    folder, new = tmp_path_factory.mktemp("new"), NewPatients(patients=3, data_seed=5)
    evaluate([tiny_run("method1")], folder, against=[tiny_run("direct")], count=2, samples=phantom, new_patients=new)
    return folder


def test_new_patients_are_all_scored_and_nobody_else(on_new_patients):
    names = {f"seed5-phantom{number:03}" for number in range(3)}
    assert {row["patient"] for row in read_results(on_new_patients).slices} == names
    assert read_metrics(on_new_patients).patients == 3


def test_files_and_page_name_the_new_patients(on_new_patients):
    assert read_metrics(on_new_patients).new_patients == NewPatients(patients=3, data_seed=5)
    assert "patients drawn anew with data seed 5" in (on_new_patients / "report.md").read_text()


def test_without_new_patients_the_file_has_no_key_for_them(evaluated):
    folder, _ = evaluated
    assert "new_patients" not in json.loads((folder / "metrics.json").read_text())


def test_attainable_is_that_of_the_new_patients(on_new_patients):
    found, expected = read_metrics(on_new_patients).attainable, ask_oracle(image_size=8, patients=3, seed=5).attainable
    assert found is not None
    assert (found.skill, found.standard_error) == (expected.value, expected.standard_error)


def test_the_training_patients_anew_are_refused_and_nothing_is_written(tiny_run, phantom, tmp_path):
    new = NewPatients(patients=3, data_seed=0)
    with pytest.raises(UsageError, match="--data-seed 0 draws the phantom"):
        evaluate([tiny_run("direct")], tmp_path, count=1, samples=phantom, new_patients=new)
    assert list(tmp_path.iterdir()) == []


def test_the_same_evaluation_writes_the_same_bytes(assessed, make_answers, tmp_path):
    for name in ("one", "two"):
        write_report(tmp_path / name, assessed, make_answers())
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()


def test_a_folder_that_cannot_be_made_is_refused(assessed, make_answers, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ResourceError, match="cannot write to"):
        write_report(tmp_path / "file" / "report", assessed, make_answers())


@pytest.fixture(scope="module", params=["method1", "method2", "direct"])
def scored(request, tiny_run, phantom):
    """A run's folder and the scores that `tfdrift train` leaves in it."""
    folder = tiny_run(request.param)
    return folder, evaluate_run(folder, samples=phantom)


def test_a_runs_scores_are_those_of_one_outcome_of_each_held_out_slice(scored, phantom):
    folder, metrics = scored
    held_out = split(phantom, 0)[1]
    _, _, trained = load_predictor(folder)
    predicted = trained(tf.constant(held_out.pre), lesion_seeds(held_out, 1, 0))
    change = np.sum((held_out.pre - held_out.post) ** 2, dtype=np.float64)
    for name, truth, score in (("post", held_out.post, metrics.skill), ("drift", held_out.drift, metrics.drift_skill)):
        error = np.sum((predicted[name] - truth) ** 2, dtype=np.float64)
        assert score.value == pytest.approx(1 - error / change, abs=1e-6)
    assert (metrics.patients, metrics.slices) == (len(set(held_out.patient)), len(held_out))


def test_a_runs_file_says_what_was_returned_and_says_it_again(scored, phantom):
    folder, metrics = scored
    assert as_document(read_metrics(folder)) == as_document(metrics)
    assert as_document(evaluate_run(folder, samples=phantom)) == as_document(metrics)


def test_a_runs_preview_is_a_picture_with_something_on_it(scored):
    folder, _ = scored
    assert imread(folder / "preview.png").std() > 10


def test_every_level_of_a_run_is_scored_and_the_best_is_the_best(scored):
    _, metrics = scored
    expected = {"method1": [2, 1, 0], "method2": [1, 0], "direct": [None]}[metrics.method]
    assert [entry.level for entry in metrics.levels] == expected
    assert metrics.best_level.skill == max(entry.skill for entry in metrics.levels)


def test_other_data_than_the_run_was_trained_on_are_refused(tiny_run):
    with pytest.raises(DataError, match="no longer gives the data this run was trained on"):
        evaluate_run(tiny_run("direct"), samples=make_samples(count=90, size=8, seed=1))


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"config\.json does not exist; give a run folder"):
        evaluate_run(tmp_path)


def test_the_short_form_names_skills_and_the_report(assessed, tmp_path):
    metrics = assessed.metrics
    text = in_short(metrics, tmp_path)
    assert f"{metrics.scored['Method 1']['skill'].value:.3f} [" in text
    assert str(tmp_path / "report.html") in text
    assert all(entry.sentence in text for entry in metrics.comparisons)


def test_the_end_of_a_training_names_its_skill_and_its_best_level_if_it_has_any(assessed, tmp_path):
    metrics = assessed.metrics
    text = run_in_short(metrics, tmp_path)
    assert metrics.skill.words() in text
    assert f"best level       {metrics.best_level.level} with skill" in text
    without = dataclasses.replace(metrics, best_level=dataclasses.replace(metrics.best_level, level=None))
    assert "best level" not in run_in_short(without, tmp_path)


PAGE = """# Method 1 on phantom

| | skill |
|---|---:|
| copy | 0.000 |

![Skills](skills.png)

![Levels](levels.png)
"""


class Tags(HTMLParser):
    """Collects tags with their attributes, and the text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_the_html_needs_no_other_file():
    page = Tags(as_html(PAGE, "Method 1 on phantom", dict.fromkeys(("skills", "levels"), b"\x89PNG")))
    images = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert images == ["data:image/png;base64,iVBORw=="] * 2
    assert not any(tag in ("script", "link") for tag, _ in page.tags)


def test_the_html_holds_tables_as_tables_and_its_title():
    page = Tags(as_html(PAGE, "Method 1 on phantom", {}))
    assert [tag for tag, _ in page.tags].count("table") == 1
    assert "0.000" in page.text
    assert ("title", {}) in page.tags
    assert page.text.count("Method 1 on phantom") == 2  # the title and the heading


def test_a_title_is_text_and_no_markup():
    page = Tags(as_html("# x", "<script>alert(1)</script> & co", {}))
    assert "script" not in [tag for tag, _ in page.tags]
    assert "<script>alert(1)</script> & co" in page.text


def test_answers_with_drawn_errors_are_scored_by_their_mean(make_answers, tiny_run, tmp_path):
    answers = make_answers()
    dressed = dataclasses.replace(
        answers, config=dataclasses.replace(answers.config, inner_folds=2, validate_every=1, dressing="learned")
    )
    written = write_scores(tmp_path, dressed)
    change = np.sum(answers.held_out.drift**2, dtype=np.float64)
    error = np.sum((answers.post.mean(axis=0) - answers.held_out.post) ** 2, dtype=np.float64)
    assert written.skill.value == pytest.approx(1 - error / change, abs=1e-6)
    assert written.skill.value > write_scores(tmp_path, answers).skill.value
    settings = {"inner_folds": 2, "validate_every": 1}
    assert scored_outcomes(tiny_run("direct", **settings)) == 1
    assert scored_outcomes(tiny_run("direct", dressing="learned", **settings)) == DRESSED_OUTCOMES
