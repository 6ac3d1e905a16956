import dataclasses
import json

import numpy as np
import pytest

from tests.reproduction.random_predictions import make_predictions
from tfdrift.reproduction.group_maps import (
    EDGES,
    ZONES,
    as_group_table,
    draw_discs,
    draw_profiles,
    places,
    profiles,
    score_groups,
)


def disc(radius: float, size: int = 65) -> tuple[np.ndarray, np.ndarray]:
    """Return a disc and the distance of each pixel from its middle in radii."""
    distance = np.hypot(*(np.indices((size, size)) - size // 2))
    return distance <= radius, distance / radius


@pytest.mark.parametrize("radius", [8, 20])
def test_in_a_disc_the_place_is_the_distance_in_radii(radius):
    mask, distance = disc(radius)
    near = distance < 1.5
    np.testing.assert_allclose(places(mask)[near], distance[near], atol=1 / radius)
    assert ((places(mask) < 1) == mask).all()


def test_a_single_pixel_is_its_own_middle():
    mask = np.zeros((5, 5), bool)
    mask[2, 2] = True
    assert places(mask)[2, 1:4].tolist() == [2.0, 0.0, 2.0]


def test_lesions_of_other_sizes_have_one_profile():
    masks, images = [], []
    for radius in (6, 12, 20):
        mask, _ = disc(radius)
        masks.append(mask[..., None])
        images.append(np.cos(places(mask))[..., None])
    found = profiles(np.stack(images), np.stack(masks), np.array(["a", "b", "b"]), np.array([0, 0.5, 1, 1.5]))
    assert found.shape == (2, 3)
    np.testing.assert_allclose(found[0], found[1], atol=0.03)
    # A ring of s has an area of s ds, so the mean over it is that of s cos(s).
    for column, (low, high) in enumerate(((0, 0.5), (0.5, 1), (1, 1.5))):
        s = np.linspace(low, high, 1001)
        assert found[1, column] == pytest.approx((s * np.cos(s)).sum() / s.sum(), abs=0.03)


def test_a_lesion_without_pixels_there_has_no_value():
    mask = np.zeros((1, 4, 4, 1), bool)
    mask[0, 1, 1] = True
    found = profiles(np.ones(mask.shape), mask, np.array(["a"]), np.array([0.0, 0.5, 1.0]))
    assert found[0, 0] == 1
    assert np.isnan(found[0, 1])


@pytest.fixture(scope="module")
def score():
    predicted = make_predictions(count=12)
    half = np.where(np.arange(12) % 2 == 0, 0.5, 0.9).astype(np.float32)
    samples = dataclasses.replace(predicted.samples, post_mm3=half, follow_up_mm3=half[::-1].copy())
    return score_groups(dataclasses.replace(predicted, samples=samples))


def test_lesions_are_grouped_by_what_is_left_of_them(score):
    counts = {(group["by"], group["group"]): group["lesions"] for group in score["groups"]}
    for by in ("left at the follow-up", "left at the second MRI"):
        assert counts[by, "80% or more"] == counts[by, "less"] == 6
    assert sum(count for (by, _), count in counts.items() if by == "foreseen for the second MRI") == 12


def test_true_and_predicted_drift_of_a_good_prediction_are_alike(score):
    for group in score["groups"]:
        for zone in ZONES:
            true, ours = (group["drifts"][word]["zones"][zone] for word in ("true", "predicted"))
            if true["value"] is not None:
                assert ours["value"] == pytest.approx(true["value"], abs=0.15)


def test_without_a_follow_up_its_groups_are_left_out():
    predicted = make_predictions(count=6)
    unknown = np.full(6, np.nan, np.float32)
    samples = dataclasses.replace(predicted.samples, follow_up_mm3=unknown)
    found = score_groups(dataclasses.replace(predicted, samples=samples))
    assert "left at the follow-up" not in {group["by"] for group in found["groups"]}


def test_scores_are_json_a_table_and_two_pictures(score):
    assert json.loads(json.dumps(score)) == score
    assert as_group_table([score]).count("\n") == 2 + 2 * len(score["groups"])
    assert len(score["groups"][0]["drifts"]["true"]["profile"]) == len(EDGES) - 1
    assert len(draw_discs(score, "title").axes) == 2 * len(score["groups"]) + 1
    assert len(draw_profiles(score, "title").axes) == 6
