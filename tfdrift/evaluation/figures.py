"""Pictures of predictions beside the truth."""

import numpy as np
from matplotlib.figure import Figure

from tfdrift.cohort.samples import Samples
from tfdrift.drawing.panels import Panel, draw_panels


def draw_lesions(
    held_out: Samples, predicted: dict[str, np.ndarray], errors: np.ndarray, spreads: np.ndarray | None = None
) -> Figure:
    """Draw pre | post | predicted post | drift | predicted drift of the best, the median and the worst lesion.

    Lesions are ranked by their mean squared error; the slice shown is the one with most drift.

    Args:
        held_out: n slices.
        predicted: `post` and `drift` float32 [n, S, S, 1].
        errors: float [n], squared error of each slice.
        spreads: float [n, S, S, 1], standard deviation of the predicted drift over outcomes, for one panel more.
    """
    change = np.mean(held_out.drift.astype(np.float64) ** 2, axis=(1, 2, 3))
    ranked = []
    for lesion in np.unique(held_out.lesion):
        rows = np.flatnonzero(held_out.lesion == lesion)
        ranked.append((errors[rows].mean(), int(rows[np.argmax(change[rows])])))
    ranked.sort()
    places = {"best": 0, "median": len(ranked) // 2, "worst": len(ranked) - 1}
    chosen = {name: ranked[place][1] for name, place in places.items()}
    rows, titles = [], []
    for name, row in chosen.items():
        pre, post = held_out.pre[row, ..., 0], held_out.post[row, ..., 0]
        outlines = ((held_out.pre_mask[row, ..., 0], "gold"), (held_out.post_mask[row, ..., 0], "deepskyblue"))
        rows.append(
            [
                Panel(image=pre, title="pre", kind="image", contours=outlines[:1]),
                Panel(image=post, title="post", kind="image", contours=outlines),
                Panel(image=predicted["post"][row, ..., 0], title="predicted post", kind="image", contours=outlines),
                Panel(image=post - pre, title="drift", kind="drift", contours=outlines),
                Panel(image=predicted["drift"][row, ..., 0], title="predicted drift", kind="drift", contours=outlines),
            ]
        )
        if spreads is not None:
            spread = Panel(image=spreads[row, ..., 0], title="its spread", kind="uncertainty", contours=outlines)
            rows[-1].append(spread)
        titles.append(f"{name} of {len(ranked)}")
    return draw_panels(rows, row_titles=titles, title="Held-out lesions: GTV before (gold) and after (blue) treatment")
