"""Keras' AdamW follows the trajectory recorded from tensorflow-addons 0.23.0 (`docs/adr/0001-adamw-from-keras.md`).

The gradients are given, so that rounding adds up and is not amplified. The yardstick of rounding is the spacing of
float32 numbers (ulp) at the largest value a variable has had so far.
"""

from pathlib import Path

import keras
import numpy as np
import pytest

VARIABLES = ("matrix", "vector", "scalar")
CASES = ("paper", "fast", "default_epsilon", "large_epsilon", "no_decay")


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    path = Path(__file__).parents[1] / "golden" / "tfa_adamw.npz"
    with np.load(path, allow_pickle=False) as stored:
        return dict(stored)


def follow(golden: dict[str, np.ndarray], case: str, **changed: float) -> dict[str, np.ndarray]:
    """Return Keras' trajectory of each variable, with `weight_decay` = wd_tfa / learning_rate."""
    learning_rate, decay_per_step, epsilon, beta_1, beta_2 = golden[f"{case}/settings"].tolist()
    settings = {
        "learning_rate": learning_rate,
        "weight_decay": decay_per_step / learning_rate,
        "beta_1": beta_1,
        "beta_2": beta_2,
        "epsilon": epsilon,
    }
    variables = [keras.Variable(golden[f"{case}/{name}"][0]) for name in VARIABLES]
    optimizer = keras.optimizers.AdamW(**{**settings, **changed})
    optimizer.build(variables)
    values = [[variable.numpy()] for variable in variables]
    for step in range(len(golden["gradient/scalar"])):
        optimizer.apply([golden[f"gradient/{name}"][step] for name in VARIABLES])
        for steps, variable in zip(values, variables, strict=True):
            steps.append(variable.numpy())
    return {name: np.stack(steps) for name, steps in zip(VARIABLES, values, strict=True)}


def ulps(theirs: np.ndarray) -> np.ndarray:
    return np.spacing(np.maximum.accumulate(np.abs(theirs), axis=0))


def float32_betas(golden: dict[str, np.ndarray], case: str) -> dict[str, float]:
    """Return the betas as tensorflow-addons' kernel has them: rounded to float32 before 1 - beta is formed."""
    beta_1, beta_2 = golden[f"{case}/settings"][3:].astype(np.float32).tolist()
    return {"beta_1": beta_1, "beta_2": beta_2}


@pytest.mark.parametrize("case", CASES)
def test_the_rule_is_the_same_to_two_ulp_over_all_steps(golden, case):
    ours = follow(golden, case, **float32_betas(golden, case))
    for name in VARIABLES:
        theirs = golden[f"{case}/{name}"]
        assert np.all(np.abs(ours[name] - theirs) <= 2 * ulps(theirs)), name


@pytest.mark.parametrize("case", CASES)
def test_betas_as_training_writes_them_differ_by_their_rounding_alone(golden, case):
    # float32(0.999) is 0.99900001287: tensorflow-addons' 1 - beta_2 is 1.29e-5 too small, so its second moment is, so
    # each of its updates is at most half of that too long. An update is what a step does beyond the decay. In each step
    # both sides round twice, after the decay and after the update, by at most half an ulp: 2 ulp a step.
    _, decay_per_step, _, _, beta_2 = golden[f"{case}/settings"].tolist()
    excess = ((1 - beta_2) / (1 - float(np.float32(beta_2))) - 1) / 2
    ours = follow(golden, case)
    for name in VARIABLES:
        theirs = golden[f"{case}/{name}"].astype(np.float64)
        updates = np.diff(theirs, axis=0) + decay_per_step * theirs[:-1]
        steps = np.arange(1, len(theirs)).reshape(-1, *[1] * (theirs.ndim - 1))
        allowed = excess * np.cumsum(np.abs(updates), axis=0) + 2 * steps * ulps(golden[f"{case}/{name}"])[1:]
        assert np.all(np.abs(ours[name] - theirs)[1:] <= allowed), name


@pytest.mark.parametrize("case", [case for case in CASES if case != "no_decay"])
def test_without_the_conversion_of_the_decay_the_trajectory_is_left(golden, case):
    decay_per_step = float(golden[f"{case}/settings"][1])
    ours = follow(golden, case, weight_decay=decay_per_step, **float32_betas(golden, case))
    theirs = golden[f"{case}/matrix"]
    assert np.max(np.abs(ours["matrix"] - theirs) / ulps(theirs)) > 10_000


@pytest.mark.parametrize(("case", "epsilon"), [("paper", 1e-7), ("default_epsilon", 1e-8), ("large_epsilon", 1e-4)])
def test_with_another_epsilon_the_trajectory_is_left(golden, case, epsilon):
    ours = follow(golden, case, epsilon=epsilon, **float32_betas(golden, case))
    theirs = golden[f"{case}/matrix"]
    assert np.max(np.abs(ours["matrix"] - theirs) / ulps(theirs)) > 1_000


def test_the_recording_names_the_versions_that_made_it(golden):
    assert str(golden["sources"]).startswith("tensorflow-addons 0.23.0, tensorflow 2.15.1")
