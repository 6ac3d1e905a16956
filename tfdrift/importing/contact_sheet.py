"""Every lesion of a cohort on one sheet: a wrong pair, a bad registration or a cut lesion is seen at a glance."""

import dataclasses
import math
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from tfdrift.cohort.samples import Samples
from tfdrift.drawing.figure import new_figure
from tfdrift.drawing.panels import Panel, colour_scales, draw_panel
from tfdrift.errors import DataError
from tfdrift.imaging.intensity import DRIFT_LIMIT_PERCENT
from tfdrift.imaging.registration import POOR_RESIDUAL_PERCENT
from tfdrift.importing.pairing import MIN_OVERLAP

PRE_COLOUR, POST_COLOUR = "gold", "deepskyblue"
FLAG_COLOUR, FLAG_BACKGROUND = "#b00000", "#fdeeee"

COLUMNS = (
    "patient", "lesion", "fold", "interval_days", "follow_up_days", "pre_mm3", "post_mm3", "follow_up_mm3",
    "response_group", "slices", "registration", "residual", "gain", "background_drift", "pixel_mm", "outgrown",
)  # fmt: skip
"""What `lesions.csv` must tell; `warnings` is told too where it does."""

_DPI = 120
_FONT_PT, _LINE_INCH = 7.5, 0.145
_PANEL_INCH, _GAP_INCH, _PAD_INCH = 1.25, 0.05, 0.1
_WIDTH_INCH = 3 * _PANEL_INCH + 2 * _GAP_INCH
_CHARACTERS = int(_WIDTH_INCH / (0.57 * _FONT_PT / 72))  # mean width in DejaVu Sans
_HEAD_INCH, _TITLE_INCH = 1.22, 0.18
_CARDS_A_LINE = 4
_CARDS_A_COLUMN = 250  # keeps the picture below the 65,536 pixels a side that Agg can draw


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Card:
    title: str
    panels: tuple[Panel, Panel, Panel]
    facts: list[str]
    flags: list[str]

    @property
    def height_inch(self) -> float:
        return (1 + len(self.facts) + len(self.flags)) * _LINE_INCH + _PANEL_INCH + 2 * _PAD_INCH


def draw_contact_sheet(samples: Samples, rows: Sequence[Mapping[str, str]]) -> Figure:
    """Draw pre | post | drift of each lesion with both GTVs, its figures, and in red what a person should look at.

    The slice shown is the one where the two GTVs together are largest.

    Args:
        samples: the cohort's slices.
        rows: of `lesions.csv`, a card each, in this order.

    Raises:
        DataError: there is no row, a lesion has no slice, or a column is missing or no number.
    """
    if not rows:
        raise DataError("there is no lesion to draw")
    missing = sorted(set(COLUMNS) - set(rows[0]))
    if missing:
        raise DataError(f"lesions.csv has no column {missing[0]}; import the cohort again")
    cards = [_make_card(samples, row) for row in rows]
    columns = max(min(_CARDS_A_LINE, len(cards)), math.ceil(len(cards) / _CARDS_A_COLUMN))
    lines = [cards[start : start + columns] for start in range(0, len(cards), columns)]
    heights = [max(card.height_inch for card in line) for line in lines]
    width_inch = columns * (_WIDTH_INCH + 3 * _PAD_INCH) + _PAD_INCH
    height_inch = _HEAD_INCH + _TITLE_INCH + sum(heights) + (len(lines) + 1) * _PAD_INCH

    figure = new_figure(width_inch, height_inch, dpi=_DPI, layout=None)
    # One sheet below all panels takes texts and frames, in inches from the upper left corner.
    sheet = figure.add_axes((0, 0, 1, 1), xlim=(0, width_inch), ylim=(height_inch, 0))
    sheet.set_axis_off()

    def write(x: float, y: float, text: str, **style) -> None:
        sheet.text(x, y, text, **{"va": "top", "fontsize": _FONT_PT, "parse_math": False, **style})

    def add_axes(x: float, y: float, width: float, height: float):
        return figure.add_axes(
            (x / width_inch, 1 - (y + height) / height_inch, width / width_inch, height / height_inch)
        )

    colours = colour_scales([panel for card in cards for panel in card.panels])
    left = 2 * _PAD_INCH
    patients, flagged = len({row["patient"] for row in rows}), sum(bool(card.flags) for card in cards)
    heading = f"{_count(len(cards), 'lesion')} of {_count(patients, 'patient')}"
    write(left, 0.1, heading, fontsize=12, fontweight="bold")
    write(left, 0.34, "Outlines: GTV at the first MRI gold, at the second blue.", color="0.2")
    write(left, 0.34 + _LINE_INCH, "Drift: red is brighter, blue darker at the second MRI.", color="0.2")
    to_look_at = f"{flagged} to look at, framed in red" if flagged else "No figure stands out"
    write(left, 0.34 + 2 * _LINE_INCH, to_look_at, color=FLAG_COLOUR if flagged else "0.2", fontweight="bold")
    cax = add_axes(left + 0.05, 0.87, 1.6, 0.1)
    bar = figure.colorbar(colours["drift"], cax=cax, orientation="horizontal", ticks=MaxNLocator(4))
    bar.ax.tick_params(labelsize=_FONT_PT - 1, length=2, pad=1.5)
    write(left + 1.8, 0.85, "of the pre image's largest signal", color="0.2")

    y = _HEAD_INCH + _TITLE_INCH
    for number, line in enumerate(lines):
        for place, card in enumerate(line):
            x = left + place * (_WIDTH_INCH + 3 * _PAD_INCH)
            if card.flags:
                corner, size = (x - _PAD_INCH, y), (_WIDTH_INCH + 2 * _PAD_INCH, heights[number])
                sheet.add_patch(Rectangle(corner, *size, facecolor=FLAG_BACKGROUND, edgecolor=FLAG_COLOUR))
            write(x, y + _PAD_INCH / 2, card.title, fontweight="bold")
            top = y + _PAD_INCH / 2 + _LINE_INCH + 0.03
            for step, panel in enumerate(card.panels):
                axes = add_axes(x + step * (_PANEL_INCH + _GAP_INCH), top, _PANEL_INCH, _PANEL_INCH)
                draw_panel(axes, panel, "", colours[panel.kind])
                if number == 0:
                    middle = x + step * (_PANEL_INCH + _GAP_INCH) + _PANEL_INCH / 2
                    write(middle, y - _TITLE_INCH, panel.title, ha="center", color="0.2")
            for step, text in enumerate([*card.facts, *card.flags]):
                flag = step >= len(card.facts)
                below = top + _PANEL_INCH + 0.04 + step * _LINE_INCH
                write(x, below, text, color=FLAG_COLOUR if flag else "0.1", fontweight="bold" if flag else "normal")
        y += heights[number] + _PAD_INCH
    return figure


def _make_card(samples: Samples, row: Mapping[str, str]) -> _Card:
    found = np.flatnonzero(samples.lesion == row.get("lesion"))
    if not found.size:
        raise DataError(f"lesion {row.get('lesion')} of lesions.csv has no slice in the dataset; import again")
    side = samples.image_size
    pre_mask, post_mask, pres, posts = (
        images[found, ..., 0].reshape(-1, side, side)  # of a volume its slices
        for images in (samples.pre_mask, samples.post_mask, samples.pre, samples.post)
    )
    shown = int(np.argmax((pre_mask | post_mask).sum(axis=(1, 2))))
    pre, post = pres[shown], posts[shown]
    outlines = ((pre_mask[shown], PRE_COLOUR), (post_mask[shown], POST_COLOUR))
    dark_outlines = ((pre_mask[shown], "darkgoldenrod"), (post_mask[shown], POST_COLOUR))
    panels = (
        Panel(image=pre, title="pre", contours=outlines),
        Panel(image=post, title="post", contours=outlines),
        Panel(image=post - pre, title="drift", kind="drift", contours=dark_outlines),
    )
    return _Card(
        title=f"{row['patient']}   {row['lesion']}   fold {row['fold']}",
        panels=panels,
        facts=_wrapped(_facts(row, samples.image_size)),
        flags=_wrapped([f"• {flag}" for flag in _flags(row, pre_mask, post_mask)]),
    )


def _facts(row: Mapping[str, str], image_size: int) -> list[str]:
    pre_mm3, post_mm3, follow_up_mm3 = (_number(row, name) for name in ("pre_mm3", "post_mm3", "follow_up_mm3"))
    facts = [f"{_mm3(pre_mm3)} mm³ → {_changed(post_mm3, pre_mm3)} after {_number(row, 'interval_days'):.0f} days"]
    if not math.isnan(follow_up_mm3):
        group = {"A": "A, poor", "B": "B, good"}.get(row["response_group"], "unknown")
        days = f"{_number(row, 'follow_up_days'):.0f} days"
        facts.append(f"follow-up {_changed(follow_up_mm3, pre_mm3)} after {days}: group {group}")
    background = _number(row, "background_drift")
    healthy = "healthy tissue unknown" if math.isnan(background) else f"healthy tissue {background:+.1f}%"
    return [
        *facts,
        f"{row['registration']} registration, residual {_number(row, 'residual'):.1f}%; {healthy}",
        f"gain {_number(row, 'gain'):.2f}; box {_number(row, 'pixel_mm') * image_size:.0f} mm; {row['slices']} slices",
    ]


def _flags(row: Mapping[str, str], pre_mask: np.ndarray, post_mask: np.ndarray) -> list[str]:
    """Return what a person should look at: the import's warnings, or what the figures say, and what the masks say."""
    outgrown, background, residual = (_number(row, name) for name in ("outgrown", "background_drift", "residual"))
    flags = [warning for warning in row.get("warnings", "").split("; ") if warning]
    if not flags:
        if outgrown > 0:
            flags.append(f"OUTGROWN: {outgrown:.0%} of the second GTV is outside the box")
        if abs(background) > DRIFT_LIMIT_PERCENT:
            flags.append(f"healthy tissue drifts by {background:+.1f}%")
        if residual > POOR_RESIDUAL_PERCENT:
            flags.append(f"registration may be wrong: residual {residual:.1f}%")
    smaller = min(pre_mask.sum(), post_mask.sum())
    overlap = (pre_mask & post_mask).sum() / smaller if smaller else 0.0
    if not post_mask.any():
        flags.append("the second GTV is on none of the slices")
    elif overlap < MIN_OVERLAP:
        flags.append(f"the two GTVs share {overlap:.0%} of the smaller: one lesion?")
    return flags


def _number(row: Mapping[str, str], column: str) -> float:
    """Return a cell as a number, NaN where it is empty."""
    try:
        return float(row[column] or math.nan)
    except ValueError:
        raise DataError(f"lesions.csv, lesion {row['lesion']}: column {column} is {row[column]}, no number") from None


def _mm3(volume_mm3: float) -> str:
    return f"{volume_mm3:,.0f}" if volume_mm3 >= 100 else f"{volume_mm3:.1f}"


def _changed(volume_mm3: float, from_mm3: float) -> str:
    return f"{_mm3(volume_mm3)} ({volume_mm3 / from_mm3 - 1:+.0%})"


def _wrapped(texts: Sequence[str]) -> list[str]:
    return [line for text in texts for line in textwrap.wrap(text, _CHARACTERS)]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun if number == 1 else noun + 's'}"
