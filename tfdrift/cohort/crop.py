"""A lesion in its MRI to slices of one standard size, and the way back onto the patient's grid.

The box is a square in millimetres around the lesion, the same for all of its slices, so that a crop keeps the lesion's
proportions and one number, `pixel_mm`, leads back. Arrays are [slices, rows, columns]; a place in a slice is given in
voxel indices, which are whole numbers at voxel centres.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from tfdrift.axes import image_axes, per_image
from tfdrift.errors import DataError, UsageError

BOXES = ("pre", "union")
"""What a box is made of: the pre GTV, which is known for a new patient, or the union of both (the paper's)."""

SLICES = ("three", "all")
"""Which slices stand for a lesion, see `choose_slices`."""

MARGIN_FRACTION = 0.25  # a radius may grow by half before the lesion leaves its box
MIN_MARGIN_MM = 2.0  # keeps two or three voxels of rim around the smallest lesions
_COVERED = 0.5  # of a pixel, from which on it belongs to a mask
_INDEX_DECIMALS = 12  # voxel indices are rounded, so that a point meant to lie on a voxel's centre does, to the bit


class TooThinError(DataError):
    """A lesion of which no crop shows anything, though nothing is wrong with the data (exit code 3)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Box:
    """A square in the plane of the slices.

    Args:
        center_row: of the middle, in voxel indices.
        center_column: of the middle, in voxel indices.
        side_mm: length of a side.
    """

    center_row: float
    center_column: float
    side_mm: float


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LesionSlices:
    """The standard-size slices of one lesion; the fields are those of `tfdrift.cohort.samples.Samples`.

    Args:
        pre: float32 [n, S, S, 1], zero outside the pre GTV, divided by `scale`.
        post: float32 [n, S, S, 1], zero outside the post GTV, divided by the same `scale`.
        pre_mask: bool [n, S, S, 1].
        post_mask: bool [n, S, S, 1].
        scale: float32 [n], largest signal of each pre crop in scanner units.
        pixel_mm: side of a crop pixel.
        slices: the slice indices in the volume.
        place: float32 [n], where they lie in the lesion, see `slice_places`.
        left_out: slices that would stand for the lesion, but that no crop shows, see `visible_slices`.
        box: where the crops lie.
        outgrown: share of the post GTV that leaves the box.
    """

    pre: np.ndarray
    post: np.ndarray
    pre_mask: np.ndarray
    post_mask: np.ndarray
    scale: np.ndarray
    pixel_mm: float
    slices: list[int]
    place: np.ndarray
    left_out: list[int]
    box: Box
    outgrown: float


def make_box(mask: np.ndarray, spacing_mm: tuple[float, float, float]) -> Box:
    """Return the box of a lesion: the larger side of its bounding box and a margin, known before any treatment.

    The margin on each side is a quarter of the extent, at least 2 mm.

    Args:
        mask: bool [slices, rows, columns], the GTV (pre alone, or the union of pre and post as in the paper).
        spacing_mm: of slices, rows and columns.

    Raises:
        DataError: the mask is empty.

    Source: paper, "Data augmentation": a bounding box is used to mask the GTV and drift regions.

    Example:
        >>> mask = np.zeros((1, 20, 20), bool)
        >>> mask[0, 4:12, 6:10] = True
        >>> make_box(mask, (1.0, 1.0, 1.0))
        Box(center_row=7.5, center_column=7.5, side_mm=12.0)
    """
    if not mask.any():
        raise DataError("the lesion's mask is empty; there is nothing to crop")
    middles, extents = [], []
    for axis, spacing in ((1, spacing_mm[1]), (2, spacing_mm[2])):
        filled = np.flatnonzero(mask.any(axis=(0, 3 - axis)))
        middles.append((filled[0] + filled[-1]) / 2)
        extents.append((filled[-1] - filled[0] + 1) * spacing)
    extent = float(max(extents))
    side_mm = extent + 2 * max(MARGIN_FRACTION * extent, MIN_MARGIN_MM)
    return Box(center_row=float(middles[0]), center_column=float(middles[1]), side_mm=side_mm)


def choose_slices(mask: np.ndarray, how: str = "three") -> list[int]:
    """Return the slices that stand for a lesion, in order.

    Args:
        mask: bool [slices, rows, columns], not empty.
        how: `three` for those of `representative_slices`, and where these are fewer the largest of the others, up to
            three; `all` for every slice of the lesion.

    Raises:
        UsageError: neither of the two.

    Source: paper, "3 representative slices per lesion".
    """
    if how not in SLICES:
        raise UsageError(f"--slices {how}: choose from {', '.join(SLICES)}")
    areas = mask.sum(axis=(1, 2))
    if how == "all":
        return np.flatnonzero(areas).tolist()
    chosen = representative_slices(mask)
    by_area = np.argsort(-areas, kind="stable").tolist()
    others = [index for index in by_area if areas[index] and index not in chosen]
    return sorted([*chosen, *others[: 3 - len(chosen)]])


def representative_slices(mask: np.ndarray) -> list[int]:
    """Return the slice of the largest area and the two quartiles of the extent, in order; fewer where they coincide.

    Args:
        mask: bool [slices, rows, columns], not empty.

    Source: paper, "3 representative slices per lesion".
    """
    areas = mask.sum(axis=(1, 2))
    filled = np.flatnonzero(areas)
    quartiles = filled[0] + np.round((filled[-1] - filled[0]) * np.array([0.25, 0.75])).astype(int)
    return sorted({int(np.argmax(areas)), *(int(index) for index in quartiles if areas[index] > 0)})


def slice_places(mask: np.ndarray, slices: Sequence[int]) -> np.ndarray:
    """Return where slices lie in a lesion, float32 [n]: from -1 in its first slice to 1 in its last, 0 in an only one.

    Args:
        mask: bool [slices, rows, columns], not empty.
        slices: indices of n of them.

    Example:
        >>> mask = np.zeros((9, 4, 4), bool)
        >>> mask[2:7] = True
        >>> slice_places(mask, [2, 3, 6]).tolist()
        [-1.0, -0.5, 1.0]
    """
    filled = np.flatnonzero(mask.any(axis=(1, 2)))
    first, last = int(filled[0]), int(filled[-1])
    return ((2 * np.array(slices) - first - last) / max(last - first, 1)).astype(np.float32)


def visible_slices(mask: np.ndarray, box: Box, spacing_mm: tuple[float, float, float], image_size: int) -> np.ndarray:
    """Return which slices of a lesion cover a crop pixel by half or more, bool [slices]; the others no crop shows.

    Args:
        mask: bool [slices, rows, columns].
        box: where to crop.
        spacing_mm: of slices, rows and columns.
        image_size: S.
    """
    return np.array(
        [one.any() and (crop_slice(one, box, spacing_mm, image_size) >= _COVERED).any() for one in mask], bool
    )


def crop_slice(image: np.ndarray, box: Box, spacing_mm: tuple[float, float, float], image_size: int) -> np.ndarray:
    """Return a slice inside the box on `image_size` pixels a side, by linear interpolation, zero outside the slice.

    Where a crop pixel is larger than a voxel it is the mean over as many points as it has voxels a side, so that no
    voxel is passed over.

    Args:
        image: real [rows, columns]; a mask gives the share of each pixel that it covers.
        box: where to crop.
        spacing_mm: of slices, rows and columns.
        image_size: S.

    Returns:
        float64 [S, S].
    """
    pixel_mm = box.side_mm / image_size
    points = max(1, int(np.ceil(pixel_mm / min(spacing_mm[1:]) - 1e-9)))
    fine = (np.arange(image_size * points) + 0.5) * pixel_mm / points - box.side_mm / 2
    rows, columns = box.center_row + fine / spacing_mm[1], box.center_column + fine / spacing_mm[2]
    coordinates = np.meshgrid(rows.round(_INDEX_DECIMALS), columns.round(_INDEX_DECIMALS), indexing="ij")
    sampled = ndimage.map_coordinates(image.astype(np.float64), coordinates, order=1, mode="grid-constant")
    return sampled.reshape(image_size, points, image_size, points).mean(axis=(1, 3))


def crop_signal(
    image: np.ndarray, measured: np.ndarray, box: Box, spacing_mm: tuple[float, float, float], image_size: int
) -> np.ndarray:
    """Return a slice's signal as `crop_slice`, where not every voxel was measured: of those that were alone.

    A pixel is the weighted mean over the measured part of it, so that what was not measured does not darken the rim of
    what was.

    Args:
        image: real [rows, columns].
        measured: bool [rows, columns].
        box: where to crop.
        spacing_mm: of slices, rows and columns.
        image_size: S.

    Returns:
        float64 [S, S]; 0 in pixels of which nothing was measured.
    """
    if measured.all():
        return crop_slice(image, box, spacing_mm, image_size)
    signal, share, whole = (
        crop_slice(values, box, spacing_mm, image_size)
        for values in (np.where(measured, image, 0), measured, np.ones(image.shape))
    )
    return np.divide(signal * whole, share, out=np.zeros_like(signal), where=share > 0)


def paste_slice(
    crop: np.ndarray, box: Box, spacing_mm: tuple[float, float, float], shape: tuple[int, int]
) -> np.ndarray:
    """Return a crop on the grid of the slice it came from, by linear interpolation, zero outside the box.

    Where crop pixels and voxels coincide this is the exact inverse of `crop_slice`.

    Args:
        crop: real [S, S].
        box: where the crop was made.
        spacing_mm: of slices, rows and columns.
        shape: rows and columns of the slice.

    Returns:
        float64 [rows, columns].
    """
    pixel_mm = box.side_mm / len(crop)
    middle = (len(crop) - 1) / 2
    rows = ((np.arange(shape[0]) - box.center_row) * spacing_mm[1] / pixel_mm + middle).round(_INDEX_DECIMALS)
    columns = ((np.arange(shape[1]) - box.center_column) * spacing_mm[2] / pixel_mm + middle).round(_INDEX_DECIMALS)
    inside = np.abs(rows - middle)[:, None] <= len(crop) / 2
    inside = inside & (np.abs(columns - middle) <= len(crop) / 2)
    coordinates = np.meshgrid(rows, columns, indexing="ij")
    return inside * ndimage.map_coordinates(crop.astype(np.float64), coordinates, order=1, mode="nearest")


def outgrown(mask: np.ndarray, box: Box, spacing_mm: tuple[float, float, float]) -> float:
    """Return the share of a mask's voxels whose centres lie outside the box, in [0, 1]; 0 for an empty mask.

    Args:
        mask: bool [slices, rows, columns].
        box: where the crop is.
        spacing_mm: of slices, rows and columns.
    """
    rows = np.abs(np.arange(mask.shape[1]) - box.center_row) * spacing_mm[1] <= box.side_mm / 2
    columns = np.abs(np.arange(mask.shape[2]) - box.center_column) * spacing_mm[2] <= box.side_mm / 2
    total = mask.sum()
    return float(1 - (mask & rows[:, None] & columns).sum() / total) if total else 0.0


def crop_lesion(
    pre: np.ndarray,
    post: np.ndarray,
    pre_mask: np.ndarray,
    post_mask: np.ndarray,
    *,
    measured: np.ndarray | None = None,
    spacing_mm: tuple[float, float, float],
    image_size: int,
    box: str = "pre",
    slices: str = "three",
) -> LesionSlices:
    """Return the slices of a lesion whose two sessions are on one grid and one intensity scale.

    Args:
        pre: real [slices, rows, columns], scanner units.
        post: the same grid.
        pre_mask: bool, the same grid, not empty.
        post_mask: bool, the same grid; empty where the lesion is gone.
        measured: bool, the same grid, where both sessions were; by default everywhere. Elsewhere no mask may be.
        spacing_mm: of slices, rows and columns.
        image_size: S.
        box: one of `BOXES`.
        slices: one of `SLICES`, see `choose_slices`.

    Raises:
        UsageError: another box or choice of slices.
        TooThinError: the pre mask is so thin that the crop of every slice is empty.
        DataError: the arrays are not 3-D of one shape, a mask is where nothing was measured, or the pre mask is empty
            or holds no signal above zero.
    """
    if box not in BOXES:
        raise UsageError(f"--box {box}: choose from {', '.join(BOXES)}")
    measured = np.ones(pre.shape, bool) if measured is None else measured
    shapes = [volume.shape for volume in (pre, post, pre_mask, post_mask, measured)]
    if len(set(shapes)) != 1 or len(shapes[0]) != 3:
        raise DataError(f"images and masks must share one [slices, rows, columns] grid, got {shapes}; resample first")
    if ((pre_mask | post_mask) & ~measured).any():
        raise DataError("a mask covers voxels that were not measured; cut them off first")
    where = make_box(pre_mask | post_mask if box == "union" else pre_mask, spacing_mm)
    visible = visible_slices(pre_mask, where, spacing_mm, image_size)
    if not visible.any():
        raise TooThinError(
            f"no slice of it covers half of a pixel of a crop of {image_size} pixels, {where.side_mm / image_size:.1f} "
            "mm each: it is too thin"
        )
    chosen = choose_slices(pre_mask & visible[:, None, None], slices)
    return LesionSlices(
        **crop_pairs(
            pre[chosen],
            post[chosen],
            pre_mask[chosen],
            post_mask[chosen],
            where,
            spacing_mm,
            image_size=image_size,
            measured=measured[chosen],
        ),
        pixel_mm=where.side_mm / image_size,
        slices=chosen,
        place=slice_places(pre_mask, chosen),
        left_out=[index for index in choose_slices(pre_mask, slices) if not visible[index]],
        box=where,
        outgrown=outgrown(post_mask, where, spacing_mm),
    )


def crop_pairs(
    pre: np.ndarray,
    post: np.ndarray,
    pre_mask: np.ndarray,
    post_mask: np.ndarray,
    box: Box,
    spacing_mm: tuple[float, float, float],
    *,
    image_size: int,
    measured: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Return `pre`, `post`, `pre_mask`, `post_mask` and `scale` of `LesionSlices` for slices already chosen.

    Each image is cropped whole and then masked, so that no signal leaks over the edge of a GTV.

    Args:
        pre: real [n, rows, columns], or [n, D, rows, columns] for stacks of slices.
        post: the same shape.
        pre_mask: bool, the same shape.
        post_mask: bool, the same shape.
        box: where to crop.
        spacing_mm: of slices, rows and columns.
        image_size: S.
        measured: bool, the same shape, where both sessions were; by default everywhere.

    Raises:
        DataError: a pre crop holds no signal above zero.

    Returns:
        Arrays [n, S, S, 1] or [n, D, S, S, 1], and `scale` [n].
    """

    everywhere = np.ones(pre.shape, bool)

    def crop(images: np.ndarray, seen: np.ndarray) -> np.ndarray:
        flat = (values.reshape(-1, *images.shape[-2:]) for values in (images, seen))
        crops = [crop_signal(image, here, box, spacing_mm, image_size) for image, here in zip(*flat, strict=True)]
        return np.stack(crops).reshape(*images.shape[:-2], image_size, image_size, 1)

    pre_inside, post_inside = (crop(mask, everywhere) >= _COVERED for mask in (pre_mask, post_mask))
    seen = everywhere if measured is None else measured
    pre_crop, post_crop = crop(pre, seen) * pre_inside, crop(post, seen) * post_inside
    scale = pre_crop.max(axis=image_axes(pre_crop))
    if (scale <= 0).any():
        raise DataError("a slice of the lesion holds no signal above zero; check that mask and image belong together")
    return {
        "pre": (pre_crop / per_image(scale, pre_crop)).astype(np.float32),
        "post": (post_crop / per_image(scale, post_crop)).astype(np.float32),
        "pre_mask": pre_inside,
        "post_mask": post_inside,
        "scale": scale.astype(np.float32),
    }
