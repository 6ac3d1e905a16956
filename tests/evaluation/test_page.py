import re
from html.parser import HTMLParser

import pytest

from tfdrift.evaluation.assessment import assess
from tfdrift.evaluation.page import as_html, compose, in_short

PICTURES = ("skills", "reliability", "lesions", "levels", "snapshots", "spread")


@pytest.fixture(scope="module")
def metrics(assessed):
    return assessed.metrics


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


def test_the_html_needs_no_other_file(metrics):
    page = Tags(as_html(compose(metrics, PICTURES), dict.fromkeys(PICTURES, b"\x89PNG")))
    images = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert len(images) == len(PICTURES)
    assert all(source == "data:image/png;base64,iVBORw==" for source in images)
    assert not any(tag in ("script", "link") for tag, _ in page.tags)


def test_the_html_holds_the_tables_as_tables(metrics):
    page = Tags(as_html(compose(metrics, PICTURES), {}))
    assert sum(tag == "table" for tag, _ in page.tags) == 3
    assert f"{metrics['methods']['direct']['scores']['mse']['value']:.4f}" in page.text


def test_the_short_form_names_skills_and_the_report(metrics, tmp_path):
    text = in_short(metrics, tmp_path)
    assert f"{metrics['methods']['Method 1']['scores']['skill']['value']:.3f} [" in text
    assert str(tmp_path / "report.html") in text
