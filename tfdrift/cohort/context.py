"""What is known of a lesion beside one slice of it: the columns that a network may be given with the images.

What a lesion itself shows is measured here, for a cohort, the phantom and a new patient alike.
"""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from tfdrift.axes import first_channel, image_axes
from tfdrift.cohort.response import poor_responses
from tfdrift.cohort.samples import Samples
from tfdrift.model.columns import column_of

DARK = 0.4
"""Share of the largest signal of a slice below which a pixel belongs to the dark core."""


def lesion_context(pre: np.ndarray, mask: np.ndarray, *, scale: np.ndarray, volume_mm3: float) -> dict[str, np.ndarray]:
    """Return what slices of one lesion show of the whole: `size`, `core` and `peak` of `tfdrift.model.columns`.

    Core and peak refer to the slice whose GTV is the largest, which stands for a lesion in every choice of slices.

    Args:
        pre: float32 [n, ..., S, S, C], crops of the first MRI, the largest signal of each being 1.
        mask: bool [n, ..., S, S, 1], its GTV.
        scale: float32 [n], the largest signal in scanner units.
        volume_mm3: of the GTV.

    Returns:
        float32 [n] each; size in mm.

    Example:
        >>> pre = np.array([0.2, 1.0, 0.3, 0.9], np.float32).reshape(1, 2, 2, 1)
        >>> found = lesion_context(pre, pre > 0, scale=np.array([900.0]), volume_mm3=33.51)
        >>> {name: float(values[0].round(3)) for name, values in found.items()}
        {'size': 2.0, 'core': 0.5, 'peak': 1.0}
    """
    areas = mask.sum(axis=image_axes(mask))
    largest = int(np.argmax(areas))
    inside = first_channel(pre)[largest][mask[largest]]
    found = {
        "size": (3 * volume_mm3 / (4 * np.pi)) ** (1 / 3),
        "core": np.mean(inside < DARK) if inside.size else np.nan,
        "peak": scale / scale[largest],
    }
    return {name: np.broadcast_to(value, [len(pre)]).astype(np.float32) for name, value in found.items()}


def columns_of(samples: Samples) -> dict[str, np.ndarray]:
    """Return every column that a network may be given.

    These are the conditions and facts of the samples, and what follows from the rest of them: `lesion_context`, and the
    response where there is a follow-up. `response` is a class, and so is every fact.

    Args:
        samples: n slices.

    Returns:
        float32 [n] or [n, K], NaN for unknown, or str [n], empty for unknown.
    """
    poor = poor_responses(samples.pre_mm3, samples.follow_up_mm3)
    context = {name: np.empty(len(samples), np.float32) for name in ("size", "core", "peak")}
    for lesion in np.unique(samples.lesion):
        rows = samples.lesion == lesion
        found = lesion_context(
            samples.pre[rows],
            samples.pre_mask[rows],
            scale=samples.scale[rows],
            volume_mm3=float(samples.pre_mm3[rows][0]),
        )
        for name, values in found.items():
            context[name][rows] = values
    response = np.where(poor == 1, "poor", np.where(poor == 0, "good", ""))
    return {**context, "response": response, **samples.facts, **samples.conditions}


def foreseen_columns(samples: Samples) -> dict[str, np.ndarray]:
    """Return the columns that are known before the second MRI: what a forecast may be given.

    Args:
        samples: n slices.
    """
    return {name: values for name, values in columns_of(samples).items() if not column_of(name).afterwards}


def columns_fingerprint(columns: Mapping[str, np.ndarray], names: Sequence[str], count: int) -> str:
    """Return a SHA-256 over the columns that a run uses; one that the data do not know counts as NaN.

    Args:
        columns: of `columns_of`.
        names: which of them.
        count: n.
    """
    digest = hashlib.sha256()
    for name in names:
        values = columns.get(name, np.full(count, np.nan, np.float32))
        if values.dtype.kind == "U":
            digest.update(f"{name} {values.tolist()} ".encode())
            continue
        values = np.where(np.isnan(values), np.float32(np.nan), values)  # one NaN of the many
        digest.update(f"{name} {values.shape} ".encode() + values.astype("<f4").tobytes())
    return digest.hexdigest()
