import copy
import html
import re

import markdown
import pytest

from tfdrift.export.model_card import NOT_CALIBRATED, NOT_SCORED, model_card
from tfdrift.methods import METHODS

DOCUMENT = {
    "tfdrift": "0.2",
    "trained_with": "0.1",
    "data": {"fingerprint": "abc123", "slices": 117, "patients": 31},
    "step": 1500,
    "samples": 16,
    "train": {"method": "method1", "data": "cohort", "image_size": 32},
    "calibration": {
        "coverage": 0.9, "volume_margin": 0.2134, "drift_margin": 0.0871, "patients": 39, "outcomes": 24,
    },
    "metrics": {
        "fold": 2, "patients": 8, "lesions": 11, "slices": 33, "ssim": 0.912, "copy": {"skill": 0.0, "ssim": 0.5},
        "skill": {"value": 0.43, "low": 0.21, "high": 0.65},
        "mean_drift": {"skill": {"value": 0.11, "low": -0.02, "high": 0.2}, "ssim": 0.6},
    },
}  # fmt: skip


def card(**changes) -> str:
    return model_card({**copy.deepcopy(DOCUMENT), **changes})


@pytest.mark.parametrize(
    "said",
    [
        "Not a medical device",
        "117 slices of 31 patients",
        "1500 optimiser steps",
        "`abc123`",
        "On 8 patients it has never seen (11 lesions, 33 slices, fold 2)",
        "| this model | 0.430 [0.210, 0.650] | 0.912 |",
        "| mean drift of the training lesions | 0.110 [-0.020, 0.200] | 0.600 |",
        "| copy: the second MRI looks like the first | 0 | 0.500 |",
        "## Limits",
        "not a calibrated uncertainty",
        "a lesion's volume by 0.213 of the volume now, those of a pixel's drift by 0.087 of the largest signal",
        "measured on 39 patients",
        "with 24 outcomes of each slice",
        "The promise holds for patients like those, and not exactly",
        "tfdrift 0.2, trained with tfdrift 0.1",
    ],
)
def test_card_says(said):
    assert said in " ".join(card().split())  # wherever its lines end


def test_a_model_without_scores_says_so():
    assert NOT_SCORED in card(metrics=None)


def test_margins_that_adapt_are_told_by_region():
    adaptive = {
        "volume": {"floor": 0.05, "weights": [2.0], "margin": 0.75, "learned_on": 13, "calibrated_on": 26},
        "drift": {"floor": 0.1, "weights": [1.0, 2.0, 4.0], "margin": 0.5, "learned_on": 13, "calibrated_on": 26},
    }
    text = card(calibration={**DOCUMENT["calibration"], "adaptive": adaptive})
    for row in (
        "| a lesion's volume, in units of the volume now | 1.500 | 0.050 |",
        "| a pixel's drift, core, in units of the largest signal of its slice | 0.500 | 0.100 |",
        "| a pixel's drift, rim, in units of the largest signal of its slice | 1.000 | 0.100 |",
        "| a pixel's drift, outside, in units of the largest signal of its slice | 2.000 | 0.100 |",
    ):
        assert f"\n{row}\n" in text
    words = " ".join(text.split())
    assert "was learned on 13 of the patients, and the margins were calibrated on the other 26" in words
    assert "Constant margins would be 0.213 of the volume now and 0.087 of the largest signal" in words
    assert "\n\n\n" not in text
    assert "{" not in text


def test_a_model_without_calibration_says_that_its_intervals_are_too_narrow():
    assert NOT_CALIBRATED in card(calibration=None)
    assert NOT_CALIBRATED not in card()


@pytest.mark.parametrize("data", ["phantom", "mnist"])
def test_a_model_that_has_seen_no_patient_says_so(data):
    assert "its scores say nothing of patients" in card(train={**DOCUMENT["train"], "data": data})


def test_a_model_without_noise_does_not_claim_certainty():
    assert "no statement of certainty" in card(train={**DOCUMENT["train"], "method": "direct"})


def test_every_method_has_its_sentence():
    sentences = {card(train={**DOCUMENT["train"], "method": method}) for method in METHODS}
    assert len(sentences) == len(METHODS)


HOSTILE = "`<script>alert(1)</script>\n# Not a heading ![x](http://elsewhere/x.png) **bold** | &amp;"


@pytest.mark.parametrize(
    "changes",
    [{"trained_with": HOSTILE}, {"tfdrift": HOSTILE}, {"data": {**DOCUMENT["data"], "fingerprint": HOSTILE}}],
    ids=str,
)
def test_what_comes_from_the_data_is_no_markdown_and_no_html(changes):
    tags = re.compile("</?[a-z0-9]+[^>]*>")
    page = markdown.markdown(card(**changes), extensions=["tables"])
    assert tags.findall(page) == tags.findall(markdown.markdown(card(), extensions=["tables"]))
    shown = html.unescape(tags.sub("", page))
    assert " ".join(HOSTILE.split()).removeprefix("`") in shown


def test_the_card_reads_as_one_text():
    assert "\n\n\n" not in card()
    assert "\n\n\n" not in card(metrics=None, calibration=None, train={**DOCUMENT["train"], "data": "phantom"})
    assert "{" not in card()
