"""Figures without a window: matplotlib `Figure` objects on the Agg canvas, never pyplot, so nothing is global."""

import io

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

DPI = 144


def new_figure(
    width_inch: float, height_inch: float, *, dpi: float = DPI, layout: str | None = "constrained"
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
