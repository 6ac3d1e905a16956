import html.parser
import json
import re

import numpy as np
import pytest

from tests.clinic.patients import ORIENTATIONS, SIZE, PythonModel, ball, scaled
from tests.imaging.mock_dicom import make_grid
from tfdrift.clinic import report
from tfdrift.clinic.lesion import crop_gtv, outcome_seeds, predict_lesion
from tfdrift.clinic.report import build_report

HOSTILE = "<script>alert('x')</script> & \"quoted\" $number"


def make_document(**changed):
    lesion = {
        "structure": 4,
        "name": "GTV 4",
        "volume_now_mm3": 1200.0,
        "volume_predicted_mm3": {
            "mean": 900.0,
            "low": 600.0,
            "high": 1250.0,
            "raw_low": 850.0,
            "raw_high": 1000.0,
            "samples": [850.0, 1000.0],
        },
        "share_of_samples_below_80_percent": 0.25,
        "below_80_percent": "undecided",
        "drift_in_gtv_scanner_units": {
            "mean": -120.0,
            "lowest": -500.0,
            "highest": 80.0,
            "mean_std": 30.0,
            "interval_half_width": 141.0,
            "raw_interval_half_width": 41.0,
        },
        "crop_mm": 18.9,
        "warnings": ["the lesion is odd"],
    }
    document = {
        "tfdrift": "0.1.0",
        "model": {
            "name": "m", "version": 7, "sha256": "ab" * 32, "weights_sha256": "cd" * 32,
            "method": "method1", "data": "phantom", "step": 600,
        },
        "series": {"orientation": "axial", "columns_rows_slices": [30, 28, 11], "spacing_mm": [0.9, 1.1, 2.0]},
        "samples": 16,
        "seed": 3,
        "calibration": {
            "coverage": 0.9, "volume_margin": 0.2083, "drift_margin": 0.1, "patients": 39, "outcomes": 16,
        },
        "skipped": ["GTV 5 has no closed contours"],
        "lesions": [lesion],
    }  # fmt: skip
    return {**document, **changed}


@pytest.fixture(scope="module")
def prediction():
    signal = np.random.default_rng(0).uniform(700, 900, (11, 28, 30)).astype(np.float32)
    grid = make_grid(size=(30, 28, 11), spacing_mm=(0.9, 1.1, 2.0))
    crops = crop_gtv(signal, ball(grid), (2.0, 1.1, 0.9), SIZE)
    return predict_lesion(PythonModel(scaled), ball(grid), crops, outcome_seeds(0, 1, 2, len(crops.slices)))


def build(prediction, document, card=None) -> str:
    return build_report(document, [prediction], direction=ORIENTATIONS["axial"], card=card)


@pytest.fixture(scope="module")
def page(prediction):
    return Page(build(prediction, make_document()))


@pytest.fixture
def without_pictures(monkeypatch):
    """Leave out what takes most of the time and does not depend on the document."""
    monkeypatch.setattr(report, "_picture", lambda *_given, **_named: {"heading": "", "text": HOSTILE, "data": ""})


class Page(html.parser.HTMLParser):
    """The text of a page, its tags, and what it would load."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.text, self.tags, self.loads, self.open = "", [], [], []
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        loads = [value or "" for name, value in attrs if name in ("src", "href")]
        self.loads += [value for value in loads if not value.startswith("#")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_page_is_well_formed_and_loads_nothing_from_elsewhere(page):
    assert page.open == []
    assert page.loads
    assert all(load.startswith("data:image/png;base64,") for load in page.loads)
    assert not {"script", "link", "iframe"} & set(page.tags)


@pytest.mark.parametrize(
    "said",
    [
        "Research use, not a medical device",
        "1,200", "900", "600 – 1,250", "−25%", "undecided", "25% of outcomes",
        "90% interval 600 to 1,250 mm³, calibrated on 39 patients (outcomes alone: between 850 and 1,000)",
        "Undecided: the interval holds 80% of the volume now; 25% of the outcomes are below it",
        "the 90% interval of a pixel's drift is ±141 on average, calibrated (raw ±41)",
        "widened at both ends by 20.8% of the volume now, which was measured with 16 outcomes. So",
        "This is not exact: it was measured on volumes told from three slices",
        "m, version 7", "ab" * 32, "cd" * 32, "16, seed 3",
        "the lesion is odd",
        "not predicted: GTV 5 has no closed contours",
    ],
)  # fmt: skip
def test_the_page_says(page, said):
    assert said in page.text


def test_three_pictures_for_a_lesion(page):
    assert page.tags.count("img") == 3


@pytest.mark.usefixtures("without_pictures")
def test_without_calibration_nothing_on_the_page_claims_one(prediction):
    (lesion,) = make_document()["lesions"]
    volumes = {**lesion["volume_predicted_mm3"], "low": 850.0, "high": 1000.0}
    raw = {**lesion, "volume_predicted_mm3": volumes, "below_80_percent": None}
    text = Page(build(prediction, make_document(calibration=None, lesions=[raw]))).text
    assert "The interval is raw, the spread of the outcomes: no calibration came with the model." in text
    assert "90% of the outcomes between 850 and 1,000 mm³, and 25% of them below 80% of the volume now" in text
    assert "the 90% interval of a pixel's drift is ±41 on average, raw" in text
    assert not re.search("ndecided|calibrated", text)


@pytest.mark.usefixtures("without_pictures")
def test_margins_that_adapt_are_told_as_such(prediction):
    document = make_document()
    adaptive = {"volume": {"floor": 0.1, "weights": [2.0], "margin": 0.75, "learned_on": 13, "calibrated_on": 26}}
    calibration = {**document["calibration"], "adaptive": adaptive}
    text = Page(build(prediction, {**document, "calibration": calibration})).text
    assert "widened at both ends by 1.50 times the standard deviation of the outcomes' volumes" in text
    assert "by 15.0% of the volume now at least (learned on 13 of them, calibrated on the other 26)" in text
    assert "20.8%" not in text


@pytest.mark.usefixtures("without_pictures")
def test_other_outcomes_than_calibrated_with_are_said(prediction):
    assert "measured with 16 outcomes, not 4 as here" in Page(build(prediction, make_document(samples=4))).text


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize(
    ("decided", "said"),
    [
        ("yes", "The whole interval is below 80% of the volume now"),
        ("no", "The whole interval is at 80% of the volume now or above"),
    ],
)
def test_what_the_interval_decides_is_said(prediction, decided, said):
    (lesion,) = make_document()["lesions"]
    assert said in Page(build(prediction, make_document(lesions=[{**lesion, "below_80_percent": decided}]))).text


@pytest.mark.usefixtures("without_pictures")
def test_the_card_is_shown_and_brings_no_html_and_no_link(prediction):
    table = "| a | b |\n|---|---|\n| 1 | 2 |\n"
    card = f"# Model card\n\n## How well\n\n- {HOSTILE}\n- [here](javascript:alert(1))\n\n{table}"
    page = Page(build(prediction, make_document(), card))
    assert HOSTILE in page.text
    assert "[here](javascript:alert(1))" in page.text
    assert "script" not in page.tags
    assert page.tags.count("a") == 1  # the one in the table of volumes
    assert page.text.count("Model card") == 1
    assert page.tags.count("table") == 2


def test_without_a_card_the_page_says_so(page):
    assert "No model card came with the model" in page.text


@pytest.mark.usefixtures("without_pictures")
def test_names_and_warnings_cannot_break_the_page(prediction):
    document = json.loads(json.dumps(make_document()))
    document["model"]["name"] = document["lesions"][0]["name"] = HOSTILE
    document["lesions"][0]["warnings"] = document["skipped"] = [HOSTILE]
    page = Page(build(prediction, document))
    assert "script" not in page.tags
    assert page.text.count(HOSTILE) == 5  # the model, the table, the heading, and two warnings


@pytest.mark.usefixtures("without_pictures")
def test_a_model_that_tells_little_is_named_as_such(prediction):
    model = {
        "name": "m", "version": 7, "sha256": None, "weights_sha256": None, "method": None, "data": None, "step": None,
    }  # fmt: skip
    text = Page(build(prediction, make_document(model=model))).text
    assert len(re.findall("not told by the model", text)) == 2
