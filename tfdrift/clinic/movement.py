"""How a lesion moves, grows and brightens, where a model tells that."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

MAPS = {
    "displacement_mm": "where each place of the MRI now moves to, in mm",
    "log_jacobian": "logarithm of the local growth of volume in the plane; above 0 grows",
    "log_gain": "logarithm of the factor of the signal, at places of the second MRI",
    "residual": "what moving and brightening leave out, in scanner units, at places of the second MRI",
}
"""The maps of a field and what they mean."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Field:
    """Means over the outcomes of what makes the second MRI of the first.

    Args:
        crops: float32 [n, S, S, c] by the names of `MAPS`, on the crops; c is 2 for the displacement, along rows' and
            columns' axes, or 3 with the slices' first where the model sees the whole lesion, and else 1.
        grid: float64 [n, rows, columns, c], the same on the MRI's own grid.
    """

    crops: Mapping[str, np.ndarray]
    grid: Mapping[str, np.ndarray]

    def statistics(self, inside: np.ndarray) -> dict[str, float]:
        """Return what is told of it in numbers, over the voxels of the lesion now.

        Args:
            inside: bool [n, rows, columns].
        """
        length = np.linalg.norm(self.grid["displacement_mm"], axis=-1)[inside]
        return {
            "mean_displacement_mm": float(length.mean()),
            "largest_displacement_mm": float(length.max()),
            "mean_log_jacobian": float(self.grid["log_jacobian"][inside].mean()),
            "mean_log_gain": float(self.grid["log_gain"][inside].mean()),
        }


def make_field(
    answer: Mapping[str, np.ndarray], pixel_mm: float, on_grid: Callable[[np.ndarray], np.ndarray]
) -> Field | None:
    """Return the field that a model's answer tells, None where it tells none.

    Args:
        answer: float32 [n, S, S, c] by the names of `tfdrift.methods.method.Method.maps`, the displacement in pixels.
        pixel_mm: side of a crop pixel.
        on_grid: puts images [n, S, S] onto the MRI's own grid.
    """
    if "displacement" not in answer:
        return None
    crops = {
        "displacement_mm": answer["displacement"] * np.float32(pixel_mm),
        **{name: answer[name] for name in MAPS if name in answer},
    }
    grid = {
        name: np.stack([on_grid(component) for component in np.moveaxis(images, -1, 0)], axis=-1)
        for name, images in crops.items()
    }
    return Field(crops=crops, grid=grid)


def in_patient(displacement_mm: np.ndarray, direction: Sequence[float]) -> np.ndarray:
    """Return displacements along the axes of a grid as vectors of the patient, x, y, z to the left, back and head.

    Args:
        displacement_mm: [..., 2], along the axis that row numbers grow on, and that column numbers grow on, or [..., 3]
            with that of slice numbers first.
        direction: of the grid, 3 x 3 row by row.

    Example:
        >>> in_patient(np.array([2.0, 1.0]), (1, 0, 0, 0, 1, 0, 0, 0, 1)).tolist()
        [1.0, 2.0, 0.0]
    """
    along = np.reshape(direction, (3, 3)).T[::-1][-displacement_mm.shape[-1] :]  # of slices, rows, columns
    return displacement_mm @ along
