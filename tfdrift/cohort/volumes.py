"""Where a predicted image shows a lesion, and so how large the lesion is."""

import numpy as np
from scipy import ndimage

BACKGROUND_FRACTION = 0.1
"""Of the first MRI's largest signal; a predicted signal below it is background. On the phantom every voxel of a true
lesion is above 0.13, and 99.9% are above 0.19; what a network leaves outside is a few hundredths."""

EDGE_FRACTION = 0.5
"""Of the lesion's own median signal: the edge of a blurred object lies where it has half its height."""


def predicted_mask(post: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return where predicted images of the second MRI show the lesion, holes filled.

    Posts are zero outside the GTV of the second MRI, so the lesion is where there is signal. The edge is drawn for each
    image at half the median of its signals above the background, and never below the background. A dark core is part
    of a lesion, so holes are filled.

    Args:
        post: real [n, rows, columns], predicted signals.
        scale: real [n], largest signal of each image's first MRI inside the GTV, in the same units.

    Returns:
        bool [n, rows, columns]; all False in an image without signal.

    Example:
        >>> post = np.zeros((1, 5, 5))
        >>> post[0, 1:4, 1:4] = 600.0
        >>> post[0, 2, 2] = 50.0  # the core
        >>> int(predicted_mask(post, np.array([1000.0])).sum())
        9
    """
    masks = np.zeros(post.shape, bool)
    for mask, image, largest in zip(masks, post, scale, strict=True):
        signal = image[image > BACKGROUND_FRACTION * largest]
        if signal.size:
            edge = max(EDGE_FRACTION * np.median(signal), BACKGROUND_FRACTION * largest)
            ndimage.binary_fill_holes(image > edge, output=mask)
    return masks
