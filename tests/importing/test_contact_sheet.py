"""The contact sheet: nothing missing, nothing cut off, and what is wrong is framed."""

import dataclasses

import numpy as np
import pytest
from matplotlib.colors import same_color, to_rgba_array
from matplotlib.patches import Rectangle

from tests.random_samples import make_samples
from tfdrift.errors import DataError
from tfdrift.importing.contact_sheet import FLAG_COLOUR, POST_COLOUR, PRE_COLOUR, draw_contact_sheet
from tfdrift.synthetic.phantom_samples import phantom_samples

ROW = {
    "patient": "p0", "lesion": "l0", "fold": "3", "interval_days": "22", "follow_up_days": "95", "pre_mm3": "1234.5",
    "post_mm3": "617.25", "follow_up_mm3": "2469", "response_group": "A", "slices": "2", "spacing_mm": "1 0.5 0.5",
    "registration": "rigid", "residual": "4.21", "gain": "0.957", "background_drift": "-1.3", "pixel_mm": "1.5",
    "outgrown": "0",
}  # fmt: skip


def row(number: int = 0, **changed: str) -> dict[str, str]:
    return {**ROW, "lesion": f"l{number}", **changed}


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def frames(figure) -> int:
    return sum(isinstance(patch, Rectangle) for patch in figure.axes[0].patches)


def test_a_card_tells_every_figure_of_its_lesion():
    shown = "\n".join(texts(draw_contact_sheet(make_samples(), [row()])))
    for text in (
        "p0   l0   fold 3",
        "1,234 mm³ → 617 (-50%) after 22 days",
        "follow-up 2,469 (+100%) after 95 days: group A, poor",
        "rigid registration, residual 4.2%; healthy tissue -1.3%",
        "gain 0.96; box 12 mm; 2 slices",
        "1 lesion of 1 patient",
    ):
        assert text in shown


def test_a_lesion_without_follow_up_or_healthy_tissue_says_so():
    empty = dict.fromkeys(("follow_up_days", "follow_up_mm3", "response_group", "background_drift"), "")
    shown = "\n".join(texts(draw_contact_sheet(make_samples(), [row(**empty)])))
    assert "follow-up" not in shown
    assert "healthy tissue unknown" in shown
    assert "nan" not in shown


WARNINGS = "pre: contour 3 of 7 lies on no slice and was moved to the nearest one; post: the structure has 2 pieces"


@pytest.mark.parametrize("count", [1, 3, 11])
@pytest.mark.parametrize(
    "changed", [{}, {"warnings": WARNINGS, "patient": 2 * "p6e130f8ecd5b8484", "pre_mm3": "37607.6"}]
)
def test_nothing_is_cut_off_or_written_into_the_next_card(count, changed):
    figure = draw_contact_sheet(make_samples(), [row(number, **changed) for number in range(count)])
    figure.canvas.draw()
    boxes = np.array([text.get_window_extent().extents for text in figure.axes[0].texts])
    assert boxes[:, :2].min() >= 0
    assert boxes[:, 2].max() <= figure.bbox.width
    assert boxes[:, 3].max() <= figure.bbox.height
    overlap = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:]) - np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    assert not ((overlap > 1).all(axis=-1) & ~np.eye(len(boxes), dtype=bool)).any()
    panels = np.array([axes.get_window_extent().extents for axes in figure.axes[1:]])
    covered = np.minimum(boxes[:, None, 2:], panels[None, :, 2:]) - np.maximum(boxes[:, None, :2], panels[None, :, :2])
    assert not (covered > 1).all(axis=-1).any()


def test_every_lesion_has_three_panels_and_all_share_one_colour_bar():
    figure = draw_contact_sheet(make_samples(), [row(number) for number in range(12)])
    assert len(figure.axes) == 1 + 3 * 12 + 1
    drift_limits = {
        axes.images[0].get_clim() for axes in figure.axes if axes.images and axes.images[0].cmap.name == "RdBu_r"
    }
    ((low, high),) = drift_limits
    assert low == -high


def test_a_card_shows_the_slice_with_the_largest_gtvs_and_outlines_both():
    samples = make_samples(count=3)
    samples = dataclasses.replace(
        samples, patient=np.full(3, "p0"), lesion=np.full(3, "l0"), fold=np.zeros(3, np.int32)
    )
    samples.pre_mask[...] = samples.post_mask[...] = False
    for number, size in enumerate((2, 5, 3)):
        samples.pre_mask[number, :size, :size] = samples.post_mask[number, :size, 1 : size + 1] = True
    pre, post, drift = [axes for axes in draw_contact_sheet(samples, [row()]).axes if axes.images]
    for axes, image in ((pre, samples.pre), (post, samples.post), (drift, samples.drift)):
        np.testing.assert_array_equal(axes.images[0].get_array(), image[1, ..., 0])
    outlines = np.concatenate([np.asarray(collection.get_edgecolor()) for collection in pre.collections])
    np.testing.assert_array_equal(outlines, to_rgba_array([PRE_COLOUR, POST_COLOUR]))


def test_of_a_whole_lesion_a_card_shows_the_slice_with_the_largest_gtvs():
    samples = make_samples(count=2, depth=8)
    samples.pre_mask[...] = samples.post_mask[...] = False
    samples.pre_mask[0, 3, :2, :2] = samples.post_mask[0, 5, :5, :5] = True
    pre, post, _ = [axes for axes in draw_contact_sheet(samples, [row()]).axes if axes.images]
    np.testing.assert_array_equal(pre.images[0].get_array(), samples.pre[0, 5, ..., 0])
    np.testing.assert_array_equal(post.images[0].get_array(), samples.post[0, 5, ..., 0])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"outgrown": "0.124"}, "OUTGROWN: 12% of the second GTV is outside the box"),
        ({"background_drift": "-8.1"}, "healthy tissue drifts by -8.1%"),
        ({"residual": "42.3"}, "registration may be wrong: residual 42.3%"),
        ({"warnings": "post: the structure has 2 pieces"}, "post: the structure has 2 pieces"),
    ],
)
def test_what_a_person_should_look_at_is_framed_and_said_in_red(changed, said):
    figure = draw_contact_sheet(make_samples(), [row(0), row(1, **changed), row(2)])
    red = [text.get_text() for text in figure.axes[0].texts if same_color(text.get_color(), FLAG_COLOUR)]
    assert red == ["1 to look at, framed in red", f"• {said}"]
    assert frames(figure) == 1


def test_nothing_is_framed_where_nothing_is_wrong():
    figure = draw_contact_sheet(make_samples(), [row(0), row(1)])
    assert frames(figure) == 0
    assert "No figure stands out" in texts(figure)


def phantom_rows(samples) -> list[dict[str, str]]:
    return [row(lesion=lesion) for lesion in dict.fromkeys(samples.lesion.tolist())]


def test_no_true_pair_of_the_phantom_is_framed_and_a_wrong_one_is():
    samples = phantom_samples(image_size=16, patients=6, folds=2)
    rows = phantom_rows(samples)
    assert frames(draw_contact_sheet(samples, rows)) == 0
    wrong = samples.lesion == "phantom002-1"
    # The neighbour's contour, seen through this lesion's box: beside it.
    samples.post_mask[wrong] = np.roll(samples.pre_mask[wrong], 9, axis=2)
    figure = draw_contact_sheet(samples, rows)
    assert frames(figure) == 1
    assert any("of the smaller: one lesion?" in text for text in texts(figure))


def test_a_second_gtv_that_is_nowhere_in_the_box_is_framed():
    samples = make_samples()
    samples.post_mask[0] = False
    figure = draw_contact_sheet(samples, [row()])
    assert "• the second GTV is on none of the slices" in texts(figure)
    assert frames(figure) == 1


def test_an_empty_table_is_refused():
    with pytest.raises(DataError, match="there is no lesion to draw"):
        draw_contact_sheet(make_samples(), [])


def test_a_lesion_without_slices_is_refused():
    with pytest.raises(DataError, match=r"lesion l99 of lesions.csv has no slice in the dataset"):
        draw_contact_sheet(make_samples(), [row(99)])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"gain": "high"}, "column gain is high, no number"),
        ({"outgrown": None}, "no column outgrown"),
        ({"registration": None}, "no column registration"),
    ],
)
def test_a_table_without_a_figure_is_refused(changed, said):
    cells = {name: cell for name, cell in row(**changed).items() if cell is not None}
    with pytest.raises(DataError, match=rf"lesions.csv.*{said}"):
        draw_contact_sheet(make_samples(), [cells])
