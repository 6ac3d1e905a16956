"""The two methods drawn as a flow from the noised image to post image and drift, with what trained networks answer."""

import numpy as np
import tensorflow as tf
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from tfdrift.axes import picture
from tfdrift.drawing.colours import BLUE, MAPS
from tfdrift.drawing.figure import new_figure
from tfdrift.drawing.panels import robust_limit
from tfdrift.methods.method2 import Method2
from tfdrift.reproduction.paper_figures import noise_seed, noised_image
from tfdrift.reproduction.predictions import Predictions

_WIDTH, _HEIGHT = 13.4, 7.1
_TILE = 1.15
_SNAPSHOTS = 4


def draw_methods(one_step: Predictions, many_steps: Predictions, row: int) -> Figure:
    """Draw Method 1 and Method 2 on a held-out lesion (Figs. 2B and 2C).

    Args:
        one_step: a run of Method 1.
        many_steps: a run of Method 2 with the same patients held out.
        row: a slice of their samples.
    """
    figure = new_figure(_WIDTH, _HEIGHT, layout=None)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, _WIDTH), ylim=(0, _HEIGHT), autoscale_on=False)  # inches
    axes.axis("off")
    limit = robust_limit([one_step.samples.drift[row]])
    page = _Page(axes, limit)
    _draw_one_step(page, one_step, row, top=_HEIGHT - 0.3)
    _draw_many_steps(page, many_steps, row, top=_HEIGHT / 2 - 0.05)
    for number, (cmap, low, label) in enumerate(((MAPS["image"], 0.0, "signal"), (MAPS["drift"], -limit, "drift"))):
        bar_axes = figure.add_axes(((10.9 + 1.1 * number) / _WIDTH, 4.2 / _HEIGHT, 0.13 / _WIDTH, 2.2 / _HEIGHT))
        bar = figure.colorbar(ScalarMappable(Normalize(low, -low or 1.0), cmap), cax=bar_axes)
        bar.ax.tick_params(labelsize=7)
        bar.set_label(f"{label}, of the pre image's largest", fontsize=7)
    return figure


class _Page:
    """Tiles, boxes and arrows in inches on one pair of axes."""

    def __init__(self, axes: Axes, drift_limit: float) -> None:
        self._axes, self._limit = axes, drift_limit

    def tile(self, image: np.ndarray, x: float, y: float, text: str, *, drift: bool = False) -> None:
        """Show an image with its lower left corner at (x, y) and a text above it."""
        limits = (-self._limit, self._limit) if drift else (0, 1)
        extent = (x, x + _TILE, y, y + _TILE)
        self._axes.imshow(
            image, cmap=MAPS["drift" if drift else "image"], vmin=limits[0], vmax=limits[1], extent=extent
        )
        self._axes.add_patch(FancyBboxPatch((x, y), _TILE, _TILE, "square,pad=0", fill=False, ec="0.6", lw=0.6))
        self.words(text, x + _TILE / 2, y + _TILE + 0.06, va="bottom")

    def box(self, text: str, x: float, y: float, width: float, height: float) -> None:
        """Draw a box, its text in the middle."""
        self._axes.add_patch(
            FancyBboxPatch((x, y), width, height, "round,pad=0,rounding_size=0.08", fc="#e8eef4", ec=BLUE, lw=1)
        )
        self.words(text, x + width / 2, y + height / 2, va="center")

    def arrow(self, x: float, y: float, to_x: float, to_y: float, *, bend: float = 0.0) -> None:
        """Draw an arrow, bent to one side where it would cross something."""
        style = {"arrowstyle": "-|>", "color": "0.25", "lw": 1.1, "connectionstyle": f"arc3,rad={bend}"}
        self._axes.annotate("", (to_x, to_y), (x, y), arrowprops=style)

    def words(self, text: str, x: float, y: float, *, va: str, ha: str = "center", bold: bool = False) -> None:
        """Write text at (x, y)."""
        weight = "bold" if bold else "normal"
        self._axes.text(x, y, text, fontsize=11 if bold else 8.5, ha=ha, va=va, fontweight=weight)


def _draw_one_step(page: _Page, predicted: Predictions, row: int, *, top: float) -> None:
    samples, level = predicted.samples, predicted.config.estimate_level
    place = predicted.levels.index(level)
    high, low = top - 0.45 - _TILE, top - 0.45 - 2 * _TILE - 0.3
    middle = (high + low + _TILE) / 2
    page.words("Method 1: one step", 0.15, top, va="center", ha="left", bold=True)
    page.tile(picture(samples.pre[row]), 0.15, middle - _TILE / 2, "pre")
    page.arrow(1.35, middle, 2.25, middle)
    page.words("noise", 1.8, middle + 0.06, va="bottom")
    page.tile(noised_image(predicted, row, level), 2.3, middle - _TILE / 2, f"noised, level {level}")
    page.arrow(3.5, middle, 4.1, middle)
    page.box("U-Net\n\nlevel → Dense 64\nat the bottleneck", 4.15, middle - 0.55, 1.5, 1.1)
    for y, name, title, truth in ((high, "post", "post", samples.post), (low, "drift", "drift", samples.drift)):
        page.arrow(5.7, middle, 6.45, y + _TILE / 2)
        page.tile(picture(predicted.by_level[name][place, row]), 6.5, y, f"predicted {title}", drift=name == "drift")
        page.words("compare", 8.15, y + _TILE / 2 + 0.06, va="bottom")
        page.arrow(8.55, y + _TILE / 2, 7.75, y + _TILE / 2)
        page.tile(picture(truth[row]), 8.65, y, f"true {title}", drift=name == "drift")


def _draw_many_steps(page: _Page, predicted: Predictions, row: int, *, top: float) -> None:
    samples, start = predicted.samples, predicted.levels[0]
    method = predicted.trained.method
    assert isinstance(method, Method2)  # Fig. 2C draws no other
    pre = tf.constant(samples.pre[row : row + 1])
    sampled = method.sample(predicted.trained.ask(pre, None), pre, noise_seed(predicted, row))
    x0_hat, drift_hat = sampled.x0_hat.numpy(), sampled.drift_hat.numpy()
    shown = np.unique(np.linspace(0, len(predicted.levels) - 1, _SNAPSHOTS).round().astype(int))
    high, low = top - 0.45 - _TILE, top - 0.45 - 2 * _TILE - 0.3
    middle = (high + low + _TILE) / 2
    page.words("Method 2: many steps (DDIM)", 0.15, top, va="center", ha="left", bold=True)
    page.tile(picture(samples.pre[row]), 0.15, middle - _TILE / 2, "pre")
    page.arrow(1.35, middle, 2.25, middle)
    page.words("noise", 1.8, middle + 0.06, va="bottom")
    page.tile(noised_image(predicted, row, start), 2.3, middle - _TILE / 2, f"noised, level {start}")
    page.arrow(3.5, middle, 4.1, middle)
    page.box("U-Net\n\npredicts the noise\nand the drift", 4.15, middle - 0.55, 1.5, 1.1)
    page.arrow(5.7, middle, 6.1, high + _TILE / 2)
    page.arrow(5.7, middle, 6.1, low + _TILE / 2)
    x = 6.15
    for k in shown:
        level = predicted.levels[k]
        page.tile(picture(x0_hat[k, 0]), x, high, f"clean, level {level}")
        page.tile(picture(drift_hat[k, 0]), x, low, f"drift, level {level}", drift=True)
        if k != shown[-1]:
            page.arrow(x + _TILE + 0.02, high + _TILE / 2, x + _TILE + 0.24, high + _TILE / 2)
        x += _TILE + 0.26
    page.arrow(6.7, low - 0.08, 4.9, middle - 0.62, bend=-0.4)
    page.words("again from the next level (eq. 5)", 6.8, low - 0.12, va="top", ha="left")
    page.arrow(x - 0.2, middle, x + 0.1, middle)
    page.tile(picture(predicted.final["post"][row]), x + 0.15, middle - _TILE / 2, "predicted post\n= clean + drift")
