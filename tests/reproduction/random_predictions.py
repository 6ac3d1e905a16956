"""Predictions of a run made up for tests: everything but the training."""

from pathlib import Path
from typing import Any

import numpy as np

from tests.random_samples import make_samples
from tfdrift.config import train_config
from tfdrift.evaluation.baselines import mean_drift
from tfdrift.reproduction.experiment import Run
from tfdrift.reproduction.predictions import Predictions
from tfdrift.training.run_folder import build_network, make_predictor

TINY: dict[str, Any] = {"image_size": 8, "base_filters": 2, "depth": 1, "levels": 3, "batch_size": 4, "steps": 2}


def make_predictions(method: str = "method1", *, error: float = 0.1, seed: int = 0, count: int = 12) -> Predictions:
    """Return predictions that are the truth and noise, more of it at noisy levels."""
    config = train_config(method, **TINY)
    samples = make_samples(count=count, size=8)
    trained = make_predictor(config, build_network(config))
    levels = trained.levels()
    rng = np.random.default_rng(seed)
    noise = error * rng.standard_normal((2, len(levels) + 1, *samples.pre.shape)).astype(np.float32)
    noise *= np.arange(len(levels) + 1, 0, -1, dtype=np.float32)[:, None, None, None, None]
    truth = {"post": samples.post, "drift": samples.drift}
    return Predictions(
        run=Run(label=f"{method} with {error:g}", method=method),
        config=config,
        folders=(Path("a-run"),),
        trained=trained,
        samples=samples,
        mean_drift=mean_drift(samples, samples),
        final={name: truth[name] + noise[number, -1] for number, name in enumerate(truth)},
        levels=levels,
        by_level={name: truth[name] + noise[number, :-1] for number, name in enumerate(truth)},
    )
