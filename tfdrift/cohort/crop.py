"""A lesion in its MRI to slices, or a volume, of one standard size, and the way back onto the patient's grid.

The box is a square in millimetres around the lesion, the same for all of its slices, or a cube around the whole of it,
so that a crop keeps the lesion's proportions and one number, `pixel_mm`, leads back.

Arrays are [slices, rows, columns]; a place in a slice is given in
voxel indices, which are whole numbers at voxel centres.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from tfdrift.axes import image_axes, per_image, split_channels
from tfdrift.errors import DataError, UsageError

BOXES = ("pre", "union")
"""What a box is made of: the pre GTV, which is known for a new patient, or the union of both (the paper's)."""

SLICES = ("three", "all")
"""Which slices stand for a lesion, see `choose_slices`."""

SLICE, CONTEXT, VOLUME = "slice", "context", "volume"
LESIONS = (SLICE, CONTEXT, VOLUME)
"""What a crop is: a slice, a slice with its neighbours, or the whole lesion on isotropic pixels."""

MARGIN_FRACTION = 0.25  # a radius may grow by half before the lesion leaves its box
MIN_MARGIN_MM = 2.0  # keeps two or three voxels of rim around the smallest lesions
_COVERED = 0.5  # of a pixel, from which on it belongs to a mask
_INDEX_DECIMALS = 12  # voxel indices are rounded, so that a point meant to lie on a voxel's centre does, to the bit


class TooThinError(DataError):
    """A lesion of which no crop shows anything, though nothing is wrong with the data (exit code 3)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Box:
    """A square in the plane of the slices, or a cube.

    Args:
        center_row: of the middle, in voxel indices.
        center_column: of the middle, in voxel indices.
        side_mm: length of a side.
        center_slice: of the middle of a cube, in voxel indices; None for a square.
    """

    center_row: float
    center_column: float
    side_mm: float
    center_slice: float | None = None

    @property
    def rank(self) -> int:
        """How many axes it has: 2 or 3."""
        return 2 if self.center_slice is None else 3

    @property
    def center(self) -> tuple[float, ...]:
        """The middle along each of its axes, in voxel indices."""
        middle = (self.center_row, self.center_column)
        return middle if self.center_slice is None else (self.center_slice, *middle)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LesionSlices:
    """The crops of one lesion, slices or one volume; the fields are those of `tfdrift.cohort.samples.Samples`.

    Args:
        pre: float32 [n, S, S, 1], [n, S, S, 3] with neighbours, see `crop_beside`, or [1, S, S, S, 1] of the whole
            lesion, zero outside the pre GTV, divided by `scale`.
        post: float32 [n, ..., S, S, 1], zero outside the post GTV, divided by the same `scale`.
        pre_mask: bool, the same shape.
        post_mask: bool, the same shape.
        scale: float32 [n], largest signal of each pre crop's first channel in scanner units.
        pixel_mm: side of a crop pixel.
        slices: the slice indices in the volume; of the whole lesion all that lie in the box.
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


def make_box(mask: np.ndarray, spacing_mm: tuple[float, float, float], *, cube: bool = False) -> Box:
    """Return the box of a lesion: the largest side of its bounding box and a margin, known before any treatment.

    The margin on each side is a quarter of the extent, at least 2 mm.

    Args:
        mask: bool [slices, rows, columns], the GTV (pre alone, or the union of pre and post as in the paper).
        spacing_mm: of slices, rows and columns.
        cube: of the whole lesion; by default a square that all slices share.

    Raises:
        DataError: the mask is empty.

    Source: paper, "Data augmentation": a bounding box is used to mask the GTV and drift regions.

    Example:
        >>> mask = np.zeros((1, 20, 20), bool)
        >>> mask[0, 4:12, 6:10] = True
        >>> make_box(mask, (1.0, 1.0, 1.0))
        Box(center_row=7.5, center_column=7.5, side_mm=12.0, center_slice=None)
    """
    if not mask.any():
        raise DataError("the lesion's mask is empty; there is nothing to crop")
    middles, extents = [], []
    for axis in (0, 1, 2) if cube else (1, 2):
        filled, spacing = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))), spacing_mm[axis]
        middles.append((filled[0] + filled[-1]) / 2)
        extents.append((filled[-1] - filled[0] + 1) * spacing)
    extent = float(max(extents))
    side_mm = extent + 2 * max(MARGIN_FRACTION * extent, MIN_MARGIN_MM)
    center_slice = float(middles[0]) if cube else None
    return Box(
        center_row=float(middles[-2]), center_column=float(middles[-1]), side_mm=side_mm, center_slice=center_slice
    )


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
    """Return what lies in the box on `image_size` pixels a side, by linear interpolation, zero outside the image.

    Where a crop pixel is larger than a voxel it is the mean over as many points as it has voxels a side, so that no
    voxel is passed over.

    Args:
        image: real [rows, columns], or [slices, rows, columns] for a cube; a mask gives the share of each pixel that it
            covers.
        box: where to crop.
        spacing_mm: of slices, rows and columns.
        image_size: S.

    Returns:
        float64 [S, S], or [S, S, S] of a cube.
    """
    pixel_mm, places, split = box.side_mm / image_size, [], []
    # Along rows and columns as many points as the finer of the two needs.
    finest = (spacing_mm[0], *[min(spacing_mm[1:])] * 2)[-box.rank :]
    for middle, spacing, fine_spacing in zip(box.center, spacing_mm[-box.rank :], finest, strict=True):
        points = max(1, int(np.ceil(pixel_mm / fine_spacing - 1e-9)))
        fine = (np.arange(image_size * points) + 0.5) * pixel_mm / points - box.side_mm / 2
        places.append((middle + fine / spacing).round(_INDEX_DECIMALS))
        split += [image_size, points]
    coordinates = np.meshgrid(*places, indexing="ij")
    sampled = ndimage.map_coordinates(image.astype(np.float64), coordinates, order=1, mode="grid-constant")
    return sampled.reshape(split).mean(axis=tuple(range(1, 2 * box.rank, 2)))


def crop_signal(
    image: np.ndarray, measured: np.ndarray, box: Box, spacing_mm: tuple[float, float, float], image_size: int
) -> np.ndarray:
    """Return the signal as `crop_slice`, where not every voxel was measured: of those that were alone.

    A pixel is the weighted mean over the measured part of it, so that what was not measured does not darken the rim of
    what was.

    Args:
        image: see `crop_slice`.
        measured: bool, the same shape.
        box: where to crop.
        spacing_mm: of slices, rows and columns.
        image_size: S.

    Returns:
        float64 [S, S], or [S, S, S] of a cube; 0 in pixels of which nothing was measured.
    """
    if measured.all():
        return crop_slice(image, box, spacing_mm, image_size)
    signal, share, whole = (
        crop_slice(values, box, spacing_mm, image_size)
        for values in (np.where(measured, image, 0), measured, np.ones(image.shape))
    )
    return np.divide(signal * whole, share, out=np.zeros_like(signal), where=share > 0)


def paste_slice(
    crop: np.ndarray, box: Box, spacing_mm: tuple[float, float, float], shape: tuple[int, ...]
) -> np.ndarray:
    """Return a crop on the grid that it came from, by linear interpolation, zero outside the box.

    Where crop pixels and voxels coincide this is the exact inverse of `crop_slice`.

    Args:
        crop: real [S, S], or [S, S, S] of a cube.
        box: where the crop was made.
        spacing_mm: of slices, rows and columns.
        shape: rows and columns of the slice, or slices, rows and columns.

    Returns:
        float64 of that shape.
    """
    pixel_mm = box.side_mm / len(crop)
    middle = (len(crop) - 1) / 2
    places = [
        ((np.arange(length) - center) * spacing / pixel_mm + middle).round(_INDEX_DECIMALS)
        for length, center, spacing in zip(shape, box.center, spacing_mm[-box.rank :], strict=True)
    ]
    coordinates = np.meshgrid(*places, indexing="ij")
    inside = np.all([np.abs(place - middle) <= len(crop) / 2 for place in coordinates], axis=0)
    return inside * ndimage.map_coordinates(crop.astype(np.float64), coordinates, order=1, mode="nearest")


def outgrown(mask: np.ndarray, box: Box, spacing_mm: tuple[float, float, float]) -> float:
    """Return the share of a mask's voxels whose centres lie outside the box, in [0, 1]; 0 for an empty mask.

    Args:
        mask: bool [slices, rows, columns].
        box: where the crop is.
        spacing_mm: of slices, rows and columns.
    """
    total, inside = mask.sum(), mask
    for axis, middle in zip(range(3 - box.rank, 3), box.center, strict=True):
        near = np.abs(np.arange(mask.shape[axis]) - middle) * spacing_mm[axis] <= box.side_mm / 2
        inside = inside & np.expand_dims(near, tuple({0, 1, 2} - {axis}))
    return float(1 - inside.sum() / total) if total else 0.0


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
    lesion: str = SLICE,
) -> LesionSlices:
    """Return a lesion whose two sessions are on one grid and one intensity scale: its slices, or all of it.

    Args:
        pre: real [slices, rows, columns], scanner units.
        post: the same grid.
        pre_mask: bool, the same grid, not empty.
        post_mask: bool, the same grid; empty where the lesion is gone.
        measured: bool, the same grid, where both sessions were; by default everywhere. Elsewhere no mask may be.
        spacing_mm: of slices, rows and columns.
        image_size: S.
        box: one of `BOXES`.
        slices: one of `SLICES`; nothing to a volume.
        lesion: one of `LESIONS`.

    Raises:
        UsageError: another box, choice of slices or kind of crop.
        TooThinError: the pre mask is so thin that its crop, or that of every slice, is empty.
        DataError: the arrays are not 3-D of one shape, a mask is where nothing was measured, or the pre mask is empty
            or holds no signal above zero.
    """
    if box not in BOXES:
        raise UsageError(f"--box {box}: choose from {', '.join(BOXES)}")
    if lesion not in LESIONS:
        raise UsageError(f"--lesion {lesion}: choose from {', '.join(LESIONS)}")
    measured = np.ones(pre.shape, bool) if measured is None else measured
    shapes = [volume.shape for volume in (pre, post, pre_mask, post_mask, measured)]
    if len(set(shapes)) != 1 or len(shapes[0]) != 3:
        raise DataError(f"images and masks must share one [slices, rows, columns] grid, got {shapes}; resample first")
    if ((pre_mask | post_mask) & ~measured).any():
        raise DataError("a mask covers voxels that were not measured; cut them off first")
    where = make_box(pre_mask | post_mask if box == "union" else pre_mask, spacing_mm, cube=lesion == VOLUME)
    if lesion == VOLUME:
        return _crop_whole(pre, post, pre_mask, post_mask, measured, where, spacing_mm, image_size)
    visible = visible_slices(pre_mask, where, spacing_mm, image_size)
    if not visible.any():
        raise TooThinError(
            f"no slice of it covers half of a pixel of a crop of {image_size} pixels, {where.side_mm / image_size:.1f} "
            "mm each: it is too thin"
        )
    chosen = choose_slices(pre_mask & visible[:, None, None], slices)
    crops = crop_pairs(
        pre[chosen],
        post[chosen],
        pre_mask[chosen],
        post_mask[chosen],
        where,
        spacing_mm,
        image_size=image_size,
        measured=measured[chosen],
    )
    if lesion == CONTEXT:
        beside = crop_beside(pre, pre_mask, where, spacing_mm, chosen, image_size=image_size, measured=measured)
        crops = put_beside(crops, beside)
    return LesionSlices(
        **crops,
        pixel_mm=where.side_mm / image_size,
        slices=chosen,
        place=slice_places(pre_mask, chosen),
        left_out=[index for index in choose_slices(pre_mask, slices) if not visible[index]],
        box=where,
        outgrown=outgrown(post_mask, where, spacing_mm),
    )


def _crop_whole(
    pre: np.ndarray,
    post: np.ndarray,
    pre_mask: np.ndarray,
    post_mask: np.ndarray,
    measured: np.ndarray,
    box: Box,
    spacing_mm: tuple[float, float, float],
    image_size: int,
) -> LesionSlices:
    if not (crop_slice(pre_mask, box, spacing_mm, image_size) >= _COVERED).any():
        raise TooThinError(
            f"it covers half of no pixel of a crop of {image_size} pixels, {box.side_mm / image_size:.1f} mm each: it "
            "is too thin"
        )
    return LesionSlices(
        **crop_pairs(
            pre[None],
            post[None],
            pre_mask[None],
            post_mask[None],
            box,
            spacing_mm,
            image_size=image_size,
            measured=measured[None],
        ),
        pixel_mm=box.side_mm / image_size,
        slices=slices_in(box, len(pre), spacing_mm),
        place=np.zeros(1, np.float32),
        left_out=[],
        box=box,
        outgrown=outgrown(post_mask, box, spacing_mm),
    )


def crop_beside(
    image: np.ndarray,
    mask: np.ndarray,
    box: Box,
    spacing_mm: tuple[float, float, float],
    slices: Sequence[int],
    *,
    image_size: int,
    measured: np.ndarray | None = None,
) -> np.ndarray:
    """Return the slices below and above some slices of a lesion, each inside its own GTV.

    Their own GTV, and not that of the slice between them, tells how the lesion goes on: a neighbour that is smaller, or
    not there at all, says that it ends. Below is the slice of the lower index.

    Args:
        image: real [slices, rows, columns], scanner units.
        mask: bool, the same grid, the GTV.
        box: where to crop; the same for all slices.
        spacing_mm: of slices, rows and columns.
        slices: indices of n of them.
        image_size: S.
        measured: bool, the same grid, see `crop_signal`; by default everywhere.

    Returns:
        float32 [n, S, S, 2], scanner units; zero where a neighbour holds no lesion.

    Example:
        >>> mask = np.zeros((3, 8, 8), bool)
        >>> mask[1:, 2:6, 2:6] = True
        >>> unit_mm = (1.0, 1.0, 1.0)
        >>> beside = crop_beside(500.0 * mask, mask, make_box(mask, unit_mm), unit_mm, [1], image_size=8)
        >>> beside.max(axis=(0, 1, 2)).tolist()
        [0.0, 500.0]
    """
    beside = np.zeros((len(slices), image_size, image_size, 2), np.float32)
    for row, middle in enumerate(slices):
        for channel, index in enumerate((middle - 1, middle + 1)):
            if not 0 <= index < len(mask) or not mask[index].any():
                continue
            inside = crop_slice(mask[index], box, spacing_mm, image_size) >= _COVERED
            seen = np.ones(mask.shape[1:], bool) if measured is None else measured[index]
            beside[row, ..., channel] = crop_signal(image[index], seen, box, spacing_mm, image_size) * inside
    return beside


def put_beside(crops: dict[str, np.ndarray], beside: np.ndarray) -> dict[str, np.ndarray]:
    """Return crops whose first MRI has neighbours as channels, divided by the scale of the slice between them.

    Args:
        crops: of `crop_pairs`.
        beside: of `crop_beside`.
    """
    first, others = split_channels(crops["pre"], 1)
    return {**crops, "pre": np.concatenate([first, beside / per_image(crops["scale"], beside), others], axis=-1)}


def slices_in(box: Box, count: int, spacing_mm: tuple[float, float, float]) -> list[int]:
    """Return the slices whose middle lies in a cube, in order.

    Args:
        box: a cube.
        count: of the slices that there are.
        spacing_mm: of slices, rows and columns.
    """
    from_middle = (np.arange(count) - box.center[0]) * spacing_mm[0]
    return np.flatnonzero(np.abs(from_middle) <= box.side_mm / 2).tolist()


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
        pre: real [n, rows, columns], or [n, D, rows, columns] for stacks of slices and for cubes.
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
        Arrays [n, S, S, 1] or [n, D, S, S, 1], of cubes with D = S, and `scale` [n].
    """

    everywhere = np.ones(pre.shape, bool)

    def crop(images: np.ndarray, seen: np.ndarray) -> np.ndarray:
        flat = (values.reshape(-1, *images.shape[-box.rank :]) for values in (images, seen))
        crops = [crop_signal(image, here, box, spacing_mm, image_size) for image, here in zip(*flat, strict=True)]
        return np.stack(crops).reshape(*images.shape[: -box.rank], *[image_size] * box.rank, 1)

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
