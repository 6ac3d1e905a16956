import dataclasses

import numpy as np

from tests.reproduction.random_predictions import make_predictions
from tfdrift.reproduction.paper_diagram import draw_methods

ROW = 4


def test_the_diagram_shows_what_goes_in_what_comes_out_and_what_is_true():
    one_step, many_steps = make_predictions("method1"), make_predictions("method2")
    many_steps = dataclasses.replace(many_steps, samples=one_step.samples)
    page = draw_methods(one_step, many_steps, ROW).axes[0]
    images = [np.asarray(image.get_array()) for image in page.images]
    samples, middle = one_step.samples, one_step.levels.index(one_step.config.estimate_level)
    expected = {
        "pre": samples.pre[ROW],
        "true post": samples.post[ROW],
        "true drift": samples.drift[ROW],
        "Method 1's post": one_step.by_level["post"][middle, ROW],
        "Method 1's drift": one_step.by_level["drift"][middle, ROW],
        "Method 2's post": many_steps.final["post"][ROW],
    }
    for name, image in expected.items():
        assert any(np.array_equal(image[..., 0], one) for one in images), name


def test_nothing_lies_outside_the_page():
    figure = draw_methods(make_predictions("method1"), make_predictions("method2"), ROW)
    page = figure.axes[0]
    figure.canvas.draw()
    for thing in (*page.texts, *page.patches, *page.images):
        box = thing.get_window_extent()
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= figure.bbox.width
        assert box.y1 <= figure.bbox.height
