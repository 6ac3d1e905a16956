"""Samples of pure noise, for tests that need shapes and folds but no lesions."""

import numpy as np

from tfdrift.cohort.samples import DEFAULT_CHANNELS, Samples


def make_samples(count=12, size=8, folds=3, seed=0, depth=None, channels=DEFAULT_CHANNELS, conditions=False) -> Samples:
    """Return slices, or stacks of `depth` slices; with conditions and facts, some of them unknown, where asked."""
    rng = np.random.default_rng(seed)
    shape = (count, size, size) if depth is None else (count, depth, size, size)
    images = rng.random((1 + len(channels), *shape, 1), dtype=np.float32)
    pre, post = np.concatenate([*images[:1], *images[2:]], axis=-1), images[1]
    numbers = np.arange(count)
    ones = np.ones(count, np.float32)
    days = np.where(numbers % 4 == 3, np.nan, 20 + numbers).astype(np.float32)
    return Samples(
        pre=pre,
        post=post,
        pre_mask=pre[..., :1] > 0.1,
        post_mask=post > 0.1,
        scale=ones,
        patient=np.char.add("p", (numbers // 2).astype(str)),
        lesion=np.char.add("l", numbers.astype(str)),
        fold=(numbers // 2 % folds).astype(np.int32),
        pixel_mm=ones,
        pre_mm3=ones,
        post_mm3=ones,
        follow_up_mm3=ones,
        channels=channels,
        conditions={"interval_days": days, "dose_gy": np.stack([days, 2 * days], axis=1)} if conditions else {},
        facts={"orientation": np.where(numbers % 3 == 0, "axial", "")} if conditions else {},
    )
