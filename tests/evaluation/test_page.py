import dataclasses
import math
import re

import markdown
import pytest

from tfdrift.evaluation.assessment import assess
from tfdrift.evaluation.metrics import METRICS
from tfdrift.evaluation.page import compose, escape_markdown, title_of
from tfdrift.statistics.intervals import Estimate
from tfdrift.synthetic.new_patients import NewPatients

PICTURES = ("skills", "reliability", "lesions", "levels", "snapshots", "spread")


@pytest.fixture(scope="module")
def metrics(assessed):
    return assessed.metrics


def test_the_page_says_the_sentence_of_every_comparison(metrics):
    page = compose(metrics, PICTURES)
    assert metrics.comparisons
    assert all(entry.sentence in page for entry in metrics.comparisons)


def test_every_method_has_a_row_with_its_skill(metrics):
    page = compose(metrics, PICTURES)
    for name, scores in metrics.scored.items():
        assert f"| {name} | {scores['skill'].value:.3f} |" in page


def test_the_page_shows_the_pictures_there_are(metrics):
    assert set(re.findall(r"\]\((\w+)\.png\)", compose(metrics, PICTURES))) == set(PICTURES)


def test_a_method_without_levels_and_spread_has_no_such_sections(make_answers):
    metrics = assess(make_answers("direct", count=1)).metrics
    page = compose(metrics, ("skills", "reliability", "lesions"))
    assert set(re.findall(r"\]\((\w+)\.png\)", page)) == {"skills", "reliability", "lesions"}
    assert "One outcome has no spread" in page


def test_what_cannot_be_calibrated_is_said_and_not_guessed(metrics):
    assert metrics.ours.uncertainty.drift.coverage["calibrated"] is None
    assert "A 90% interval cannot be calibrated here: it takes 9 patients" in compose(metrics, PICTURES)


def test_margins_for_a_new_patient_are_said_with_their_units(metrics):
    calibration = dataclasses.replace(metrics.calibration, patients=39, volume_margin=0.25, drift_margin=0.125)
    page = compose(dataclasses.replace(metrics, calibration=calibration), PICTURES)
    assert "all 39 together ask for 0.250 of the volume now" in page
    assert "0.125 of the largest signal" in page
    too_few = dataclasses.replace(calibration, volume_margin=math.inf, drift_margin=math.inf)
    assert "For a new patient" not in compose(dataclasses.replace(metrics, calibration=too_few), PICTURES)


def test_a_table_without_direct_says_that_it_is_missing(metrics):
    missing = "`direct`, the same network without them, is missing"
    methods = {name: entry for name, entry in metrics.methods.items() if not name.startswith("direct")}
    assert missing in compose(dataclasses.replace(metrics, methods=methods), PICTURES)
    with_direct = {**methods, "direct": metrics.methods["mean drift"]}
    assert missing not in compose(dataclasses.replace(metrics, methods=with_direct), PICTURES)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.1, 0.3, "the error is indeed larger"),
        (-0.3, -0.1, "must not be read as confidence"),
        (-0.1, 0.3, "is not shown"),
    ],
)
def test_agreement_is_called_confidence_only_where_it_is(metrics, low, high, words):
    changed = with_uncertainty(metrics, "drift", spread_error=Estimate((low + high) / 2, low, high))
    assert words in compose(changed, PICTURES)


@pytest.mark.parametrize(("low", "words"), [(0.1, "tells: 0.400"), (-0.1, "does not tell: 0.400")])
def test_agreement_is_asked_about_lesions_too(metrics, low, words):
    changed = with_uncertainty(metrics, "volume", spread_error_between=Estimate(0.4, low, 0.6))
    assert f"Which lesion's volume is predicted worse the spread {words}" in compose(changed, PICTURES)


def test_few_patients_are_called_few(metrics):
    assert "9 patients are few" in compose(metrics, PICTURES)
    assert "are few" not in compose(dataclasses.replace(metrics, patients=39), PICTURES)


def with_uncertainty(metrics, kind, **changed):
    """Return metrics with other numbers in the uncertainty of Method 1."""
    uncertainty = metrics.ours.uncertainty
    uncertainty = dataclasses.replace(uncertainty, **{kind: dataclasses.replace(getattr(uncertainty, kind), **changed)})
    ours = dataclasses.replace(metrics.ours, uncertainty=uncertainty)
    return dataclasses.replace(metrics, methods={**metrics.methods, metrics.label: ours})


def test_without_other_patients_no_level_is_chosen_and_the_page_says_why(metrics):
    assert metrics.chosen_level is not None
    page = compose(metrics, PICTURES)
    assert f"the skill is {metrics.chosen_level.skill.words()}" in page
    page = compose(dataclasses.replace(metrics, chosen_level=None), PICTURES)
    assert "it takes two groups of held-out patients" in page
    assert "chosen on other patients than it is scored on, the skill is" not in page


def test_every_score_of_the_page_is_explained(metrics):
    page = compose(metrics, PICTURES)
    for metric in METRICS.values():
        assert (f"| {metric.words} |" in page) == metric.on_page
        assert (f"- **{metric.words}**: {metric.meaning}" in page) == metric.on_page


HOSTILE = "<img src=x onerror=alert(1)> [a](http://x) **b** | c_d_ `e`\n# f"


def test_text_from_data_is_text_on_the_page(make_answers):
    metrics = assess(make_answers(HOSTILE)).metrics
    html = markdown.markdown(compose(metrics, PICTURES), extensions=["tables"])
    assert html.count("<h1>") == 1
    assert "<img src=x" not in html
    assert "http://x" not in re.findall(r'href="([^"]*)"', html)
    assert "<strong>b</strong>" not in html
    assert title_of(metrics) == f"{HOSTILE} on phantom"
    row = next(line for line in html.splitlines() if "c_d_" in line and "<td" in line)
    assert row.count("<td") == 1


def test_escaped_text_is_shown_as_it_is():
    html = markdown.markdown(escape_markdown(HOSTILE), extensions=["tables"])
    text = html.removeprefix("<p>").removesuffix("</p>")
    assert text.replace("&lt;", "<").replace("&gt;", ">") == HOSTILE.replace("\n", " ")


def test_only_margins_that_an_export_takes_are_offered_to_it(metrics):
    calibration = dataclasses.replace(metrics.calibration, volume_margin=0.2, drift_margin=0.1)
    own = dataclasses.replace(metrics, calibration=calibration, new_patients=None)
    drawn = dataclasses.replace(own, new_patients=NewPatients())
    assert "0.100 of the largest signal" in compose(drawn, PICTURES)
    assert "tfdrift export --calibration" in compose(own, PICTURES)
    assert "tfdrift export --calibration" not in compose(drawn, PICTURES)


def test_too_few_patients_for_margins_that_adapt_are_said(metrics):
    assert "There are too few patients to learn on some how margins should adapt" in compose(metrics, PICTURES)


def test_constant_and_adaptive_margins_stand_side_by_side(many_assessed):
    metrics = many_assessed.metrics
    page, found = compose(metrics, PICTURES), metrics.ours.adaptive
    for kind, one in (("drift", found.drift), ("volume", found.volume)):
        row = f"| {metrics.label} | {kind} | {one.coverage['constant'].words()} | {one.width['constant']:.3f} |"
        assert escape_markdown(row).replace(r"\|", "|") in page
        assert one.width_ratio.words() in page
        group = one.by_predicted_change[0]
        assert f"| {kind}, predicted change {group.low:.2f} to {group.high:.2f} | {group.lesions} |" in page
    assert "were learned on 10 or more of the other held-out patients" in page
    assert "calibrated on 20 or more further ones" in page
    for name, one in found.drift.by_region.items():
        assert f"| drift, {name} | {one.lesions} | {one.coverage['constant'].value:.3f} |" in page
    for kind, decided in found.decided.items():
        assert f"| {metrics.label} | {kind} | {decided.share.words()} |" in page
    assert "<td" in markdown.markdown(page, extensions=["tables"])
