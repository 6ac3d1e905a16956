import dataclasses
from pathlib import Path

import numpy as np

from tests.reproduction.random_predictions import make_predictions
from tfdrift.reproduction.predictions import join_folds


def test_joined_folds_hold_the_slices_of_each_in_order():
    whole = make_predictions(count=12)
    parts = []
    for fold, rows in enumerate((np.arange(4), np.arange(4, 12))):
        parts.append(
            dataclasses.replace(
                whole,
                folders=(Path(f"fold{fold}"),),
                samples=whole.samples.take(rows),
                mean_drift=whole.mean_drift[rows],
                final={name: images[rows] for name, images in whole.final.items()},
                by_level={name: images[:, rows] for name, images in whole.by_level.items()},
            )
        )
    joined = join_folds(parts)
    assert joined.folders == (Path("fold0"), Path("fold1"))
    np.testing.assert_array_equal(joined.samples.lesion, whole.samples.lesion)
    np.testing.assert_array_equal(joined.mean_drift, whole.mean_drift)
    for name in ("post", "drift"):
        np.testing.assert_array_equal(joined.final[name], whole.final[name])
        np.testing.assert_array_equal(joined.by_level[name], whole.by_level[name])
