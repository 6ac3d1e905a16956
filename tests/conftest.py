"""Three tiny runs, every method and every kind of heads among them, and their exported models."""

import os
from pathlib import Path
from typing import Any, NamedTuple

import filelock
import numpy as np
import pytest

from tests.random_samples import make_samples
from tfdrift.config import train_config
from tfdrift.export.saved_model import export_run
from tfdrift.training.train import train

SIZE = 8
HEADS = {"method1": "shared", "method2": "decoupled", "direct": "independent"}


METRICS = {
    "step": 2, "fold": 0, "patients": 4, "lesions": 4, "slices": 4, "levels": [], "data": "/home/someone/cohort",
    "skill": {"value": 0.5, "low": 0.25, "high": 0.75}, "drift_skill": {"value": 0.4, "low": 0.2, "high": 0.6},
    "ssim": 0.9, "copy": {"skill": 0.0, "ssim": 0.5},
    "mean_drift": {"skill": {"value": 0.1, "low": 0.0, "high": 0.2}, "ssim": 0.6},
}  # fmt: skip
"""A `metrics.json` of the runs below, made up: two steps on noise have no skill."""


class Exported(NamedTuple):
    """A run, the version made of it, and a request with the units of a scanner."""

    run: Path
    version: Path
    request: dict[str, np.ndarray]


@pytest.fixture(scope="session", params=HEADS)
def method(request) -> str:
    return request.param


@pytest.fixture(scope="session")
def exported(method, tmp_path_factory) -> Exported:
    """Run and model of one method, made once for all processes of a session: nobody writes into them."""
    shared = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        shared = shared.parent
    base = shared / f"exported-{method}"
    with filelock.FileLock(shared / f"exported-{method}.lock"):
        if not (base / "whole").exists():
            _export(method, base)
            (base / "whole").touch()
    (version,) = (base / "models" / method).glob("[0-9]*")
    return Exported(base / "run", version, make_request(17))


def _export(method: str, base: Path) -> None:
    settings: dict[str, Any] = {"image_size": SIZE, "base_filters": 2, "depth": 1, "levels": 5, "batch_size": 4}
    config = train_config(method, heads=HEADS[method], mnist_file="/home/someone/mnist.npz", steps=2, **settings)
    train(config, base / "run", echo=lambda _line: None, samples=make_samples(size=SIZE))
    export_run(base / "run", base / "models" / method)


def make_request(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Return `image` and `seed` of `count` images with largest signals from about 10 to 1000."""
    rng = np.random.default_rng(seed)
    image = rng.random((count, SIZE, SIZE, 1), np.float32) * np.geomspace(10, 1000, count)[:, None, None, None]
    return {"image": image.astype(np.float32), "seed": rng.integers(0, 2**31, (count, 2))}
