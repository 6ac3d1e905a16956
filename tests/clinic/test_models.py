import numpy as np
import pytest

from tests.clinic.patients import SIZE, PythonModel, scaled
from tfdrift.clinic.models import BATCH, crops_of, predict_batches
from tfdrift.errors import DataError
from tfdrift.serving.client import Signature, TensorInfo


def crops(count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(count)
    return rng.random((count, SIZE, SIZE, 1), np.float32), rng.integers(0, 2**32, (count, 2))


@pytest.mark.parametrize("shape", [(None, 8, 9, 1), (None, None, None, 1), (None, 8, 8, 3), (8, 8), None], ids=str)
def test_crops_of_another_shape_are_refused(shape):
    seed = TensorInfo("int64", (None, 2))
    outputs = {name: TensorInfo("float32", (None, 8, 8, 1)) for name in ("post", "drift")}
    with pytest.raises(DataError, match="not square crops and seeds"):
        crops_of(Signature({"image": TensorInfo("float32", shape), "seed": seed}, outputs), "the model")


@pytest.mark.parametrize(
    "broken",
    [
        lambda image, _seed: {"post": np.full_like(image, np.inf), "drift": image},
        lambda image, _seed: {"post": image[:-1], "drift": image},
    ],
    ids=["not finite", "one too few"],
)
def test_an_answer_that_is_no_image_for_each_crop_is_refused(broken):
    with pytest.raises(DataError, match="the model's post is not an image of finite numbers for each crop"):
        predict_batches(PythonModel(broken), *crops(2))


def test_batches_give_what_single_crops_give():
    asked = []

    def noting(image, seed):
        asked.append(len(image))
        return scaled(image, seed)

    image, seed = crops(BATCH + 3)
    together = predict_batches(PythonModel(noting), image, seed)
    assert asked == [BATCH, 3]
    for name, value in scaled(image, seed).items():
        np.testing.assert_array_equal(together[name], value)
