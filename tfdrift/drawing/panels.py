"""Grids of image, drift and uncertainty panels with one shared colour bar for each kind."""

import dataclasses
import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from scipy import ndimage

from tfdrift.drawing.colours import MAPS, NOT_A_NUMBER
from tfdrift.drawing.figure import new_figure
from tfdrift.errors import DataError

_ROBUST_PERCENTILE = 99.5
_FONT_PT = 8.0
_LINE_INCH = 1.35 * _FONT_PT / 72
_CHARACTER_INCH = 0.58 * _FONT_PT / 72  # mean width in DejaVu Sans
_GAP_INCH = 0.05
_BAR_INCH = 0.85
_DPI = 120
_ROUNDING_PIXELS = 0.7  # takes the steps out of an outline and moves it by less than a tenth of a pixel
_FINER = 4


@dataclasses.dataclass(frozen=True, eq=False)
class Panel:
    """One picture of a grid.

    Args:
        image: number [H, W], the values to show.
        title: text above it; wrapped to the panel's width.
        kind: `image` (gray), `drift` (red high, white zero, blue low) or `uncertainty` (dark low, bright high).
        contours: pairs of a bool [H, W] mask and a matplotlib colour, drawn as outline half-way between pixel centres.
        smooth: interpolate between pixel centres and round the outlines, as a viewer of MRIs does; by default every
            pixel is seen.
        aspect: height of a pixel in units of its width.

    Raises:
        DataError: the image is not 2-D, the kind is unknown, or a mask has another shape than the image.
    """

    image: np.ndarray
    title: str = ""
    kind: str = "image"
    contours: tuple[tuple[np.ndarray, str], ...] = ()
    smooth: bool = False
    aspect: float = 1.0

    def __post_init__(self) -> None:
        if np.ndim(self.image) != 2:
            raise DataError(f"a panel shows an [H, W] image, got shape {list(np.shape(self.image))}")
        if self.kind not in MAPS:
            raise DataError(f"panel kind {self.kind!r} is unknown; choose from {', '.join(MAPS)}")
        for mask, _ in self.contours:
            if np.shape(mask) != np.shape(self.image):
                shapes = f"{list(np.shape(mask))}, the image {list(np.shape(self.image))}"
                raise DataError(f"a contour's mask has shape {shapes}; they must be equal")


def draw_panels(
    rows: Sequence[Sequence[Panel]],
    row_titles: Sequence[str] | None = None,
    title: str | None = None,
    image_range: tuple[float, float] = (0.0, 1.0),
    drift_limit: float | None = None,
    unit: str = "of the pre image's largest signal",
) -> Figure:
    """Return a figure of panels in rows, with one colour bar for each kind of panel that occurs.

    Args:
        rows: the panels from top to bottom, each row from left to right; rows may differ in length.
        row_titles: text to the left of each row.
        title: text above the grid.
        image_range: values shown black and white in `image` panels.
        drift_limit: value shown full red (and its negative full blue); by default `robust_limit` of all drift panels.
        unit: of all values, written beside the colour bars.

    Raises:
        DataError: there is no panel, or not as many row titles as rows.

    Example:
        >>> ramp = np.linspace(0, 1, 64).reshape(8, 8)
        >>> figure = draw_panels([[Panel(ramp, "pre"), Panel(ramp - 0.5, "drift", "drift")]])
        >>> len(figure.axes)  # two panels, two colour bars
        4
    """
    panels = [panel for row in rows for panel in row]
    if not panels:
        raise DataError("there is no panel to draw; give at least one")
    if row_titles is not None and len(row_titles) != len(rows):
        raise DataError(f"{len(row_titles)} row titles for {len(rows)} rows; give one for each row")
    scales = colour_scales(panels, image_range, drift_limit)

    num_columns = max(len(row) for row in rows)
    width = float(np.clip(12 / num_columns, 1.2, 2.2))
    height = width * max(panel.image.shape[0] / panel.image.shape[1] for panel in panels)
    titles = [[_wrap(panel.title, width) for panel in row] for row in rows]
    title_heights = [_LINE_INCH * max((len(t.splitlines()) for t in row), default=0) for row in titles]
    labels = [_wrap(text, height) for text in row_titles or []]
    left = _GAP_INCH + _LINE_INCH * max((len(label.splitlines()) for label in labels), default=0)
    grid_width = num_columns * (width + _GAP_INCH)
    figure_width = left + grid_width + len(scales) * _BAR_INCH + _GAP_INCH
    heading = _wrap(title or "", figure_width / 1.25)
    top = _GAP_INCH + 1.25 * _LINE_INCH * len(heading.splitlines())
    figure_height = top + sum(title_heights) + len(rows) * (height + _GAP_INCH) + _GAP_INCH

    figure = new_figure(figure_width, figure_height, dpi=_DPI, layout=None)

    def add_axes(x: float, y: float, w: float, h: float) -> Axes:
        """Place axes by the distance of their upper left corner from the figure's, in inches."""
        return figure.add_axes((x / figure_width, 1 - (y + h) / figure_height, w / figure_width, h / figure_height))

    figure.text(
        0.5, 1 - _GAP_INCH / figure_height, heading, ha="center", va="top", fontsize=1.2 * _FONT_PT, fontweight="bold"
    )
    y = top
    for number, row in enumerate(rows):
        y += title_heights[number]
        if labels:
            middle = 1 - (y + height / 2) / figure_height
            place = (left - _GAP_INCH) / 2 / figure_width
            figure.text(place, middle, labels[number], rotation=90, ha="center", va="center", fontsize=_FONT_PT)
        for column, panel in enumerate(row):
            axes = add_axes(left + column * (width + _GAP_INCH), y, width, height)
            draw_panel(axes, panel, titles[number][column], scales[panel.kind])
        y += height + _GAP_INCH

    bar_height = min(y - _GAP_INCH - top - title_heights[0], 3.0)
    for number, (kind, colours) in enumerate(scales.items()):
        axes = add_axes(left + grid_width + 0.05 + number * _BAR_INCH, top + title_heights[0], 0.13, bar_height)
        bar = figure.colorbar(colours, cax=axes)
        bar.ax.tick_params(labelsize=0.85 * _FONT_PT, length=2, pad=1.5)
        bar.set_label(_wrap(f"{kind if kind != 'image' else 'signal'}, {unit}", bar_height), fontsize=0.85 * _FONT_PT)
    return figure


def robust_limit(images: Sequence[np.ndarray]) -> float:
    """Return the 99.5th percentile of the absolute values that are neither zero nor infinite, or 1 if there is none.

    Zeros are left out because most of a crop lies outside the lesion.

    Example:
        >>> robust_limit([np.array([[0.0, 0.0], [0.0, -0.25]])])
        0.25
    """
    values = np.abs(np.concatenate([np.ravel(image) for image in images]))
    values = values[np.isfinite(values) & (values > 0)]
    return float(np.percentile(values, _ROBUST_PERCENTILE)) if values.size else 1.0


def colour_scales(
    panels: Sequence[Panel], image_range: tuple[float, float] = (0.0, 1.0), drift_limit: float | None = None
) -> dict[str, ScalarMappable]:
    """Return the colours of each kind of panel that occurs.

    Args:
        panels: all that share the scales.
        image_range: values shown black and white in `image` panels.
        drift_limit: value shown full red (and its negative full blue); by default `robust_limit` of all drift panels.
    """
    scales = {}
    for kind in (kind for kind in MAPS if any(panel.kind == kind for panel in panels)):
        values = [np.asarray(panel.image, np.float64) for panel in panels if panel.kind == kind]
        if kind == "image":
            low, high = image_range
        elif kind == "drift":
            high = drift_limit or robust_limit(values)
            low = -high
        else:
            low, high = 0.0, robust_limit(values)
        colours = colormaps[MAPS[kind]].with_extremes(bad=NOT_A_NUMBER)
        scales[kind] = ScalarMappable(Normalize(low, high), colours)
    return scales


def draw_panel(axes: Axes, panel: Panel, title: str, colours: ScalarMappable) -> None:
    """Draw a panel into axes.

    Args:
        axes: into which.
        panel: what.
        title: above it, already wrapped.
        colours: of its kind, one of `colour_scales`.
    """
    low, high = colours.get_clim()
    how = "bicubic" if panel.smooth else "nearest"
    axes.imshow(panel.image, cmap=colours.cmap, vmin=low, vmax=high, interpolation=how, aspect=panel.aspect)
    limits = axes.get_xlim(), axes.get_ylim()
    for mask, colour in panel.contours:
        if np.any(mask):
            # One pixel of background all around closes the outline of a mask that touches the border.
            padded = np.pad(np.asarray(mask, np.float64), 1)
            columns, rows = np.arange(padded.shape[1]) - 1.0, np.arange(padded.shape[0]) - 1.0
            if panel.smooth:
                padded = ndimage.zoom(ndimage.gaussian_filter(padded, _ROUNDING_PIXELS), _FINER, order=3)
                columns, rows = (np.linspace(at[0], at[-1], _FINER * len(at)) for at in (columns, rows))
            axes.contour(columns, rows, padded, levels=[0.5], colors=[colour], linewidths=1.0)
    axes.set(xticks=[], yticks=[], xlim=limits[0], ylim=limits[1])
    for spine in axes.spines.values():
        spine.set(linewidth=0.5, color="0.6")
    axes.set_title(title, fontsize=_FONT_PT, pad=2)


def _wrap(text: str, width_inch: float) -> str:
    return textwrap.fill(text, max(int(width_inch / _CHARACTER_INCH), 4)) if text else ""
