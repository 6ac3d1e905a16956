import numpy as np

from tests.random_samples import make_samples
from tfdrift.evaluation.figures import draw_lesions


def shown_rows(figure, images):
    """Return which of `images` stand in the figure, top to bottom."""
    panels = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    shown = [panel for panel in panels if any(np.array_equal(panel, image) for image in images)]
    return [next(i for i, image in enumerate(images) if np.array_equal(panel, image)) for panel in shown]


def test_the_best_the_median_and_the_worst_lesion_are_shown_in_this_order():
    samples = make_samples(count=5, size=8)
    errors = np.array([0.9, 0.1, 0.5, 0.3, 2.0])
    predicted = {"post": samples.post + 1, "drift": samples.drift + 1}
    figure = draw_lesions(samples, predicted, errors)
    assert shown_rows(figure, samples.pre[..., 0]) == [1, 2, 4]
