"""Record what tensorflow-addons' AdamW does, as the yardstick of `tests/training/test_adamw.py`.

tensorflow-addons needs TensorFlow 2.15 or older, so this runs by hand in an environment of its own, on Python 3.11:

    python3.11 -m venv tfa-env
    tfa-env/bin/pip install tensorflow==2.15.1 tensorflow-addons==0.23.0
    tfa-env/bin/python tests/golden/record_tfa_adamw.py

It writes `tfa_adamw.npz` beside itself. Gradients are drawn from a fixed seed and do not depend on the variables: a
difference in one step stays as large as it is and does not grow. They span nine orders of magnitude, with exact zeros;
the smallest are below epsilon, so that its place in the rule shows. Per case the file holds the settings (learning
rate, decay, epsilon, betas) and, for each variable, its value before the first step and after every step; `sources`
names the versions that made it.
"""

import platform
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_addons as tfa

NUM_STEPS = 80
SHAPES = {"matrix": (4, 3), "vector": (5,), "scalar": ()}
# name: learning rate, weight decay as tensorflow-addons means it (a share of the variable per step), epsilon
CASES = {
    "paper": (1e-4, 1e-4, 1e-8),
    "fast": (1e-2, 1e-3, 1e-8),
    "default_epsilon": (1e-3, 1e-4, 1e-7),
    "large_epsilon": (1e-3, 1e-2, 1e-3),
    "no_decay": (1e-3, 0.0, 1e-8),
}
BETA_1, BETA_2 = 0.9, 0.999


def draw_gradients() -> dict[str, np.ndarray]:
    """Return for each variable float32 [NUM_STEPS, *shape]: normal, each element at its own magnitude, some zero."""
    rng = np.random.default_rng(20240923)
    gradients = {}
    for name, shape in SHAPES.items():
        magnitude = 10.0 ** rng.uniform(-9, 0, size=shape)
        drawn = rng.normal(size=(NUM_STEPS, *shape)) * magnitude
        gradients[name] = np.where(rng.random((NUM_STEPS, *shape)) < 0.1, 0.0, drawn).astype(np.float32)
    return gradients


def record(gradients: dict[str, np.ndarray], settings: tuple[float, float, float]) -> dict[str, np.ndarray]:
    """Return for each variable float32 [1 + NUM_STEPS, *shape]: its start and its value after each step."""
    learning_rate, weight_decay, epsilon = settings
    rng = np.random.default_rng(7)
    variables = {name: tf.Variable(rng.normal(size=shape).astype(np.float32)) for name, shape in SHAPES.items()}
    optimizer = tfa.optimizers.AdamW(
        learning_rate=learning_rate, weight_decay=weight_decay, beta_1=BETA_1, beta_2=BETA_2, epsilon=epsilon
    )
    values = {name: [variable.numpy()] for name, variable in variables.items()}
    for step in range(NUM_STEPS):
        optimizer.apply_gradients([(gradients[name][step], variable) for name, variable in variables.items()])
        for name, variable in variables.items():
            values[name].append(variable.numpy())
    return {name: np.stack(steps) for name, steps in values.items()}


def main() -> None:
    """Write the file."""
    gradients = draw_gradients()
    arrays = {f"gradient/{name}": gradient for name, gradient in gradients.items()}
    for case, settings in CASES.items():
        arrays[f"{case}/settings"] = np.array([*settings, BETA_1, BETA_2])
        arrays.update({f"{case}/{name}": values for name, values in record(gradients, settings).items()})
    arrays["sources"] = np.array(
        f"tensorflow-addons {tfa.__version__}, tensorflow {tf.__version__}, numpy {np.__version__}, "
        f"Python {platform.python_version()}, {platform.machine()}"
    )
    target = Path(__file__).with_name("tfa_adamw.npz")
    np.savez_compressed(target, **arrays)
    print(f"{target.name}: {target.stat().st_size} bytes, {arrays['sources']}")


if __name__ == "__main__":
    main()
