"""Samples of pure noise, for tests that need shapes and folds but no lesions."""

import numpy as np

from tfdrift.cohort.samples import Samples


def make_samples(count=12, size=8, folds=3, seed=0) -> Samples:
    rng = np.random.default_rng(seed)
    pre, post = rng.random((2, count, size, size, 1), dtype=np.float32)
    numbers = np.arange(count)
    ones = np.ones(count, np.float32)
    return Samples(
        pre=pre,
        post=post,
        pre_mask=pre > 0.1,
        post_mask=post > 0.1,
        scale=ones,
        patient=np.char.add("p", (numbers // 2).astype(str)),
        lesion=np.char.add("l", numbers.astype(str)),
        fold=(numbers // 2 % folds).astype(np.int32),
        pixel_mm=ones,
        pre_mm3=ones,
        post_mm3=ones,
        follow_up_mm3=ones,
    )
