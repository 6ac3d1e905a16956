"""The training pairs in memory: one row a slice or a lesion, patients assigned to folds, never slices."""

import dataclasses
import hashlib
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfdrift.axes import first_channel, image_axes
from tfdrift.cohort.dose import has_dose, mean_dose_gy, scale_dose
from tfdrift.errors import DataError

DEFAULT_CHANNELS = ("T1",)
"""What one channel without a name of its own is: a T1-weighted image with contrast agent, as in the paper."""

COLUMNS = (
    "pre", "post", "pre_mask", "post_mask", "scale", "patient", "lesion", "fold", "pixel_mm", "pre_mm3", "post_mm3",
    "follow_up_mm3",
)  # fmt: skip
"""What every row has, in the order that fingerprints go through."""

GROUPS = ("conditions", "facts")
"""What some cohorts know of a row, each a mapping of columns."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """Lesions before and after treatment, on one standard grid, with where each comes from.

    A row is a slice, [S, S, C], or a stack of D slices, [D, S, S, C].

    Args:
        pre: float32 [n, S, S, C] or [n, D, S, S, C], first MRI inside its GTV, zero outside. The first channel
            is divided by `scale`, others as `tfdrift.cohort.channels.scalings` says; zero everywhere where not known.
        post: float32 [n, ..., S, S, 1], second MRI inside its own GTV, zero outside, divided by the same `scale`; of
            the kind of the first channel.
        pre_mask: bool [n, ..., S, S, 1], the GTV of the first MRI.
        post_mask: bool [n, ..., S, S, 1], the GTV of the second MRI.
        scale: float32 [n], the largest signal of the pre crop's first channel, in scanner units.
        patient: str [n], pseudonym.
        lesion: str [n], unique over patients.
        fold: int32 [n], the same for every row of a patient.
        pixel_mm: float32 [n], side of a crop pixel in mm.
        pre_mm3: float32 [n], volume of the whole lesion's GTV at the first MRI.
        post_mm3: float32 [n], at the second MRI.
        follow_up_mm3: float32 [n], at the follow-up, NaN where there is none.
        channels: name of each of the C channels.
        conditions: float32 [n] or [n, K] by name, NaN where unknown; such as `interval_days`, from the first MRI to the
            second, and `place`, of the slice in its lesion.
        facts: str [n] by name, empty where unknown; such as `orientation`, of the first MRI's slices.

    Raises:
        DataError: lengths, shapes or types disagree, a value is not finite, or a patient stands in two folds.
    """

    pre: np.ndarray
    post: np.ndarray
    pre_mask: np.ndarray
    post_mask: np.ndarray
    scale: np.ndarray
    patient: np.ndarray
    lesion: np.ndarray
    fold: np.ndarray
    pixel_mm: np.ndarray
    pre_mm3: np.ndarray
    post_mm3: np.ndarray
    follow_up_mm3: np.ndarray
    channels: tuple[str, ...] = DEFAULT_CHANNELS
    conditions: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    facts: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.pre) == 0:
            raise DataError("the data hold no slice at all; nothing can be trained or evaluated")
        self._check_shapes()
        for name in ("pre", "post", "scale", "pixel_mm"):
            if not np.isfinite(getattr(self, name)).all():
                raise DataError(f"{name} holds a value that is not finite")
        pairs = {(p, f) for p, f in zip(self.patient.tolist(), self.fold.tolist(), strict=True)}
        patients = [p for p, _ in pairs]
        if len(patients) != len(set(patients)):
            twice = sorted(p for p in set(patients) if patients.count(p) > 1)
            raise DataError(f"patient {twice[0]} stands in more than one fold; folds are made of whole patients")

    def _check_shapes(self) -> None:
        shape, count = self.pre.shape, len(self.pre)
        if len(shape) not in (4, 5) or shape[-3] != shape[-2]:
            raise DataError(f"pre images must have shape [n, S, S, C] or [n, D, S, S, C], got {list(shape)}")
        if len(self.channels) != shape[-1] or len(set(self.channels)) != shape[-1]:
            raise DataError(f"pre images have {shape[-1]} channels, with the names {', '.join(self.channels)}")
        for name in COLUMNS[1:]:
            values = getattr(self, name)
            expected = (*shape[:-1], 1) if name in ("post", "pre_mask", "post_mask") else (count,)
            if values.shape != expected:
                raise DataError(f"{name} must have shape {list(expected)}, got {list(values.shape)}")
        for name, values in self.conditions.items():
            if values.dtype != np.float32 or values.ndim not in (1, 2) or len(values) != count:
                raise DataError(
                    f"condition {name} must be float32 of shape [{count}] or [{count}, K], got {values.dtype} "
                    f"{list(values.shape)}"
                )
        for name, values in self.facts.items():
            if values.dtype.kind != "U" or values.shape != (count,):
                raise DataError(f"{name} must be a text for each of {count} rows, got {list(values.shape)}")

    def __len__(self) -> int:
        return len(self.pre)

    @property
    def drift(self) -> np.ndarray:
        """float32 [n, ..., S, S, 1], post - pre's first channel (paper, eq. 1)."""
        return self.post - first_channel(self.pre)

    @property
    def image_size(self) -> int:
        """Side S of the crops in pixels."""
        return self.pre.shape[-2]

    def condition(self, name: str) -> np.ndarray:
        """Return a condition, float32 [n] or [n, K]; NaN [n] where the cohort does not know it at all."""
        return self.conditions.get(name, np.full(len(self), np.nan, np.float32))

    def ranges(self) -> dict[str, list[float]]:
        """Return the lowest and highest `pixel_mm` and `mean_signal`, the mean of a pre crop inside its GTV, in [0, 1].

        Of samples that show the dose also `dose_gy`, its mean inside the GTV, of crops in which it is known. A model
        has seen nothing beyond them.
        """
        axes = image_axes(self.pre)
        inside = np.maximum(self.pre_mask.sum(axis=axes), 1)
        signal = np.sum(first_channel(self.pre) * self.pre_mask, axis=axes) / inside
        seen = {"pixel_mm": self.pixel_mm, "mean_signal": signal}
        if has_dose(self.channels):
            dose_gy = mean_dose_gy(self.pre, self.pre_mask, self.channels)
            seen |= {"dose_gy": dose_gy[dose_gy > 0]} if dose_gy.any() else {}
        return {name: [float(values.min()), float(values.max())] for name, values in seen.items()}

    def orientations(self) -> list[str]:
        """Return the orientations of slices that occur, sorted; none where the cohort does not know them."""
        return sorted(set(self.facts.get("orientation", np.array([], np.str_)).tolist()) - {""})

    def take(self, rows: np.ndarray) -> "Samples":
        """Return the samples at `rows` (bool [n] or int [m])."""
        return Samples(
            **{name: getattr(self, name)[rows] for name in COLUMNS},
            channels=self.channels,
            conditions={name: values[rows] for name, values in self.conditions.items()},
            facts={name: values[rows] for name, values in self.facts.items()},
        )

    def at_dose(self, factor: float) -> "Samples":
        """Return the same lesions with so many times the dose, before treatment.

        Their second MRIs stay those of the dose that was given.

        Raises:
            DataError: the samples show no dose.
        """
        return dataclasses.replace(self, pre=scale_dose(self.pre, self.channels, factor))

    def fingerprint(self) -> str:
        """Return a SHA-256 over every array but conditions and facts, so that an artefact can say which data made it.

        Conditions have a digest of their own, see `tfdrift.cohort.context`, so that a run that uses none is the same
        whatever else is known.
        """
        return fingerprint_of([self])


def join_samples(parts: Sequence[Samples]) -> Samples:
    """Return the rows of several samples one after another.

    Args:
        parts: of one shape and with the same channels. A condition or fact that a part lacks is unknown there.

    Raises:
        DataError: there is no part, or shapes, channels or the widths of a condition disagree, or a patient stands in
            two folds.
    """
    shapes = sorted({(part.channels, part.pre.shape[1:]) for part in parts})
    if len(shapes) != 1:
        kinds = "; ".join(f"{list(shape)} of {', '.join(channels)}" for channels, shape in shapes)
        raise DataError(f"samples of one shape and the same channels can be joined, got {kinds or 'none'}")
    widths = {name: set() for part in parts for name in part.conditions}
    for part in parts:
        for name, values in part.conditions.items():
            widths[name].add(values.shape[1:])
    for name, found in widths.items():
        if len(found) > 1:
            raise DataError(f"condition {name} has several widths ({sorted(found)}); samples with one can be joined")
    known = sorted({name for part in parts for name in part.facts})
    return Samples(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in COLUMNS},
        channels=shapes[0][0],
        conditions={
            name: np.concatenate(
                [part.conditions.get(name, np.full((len(part), *width), np.nan, np.float32)) for part in parts]
            )
            for name, (width,) in sorted(widths.items())
        },
        facts={
            name: np.concatenate([part.facts.get(name, np.full(len(part), "")) for part in parts]) for name in known
        },
    )


def fingerprint_of(parts: Iterable[Samples]) -> str:
    """Return the fingerprint of samples that come in parts: that of the whole, however it is cut.

    It goes row by row, so that the whole need not be in memory, and is the same for texts of any NumPy width. Channels
    count where they are not the default.

    Args:
        parts: samples whose rows make up the whole, in order.
    """
    digest = hashlib.sha256()
    channels = DEFAULT_CHANNELS
    for part in parts:
        channels = part.channels
        for row in range(len(part)):
            for name in COLUMNS:
                values = getattr(part, name)
                value = values[row]
                is_text = values.dtype.kind == "U"
                content = str(value).encode() if is_text else np.ascontiguousarray(value).tobytes()
                kind = "text" if is_text else values.dtype.str
                digest.update(f"{name} {kind} {np.shape(value)} {len(content)} ".encode())
                digest.update(content)
    if channels != DEFAULT_CHANNELS:
        digest.update(f"channels {list(channels)}".encode())
    return digest.hexdigest()


def save_samples(path: Path, samples: Samples) -> None:
    """Write samples as one `.npz` file, an array a field or condition, without pickles.

    Args:
        path: file to write.
        samples: what to write.
    """
    np.savez_compressed(
        path,
        **{name: getattr(samples, name) for name in COLUMNS},
        channels=np.array(samples.channels),
        **{f"{group}/{name}": values for group in GROUPS for name, values in getattr(samples, group).items()},
    )


def read_samples(path: Path) -> Samples:
    """Return what `save_samples` wrote.

    Raises:
        DataError: the file is missing, cut or of another layout.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            fields: dict[str, Any] = {name: stored[name] for name in COLUMNS}
            for group in GROUPS:
                of_group = [name for name in stored if name.startswith(f"{group}/")]
                fields[group] = {name.removeprefix(f"{group}/"): stored[name] for name in of_group}
            return Samples(**fields, channels=tuple(stored["channels"].tolist()))
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path.name} holds no samples that can be read ({error})") from None
