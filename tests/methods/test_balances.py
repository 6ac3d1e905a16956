import numpy as np
import tensorflow as tf

from tfdrift.methods.balances import BALANCES


def test_the_fixed_balance_leaves_a_loss_as_it_is():
    loss = tf.constant(0.3)
    assert BALANCES["fixed"](loss) is loss


def test_the_balance_by_uncertainty_makes_steps_independent_of_the_losss_unit():
    """The gradient of log(c L) is that of log(L), whatever c is."""

    def slope(unit):
        x = tf.constant(2.0)
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = BALANCES["uncertainty"](unit * x**2)
        return float(tape.gradient(loss, x))  # pyright: ignore[reportArgumentType] - of a scalar

    np.testing.assert_allclose(slope(1.0), slope(1000.0), rtol=1e-6)
