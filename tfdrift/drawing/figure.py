"""Figures without a window: matplotlib `Figure` objects on the Agg canvas, never pyplot, so nothing is global."""

import io
from pathlib import Path
from typing import Literal

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tfdrift.files import write_whole, writing

DPI = 144


def new_figure(
    width_inch: float, height_inch: float, *, dpi: float = DPI, layout: Literal["constrained"] | None = "constrained"
) -> Figure:
    """Return an empty white figure.

    Args:
        width_inch: of the whole.
        height_inch: of the whole.
        dpi: pixels an inch.
        layout: None where axes are placed by hand.

    Example:
        >>> figure = new_figure(2, 1, dpi=100)
        >>> figure.canvas.get_width_height()
        (200, 100)
    """
    figure = Figure(figsize=(width_inch, height_inch), dpi=dpi, facecolor="white", layout=layout)
    FigureCanvasAgg(figure)
    return figure


def png_bytes(figure: Figure) -> bytes:
    """Return the figure as PNG, the same bytes for the same figure: no date and no software name inside."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def write_png(figure: Figure, path: Path) -> None:
    """Write a figure as PNG; the file holds either the whole picture or what was there before.

    Args:
        figure: the picture.
        path: of the file; its folder is made when it is missing.

    Raises:
        ResourceError: the folder cannot be made or written to.
    """
    data = png_bytes(figure)
    with writing(path, to_do="choose a folder you may write to"):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, data)
