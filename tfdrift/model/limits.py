"""What a network can be built for: sizes of images and precisions."""

from tfdrift.errors import UsageError

PRECISIONS = ("float32", "mixed_bfloat16")
"""Keras dtype policies that `--precision` may name."""


def check_image_size(image_size: int, depth: int) -> None:
    """Refuse an image that the encoder cannot halve `depth` times.

    Args:
        image_size: side S in pixels.
        depth: number of poolings.

    Raises:
        UsageError: the message names the nearest sizes that would do.
    """
    cell = 2**depth
    if image_size % cell == 0 and image_size >= 2 * cell:
        return
    below = max(image_size // cell, 2) * cell
    fitting = " or ".join(str(size) for size in sorted({below, below + cell}))
    raise UsageError(
        f"--image-size {image_size}: depth {depth} halves the image {depth} times, so the side must be a multiple of "
        f"{cell} and at least {2 * cell}; {fitting} would do"
    )
