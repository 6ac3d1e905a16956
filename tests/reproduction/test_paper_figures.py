import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.random_samples import make_samples
from tests.reproduction.random_predictions import make_predictions
from tfdrift.diffusion.schedule import make_schedule
from tfdrift.drawing.panels import robust_limit
from tfdrift.reproduction.paper_figures import (
    choose_rows,
    draw_examples,
    draw_forward,
    draw_rotations,
    draw_snapshots,
    draw_variants,
    noised_image,
    volume_change,
)


def shown(figure) -> list[np.ndarray]:
    """Return the images of the panels in the order they were drawn, without colour bars."""
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]


def samples_of_volumes(volumes):
    samples = make_samples(count=len(volumes))
    return dataclasses.replace(samples, pre_mm3=np.array(volumes, np.float32))


def test_lesions_are_taken_at_even_places_of_the_ranking():
    samples = samples_of_volumes([5.0, 1.0, 4.0, 2.0, 3.0, 6.0])
    rows = choose_rows(samples, 3, by=samples.pre_mm3)
    assert samples.pre_mm3[rows].tolist() == [2.0, 4.0, 6.0]


def test_one_lesion_is_the_middle_one():
    samples = samples_of_volumes([5.0, 1.0, 4.0, 2.0, 3.0])
    assert samples.pre_mm3[choose_rows(samples, 1, by=samples.pre_mm3)].tolist() == [3.0]


def test_a_lesion_is_shown_where_its_gtv_is_largest():
    samples = make_samples(count=3)
    masks = np.zeros_like(samples.pre_mask)
    masks[0, :1], masks[1, :3], masks[2, :2] = True, True, True
    samples = dataclasses.replace(
        samples, pre_mask=masks, lesion=np.array(["a"] * 3), patient=np.array(["p"] * 3), fold=np.zeros(3, np.int32)
    )
    assert choose_rows(samples, 5, by=samples.pre_mm3) == [1]


def test_volume_change_is_relative_to_the_first_volume():
    samples = dataclasses.replace(
        make_samples(count=2), pre_mm3=np.array([10, 10], np.float32), post_mm3=np.array([15, 4], np.float32)
    )
    np.testing.assert_allclose(volume_change(samples), [0.5, -0.6])


def test_examples_show_pre_post_and_drift_of_each_lesion():
    samples = make_samples()
    images = shown(draw_examples(samples, [3, 1]))
    expected = [samples.pre[3], samples.pre[1], samples.post[3], samples.post[1], samples.drift[3], samples.drift[1]]
    np.testing.assert_array_equal(images, [image[..., 0] for image in expected])


def test_rotations_are_the_four_of_numpy():
    samples = make_samples()
    images = shown(draw_rotations(samples, 2))
    np.testing.assert_array_equal(images[:4], [np.rot90(samples.pre[2, ..., 0], k) for k in range(4)])
    np.testing.assert_array_equal(images[8:], [np.rot90(samples.drift[2, ..., 0], k) for k in range(4)])


def test_the_forward_process_shows_equation_2_with_one_noise_at_every_level():
    samples, schedule = make_samples(), make_schedule("linear", levels=5, noise_level=0.2)
    images = shown(draw_forward(samples, [0, 4], schedule))
    assert len(images) == 2 * (5 + 2)
    clean = samples.pre[0, ..., 0]
    np.testing.assert_array_equal(images[0], clean)
    np.testing.assert_array_equal(images[6], samples.post[0, ..., 0])
    noise = [
        (image - signal * clean) / rate
        for image, signal, rate in zip(images[1:6], schedule.signal_rate, schedule.noise_rate, strict=True)
    ]
    np.testing.assert_allclose(noise, np.broadcast_to(noise[0], (5, 8, 8)), atol=1e-4)
    assert np.std(noise[0]) == pytest.approx(1, abs=0.3)


def test_snapshots_show_truth_and_prediction_of_each_lesion():
    predicted = make_predictions("method2")
    samples = predicted.samples
    images = shown(draw_snapshots(predicted, [5], title="t"))
    levels = len(predicted.levels)
    np.testing.assert_array_equal(images[:2], [samples.pre[5, ..., 0], samples.post[5, ..., 0]])
    np.testing.assert_array_equal(images[2 : 2 + levels], predicted.by_level["post"][:, 5, ..., 0])
    np.testing.assert_array_equal(images[3 + levels], samples.drift[5, ..., 0])
    np.testing.assert_array_equal(images[4 + levels :], predicted.by_level["drift"][:, 5, ..., 0])


def test_the_scale_of_drift_is_that_of_the_truth_however_bad_the_prediction():
    predicted = make_predictions(error=50.0)
    figure = draw_snapshots(predicted, [0], title="t")
    limit = robust_limit([predicted.samples.drift[0]])
    maps = [axes.images[0] for axes in figure.axes if axes.images and axes.images[0].get_cmap().name == "RdBu_r"]
    assert {drift.get_clim() for drift in maps} == {(-limit, limit)}


def test_variants_stand_below_one_another_with_the_truth_last():
    all_predicted = [make_predictions(error=0.1), make_predictions(error=0.2)]
    images = shown(draw_variants(all_predicted, 4, title="t"))
    for number, predicted in enumerate(all_predicted):
        np.testing.assert_array_equal(images[6 * number : 6 * number + 3], predicted.by_level["post"][:, 4, ..., 0])
    samples = all_predicted[0].samples
    truth = [samples.pre[4], samples.post[4], samples.drift[4]]
    np.testing.assert_array_equal(images[-3:], [image[..., 0] for image in truth])


def test_a_clean_image_is_shown_as_it_is_where_there_is_no_noise():
    predicted = make_predictions("direct")
    np.testing.assert_array_equal(noised_image(predicted, 3, None), predicted.samples.pre[3, ..., 0])


def test_the_noised_image_is_the_one_that_the_method_was_asked_with():
    """Method 1 answers at a level with what its network makes of the image noised to that level."""
    predicted = make_predictions()
    network, level, row = predicted.trained.network, 1, 2
    second = predicted.samples.take(predicted.samples.fold == 1)
    predicted = dataclasses.replace(predicted, samples=second)
    seeds = tf.constant([[0, place] for place in range(len(second))], tf.int64)
    at_levels = tf.function(predicted.trained.at_levels)(tf.constant(second.pre), seeds)["post"]
    image = noised_image(predicted, row, level)[None, ..., None]
    answer = network({"image": image, "t": np.array([[0.5]], np.float32)})["recon"]
    np.testing.assert_allclose(answer[0], at_levels[predicted.levels.index(level), row], atol=1e-6)
