"""The paper's toy: MNIST's digit zero, which grows or shrinks isotropically about the image centre (Fig. 3).

How much a zero changes follows from how large it is, which can be seen in the pre image: large zeros shrink more, or
grow less, than small ones. So the drift can be learned, and no chance is in it.
"""

import os
import zipfile
import zlib
from pathlib import Path

import numpy as np

from tfdrift.axes import image_axes, per_image
from tfdrift.cohort.samples import Samples
from tfdrift.errors import DataError, ResourceError, UsageError

SCALING_RANGES = {"mix": (0.75, 1.25), "grow": (1.05, 1.25), "shrink": (0.75, 0.95)}
"""Scaling factors of the largest and of the smallest zeros, for each kind of change."""

FIELD_PIXELS = 32
"""Side of the pictured field in MNIST pixels, so that 32 pixels of ours are those of MNIST and lose nothing of them."""

MASK_THRESHOLD = 0.1
"""The mask is where the signal exceeds this share of the largest signal of the pre image; outside, images are zero."""

_MEAN_RADIUS_PIXELS = 7.5
_RADIUS_STD_PIXELS = 0.56
_TRAINING_FOLDS = 6
_ARRAYS = ("x_train", "y_train", "x_test", "y_test")


def digit_samples(
    *, image_size: int = 32, change: str = "mix", mnist_file: Path | None, seed: int = 0, limit: int | None = None
) -> Samples:
    """Return the zeros of MNIST before and after an isotropic scaling; each zero is a patient of its own.

    Both images are sampled from the MNIST image in one linear interpolation, on a field of `FIELD_PIXELS`. One MNIST
    pixel counts as 1 mm and the slice as 1 mm thick. Fold 0 is MNIST's own test set (980 zeros, by other writers than
    the training set); folds 1 to 6 are the 5,923 training zeros in contiguous blocks.

    Args:
        image_size: side S of the images in pixels.
        change: `grow`, `shrink`, or `mix` where small zeros grow and large ones shrink; see `scaling_factors`.
        mnist_file: MNIST in the layout of Keras' own file; None for Keras' loader, which downloads it once.
        seed: decides which zeros `limit` chooses, nothing else.
        limit: number of zeros, dealt evenly to the folds; None for all.

    Returns:
        The samples, patients named `test00012` or `train00012` by their place among the zeros; no follow-up volumes.

    Raises:
        UsageError: unknown change, or an image size or limit below 1.
        DataError: the file is missing or not MNIST.
        ResourceError: no file is given and MNIST cannot be downloaded.

    Source: paper, "MNIST zero digit as a toy example".
    """
    if change not in SCALING_RANGES:
        raise UsageError(f"change {change}: choose from {', '.join(SCALING_RANGES)}")
    if image_size < 1:
        raise UsageError(f"image size {image_size}: must be 1 or more")
    if limit is not None and limit < 1:
        raise UsageError(f"limit {limit}: must be 1 or more")
    test, training = _download_zeros() if mnist_file is None else read_zeros(mnist_file)
    ink = np.concatenate([test, training]).astype(np.float32)
    patient = np.array([*(f"test{i:05d}" for i in range(len(test))), *(f"train{i:05d}" for i in range(len(training)))])
    blocks = np.arange(len(training)) * _TRAINING_FOLDS // max(len(training), 1) + 1
    fold = np.concatenate([np.zeros(len(test), int), blocks]).astype(np.int32)
    if limit is not None:
        rows = _choose(fold, limit, seed)
        ink, patient, fold = ink[rows], patient[rows], fold[rows]

    count, pixel_mm = len(ink), FIELD_PIXELS / image_size
    pre = _rescale(ink, np.ones(count), image_size)
    scale = pre.max(axis=(1, 2))
    if scale.min() <= 0:
        raise DataError(f"{patient[int(scale.argmin())]} of the MNIST zeros is blank; get MNIST anew")
    post = _rescale(ink, scaling_factors(ink, change), image_size)
    pre, post = (image[..., np.newaxis] / per_image(scale, image[..., np.newaxis]) for image in (pre, post))
    pre_mask, post_mask = pre > MASK_THRESHOLD, post > MASK_THRESHOLD
    pre_mm3, post_mm3 = (np.sum(mask, axis=image_axes(mask)) * pixel_mm**2 for mask in (pre_mask, post_mask))
    return Samples(
        pre=pre * pre_mask,
        post=post * post_mask,
        pre_mask=pre_mask,
        post_mask=post_mask,
        scale=scale,
        patient=patient,
        lesion=patient,
        fold=fold,
        pixel_mm=np.full(count, pixel_mm, np.float32),
        pre_mm3=pre_mm3.astype(np.float32),
        post_mm3=post_mm3.astype(np.float32),
        follow_up_mm3=np.full(count, np.nan, np.float32),
    )


def ink_radius(ink: np.ndarray) -> np.ndarray:
    """Return the root mean square distance of each image's ink from its own centre, in pixels, float64 [n].

    Right-angle rotations, shifts and another brightness leave it as it is.

    Args:
        ink: real [n, H, W], zero where there is none; no image all zero.

    Example:
        >>> cross = np.zeros((1, 9, 9))
        >>> cross[0, [1, 7, 4, 4], [4, 4, 1, 7]] = 1.0
        >>> ink_radius(cross)
        array([3.])
    """
    total = ink.sum(axis=(1, 2), dtype=np.float64)
    squares = np.zeros(len(ink))
    for axis in (1, 2):
        profile = ink.sum(axis=3 - axis, dtype=np.float64) / total[:, np.newaxis]
        place = np.arange(profile.shape[1])
        squares += profile @ place**2 - (profile @ place) ** 2
    return np.sqrt(squares)


def scaling_factors(ink: np.ndarray, change: str) -> np.ndarray:
    """Return the factor by which each zero is scaled, float64 [n]; a function of the image alone.

    With R the ink's radius in pixels and (largest, smallest) the `SCALING_RANGES` of the change,

        factor = largest + (smallest - largest) / (1 + exp(2 (R - 7.5) / 0.56))

    falls smoothly with R; 7.5 pixels is the mean over MNIST's zeros and 0.56 their standard deviation. A zero whose ink
    would leave the field (14 of MNIST's) grows only until it reaches the border.

    Args:
        ink: real [n, 28, 28], MNIST images; no image all zero.
        change: a key of `SCALING_RANGES`.
    """
    largest, smallest = SCALING_RANGES[change]
    excess = (ink_radius(ink) - _MEAN_RADIUS_PIXELS) / _RADIUS_STD_PIXELS
    factors = largest + (smallest - largest) / (1 + np.exp(2 * excess))
    return np.minimum(factors, FIELD_PIXELS / 2 / _reach(ink))


def _reach(ink: np.ndarray) -> np.ndarray:
    """Return how far each image's ink, linearly interpolated, reaches from the centre along an axis, in pixels [n]."""
    from_centre = np.abs(np.arange(ink.shape[1]) - (ink.shape[1] - 1) / 2) + 1
    filled = np.any(ink > 0, axis=1) | np.any(ink > 0, axis=2)
    return np.max(filled * from_centre, axis=1)


def read_zeros(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the zeros of MNIST's test and training set from a file in Keras' layout.

    Args:
        path: an `.npz` of `x_train`, `x_test` uint8 [n, 28, 28] and `y_train`, `y_test` integers [n].

    Returns:
        (test, training), each uint8 [n, 28, 28], in the order of the file.

    Raises:
        DataError: the file is missing or has another layout, or a set has no zero.
    """
    layout = f"expected an .npz file of {', '.join(_ARRAYS)} with images of 28 x 28 bytes, as Keras' mnist.npz is"
    try:
        with np.load(path, allow_pickle=False) as stored:
            x_train, y_train, x_test, y_test = (stored[name] for name in _ARRAYS)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; {layout}") from None
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} cannot be read as MNIST ({error}); {layout}") from None
    zeros = []
    for name, images, labels in (("test", x_test, y_test), ("train", x_train, y_train)):
        if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1:] != (28, 28):
            raise DataError(f"{path}: x_{name} is {images.dtype} {list(images.shape)}; {layout}")
        if not np.issubdtype(labels.dtype, np.integer) or labels.shape != images.shape[:1]:
            raise DataError(f"{path}: y_{name} is {labels.dtype} {list(labels.shape)}; expected a label for each image")
        if not np.any(labels == 0):
            raise DataError(f"{path}: y_{name} has no digit zero; {layout}")
        zeros.append(images[labels == 0])
    return zeros[0], zeros[1]


def _download_zeros() -> tuple[np.ndarray, np.ndarray]:
    """Return (test, training) zeros through Keras' loader, which keeps the file in its cache folder."""
    import keras  # here, because Keras imports TensorFlow

    try:
        (x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
    except Exception as error:
        # Keras reports a failed download as a bare Exception, raised while it handled the network's OSError, and a
        # broken file as ValueError. Anything else goes up as it is.
        if not isinstance(error, OSError | ValueError) and not isinstance(error.__context__, OSError):
            raise
        cache = Path(os.environ.get("KERAS_HOME", "~/.keras")) / "datasets" / "mnist.npz"
        raise ResourceError(
            f"MNIST cannot be downloaded ({error}); give Keras' mnist.npz with --mnist-file FILE, or put it at {cache}"
        ) from None
    return x_test[y_test == 0], x_train[y_train == 0]


def _choose(fold: np.ndarray, limit: int, seed: int) -> np.ndarray:
    """Return `limit` rows in rising order, as many from each fold as from any other (the first ones one more)."""
    rng = np.random.default_rng(seed)
    place = np.empty(len(fold), np.int64)
    for number in np.unique(fold):
        rows = np.flatnonzero(fold == number)
        place[rows] = rng.permutation(len(rows))
    return np.sort(np.lexsort((fold, place))[:limit])


def _rescale(ink: np.ndarray, factors: np.ndarray, image_size: int) -> np.ndarray:
    """Return float32 [n, S, S], each image scaled by its factor about the centre of the field.

    Linear interpolation on a grid is separable: image = A ink A^T, with the hat weights of output pixel i on input
    pixel j in A[i, j]. Outside the MNIST image there is no ink.
    """
    side = ink.shape[1]
    from_centre = (np.arange(image_size) + 0.5 - image_size / 2) * (FIELD_PIXELS / image_size)
    source = from_centre / factors[:, np.newaxis] + side / 2 - 0.5
    weights = np.maximum(0, 1 - np.abs(source[:, :, np.newaxis] - np.arange(side))).astype(np.float32)
    return weights @ ink @ weights.transpose(0, 2, 1)
