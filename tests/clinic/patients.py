"""A patient whose MRI is a ramp in space, with round lesions, and models that are a formula."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tests.imaging.mock_dicom import contours_of, make_grid, structures_dataset, to_mm, write, write_series
from tfdrift.clinic.models import About, Told
from tfdrift.imaging.geometry import Grid
from tfdrift.model.conditions import NO_CONDITIONS, Conditions
from tfdrift.model.inputs import Inputs

SIZE = 16
LEFT = np.array([1.0, 0.0, 0.0])
PER_MM = 40.0
MIDDLE = 1000.0
ORIENTATIONS = {
    "axial": (1, 0, 0, 0, 1, 0, 0, 0, 1),
    "coronal": (1, 0, 0, 0, 0, 1, 0, -1, 0),
    "sagittal": (0, 0, -1, 1, 0, 0, 0, -1, 0),
}


class Patient(NamedTuple):
    """Files of a patient, and what is in them."""

    series: Path
    rtstruct: Path
    grid: Grid
    masks: dict[str, np.ndarray]


def turned(seed: int) -> tuple[float, ...]:
    """A random right-handed orientation."""
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    rotation[:, 2] *= np.sign(np.linalg.det(rotation))
    return tuple(rotation.ravel().tolist())


def centers_mm(grid: Grid) -> np.ndarray:
    """Patient coordinates of all voxel centres, float64 [slices, rows, columns, 3]."""
    columns, rows, slices = grid.size
    k, j, i = np.meshgrid(range(slices), range(rows), range(columns), indexing="ij")
    return to_mm(grid, np.stack([i, j, k], axis=-1))


def middle_mm(grid: Grid) -> np.ndarray:
    return to_mm(grid, (np.array(grid.size) - 1) / 2)


def ramp(grid: Grid, toward: np.ndarray = LEFT) -> np.ndarray:
    """A signal of `MIDDLE` in the middle of the image that rises toward a side of the patient, whole numbers."""
    offset = (centers_mm(grid) - middle_mm(grid)) @ toward
    return np.clip(np.round(MIDDLE + PER_MM * offset), 0, 65535).astype(np.uint16)


def ball(grid: Grid, offset_mm: Sequence[float] = (0, 0, 0), radius_mm: float = 6.0) -> np.ndarray:
    """Voxels within a ball whose centre is off the middle of the image, bool [slices, rows, columns]."""
    return np.linalg.norm(centers_mm(grid) - middle_mm(grid) - np.array(offset_mm), axis=-1) <= radius_mm


def write_patient(
    folder: Path,
    *,
    direction: Sequence[float] = ORIENTATIONS["axial"],
    toward: np.ndarray = LEFT,
    lesions: dict[str, dict] | None = None,
    change: Callable | None = None,
) -> Patient:
    """Write an MR series of 30 x 28 x 11 voxels and the RTSTRUCT of its lesions, by default one called GTV 1."""
    grid = make_grid(
        size=(30, 28, 11), spacing_mm=(0.9, 1.1, 2.0), origin_mm=(-20.3, 14.1, 33.7), direction=tuple(direction)
    )
    masks = {name: ball(grid, **place) for name, place in (lesions or {"GTV 1": {}}).items()}
    write_series(folder / "MR", grid, ramp(grid, toward), change)
    contours = {name: contours_of(mask, grid) for name, mask in masks.items()}
    rtstruct = write(structures_dataset(contours), folder / "RS.dcm")
    return Patient(folder / "MR", rtstruct, grid, masks)


def write_formula(
    versions: Path,
    formula: Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]],
    *,
    size: int = SIZE,
    about: tuple[str, str] | None = None,
    conditions: Conditions = NO_CONDITIONS,
    **facts,
) -> Path:
    """Write a model whose `post` and `drift` are a formula of image and seed, as version 7; return its folder.

    With `about` it has the signature of that name, which answers these as `config` and `card`. With `conditions` it may
    be told these, and a hundred of the first number double its answer.
    """
    module = tf.Module()
    image = tf.TensorSpec([None, size, size, 1], tf.float32, name="image")
    seed = tf.TensorSpec([None, 2], tf.int64, name="seed")
    module.ones = tf.Variable(tf.ones(1000))  # so that there are files of variables, as in every trained model
    answer = tf.function(lambda image, seed: formula(module.ones[0] * image, seed), input_signature=[image, seed])
    signatures = {"serving_default": answer.get_concrete_function()}
    if about is not None:
        asked = tf.TensorSpec([None], tf.int64, name="asked")
        tell = tf.function(
            lambda asked: {
                name: tf.fill(tf.shape(asked), text) for name, text in zip(("config", "card"), about, strict=True)
            },
            input_signature=[asked],
        )
        signatures["about"] = tell.get_concrete_function()
    if conditions.names:
        told = tf.TensorSpec([None, conditions.numbers], tf.float32, name="condition")
        conditioned = tf.function(
            lambda image, seed, condition: formula(module.ones[0] * image * (1 + by_hundred(condition)), seed),
            input_signature=[image, seed, told],
        )
        signatures["serving_conditioned"] = conditioned.get_concrete_function()
    tf.saved_model.save(module, str(versions / "7"), signatures=signatures)
    (versions / "7/assets").mkdir(exist_ok=True)
    if conditions.names:
        facts["data"] = {**facts.get("data", {}), "inputs": Inputs(conditions=conditions).as_document()}
    document = {"step": 3, "train": {"image_size": size, "method": "method1", "data": "phantom"}, **facts}
    (versions / "7/assets/config.json").write_text(json.dumps(document))
    return versions / "7"


def by_hundred(condition: tf.Tensor) -> tf.Tensor:
    """The first number of each condition over 100, 0 where it is unknown, one for each image."""
    first = condition[:, :1, None, None]
    return tf.where(tf.math.is_nan(first), 0.0, first) / 100


class PythonModel:
    """A model whose `post` and `drift` are a NumPy formula of image and seed, for what needs no TensorFlow."""

    def __init__(
        self,
        formula: Callable[[np.ndarray, np.ndarray], dict[str, np.ndarray]],
        *,
        size: int = SIZE,
        lesion: str = "slice",
        **facts,
    ) -> None:
        self._formula = formula
        self.told: list[Told | None] = []
        self.about = About(
            name="formula", version=None, image_size=size, sha256=None, facts=facts, card=None, lesion=lesion
        )

    def predict(
        self,
        image: np.ndarray,
        seed: np.ndarray,
        member: int = 0,  # noqa: ARG002
        told: Told | None = None,
    ) -> dict[str, np.ndarray]:
        self.told.append(told)
        return self._formula(image, seed)


CALIBRATION = {
    "coverage": 0.9, "volume_margin": 0.25, "drift_margin": 0.125, "patients": 39, "outcomes": 16, "runs": 1, "step": 3,
    "fingerprint": "abc", "settings": {"method": "method1"},
}  # fmt: skip
"""What `tfdrift export` writes beside a model that was calibrated, made up."""

ADAPTIVE = {
    "volume": {"floor": 0.05, "weights": [2.0], "margin": 0.75, "learned_on": 13, "calibrated_on": 26},
    "drift": {"floor": 0.1, "weights": [1.0, 2.0, 4.0], "margin": 0.5, "learned_on": 13, "calibrated_on": 26},
}
"""Its margins that adapt, in a calibration of today."""


def same(image: np.ndarray, _seed: np.ndarray) -> dict[str, np.ndarray]:
    """Nothing changes."""
    return {"post": image, "drift": np.zeros_like(image)}


def factor_of(seed: np.ndarray) -> np.ndarray:
    """A number from 0.5 to 1.5 for each seed."""
    return (0.5 + seed[..., 0] / 2**32).astype(np.float32)


def scaled(image: np.ndarray, seed: np.ndarray) -> dict[str, np.ndarray]:
    """Each image becomes brighter or darker, as its seed says."""
    post = image * factor_of(seed)[:, None, None, None]
    return {"post": post, "drift": post - image}


def brighter_than_middle(image: tf.Tensor, _seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """Keep the lesion where it is brighter than `MIDDLE`; the drift is the signal above it, inside the lesion."""
    inside = tf.cast(image > 0, tf.float32)
    return {"post": image * tf.cast(image > MIDDLE, tf.float32), "drift": inside * (image - MIDDLE)}


def noisy(image: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """Scale each image by 0.5 to 1.5, as its seed says."""
    factor = tf.map_fn(
        lambda one: tf.random.stateless_uniform([], one, 0.5, 1.5, alg="philox"), seed, fn_output_signature=tf.float32
    )
    post = image * factor[:, None, None, None]
    return {"post": post, "drift": post - image}
