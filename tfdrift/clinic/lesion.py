"""One lesion of a patient through a model: crops, outcomes, and what they say on the patient's own grid.

Arrays on the grid hold the lesion's slices and, of these, a window around its box: [slices, rows, columns].
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from tfdrift.axes import first_channel, image_axes
from tfdrift.clinic.models import Model, Told, predict_batches
from tfdrift.clinic.movement import Field, make_field
from tfdrift.cohort.crop import (
    CONTEXT,
    SLICE,
    VOLUME,
    Box,
    crop_beside,
    crop_signal,
    crop_slice,
    make_box,
    paste_slice,
    slices_in,
)
from tfdrift.cohort.dose import mean_dose_gy, scale_dose
from tfdrift.cohort.response import response_group
from tfdrift.cohort.volumes import predicted_mask
from tfdrift.errors import DataError
from tfdrift.evaluation.uncertainty import spread

INTERVAL = (0.05, 0.95)
"""Quantiles of the outcomes' volumes between which 90% of them lie."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Crops:
    """A lesion as the model sees it, and its slices.

    Args:
        image: float32 [n, S, S, 1], scanner units, zero outside the GTV.
        surroundings: float32 [n, S, S], the MRI in the same box, not masked.
        mri: float32 [n, rows, columns], the MRI on its own grid, in the window.
        gtv: bool [n, S, S].
        slices: their indices in the series; where the model sees the whole lesion all that lie in its cube.
        left_out: number of slices of the GTV that cover no crop pixel by half, so that the model cannot see them.
        box: where they lie.
        window: rows and columns of the grid that hold the box.
        spacing_mm: of slices, rows and columns.
        whole: float32 [1, S, S, S, 1], the lesion in one volume, zero outside the GTV; None where slices are seen.
        whole_gtv: bool, the same shape.
        more: float32 [m, ..., S, S, C - 1], further channels of what is shown, in the units of their files; None where
            the model sees one.
        beside: float32 [n, S, S, 2], the neighbours of each slice, see `tfdrift.cohort.crop.crop_beside`; None where
            the model does not see them.
    """

    image: np.ndarray
    surroundings: np.ndarray
    mri: np.ndarray
    gtv: np.ndarray
    slices: list[int]
    left_out: int
    box: Box
    window: tuple[slice, slice]
    spacing_mm: tuple[float, float, float]
    whole: np.ndarray | None = None
    whole_gtv: np.ndarray | None = None
    more: np.ndarray | None = None
    beside: np.ndarray | None = None

    @property
    def shown(self) -> np.ndarray:
        """What the model is shown, float32 [m, ..., S, S, C]: slices, perhaps with their neighbours, or a volume."""
        if self.whole is not None:
            return self.whole
        return self.image if self.beside is None else np.concatenate([self.image, self.beside], axis=-1)

    @property
    def asked(self) -> np.ndarray:
        """What a request holds, float32 [m, ..., S, S, C]: what is shown, with its further channels."""
        return self.shown if self.more is None else np.concatenate([self.shown, self.more], axis=-1)

    def at_dose(self, channels: Sequence[str], factor: float) -> "Crops":
        """Return the same lesion with so many times the dose.

        Args:
            channels: names of all channels of what a request holds, see `asked`.
            factor: of the dose, above 0.

        Raises:
            DataError: there is no dose among them.
        """
        return dataclasses.replace(self, more=scale_dose(self.asked, channels, factor)[..., self.shown.shape[-1] :])

    def mean_dose_gy(self, channels: Sequence[str]) -> np.ndarray:
        """Return the mean dose inside the GTV of each image, float64 [m], in Gy; 0 where it is not known.

        Args:
            channels: names of all channels of what a request holds, one of them the dose.
        """
        return mean_dose_gy(self.asked, self.shown_gtv, channels, unit_gy=1.0)

    @property
    def shown_gtv(self) -> np.ndarray:
        """The GTV in what the model is shown, bool [m, ..., S, S, 1]."""
        return self.gtv[..., None] if self.whole_gtv is None else self.whole_gtv

    @property
    def shown_scale(self) -> np.ndarray:
        """Largest signal of what the model is shown, of its first channel, float32 [m]."""
        first = first_channel(self.shown)
        return first.max(axis=image_axes(first))

    @property
    def scale(self) -> np.ndarray:
        """Largest signal of each slice, or of the whole lesion where the model sees that, float32 [n]."""
        return np.broadcast_to(self.shown_scale, [len(self.slices)])

    def on_slices(self, images: np.ndarray) -> np.ndarray:
        """Return images of what the model is shown on the slices, [..., n, S, S, c]; linear between those of a volume.

        Args:
            images: real [..., m, (S,) S, S, c].
        """
        if self.whole is None:
            return images
        middle = self.box.center[0]
        side = self.whole.shape[1]
        places = (np.array(self.slices) - middle) * self.spacing_mm[0] / self.pixel_mm + (side - 1) / 2
        low = np.clip(np.floor(places), 0, side - 2).astype(int)
        share = np.clip(places - low, 0, 1).astype(np.float32)[:, None, None, None]
        planes = images[..., 0, :, :, :, :]
        return planes[..., low, :, :, :] * (1 - share) + planes[..., low + 1, :, :, :] * share

    def on_grid(self, images: np.ndarray) -> np.ndarray:
        """Return crops on the MRI's own grid, in the window, by linear interpolation: float64 [..., rows, columns].

        Args:
            images: real [..., S, S].
        """
        rows, columns = self.window
        box = dataclasses.replace(
            self.box,
            center_row=self.box.center_row - rows.start,
            center_column=self.box.center_column - columns.start,
            center_slice=None,
        )
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        flat = images.reshape(-1, *images.shape[-2:])
        return np.stack([paste_slice(one, box, self.spacing_mm, shape) for one in flat]).reshape(
            *images.shape[:-2], *shape
        )

    @property
    def pixel_mm(self) -> float:
        """Side of a crop pixel."""
        return self.box.side_mm / self.image.shape[1]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LesionPrediction:
    """What a model says of one lesion.

    Args:
        crops: what it was shown.
        post: float32 [K, n, S, S], K outcomes of the second MRI, scanner units.
        drift: float32 [K, n, S, S], K outcomes of the change.
        gtv: bool [n, rows, columns], the lesion now; this and what follows on the grid, in the window.
        post_mean: float64 [n, rows, columns], mean of the outcomes on the grid.
        lesion_signal: float64 [n, rows, columns], mean of the outcomes that show the lesion there; 0 where none does.
        drift_mean: float64 [n, rows, columns].
        drift_variance: float64 [n, rows, columns], of the outcomes, K - 1 in the denominator.
        lesion_probability: float64 [n, rows, columns], share of the outcomes that show the lesion.
        volume_mm3: of the lesion now.
        outcome_volumes_mm3: float64 [K], of the lesion in each outcome.
        outcome_masks: bool [K, n, S, S], the lesion in each outcome, on the crops.
        field: how it moves, where the model tells that.
    """

    crops: Crops
    post: np.ndarray
    drift: np.ndarray
    gtv: np.ndarray
    post_mean: np.ndarray
    lesion_signal: np.ndarray
    drift_mean: np.ndarray
    drift_variance: np.ndarray
    lesion_probability: np.ndarray
    volume_mm3: float
    outcome_volumes_mm3: np.ndarray
    outcome_masks: np.ndarray
    field: Field | None = None

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the grid that its arrays cover."""
        return self.crops.window

    @property
    def in_surroundings(self) -> np.ndarray:
        """The predicted lesion where it is predicted, and the first MRI elsewhere, float64 [n, rows, columns]."""
        return np.where(self.predicted_gtv, self.lesion_signal, self.crops.mri)

    @property
    def predicted_gtv(self) -> np.ndarray:
        """Where at least half of the outcomes show the lesion, bool [n, rows, columns]."""
        return self.lesion_probability >= 0.5

    @property
    def interval_mm3(self) -> tuple[float, float]:
        """The 5% and the 95% quantile of the outcomes' volumes."""
        low, high = np.quantile(self.outcome_volumes_mm3, INTERVAL)
        return float(low), float(high)

    @property
    def good_response_share(self) -> float:
        """Share of the outcomes whose volume at the second MRI is below 80% of the volume now."""
        return float(np.mean([response_group(self.volume_mm3, v) == "B" for v in self.outcome_volumes_mm3]))

    @property
    def touches_edge(self) -> float:
        """Share of the outcomes in which the lesion reaches the edge of its box."""
        edges = self.outcome_masks[:, :, [0, -1], :], self.outcome_masks[:, :, :, [0, -1]].swapaxes(2, 3)
        at_edges = np.concatenate(edges, axis=2)
        touching = at_edges.any(axis=image_axes(at_edges))
        if self.crops.whole is not None:
            ends = self.outcome_masks[:, [0, -1]]
            touching |= ends.any(axis=image_axes(ends))
        return float(touching.mean())

    @property
    def volume_spread_mm3(self) -> float:
        """Standard deviation of the outcomes' volumes, with K - 1."""
        return float(self.outcome_volumes_mm3.std(ddof=1))

    @property
    def relative_drift_spread(self) -> np.ndarray:
        """Standard deviation of the outcomes' drift over the slice's largest signal now, float64 [n, S, S]."""
        return spread(self.drift) / self.crops.scale[:, None, None]

    def drift_half_width(self, margin: np.ndarray | float = 0.0) -> float:
        """Return half the width of the outcomes' 90% interval of drift, mean over the GTV's pixels on the crops.

        Args:
            margin: by which both of its ends are moved out, in units of the largest signal of the slice; one for all
                or float [n, S, S].
        """
        low, high = np.quantile(self.drift, INTERVAL, axis=0)
        half = (high - low) / 2 + margin * self.crops.scale[:, None, None]
        return float(half[self.crops.gtv].mean())

    def drift_statistics(self) -> dict[str, float]:
        """Return mean, lowest and highest of the mean drift over the voxels of the GTV, and the mean spread there."""
        inside = self.drift_mean[self.gtv]
        return {
            "mean": float(inside.mean()),
            "lowest": float(inside.min()),
            "highest": float(inside.max()),
            "mean_std": float(np.sqrt(self.drift_variance[self.gtv]).mean()),
        }


def crop_gtv(
    image: np.ndarray,
    gtv: np.ndarray,
    spacing_mm: tuple[float, float, float],
    image_size: int,
    measured: np.ndarray | None = None,
    *,
    lesion: str = SLICE,
) -> Crops:
    """Return a lesion as training makes it: cropped to the GTV's box, zero outside the GTV.

    Args:
        image: float32 [slices, rows, columns], scanner units.
        gtv: bool, the same grid, not empty.
        spacing_mm: of slices, rows and columns.
        image_size: S.
        measured: bool, the same grid, where there is no padding; by default everywhere. The GTV holds none.
        lesion: what the model is shown, in `tfdrift.cohort.crop.LESIONS`.

    Raises:
        DataError: the GTV is so thin that every slice's crop is empty, or a slice holds no signal above zero in it, so
            that it cannot be put on the model's scale.
    """
    seen = np.ones(image.shape, bool) if measured is None else measured
    if lesion == VOLUME:
        return _crop_whole(image, gtv, spacing_mm, image_size, seen)
    box = make_box(gtv, spacing_mm)
    filled = np.flatnonzero(gtv.any(axis=(1, 2))).tolist()
    inside = {k: crop_slice(gtv[k], box, spacing_mm, image_size) >= 0.5 for k in filled}
    slices = [k for k in filled if inside[k].any()]
    if not slices:
        raise DataError(
            f"no slice of it covers half of a pixel of a crop of {image_size} pixels, {box.side_mm / image_size:.1f} "
            "mm each: it is too thin for this model"
        )
    masks = np.stack([inside[k] for k in slices])
    surroundings = np.stack([crop_signal(image[k], seen[k], box, spacing_mm, image_size) for k in slices])
    surroundings = surroundings.astype(np.float32)
    window = _window(box, spacing_mm, image.shape[1:])
    beside = None
    if lesion == CONTEXT:
        beside = crop_beside(image, gtv, box, spacing_mm, slices, image_size=image_size, measured=seen)
    crops = Crops(
        image=(surroundings * masks)[..., None],
        surroundings=surroundings,
        mri=image[(slices, *window)],
        gtv=masks,
        slices=slices,
        left_out=len(filled) - len(slices),
        box=box,
        window=window,
        spacing_mm=spacing_mm,
        beside=beside,
    )
    if (crops.scale <= 0).any():
        k = slices[int(np.argmin(crops.scale))]
        raise DataError(
            f"slice {k + 1} of the lesion holds no signal above zero; check that the structure set and the series "
            "belong together"
        )
    return crops


def _crop_whole(
    image: np.ndarray, gtv: np.ndarray, spacing_mm: tuple[float, float, float], image_size: int, seen: np.ndarray
) -> Crops:
    box = make_box(gtv, spacing_mm, cube=True)
    inside = crop_slice(gtv, box, spacing_mm, image_size) >= 0.5
    if not inside.any():
        raise DataError(
            f"it covers half of no pixel of a crop of {image_size} pixels, {box.side_mm / image_size:.1f} mm each: it "
            "is too thin for this model"
        )
    whole = crop_signal(image, seen, box, spacing_mm, image_size).astype(np.float32) * inside
    if whole.max() <= 0:
        raise DataError(
            "the lesion holds no signal above zero; check that the structure set and the series belong together"
        )
    square, slices = dataclasses.replace(box, center_slice=None), slices_in(box, len(gtv), spacing_mm)
    surroundings = np.stack([crop_signal(image[k], seen[k], square, spacing_mm, image_size) for k in slices])
    masks = np.stack([crop_slice(gtv[k], square, spacing_mm, image_size) >= 0.5 for k in slices])
    surroundings = surroundings.astype(np.float32)
    window = _window(box, spacing_mm, image.shape[1:])
    return Crops(
        image=(surroundings * masks)[..., None],
        surroundings=surroundings,
        mri=image[(slices, *window)],
        gtv=masks,
        slices=slices,
        left_out=0,
        box=box,
        window=window,
        spacing_mm=spacing_mm,
        whole=whole[None, ..., None],
        whole_gtv=inside[None, ..., None],
    )


def outcome_seeds(seed: int, structure: int, outcomes: int, slices: int) -> np.ndarray:
    """Return the model's seed of each outcome and slice: `numpy.random.SeedSequence([seed, structure, outcome])`.

    So a lesion's outcomes do not depend on which other lesions are asked for. The slices of an outcome share their
    noise: noise of their own would cancel in the volume, which is a sum over slices.

    Args:
        seed: of the run, 0 or more.
        structure: ROINumber of the lesion.
        outcomes: K.
        slices: n.

    Returns:
        int64 [K, n, 2], two 32-bit words each.

    Example:
        >>> outcome_seeds(0, 1, 2, 3).shape
        (2, 3, 2)
    """
    words = [np.random.SeedSequence([seed, structure, outcome]).generate_state(2) for outcome in range(outcomes)]
    return np.repeat(np.array(words, np.int64)[:, None], slices, axis=1)


def predict_lesion(
    model: Model, gtv: np.ndarray, crops: Crops, seeds: np.ndarray, told: Told | None = None
) -> LesionPrediction:
    """Return K outcomes of a lesion's second MRI and what they say; the members of a model share them in turn.

    Args:
        model: answers.
        gtv: bool [slices, rows, columns].
        crops: of this lesion.
        seeds: int64 [K, m, 2], from `outcome_seeds`, of the m images that the model is shown.
        told: what is known of these beside the images.

    Raises:
        DataError: the model's answer cannot be used, or the server refuses the request.
        ResourceError: the server has gone.
    """
    outcomes, count = seeds.shape[:2]
    members, answer = model.about.members, {}
    for member in range(members):
        own = seeds[member::members]
        more = None if told is None else told._replace(condition=np.tile(told.condition, (len(own), 1)))
        part = predict_batches(model, np.concatenate([crops.asked] * len(own)), own.reshape(-1, 2), member, more)
        for name, images in part.items():
            answer.setdefault(name, np.empty((outcomes, count, *images.shape[1:]), np.float32))
            answer[name][member::members] = images.reshape(len(own), count, *images.shape[1:])
    answer = {name: crops.on_slices(images) for name, images in answer.items()}
    post, drift = (answer[name].squeeze(axis=-1) for name in ("post", "drift"))

    masks, signal = [], np.zeros(crops.mri.shape)
    for outcome in map(crops.on_grid, post):
        masks.append(predicted_mask(outcome, crops.scale))
        signal += outcome * masks[-1]
    masks = np.stack(masks)
    shown = masks.sum(axis=0)
    voxel_mm3 = math.prod(crops.spacing_mm)
    # Pasting is linear, so the mean is pasted instead of every outcome; the variance needs each of them.
    drift_mean = crops.on_grid(drift.mean(axis=0))
    squares = sum((crops.on_grid(outcome) - drift_mean) ** 2 for outcome in drift)
    return LesionPrediction(
        crops=crops,
        post=post,
        drift=drift,
        gtv=gtv[(crops.slices, *crops.window)],
        post_mean=crops.on_grid(post.mean(axis=0)),
        lesion_signal=np.divide(signal, shown, out=signal, where=shown > 0),
        drift_mean=drift_mean,
        drift_variance=squares / (outcomes - 1),
        lesion_probability=masks.mean(axis=0),
        volume_mm3=float(gtv.sum() * voxel_mm3),
        outcome_volumes_mm3=masks.sum(axis=image_axes(masks)) * voxel_mm3,
        outcome_masks=np.stack([predicted_mask(outcome, crops.scale) for outcome in post]),
        field=make_field({name: images.mean(axis=0) for name, images in answer.items()}, crops.pixel_mm, crops.on_grid),
    )


def _window(box: Box, spacing_mm: tuple[float, float, float], shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return the part of a slice that holds the box: pasting needs no more."""
    ranges = []
    places = ((box.center_row, spacing_mm[1]), (box.center_column, spacing_mm[2]))
    for (center, spacing), length in zip(places, shape, strict=True):
        reach = box.side_mm / 2 / spacing
        ranges.append(slice(max(math.floor(center - reach), 0), min(math.ceil(center + reach) + 1, length)))
    return ranges[0], ranges[1]
