"""Tiny runs on a tiny phantom, which has volumes, response groups and folds as a real cohort has."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from tests.untrained_runs import leave_untrained
from tfdrift.config import train_config
from tfdrift.evaluation.answers import Answers
from tfdrift.evaluation.assessment import assess
from tfdrift.evaluation.document import Attainable
from tfdrift.evaluation.metrics import squared_errors
from tfdrift.synthetic.phantom_samples import phantom_samples

TINY: dict[str, Any] = {"steps": 2, "image_size": 8, "base_filters": 2, "depth": 1, "batch_size": 4, "levels": 3}


@pytest.fixture(scope="session")
def phantom():
    """Nine patients in three folds."""
    return phantom_samples(image_size=8, patients=9, folds=3)


@pytest.fixture(scope="session")
def tiny_run(phantom, tmp_path_factory):
    """A function that returns a run folder with these settings and first weights, untrained; each is made once."""
    made = {}

    def make(method: str, **given):
        key = (method, *sorted(given.items()))
        if key not in made:
            made[key] = tmp_path_factory.mktemp(method)
            config = train_config(method, **{**TINY, **given})
            leave_untrained(config, made[key], echo=lambda _line: None, samples=phantom)
        return made[key]

    return make


@pytest.fixture(scope="session")
def make_answers(phantom):
    """A function that returns answers about all patients of the phantom, each fold a group, made without a network.

    The outcomes are the truth, pulled towards no change by `shrink`, with normal noise of `noise` inside the GTV.
    """

    def make(label="Method 1", *, shrink=0.5, noise=0.05, count=8, seed=0) -> Answers:
        rng = np.random.default_rng(seed)
        inside = phantom.pre_mask | phantom.post_mask
        drift = (1 - shrink) * phantom.drift + noise * inside * rng.standard_normal((count, *phantom.pre.shape))
        drift = drift.astype(np.float32)
        errors = np.stack([squared_errors(level * drift[0], phantom.drift) for level in (0.0, 1.0, 0.5)])
        return Answers(
            label=label,
            config=train_config("direct" if count == 1 else "method1", **TINY),
            step=2,
            fingerprint=phantom.fingerprint(),
            data=phantom,
            left_out=phantom.fold,
            held_out=phantom,
            group=phantom.fold,
            post=phantom.pre + drift,
            drift=drift,
            levels=[2, 1, 0] if count > 1 else [None],
            level_post_errors=errors if count > 1 else errors[1:2],
            level_drift_errors=errors if count > 1 else errors[1:2],
            shown=drift[: 3 if count > 1 else 1, 0],
            shown_row=0,
            mean_drift=phantom.pre + phantom.drift.mean(axis=0),
            exponent=np.ones(len(phantom)),
            cut=np.full(len(phantom), 0.9),
        )

    return make


@pytest.fixture(scope="session")
def assessed(make_answers):
    """Method 1 beside `direct`, which knows less of the drift here."""
    attainable = Attainable(skill=0.9, standard_error=0.01)
    return assess(make_answers(), [make_answers("direct", shrink=0.7, count=1)], attainable=attainable)


@pytest.fixture(scope="session")
def many_answers(make_answers) -> Answers:
    """Answers about 45 patients in three folds, whose outcomes spread where they are wrong."""
    many = phantom_samples(image_size=8, patients=45, folds=3)
    rng = np.random.default_rng(0)
    inside = many.pre_mask | many.post_mask
    unsure = inside * np.where(rng.random(many.post.shape) < 0.3, 0.3, 0.03)  # known beforehand
    drift = many.drift + unsure * (
        rng.standard_normal(many.post.shape) + rng.standard_normal((8, *many.post.shape)) / 4
    )
    errors = np.stack([squared_errors(level * drift[0], many.drift) for level in (0.0, 1.0, 0.5)])
    return dataclasses.replace(
        make_answers(), data=many, held_out=many, group=many.fold, left_out=many.fold, fingerprint=many.fingerprint(),
        level_post_errors=errors, level_drift_errors=errors, post=(many.pre + drift).astype(np.float32),
        drift=drift.astype(np.float32), exponent=np.ones(len(many)), cut=np.full(len(many), 0.9),
        mean_drift=many.pre + many.drift.mean(axis=0),
    )  # fmt: skip


@pytest.fixture(scope="session")
def many_assessed(many_answers):
    """Patients enough for margins that adapt."""
    return assess(many_answers)
