import re

import pytest

from tfdrift.evaluation.assessment import assess
from tfdrift.evaluation.page import compose, in_short

PICTURES = ("skills", "reliability", "lesions", "levels", "snapshots", "spread")


@pytest.fixture(scope="module")
def metrics(assessed):
    return assessed.metrics


def test_the_page_says_the_sentence_of_every_comparison(metrics):
    page = compose(metrics, PICTURES)
    assert metrics["comparisons"]
    assert all(entry["sentence"] in page for entry in metrics["comparisons"])


def test_every_method_has_a_row_with_its_skill(metrics):
    page = compose(metrics, PICTURES)
    for name, entry in metrics["methods"].items():
        if "scores" in entry:
            assert f"| {name} | {entry['scores']['skill']['value']:.3f} |" in page


def test_the_page_shows_the_pictures_there_are(metrics):
    assert set(re.findall(r"\]\((\w+)\.png\)", compose(metrics, PICTURES))) == set(PICTURES)


def test_a_method_without_levels_and_spread_has_no_such_sections(make_answers):
    metrics = assess(make_answers("direct", count=1)).metrics
    page = compose(metrics, ("skills", "reliability", "lesions"))
    assert set(re.findall(r"\]\((\w+)\.png\)", page)) == {"skills", "reliability", "lesions"}
    assert "One outcome has no spread" in page


def test_what_cannot_be_calibrated_is_said_and_not_guessed(metrics):
    assert metrics["methods"]["Method 1"]["uncertainty"]["drift"]["coverage"]["calibrated"] is None
    assert "A 90% interval cannot be calibrated here: it takes 9 patients" in compose(metrics, PICTURES)


def test_margins_for_a_new_patient_are_said_with_their_units(metrics):
    calibration = {**metrics["calibration"], "patients": 39, "volume_margin": 0.25, "drift_margin": 0.125}
    page = compose({**metrics, "calibration": calibration}, PICTURES)
    assert "all 39 together ask for 0.250 of the volume now" in page
    assert "0.125 of the largest signal" in page
    too_few = {**calibration, "volume_margin": None, "drift_margin": None}
    assert "For a new patient" not in compose({**metrics, "calibration": too_few}, PICTURES)


def test_a_table_without_direct_says_that_it_is_missing(metrics):
    missing = "`direct`, the same network without them, is missing"
    methods = {name: entry for name, entry in metrics["methods"].items() if not name.startswith("direct")}
    assert missing in compose({**metrics, "methods": methods}, PICTURES)
    with_direct = {**methods, "direct": metrics["methods"]["mean drift"]}
    assert missing not in compose({**metrics, "methods": with_direct}, PICTURES)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.1, 0.3, "the error is indeed larger"),
        (-0.3, -0.1, "must not be read as confidence"),
        (-0.1, 0.3, "is not shown"),
    ],
)
def test_agreement_is_called_confidence_only_where_it_is(metrics, low, high, words):
    uncertainty = metrics["methods"]["Method 1"]["uncertainty"]
    drift = {**uncertainty["drift"], "spread_error": {"value": (low + high) / 2, "low": low, "high": high}}
    changed = {**metrics, "methods": {**metrics["methods"], "Method 1": {
        **metrics["methods"]["Method 1"], "uncertainty": {**uncertainty, "drift": drift}}}}  # fmt: skip
    assert words in compose(changed, PICTURES)


@pytest.mark.parametrize(("low", "words"), [(0.1, "tells: 0.400"), (-0.1, "does not tell: 0.400")])
def test_agreement_is_asked_about_lesions_too(metrics, low, words):
    uncertainty = metrics["methods"]["Method 1"]["uncertainty"]
    volume = {**uncertainty["volume"], "spread_error_between": {"value": 0.4, "low": low, "high": 0.6}}
    changed = {**metrics, "methods": {**metrics["methods"], "Method 1": {
        **metrics["methods"]["Method 1"], "uncertainty": {**uncertainty, "volume": volume}}}}  # fmt: skip
    assert f"Which lesion's volume is predicted worse the spread {words}" in compose(changed, PICTURES)


def test_few_patients_are_called_few(metrics):
    assert "9 patients are few" in compose(metrics, PICTURES)
    assert "are few" not in compose({**metrics, "patients": 39}, PICTURES)


def test_the_short_form_names_skills_and_the_report(metrics, tmp_path):
    text = in_short(metrics, tmp_path)
    assert f"{metrics['methods']['Method 1']['scores']['skill']['value']:.3f} [" in text
    assert str(tmp_path / "report.html") in text
